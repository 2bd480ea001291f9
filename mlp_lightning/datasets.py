"""The data sets that a network can be trained on, and what it has to know of each."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
from mlp_lightning.mlp import CLASS_NAMES, MEAN, STD

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
# Their images have MNIST's form, which handwriting.py brings pictures into.
HANDWRITTEN = ("MNIST", "QMNIST")


@dataclass(frozen=True)
class DatasetInfo:
    """What a network has to know of the images that it is trained on.

    Attributes:
        name: Of the data set, or the folder of one's own.
        classes: What the images show; labels count from 0 in this order.
        mean: Of all pixels of the training images, scaled to [0, 1].
        std: Their standard deviation.
    """

    name: str = "MNIST"
    classes: tuple[str, ...] = CLASS_NAMES
    mean: float = MEAN
    std: float = STD

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "DatasetInfo":
        """Return what a checkpoint holds as plain data."""
        info = cls(**settings)
        return replace(info, classes=tuple(info.classes))

    def check(self, found: "DatasetInfo") -> None:
        """Raise SettingError if a network that is for these images is given others."""
        if replace(found, name=self.name) == self:
            return
        if may_be_same(self.name, found.name):
            text = f"the images of {found.name} are not those that the network is for"
            advice = "bring them back, or begin a new run"
        else:
            text = f"the network is for {self.name}, and the images are {found.name}"
            advice = "give it the data module's `info`"
        raise SettingError(f"dataset: {text}: {advice}")

    @property
    def shows_handwriting(self) -> bool:
        """Tell whether pictures of handwriting can be brought into the images' form."""
        return self.name in HANDWRITTEN


MNIST_INFO = DatasetInfo()


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


KNOWN = {
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
    return one == other or (one not in KNOWN and other not in KNOWN)


def open_dataset(name: str, data_dir: str, classes: Sequence[str] = ()) -> ImageSource:
    """Return where the images of a data set come from.

    Args:
        name: A key of KNOWN, or the folder of one's own pictures.
        data_dir: Where downloads are kept.
        classes: Those that a folder must have; none: those that it has.

    Raises:
        SettingError: If there is no such data set.
    """
    if name in KNOWN:
        return DownloadedImages(name, KNOWN[name], data_dir)
    folder = os.path.expanduser(name)
    if not classes and not os.path.isdir(folder):
        names = ", ".join(KNOWN)
        raise SettingError(f"dataset: must be {names} or a folder, got {name}")
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
