"""Pictures from arrays: image grids, mistakes, the weights of a layer."""

import math
from collections.abc import Iterable, Sequence

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mlp_lightning.mlp import CLASS_NAMES, MEAN, STD

Picture = Image.Image
Pixels = NDArray[numpy.uint8] | Tensor | Picture
Cell = tuple[Pixels, str]  # of an image grid: an image and its title

IMAGE_SIDE = 28  # pixels of an image of MNIST
BACKGROUND = "white"
TEXT_COLOUR = "black"

COLUMNS = 10  # of an image grid
CELL_SIDE = 84  # pixels of an image in a grid: 28, each three times as large
GAP = 4  # pixels between two columns, and between two rows
TITLE_HEIGHT = 28  # pixels: two lines of text
LINE_HEIGHT = 16  # pixels of a third line
TITLE_FONT_SIZE = 12  # pixels
COLUMN_WIDTH = CELL_SIDE + GAP
ELLIPSIS = "…"

MAX_UNITS = 128  # in the picture of a layer: the width of the default network's first
WEIGHT_SCALE = 0.3  # A weight of this size has full colour, so that runs compare.


def image_grid(cells: Iterable[Cell]) -> Picture:
    """Draw square images in rows of ten, each above its title.

    Args:
        cells: Images with titles. An image is a uint8 array or CPU tensor, (side, side)
            in grey or (side, side, 3) in colour, or a picture.
    """
    cells = list(cells)
    line_breaks = [title.count("\n") for _, title in cells]
    more_lines = max([1, *line_breaks]) - 1  # than two
    row_height = CELL_SIDE + TITLE_HEIGHT + more_lines * LINE_HEIGHT + GAP
    grid = blank_grid(len(cells), row_height)
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(TITLE_FONT_SIZE)
    for index, cell in enumerate(cells):
        pixels, title = cell
        picture = enlarge(pixels, CELL_SIDE)
        row, column = divmod(index, COLUMNS)
        x = column * COLUMN_WIDTH
        y = row * row_height
        corner = (x, y)
        grid.paste(picture, corner)
        below = (x, y + CELL_SIDE)
        draw.text(below, title, TEXT_COLOUR, font)
    return grid


def blank_grid(cell_count: int, row_height: int) -> Picture:
    """Return a white grid with room for so many cells, and for one row at least."""
    rows = math.ceil(cell_count / COLUMNS)
    rows = max(1, rows)
    width = COLUMNS * COLUMN_WIDTH
    height = rows * row_height
    size = (width, height)
    return Image.new("RGB", size, BACKGROUND)


def fits_column(line: str) -> bool:
    """Return whether a line of a title is at most as wide as its image."""
    font = ImageFont.load_default(TITLE_FONT_SIZE)
    return font.getlength(line) <= CELL_SIDE


def fit_title(title: str) -> str:
    """Shorten the lines of a title that are wider than its image."""
    lines = []
    for line in title.split("\n"):
        shown = line
        while not fits_column(shown):
            line = line[:-1]
            shown = line + ELLIPSIS
        lines.append(shown)
    return "\n".join(lines)


def find_longest(names: Sequence[str]) -> str:
    """Return the name that is the widest in a title."""
    font = ImageFont.load_default(TITLE_FONT_SIZE)
    return max(names, key=font.getlength)


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


def denormalise(images: Tensor, mean: float = MEAN, std: float = STD) -> Tensor:
    """Return the pixels, uint8, (n, 28, 28), that `mlp.normalise` made these images of.

    Args:
        images: n * 784 numbers of any floating-point type, in any shape.
        mean: That they were normalised with.
        std: The standard deviation that they were normalised with.
    """
    images = images.float()
    brightness = images * std + mean  # from 0 to 1
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


def draw_mistakes(
    images: Tensor,
    labels: Tensor,
    answers: Tensor,
    probabilities: Tensor,
    classes: Sequence[str] = CLASS_NAMES,
) -> Picture:
    """Draw misread images, each above its label, the answer and its probability.

    Args:
        images: uint8, (n, 28, 28). All may be on any device.
        labels: Integers, (n,), as are the answers.
        answers: What the network takes the images for.
        probabilities: Floats, (n,). What has a probability of 0 is left out.
        classes: The names of the classes.
    """
    columns = [images.cpu(), labels.tolist(), answers.tolist(), probabilities.tolist()]
    longest = find_longest(classes)
    joint = " as " if fits_column(f"{longest} as {longest}") else "\nas "
    cells = []
    for image, label, answer, probability in zip(*columns, strict=True):
        if probability == 0:
            continue
        confusion = f"{classes[label]}{joint}{classes[answer]}"
        title = fit_title(f"{confusion}\n{probability:.1%}")
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
