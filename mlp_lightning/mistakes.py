"""The images that a network reads wrongly, and is surest of."""

from typing import NamedTuple

import torch
from torch import Tensor

from mlp_lightning.drawing import IMAGE_SIDE, denormalise

MAX_DIGITS = 40  # in a picture of training images or of mistakes: four rows


class Mistakes(NamedTuple):
    """Misread images, the surest first; a row with a probability of 0 is none."""

    images: Tensor  # uint8, (n, 28, 28)
    labels: Tensor  # int64, (n,)
    digits: Tensor  # int64, (n,): what the network read
    probabilities: Tensor  # float32, (n,): of these digits

    @classmethod
    def none(cls, device: torch.device) -> "Mistakes":
        """Return `MAX_DIGITS` rows that are none."""
        probabilities = torch.zeros(MAX_DIGITS, device=device)
        digits = probabilities.long()
        shape = (MAX_DIGITS, IMAGE_SIDE, IMAGE_SIDE)
        pixels = torch.zeros(shape, device=device)
        images = pixels.byte()
        return cls(images, digits, digits, probabilities)

    @classmethod
    def of_batch(cls, images: Tensor, labels: Tensor, logits: Tensor) -> "Mistakes":
        """Return the surest mistakes among normalised images, at most `MAX_DIGITS`."""
        probabilities = torch.softmax(logits, dim=1)  # (batch, 10)
        highest, digits = probabilities.max(dim=1)  # (batch,)
        # Set to 0 instead of left out: to count mistakes would wait for the GPU.
        is_correct = digits == labels
        highest = highest.masked_fill(is_correct, 0)
        rows = cls(images, labels, digits, highest)
        mistakes = rows.surest()
        pixels = denormalise(mistakes.images)
        return mistakes._replace(images=pixels)

    def surest(self) -> "Mistakes":
        """Return the first `MAX_DIGITS` by probability; equals keep their order."""
        order = self.probabilities.argsort(descending=True, stable=True)
        order = order[:MAX_DIGITS]
        columns = [column[order] for column in self]
        return Mistakes(*columns)

    def join(self, other: "Mistakes") -> "Mistakes":
        """Return the rows of both, without sorting them."""
        pairs = zip(self, other, strict=True)
        columns = map(torch.cat, pairs)
        return Mistakes(*columns)
