"""Try settings for configs/record.yaml on validation images, and log what they give.

    python benchmarks/record.py "elastic 30" -- --data.augmentation.elastic=30

trains the config with these options of `fit` on 50,000 images, with two seeds, and
measures on the 10,000 others, on the CPU. The test images are left alone. Each training
adds a row to docs/record.csv, under the name given first. `--write` shows all rows in
docs/record.md.

A training is measured by the loss, too: errors are too few to tell settings apart, for
chance moves five of 60. It is measured on the validation images as they are, and under
ten mild distortions, the same for all, and on 10,000 of the images trained on.

If anything stops the program, the same command goes on where it was, even within a
training. The runs stay in lightning_logs/record until somebody deletes them.
"""

import argparse
import csv
import shlex
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from accuracy import QUIET, TIMER, hash_experiment, read_timer
from commands import PROGRAM
from report import DOCS, ROOT, describe_setup, format_table, replace_figures
from torch import Tensor
from torch.nn.functional import cross_entropy

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.augment import Augmentation
from mlp_lightning.mlp import normalise

CONFIG = ROOT / "configs" / "record.yaml"
RUNS = ROOT / "lightning_logs" / "record"
LOG = DOCS / "record.csv"
PAGE = DOCS / "record.md"
VAL_SIZE = 10_000
TRAIN_SIZE = 10_000  # images trained on that are measured
MILD = Augmentation(rotation=6, scale=0.08, shear=0.08, shift=0.5, elastic=20)
MILD_DISTORTIONS = 10
DATA_DIR = ROOT / "data"
BASE = [
    f"--config={CONFIG}",
    f"--data.data_dir={DATA_DIR}",
    f"--data.val_size={VAL_SIZE}",
    "--trainer.precision=bf16-mixed",
    "--trainer.accelerator=cpu",
]
TITLES = [
    "tried",
    "epochs",
    "seeds",
    "errors",
    "val/loss",
    "the same, distorted",
    "train/loss",
    "minutes",
]


class Trial(NamedTuple):
    """A row of the log: what one training gave. Losses are mean cross-entropies."""

    name: str
    epochs: int
    seed: int
    errors: int  # of the validation images
    val_loss: float
    mild_loss: float  # of the validation images, mildly distorted
    train_loss: float  # of images trained on, as they are
    minutes: float  # of training
    options: str  # of `fit`, beside BASE
    setup: str


class Images(NamedTuple):
    """Images, uint8, (n, 28, 28), and their labels, int64, (n,)."""

    pixels: Tensor
    labels: Tensor


def train(folder: Path, options: Sequence[str]) -> Path:
    """Train in a folder, or go on there, and return the checkpoint of the end."""
    run = folder / "lightning_logs" / "version_0"
    words = ["--ckpt_path=last"] if run.exists() else [*options, *TIMER]
    words += [*QUIET, f"--trainer.default_root_dir={folder}"]
    subprocess.run([*PROGRAM, "fit", *words], check=True)
    return run / "checkpoints" / "last.ckpt"


def read_images() -> tuple[Images, Images]:
    """Return the validation images, and some of those trained on."""
    data = MNISTDataModule(str(DATA_DIR), val_size=VAL_SIZE)
    data.prepare_data()
    data.setup("fit")
    pixels, labels = data.training_set.tensors
    val_rows = data.val_rows
    train_rows = data.train_rows[:TRAIN_SIZE]
    return (
        Images(pixels[val_rows], labels[val_rows]),
        Images(pixels[train_rows], labels[train_rows]),
    )


@torch.no_grad()
def measure_loss(model: MLPClassifier, images: Images) -> tuple[float, int]:
    """Return the mean loss, and how many answers are wrong."""
    logits = model(normalise(images.pixels))  # (n, 10)
    wrong = logits.argmax(dim=1) != images.labels
    return cross_entropy(logits, images.labels).item(), int(wrong.sum())


def measure_mild_loss(model: MLPClassifier, images: Images) -> float:
    """Return the mean loss over the ten mild distortions."""
    pixels, labels = images
    total = 0.0
    for number in range(MILD_DISTORTIONS):
        distorted = MILD(pixels, (number,), len(pixels))
        loss, _ = measure_loss(model, Images(distorted, labels))
        total += loss
    return total / MILD_DISTORTIONS


def try_settings(name: str, seed: int, options: Sequence[str]) -> Trial:
    """Train with a seed, and measure what comes of it."""
    settings = shlex.join(options)
    # The folder's name depends on the code, too: after a change, a run starts anew.
    folder = RUNS / hash_experiment(CONFIG, seed, settings)
    checkpoint = train(folder, [*BASE, *options, f"--seed_everything={seed}"])
    content = torch.load(checkpoint, weights_only=True)
    model = MLPClassifier.load_from_checkpoint(checkpoint).eval()
    val_images, train_images = read_images()
    val_loss, errors = measure_loss(model, val_images)
    train_loss, _ = measure_loss(model, train_images)
    return Trial(
        name=name,
        epochs=content["epoch"],  # finished
        seed=seed,
        errors=errors,
        val_loss=round(val_loss, 5),
        mild_loss=round(measure_mild_loss(model, val_images), 5),
        train_loss=round(train_loss, 5),
        minutes=round(read_timer(content["callbacks"]) / 60, 1),
        options=settings,
        setup=describe_setup(),
    )


def add_row(trial: Trial) -> None:
    """Add a training to the log."""
    with LOG.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(trial)


def read_log() -> list[dict[str, str]]:
    """Return the rows of the log."""
    with LOG.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_page() -> None:
    """Show the log in docs/record.md, one row for each settings and length."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read_log():
        groups.setdefault((row["name"], row["epochs"]), []).append(row)
    rows = [
        [
            name,
            epochs,
            ", ".join(sorted(row["seed"] for row in trials)),
            average(trials, "errors", 1),
            average(trials, "val_loss", 4),
            average(trials, "mild_loss", 4),
            average(trials, "train_loss", 4),
            average(trials, "minutes", 1),
        ]
        for (name, epochs), trials in groups.items()
    ]
    replace_figures(PAGE, "record.py:log", format_table(TITLES, rows))


def average(trials: Sequence[dict[str, str]], column: str, digits: int) -> str:
    """Return the mean of a column over seeds."""
    mean = statistics.mean(float(trial[column]) for trial in trials)
    return f"{mean:.{digits}f}"


def is_logged(name: str, seed: int, options: Sequence[str]) -> bool:
    """Return whether the log has this training."""
    wanted = (name, str(seed), shlex.join(options))
    return wanted in [(row["name"], row["seed"], row["options"]) for row in read_log()]


def parse_words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("name", nargs="?", help="what is tried, in a few words")
    parser.add_argument("options", nargs="*", help="options of `fit`, after --")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="0 to N-1")
    parser.add_argument("--write", action="store_true", help="docs/record.md")
    words = parser.parse_args()
    if not words.name and not words.write:
        parser.error("what is tried? Give it a name")
    return words


def main() -> None:
    words = parse_words()
    for seed in range(words.seeds if words.name else 0):
        if is_logged(words.name, seed, words.options):
            continue
        trial = try_settings(words.name, seed, words.options)
        print(trial)
        add_row(trial)
    if words.write:
        write_page()


if __name__ == "__main__":
    main()
