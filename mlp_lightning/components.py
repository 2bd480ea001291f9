"""Masks: which of their pixels hang together, and how far these reach."""

from typing import NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch.nn.functional import max_pool2d

IndexArray = NDArray[numpy.intp]
Mask = NDArray[numpy.bool_]


class Extent(NamedTuple):
    """The rows from top up to bottom, and the columns from left up to right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.bottom - self.top

    @property
    def longer_side(self) -> int:
        """The number of rows or columns, whichever is more."""
        return max(self.height, self.right - self.left)


class Component(NamedTuple):
    """The pixels of a connected component, which may be used as an index."""

    rows: IndexArray
    columns: IndexArray

    @property
    def extent(self) -> Extent:
        """Which rows and columns it covers."""
        return Extent(
            top=int(self.rows.min()),
            left=int(self.columns.min()),
            bottom=int(self.rows.max()) + 1,
            right=int(self.columns.max()) + 1,
        )

    @property
    def longer_side(self) -> int:
        """The number of its rows or columns, whichever is more."""
        return self.extent.longer_side

    def distance(self, other: "Component") -> float:
        """Return how many rows or columns two centres are apart, whichever is more."""
        rows_apart = self.rows.mean() - other.rows.mean()
        columns_apart = self.columns.mean() - other.columns.mean()
        down = abs(rows_apart)
        across = abs(columns_apart)
        return float(max(down, across))


def connected_components(mask: Mask) -> list[Component]:
    """Return the components of a mask. Pixels that touch at a corner are connected."""
    padded = numpy.pad(mask, 1)  # so that no row ends where the next one begins
    width = padded.shape[1]
    offsets = []  # of a pixel's neighbours, when rows follow one another
    for row in (-width, 0, width):
        offsets += [row - 1, row, row + 1]

    pixels = numpy.flatnonzero(padded)
    unvisited = set(pixels.tolist())
    components = []
    while unvisited:
        places = take_component(unvisited, offsets)
        rows, columns = numpy.divmod(places, width)
        rows -= 1
        columns -= 1
        component = Component(rows, columns)
        components.append(component)
    return components


def take_component(unvisited: set[int], offsets: list[int]) -> list[int]:
    """Take a pixel, and all that are connected to it, out of the unvisited ones."""
    start = unvisited.pop()
    component = [start]
    for pixel in component:  # The list grows as we walk it: a breadth-first search.
        neighbours = [pixel + offset for offset in offsets]
        found = unvisited.intersection(neighbours)
        unvisited -= found
        component += found
    return component


def find_extent(mask: Mask) -> Extent:
    """Return which rows and columns a mask covers that is True somewhere."""
    rows, columns = mask.nonzero()
    return Component(rows, columns).extent


def dilate_mask(mask: Mask, distance: int = 1) -> Mask:
    """Add all pixels within a distance from the mask, across, down and diagonally."""
    pixels = torch.from_numpy(mask)
    pixels = pixels.float()[None]  # (1, height, width)
    side = 2 * distance + 1
    # Rows, then columns: a pool of both at once takes longer.
    pixels = max_pool2d(pixels, (1, side), stride=1, padding=(0, distance))
    pixels = max_pool2d(pixels, (side, 1), stride=1, padding=(distance, 0))
    dilated = pixels[0].bool()
    return dilated.numpy()
