"""Printed lines around and under a digit: frames, cells of a form, ruled paper.

A line is thin and straight, and crosses the picture from one side to the other. Where
the digit crosses it, the ink is thicker than the line, and stays. page.html does the
same in JavaScript.
"""

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

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
from mlp_lightning.strokes import find_runs

# Lines are looked for in what is stronger than this share of the strongest ink ...
LINE_THRESHOLD = 0.3
MIN_LINE_INK = 4  # ... and than so many grey levels.
# If more of the picture is stronger, it is no ink on paper.
MAX_INK_SHARE = 0.6

# Shares of the picture's longer side. A printed border is up to 6 percent wide, the
# strokes of a digit that fills its picture are from 10 percent.
MAX_LINE_WIDTH = 0.1
MIRRORED_MARGIN = 0.12  # more than the width of a line
EDGE_ZONE = 0.12  # What is as near to a side as this may be a border.
REMNANT_ZONE = 0.15
TOUCHING_ZONE = 0.04
MIN_DIGIT_SIDE = 0.2

# Pixels that a line rises or falls for each pixel across: up to six degrees.
MAX_SLOPE = 0.1
# A line that leaves the picture above or below is still one if this share of its
# columns is inside. Of these, so many must have ink, and so many no more than a line's.
MIN_INSIDE_SHARE = 0.5
MIN_COVERAGE = 0.9
MIN_THIN_SHARE = 0.3
# Beside a line, the ink is at most this share of the line's own.
MAX_INK_BESIDE = 0.5
MAX_PASSES = 3  # Each finds what was hidden by the lines of the one before.

# A shorter component that touches a line is a remnant of the line.
MAX_REMNANT_SHARE = 0.25


class Sides(NamedTuple):
    """Something about the four sides of a picture."""

    top: bool
    bottom: bool
    left: bool
    right: bool


