"""Where the ink of a handwritten digit is in a grey picture, in any light.

page.html does the same in JavaScript, and a digit must come out of both with the same
pixels: whoever changes a step here changes it there.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import avg_pool2d, max_pool2d

from mlp_lightning.components import Component, Mask, connected_components

Picture = Image.Image
FloatArray = NDArray[numpy.float32]

# Pixels of the longer side of what is searched. A larger picture is shrunk to the upper
# bound, which still shows each stroke of a digit. A smaller one is enlarged to the
# lower bound, or the blur would close the loops of its digit.
MAX_WORKING_SIDE = 192
MIN_WORKING_SIDE = 64

# The searched box gets an edge of so many pixels, so that strokes at its border can be
# blurred as all others are.
EDGE = 1

# The median of the ink is taken over every eleventh pixel, for speed. Eleven does not
# divide MAX_WORKING_SIDE: in a picture that wide, the sample has pixels of all columns.
MEDIAN_STEP = 11

# The digit is the component with the largest mass, together with those that have more
# than this share of its mass (the bar of a 5, but no dust) ...
MIN_MASS_SHARE = 0.05
# ... and whose centres are within this many times its longer side from its centre.
MAX_DISTANCE = 1.5

# The strength of a digit's ink is this percentile of its pixels: more than the soft
# edges of the strokes have, less than their few darkest pixels.
STRENGTH_PERCENTILE = 75


class Box(NamedTuple):
    """A part of a picture, in pixels; its sides may lie between two."""

    left: float
    top: float
    right: float
    bottom: float


class Extent(NamedTuple):
    """The rows from top up to bottom, and the columns from left up to right."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class SegmentedDigit:
    """The ink in a box of a picture, and which of it is the digit.

    The box was shrunk and has an EDGE. The mask is True at one pixel at least.
    """

    ink: FloatArray  # (height, width), grey levels of difference from the background
    mask: Mask  # (height, width), True where the digit is

    @property
    def strength(self) -> float:
        """How strong the digit's ink is, in grey levels."""
        digit_ink = self.ink[self.mask]
        strength = numpy.percentile(digit_ink, STRENGTH_PERCENTILE)
        return float(strength)

    @property
    def extent(self) -> Extent:
        """Which part of the mask the digit covers."""
        rows, columns = self.mask.nonzero()
        top = int(rows.min())
        left = int(columns.min())
        last_row = int(rows.max())
        last_column = int(columns.max())
        bottom = last_row + 1
        right = last_column + 1
        return Extent(top, left, bottom, right)


def segment_digit(
    picture: Picture, box: Box, threshold: float
) -> SegmentedDigit | None:
    """Find the digit in a box of a picture of mode F.

    Ink is what is stronger than `threshold`, a share of the strongest ink in the box.
    Returns None if there is none.
    """
    grey = shrink_box(picture, box)
    raw_ink = estimate_ink(grey)
    ink = blur(raw_ink)
    min_ink = threshold * ink.max()
    is_ink = ink > min_ink
    components = connected_components(is_ink)
    if not components:
        return None
    mask = select_digit(components, ink)
    return SegmentedDigit(ink, mask)


def frame_digit(digit: SegmentedDigit, picture: Picture) -> Box:
    """Return the box of a digit and half of its size all around.

    The digit is one that `segment_digit` found in the whole picture.
    """
    extent = digit.extent
    height = extent.bottom - extent.top
    width = extent.right - extent.left
    longer_side = max(height, width)
    half = (longer_side - 1) / 2
    margin = half + 2

    searched_height, searched_width = digit.ink.shape
    searched_height -= 2 * EDGE
    searched_width -= 2 * EDGE
    x_scale = picture.width / searched_width
    y_scale = picture.height / searched_height
    left = (extent.left - EDGE - margin) * x_scale
    top = (extent.top - EDGE - margin) * y_scale
    right = (extent.right - EDGE + margin) * x_scale
    bottom = (extent.bottom - EDGE + margin) * y_scale
    return Box(
        left=max(left, 0),
        top=max(top, 0),
        right=min(right, picture.width),
        bottom=min(bottom, picture.height),
    )


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


def estimate_ink(grey: FloatArray) -> FloatArray:
    """Return how far each pixel is from the background, in grey levels.

    Ink is darker than paper, or lighter than a board. A background that is estimated
    for the wrong one of the two still has strokes in it, smeared over the picture. So
    the smoother background is the right one.
    """
    paper = estimate_background(grey)
    board = -estimate_background(-grey)
    dark_ink = paper - grey
    light_ink = grey - board
    is_paper = roughness(paper) < roughness(board)
    ink = dark_ink if is_paper else light_ink
    # Grain moves the whole estimate away from the picture. Since most pixels hold no
    # ink, the median says how far.
    pixels = ink.ravel()
    sample = pixels[::MEDIAN_STEP]
    median = numpy.median(sample)
    centred: FloatArray = ink - median
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
    three_rows = (3, 1)
    three_columns = (1, 3)
    means = avg_pool2d(means, three_rows, stride=1)  # (1, height + 2, width + 4)
    means = avg_pool2d(means, three_columns, stride=1)  # (1, height + 2, width + 2)
    return means[0].numpy()


def dilate_mask(mask: Mask) -> Mask:
    """Add all pixels that touch the mask: the soft edge of a digit is part of it."""
    pixels = torch.from_numpy(mask)
    pixels = pixels.float()[None]  # (1, height, width)
    pixels = max_pool2d(pixels, kernel_size=3, stride=1, padding=1)
    dilated = pixels[0].bool()
    return dilated.numpy()


def select_digit(components: list[Component], ink: FloatArray) -> Mask:
    """Return the mask of the digit's components: neither dust nor other writing."""
    masses = [ink[component].sum() for component in components]
    largest_mass = max(masses)
    main_index = masses.index(largest_mass)
    main = components[main_index]
    min_mass = MIN_MASS_SHARE * largest_mass
    max_distance = MAX_DISTANCE * main.longer_side
    mask = numpy.zeros(ink.shape, bool)
    for component, mass in zip(components, masses, strict=True):
        is_near = component.distance(main) <= max_distance
        is_large = mass > min_mass
        if is_near and is_large:
            mask[component] = True
    return mask


def round_half_up(number: float) -> int:
    """Round as page.html does. Python's round takes halves to the even number."""
    return math.floor(number + 0.5)
