"""Measure how fast `fit` is: against a script, a bare loop and Lightning's floor.

    python benchmarks/speed.py --write   # about nine minutes; writes docs/speed.md
    python benchmarks/speed.py --quick   # under two

Everything runs in processes of its own, which take turns: the network 784-128-64-10 on
the same 55,000 images in batches of 64, with SGD, on the CPU. The first epoch of each
process is left out. The epochs of Lightning and of `fit` include the validation of
5,000 images; those of `fit` also draw the bar, log and save. It needs Linux or macOS,
which tell the peak memory of a process.

On a virtual machine, epochs may come in two kinds, because its cores are at one moment
whole cores and at another halves of one. Then the ratios of the fastest epochs say more
than those of the medians.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from report import (
    DOCS,
    describe_setup,
    format_count,
    format_table,
    replace_figures,
    summarise,
)

PYTHON = [sys.executable, "-W", "ignore"]
HERE = Path(__file__).resolve().parent
PROGRAM = [*PYTHON, "-m", "mlp_lightning"]
FIT = [*PROGRAM, "fit", "--trainer.accelerator=cpu"]
TEST = [*PROGRAM, "test", "--trainer.accelerator=cpu"]
LOOPS = [*PYTHON, str(HERE / "loops.py")]
TUTORIAL = [*PYTHON, str(HERE / "tutorial.py")]
IMPORTS = [*PYTHON, "-c", "import lightning.pytorch.cli, torchvision"]
NAMES = {
    "tutorial": "the tutorial's script: `DataLoader`, the five lines, a test",
    "bare": "a bare loop over normalised images in memory",
    "floor": "Lightning's floor: `Trainer(barebones=True)` with this model and data",
    "fit": "`fit`, with progress bar, curves, pictures, validation and checkpoints",
    "fit, test": "`fit`, then `test`",
}
EPOCH_RATIOS = (("tutorial", "fit"), ("fit", "floor"), ("fit", "bare"))
PROCESS_RATIOS = (("tutorial", "fit"), ("tutorial", "fit, test"))
SHORT_NAMES = {
    "tutorial": "the tutorial's script",
    "bare": "the bare loop",
    "floor": "Lightning's floor",
    "fit": "`fit`",
    "fit, test": "`fit`, then `test`",
}
# ru_maxrss counts bytes on macOS and kilobytes on Linux.
MAXRSS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10


class Finished(NamedTuple):
    """What a command took."""

    seconds: float
    peak_memory: float  # MB
    output: str


class Samples:
    """The seconds of all epochs and of all whole processes, by the name of what ran."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[float]] = defaultdict(list)
        self.processes: dict[str, list[float]] = defaultdict(list)
        self.peak_memory = 0.0  # of fit, MB


def run_command(words: list[str], folder: str) -> Finished:
    """Run a command in a folder, or leave the program if it fails."""
    path = Path(folder, "output")
    with path.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    text = path.read_text(errors="replace")
    if status:
        sys.exit(f"{' '.join(words)} failed:\n{text}")
    return Finished(seconds, usage.ru_maxrss / MAXRSS_PER_MB, text)


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


def collect_samples(rounds: int, turns: int, folder: str) -> Samples:
    """Run everything in turns."""
    samples = Samples()
    for _ in range(rounds):
        tutorial = run_command(TUTORIAL, folder)
        samples.epochs["tutorial"] += find_printed_epochs(tutorial.output)
        samples.processes["tutorial"].append(tutorial.seconds)
        for _ in range(turns):
            take_turn(samples, folder)
    return samples


def take_turn(samples: Samples, folder: str) -> None:
    """Run both loops, `fit` and `test` once."""
    for name in ("bare", "floor"):
        loop = run_command([*LOOPS, name], folder)
        samples.epochs[name] += find_printed_epochs(loop.output)
    fit = run_command(FIT, folder)
    test = run_command(TEST, folder)
    samples.epochs["fit"] += find_logged_epochs(folder)
    samples.processes["fit"].append(fit.seconds)
    samples.processes["fit, test"].append(fit.seconds + test.seconds)
    samples.peak_memory = max(samples.peak_memory, fit.peak_memory)


