"""The names of the classes, to be shown."""

from collections.abc import Sequence

from lightning.pytorch import LightningModule

from mlp_lightning.info import get_info
from mlp_lightning.mlp import CLASS_NAMES


def get_names(model: LightningModule) -> list[str]:
    """Return the names of a model's classes, each in one line."""
    classes = get_info(model).classes
    return [clean_name(name) for name in classes]


def clean_name(name: str) -> str:
    """Return a name in one line."""
    words = name.split()
    return " ".join(words)


def name_kind(names: Sequence[str]) -> str:
    """Return what a class is called: a digit, if each of them is one."""
    has_digits = all(name in CLASS_NAMES for name in names)
    return "digit" if has_digits else "class"
