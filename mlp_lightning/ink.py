"""How strong the ink is at each pixel of a grey picture, in any light.

page/ink.js does the same in JavaScript, and a digit must come out of both with the same
pixels: whoever changes a step here changes it there.
"""

import math
from typing import NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import avg_pool2d

Picture = Image.Image
FloatArray = NDArray[numpy.float32]

# Pixels of the longer side of what is searched. A larger picture is shrunk to the upper
# bound, which still shows each stroke of a digit. A smaller one is enlarged to the
# lower bound: the blur would close the loops of its digit, and lines are looked for at
# half the resolution.
MAX_WORKING_SIDE = 192
MIN_WORKING_SIDE = 128

# The searched box gets an edge of so many pixels, so that strokes at its border can be
# blurred as all others are.
EDGE = 1

# How strong paper is without ink is estimated from every eleventh pixel, for speed.
# Eleven does not divide MAX_WORKING_SIDE: in a picture that wide, the sample has pixels
# of all columns.
SAMPLE_STEP = 11
# Grain is spread evenly, so that the median is not much farther from the quartile than
# the fifth percentile is. If it is, more than half of the picture may be ink.
MAX_SKEWNESS = 2
# If the quartile is much farther from the fifth percentile than that is from the first,
# more than three quarters may be ink. The fewer pixels are below, the less is known of
# the grain.
MAX_LOW_SKEWNESS = 16
# Grey levels that a percentile may be off in a picture without grain.
ROUNDING = 2
LOW_ROUNDING = 8


class Box(NamedTuple):
    """A part of a picture, in pixels; its sides may lie between two."""

    left: float
    top: float
    right: float
    bottom: float


def shrink_box(picture: Picture, box: Box) -> FloatArray:
    """Return a box of a picture in the size in which ink is looked for."""
    box_width = box.right - box.left
    box_height = box.bottom - box.top
    longer_side = max(box_width, box_height)
    working_side = min(longer_side, MAX_WORKING_SIDE)
    working_side = max(working_side, MIN_WORKING_SIDE)
    scale = working_side / longer_side
    width = round_half_up(box_width * scale)
    width = max(1, width)
    height = round_half_up(box_height * scale)
    height = max(1, height)
    # BOX averages the pixels of an area, and repeats those of a tiny picture.
    size = (width, height)
    shrunk = picture.resize(size, Image.Resampling.BOX, box)
    return numpy.asarray(shrunk)


def is_dark_on_light(grey: FloatArray) -> bool:
    """Tell whether a picture shows dark ink on paper, or else chalk on a board.

    A background that is estimated for the wrong one of the two still has strokes in it,
    smeared over the picture. So the smoother background is the right one.
    """
    paper = estimate_background(grey)
    board = estimate_background(-grey)
    return roughness(paper) < roughness(board)


def estimate_ink(grey: FloatArray, background: FloatArray) -> FloatArray:
    """Return how much darker than the background each pixel is, in grey levels.

    Grain moves the whole background away from the paper. Since most pixels hold no ink,
    their median says how far. If many do hold ink, a lower percentile says it.
    """
    ink = background - grey
    pixels = ink.ravel()
    sample = pixels[::SAMPLE_STEP]
    lowest, low, quartile, median = numpy.percentile(sample, [1, 5, 25, 50])
    if quartile > low + MAX_LOW_SKEWNESS * (low - lowest) + LOW_ROUNDING:
        centre = low
    elif median > quartile + MAX_SKEWNESS * (quartile - low) + ROUNDING:
        centre = quartile
    else:
        centre = median
    centred: FloatArray = ink - numpy.float32(centre)
    return centred


def estimate_background(grey: FloatArray) -> FloatArray:
    """Return the picture without the strokes that are darker than their surroundings.

    Each pixel becomes as bright as the brightest one on its left or the brightest one
    on its right, whichever is darker. Then the same is done along the columns.
    """
    running_max = numpy.maximum.accumulate
    for axis in (1, 0):
        before = running_max(grey, axis)
        mirrored = numpy.flip(grey, axis)
        after = running_max(mirrored, axis)
        after = numpy.flip(after, axis)
        grey = numpy.minimum(before, after)
    return grey


def roughness(grey: FloatArray) -> float:
    """Return the sum of the squared differences between neighbouring pixels."""
    down = numpy.diff(grey, axis=0)
    across = numpy.diff(grey, axis=1)
    squares_down = down**2
    squares_across = across**2
    sum_down = squares_down.sum()
    sum_across = squares_across.sum()
    return float(sum_down + sum_across)


def blur(ink: FloatArray) -> FloatArray:
    """Return the means of 3 x 3 pixels, in which grain evens out, with an EDGE."""
    margin = EDGE + 1  # A mean needs one more pixel on each side.
    padded = numpy.pad(ink, margin)
    pixels = torch.from_numpy(padded)
    means = pixels[None]  # (1, height + 4, width + 4)
    # One pool of 3 x 3 would do the same, but for the rounding.
    three_columns = (1, 3)
    three_rows = (3, 1)
    means = avg_pool2d(means, three_columns, stride=1)  # (1, height + 4, width + 2)
    means = avg_pool2d(means, three_rows, stride=1)  # (1, height + 2, width + 2)
    return means[0].numpy()


def round_half_up(number: float) -> int:
    """Round as page/ink.js does. Python's round takes halves to the even number."""
    return math.floor(number + 0.5)
