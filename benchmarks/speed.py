"""Measure how fast `fit` is, against the tutorial's script, a bare loop and Lightning's floor.

    python benchmarks/speed.py           # some nine minutes
    python benchmarks/speed.py --quick   # under two

Everything runs in processes of its own, taken in turns: the network 784-128-64-10 on the same
55,000 images in batches of 64, with SGD, on the CPU. The first epoch of each process is left out.
Of the epochs, those of Lightning and of `fit` validate on 5,000 images too; those of `fit` also
draw the bar, log and save. It needs Linux or macOS, for the memory.

On a virtual machine, epochs may come in two kinds, as its cores are cores or halves of one at the
moment: then the ratios of the fastest epochs say more than those of the medians.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

PYTHON = [sys.executable, "-W", "ignore"]
HERE = Path(__file__).resolve().parent
FIT, TEST = (
    [*PYTHON, "-m", "mlp_lightning", command, "--trainer.accelerator=cpu"]
    for command in ("fit", "test")
)


def run(words: list[str], folder: str) -> tuple[float, float, str]:
    """Return the seconds that a command took, its peak memory in MB, and what it printed."""
    path = Path(folder, "output")
    with path.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    text = path.read_text(errors="replace")
    if status:
        sys.exit(f"{' '.join(words)} failed:\n{text}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, per MB
    return seconds, usage.ru_maxrss / unit, text


def printed_epochs(text: str) -> list[float]:
    """Return the seconds of the epochs but the first, as the loops print them."""
    return [float(seconds) for seconds in re.findall(r"epoch \d+: ([\d.]+) s", text)][
        1:
    ]


def logged_epochs(folder: str) -> list[float]:
    """Return the seconds from one val/acc of the newest run to the next, by its events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = max(
        Path(folder, "lightning_logs").glob("version_*"),
        key=lambda run: run.stat().st_ctime,
    )
    events = EventAccumulator(str(run)).Reload().Scalars("val/acc")
    return [after.wall_time - before.wall_time for before, after in pairwise(events)]


