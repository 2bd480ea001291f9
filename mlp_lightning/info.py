"""What a network has to know of the images that it is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from mlp_lightning.mlp import CLASS_NAMES, MEAN, STD

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

    @property
    def title(self) -> str:
        """Return the name to show; of a folder no more than the last part."""
        return Path(self.name).absolute().name

    @property
    def shows_handwriting(self) -> bool:
        """Tell whether pictures of handwriting can be brought into the images' form."""
        return self.name in HANDWRITTEN


MNIST_INFO = DatasetInfo()


def get_info(model: LightningModule) -> DatasetInfo:
    """Return what a model knows of its images; of one that does not say, MNIST's."""
    info = getattr(model, "info", None)
    return info if isinstance(info, DatasetInfo) else MNIST_INFO
