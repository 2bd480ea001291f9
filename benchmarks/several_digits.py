"""Pictures of several digits, drawn from images of MNIST: they are to be refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy
from hard_pictures import BLACK, MARGIN, Bytes, crop_digit, enlarge
from numpy.random import Generator
from PIL import Image, ImageOps


def write_several_digits(
    images: Bytes, folder: Path, count: int, seed: int
) -> Iterator[Path]:
    """Write pictures of 2 to 5 digits side by side, and of pages of 6 to 40."""
    random = numpy.random.default_rng(seed)
    for number in range(count):
        is_page = number % 3 == 2
        digit_count = random.integers(6, 41) if is_page else random.integers(2, 6)
        indices = random.integers(0, len(images), digit_count)
        draw = draw_page if is_page else draw_number
        picture = draw(images[indices], random)
        path = folder / f"several-{number}.png"
        picture.save(path)
        yield path


def draw_number(digits: Bytes, random: Generator) -> Image.Image:
    """Draw digits, (n, 28, 28), side by side, as a number is written."""
    height = 0
    strokes = []
    for digit in digits:
        stroke = enlarge(crop_digit(digit), random.uniform(4.5, 5.5))
        strokes.append(stroke)
        height = max(height, stroke.height)
    gaps = random.integers(10, 40, len(digits))  # 2 to 8 of MNIST's pixels
    width = sum(stroke.width for stroke in strokes) + int(gaps.sum())
    picture = Image.new("L", (width + 2 * MARGIN, height + 2 * MARGIN), BLACK)
    left = MARGIN
    for stroke, gap in zip(strokes, gaps, strict=True):
        picture.paste(stroke, (left, MARGIN + (height - stroke.height) // 2))
        left += stroke.width + int(gap)
    return ImageOps.invert(picture)


def draw_page(digits: Bytes, random: Generator) -> Image.Image:
    """Draw digits, (n, 28, 28), in rows, as on a page of exercises."""
    columns = int(random.integers(3, 9))
    side = int(random.integers(40, 90))
    rows = -(-len(digits) // columns)
    picture = Image.new("L", (columns * side, rows * side), BLACK)
    for place, digit in enumerate(digits):
        row, column = divmod(place, columns)
        stroke = enlarge(Image.fromarray(digit), side / 28)
        picture.paste(stroke, (column * side, row * side))
    return ImageOps.invert(picture)
