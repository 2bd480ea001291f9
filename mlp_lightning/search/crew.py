"""The workers of a search: processes that run its trials."""

import itertools
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mlp_lightning import errors
from mlp_lightning.errors import PROGRAM
from mlp_lightning.search.plan import Plan

MAX_DEATHS = 5  # of workers that are killed, with no trial ending in between
STOP_SECONDS = 60  # that a worker has to finish its step, and to save it
STOP_CODES = (errors.INTERRUPTED, errors.TERMINATED)


class WorkerError(Exception):
    """A worker has failed: why, and with which exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Worker:
    """A process that runs trials."""

    process: subprocess.Popen[str]
    log: Path


@dataclass
class Crew:
    """The workers of a search."""

    plan: Plan
    workers: list[Worker] = field(default_factory=list)
    deaths: int = 0  # since a trial has ended
    ended: int = 0  # trials, when the last worker died

    def start(self, *, settle: bool = False) -> None:
        """Start a worker; it may first wait until interrupted trials are known."""
        plan = self.plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        with open_log(plan.folder) as file:
            process = start_process(file, plan.workers)
        self.workers.append(Worker(process, Path(file.name)))
        order = {
            "path": str(plan.study.path),
            "text": plan.study.text,
            "config": plan.study.config,
            "storage": plan.storage,
            "logs": str(plan.logs),
            "max_epochs": plan.max_epochs,
            "settle": settle,
        }
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # `check` finds out why it has ended
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()

    def check(self, ended: int) -> None:
        """Replace workers that were killed.

        Args:
            ended: How many trials are complete or pruned.

        Raises:
            WorkerError: If one has failed, or is killed again and again.
        """
        for worker in list(self.workers):
            code = worker.process.poll()
            if code is None:
                continue
            self.workers.remove(worker)
            if code < 0 or code in STOP_CODES:
                self.replace(worker, ended)
            elif code > 0:
                raise explain_failure(code, worker.log)

    def replace(self, worker: Worker, ended: int) -> None:
        """Start another worker, unless they are killed again and again."""
        if ended > self.ended:
            self.deaths = 0
        self.ended = ended
        self.deaths += 1
        if self.deaths > MAX_DEATHS:
            text = f"workers are killed again and again: see {worker.log}"
            raise WorkerError(errors.FAILED, text)
        self.start(settle=True)

    def stop(self) -> None:
        """Stop all workers, and wait until they have saved their runs."""
        for worker in self.workers:
            assert worker.process.stdin is not None
            with suppress(OSError):
                worker.process.stdin.close()
        for worker in self.workers:
            try:
                worker.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def open_log(folder: Path) -> IO[str]:
    """Open a new log; other commands may have logs in the same folder."""
    numbers = itertools.count(1)
    while True:
        path = folder / f"worker_{next(numbers)}.log"
        with suppress(FileExistsError):
            return path.open("x", encoding="utf-8")


def start_process(log: IO[str], workers: int) -> subprocess.Popen[str]:
    """Start a worker that Ctrl-C does not reach, and whose text goes into a file."""
    variables = dict(os.environ)
    variables.pop("PL_GLOBAL_SEED", None)  # which the checks have set
    if workers > 1:
        variables["OMP_NUM_THREADS"] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", "mlp_lightning.search.worker"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=variables,
        text=True,
        start_new_session=True,
    )


def explain_failure(code: int, log: Path) -> WorkerError:
    """Return what a worker has said of its failure; print the traceback of a bug."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    beginning = f"{PROGRAM}: error: "
    if lines and lines[-1].startswith(beginning):
        return WorkerError(code, lines[-1].removeprefix(beginning))
    traces = [place for place, line in enumerate(lines) if line.startswith("Traceback")]
    if traces:
        print("\n".join(lines[traces[0] :]), file=sys.stderr)
    return WorkerError(errors.FAILED, f"a worker has failed: see {log}")
