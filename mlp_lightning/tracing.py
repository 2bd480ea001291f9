"""Straight lines in a mask of ink, nearly horizontal or vertical, from side to side.

page/tracing.js does the same in JavaScript.
"""

import numpy
from numpy.typing import NDArray

from mlp_lightning.components import Mask
from mlp_lightning.ink import FloatArray, round_half_up
from mlp_lightning.strokes import find_runs

Counts = NDArray[numpy.int64]

# A printed border is up to 6 percent of the picture's longer side wide, the strokes of
# a digit that fills its picture are from 10 percent.
MAX_LINE_WIDTH = 0.1
# In a narrow picture, the stroke of a 1 would be no wider. So a line is at most this
# share of the shorter side.
MAX_NARROW_WIDTH = 0.25
# Pixels that a line rises or falls for each pixel across: up to six degrees.
MAX_SLOPE = 0.1
# A line that leaves the picture above or below is still one if this share of its
# columns is inside. Of these, this share must have no more ink than a line has.
MIN_INSIDE_SHARE = 0.6
MIN_THIN_SHARE = 0.3
# Beside a line, the ink is at most this share of the line's own.
MAX_INK_BESIDE = 0.5
MAX_PASSES = 3  # Each finds what was hidden by the lines of the one before.

# What the second and the third number of a vote are multiplied by: more than there are
# columns, so that no sum runs into the next one.
INKED = 1000
THINLY_INKED = INKED**2


def trace_lines(mask: Mask, ink: FloatArray, min_coverage: float) -> tuple[Mask, Mask]:
    """Return the pixels of horizontal lines, and those of vertical ones.

    Args:
        mask: (height, width), True where ink is.
        ink: (height, width), how strong the ink is.
        min_coverage: The share of a line's columns, or rows, that must have ink.
    """
    longer_side = max(mask.shape)
    shorter_side = min(mask.shape)
    max_width = min(MAX_LINE_WIDTH * longer_side, MAX_NARROW_WIDTH * shorter_side)
    horizontal = numpy.zeros_like(mask)
    vertical = numpy.zeros_like(mask)
    for _ in range(MAX_PASSES):
        rest = mask & ~horizontal & ~vertical
        across = trace_horizontal_lines(rest, ink, max_width, min_coverage)
        down = trace_horizontal_lines(rest.T, ink.T, max_width, min_coverage).T
        if not (across | down).any():
            break
        horizontal |= across
        vertical |= down
    return horizontal, vertical


def trace_horizontal_lines(
    mask: Mask, ink: FloatArray, max_width: float, min_coverage: float
) -> Mask:
    """Return the pixels of lines that cross a mask from left to right.

    A run of ink in a column belongs to a line if it is about as high as most such runs
    are. Where a digit crosses the line, runs are higher.
    """
    nothing = numpy.zeros_like(mask)
    _, width = mask.shape
    if mask.any(axis=0).sum() < min_coverage * MIN_INSIDE_SHARE * width:
        return nothing  # Too few columns have ink.
    runs = find_runs(mask)
    thin = mask & (runs.lengths <= max_width)
    courses = find_courses(mask, thin, min_coverage)
    on_course = thin & courses
    if not on_course.any():
        return nothing
    line_width = float(numpy.median(runs.lengths[on_course]))
    beside = find_neighbours(on_course, round_half_up(line_width) + 3) & ~courses
    if beside.any():
        line_ink = numpy.median(ink[on_course])
        if numpy.median(ink[beside]) > MAX_INK_BESIDE * line_ink:
            return nothing
    rows, columns = on_course.nonzero()
    belongs = nothing.copy()  # True at the start of a run on a line
    belongs[runs.starts[rows, columns], columns] = True
    last_row = len(mask) - 1
    starts = runs.starts.clip(max=last_row)
    on_line = numpy.take_along_axis(belongs, starts, axis=0)
    return mask & on_line & (runs.lengths <= 2 * line_width + 1)


def find_courses(mask: Mask, thin: Mask, min_coverage: float) -> Mask:
    """Return where straight lines run from the left side of a mask to the right.

    This is a Hough transform (Duda and Hart 1972, "Use of the Hough transformation to
    detect lines and curves in pictures") of nearly horizontal lines, at half the
    resolution and in pairs of rows, which forgives a line that is uneven.

    Args:
        mask: (height, width), True where ink is.
        thin: (height, width), True where the ink may be that of a line.
    """
    votes = count_votes(mask, thin)
    height, width = votes.shape
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
        courses[rows[is_line(counts, width, min_coverage)], columns] = True
    upper = courses[margin : margin + height]
    lower = courses[margin - 1 : margin + height - 1]
    doubled = (upper | lower).repeat(2, axis=0).repeat(2, axis=1)
    full_height, full_width = mask.shape
    return doubled[:full_height, :full_width]


def count_votes(mask: Mask, thin: Mask) -> Counts:
    """Return what each pixel, at half the resolution, says for a line through it.

    Three numbers are packed into one, as adding them up is what takes the time: 1 for
    the pixel, 1 if there is ink, and 1 if the ink is thin.
    """
    inked = join_rows(halve_mask(mask))
    thinly_inked = join_rows(halve_mask(thin))
    return 1 + INKED * inked + THINLY_INKED * thinly_inked


def is_line(counts: Counts, width: int, min_coverage: float) -> Mask:
    """Return which sums of votes, (lines,), are those of a line so many pixels wide."""
    inside = counts % INKED
    inked = counts // INKED % INKED
    thinly_inked = counts // THINLY_INKED
    is_inside = inside >= MIN_INSIDE_SHARE * width
    is_covered = inked >= min_coverage * inside
    is_thin = thinly_inked >= MIN_THIN_SHARE * inside
    return is_inside & is_covered & is_thin


def halve_mask(mask: Mask) -> Counts:
    """Return 1 for 2 x 2 pixels of which one is True at least, else 0."""
    height, width = mask.shape
    padded = numpy.pad(mask, ((0, height % 2), (0, width % 2)))
    pairs = padded[::2] | padded[1::2]
    blocks = pairs[:, ::2] | pairs[:, 1::2]
    return blocks.astype(numpy.int64)


def join_rows(mask: Counts) -> Counts:
    """Return 1 where a row or the one below it has 1, else 0."""
    below = numpy.pad(mask[1:], ((0, 1), (0, 0)))
    return mask | below


def find_neighbours(mask: Mask, distance: int) -> Mask:
    """Return the pixels exactly so many rows above or below one of the mask."""
    neighbours = numpy.zeros_like(mask)
    neighbours[distance:] |= mask[:-distance]
    neighbours[:-distance] |= mask[distance:]
    return neighbours
