"""Which images make up each batch: a function of seed, epoch and batch number."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from mlp_lightning.errors import SettingError
from mlp_lightning.mlp import IMAGE_PIXELS

DEFAULT_SEED = 42
IMAGE_SIDE = 28  # pixels
# Images, labels and perhaps a BatchOrigin; for pictures, images, files and errors.
RawBatch = tuple[Any, ...]


def get_seed() -> int:
    """Return the seed that lightning.seed_everything has set, or the default."""
    return int(os.environ.get("PL_GLOBAL_SEED", DEFAULT_SEED))


class BatchOrigin(NamedTuple):
    """Which batch this is: what a random distortion of its images depends on."""

    seed: tuple[int, int, int]  # of the training, the epoch, the number of the batch
    batch_size: int  # images in the whole batch, over all processes
    share: slice  # those of them that this process has


def check_images(images: object) -> Tensor:
    """Return images of MNIST's size in its shape: uint8, (batch, 28, 28).

    Raises:
        SettingError: If they are not, as a loader of the user's own may yield them.
    """
    found = type(images).__name__
    if isinstance(images, Tensor):
        size = images.shape[1:]
        if images.dtype == torch.uint8 and size.numel() == IMAGE_PIXELS:
            if size == (IMAGE_SIDE, IMAGE_SIDE):
                return images  # a view of the same takes longer than all the rest
            return images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
        found = f"{images.dtype}, {tuple(images.shape)}"
    raise SettingError(
        "dataloader: a batch must be (images, labels), with images as torch.uint8, "
        f"(batch, 28, 28), from 0 to 255, got {found}"
    )


def start_of_training() -> tuple[int, int]:
    """Return the position (epoch, batch) of a training that begins."""
    return 0, 0


@dataclass
class TensorBatches:
    """A data loader over images in memory: `(images, labels)` for each batch.

    Images in memory are indexed a batch at a time, which torch's DataLoader does one by
    one. With a seed, the rows come in a new order in each epoch, otherwise as they
    stand; none is left out.

    Of each batch, process `rank` of `world_size` takes its share. If the last batch
    cannot be shared out evenly, training images weigh unequally (with fewer images than
    processes, some count twice); without a seed, each image is taken exactly once.
    """

    dataset: TensorDataset  # of images, (n, ...), and labels, (n,)
    rows: Tensor  # int64, the images to take; a subclass's own may be a list
    batch_size: int  # of all processes together
    rank: int = 0
    world_size: int = 1
    seed: int | None = None
    with_origin: bool = False  # yield (images, labels, BatchOrigin)
    # Asked when an epoch begins: the epoch, and its first batch, which is not 0 if the
    # epoch is resumed. Lightning would tell a sampler of the epoch alone.
    position: Callable[[], tuple[int, int]] = start_of_training

    def __post_init__(self) -> None:
        self.rows = torch.as_tensor(self.rows)

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch, also while one is resumed."""
        return ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[RawBatch]:
        # A generator's body runs at the first `next`: by then Lightning, which calls
        # iter() early, knows the position.
        epoch, first_batch = self.position()
        batches = self.order_rows(epoch).split(self.batch_size)
        images, labels = self.dataset.tensors
        for number in range(first_batch, len(self)):
            batch = batches[number]
            share = self.share_of(len(batch))
            taken = batch[share]
            # index_select is several times as fast as images[taken].
            some_images = images.index_select(0, taken)
            some_labels = labels.index_select(0, taken)
            if self.with_origin:
                seed = (self.seed or 0, epoch, number)
                origin = BatchOrigin(seed, len(batch), share)
                yield some_images, some_labels, origin
            else:
                yield some_images, some_labels

    def order_rows(self, epoch: int) -> Tensor:
        """Return the rows in the order of this epoch."""
        if self.seed is None:
            return self.rows
        generator = numpy.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.rows))
        return self.rows[torch.from_numpy(order)]

    def share_of(self, count: int) -> slice:
        """Return which of the `count` images of a batch this process takes."""
        if self.seed is None:
            return slice(self.rank, None, self.world_size)
        return slice(self.rank % count, None, self.world_size)  # never empty

    def state_dict(self) -> dict[str, object]:
        """Return nothing, which tells Lightning that an epoch can be resumed.

        The position is all there is to resume, and the trainer counts it. A count kept
        here would be one batch ahead: checkpoints are written before a batch is
        trained on, when it has been handed out already.
        """
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take nothing: see state_dict."""
