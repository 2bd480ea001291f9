"""Where the digit is in a grey picture: its ink, apart from all other.

page/digits.js does the same in JavaScript.
"""

from dataclasses import dataclass

import numpy

from mlp_lightning.components import (
    Component,
    Extent,
    IndexArray,
    Mask,
    connected_components,
    dilate_mask,
    find_extent,
)
from mlp_lightning.ink import (
    EDGE,
    Box,
    FloatArray,
    Picture,
    blur,
    estimate_background,
    estimate_ink,
    is_dark_on_light,
    round_half_up,
    shrink_box,
)
from mlp_lightning.lines import CleanPaper, erase_lines

# Ink is what is stronger than this share of the strongest ink. The whole picture may
# hold shadows and dust, so only strong ink counts there. From close by, the thin ends
# of strokes count as well.
OVERVIEW_THRESHOLD = 0.4
CLOSE_UP_THRESHOLD = 0.15

# If the median of light ink is stronger than this share of the strongest, it may be
# paper between black borders ...
MAX_MEDIAN_SHARE = 0.1
# ... and it is if, without the borders, the paper is even: from its 20th to its 95th
# percentile, it changes by less than this share of the strongest ink.
MAX_UNEVENNESS = 0.25

# The digit is the component with the largest mass, together with those that have more
# than this share of its mass (the bar of a 5, but no dust) ...
MIN_MASS_SHARE = 0.05
# ... and whose centres are within this many times its longer side from its centre.
MAX_DISTANCE = 1.5

# Another component is a digit of its own if it has this share of the mass, stands
# beside the first with a gap, and shares its height: the strokes of an open 4 do not.
MIN_DIGIT_MASS_SHARE = 0.15
MIN_GAP = 0.05  # of the height of the taller one
MIN_SHARED_HEIGHT = 0.6  # of the same height

# The strength of a digit's ink is this percentile of its pixels: more than the soft
# edges of the strokes have, less than their few darkest pixels.
STRENGTH_PERCENTILE = 75

# A digit is at least this many times as strong as the grain around it: in drawn
# photographs of blank paper, the strongest grain reaches 5 times the rest, and digits
# begin at 6.
MIN_STRENGTH_TO_GRAIN = 5.5
GRAIN_PERCENTILE = 95
# The soft edge of a stroke is no grain: this share of the digit's longer side.
SOFT_EDGE_SHARE = 1 / 20
# Whatever the grain is, weaker ink than this is none ...
MIN_STRENGTH = 8  # grey levels
# ... and stronger ink than this is a digit.
SUFFICIENT_STRENGTH = 52  # grey levels


@dataclass(frozen=True)
class SegmentedDigit:
    """The ink in a grey picture, and which of it is the digit.

    Ink and mask have an EDGE. The mask is True at one pixel at least.
    """

    ink: FloatArray  # (height, width), grey levels of difference from the background
    mask: Mask  # (height, width), True where the digit is
    components: list[Component]  # of all ink; the largest mass first
    masses: list[float]  # of these components
    paper: CleanPaper  # without the EDGE

    @property
    def strength(self) -> float:
        """How strong the digit's ink is, in grey levels."""
        digit_ink = self.ink[self.mask]
        strength = numpy.percentile(digit_ink, STRENGTH_PERCENTILE)
        return float(strength)

    @property
    def extent(self) -> Extent:
        """Which part of the mask the digit covers."""
        return find_extent(self.mask)


def segment_digit(paper: CleanPaper, threshold: float) -> SegmentedDigit | None:
    """Find the digit in a picture.

    Ink is what is stronger than `threshold`, a share of the strongest ink. Returns None
    if there is none.
    """
    background = estimate_background(paper.grey)
    raw_ink = estimate_ink(paper.grey, background)
    ink = blur(raw_ink)
    min_ink = threshold * ink.max()
    components = connected_components(ink > min_ink)
    if not components:
        return None
    pairs = [(float(ink[component].sum()), component) for component in components]
    pairs.sort(key=lambda pair: pair[0], reverse=True)
    masses = [mass for mass, _ in pairs]
    components = [component for _, component in pairs]
    mask = select_digit(components, masses, ink.shape)
    return SegmentedDigit(ink, mask, components, masses, paper)


def find_paper(grey: FloatArray, ink_threshold: float) -> CleanPaper:
    """Return a picture, or its negative, as dark ink on paper without lines."""
    if is_dark_on_light(grey):
        return erase_lines(grey, ink_threshold)
    light_ink = grey + estimate_background(-grey)
    if numpy.median(light_ink) > MAX_MEDIAN_SHARE * light_ink.max():
        paper = erase_lines(grey, ink_threshold)
        if paper.lines.any() and is_even_paper(paper.grey):
            return paper
    return erase_lines(-grey, ink_threshold)


