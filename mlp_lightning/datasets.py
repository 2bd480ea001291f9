"""The data sets that a network can be trained on."""

import difflib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor
from torchvision.datasets import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST

from mlp_lightning.downloads import (
    Download,
    DownloadedImages,
    FilePair,
    shift_letters,
    take_first_column,
    transpose_images,
)
from mlp_lightning.errors import SettingError
from mlp_lightning.folders import PictureFolder
from mlp_lightning.info import DatasetInfo
from mlp_lightning.mlp import CLASS_NAMES

# Of the unpacked files; torchvision knows those of the archives alone.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
TRAINING_FILES = FilePair("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_FILES = FilePair("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class ImageSource(Protocol):
    """Where the images of a data set come from."""

    classes: tuple[str, ...]

    def prepare(self) -> None:
        """Make sure that the files are there, undamaged."""

    def read(self, part: str) -> tuple[Tensor, Tensor]:
        """Return the images, uint8 (n, 28, 28), and labels, int64 (n,), of a part.

        Args:
            part: train or test.
        """


def describe_emnist(split: str) -> Download:
    """Return one of EMNIST's data sets, which lie in one archive."""
    train = f"emnist-{split}-train"
    test = f"emnist-{split}-test"
    classes = EMNIST.classes_split_dict[split]
    arrange = transpose_images
    if split == "letters":
        classes = classes[1:]  # The first, N/A, has no images.
        arrange = shift_letters
    return Download(
        EMNIST,
        tuple(classes),
        FilePair(f"{train}-images-idx3-ubyte", f"{train}-labels-idx1-ubyte"),
        FilePair(f"{test}-images-idx3-ubyte", f"{test}-labels-idx1-ubyte"),
        calls=({"split": split},),
        arrange=arrange,
    )


DATASETS = {
    "MNIST": Download(MNIST, CLASS_NAMES, TRAINING_FILES, TEST_FILES, MNIST_MD5),
    "FashionMNIST": Download(
        FashionMNIST,
        tuple(FashionMNIST.classes),
        TRAINING_FILES,
        TEST_FILES,
        FASHION_MD5,
    ),
    "KMNIST": Download(KMNIST, tuple(KMNIST.classes), TRAINING_FILES, TEST_FILES),
    "QMNIST": Download(
        QMNIST,
        CLASS_NAMES,
        FilePair("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
        # All 60,000 test images; the first 10,000 are what MNIST has, made anew.
        FilePair("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        calls=({"what": "train"}, {"what": "test"}),
        arrange=take_first_column,
    ),
    "EMNIST-digits": describe_emnist("digits"),
    "EMNIST-letters": describe_emnist("letters"),
    "EMNIST-balanced": describe_emnist("balanced"),
}


def may_be_same(one: str, other: str) -> bool:
    """Tell whether two names may be of one data set: a folder may have moved."""
    return one == other or (one not in DATASETS and other not in DATASETS)


def check_same_images(expected: DatasetInfo, found: DatasetInfo) -> None:
    """Raise SettingError if a network is given other images than it is for.

    Args:
        expected: What the network knows of its images.
        found: What these images are.
    """
    if replace(found, name=expected.name) == expected:
        return
    if not may_be_same(expected.name, found.name):
        text = f"the network is for {expected.name}, and the images are {found.name}"
        advice = "give it the data module's `info`"
    elif expected.classes != found.classes:
        text = f"the classes of {found.name} are {', '.join(found.classes)}"
        advice = f"the network is for {', '.join(expected.classes)}"
    else:
        text = f"the images of {found.name} are not those that the network is for"
        advice = "bring them back, or begin a new run"
    raise SettingError(f"dataset: {text}: {advice}")


def open_dataset(name: str, data_dir: str, classes: Sequence[str] = ()) -> ImageSource:
    """Return where the images of a data set come from.

    Args:
        name: A key of DATASETS, or the folder of one's own pictures.
        data_dir: Where downloads are kept.
        classes: Those that a folder must have; none: those that it has.

    Raises:
        SettingError: If there is no such data set.
    """
    if name in DATASETS:
        return DownloadedImages(name, DATASETS[name], data_dir)
    folder = os.path.expanduser(name)
    if not classes and not os.path.isdir(folder):
        names = ", ".join(DATASETS)
        similar = difflib.get_close_matches(name, DATASETS, 1)
        question = f"; did you mean {similar[0]}?" if similar else ""
        text = f"must be {names} or a folder, got {name}{question}"
        raise SettingError(f"dataset: {text}")
    return PictureFolder(folder, classes)


def measure_images(images: Tensor) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels, scaled to [0, 1].

    They are computed in whole numbers, from how many pixels have which level. So they
    are the same on all machines, and a training can go on anywhere.

    Args:
        images: uint8, (n, 28, 28).

    Raises:
        SettingError: If all pixels are alike.
    """
    counts = torch.bincount(images.flatten(), minlength=256).tolist()
    pixels = sum(counts)
    total = sum(level * count for level, count in enumerate(counts))
    squares = sum(level**2 * count for level, count in enumerate(counts))
    scale = 255 * pixels
    mean = total / scale
    variance = (squares * pixels - total**2) / scale**2
    if variance == 0:
        raise SettingError("dataset: all pixels of its training images are alike")
    return mean, math.sqrt(variance)
