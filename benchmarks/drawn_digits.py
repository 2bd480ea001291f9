"""Measure networks on digits of the test set, drawn as pictures of many kinds.

The options are those of handwriting.py.
"""

import argparse
import statistics
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy
import torch
from answers import (
    Answers,
    Reading,
    ask_networks,
    read_drawings,
    read_pictures,
    summarise_accuracies,
)
from hard_pictures import KINDS as HARD_KINDS
from hard_pictures import draw_on_white, write_hard_pictures
from pictures import KINDS, write_pictures
from PIL import Image
from report import format_table
from several_digits import write_several_digits
from torch import Tensor

from mlp_lightning import MLPClassifier, MNISTDataModule

COUNT = 500  # pictures of each of KINDS, unless --count says otherwise
HARD_COUNT = 300  # of each of HARD_KINDS, and of several digits
SEVERAL_DIGITS = "shows more than one digit"  # why a picture of them is refused

Models = list[MLPClassifier]


class Digits(NamedTuple):
    """Images, uint8 (n, 28, 28), and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def choose(self, count: int, seed: int) -> "Digits":
        """Return so many of the digits, chosen at random."""
        random = numpy.random.default_rng(seed)
        indices = random.permutation(len(self.labels))[:count]
        return Digits(self.images[indices], self.labels[indices])


class KindResult(NamedTuple):
    """What the networks make of the pictures of a kind."""

    answers: Answers
    own_answers: Answers  # to the same digits as MNIST has them
    seconds: float  # median of reading a picture

    @property
    def lost(self) -> float:
        """Points of accuracy that the pictures cost."""
        accuracy = statistics.mean(self.answers.accuracies)
        return statistics.mean(self.own_answers.accuracies) - accuracy


def read_test_set() -> Digits:
    data = MNISTDataModule()
    data.prepare_data()
    return Digits(*data.source.read("test"))


def measure_kinds(
    models: Models, test_set: Digits, options: argparse.Namespace
) -> dict[str, KindResult]:
    """Draw pictures of KINDS, read them, and ask the networks."""
    results = {}
    pixels = test_set.images.numpy()
    count = options.count or COUNT
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            written = write_pictures(pixels, Path(folder), kind, count, options.seed)
            results[kind] = measure_kind(models, test_set, written)
    return results


def measure_hard_kinds(
    models: Models, test_set: Digits, options: argparse.Namespace
) -> dict[str, KindResult]:
    """Draw pictures of HARD_KINDS, read them, and ask the networks."""
    results = {}
    pixels = test_set.images.numpy()
    labels = test_set.labels.numpy()
    count = options.count or HARD_COUNT
    for kind in HARD_KINDS:
        with TemporaryDirectory() as folder:
            written = write_hard_pictures(
                pixels, labels, Path(folder), kind, count, options.seed
            )
            results[kind] = measure_kind(models, test_set, written)
    return results


def measure_kind(
    models: Models, test_set: Digits, written: Iterable[tuple[Path, int]]
) -> KindResult:
    """Read pictures, each of a test image of this index, and ask the networks."""
    paths, indices = zip(*written, strict=True)
    reading = read_pictures(paths)
    images, labels = (part[list(indices)] for part in test_set)
    own_reading = Reading(images, [""] * len(images), seconds=0)
    return KindResult(
        ask_networks(models, reading, labels),
        ask_networks(models, own_reading, labels),
        reading.seconds,
    )


def measure_several_digits(test_set: Digits, options: argparse.Namespace) -> str:
    """Say how often several digits are refused, and one digit is for being several."""
    pixels = test_set.images.numpy()
    count = options.count or HARD_COUNT
    with TemporaryDirectory() as folder:
        written = write_several_digits(pixels, Path(folder), count, options.seed)
        several = read_pictures(written)
    digits = test_set.choose(options.single_digits, options.seed)
    single = read_drawings(draw_on_white(pixels) for pixels in digits.images.numpy())
    return (
        f"Of {count:,} pictures of several digits, {refused_as_several(several)} are "
        f"refused as such. Of {len(single.errors):,} single digits, drawn enlarged on "
        f"white, {refused_as_several(single)} are taken for several."
    )


def refused_as_several(reading: Reading) -> str:
    """Return the share of the pictures that were refused: "1.25 percent"."""
    refused = reading.errors.count(SEVERAL_DIGITS)
    return f"{100 * refused / len(reading.errors):.2f} percent"


def tabulate_mnist_files(
    models: Models, test_set: Digits, options: argparse.Namespace
) -> str:
    """Read MNIST's images as files, as they are and in black on white."""
    digits = test_set.choose(options.single_digits, options.seed)
    polarities = {
        "white on black": digits.images,
        "black on white": 255 - digits.images,
    }
    rows = []
    for title, images in polarities.items():
        reading = read_drawings(Image.fromarray(image.numpy()) for image in images)
        equal = (reading.images == digits.images).all(dim=(1, 2)).sum()
        answers = ask_networks(models, reading, digits.labels)
        accuracy = summarise_accuracies(answers.accuracies)
        rows.append([title, f"{equal:,} of {len(images):,}", accuracy])
    header = ["MNIST's own images", "equal to the last pixel", "accuracy, percent"]
    return format_table(header, rows)


def measure_scikit_digits(models: Models) -> str:
    """Read scikit-learn's digits of 8 x 8 pixels, as pictures of 64 x 64."""
    from sklearn.datasets import load_digits

    found = load_digits()
    levels = (found.images * 255 / 16).round().astype(numpy.uint8)
    small = [Image.fromarray(pixels) for pixels in levels]
    reading = read_drawings(
        picture.resize((64, 64), Image.Resampling.BICUBIC) for picture in small
    )
    answers = ask_networks(models, reading, torch.from_numpy(found.target))
    return (
        f"scikit-learn's {len(small):,} digits of 8 by 8 pixels: "
        f"{summarise_accuracies(answers.accuracies)} percent."
    )
