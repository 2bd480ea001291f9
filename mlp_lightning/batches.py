"""Which images make up each batch: a function of (seed, epoch, number of the batch) alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor


@dataclass
class TensorBatches:
    """A data loader over images in memory: batches of `rows` of them, with their labels.

    With a seed, the rows come in a new order each epoch, otherwise as they stand; none is left out.
    Of each batch, process `rank` of `world_size` takes its share. In a last batch that cannot be
    shared out evenly, training images weigh unequally (fewer than processes: some count twice);
    without a seed, each image is taken exactly once.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    batch_size: int  # of all processes together
    rank: int = 0
    world_size: int = 1
    seed: int | None = None
    position: Callable[[], tuple[int, int]] = lambda: (
        0,
        0,
    )  # epoch, batch: asked at the first

    state_dict = load_state_dict = (
        dict  # tell Lightning that position is all there is to resume
    )

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def share(self, count: int) -> slice:
        """Tell which of the `count` images of a batch this process takes."""
        return slice(
            self.rank if self.seed is None else self.rank % count, None, self.world_size
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rows = self.rows
        epoch, first_batch = self.position()
        if self.seed is not None:
            generator = numpy.random.default_rng((self.seed, epoch))
            rows = rows[torch.from_numpy(generator.permutation(len(rows)))]
        for start in range(first_batch * self.batch_size, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            share = batch[self.share(len(batch))]
            # index_select is several times as fast as images[share]
            yield self.images.index_select(0, share), self.labels.index_select(0, share)
