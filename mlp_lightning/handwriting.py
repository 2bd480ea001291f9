"""A picture of a handwritten digit -> the image that MNIST would have made of it.

`read_digit` goes the whole way: it opens a picture (pictures.py), finds the digit in it
(digits.py), looks once more from close by, cuts the digit out, widens thin strokes,
scales the digit and centres it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mlp_lightning.components import dilate_mask, find_extent
from mlp_lightning.digits import (
    OVERVIEW_THRESHOLD,
    SegmentedDigit,
    find_paper,
    is_grain,
    look_closer,
    segment_digit,
    shows_several,
)
from mlp_lightning.ink import Box, FloatArray, Picture, round_half_up, shrink_box
from mlp_lightning.pictures import FilePath, PictureError, open_picture
from mlp_lightning.strokes import measure_stroke_width, widen_strokes

PictureBatch = tuple[Tensor, Sequence[str], list[str]]

# Up to the first share of the digit's strength, ink becomes white; from the second,
# black.
WHITE_SHARE = 0.25
BLACK_SHARE = 0.9
SHARE_RANGE = BLACK_SHARE - WHITE_SHARE

# MNIST's form of a digit, in pixels (yann.lecun.com/exdb/mnist).
IMAGE_SIDE = 28
DIGIT_SIDE = 20  # the longer side of the digit itself
CENTRE = 14  # the row and the column of its centre of mass, counted from 0
# How far a centre of mass may be from there: half a pixel, and what rounding adds in
# two of the 60,000 training images.
MAX_CENTRE_OFFSET = 0.53

# Thinner strokes are widened to so many pixels of the image. In MNIST, 1 of 4 digits
# has thinner ones, as `measure_stroke_width` measures; most pens on paper write such.
MIN_STROKE_WIDTH = 2.6


@dataclass
class PictureLoader:
    """A data loader that reads picture files.

    A batch is `(images, files, errors)`: images uint8 (n, 28, 28), the n files, and n
    messages that say why a file could not be read. The message is "" if it was read; if
    not, the image is black.
    """

    files: Sequence[str]
    # From a file to its image, uint8 (28, 28).
    read: Callable[[str], Tensor]
    batch_size: int = 20

    def __len__(self) -> int:
        batches = len(self.files) / self.batch_size
        return math.ceil(batches)

    def __iter__(self) -> Iterator[PictureBatch]:
        for start in range(0, len(self.files), self.batch_size):
            end = start + self.batch_size
            files = self.files[start:end]
            yield read_batch(files, self.read)


def read_batch(files: Sequence[str], read: Callable[[str], Tensor]) -> PictureBatch:
    """Return the images in these files, the files, and their errors."""
    shape = (len(files), IMAGE_SIDE, IMAGE_SIDE)
    images = torch.zeros(shape, dtype=torch.uint8)
    errors = [""] * len(files)
    for i, file in enumerate(files):
        try:
            images[i] = read(file)
        except PictureError as error:
            errors[i] = str(error)
    return images, files, errors


def read_digit(path: FilePath) -> Tensor:
    """Return the digit in a picture as MNIST would have it: uint8 (28, 28), ink at 255.

    The digits of MNIST were scaled to a longer side of 20 pixels, with grey edges, and
    shifted until their centre of mass was in the middle of 28 x 28 pixels: LeCun,
    yann.lecun.com/exdb/mnist. A picture that has this form already stays as it is.

    Raises:
        PictureError: if Pillow cannot read the file, if the picture has more than
            MAX_PIXELS, if it shows no ink, or more than one digit.
    """
    picture = open_picture(path)
    image = find_mnist_image(picture)
    if image is not None:
        return image
    whole = Box(0, 0, picture.width, picture.height)
    paper = find_paper(shrink_box(picture, whole), OVERVIEW_THRESHOLD)
    overview = segment_digit(paper, OVERVIEW_THRESHOLD)
    if overview is None or is_grain(overview):
        raise PictureError("shows no ink")
    if shows_several(overview):
        raise PictureError("shows more than one digit")
    close_up = look_closer(picture, overview)
    if close_up is None:
        raise PictureError("shows no ink")
    ink = cut_out_digit(close_up)
    ink = widen_thin_strokes(ink)
    scaled = scale_digit(ink)
    return centre_digit(scaled)


def find_mnist_image(picture: Picture) -> Tensor | None:
    """Return the picture as uint8 (28, 28), ink at 255, if it has MNIST's form.

    It has if it is that large, black or white outside of the digit, and the digit is
    at most as large as MNIST's digits, and centred as they are.
    """
    if picture.size != (IMAGE_SIDE, IMAGE_SIDE):
        return None
    grey = numpy.asarray(picture)
    levels = grey.round().astype(numpy.uint8)
    if (levels != grey).any():
        return None
    for ink in (levels, 255 - levels):
        if is_mnist_image(ink):
            return torch.from_numpy(ink)
    return None


def is_mnist_image(ink: NDArray[numpy.uint8]) -> bool:
    """Tell whether an image, (28, 28), has the form of one of MNIST's."""
    if not ink.any():
        return False
    if find_extent(ink > 0).longer_side > DIGIT_SIDE:
        return False
    centre = find_centre(ink.astype(numpy.float64))
    offsets = numpy.abs(numpy.subtract(centre, CENTRE))
    return bool(offsets.max() <= MAX_CENTRE_OFFSET)


