"""Printed lines around and under a digit: frames, cells of a form, ruled paper.

A line is thin and straight, and crosses the picture from one side to the other. Where
the digit crosses it, the ink is thicker than the line, and stays. page/lines.js
does the same in JavaScript.
"""

from typing import NamedTuple

import numpy

from mlp_lightning.components import (
    Component,
    Mask,
    connected_components,
    dilate_mask,
    find_extent,
)
from mlp_lightning.ink import (
    FloatArray,
    estimate_background,
    estimate_ink,
    round_half_up,
)
from mlp_lightning.tracing import trace_lines

# Lines are looked for in what is stronger than these shares of the strongest ink: first
# borders in black, whose soft edges must not make them wider, then faint lines ...
LINE_THRESHOLDS = (0.3, 0.15)
MIN_LINE_INK = 4  # ... and than so many grey levels.
# If more of the picture is stronger, it is no ink on paper.
MAX_INK_SHARE = 0.6

# A line has ink in this share of the picture's columns, or rows; the side of a frame in
# less of the frame's, as a skewed side is shorter than the frame is wide.
MIN_COVERAGE = 0.95
MIN_FRAME_COVERAGE = 0.9
MIN_WALL_COVERAGE = 0.99  # a wall within a frame: strokes of a digit may be as long

# Shares of the picture's longer side, found by trying them on drawn pictures
# (benchmarks/hard_pictures.py), as were the other bounds here.
MIRRORED_MARGIN = 0.12  # more than the width of a line
EDGE_ZONE = 0.12  # What is as near to a side as this may be a border ...
BORDER_DEPTH = 2.5  # ... if all of it lies within so many zones: it may be skewed.
REMNANT_ZONE = 0.15
TOUCHING_ZONE = 0.04
MIN_DIGIT_SIDE = 0.2
MIN_RIM_SHARE = 0.5  # of a side of a frame, at least, has ink near it

# A shorter component that touches a line is a remnant of the line.
MAX_REMNANT_SHARE = 0.25


class Sides(NamedTuple):
    """Something about the four sides of a picture."""

    top: bool
    bottom: bool
    left: bool
    right: bool


class CleanPaper(NamedTuple):
    """A picture, or its negative, of dark ink on paper: its lines were painted over."""

    grey: FloatArray  # (height, width), grey levels; of a negative, 0 or less
    lines: Mask  # (height, width), True where lines and their soft edges were

    @property
    def is_negative(self) -> bool:
        """Whether the ink of the picture itself is lighter than its background."""
        return bool(self.grey.min() < 0)


def erase_lines(grey: FloatArray, ink_threshold: float) -> CleanPaper:
    """Paint dark printed lines over with the paper around them.

    Lines that are much fainter than `ink_threshold`, a share of the strongest ink, may
    stay, as they do not count as ink.
    """
    paper = estimate_paper(grey)
    ink = estimate_ink(grey, paper)
    erased = numpy.zeros(grey.shape, bool)
    for threshold in LINE_THRESHOLDS:
        min_ink = max(threshold * float(ink.max()), MIN_LINE_INK)
        mask = ink > min_ink
        if mask.mean() > MAX_INK_SHARE:
            break
        lines = find_lines(mask, ink)
        if lines.any():
            lines |= find_remnants(mask & ~lines, lines)
            digit = mask & ~lines
            with_soft_edges = dilate_mask(lines, 2) & ~digit
            grey = numpy.where(with_soft_edges, paper, grey)
            ink = numpy.where(with_soft_edges, numpy.float32(0), ink)
            erased |= with_soft_edges
        if threshold <= ink_threshold:
            break
    return CleanPaper(grey, erased)


def estimate_paper(grey: FloatArray) -> FloatArray:
    """Return the background of dark ink that may lie on the very edge of the picture.

    Beyond a mirror at its edge, there is paper on both sides of such ink.
    """
    height, width = grey.shape
    margin = round_half_up(MIRRORED_MARGIN * max(height, width))
    rows = min(margin, height)
    columns = min(margin, width)
    mirrored = numpy.pad(grey, ((rows, rows), (columns, columns)), "symmetric")
    paper = estimate_background(mirrored)
    return paper[rows : rows + height, columns : columns + width]


