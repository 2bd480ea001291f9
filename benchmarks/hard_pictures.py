"""Pictures of digits that are hard to read: each kind has one thing that misleads.

Printed frames, ruled and squared paper, cells and boxes of a form; thin pens; faint or
tightly cropped digits. All are drawn from images of MNIST, and each is a function of
the random generator that is passed in. None has grain or uneven light: pictures.py has
those.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps
from thinning import thin_strokes

Bytes = NDArray[numpy.uint8]
Labels = NDArray[numpy.int64]

BLACK = 0
WHITE = 255
SCALE = 5  # how many times MNIST's image is enlarged, unless a kind needs another
MARGIN = 40  # pixels of white around the enlarged digit
LINE_WIDTH = 3  # pixels of a printed black line
PAPER_LINE_WIDTH = 2  # of ruled and squared paper
PAPER_LINE_GREY = 150
FAINT_STRENGTH = 64  # grey levels between ink and paper
FAINT_SCALE = 6
THIN_SIDE = 400  # pixels of a picture of a thin pen
THIN_WIDTH = 3  # pixels of its strokes: an odd number


class Rectangle(NamedTuple):
    """Where a box is in a picture, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


def draw_frame(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in a black rectangle near the border of the picture."""
    picture = draw_on_white(digit)
    inset = int(random.integers(4, 20))
    last_column = picture.width - 1 - inset
    last_row = picture.height - 1 - inset
    corners = (inset, inset, last_column, last_row)
    ImageDraw.Draw(picture).rectangle(corners, outline=BLACK, width=LINE_WIDTH)
    return picture


def draw_lines(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit between two black lines that span the picture."""
    picture = draw_on_white(digit)
    above, below = random.integers(12, 34, 2)
    rows = [above, picture.height - below]
    rule(picture, rows, BLACK, LINE_WIDTH)
    return picture


def draw_ruled(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in black ink on paper with grey lines."""
    margin = int(random.integers(40, 55))
    ink = draw_on_white(digit, margin)
    paper = Image.new("L", ink.size, WHITE)
    distance = int(random.integers(45, 90))
    first = int(random.integers(distance))
    rule(paper, range(first, paper.height, distance), PAPER_LINE_GREY, PAPER_LINE_WIDTH)
    return ImageChops.darker(paper, ink)


def draw_squared(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in black ink on paper with grey squares."""
    ink = draw_on_white(digit)
    paper = Image.new("L", ink.size, WHITE)
    distance = int(random.integers(20, 60))
    for first in random.integers(0, distance, 2):
        rule(
            paper,
            range(first, paper.height, distance),
            PAPER_LINE_GREY,
            PAPER_LINE_WIDTH,
        )
        paper = paper.transpose(Image.Transpose.TRANSPOSE)
    return ImageChops.darker(paper, ink)


def draw_cell(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in a cell of a form, cut out not quite along the cell's borders.

    The borders are skewed and of uneven width, some leave the picture half-way or are
    missing, and the digit may touch them.
    """
    strokes = enlarge(crop_digit(digit), random.uniform(2.5, 4))
    width = strokes.width + int(random.integers(10, 40))
    height = strokes.height + int(random.integers(10, 30))
    picture = Image.new("L", (width, height), BLACK)
    left = int(random.integers(3, width - strokes.width - 2))
    top = int(random.integers(3, height - strokes.height - 2))
    picture.paste(strokes, (left, top))
    sides = random.permutation(4)[: random.integers(3, 5)]
    for side in range(4):
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        if side in sides:
            border = draw_border(picture.width, picture.height, random)
            picture = ImageChops.lighter(picture, border)
    return ImageOps.invert(picture)


def draw_border(width: int, height: int, random: Generator) -> Image.Image:
    """Draw a border near the upper side of a picture, in white on black."""
    row = random.uniform(1, 8)
    slope = random.uniform(-0.04, 0.04)
    thickness = random.uniform(3, 6)
    upper = []
    lower = []
    for x in range(-5, width + 10, 5):
        middle = row + slope * x
        half = thickness / 2 + random.uniform(-0.8, 0.8)
        upper.append((x, middle - half))
        lower.append((x, middle + half))
    border = Image.new("L", (width, height), BLACK)
    grey = int(random.integers(200, 256))
    ImageDraw.Draw(border).polygon(upper + lower[::-1], fill=grey)
    return border.filter(ImageFilter.GaussianBlur(0.7))


def draw_form(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in a box of a form that is not cut out along the box.

    The digit may run into one side of the box.
    """
    strokes = enlarge(crop_digit(digit), random.uniform(3, 6))
    width = max(strokes.width, strokes.height // 2) + int(random.integers(10, 60))
    height = strokes.height + int(random.integers(10, 60))
    margin = int(random.integers(12, 50))
    box = Rectangle(margin, margin, margin + width, margin + height)
    size = (width + 2 * margin, height + 2 * margin)

    left = margin + (width - strokes.width) // 2
    top = margin + (height - strokes.height) // 2
    overlap = int(random.integers(-2, 8))
    towards = random.choice(["left", "right", "top", "bottom"])
    if towards == "left":
        left = box.left - overlap
    elif towards == "right":
        left = box.right - strokes.width + overlap
    elif towards == "top":
        top = box.top - overlap
    else:
        top = box.bottom - strokes.height + overlap
    written = Image.new("L", size, BLACK)
    written.paste(strokes, (left, top))
    picture = ImageChops.lighter(written, draw_box(size, box, random))
    skew = random.uniform(-2, 2)  # degrees
    return ImageOps.invert(picture.rotate(skew, Image.Resampling.BICUBIC))


def draw_box(size: tuple[int, int], box: Rectangle, random: Generator) -> Image.Image:
    """Draw a box of a form in white on black.

    It stands alone, or in a row or a column of boxes that share two of its sides.
    """
    picture = Image.new("L", size, BLACK)
    pencil = ImageDraw.Draw(picture)
    grey = int(random.integers(120, 256))
    width = int(random.integers(2, 6))
    pencil.rectangle(box, outline=grey, width=width)
    neighbours = random.choice(["none", "in a row", "in a column"])
    if neighbours == "in a row":
        rule(picture, [box.top, box.bottom], grey, width)
    elif neighbours == "in a column":
        turned = picture.transpose(Image.Transpose.TRANSPOSE)
        rule(turned, [box.left, box.right], grey, width)
        picture = turned.transpose(Image.Transpose.TRANSPOSE)
    return picture


def draw_thin(digit: Bytes, random: Generator) -> Image.Image:
    """Draw the middle of a digit's strokes with a thin pen."""
    strokes = enlarge(crop_digit(digit), random.uniform(9, 16))
    ink = numpy.asarray(ImageOps.expand(strokes, 1)) > 127
    thinned = thin_strokes(ink)
    line = Image.fromarray(thinned).convert("L")
    page = Image.new("L", (THIN_SIDE, THIN_SIDE), BLACK)
    left = int(random.integers(10, THIN_SIDE - line.width - 10))
    top = int(random.integers(10, THIN_SIDE - line.height - 10))
    page.paste(line, (left, top))
    pen = page.filter(ImageFilter.MaxFilter(THIN_WIDTH))
    return ImageOps.invert(pen)


def draw_faint(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit that is little darker than its paper, and cropped to its ink."""
    margin = int(random.integers(0, 2))  # of MNIST's pixels
    strokes = ImageOps.expand(crop_digit(digit), margin)
    enlarged = enlarge(strokes, FAINT_SCALE)
    return enlarged.point(lambda ink: WHITE - ink * FAINT_STRENGTH // 255)


def draw_tight(digit: Bytes, random: Generator) -> Image.Image:
    """Draw a digit in black on white, cropped to its ink."""
    scale = random.uniform(3, 10)
    return ImageOps.invert(enlarge(crop_digit(digit), scale))


def draw_on_white(digit: Bytes, margin: int = MARGIN) -> Image.Image:
    """Draw a digit of MNIST, enlarged, in black on white."""
    enlarged = enlarge(crop_digit(digit), SCALE)
    return ImageOps.invert(ImageOps.expand(enlarged, margin))


def crop_digit(digit: Bytes) -> Image.Image:
    """Return a digit without anything around its ink."""
    picture = Image.fromarray(digit)
    return picture.crop(picture.getbbox())


def enlarge(picture: Image.Image, scale: float) -> Image.Image:
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC)


def rule(picture: Image.Image, rows: Sequence[int], grey: int, width: int) -> None:
    """Draw lines across a picture."""
    pencil = ImageDraw.Draw(picture)
    for row in rows:
        pencil.line((0, row, picture.width, row), fill=grey, width=width)


# What is drawn from one digit.
KINDS: dict[str, Callable[[Bytes, Generator], Image.Image]] = {
    "frame": draw_frame,
    "lines": draw_lines,
    "ruled": draw_ruled,
    "squared": draw_squared,
    "cell": draw_cell,
    "thin": draw_thin,
    "faint": draw_faint,
    "tight": draw_tight,
    "form": draw_form,
}
TIGHT_DIGITS = (1, 7)  # whose strokes could be taken for lines


def write_hard_pictures(
    images: Bytes, labels: Labels, folder: Path, kind: str, count: int, seed: int
) -> Iterator[tuple[Path, int]]:
    """Write pictures of a kind; yield each file with the index of its image.

    Args:
        images: Of MNIST, (n, 28, 28).
        labels: The digits that they show, (n,).
        folder: Where the files go, as PNG.
        kind: One of KINDS; "tight" is drawn from TIGHT_DIGITS alone.
        count: How many.
        seed: Of what is drawn.
    """
    random = numpy.random.default_rng((seed, list(KINDS).index(kind)))
    indices = random.permutation(len(images))
    if kind == "tight":
        indices = indices[numpy.isin(labels[indices], TIGHT_DIGITS)]
    for index in indices[:count]:
        picture = KINDS[kind](images[index], random)
        path = folder / f"{kind}-{index}.png"
        picture.save(path)
        yield path, int(index)