def tabulate_seconds(samples: Samples) -> str:
    rows = []
    for name, title in NAMES.items():
        epochs = samples.epochs.get(name)
        processes = samples.processes.get(name)
        rows.append(
            [
                title,
                summarise(epochs) if epochs else "",
                summarise(processes) if processes else "",
            ]
        )
    return format_table(["", "an epoch", "the whole process"], rows)


def tabulate_ratios(samples: Samples) -> str:
    rows = []
    for slow, fast in EPOCH_RATIOS:
        name = f"{SHORT_NAMES[slow]} / {SHORT_NAMES[fast]}, an epoch"
        times = samples.epochs[slow], samples.epochs[fast]
        medians = divide(*map(statistics.median, times))
        rows.append([name, medians, divide(*map(min, times))])
    for slow, fast in PROCESS_RATIOS:
        name = f"{SHORT_NAMES[slow]} / {SHORT_NAMES[fast]}, the whole process"
        times = samples.processes[slow], samples.processes[fast]
        rows.append([name, divide(*map(statistics.median, times)), ""])
    return format_table(["ratio", "of the medians", "of the fastest"], rows)


def divide(slow: float, fast: float) -> str:
    return f"{slow / fast:.2f}"


def describe_run(samples: Samples, rounds: int, turns: int, folder: str) -> str:
    """Say how much memory `fit` needed, and what all figures were measured on."""
    peak = samples.peak_memory
    above = peak - run_command(IMPORTS, folder).peak_memory
    memory = (
        f"`fit` needs {peak:.0f} MB of memory, {above:.0f} MB more than its imports."
    )
    runs = f"{format_count(rounds, 'round')} of {format_count(turns, 'turn')}"
    return f"{memory}\nMeasured in {runs} with seed 42 on {describe_setup()}."


def tabulate_growth(all_copies: list[int], sizes: list[int], folder: str) -> str:
    """Return how time, of the best epoch, and memory grow with images and units."""
    by_images = []
    for copies in all_copies:
        words = [*LOOPS, "floor", "--epochs", "3", "--copies", str(copies)]
        done = run_command(words, folder)
        seconds = min(find_printed_epochs(done.output))
        title = f"{copies} x 55,000 images, at the floor"
        by_images.append((title, copies, seconds, done.peak_memory))
    by_units = []
    for size in sizes:
        hidden = f"[{size}, {size // 2}]"
        words = ["--model.hidden_sizes", hidden, "--trainer.max_epochs", "3"]
        done = run_command([*FIT, *words], folder)
        weights = 784 * size + size * size // 2 + size // 2 * 10
        seconds = min(find_logged_epochs(folder))
        title = f"`fit` with hidden_sizes {hidden}"
        by_units.append((title, weights, seconds, done.peak_memory))
    header = ["", "work", "seconds an epoch", "times the first", "peak memory, MB"]
    return format_table(header, [*compare_growth(by_images), *compare_growth(by_units)])


def compare_growth(rows: list[tuple[str, int, float, float]]) -> list[list[str]]:
    """Return rows that say how much more than the first each one does, and takes."""
    _, first_work, first_seconds, _ = rows[0]
    return [
        [
            title,
            f"{work / first_work:.1f}x",
            f"{seconds:.2f}",
            f"{seconds / first_seconds:.1f}x",
            f"{memory:.0f}",
        ]
        for title, work, seconds, memory in rows
    ]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--write", action="store_true", help="the figures into docs/speed.md"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of one turn, less growth"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="without --quick (default: 3)"
    )
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    rounds, turns = (1, 1) if options.quick else (options.rounds, 3)
    with TemporaryDirectory() as folder:
        unpack = ["--trainer.limit_train_batches=1", "--trainer.max_epochs=1"]
        run_command([*FIT, *unpack], folder)
        samples = collect_samples(rounds, turns, folder)
        figures = {
            "speed.py:seconds": tabulate_seconds(samples),
            "speed.py:ratios": tabulate_ratios(samples),
            "speed.py:setup": describe_run(samples, rounds, turns, folder),
        }
        for name, text in figures.items():
            print(text, end="\n\n")
            if options.write:
                replace_figures(DOCS / "speed.md", name, text)
        all_copies = [1, 2] if options.quick else [1, 2, 4, 8]
        sizes = [128, 512] if options.quick else [128, 256, 512, 1024, 2048]
        print(tabulate_growth(all_copies, sizes, folder))


if __name__ == "__main__":
    main()
