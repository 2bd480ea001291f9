"""Pictures from arrays: image grids, a confusion matrix, the weights of a layer."""

import math
from collections.abc import Iterable, Sequence

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mlp_lightning.mlp import MEAN, STD

Picture = Image.Image
Pixels = NDArray[numpy.uint8] | Tensor | Picture
Cell = tuple[Pixels, str]  # of an image grid: an image and its title

IMAGE_SIDE = 28  # pixels of an image of MNIST
DIGITS = range(10)
BACKGROUND = "white"
TEXT_COLOUR = "black"

COLUMNS = 10  # of an image grid
CELL_SIDE = 84  # pixels of an image in a grid: 28, each three times as large
GAP = 4  # pixels between two columns, and between two rows
TITLE_HEIGHT = 28  # pixels: two lines of text
TITLE_FONT_SIZE = 12  # pixels
COLUMN_WIDTH = CELL_SIDE + GAP
ROW_HEIGHT = CELL_SIDE + TITLE_HEIGHT + GAP

MATRIX_COLUMNS = 11  # of the confusion matrix: the digits, after the headings
MATRIX_CELL_SIDE = 48  # pixels of a count in the matrix
MATRIX_SIDE = MATRIX_COLUMNS * MATRIX_CELL_SIDE
COUNT_FONT_SIZE = 14  # pixels
MAX_COLOUR = 0.67  # of full colour in the matrix: black counts stay legible

MAX_UNITS = 128  # in the picture of a layer: the width of the default network's first
WEIGHT_SCALE = 0.3  # A weight of this size has full colour, so that runs compare.


def image_grid(cells: Iterable[Cell]) -> Picture:
    """Draw square images in rows of ten, each above its title.

    Args:
        cells: Images with titles of at most two lines. An image is a uint8 array or
            CPU tensor, (side, side) in grey or (side, side, 3) in colour, or a picture.
    """
    cells = list(cells)
    grid = blank_grid(len(cells))
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(TITLE_FONT_SIZE)
    for index, cell in enumerate(cells):
        pixels, title = cell
        picture = enlarge(pixels, CELL_SIDE)
        row, column = divmod(index, COLUMNS)
        x = column * COLUMN_WIDTH
        y = row * ROW_HEIGHT
        corner = (x, y)
        grid.paste(picture, corner)
        below = (x, y + CELL_SIDE)
        draw.text(below, title, TEXT_COLOUR, font)
    return grid


def blank_grid(cell_count: int) -> Picture:
    """Return a white grid with room for so many cells, and for one row at least."""
    rows = math.ceil(cell_count / COLUMNS)
    rows = max(1, rows)
    width = COLUMNS * COLUMN_WIDTH
    height = rows * ROW_HEIGHT
    size = (width, height)
    return Image.new("RGB", size, BACKGROUND)


def enlarge(pixels: Pixels, side: int) -> Picture:
    """Return a square picture of a square image, whose pixels become squares."""
    array = numpy.asarray(pixels)
    picture = Image.fromarray(array)
    size = (side, side)
    return picture.resize(size, Image.Resampling.NEAREST)


def draw_sprites(images: Tensor) -> Picture:
    """Draw images, uint8, (n, 28, 28), in a square without gaps, row by row.

    What is left over at its end is black. TensorBoard takes such a picture apart.
    """
    count = len(images)
    side = math.ceil(math.sqrt(count))
    cells = images.new_zeros(side * side, IMAGE_SIDE, IMAGE_SIDE)
    cells[:count] = images
    rows = cells.view(side, side, IMAGE_SIDE, IMAGE_SIDE)
    rows = rows.transpose(1, 2)  # (side, 28, side, 28): the lines of pixels
    pixels = rows.reshape(side * IMAGE_SIDE, side * IMAGE_SIDE)
    return Image.fromarray(pixels.cpu().numpy())


def denormalise(images: Tensor) -> Tensor:
    """Return the pixels, uint8, (n, 28, 28), that `mlp.normalise` made these images of.

    Args:
        images: n * 784 numbers of any floating-point type, in any shape.
    """
    images = images.float()
    brightness = images * STD + MEAN  # from 0 to 1
    levels = 255 * brightness
    levels = levels.round()
    levels = levels.clamp(0, 255)
    pixels = levels.byte()
    return pixels.view(-1, IMAGE_SIDE, IMAGE_SIDE)


