"""Measure how fast `fit` is: against a script, a bare loop and Lightning's floor.

    python benchmarks/speed.py --write     # about 20 minutes; writes docs/speed.md
    python benchmarks/speed.py --quick     # about five
    python benchmarks/speed.py --threads   # where more threads begin to pay here

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
import statistics
import sys
from collections import defaultdict
from tempfile import TemporaryDirectory

import busy
from commands import (
    FIT,
    HERE,
    LOOPS,
    NO_VARIABLES,
    PYTHON,
    TEST,
    THREAD_VARIABLES,
    find_logged_epochs,
    find_printed_epochs,
    run_command,
    thread_variables,
    unpack_mnist,
)
from crossover import describe_crossover
from report import (
    DOCS,
    describe_setup,
    format_count,
    format_table,
    replace_figures,
    summarise,
)

from mlp_lightning import MLP
from mlp_lightning.hardware import choose_threads

TUTORIAL = [*PYTHON, str(HERE / "tutorial.py")]
IMPORTS = [*PYTHON, "-c", "import lightning.pytorch.cli, torchvision"]
# Those that `fit` chooses; the loops have the same.
THREADS = choose_threads(MLP(), 64)
SAME_THREADS = thread_variables(THREADS)
WITH_THREADS = f"with {format_count(THREADS, 'thread')}"
NAMES = {
    "tutorial": "the tutorial's script: `DataLoader`, the five lines, a test",
    "tutorial, same threads": f"the same {WITH_THREADS}",
    "bare": f"a bare loop over normalised images in memory, {WITH_THREADS}",
    "floor": f"Lightning's floor: the shortest model and loader, {WITH_THREADS}",
    "fit": f"`fit`, which takes {format_count(THREADS, 'thread')} by itself",
    "fit, test": "`fit`, then `test`",
    "test": "`test`",
    "imports": "the imports of Lightning and torchvision alone",
}
EPOCH_RATIOS = (
    ("tutorial", "fit"),
    ("tutorial, same threads", "fit"),
    ("fit", "floor"),
    ("fit", "bare"),
)
PROCESS_RATIOS = (("tutorial", "fit"), ("tutorial", "fit, test"))
SHORT_NAMES = {
    "tutorial": "the tutorial's script",
    "tutorial, same threads": f"the tutorial's script {WITH_THREADS}",
    "bare": "the bare loop",
    "floor": "Lightning's floor",
    "fit": "`fit`",
    "fit, test": "`fit`, then `test`",
}


class Samples:
    """The seconds of all epochs and of all whole processes, by the name of what ran."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[float]] = defaultdict(list)
        self.processes: dict[str, list[float]] = defaultdict(list)
        self.peak_memory = 0.0  # of fit, MB


def add_round(samples: Samples, turns: int, folder: str) -> None:
    """Run the script with each number of threads, and the others in several turns."""
    ways = {"tutorial": NO_VARIABLES, "tutorial, same threads": SAME_THREADS}
    for name, variables in ways.items():
        tutorial = run_command(TUTORIAL, folder, variables)
        samples.epochs[name] += find_printed_epochs(tutorial.output)
        samples.processes[name].append(tutorial.seconds)
    for _ in range(turns):
        add_turn(samples, folder)


def add_turn(samples: Samples, folder: str) -> None:
    """Run both loops, `fit` and `test` once."""
    for name in ("bare", "floor"):
        loop = run_command([*LOOPS, name], folder, SAME_THREADS)
        samples.epochs[name] += find_printed_epochs(loop.output)
    fit = run_command(FIT, folder)
    test = run_command(TEST, folder)
    imports = run_command(IMPORTS, folder)
    samples.epochs["fit"] += find_logged_epochs(folder)
    samples.processes["fit"].append(fit.seconds)
    samples.processes["test"].append(test.seconds)
    samples.processes["imports"].append(imports.seconds)
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


def tabulate_growth(all_copies: list[int], folder: str) -> str:
    """Return how the time of the best epoch, and memory, grow with the images."""
    rows: list[list[str]] = []
    first = 0.0
    for copies in all_copies:
        words = [*LOOPS, "ours", "--epochs", "3", "--copies", str(copies)]
        done = run_command(words, folder, SAME_THREADS)
        seconds = min(find_printed_epochs(done.output))
        first = first or seconds
        title = f"{copies} x 55,000 images, without the command line's extras"
        times = f"{seconds / first:.1f}x"
        rows.append([title, f"{seconds:.2f}", times, f"{done.peak_memory:.0f}"])
    header = ["", "seconds an epoch", "times the first", "peak memory, MB"]
    return format_table(header, rows)


def tabulate_widths(sizes: list[int], folder: str) -> str:
    """Return the best epoch of wider networks, and with torch's default threads."""
    all_threads = thread_variables(busy.ALL)
    rows = []
    for size in sizes:
        hidden = f"[{size}, {size // 2}]"
        words = [*FIT, "--model.hidden_sizes", hidden, "--trainer.max_epochs=3"]
        seconds = []
        for variables in (NO_VARIABLES, all_threads) * 2:
            run_command(words, folder, variables)
            seconds.append(min(find_logged_epochs(folder)))
        ours = min(seconds[0], seconds[2])
        default = min(seconds[1], seconds[3])
        title = f"`fit` with hidden_sizes {hidden}"
        rows.append([title, f"{ours:.2f}", f"{default:.2f}", divide(ours, default)])
    return format_table(
        ["", "seconds an epoch", f"with {busy.ALL} threads", "ratio"], rows
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--write", action="store_true", help="the figures into docs/speed.md"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of one turn, less growth"
    )
    parser.add_argument(
        "--threads", action="store_true", help="only: where more threads begin to pay"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="without --quick (default: 3)"
    )
    return parser.parse_args()


def publish(figures: dict[str, str], write: bool) -> None:
    """Print figures, and put them into docs/speed.md if asked."""
    for name, text in figures.items():
        print(text, end="\n\n", flush=True)
        if write:
            replace_figures(DOCS / "speed.md", name, text)


def main() -> None:
    options = parse_options()
    given = [name for name in THREAD_VARIABLES if name in os.environ]
    if given:
        sys.exit(f"unset {' and '.join(given)}: what is compared depends on it")
    rounds, turns = (1, 1) if options.quick else (options.rounds, 3)
    if options.threads:
        publish({"speed.py:threads": describe_crossover(4 * rounds)}, options.write)
        return
    with TemporaryDirectory() as folder:
        unpack_mnist(folder)
        samples = Samples()
        busy_samples = busy.new_samples()
        for _ in range(rounds):
            add_round(samples, turns, folder)
            busy.add_busy_round(busy_samples, folder)
        busy.add_once(busy_samples, folder)
        figures = {
            "speed.py:seconds": tabulate_seconds(samples),
            "speed.py:ratios": tabulate_ratios(samples),
            "speed.py:busy": busy.tabulate_busy(busy_samples),
            "speed.py:setup": describe_run(samples, rounds, turns, folder),
        }
        publish(figures, options.write)
        all_copies = [1, 2] if options.quick else [1, 2, 4, 8]
        print(tabulate_growth(all_copies, folder), end="\n\n", flush=True)
        print(tabulate_widths([512] if options.quick else [512, 2048], folder))


if __name__ == "__main__":
    main()
