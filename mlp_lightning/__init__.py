"""The reference multilayer perceptron on MNIST, as a PyTorch Lightning project."""

from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.mlp import MLP

__all__ = ["MLP", "MLPClassifier", "MNISTDataModule"]
