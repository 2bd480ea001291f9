"""Train without the command line, and print the seconds of each epoch, for speed.py.

python benchmarks/loops.py bare      # eager PyTorch on images in memory
python benchmarks/loops.py floor     # Lightning with all extras off
"""

import argparse
import time

import torch
from lightning.pytorch import Trainer
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from mlp_lightning import MLP, MLPClassifier, MNISTDataModule
from mlp_lightning.mlp import normalise


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


class TimedClassifier(MLPClassifier):
    """Prints the seconds from the end of one validation to the end of the next."""

    def on_fit_start(self) -> None:
        self.start = time.perf_counter()

    def on_validation_epoch_end(self) -> None:
        end = time.perf_counter()
        print(f"epoch {self.current_epoch}: {end - self.start:.4f} s", flush=True)
        self.start = end


def train_bare(epochs: int) -> None:
    """Run the tutorial's five lines over normalised images in memory."""
    torch.manual_seed(42)
    data = MNISTDataModule()
    data.setup("fit")
    all_images, all_labels = data.training_set.tensors
    images = normalise(all_images[data.train_rows])
    labels = all_labels[data.train_rows]
    model = MLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(images)).split(64):
            logits = model(images.index_select(0, rows))
            loss = cross_entropy(logits, labels.index_select(0, rows))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {time.perf_counter() - start:.4f} s")


def train_floor(epochs: int, copies: int) -> None:
    """Train and validate by Lightning, on this project's model and data."""
    torch.manual_seed(42)
    data = RepeatedMNIST()
    data.copies = copies
    trainer = Trainer(barebones=True, accelerator="cpu", max_epochs=epochs)
    trainer.fit(TimedClassifier(), data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("loop", choices=("bare", "floor"))
    parser.add_argument("--epochs", type=int, default=5, help="default: 5")
    parser.add_argument(
        "--copies", type=int, default=1, help="of the images, at the floor"
    )
    options = parser.parse_args()
    if options.loop == "bare":
        train_bare(options.epochs)
    else:
        train_floor(options.epochs, options.copies)


if __name__ == "__main__":
    main()
