import numpy
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mlp_lightning.digits import CLOSE_UP_THRESHOLD
from mlp_lightning.lines import MIN_COVERAGE, erase_lines
from mlp_lightning.strokes import find_runs, measure_stroke_width, widen_strokes
from mlp_lightning.tracing import find_courses

WHITE = 255
GREY = 150
Grey = NDArray[numpy.float32]
Stroke = tuple[int, ...]


def draw_strokes(
    strokes: list[Stroke], fill: int = 0, width: int = 12, side: int = 120
) -> Image.Image:
    picture = Image.new("L", (side, side), WHITE)
    for stroke in strokes:
        ImageDraw.Draw(picture).line(stroke, fill=fill, width=width)
    return picture


def to_levels(picture: Image.Image) -> Grey:
    return numpy.asarray(picture, numpy.float32)


SEVEN: list[Stroke] = [(40, 40, 80, 40), (80, 40, 55, 90)]
RULES: dict[str, list[Stroke]] = {
    "above and below": [(0, 20, 120, 20), (0, 104, 120, 104)],
    "through the digit": [(0, 30, 120, 30), (0, 64, 120, 64), (0, 98, 120, 98)],
    "squares": [
        *[(0, row, 120, row) for row in (10, 65, 110)],
        *[(column, 0, column, 120) for column in (12, 62, 112)],
    ],
    "a single one below": [(0, 104, 120, 104)],
    "a single one through the digit": [(0, 70, 120, 74)],
    "skewed": [(0, 16, 120, 24), (0, 112, 120, 105)],
    "leaving the picture": [(0, 8, 120, -2), (-3, 0, 6, 120)],
    "a frame": [(12, 12, 108, 12, 108, 108, 12, 108, 12, 12)],
    "a skewed frame": [(20, 10, 112, 18, 104, 110, 12, 102, 20, 10)],
    "a strip of boxes": [
        (6, 22, 114, 22, 114, 104, 6, 104, 6, 22),
        *[(column, 22, column, 104) for column in (30, 92)],
    ],
    "a box in a column of boxes": [
        *[(column, 0, column, 120) for column in (20, 100)],
        *[(20, row, 100, row) for row in (20, 102)],
    ],
}


@pytest.mark.parametrize("fill", [0, GREY])
@pytest.mark.parametrize("rules", RULES)
def test_printed_lines_are_erased_and_the_digit_stays(rules: str, fill: int) -> None:
    digit = to_levels(draw_strokes(SEVEN))
    lines = to_levels(draw_strokes(RULES[rules], fill, width=3))
    erased = erase_lines(numpy.minimum(digit, lines), CLOSE_UP_THRESHOLD).grey
    beside_lines = lines == WHITE
    on_lines = ~beside_lines & (digit == WHITE)
    # Next to the digit, a line may not be told from it.
    far_from_digit = on_lines & (abs(erased - WHITE) > 1)
    assert far_from_digit.sum() <= 0.1 * on_lines.sum()
    assert (erased[digit == 0] == 0).mean() > 0.95


KEPT: dict[str, list[Stroke]] = {
    "a stem from edge to edge": [(60, 0, 60, 120)],
    "a flat 1": [(0, 60, 120, 60)],
    "a cropped 7": [(0, 4, 120, 4), (114, 0, 60, 120)],
    "a cropped 4": [(40, 0, 0, 80), (0, 80, 120, 80), (80, 30, 80, 120)],
    "a cropped 1 with its foot": [(60, 0, 60, 120), (20, 116, 100, 116)],
    "a square 0": [(30, 20, 90, 20, 90, 100, 30, 100, 30, 20)],
    "a cropped printed 8": [
        *[(4, row, 115, row) for row in (4, 60, 115)],
        *[(column, 4, column, 115) for column in (4, 115)],
    ],
    "a cropped square 0": [(4, 4, 115, 4, 115, 115, 4, 115, 4, 4)],
}


def assert_nothing_is_erased(grey: Grey) -> None:
    paper = erase_lines(grey, CLOSE_UP_THRESHOLD)
    assert not paper.lines.any()
    assert (paper.grey == grey).all()


@pytest.mark.parametrize("strokes", KEPT)
def test_strokes_of_a_digit_are_not_taken_for_lines(strokes: str) -> None:
    grey = to_levels(draw_strokes(KEPT[strokes], width=8))
    assert_nothing_is_erased(grey)


@pytest.mark.parametrize("rules", ["above and below", "through the digit", "squares"])
def test_lines_alone_are_erased(rules: str) -> None:
    grey = to_levels(draw_strokes(RULES[rules], width=3))
    paper = erase_lines(grey, CLOSE_UP_THRESHOLD)
    assert (paper.grey == WHITE).all()


def test_grain_is_not_taken_for_lines() -> None:
    random = numpy.random.default_rng(0)
    for deviation in (2, 10, 30):
        grey = random.normal(180, deviation, (150, 120)).astype(numpy.float32)
        assert_nothing_is_erased(grey)


def test_courses_follow_a_line_that_rises_and_no_other() -> None:
    mask = numpy.zeros((60, 100), bool)
    columns = numpy.arange(100)
    rows = 20 + columns // 12
    for row in (rows - 1, rows, rows + 1):
        mask[row, columns] = True
    mask[40, :80] = True  # too short
    courses = find_courses(mask, mask, MIN_COVERAGE)
    assert courses[rows, columns].mean() > 0.9
    assert not courses[36:].any()
    assert not courses[:16].any()


def test_runs_are_those_of_the_columns() -> None:
    mask = numpy.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]], bool)
    starts, lengths = find_runs(mask)
    assert lengths.tolist() == [[2, 0, 1], [2, 3, 0], [0, 3, 2], [1, 3, 2]]
    assert starts[mask].tolist() == [0, 0, 0, 1, 1, 2, 3, 1, 2]


@pytest.mark.parametrize("width", [3, 8])
def test_the_width_of_straight_strokes_is_measured(width: int) -> None:
    ink = numpy.zeros((80, 60), numpy.float32)
    ink[10 : 10 + width, 5:55] = 1
    assert measure_stroke_width(ink) == width
    assert measure_stroke_width(ink.T) == width


def test_strokes_are_widened_by_a_round_brush() -> None:
    ink = numpy.zeros((3, 4), numpy.float32)
    ink[1, 2] = 0.8
    widened = widen_strokes(ink, 2.3)
    expected = numpy.zeros((7, 8), numpy.float32)
    for row in range(7):
        for column in range(8):
            if (row - 3) ** 2 + (column - 4) ** 2 <= 2.3**2:
                expected[row, column] = numpy.float32(0.8)
    numpy.testing.assert_array_equal(widened, expected)
