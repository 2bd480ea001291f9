"""The images that a network takes for something else, and is surest of."""

from typing import NamedTuple

import torch
from torch import Tensor

from mlp_lightning.drawing import IMAGE_SIDE, denormalise
from mlp_lightning.info import MNIST_INFO, DatasetInfo

MAX_CELLS = 40  # in a picture of training images or of mistakes: four rows


class Mistakes(NamedTuple):
    """Misread images, the surest first; a row with a probability of 0 is none."""

    images: Tensor  # uint8, (n, 28, 28)
    labels: Tensor  # int64, (n,)
    answers: Tensor  # int64, (n,): the classes that the network sees instead
    probabilities: Tensor  # float32, (n,): of these classes

    @classmethod
    def none(cls, device: torch.device) -> "Mistakes":
        """Return `MAX_CELLS` rows that are none."""
        probabilities = torch.zeros(MAX_CELLS, device=device)
        classes = probabilities.long()
        shape = (MAX_CELLS, IMAGE_SIDE, IMAGE_SIDE)
        pixels = torch.zeros(shape, device=device)
        images = pixels.byte()
        return cls(images, classes, classes, probabilities)

    @classmethod
    def of_batch(
        cls,
        images: Tensor,
        labels: Tensor,
        logits: Tensor,
        info: DatasetInfo = MNIST_INFO,
    ) -> "Mistakes":
        """Return the surest mistakes among normalised images, at most `MAX_CELLS`."""
        probabilities = torch.softmax(logits, dim=1)  # (batch, classes)
        highest, answers = probabilities.max(dim=1)  # (batch,)
        # Set to 0 instead of left out: to count mistakes would wait for the GPU.
        is_correct = answers == labels
        highest = highest.masked_fill(is_correct, 0)
        rows = cls(images, labels, answers, highest)
        mistakes = rows.surest()
        pixels = denormalise(mistakes.images, info.mean, info.std)
        return mistakes._replace(images=pixels)

    def surest(self) -> "Mistakes":
        """Return the first `MAX_CELLS` by probability; equals keep their order."""
        order = self.probabilities.argsort(descending=True, stable=True)
        order = order[:MAX_CELLS]
        columns = [column[order] for column in self]
        return Mistakes(*columns)

    def join(self, other: "Mistakes") -> "Mistakes":
        """Return the rows of both, without sorting them."""
        pairs = zip(self, other, strict=True)
        columns = map(torch.cat, pairs)
        return Mistakes(*columns)
