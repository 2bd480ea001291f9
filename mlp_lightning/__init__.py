"""The reference multilayer perceptron on MNIST, as a PyTorch Lightning project."""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["MLP", "MLPClassifier", "MNISTDataModule"]

if TYPE_CHECKING:
    from mlp_lightning.classifier import MLPClassifier
    from mlp_lightning.data import MNISTDataModule
    from mlp_lightning.mlp import MLP
else:
    MODULES = {"MLP": "mlp", "MLPClassifier": "classifier", "MNISTDataModule": "data"}

    def __getattr__(name: str) -> object:
        """Import a public name when it is asked for: torch takes seconds."""
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