def find_lines(mask: Mask, ink: FloatArray) -> Mask:
    """Return which pixels of a mask of ink are those of lines.

    There are none if they may be strokes of a digit.
    """
    horizontal, vertical = trace_lines(mask, ink, MIN_COVERAGE)
    zone = 2 + round_half_up(TOUCHING_ZONE * max(mask.shape))
    rest = find_sides(mask & ~horizontal & ~vertical, zone)
    # Writing stands on a horizontal line, unless it is cropped.
    if is_lone_stroke(horizontal) and (rest.top or rest.bottom):
        horizontal = numpy.zeros_like(mask)
    if is_lone_stroke(vertical.T):
        vertical = numpy.zeros_like(mask)
    lines = horizontal | vertical
    if lines.any() and may_be_strokes(mask, horizontal, vertical):
        lines = numpy.zeros_like(mask)
    return lines | find_frame(mask, lines, ink)


def is_lone_stroke(lines: Mask) -> bool:
    """Tell whether horizontal lines are a single one that is not near the edge.

    The long stroke of a digit may cross the picture as well, such as that of a 1.
    """
    if not lines.any():
        return False
    extent = find_extent(lines)
    height, _ = lines.shape
    zone = measure_edge_zone(height)
    is_upper = extent.top < zone and extent.bottom <= BORDER_DEPTH * zone
    from_bottom = height - extent.top
    is_lower = extent.bottom > height - zone and from_bottom <= BORDER_DEPTH * zone
    is_border = is_upper or is_lower
    longer_side = max(lines.shape)
    is_single = extent.height <= EDGE_ZONE * longer_side + 4
    return is_single and not is_border


def measure_edge_zone(side: int) -> int:
    """Return how many pixels from the edge a border may be, in a picture so long."""
    return max(2, round_half_up(EDGE_ZONE * side))


def find_digit_ink(mask: Mask) -> Mask:
    """Return the components that are large enough for a digit, and no borders."""
    longer_side = max(mask.shape)
    zone = measure_edge_zone(longer_side)
    digit_ink = numpy.zeros_like(mask)
    for component in connected_components(mask):
        is_large = component.longer_side >= MIN_DIGIT_SIDE * longer_side
        if is_large and not lies_at_edge(component, mask.shape, zone):
            digit_ink[component] = True
    return digit_ink


def may_be_strokes(mask: Mask, horizontal: Mask, vertical: Mask) -> bool:
    """Tell whether the lines are the only ink, or of a digit that fills the picture.

    Those of ruled or squared paper are printed even then. The bar of a 7 and the stem
    of a 1 are straight lines, too. Such a digit touches all four sides; if a stroke
    lies along one of them, the rest reaches the opposite one.
    """
    lines = horizontal | vertical
    away_from_lines = mask & ~dilate_mask(lines, 4)
    if not away_from_lines.any() and is_ruling(horizontal, vertical):
        return False
    if not find_digit_ink(away_from_lines).any():
        return True
    longer_side = max(mask.shape)
    zone = measure_edge_zone(longer_side)
    across = find_sides(horizontal, zone)
    down = find_sides(vertical, zone)
    if (across.top and across.bottom) or (down.left and down.right):
        return False
    zone = 2 + round_half_up(TOUCHING_ZONE * longer_side)
    by_lines = find_sides(lines, zone)
    by_rest = find_sides(find_digit_ink(mask & ~lines), zone)
    touched = [line or rest for line, rest in zip(by_lines, by_rest, strict=True)]
    reaches_down = by_rest.top or by_rest.bottom
    reaches_across = by_rest.left or by_rest.right
    return all(touched) and reaches_down and reaches_across


