"""The connected components of a mask: which of its pixels hang together."""

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

IndexArray = NDArray[numpy.intp]
Mask = NDArray[numpy.bool_]


class Component(NamedTuple):
    """The pixels of a connected component, which may be used as an index."""

    rows: IndexArray
    columns: IndexArray

    @property
    def longer_side(self) -> int:
        """The number of its rows or columns, whichever is more."""
        last_row = numpy.ptp(self.rows)  # counted from the first
        last_column = numpy.ptp(self.columns)
        last = max(last_row, last_column)
        return int(last) + 1

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
