"""What the speed benchmarks share: commands that are timed, in processes of their own.

It needs Linux or macOS, which tell the peak memory of a process.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

PYTHON = [sys.executable, "-W", "ignore"]
HERE = Path(__file__).resolve().parent
PROGRAM = [*PYTHON, "-m", "mlp_lightning"]
FIT = [*PROGRAM, "fit", "--trainer.accelerator=cpu"]
TEST = [*PROGRAM, "test", "--trainer.accelerator=cpu"]
LOOPS = [*PYTHON, str(HERE / "loops.py")]
NO_VARIABLES: Mapping[str, str] = {}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT")
# ru_maxrss counts bytes on macOS and kilobytes on Linux.
MAXRSS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10


class Finished(NamedTuple):
    """What a command took."""

    seconds: float
    peak_memory: float  # MB
    output: str


class Command:
    """A command that runs in a folder, and is timed."""

    def __init__(
        self,
        words: Sequence[str],
        folder: str,
        variables: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        """Start it, with these environment variables; of threads, with no others."""
        self.words = words
        self.output = Path(folder, "output")
        environment = dict(os.environ)
        for name in THREAD_VARIABLES:
            environment.pop(name, None)
        environment.update(variables)
        self.start = time.perf_counter()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environment, stdout=output, stderr=output
            )

    def wait(self) -> Finished:
        """Wait for its end, and leave the program if it fails."""
        _, status, usage = os.wait4(self.process.pid, 0)
        seconds = time.perf_counter() - self.start
        text = self.output.read_text(errors="replace")
        if status:
            sys.exit(f"{' '.join(self.words)} failed:\n{text}")
        return Finished(seconds, usage.ru_maxrss / MAXRSS_PER_MB, text)


def run_command(
    words: Sequence[str], folder: str, variables: Mapping[str, str] = NO_VARIABLES
) -> Finished:
    """Run a command in a folder, with these environment variables."""
    return Command(words, folder, variables).wait()


def thread_variables(count: int) -> dict[str, str]:
    """Return the environment variable for so many threads."""
    return {"OMP_NUM_THREADS": str(count)}


def find_printed_epochs(text: str) -> list[float]:
    """Return the seconds of the epochs but the first, as the loops print them."""
    printed = re.findall(r"epoch \d+: ([\d.]+) s", text)
    return [float(seconds) for seconds in printed[1:]]


def find_logged_epochs(folder: str) -> list[float]:
    """Return the seconds from one val/acc to the next, by the newest run's events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs = Path(folder, "lightning_logs").glob("version_*")
    newest = max(runs, key=lambda run: run.stat().st_ctime)
    events = EventAccumulator(str(newest)).Reload().Scalars("val/acc")
    return [after.wall_time - before.wall_time for before, after in pairwise(events)]


def unpack_mnist(folder: str) -> None:
    """Have a folder hold MNIST, so that no command has to unpack it."""
    run_command([*FIT, "--trainer.fast_dev_run=1"], folder)