def is_ruling(horizontal: Mask, vertical: Mask) -> bool:
    """Tell whether lines are of ruled or squared paper: no digit has these strokes.

    A printed 8 has three across and two down, and no digit has two that are not joined.
    """
    fewest, most = sorted([count_bands(horizontal), count_bands(vertical.T)])
    is_parallel = fewest == 0 and most > 1
    return is_parallel or fewest > 2 or most > 3


def count_bands(mask: Mask) -> int:
    """Return how many bands of rows a mask has pixels in, with empty rows between.

    Returns 0 if most rows have some: lines that are found in grain are everywhere.
    """
    rows = numpy.flatnonzero(mask.any(axis=1))
    if rows.size == 0 or rows.size > len(mask) / 2:
        return 0
    gaps = numpy.diff(rows) > 1
    return 1 + int(gaps.sum())


def find_sides(mask: Mask, zone: int) -> Sides:
    """Return along which sides of a mask something is, within so many pixels."""
    return Sides(
        top=bool(mask[:zone].any()),
        bottom=bool(mask[-zone:].any()),
        left=bool(mask[:, :zone].any()),
        right=bool(mask[:, -zone:].any()),
    )


def find_frame(mask: Mask, lines: Mask, ink: FloatArray) -> Mask:
    """Return the lines of a frame around all other ink, away from the picture's edge.

    It has all four sides, of which two may be lines that were found before, and there
    is a digit within.
    """
    frame = numpy.zeros_like(mask)
    rest = mask & ~lines
    if not rest.any():
        return frame
    top, left, bottom, right = find_extent(rest)
    inner = mask[top:bottom, left:right]
    zone = measure_edge_zone(max(inner.shape))
    is_large = min(inner.shape) >= MIN_DIGIT_SIDE * max(mask.shape)
    if not is_large or not has_rim(inner, zone):
        return frame
    inner_ink = ink[top:bottom, left:right]
    horizontal, vertical = trace_lines(inner, inner_ink, MIN_FRAME_COVERAGE)
    within = inner & ~horizontal & ~vertical
    # Away from the sides, only walls between boxes are lines, and no straight strokes.
    walls_across, walls_down = trace_lines(inner, inner_ink, MIN_WALL_COVERAGE)
    horizontal[zone:-zone] &= walls_across[zone:-zone]
    vertical[:, zone:-zone] &= walls_down[:, zone:-zone]
    across = find_sides(horizontal, zone)
    down = find_sides(vertical, zone)
    is_closed = across.top and across.bottom and down.left and down.right
    if is_closed and find_digit_ink(within).any():
        frame[top:bottom, left:right] = horizontal | vertical
    return frame


def has_rim(mask: Mask, zone: int) -> bool:
    """Tell whether much of each side of a mask has ink near it: most digits do not."""
    upper = mask[:zone].any(axis=0)
    lower = mask[-zone:].any(axis=0)
    left = mask[:, :zone].any(axis=1)
    right = mask[:, -zone:].any(axis=1)
    shares = [float(side.mean()) for side in (upper, lower, left, right)]
    return min(shares) >= MIN_RIM_SHARE


def find_remnants(rest: Mask, lines: Mask) -> Mask:
    """Return what is left of lines: small pieces, and others at the edge."""
    remnants = numpy.zeros_like(rest)
    near_lines = dilate_mask(lines, 2)
    components = connected_components(rest)
    digit_side = MIN_DIGIT_SIDE * max(rest.shape)
    for component in components:
        digit_side = max(digit_side, component.longer_side)
    zone = round_half_up(REMNANT_ZONE * max(rest.shape))
    for component in components:
        is_small = component.longer_side < MAX_REMNANT_SHARE * digit_side
        is_remnant = is_small or lies_at_edge(component, rest.shape, zone)
        if is_remnant and near_lines[component].any():
            remnants[component] = True
    return remnants


def lies_at_edge(component: Component, shape: tuple[int, ...], zone: int) -> bool:
    """Tell whether a component lies within so many pixels of one side."""
    height, width = shape
    extent = component.extent
    return (
        extent.bottom <= zone
        or extent.right <= zone
        or extent.top >= height - zone
        or extent.left >= width - zone
    )