def is_even_paper(grey: FloatArray) -> bool:
    """Tell whether the background of dark ink is paper of one brightness.

    Black borders on all sides make paper look like chalk on a board, until they are
    erased. If there was a board, pieces of it are left.
    """
    paper = estimate_background(grey)
    ink = paper - grey
    dark, light = numpy.percentile(paper, [20, 95])
    return bool(light - dark < MAX_UNEVENNESS * ink.max())


def select_digit(
    components: list[Component], masses: list[float], shape: tuple[int, ...]
) -> Mask:
    """Return the mask of the digit's components: neither dust nor other writing."""
    main = components[0]
    min_mass = MIN_MASS_SHARE * masses[0]
    max_distance = MAX_DISTANCE * main.longer_side
    mask = numpy.zeros(shape, bool)
    for component, mass in zip(components, masses, strict=True):
        is_near = component.distance(main) <= max_distance
        is_large = mass > min_mass
        if is_near and is_large:
            mask[component] = True
    return mask


def shows_several(digit: SegmentedDigit) -> bool:
    """Tell whether another digit stands beside the one that was found."""
    main = digit.components[0].extent
    min_mass = MIN_DIGIT_MASS_SHARE * digit.masses[0]
    for component, mass in zip(digit.components, digit.masses, strict=True):
        other = component.extent
        taller = max(main.height, other.height)
        gap = max(other.left - main.right, main.left - other.right)
        is_beside = gap >= MIN_GAP * taller
        shared = min(main.bottom, other.bottom) - max(main.top, other.top)
        is_level = shared >= MIN_SHARED_HEIGHT * taller
        if mass >= min_mass and is_beside and is_level:
            return True
    return False


def is_grain(digit: SegmentedDigit) -> bool:
    """Tell whether this is no digit, but what stands out most in a blank picture."""
    strong = numpy.zeros_like(digit.mask)
    for component, mass in zip(digit.components, digit.masses, strict=True):
        if mass >= MIN_DIGIT_MASS_SHARE * digit.masses[0]:
            strong[component] = True
    soft_edge = 1 + round_half_up(SOFT_EDGE_SHARE * digit.components[0].longer_side)
    background = digit.ink[~dilate_mask(strong, soft_edge)]
    min_strength: float = MIN_STRENGTH
    if background.size:
        grain = numpy.percentile(abs(background), GRAIN_PERCENTILE)
        above_grain = float(MIN_STRENGTH_TO_GRAIN * grain)
        min_strength = min(SUFFICIENT_STRENGTH, above_grain)
        min_strength = max(MIN_STRENGTH, min_strength)
    return digit.strength < min_strength


def look_closer(picture: Picture, overview: SegmentedDigit) -> SegmentedDigit | None:
    """Find the digit again in its part of the picture, where more of it can be seen.

    Only the overview shows a frame as a whole, so its lines are painted over here.

    Args:
        picture: Of mode F.
        overview: What `segment_digit` found in the whole picture.
    """
    box = frame_digit(picture, overview)
    grey = shrink_box(picture, box)
    if overview.paper.is_negative and not overview.paper.lines.any():
        # What looks like a board from afar may be paper between black borders.
        paper = find_paper(grey, CLOSE_UP_THRESHOLD)
    else:
        grey = paint_lines_over(grey, box, picture, overview.paper)
        paper = erase_lines(grey, CLOSE_UP_THRESHOLD)
    return segment_digit(paper, CLOSE_UP_THRESHOLD)


def paint_lines_over(
    grey: FloatArray, box: Box, picture: Picture, paper: CleanPaper
) -> FloatArray:
    """Return a box of a picture, or its negative, without the lines of the overview.

    Args:
        grey: (height, width), the box.
        box: Where it is in the picture.
        picture: The whole.
        paper: Of the overview, which shows the whole.
    """
    if paper.is_negative:
        grey = -grey
    height, width = grey.shape
    overview_height, overview_width = paper.lines.shape
    x_scale = overview_width / picture.width
    y_scale = overview_height / picture.height
    rows = find_places(box.top, box.bottom, height, y_scale)
    columns = find_places(box.left, box.right, width, x_scale)
    places = numpy.ix_(rows, columns)
    return numpy.where(paper.lines[places], paper.grey[places], grey)


def frame_digit(picture: Picture, overview: SegmentedDigit) -> Box:
    """Return the box of a digit and half of its size all around."""
    extent = overview.extent
    half = (extent.longer_side - 1) / 2
    margin = half + 2

    searched_height, searched_width = overview.paper.lines.shape
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


def find_places(start: float, end: float, count: int, scale: float) -> IndexArray:
    """Return where the middles of `count` pixels from start to end are, scaled."""
    steps = numpy.arange(count) + 0.5
    middles = start + steps * ((end - start) / count)
    return (middles * scale).astype(numpy.intp)