def cut_out_digit(digit: SegmentedDigit) -> FloatArray:
    """Return the digit's ink, from 0 to 1, without anything around the digit."""
    share = digit.ink / digit.strength
    ink = (share - WHITE_SHARE) / SHARE_RANGE
    ink = ink.clip(0, 1)
    ink = ink * dilate_mask(digit.mask)
    top, left, bottom, right = digit.extent
    return ink[top:bottom, left:right]


def widen_thin_strokes(ink: FloatArray) -> FloatArray:
    """Return a digit's ink with strokes that will be about MIN_STROKE_WIDTH wide.

    Wider strokes stay as they are. A thinner one may end up 0.1 pixels short of it, as
    the digit grows with its strokes, and is then scaled down a little more.
    """
    scale = max(ink.shape) / DIGIT_SIDE  # pixels of the digit for each of the image
    missing_width = MIN_STROKE_WIDTH * scale - measure_stroke_width(ink)
    if missing_width <= 0:
        return ink
    return widen_strokes(ink, missing_width / 2)


def scale_digit(ink: FloatArray) -> NDArray[numpy.float64]:
    """Bring the longer side of a digit to DIGIT_SIDE by averaging areas."""
    height, width = ink.shape
    longer_side = max(height, width)
    scaled_height = round_half_up(height * DIGIT_SIDE / longer_side)
    scaled_width = round_half_up(width * DIGIT_SIDE / longer_side)
    scaled_height = max(1, scaled_height)
    scaled_width = max(1, scaled_width)
    size = (scaled_width, scaled_height)
    picture = Image.fromarray(ink)
    scaled = picture.resize(size, Image.Resampling.BOX)
    return numpy.asarray(scaled, numpy.float64)


def centre_digit(ink: NDArray[numpy.float64]) -> Tensor:
    """Return an image, uint8 (28, 28), with a digit's centre of mass at its CENTRE."""
    height, width = ink.shape
    mean_row, mean_column = find_centre(ink)
    top = find_start(mean_row, height)
    left = find_start(mean_column, width)
    bottom = top + height
    right = left + width
    levels = torch.from_numpy(ink / ink.max() * 255)
    image = torch.zeros(IMAGE_SIDE, IMAGE_SIDE, dtype=torch.uint8)
    image[top:bottom, left:right] = levels.round()
    return image


def find_centre(ink: NDArray[numpy.float64]) -> tuple[float, float]:
    """Return the mean row and the mean column of a digit's ink."""
    height, width = ink.shape
    mass = ink.sum()
    row_masses = ink.sum(axis=1)
    column_masses = ink.sum(axis=0)
    mean_row = row_masses @ numpy.arange(height) / mass
    mean_column = column_masses @ numpy.arange(width) / mass
    return float(mean_row), float(mean_column)


def find_start(mean: float, side: int) -> int:
    """Return at which row or column a digit begins, so that its mean is at CENTRE."""
    start = round_half_up(CENTRE - mean)
    last_start = IMAGE_SIDE - side
    return min(max(start, 0), last_start)
