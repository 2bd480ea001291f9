"""How long it takes to distort 60,000 images in batches of 256, here and by libraries.

    python benchmarks/augmentation.py

The same kind of distortion by mlp_lightning, by torchvision.transforms.v2, which draws one for a
whole batch and so is called image by image, and, where it is installed, by kornia. Rounds are
interleaved; median seconds for 60,000 images, from the least to the most. torchvision distorts
the first 2,000 of them.
"""

import argparse
import platform
import statistics
import time
from contextlib import suppress

import torch
from torch import Tensor
from torchvision.transforms import v2

from mlp_lightning import MNISTDataModule
from mlp_lightning.augment import Augmentation

AUGMENTATION = Augmentation(rotation=12, scale=0.15, shear=0.15, shift=1.5, elastic=45)


def ours(images: Tensor, number: int) -> Tensor:
    return AUGMENTATION(images, (42, 0, number), len(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    options = parser.parse_args()
    data = MNISTDataModule()
    data.prepare_data()
    data.setup("fit")
    digits = data.batches.args[0]
    torch.manual_seed(0)
    degrees = [-8.53, 8.53]  # whose tangent is 0.15
    settings = {"degrees": 12, "translate": (1.5 / 28, 1.5 / 28), "scale": (0.85, 1.15)}
    theirs = v2.Compose(
        [v2.RandomAffine(**settings, shear=degrees), v2.ElasticTransform(45.0, 6.0)]
    )
    ways = {
        "mlp_lightning": (ours, len(digits)),
        "torchvision.transforms.v2": (
            lambda images, _: [theirs(image.unsqueeze(0)) for image in images],
            2_000,
        ),
    }
    with suppress(ImportError):
        from kornia.augmentation import RandomAffine, RandomElasticTransform

        affine = RandomAffine(**settings, shear=degrees, p=1.0)
        elastic = RandomElasticTransform(
            (37, 37), (6.0, 6.0), (45 / 14, 45 / 14), p=1.0
        )
        ways["kornia"] = (
            lambda images, _: elastic(affine(images.unsqueeze(1) / 255)),
            len(digits),
        )
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (distort, count) in ways.items():
            start = time.perf_counter()
            for number, images in enumerate(digits[:count].split(256)):
                distort(images, number)
            times[name].append((time.perf_counter() - start) * len(digits) / count)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, ", end="")
    print(f"{torch.get_num_threads()} CPU cores, {options.rounds} rounds")
    for name, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(
            f"{name}: {statistics.median(seconds):.2f} s ({spread}) for 60,000 images"
        )


if __name__ == "__main__":
    main()
