"""Measure how long it takes to distort 60,000 images, here and by other libraries.

    python benchmarks/augmentation.py --write   # needs kornia; writes docs/speed.md

The same kind of distortion by mlp_lightning, by kornia, and by
torchvision.transforms.v2, in batches of 256. torchvision draws one distortion for a
whole batch and so is called image by image, on the first 2,000 images only. Rounds take
turns; the figures are seconds for 60,000 images, the median and the range.
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from report import (
    DOCS,
    describe_setup,
    format_count,
    format_table,
    replace_figures,
    summarise,
)
from torch import Tensor
from torchvision.transforms import v2

from mlp_lightning import MNISTDataModule
from mlp_lightning.augment import Augmentation

AUGMENTATION = Augmentation(rotation=12, scale=0.15, shear=0.15, shift=1.5, elastic=45)
# The same settings in the units of the other two libraries.
SHEAR_DEGREES = [-8.53, 8.53]  # whose tangent is 0.15
MOVE = 1.5 / 28  # of the image's side
AFFINE: dict[str, Any] = {
    "degrees": 12,
    "translate": (MOVE, MOVE),
    "scale": (0.85, 1.15),
    "shear": SHEAR_DEGREES,
}
ALPHA = 45 / 14  # kornia counts in halves of the image
BATCH_SIZE = 256


class Library(NamedTuple):
    """How a library distorts a batch, and how many images it gets."""

    distort: Callable[[Tensor, int], object]  # images and the number of their batch
    size: int


def build_ours(count: int) -> Library:
    def distort(images: Tensor, number: int) -> Tensor:
        return AUGMENTATION(images, (42, 0, number), len(images))

    return Library(distort, count)


def build_torchvision() -> Library:
    affine = v2.RandomAffine(**AFFINE)
    elastic = v2.ElasticTransform(alpha=45.0, sigma=6.0)
    transform = v2.Compose([affine, elastic])

    def distort(images: Tensor, number: int) -> list[Tensor]:
        return [transform(image.unsqueeze(0)) for image in images]

    return Library(distort, 2_000)


def build_kornia(count: int) -> Library:
    from kornia.augmentation import RandomAffine, RandomElasticTransform

    affine = RandomAffine(**AFFINE, p=1.0)
    elastic = RandomElasticTransform(
        kernel_size=(37, 37), sigma=(6.0, 6.0), alpha=(ALPHA, ALPHA), p=1.0
    )

    def distort(images: Tensor, number: int) -> object:
        return elastic(affine(images.unsqueeze(1) / 255))

    return Library(distort, count)


def measure_seconds(library: Library, digits: Tensor) -> float:
    """Return the seconds that a library takes for all digits."""
    batches = digits[: library.size].split(BATCH_SIZE)
    start = time.perf_counter()
    for number, images in enumerate(batches):
        library.distort(images, number)
    seconds = time.perf_counter() - start
    return seconds * len(digits) / library.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--write", action="store_true", help="the figures into docs/speed.md"
    )
    options = parser.parse_args()
    if options.write and not find_spec("kornia"):
        parser.error("--write needs kornia: pip install kornia")
    data = MNISTDataModule()
    data.prepare_data()
    data.setup("fit")
    digits = data.training_set.tensors[0]  # uint8 (60000, 28, 28)
    torch.manual_seed(0)
    libraries = {"mlp_lightning": build_ours(len(digits))}
    if find_spec("kornia"):
        libraries[f"kornia {version('kornia')}"] = build_kornia(len(digits))
    libraries[f"torchvision {version('torchvision')}"] = build_torchvision()
    seconds: dict[str, list[float]] = {name: [] for name in libraries}
    for _ in range(options.rounds):
        for name, library in libraries.items():
            seconds[name].append(measure_seconds(library, digits))
    rows = [[name, summarise(samples)] for name, samples in seconds.items()]
    table = format_table(["", "seconds for 60,000 images"], rows)
    setup = f"{format_count(options.rounds, 'round')} on {describe_setup()}."
    print(table, setup, sep="\n\n")
    if options.write:
        text = f"{table}\n\n{setup}"
        replace_figures(DOCS / "speed.md", "augmentation.py:table", text)


if __name__ == "__main__":
    main()
