"""Pictures of one's own as a data set: a folder with a folder for each class."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mlp_lightning.batches import IMAGE_SIDE
from mlp_lightning.errors import SettingError, print_rank_zero
from mlp_lightning.pictures import FilePath, PictureError, open_picture

MAX_ASPECT_RATIO = 2 * IMAGE_SIDE
BLACK = 0  # beside a picture that is not square
MIN_CLASSES = 2
LAYOUT = "train/CLASS/PICTURE and test/CLASS/PICTURE"


class PictureFolder:
    """The pictures in `train/<class>/` and `test/<class>/` of a folder."""

    def __init__(self, folder: str, classes: Sequence[str] = ()) -> None:
        """Find out the classes; no picture is read yet.

        Args:
            folder: Holds the two folders.
            classes: The names that the folders of the classes must have, in the order
                of the labels; none: those of `train`, sorted.

        Raises:
            SettingError: If there are less than two classes.
        """
        self.folder = Path(folder)
        self.classes = tuple(classes) or self.list_classes("train")
        if len(self.classes) < MIN_CLASSES:
            text = f"{folder} must hold {LAYOUT}, with {MIN_CLASSES} classes or more"
            raise SettingError(f"dataset: {text}")
        self.check_classes("test")

    def list_classes(self, part: str) -> tuple[str, ...]:
        """Return the names of the folders in a part, sorted.

        Raises:
            SettingError: If a name is not Unicode, as text everywhere else has to be.
        """
        folders = [path for path in list_visible(self.folder / part) if path.is_dir()]
        for path in folders:
            if not path.name.isprintable():
                text = f"{os.fsencode(path)!r} has a name that cannot be printed"
                raise SettingError(f"dataset: {text}")
        return tuple(path.name for path in folders)

    def check_classes(self, part: str) -> None:
        """Raise SettingError if a part has other classes than there are."""
        for name in self.list_classes(part):
            if name not in self.classes:
                known = ", ".join(self.classes)
                text = f"{self.folder / part / name} is none of the classes {known}"
                raise SettingError(f"dataset: {text}")

    def prepare(self) -> None:
        """Say if there are no test images; all else is where the user has put it."""
        folder = self.folder / "test"
        if self.folder.is_dir() and not folder.is_dir():
            print_rank_zero(f"There is no {folder}: test and export will need it")

    def read(self, part: str) -> tuple[Tensor, Tensor]:
        """Return the images, uint8 (n, 28, 28), and labels, int64 (n,), of a part.

        Args:
            part: train or test.

        Raises:
            SettingError: If a class has no training picture, if there is no picture at
                all, if a file is none, or a class not one of the training pictures'.
        """
        if not self.folder.is_dir():
            text = f"{self.folder} is gone: say where it is now"
            raise SettingError(f"dataset: {text}, as --data.dataset NEW/PLACE")
        self.check_classes(part)
        images = []
        labels = []
        for label, name in enumerate(self.classes):
            paths = list(list_visible(self.folder / part / name))
            if part == "train" and not paths:
                text = f"no picture in {self.folder / part / name}"
                raise SettingError(f"dataset: {text}")
            for path in paths:
                images.append(read_file(path))
                labels.append(label)
        if not images:
            raise SettingError(f"dataset: no picture in {self.folder / part}")
        return torch.stack(images), torch.tensor(labels)


def list_visible(folder: Path) -> Iterator[Path]:
    """Return what a folder holds, sorted by name, without hidden files; it may lack."""
    if not folder.is_dir():
        return iter(())
    paths = sorted(folder.iterdir())
    return (path for path in paths if not path.name.startswith("."))


def read_file(path: Path) -> Tensor:
    """Return a picture of the data set; raise SettingError if it cannot be read."""
    try:
        return read_picture(path)
    except PictureError as error:
        raise SettingError(f"dataset: {path} {error}") from error


def read_picture(path: FilePath) -> Tensor:
    """Return a picture as it is, grey, in 28 x 28 pixels: uint8 (28, 28).

    Its aspect ratio is kept: what is missing to a square is black, as the background of
    MNIST is. What is dark stays dark: a picture with dark ink on white paper differs
    from MNIST in this.

    Raises:
        PictureError: If Pillow cannot read the file, or if the picture has too many
            pixels, or would be less than half a pixel wide.
    """
    picture = open_picture(path)
    if max(picture.size) >= MAX_ASPECT_RATIO * min(picture.size):
        raise PictureError(f"is {MAX_ASPECT_RATIO} times as long as wide, or more")
    size = (IMAGE_SIDE, IMAGE_SIDE)
    if picture.size != size:
        picture = ImageOps.pad(picture, size, Image.Resampling.BOX, BLACK)
    levels = numpy.asarray(picture).round()
    return torch.from_numpy(levels.clip(0, 255).astype(numpy.uint8))