def diverging_colours(numbers: Tensor) -> Tensor:
    """Return a colour, uint8, (..., 3), for each number: blue -1, white 0, red 1."""
    numbers = numbers.clamp(-1, 1)
    negative = numbers.clamp(max=0)
    positive = numbers.clamp(min=0)
    red = 1 + negative
    blue = 1 - positive
    green = red.min(blue)
    channels = [red, green, blue]
    colours = torch.stack(channels, dim=-1)
    colours = 255 * colours
    return colours.byte()


def draw_confusion_matrix(matrix: Tensor) -> Picture:
    """Draw the counts of a confusion matrix, integers, (10, 10), rows: true digits.

    Correct predictions are blue and mistakes red, the stronger the larger their share
    of the row. The colour is that of the share's root, or few mistakes would not show.
    """
    matrix = matrix.cpu()
    colours = colour_matrix(matrix)
    picture = enlarge(colours, MATRIX_SIDE)
    header = ["true,\nread as", *DIGITS]
    write_row(picture, 0, header)
    for digit, counts in enumerate(matrix.tolist()):
        entries = [digit, *counts]
        row = digit + 1
        write_row(picture, row, entries)
    return picture


def colour_matrix(matrix: Tensor) -> Tensor:
    """Return the colours of a confusion matrix and its headings, uint8, (11, 11, 3)."""
    row_sums = matrix.sum(dim=1, keepdim=True)
    row_sums = row_sums.clamp(min=1)
    shares = matrix / row_sums
    strengths = MAX_COLOUR * shares.sqrt()
    correct = strengths.diagonal()  # a view
    correct.neg_()
    cells = torch.zeros(MATRIX_COLUMNS, MATRIX_COLUMNS)  # The headings are white.
    cells[1:, 1:] = strengths
    return diverging_colours(cells)


def write_row(picture: Picture, row: int, entries: Sequence[object]) -> None:
    """Write each entry into the middle of its cell in a row of the matrix."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(COUNT_FONT_SIZE)
    half = MATRIX_CELL_SIDE / 2
    y = row * MATRIX_CELL_SIDE + half
    for column, entry in enumerate(entries):
        x = column * MATRIX_CELL_SIDE + half
        middle = (x, y)
        text = str(entry)
        draw.text(middle, text, TEXT_COLOUR, font, anchor="mm")


def most_confused(matrix: Tensor, max_pairs: int = 5) -> str:
    """Name the most frequent mistakes of a confusion matrix, integers, (10, 10)."""
    mistakes = matrix.clone()
    mistakes.fill_diagonal_(0)
    counts = mistakes.flatten()  # (100,)
    largest = counts.topk(max_pairs)
    phrases = []
    for index in largest.indices.tolist():
        count = counts[index].item()
        if count > 0:
            label, digit = divmod(index, 10)
            phrase = f"{label} as {digit} ({count})"
            phrases.append(phrase)
    return ", ".join(phrases)


def draw_mistakes(
    images: Tensor, labels: Tensor, digits: Tensor, probabilities: Tensor
) -> Picture:
    """Draw misread images, each above its label, the digit read and its probability.

    Args:
        images: uint8, (n, 28, 28). All may be on any device.
        labels: Integers, (n,), as are the digits.
        probabilities: Floats, (n,). What has a probability of 0 is left out.
    """
    images = images.cpu()
    certainties = probabilities.tolist()
    cells = []
    for index, probability in enumerate(certainties):
        if probability == 0:
            continue
        image = images[index]
        label = labels[index]
        digit = digits[index]
        title = f"{label} as {digit}\n{probability:.1%}"
        cells.append((image, title))
    return image_grid(cells)


def draw_pixel_weights(weights: Tensor) -> Picture:
    """Draw the weights, (units, 784), of a layer of pixels, an image for each unit.

    Where a weight is red, ink adds to the unit's sum; where it is blue, ink takes away.
    """
    shown = weights[:MAX_UNITS].detach()
    shown = shown.float().cpu()
    strengths = shown / WEIGHT_SCALE
    colours = diverging_colours(strengths)  # (units, 784, 3)
    images = colours.view(-1, IMAGE_SIDE, IMAGE_SIDE, 3)
    cells = [(image, "") for image in images]
    return image_grid(cells)
