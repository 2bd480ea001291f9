"""The middle of strokes, as thin as a line can be."""

import numpy
from numpy.typing import NDArray

Mask = NDArray[numpy.bool_]


def thin_strokes(ink: Mask) -> Mask:
    """Peel strokes until one pixel is left of their width.

    After Zhang and Suen 1984, "A fast parallel algorithm for thinning digital
    patterns". The outermost pixels of the mask must be empty.
    """
    thinned = ink.copy()
    while True:
        before = thinned.copy()
        # Of the neighbours, clockwise from the one above: those of which one at least
        # must be empty for a pixel to be peeled from the south-east, or the north-west.
        for trios in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            neighbours = list_neighbours(thinned)  # (8, height, width)
            count = neighbours.sum(axis=0)
            following = numpy.roll(neighbours, -1, axis=0)
            strokes = (~neighbours & following).sum(axis=0)
            peel = (count >= 2) & (count <= 6) & (strokes == 1)
            for trio in trios:
                peel &= ~neighbours[list(trio)].all(axis=0)
            thinned &= ~peel
        if (thinned == before).all():
            return thinned


def list_neighbours(mask: Mask) -> Mask:
    """Return the eight neighbours of each pixel, clockwise from the one above."""
    shifts = [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)]
    return numpy.stack([numpy.roll(mask, shift, axis=(0, 1)) for shift in shifts])