def erase_lines(grey: FloatArray) -> FloatArray:
    """Paint dark printed lines over with the paper around them.

    Returns the very same array if there are none.
    """
    paper = estimate_paper(grey)
    ink = estimate_ink(grey, paper)
    min_ink = max(LINE_THRESHOLD * float(ink.max()), MIN_LINE_INK)
    mask = ink > min_ink
    if mask.mean() > MAX_INK_SHARE:
        return grey
    lines = find_lines(mask, ink)
    if not lines.any():
        return grey
    lines |= find_remnants(mask & ~lines, lines)
    digit = mask & ~lines
    with_soft_edges = dilate_mask(lines, 2) & ~digit
    return numpy.where(with_soft_edges, paper, grey)


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

    There are none if they are all the ink, or may be strokes of a digit.
    """
    nothing = numpy.zeros_like(mask)
    horizontal, vertical = trace_lines(mask, ink, max(mask.shape))
    if is_lone_stroke(horizontal):
        horizontal = nothing
    if is_lone_stroke(vertical.T):
        vertical = nothing
    lines = horizontal | vertical
    if not leaves_digit(mask, lines):
        lines = nothing
    if is_cropped_digit(mask, horizontal, vertical):
        lines = nothing
    return lines | find_frame(mask & ~lines, ink)


def trace_lines(mask: Mask, ink: FloatArray, longer_side: int) -> tuple[Mask, Mask]:
    """Return the pixels of horizontal lines, and those of vertical ones."""
    max_width = MAX_LINE_WIDTH * longer_side
    horizontal = numpy.zeros_like(mask)
    vertical = numpy.zeros_like(mask)
    for _ in range(MAX_PASSES):
        rest = mask & ~horizontal & ~vertical
        across = trace_horizontal_lines(rest, ink, max_width)
        down = trace_horizontal_lines(rest.T, ink.T, max_width).T
        if not (across | down).any():
            break
        horizontal |= across
        vertical |= down
    return horizontal, vertical


def trace_horizontal_lines(mask: Mask, ink: FloatArray, max_width: float) -> Mask:
    """Return the pixels of lines that cross a mask from left to right.

    A run of ink in a column belongs to a line if it is about as high as most such runs
    are. Where a digit crosses the line, runs are higher.
    """
    runs = find_runs(mask)
    thin = mask & (runs.lengths <= max_width)
    courses = find_courses(mask, thin)
    on_course = thin & courses
    if not on_course.any():
        return on_course
    line_width = float(numpy.median(runs.lengths[on_course]))
    beside = find_neighbours(on_course, round_half_up(line_width) + 3) & ~courses
    if beside.any():
        line_ink = numpy.median(ink[on_course])
        if numpy.median(ink[beside]) > MAX_INK_BESIDE * line_ink:
            return numpy.zeros_like(mask)
    rows, columns = on_course.nonzero()
    belongs = numpy.zeros_like(mask)  # True at the start of a run on a line
    belongs[runs.starts[rows, columns], columns] = True
    last_row = len(mask) - 1
    starts = runs.starts.clip(max=last_row)
    on_line = numpy.take_along_axis(belongs, starts, axis=0)
    return mask & on_line & (runs.lengths <= 2 * line_width + 1)


def find_courses(mask: Mask, thin: Mask) -> Mask:
    """Return where straight lines run from the left side of a mask to the right.

    This is a Hough transform (Duda and Hart 1972, "Use of the Hough transformation to
    detect lines and curves in pictures") of nearly horizontal lines, at half the
    resolution, which forgives a line that is uneven.

    Args:
        mask: (height, width), True where ink is.
        thin: (height, width), True where the ink may be that of a line.
    """
    inked = halve_mask(mask)
    height, width = inked.shape
    # Three counts in one number, as adding up is what takes the time.
    votes = 1 + 1000 * inked + 1_000_000 * halve_mask(thin)
    max_rise = max(1, round_half_up(MAX_SLOPE * width))
    margin = 2 * max_rise  # above and below, where lines may run outside of the picture
    votes = numpy.pad(votes, ((margin, margin), (0, 0)))
    courses = numpy.zeros(votes.shape, bool)
    columns = numpy.arange(width)
    first_rows = numpy.arange(max_rise, height + 3 * max_rise)[:, None]
    for rise in range(-max_rise, max_rise + 1):
        rises = numpy.floor(rise * (columns + 0.5) / width - rise / 2 + 0.5)
        rows = first_rows + rises.astype(numpy.int64)  # (lines, width)
        counts = votes[rows, columns].sum(axis=1)
        inside_count = counts % 1000
        inked_count = counts // 1000 % 1000
        thin_count = counts // 1_000_000
        is_line = inside_count >= MIN_INSIDE_SHARE * width
        is_line &= inked_count >= MIN_COVERAGE * inside_count
        is_line &= thin_count >= MIN_THIN_SHARE * inside_count
        courses[rows[is_line], columns] = True
    courses = courses[margin : margin + height]
    doubled = courses.repeat(2, axis=0).repeat(2, axis=1)
    full_height, full_width = mask.shape
    return doubled[:full_height, :full_width]


def halve_mask(mask: Mask) -> NDArray[numpy.int64]:
    """Return 1 for 2 x 2 pixels of which one is True at least, else 0."""
    height, width = mask.shape
    padded = numpy.pad(mask, ((0, height % 2), (0, width % 2)))
    pairs = padded[::2] | padded[1::2]
    blocks = pairs[:, ::2] | pairs[:, 1::2]
    return blocks.astype(numpy.int64)


def find_neighbours(mask: Mask, distance: int) -> Mask:
    """Return the pixels that are so far above or below a pixel of the mask."""
    neighbours = numpy.zeros_like(mask)
    neighbours[distance:] |= mask[:-distance]
    neighbours[:-distance] |= mask[distance:]
    return neighbours


def is_lone_stroke(lines: Mask) -> bool:
    """Tell whether horizontal lines are a single one that is not near the edge.

    The long stroke of a digit may cross the picture as well, such as that of a 1.
    """
    if not lines.any():
        return False
    extent = find_extent(lines)
    height, _ = lines.shape
    zone = max(2, round_half_up(EDGE_ZONE * height))
    is_border = extent.top < zone or extent.bottom > height - zone
    longer_side = max(lines.shape)
    is_single = extent.bottom - extent.top <= EDGE_ZONE * longer_side + 4
    return is_single and not is_border


def leaves_digit(mask: Mask, lines: Mask) -> bool:
    """Tell whether the lines are not the only ink."""
    away = mask & ~dilate_mask(lines, 4)
    return bool(find_digit_ink(away).any())


def find_digit_ink(mask: Mask) -> Mask:
    """Return the components that are large enough for a digit, and no borders."""
    longer_side = max(mask.shape)
    zone = max(2, round_half_up(EDGE_ZONE * longer_side))
    digit_ink = numpy.zeros_like(mask)
    for component in connected_components(mask):
        is_large = component.longer_side >= MIN_DIGIT_SIDE * longer_side
        if is_large and not lies_at_edge(component, mask.shape, zone):
            digit_ink[component] = True
    return digit_ink


def is_cropped_digit(mask: Mask, horizontal: Mask, vertical: Mask) -> bool:
    """Tell whether the lines may be strokes of a digit that fills the picture.

    The bar of a 7 and the stem of a 1 are straight lines, too. Such a digit touches all
    four sides; if a stroke lies along one of them, the rest reaches the opposite one.
    """
    longer_side = max(mask.shape)
    zone = max(2, round_half_up(EDGE_ZONE * longer_side))
    across = find_sides(horizontal, zone)
    down = find_sides(vertical, zone)
    if (across.top and across.bottom) or (down.left and down.right):
        return False
    zone = 2 + round_half_up(TOUCHING_ZONE * longer_side)
    lines = horizontal | vertical
    by_lines = find_sides(lines, zone)
    digit_ink = find_digit_ink(mask & ~lines)
    by_rest = find_sides(digit_ink, zone)
    touched = [line or rest for line, rest in zip(by_lines, by_rest, strict=True)]
    reaches_down = by_rest.top or by_rest.bottom
    reaches_across = by_rest.left or by_rest.right
    return all(touched) and reaches_down and reaches_across


def find_sides(mask: Mask, zone: int) -> Sides:
    """Return along which sides of a mask something is, within so many pixels."""
    return Sides(
        top=bool(mask[:zone].any()),
        bottom=bool(mask[-zone:].any()),
        left=bool(mask[:, :zone].any()),
        right=bool(mask[:, -zone:].any()),
    )


def find_frame(mask: Mask, ink: FloatArray) -> Mask:
    """Return the lines of a frame around all other ink, away from the picture's edge.

    It has all four sides, and there is a digit within.
    """
    frame = numpy.zeros_like(mask)
    if not mask.any():
        return frame
    top, left, bottom, right = find_extent(mask)
    inner = mask[top:bottom, left:right]
    inner_ink = ink[top:bottom, left:right]
    horizontal, vertical = trace_lines(inner, inner_ink, max(mask.shape))
    zone = max(2, round_half_up(EDGE_ZONE * max(inner.shape)))
    across = find_sides(horizontal, zone)
    down = find_sides(vertical, zone)
    is_closed = across.top and across.bottom and down.left and down.right
    lines = horizontal | vertical
    if is_closed and find_digit_ink(inner & ~lines).any():
        frame[top:bottom, left:right] = lines
    return frame


def find_remnants(rest: Mask, lines: Mask) -> Mask:
    """Return what is left of lines: small pieces, and others at the edge."""
    remnants = numpy.zeros_like(rest)
    near_lines = dilate_mask(lines, 2)
    components = connected_components(rest)
    longest = max((component.longer_side for component in components), default=0)
    zone = round_half_up(REMNANT_ZONE * max(rest.shape))
    for component in components:
        is_small = component.longer_side < MAX_REMNANT_SHARE * longest
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
