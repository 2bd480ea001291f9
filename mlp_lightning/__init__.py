"""The reference multilayer perceptron on MNIST, as a PyTorch Lightning project."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["MLP", "MLPClassifier", "MNISTDataModule"]

if TYPE_CHECKING:
    from mlp_lightning.classifier import MLPClassifier
    from mlp_lightning.data import MNISTDataModule
    from mlp_lightning.mlp import MLP
else:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is asked for: torch and Lightning take seconds."""
        rooms = {"MLP": "mlp", "MLPClassifier": "classifier", "MNISTDataModule": "data"}
        if name not in rooms:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{rooms[name]}"), name)
