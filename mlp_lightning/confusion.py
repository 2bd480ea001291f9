"""The picture of a confusion matrix, and its largest mistakes in words."""

import math
from collections.abc import Sequence
from functools import partial

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mlp_lightning.drawing import (
    BACKGROUND,
    ELLIPSIS,
    GAP,
    TEXT_COLOUR,
    Picture,
    diverging_colours,
    enlarge,
)
from mlp_lightning.mlp import CLASS_NAMES

MAX_MATRIX_SIDE = 1_600  # pixels of the confusion matrix: a screen shows so many
MATRIX_CELL_SIDE = 48  # pixels of a count in the matrix, unless there are many classes
MAX_CLASS_NAME_LENGTH = 14  # characters of a class's name beside the matrix
NAME_FONT_SIZE = 14  # pixels
COUNT_SHARE = 3  # A cell is so many times as high as the font of its count, or more.
MIN_COUNT_FONT_SIZE = 8  # pixels: a smaller count could not be read
MAX_COLOUR = 0.67  # of full colour in the matrix: black counts stay legible


def draw_confusion_matrix(
    matrix: Tensor, classes: Sequence[str] = CLASS_NAMES
) -> Picture:
    """Draw the counts of a confusion matrix, integers, (n, n), rows: true classes.

    Correct predictions are blue and mistakes red, the stronger the larger their share
    of the row. The colour is that of the share's root, or few mistakes would not show.
    Names that are wider than a cell stand upright above the columns. Of many classes,
    the cells are smaller, down to mere colours.
    """
    matrix = matrix.cpu()
    names = [shorten(name, MAX_CLASS_NAME_LENGTH) for name in classes]
    font = ImageFont.load_default(NAME_FONT_SIZE)
    widest = max(font.getlength(name) for name in names)
    margin = MATRIX_CELL_SIDE  # for the names, left of the matrix and above it
    cell_side = find_cell_side(margin, len(names))
    is_upright = widest + GAP > cell_side
    if is_upright:
        margin = max(margin, math.ceil(widest) + 2 * GAP)
        cell_side = find_cell_side(margin, len(names))
    cells = enlarge(colour_matrix(matrix), cell_side * len(names))
    write_counts(cells, matrix, cell_side)
    size = (margin + cells.width, margin + cells.height)
    picture = Image.new("RGB", size, BACKGROUND)
    picture.paste(cells, (margin, margin))
    write_names(picture, names, margin, cell_side, is_upright)
    return picture


def shorten(name: str, max_length: int) -> str:
    """Return a name, or the beginning of a long one, in so many characters."""
    if len(name) <= max_length:
        return name
    return name[: max_length - 1] + ELLIPSIS


def find_cell_side(margin: int, classes: int) -> int:
    """Return the pixels of a cell of the confusion matrix."""
    fitting = (MAX_MATRIX_SIDE - margin) // classes
    fitting = max(1, fitting)
    return min(MATRIX_CELL_SIDE, fitting)


def colour_matrix(matrix: Tensor) -> Tensor:
    """Return the colours of a confusion matrix, uint8, (n, n, 3)."""
    row_sums = matrix.sum(dim=1, keepdim=True)
    row_sums = row_sums.clamp(min=1)
    shares = matrix / row_sums
    strengths = MAX_COLOUR * shares.sqrt()
    correct = strengths.diagonal()  # a view
    correct.neg_()
    return diverging_colours(strengths)


def write_counts(cells: Picture, matrix: Tensor, cell_side: int) -> None:
    """Write each count into the middle of its cell, if it could be read there."""
    font_size = min(NAME_FONT_SIZE, cell_side // COUNT_SHARE)
    if font_size < MIN_COUNT_FONT_SIZE:
        return
    draw = ImageDraw.Draw(cells)
    font = ImageFont.load_default(font_size)
    for row, counts in enumerate(matrix.tolist()):
        for column, count in enumerate(counts):
            middle = ((column + 0.5) * cell_side, (row + 0.5) * cell_side)
            draw.text(middle, str(count), TEXT_COLOUR, font, anchor="mm")


def write_names(
    picture: Picture,
    names: Sequence[str],
    margin: int,
    cell_side: int,
    is_upright: bool,
) -> None:
    """Write the names of the classes left of a confusion matrix and above it."""
    if cell_side < NAME_FONT_SIZE:
        return  # They would cover one another.
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(NAME_FONT_SIZE)
    write = partial(draw.text, fill=TEXT_COLOUR, font=font)
    middle = margin / 2
    are_characters = all(len(name) == 1 for name in names)
    heading = "true,\nread as" if are_characters else "true,\nanswer"
    write((middle, middle), heading, anchor="mm")
    places = [margin + (index + 0.5) * cell_side for index in range(len(names))]
    if not is_upright:
        for name, place in zip(names, places, strict=True):
            write((middle, place), name, anchor="mm")
            write((place, middle), name, anchor="mm")
        return
    # The names of the columns are written into rows, which are then turned.
    for name, place in zip(names, places, strict=True):
        write((GAP, place), name, anchor="lm")
    rows = (0, margin, margin, picture.height)
    columns = picture.crop(rows).transpose(Image.Transpose.ROTATE_90)
    picture.paste(columns, (margin, 0))
    picture.paste(BACKGROUND, rows)
    for name, place in zip(names, places, strict=True):
        write((margin - GAP, place), name, anchor="rm")


def most_confused(
    matrix: Tensor, classes: Sequence[str] = CLASS_NAMES, max_pairs: int = 5
) -> str:
    """Name the most frequent mistakes of a confusion matrix, integers, (n, n)."""
    mistakes = matrix.clone()
    mistakes.fill_diagonal_(0)
    counts = mistakes.flatten()  # (n * n,)
    max_pairs = min(max_pairs, len(counts))
    largest = counts.topk(max_pairs)
    phrases = []
    for index in largest.indices.tolist():
        count = counts[index].item()
        if count > 0:
            label, answer = divmod(index, len(classes))
            phrase = f"{classes[label]} as {classes[answer]} ({count})"
            phrases.append(phrase)
    return ", ".join(phrases)
