"""Measure how well pictures of digits are read, compared with MNIST's own images.

    python benchmarks/handwriting.py CHECKPOINT CHECKPOINT CHECKPOINT --write

Pictures of the six kinds of benchmarks/pictures.py are drawn from digits of the test
set. With scikit-learn, its 1,797 digits of 8 x 8 pixels are read as well: handwriting
that has nothing to do with MNIST. `--write` puts the figures into docs/handwriting.md.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy
import torch
from pictures import KINDS, write_pictures
from PIL import Image
from report import DOCS, describe_setup, format_count, format_table, replace_figures
from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.handwriting import PictureLoader, read_digit

PAGE = DOCS / "handwriting.md"
TITLES = {
    "paper": "paper",
    "board": "board",
    "scan": "scan",
    "transparent": "transparent ink",
    "corner": "small, in a corner",
    "turned": "turned by EXIF",
}


class Digits(NamedTuple):
    """Images, uint8 (n, 28, 28), and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor


class KindResult(NamedTuple):
    """What each network makes of the pictures of a kind; accuracies in percent."""

    accuracies: list[float]
    own_accuracies: list[float]  # of the same digits as MNIST has them
    seconds: float  # median of reading a picture

    @property
    def lost(self) -> float:
        """Points of accuracy that the pictures cost."""
        return statistics.mean(self.own_accuracies) - statistics.mean(self.accuracies)


def read_test_set() -> Digits:
    data = MNISTDataModule()
    data.prepare_data()
    return Digits(
        read_image_file(str(data.raw_dir / "t10k-images-idx3-ubyte")),
        read_label_file(str(data.raw_dir / "t10k-labels-idx1-ubyte")),
    )


def measure_accuracies(models: list[MLPClassifier], digits: Digits) -> list[float]:
    """Return the accuracy of each network, in percent."""
    accuracies = []
    for model in models:
        answers = model.probabilities(digits.images).argmax(dim=1)
        correct = answers == digits.labels
        accuracies.append(100 * correct.double().mean().item())
    return accuracies


def measure_kind(
    kind: str, models: list[MLPClassifier], test_set: Digits, count: int, seed: int
) -> KindResult:
    """Draw pictures of a kind, read them, and ask the networks."""
    indices: list[int] = []
    images: list[Tensor] = []
    seconds: list[float] = []
    with TemporaryDirectory() as folder:
        pixels = test_set.images.numpy()
        for path, index in write_pictures(pixels, Path(folder), kind, count, seed):
            start = time.perf_counter()
            # If no digit is found, the image is black, and its answer is as good as a
            # guess.
            (image, _, _), *_ = PictureLoader([str(path)])
            seconds.append(time.perf_counter() - start)
            images.append(image)
            indices.append(index)
    labels = test_set.labels[indices]
    return KindResult(
        measure_accuracies(models, Digits(torch.cat(images), labels)),
        measure_accuracies(models, Digits(test_set.images[indices], labels)),
        statistics.median(seconds),
    )


def tabulate_kinds(results: dict[str, KindResult]) -> str:
    rows = []
    for kind, result in results.items():
        rows.append(
            [
                TITLES[kind],
                summarise_accuracies(result.accuracies),
                summarise_accuracies(result.own_accuracies),
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


def summarise_accuracies(accuracies: Sequence[float]) -> str:
    """Return the mean and, of several networks, the range: "98.07 (97.8 to 98.4)"."""
    mean = f"{statistics.mean(accuracies):.2f}"
    if len(accuracies) == 1:
        return mean
    return f"{mean} ({min(accuracies):.1f} to {max(accuracies):.1f})"


def read_scikit_digits() -> Digits:
    """Return scikit-learn's digits of 8 x 8 pixels, read as pictures of 64 x 64."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = []
    with TemporaryDirectory() as folder:
        path = Path(folder, "digit.png")
        for pixels in found.images:
            levels = (pixels * 255 / 16).round().astype(numpy.uint8)
            picture = Image.fromarray(levels)
            picture.resize((64, 64), Image.Resampling.BICUBIC).save(path)
            images.append(read_digit(path))
    return Digits(torch.stack(images), torch.from_numpy(found.target))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--count", type=int, default=500, help="of each kind (default: 500)"
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
    results = {
        kind: measure_kind(kind, models, test_set, options.count, options.seed)
        for kind in KINDS
    }
    setup = (
        f"{options.count} pictures of each kind, drawn with seed {options.seed}; "
        f"{format_count(len(models), 'network')}. Measured on {describe_setup()}."
    )
    figures = {
        "handwriting.py:table": tabulate_kinds(results),
        "handwriting.py:setup": setup,
    }
    if find_spec("sklearn"):
        digits = read_scikit_digits()
        accuracies = measure_accuracies(models, digits)
        figures["handwriting.py:scikit-learn"] = (
            f"scikit-learn's {len(digits.labels):,} digits of 8 by 8 pixels: "
            f"{summarise_accuracies(accuracies)} percent."
        )
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
