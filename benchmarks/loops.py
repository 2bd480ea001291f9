"""Train without the command line, and print the seconds of each epoch, for speed.py.

python benchmarks/loops.py bare      # eager PyTorch on images in memory
python benchmarks/loops.py floor     # the least that Lightning's Trainer needs
python benchmarks/loops.py ours      # this project's model and data, all extras off
"""

import argparse
import time
from collections.abc import Iterator

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from mlp_lightning import MLP, MLPClassifier, MNISTDataModule
from mlp_lightning.mlp import normalise

Batch = tuple[Tensor, Tensor]
BATCH_SIZE = 64
EVAL_BATCH_SIZE = 1_000


class Batches:
    """The shortest data loader: normalised images in memory, in a random order."""

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int) -> None:
        self.images = normalise(images)
        self.labels = labels
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.labels))
        for rows in order.split(self.batch_size):
            yield self.images.index_select(0, rows), self.labels.index_select(0, rows)


class Stopwatch(LightningModule):
    """Prints the seconds from the end of one validation to the end of the next."""

    def on_fit_start(self) -> None:
        self.start = time.perf_counter()

    def on_validation_end(self) -> None:
        end = time.perf_counter()
        print(f"epoch {self.current_epoch}: {end - self.start:.4f} s", flush=True)
        self.start = end


class MinimalModule(Stopwatch):
    """The shortest LightningModule that trains, and counts what it gets right."""

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module = MLP()
        self.correct = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        return cross_entropy(self.network(images), labels)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        digits = self.network(images).argmax(dim=1)
        self.correct += int((digits == labels).sum())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class RepeatedMNIST(MNISTDataModule):
    """MNIST with several copies of each training image."""

    copies = 1

    def setup(self, stage: str) -> None:
        super().setup(stage)
        images, labels = self.training_set.tensors
        starts = torch.arange(self.copies) * len(labels)
        self.training_set = TensorDataset(
            images.repeat(self.copies, 1, 1), labels.repeat(self.copies)
        )
        self.train_rows = (starts[:, None] + self.train_rows).flatten()


class TimedClassifier(Stopwatch, MLPClassifier):
    """This project's model, which prints the seconds of each epoch."""


def read_batches() -> tuple[Batches, Batches]:
    """Return the 55,000 training images and the 5,000 for validation."""
    data = MNISTDataModule()
    data.prepare_data()
    data.setup("fit")
    images, labels = data.training_set.tensors
    return (
        Batches(images[data.train_rows], labels[data.train_rows], BATCH_SIZE),
        Batches(images[data.val_rows], labels[data.val_rows], EVAL_BATCH_SIZE),
    )


def train_bare(epochs: int) -> None:
    """Run the tutorial's five lines over normalised images in memory."""
    batches, _ = read_batches()
    model = MLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        start = time.perf_counter()
        for images, labels in batches:
            optimizer.zero_grad()
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {time.perf_counter() - start:.4f} s")


def train_floor(epochs: int) -> None:
    """Train and validate by Lightning, with nothing that can be left out."""
    trainer = Trainer(barebones=True, accelerator="cpu", max_epochs=epochs)
    trainer.fit(MinimalModule(), *read_batches())


def train_ours(epochs: int, copies: int) -> None:
    """Train and validate by Lightning, on this project's model and data."""
    data = RepeatedMNIST()
    data.copies = copies
    trainer = Trainer(barebones=True, accelerator="cpu", max_epochs=epochs)
    trainer.fit(TimedClassifier(), data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("loop", choices=("bare", "floor", "ours"))
    parser.add_argument("--epochs", type=int, default=5, help="default: 5")
    parser.add_argument(
        "--copies", type=int, default=1, help="of the images, for `ours`"
    )
    options = parser.parse_args()
    torch.manual_seed(42)
    if options.loop == "bare":
        train_bare(options.epochs)
    elif options.loop == "floor":
        train_floor(options.epochs)
    else:
        train_ours(options.epochs, options.copies)


if __name__ == "__main__":
    main()
