"""Measure how well pictures of digits are read, compared with MNIST's own images.

    python benchmarks/handwriting.py CHECKPOINT CHECKPOINT CHECKPOINT --write

Pictures of the six kinds of benchmarks/pictures.py and of those of
benchmarks/hard_pictures.py are drawn from digits of the test set, and so are pictures
of several digits, which are to be refused. MNIST's own images are read as files. With
scikit-learn, its 1,797 digits of 8 x 8 pixels are read as well: handwriting that has
nothing to do with MNIST. `--write` puts the figures into docs/handwriting.md.
"""

import argparse
import statistics
from collections.abc import Iterable
from importlib.util import find_spec
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
from hard_pictures import draw_on_white, write_hard_pictures, write_several_digits
from pictures import KINDS, write_pictures
from PIL import Image
from report import DOCS, describe_setup, format_count, format_table, replace_figures
from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file

from mlp_lightning import MLPClassifier, MNISTDataModule

PAGE = DOCS / "handwriting.md"
TITLES = {
    "paper": "paper",
    "board": "board",
    "scan": "scan",
    "transparent": "transparent ink",
    "corner": "small, in a corner",
    "turned": "turned by EXIF",
    "frame": "in a printed frame",
    "lines": "between two printed lines",
    "ruled": "on ruled paper",
    "squared": "on squared paper",
    "cell": "in a cell of a form",
    "thin": "thin pen",
    "faint": "faint and tightly cropped",
    "tight": "a 1 or a 7, tightly cropped",
}
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
    return Digits(
        read_image_file(str(data.raw_dir / "t10k-images-idx3-ubyte")),
        read_label_file(str(data.raw_dir / "t10k-labels-idx1-ubyte")),
    )


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


def tabulate_kinds(results: dict[str, KindResult]) -> str:
    rows = []
    for kind, result in results.items():
        rows.append(
            [
                TITLES[kind],
                summarise_accuracies(result.answers.accuracies),
                summarise_accuracies(result.own_answers.accuracies),
                f"{result.lost:.2f}",
            ]
        )
    header = [
        "kind of picture",
        "accuracy, percent",
        "of the same digits as MNIST has them",
        "points lost",
    ]
    return format_table(header, rows)


def tabulate_hard_kinds(results: dict[str, KindResult]) -> str:
    rows = []
    for kind, result in results.items():
        errors = result.answers.errors
        refused = sum(error != "" for error in errors)
        accuracy = summarise_accuracies(result.answers.accuracies)
        rows.append([TITLES[kind], accuracy, f"{refused} of {len(errors)}"])
    header = ["kind of picture", "accuracy, percent", "refused"]
    return format_table(header, rows)


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
        f"refused as such. Of {options.single_digits:,} single digits, drawn enlarged "
        f"on white, {refused_as_several(single)} are taken for several."
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


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--count",
        type=int,
        help=f"of each kind (default: {COUNT}, and {HARD_COUNT} that are hard to read)",
    )
    parser.add_argument(
        "--single-digits",
        type=int,
        default=1000,
        metavar="COUNT",
        help="drawn enlarged, and as MNIST's own files (default: 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the pictures (default: 0)"
    )
    parser.add_argument(
        "--write", action="store_true", help="the figures into docs/handwriting.md"
    )
    options = parser.parse_args()
    if options.write and not find_spec("sklearn"):
        parser.error("--write needs scikit-learn: pip install scikit-learn")
    return options


def main() -> None:
    options = parse_options()
    models = [
        MLPClassifier.load_from_checkpoint(path, "cpu") for path in options.checkpoints
    ]
    test_set = read_test_set()
    results = measure_kinds(models, test_set, options)
    hard_results = measure_hard_kinds(models, test_set, options)
    setup = (
        f"{options.count or COUNT} pictures of each kind, "
        f"{options.count or HARD_COUNT} of each that is hard to read, drawn with seed "
        f"{options.seed}; {format_count(len(models), 'network')}. Measured on "
        f"{describe_setup()}."
    )
    figures = {
        "handwriting.py:table": tabulate_kinds(results),
        "handwriting.py:hard": tabulate_hard_kinds(hard_results),
        "handwriting.py:several": measure_several_digits(test_set, options),
        "handwriting.py:mnist": tabulate_mnist_files(models, test_set, options),
        "handwriting.py:setup": setup,
    }
    if find_spec("sklearn"):
        figures["handwriting.py:scikit-learn"] = measure_scikit_digits(models)
    for name, text in figures.items():
        print(text, end="\n\n")
        if options.write:
            replace_figures(PAGE, name, text)
    seconds = statistics.median(result.seconds for result in results.values())
    lost = [result.lost for result in results.values()]
    print(
        f"lost: {statistics.mean(lost):.2f} points on average, {max(lost):.2f} at most"
    )
    print(f"reading takes {seconds:.3f} seconds a picture")


if __name__ == "__main__":
    main()
