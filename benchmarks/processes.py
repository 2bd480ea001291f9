"""Train, stop, resume and test with two processes, under each way to start them.

    python benchmarks/processes.py --write

For each strategy of Lightning that runs on a CPU, and for torchrun on one node and on
two: train a small network to the end; train it again, stop it by SIGKILL, Ctrl-C or
SIGTERM, and continue it. Each end is compared with the first one, bit for bit: weights,
optimizer, counters, and every point of the curves. Then test and predict with the same
checkpoint. The table tells, for each way, what was equal; `--write` puts it into
docs/resume.md.
"""

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kill import QUIET, find_differences, read_end
from report import DOCS, describe_setup, format_table, replace_figures

TIMEOUT = 120  # seconds
# torchrun sets this itself, but not for a single process on a node; more threads would
# round differently.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
FIT = [
    "fit",
    "--model.dropout=0.2",
    "--data.augmentation.rotation=10",
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=300",
    "--trainer.log_every_n_steps=5",
    "--checkpoint.every_n_train_steps=50",
]
PROGRAM = [sys.executable, "-m", "mlp_lightning"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
FAILURE_MARKS = ("Traceback", "Warning", "Error")


class Way(NamedTuple):
    """A way to start two processes: the words before and after those of a command."""

    launcher: list[str]
    options: list[str]
    nodes: int = 1


class Stop(NamedTuple):
    """How a training is stopped."""

    number: signal.Signals
    whole_group: bool  # as a terminal does it, else the first process alone
    codes: tuple[int, ...]


CPU = ["--trainer.accelerator=cpu"]
TWO = [*CPU, "--trainer.devices=2"]
ALONE = Way(PROGRAM, CPU)
WAYS = {
    **{
        strategy: Way(PROGRAM, [*TWO, f"--trainer.strategy={strategy}"])
        for strategy in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
    },
    "torchrun": Way(
        [*TORCHRUN, "--nproc_per_node=2", "-m", "mlp_lightning"],
        [*TWO, "--trainer.strategy=ddp"],
    ),
    "torchrun, two nodes": Way(
        [*TORCHRUN, "--nnodes=2", "--nproc_per_node=1", "-m", "mlp_lightning"],
        [*CPU, "--trainer.strategy=ddp", "--trainer.num_nodes=2"],
        nodes=2,
    ),
}
STOPS = {
    "SIGKILL": Stop(signal.SIGKILL, True, (-signal.SIGKILL,)),
    "Ctrl-C": Stop(signal.SIGINT, True, (130,)),
    "SIGTERM": Stop(signal.SIGTERM, False, (143,)),
    "SIGTERM to all": Stop(signal.SIGTERM, True, (143,)),
}


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start(way: Way, root: Path, *words: str) -> list[subprocess.Popen[str]]:
    """Start a command of the package, with its output in a file for each node."""
    port = find_free_port()
    processes = []
    for node in range(way.nodes):
        launcher = list(way.launcher)
        if "torch.distributed.run" in launcher:
            place = launcher.index("torch.distributed.run") + 1
            launcher[place:place] = [
                "--rdzv_backend=c10d",
                f"--rdzv_endpoint=127.0.0.1:{port}",
                f"--rdzv_conf=is_host={int(node == 0)}",
            ]
        with (root / f"output_{node}").open("w") as output:
            process = subprocess.Popen(
                [*launcher, *words, *way.options, *QUIET],
                cwd=root,
                env=ONE_THREAD,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        processes.append(process)
    return processes


def read_output(root: Path) -> str:
    """Return what the last command has written, of all nodes."""
    return "".join(path.read_text() for path in sorted(root.glob("output_*")))


def wait_for_end(processes: list[subprocess.Popen[str]]) -> list[int]:
    """Return the exit codes; a command that hangs is killed, and has -9."""
    end = time.monotonic() + TIMEOUT
    for process in processes:
        try:
            process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_group(process.pid, signal.SIGKILL)
            process.wait()
    return [process.returncode for process in processes]


def kill_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def count_orphans(processes: list[subprocess.Popen[str]]) -> int:
    """Return how many processes are left in the groups, and end those."""
    time.sleep(1)
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    alive = [int(group) for group, state in rows if state[0] != "Z"]  # no zombies
    orphans = 0
    for process in processes:
        orphans += alive.count(process.pid)
        kill_group(process.pid, signal.SIGKILL)
    return orphans


def run(way: Way, root: Path, *words: str) -> str:
    """Run a command to its end, and return "" or what is wrong with it."""
    codes = wait_for_end(start(way, root, *words))
    if any(codes):
        return f"exit codes {codes}"
    return find_noise(read_output(root))


def find_noise(output: str) -> str:
    """Return "noise" if there is a traceback or a warning in the output."""
    noisy = any(mark in output for mark in FAILURE_MARKS)
    return "noise" if noisy else ""


def stop_and_continue(way: Way, root: Path, stop: Stop, delay: float) -> str:
    """Train, stop the training, and continue it; return "" or what went wrong."""
    processes = start(way, root, *FIT)
    last = root / "lightning_logs/version_0/checkpoints/last.ckpt"
    end = time.monotonic() + TIMEOUT
    while not last.exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(delay)
    for process in processes:
        if stop.whole_group:
            kill_group(process.pid, stop.number)
        else:
            process.send_signal(stop.number)
    codes = wait_for_end(processes)
    orphans = count_orphans(processes)
    output = read_output(root)
    (root / "stopped").write_text(output)
    if orphans:
        return f"{orphans} orphans"
    is_own = "torch.distributed.run" not in way.launcher  # torchrun has its own codes
    if is_own and codes[0] not in stop.codes:
        return f"exit codes {codes}"
    if stop.number != signal.SIGKILL and output.count("error: interrupted") != 1:
        return "not one line"
    if is_own and find_noise(output):
        return "noise"
    return run(way, root, "fit", "--ckpt_path=last")


def compare(root: Path, expected: dict[str, object]) -> str:
    """Return "equal", or how many of the values of a run's end are others."""
    differences = find_differences(expected, read_end(root))
    return f"{len(differences)} differ: {differences[:3]}" if differences else "equal"


def try_way(
    name: str, folder: Path, ends: dict[str, dict[str, object]], draw: random.Random
) -> list[str]:
    """Return the row of the table for one way to start two processes."""
    way = WAYS[name]
    whole = make_root(folder, f"{name}, whole")
    problem = run(way, whole, *FIT)
    if problem:
        return [name, problem]
    ends[name] = read_end(whole)
    row = [name, compare(whole, next(iter(ends.values())))]
    for label, stop in STOPS.items():
        root = make_root(folder, f"{name}, {label}")
        problem = stop_and_continue(way, root, stop, draw.uniform(0, 0.5))
        row.append(problem or compare(root, ends[name]))
        print(name, label, row[-1], flush=True)
    return row


def make_root(folder: Path, name: str) -> Path:
    root = folder / name.replace(" ", "_")
    root.mkdir()
    (root / "data").symlink_to(folder / "data")
    return root


def try_checkpoint(way: Way, source: Path, folder: Path, name: str) -> list[str]:
    """Return test/acc of one checkpoint, and a word on its predictions."""
    root = make_root(folder, f"{name}, checkpoint")
    shutil.copytree(source / "lightning_logs", root / "lightning_logs")
    run_folder = root / "lightning_logs/version_0"
    problem = run(way, root, "test")
    if problem:
        return [problem, ""]
    report = json.loads((run_folder / "test.json").read_text())
    problem = run(way, root, "predict")
    table = run_folder / "predictions.csv"
    rows = table.read_text().splitlines() if table.exists() else []
    return [repr(report["test/acc"]), problem or f"{len(rows) - 1} rows"]


def try_ways(names: list[str], folder: Path, draw: random.Random) -> list[list[str]]:
    """Return the rows of the table, the first of a single process."""
    source = make_root(folder, "one process")
    run(ALONE, source, *FIT)
    tested = try_checkpoint(ALONE, source, folder, "one process")
    rows = [["one process", *[""] * (1 + len(STOPS)), *tested]]
    ends: dict[str, dict[str, object]] = {}
    for name in names:
        row = try_way(name, folder, ends, draw)
        row += [""] * (2 + len(STOPS) - len(row))
        row += try_checkpoint(WAYS[name], source, folder, name)
        print(row, flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("ways", nargs="*", help=f"of {', '.join(WAYS)} (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", help="folder for the runs (default: a temporary one)")
    parser.add_argument("--write", action="store_true", help="into docs/resume.md")
    options = parser.parse_args()
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart
    names = options.ways or list(WAYS)
    with TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).absolute()
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows = try_ways(names, folder, random.Random(options.seed))
    table = format_table(["two processes", "fit", *STOPS, "test/acc", "predict"], rows)
    print(table)
    if options.write:
        text = f"{table}\n\nTried with seed {options.seed} on {describe_setup()}."
        replace_figures(DOCS / "resume.md", "processes.py:table", text)


if __name__ == "__main__":
    main()
