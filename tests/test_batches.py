from functools import partial
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from mlp_lightning.batches import TensorBatches


def batches(size: int, batch_size: int, **settings: Any) -> TensorBatches:
    """Images that hold their own row number; the labels are ten times that."""
    numbers = torch.arange(2 * size)
    rows = torch.arange(size) + size // 2  # not all, and not from 0
    dataset = TensorDataset(numbers, 10 * numbers)
    return TensorBatches(dataset, rows, batch_size, **settings)


def order(loader: TensorBatches, epoch: int = 0) -> Tensor:
    loader.position = lambda: (epoch, 0)
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert torch.equal(labels, 10 * images)
    return images


def get_pair(epoch: int, batch: int) -> tuple[int, int]:
    return epoch, batch


def test_each_epoch_visits_each_image_once_in_a_new_order() -> None:
    loader = batches(55_000, 64, seed=42)
    sizes = [len(labels) for _, labels in loader]
    assert sizes == [64] * 859 + [24]
    assert len(loader) == 860
    orders = [order(loader, epoch) for epoch in range(3)]
    for visited in orders:
        assert torch.equal(visited.sort().values, loader.rows)
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[1], orders[2])
    assert not torch.equal(orders[0], loader.rows)


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first = order(batches(1_000, 64, seed=1), epoch=3)
    torch.manual_seed(5)
    again = batches(1_000, 64, seed=1)
    order(again, epoch=7)
    assert torch.equal(order(again, epoch=3), first)
    assert not torch.equal(order(batches(1_000, 64, seed=2), epoch=3), first)
    # seed and epoch are told apart, not added
    assert not torch.equal(order(batches(1_000, 64, seed=2), epoch=2), first)


def test_an_epoch_can_be_entered_at_any_batch() -> None:
    loader = batches(1_000, 64, seed=1)
    whole = order(loader, epoch=3)
    for batch in (0, 1, 15, 16):
        loader.position = partial(get_pair, 3, batch)
        rest = [images for images, _ in loader]
        assert torch.equal(torch.cat([*rest, whole[:0]]), whole[64 * batch :])
    assert len(loader) == 16


def test_without_a_seed_the_rows_stand_as_they_are() -> None:
    loader = batches(1_000, 300)
    assert torch.equal(order(loader, epoch=5), loader.rows)


@pytest.mark.parametrize("rows", [[3, 1, 2], numpy.array([3, 1, 2])])
@pytest.mark.parametrize("seed", [None, 42])
def test_rows_may_be_a_list_or_an_array(seed: int | None, rows: Any) -> None:
    numbers = torch.arange(9)
    loader = TensorBatches(TensorDataset(numbers, 10 * numbers), rows, 2, seed=seed)
    assert order(loader).sort().values.tolist() == [1, 2, 3]


@pytest.mark.parametrize("seed", [None, 42])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_same_batches(world_size: int, seed: int | None) -> None:
    whole = list(batches(100, 12, seed=seed))
    shares = [
        list(batches(100, 12, seed=seed, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for (images, _), *parts in zip(whole, *shares, strict=True):
        together = torch.cat([part for part, _ in parts])
        assert torch.equal(together.sort().values, images.sort().values)


def test_a_last_batch_smaller_than_the_processes() -> None:
    shares = [list(batches(9, 8, rank=rank, world_size=3))[-1][0] for rank in range(3)]
    assert [len(share) for share in shares] == [1, 0, 0]  # counted once
    shares = [
        list(batches(9, 8, seed=0, rank=rank, world_size=3))[-1][0] for rank in range(3)
    ]
    assert [len(share) for share in shares] == [1, 1, 1]  # no process trains on nothing