def bare(epochs: int) -> None:
    """Run the five lines over normalised images in memory: what eager PyTorch can do."""
    import torch
    from torch.nn.functional import cross_entropy

    from mlp_lightning import MLP, MNISTDataModule
    from mlp_lightning.mlp import normalise

    torch.manual_seed(42)
    data = MNISTDataModule()
    data.setup("fit")
    images, labels = (tensor[data.train_rows] for tensor in data.batches.args)
    images, model = normalise(images), MLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(images)).split(64):
            loss = cross_entropy(
                model(images.index_select(0, rows)), labels.index_select(0, rows)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {time.perf_counter() - start:.4f} s")


def floor(epochs: int, copies: int = 1) -> None:
    """Train by Lightning with all extras off, on this project's model and data, and validate."""
    from functools import partial

    import torch
    from lightning.pytorch import Trainer

    from mlp_lightning import MLPClassifier, MNISTDataModule

    class Copies(MNISTDataModule):
        def setup(self, stage: str) -> None:
            super().setup(stage)
            if copies == 1:
                return
            images, labels = self.batches.args
            tensors = images.repeat(copies, 1, 1), labels.repeat(copies)
            self.batches = partial(self.batches.func, *tensors, **self.batches.keywords)
            rows = [self.train_rows + len(labels) * copy for copy in range(copies)]
            self.train_rows = torch.cat(rows)

    class Timed(MLPClassifier):
        start = time.perf_counter()

        def on_validation_epoch_end(self) -> None:
            start, self.start = self.start, time.perf_counter()
            print(f"epoch {self.current_epoch}: {self.start - start:.4f} s", flush=True)

    torch.manual_seed(42)
    Trainer(barebones=True, accelerator="cpu", max_epochs=epochs).fit(Timed(), Copies())


def summary(samples: list[float]) -> str:
    return (
        f"{statistics.median(samples):.2f} ({min(samples):.2f} to {max(samples):.2f})"
    )


def compare(rounds: int, turns: int, folder: str) -> None:
    """Take turns, and print the table of the README."""
    imports = [*PYTHON, "-c", "import lightning.pytorch.cli, torchvision"]
    loop = [*PYTHON, str(HERE / "speed.py"), "--loop"]
    epochs: dict[str, list[float]] = {
        name: [] for name in ("tutorial", "bare", "floor", "fit")
    }
    wholes: dict[str, list[float]] = {
        name: [] for name in ("tutorial", "fit", "fit, test")
    }
    peak = 0.0
    for _ in range(rounds):
        seconds, _, text = run([*PYTHON, str(HERE / "tutorial.py")], folder)
        epochs["tutorial"] += printed_epochs(text)
        wholes["tutorial"].append(seconds)
        for _ in range(turns):
            for name in ("bare", "floor"):
                epochs[name] += printed_epochs(run([*loop, name], folder)[2])
            seconds, memory, _ = run(FIT, folder)
            peak = max(peak, memory)
            epochs["fit"] += logged_epochs(folder)
            wholes["fit"].append(seconds)
            wholes["fit, test"].append(seconds + run(TEST, folder)[0])
    median = {name: statistics.median(samples) for name, samples in epochs.items()}
    whole = {name: statistics.median(samples) for name, samples in wholes.items()}
    names = {
        "tutorial": "the tutorial's script",
        "bare": "a bare loop over tensors in memory",
        "floor": "Lightning's floor: `Trainer(barebones=True)`, validation included",
        "fit": "`fit`, everything included",
        "fit, test": "`fit`, then `test`",
    }
    print("| | seconds | times that of `fit` |\n|---|---|---|")
    for name, samples in epochs.items():
        ratio = median[name] / median["fit"]
        print(f"| an epoch of {names[name]} | {summary(samples)} | {ratio:.2f} |")
    for name, samples in wholes.items():
        ratio = whole[name] / whole["fit"]
        print(
            f"| the whole process of {names[name]} | {summary(samples)} | {ratio:.2f} |"
        )
    print()
    for slow, fast in (("tutorial", "fit"), ("fit", "floor"), ("fit", "bare")):
        fastest = min(epochs[slow]) / min(epochs[fast])
        print(
            f"{slow} / {fast}, per epoch: {median[slow] / median[fast]:.2f}, ", end=""
        )
        print(f"of the fastest epochs {fastest:.2f}")
    for name in ("fit", "fit, test"):
        print(
            f"tutorial / ({name}), whole process: {whole['tutorial'] / whole[name]:.2f}"
        )
    base = run(imports, folder)[1]
    print(f"peak memory of fit: {peak:.0f} MB, {peak - base:.0f} MB above its imports'")


def grow(all_copies: list[int], sizes: list[int], folder: str) -> None:
    """Print how time, of the best epoch, and memory grow with the work."""
    rows = []
    for copies in all_copies:
        words = ["--loop", "floor", "--epochs", "3", "--copies", str(copies)]
        _, peak, text = run([*PYTHON, str(HERE / "speed.py"), *words], folder)
        rows.append(
            (
                f"{copies} x 55,000 images, at the floor",
                copies,
                printed_epochs(text),
                peak,
            )
        )
    for size in sizes:
        hidden = f"[{size}, {size // 2}]"
        words = ["--model.hidden_sizes", hidden, "--trainer.max_epochs", "3"]
        _, peak, _ = run([*FIT, *words], folder)
        weights = 784 * size + size * size // 2 + size // 2 * 10
        rows.append(
            (f"`fit` with hidden_sizes {hidden}", weights, logged_epochs(folder), peak)
        )
    print("\n| | work | seconds per epoch | times the first | peak memory, MB |")
    print("|---|---|---|---|---|")
    for i, (name, work, seconds, peak) in enumerate(rows):
        _, first_work, first_seconds, _ = rows[
            0 if i < len(all_copies) else len(all_copies)
        ]
        best, growth = min(seconds), min(seconds) / min(first_seconds)
        print(
            f"| {name} | {work / first_work:.1f}x | {best:.2f} | {growth:.1f}x | {peak:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--quick", action="store_true", help="one round of one turn, less growth"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="without --quick (default: 3)"
    )
    parser.add_argument(
        "--loop", choices=("bare", "floor"), help="run this alone, here"
    )
    parser.add_argument(
        "--epochs", type=int, default=5, help="of the loop alone (default: 5)"
    )
    parser.add_argument(
        "--copies", type=int, default=1, help="of the images, at the floor"
    )
    options = parser.parse_args()
    if options.loop == "bare":
        return bare(options.epochs)
    if options.loop == "floor":
        return floor(options.epochs, options.copies)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning"))
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"
    rounds, turns = (1, 1) if options.quick else (options.rounds, 3)
    print(f"{packages}, Python {platform.python_version()}, {system}")
    print(
        f"{rounds} rounds with {turns} turns each; medians, and from the least to the most"
    )
    with TemporaryDirectory() as folder:
        run(
            [*FIT, "--trainer.limit_train_batches=1", "--trainer.max_epochs=1"], folder
        )  # unpacks
        compare(rounds, turns, folder)
        if options.quick:
            grow([1, 2], [128, 512], folder)
        else:
            grow([1, 2, 4, 8], [128, 256, 512, 1024, 2048], folder)


if __name__ == "__main__":
    main()
