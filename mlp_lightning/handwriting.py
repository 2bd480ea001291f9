"""A picture of a handwritten digit -> the image that MNIST would have made of it.

`read_digit` goes the whole way: it opens a picture, finds the digit in it (ink.py),
looks once more from close by, cuts the digit out, scales it and centres it.
"""

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mlp_lightning.ink import (
    Box,
    FloatArray,
    Picture,
    SegmentedDigit,
    dilate_mask,
    frame_digit,
    round_half_up,
    segment_digit,
)

FilePath = str | os.PathLike[str]
PictureBatch = tuple[Tensor, Sequence[str], list[str]]

# A larger picture is refused before it is decoded: in float32, this many take 200 MB.
MAX_PIXELS = 50_000_000

DEEP_MODES = ("I", "F")  # how Pillow calls pictures of more than 8 bits

# How Apple's photographs begin, after four bytes and b"ftyp" (ISO/IEC 23008-12).
HEIC_BRANDS = b"heic heix heim heis hevc hevx hevm hevs".split()
HEIC_SUFFIXES = (".heic", ".heif")

# Ink is what is stronger than this share of the strongest ink. The whole picture may
# hold shadows and dust, so only strong ink counts there. From close by, the thin ends
# of strokes count as well.
OVERVIEW_THRESHOLD = 0.4
CLOSE_UP_THRESHOLD = 0.15

# A digit is at least this many times as strong as the grain around it: in photographs
# of blank paper, the strongest grain reaches 3 times the rest; digits begin at 4.
MIN_STRENGTH_TO_GRAIN = 3.5
GRAIN_PERCENTILE = 95
# Whatever the grain is, weaker ink than this is none ...
MIN_STRENGTH = 8  # grey levels
# ... and stronger ink than this is a digit.
SUFFICIENT_STRENGTH = 64  # grey levels

# Up to the first share of the digit's strength, ink becomes white; from the second,
# black.
WHITE_SHARE = 0.25
BLACK_SHARE = 0.9
SHARE_RANGE = BLACK_SHARE - WHITE_SHARE

# MNIST's form of a digit, in pixels (yann.lecun.com/exdb/mnist).
IMAGE_SIDE = 28
DIGIT_SIDE = 20  # the longer side of the digit itself
CENTRE = 14  # the row and the column of its centre of mass, counted from 0


class PictureError(ValueError):
    """No digit can be read from this picture; the message says why."""


@dataclass
class PictureLoader:
    """A data loader that reads picture files.

    A batch is `(images, files, errors)`: images uint8 (n, 28, 28), the n files, and n
    messages that say why no digit could be read from a file. The message is "" if a
    digit was read; if not, the image is black.
    """

    files: Sequence[str]
    batch_size: int = 20

    def __len__(self) -> int:
        batches = len(self.files) / self.batch_size
        return math.ceil(batches)

    def __iter__(self) -> Iterator[PictureBatch]:
        for start in range(0, len(self.files), self.batch_size):
            end = start + self.batch_size
            files = self.files[start:end]
            yield read_batch(files)


def read_batch(files: Sequence[str]) -> PictureBatch:
    """Return the images of the digits in these files, the files, and their errors."""
    shape = (len(files), IMAGE_SIDE, IMAGE_SIDE)
    images = torch.zeros(shape, dtype=torch.uint8)
    errors = [""] * len(files)
    for i, file in enumerate(files):
        try:
            images[i] = read_digit(file)
        except PictureError as error:
            errors[i] = str(error)
    return images, files, errors


def read_digit(path: FilePath) -> Tensor:
    """Return the digit in a picture as MNIST would have it: uint8 (28, 28), ink at 255.

    The digits of MNIST were scaled to a longer side of 20 pixels, with grey edges, and
    shifted until their centre of mass was in the middle of 28 x 28 pixels: LeCun,
    yann.lecun.com/exdb/mnist.

    Raises:
        PictureError: if Pillow cannot read the file, if the picture has more than
            MAX_PIXELS, or if it shows no ink.
    """
    picture = open_picture(path)
    whole = Box(0, 0, picture.width, picture.height)
    overview = segment_digit(picture, whole, OVERVIEW_THRESHOLD)
    if overview is None or is_grain(overview):
        raise PictureError("shows no ink")
    frame = frame_digit(overview, picture)
    close_up = segment_digit(picture, frame, CLOSE_UP_THRESHOLD)
    if close_up is None:
        raise PictureError("shows no ink")
    cut_out = cut_out_digit(close_up)
    scaled = scale_digit(cut_out)
    return centre_digit(scaled)


def open_picture(path: FilePath) -> Picture:
    """Return a picture, upright and opaque, in Pillow's mode F: grey, float32.

    Its grey levels go from 0, black, to 255, white.

    Raises:
        PictureError: if Pillow cannot read the file, or if the picture has more than
            MAX_PIXELS.
    """
    with pillow_errors_refused(path):
        picture = Image.open(path)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            megapixels = MAX_PIXELS // 10**6
            raise PictureError(f"is larger than {megapixels} megapixels")
        with pillow_errors_refused(path):
            upright = ImageOps.exif_transpose(picture)  # which decodes it
    if upright.mode.startswith(DEEP_MODES):
        with pillow_errors_refused(path):
            levels = numpy.asarray(upright, numpy.float32)
        return stretch_grey_levels(levels)
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    with pillow_errors_refused(path):
        coloured = upright.convert(mode)
    if mode == "RGBA":
        return fill_transparency(coloured)
    return coloured.convert("L").convert("F")


@contextmanager
def pillow_errors_refused(path: FilePath) -> Iterator[None]:
    """Raise a PictureError for whatever Pillow raises, and keep its warnings quiet.

    Only calls of Pillow belong inside. A broken file makes its readers raise errors of
    any type, and a mistake in our own steps must not pass for one of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise PictureError(describe_unidentified_file(path)) from error
    except Exception as error:
        words = str(error).split()  # a message may have more than one line
        reason = " ".join(words) or type(error).__name__
        raise PictureError(f"cannot be read: {reason}") from error


def describe_unidentified_file(path: FilePath) -> str:
    """Return what is wrong with a file whose format Pillow does not know."""
    with open(path, "rb") as file:
        size = file.read(4)
        box_type = file.read(4)
        brand = file.read(4)
    if not size:
        return "is empty"
    suffix = Path(path).suffix.lower()
    has_heic_brand = box_type == b"ftyp" and brand in HEIC_BRANDS
    if has_heic_brand or suffix in HEIC_SUFFIXES:
        return (
            "is in Apple's HEIC format, which Pillow cannot read: "
            "save it as JPEG or PNG"
        )
    return "is no picture"


def stretch_grey_levels(grey: FloatArray) -> Picture:
    """Bring grey levels of any range to that from 0 to 255; return mode F."""
    grey = numpy.nan_to_num(grey, posinf=0, neginf=0)
    # Levels near the limits of float32 overflow. Such a picture then shows no ink.
    with numpy.errstate(over="ignore", invalid="ignore"):
        lowest = grey.min()
        span = max(numpy.ptp(grey), 1e-9)  # a picture may have one level only
        stretched = 255 * (grey - lowest) / span
    return Image.fromarray(stretched)


def fill_transparency(picture: Picture) -> Picture:
    """Lay a picture of mode RGBA on an opaque ground; return it grey, in mode F."""
    opaque = picture.convert("L")
    alpha = picture.getchannel("A")
    grey = numpy.asarray(opaque, numpy.float32)
    opacity = numpy.asarray(alpha, numpy.float32) / 255
    visible = grey * opacity
    weight = max(opacity.sum(), 1)
    mean_grey = visible.sum() / weight
    if opacity.mean() > 0.5:  # paper with holes, which must not look like strokes
        ground = mean_grey
    elif mean_grey < 128:  # nothing but dark ink
        ground = 255
    else:  # nothing but light ink
        ground = 0
    transparency = 1 - opacity
    filling = numpy.float32(ground) * transparency
    return Image.fromarray(visible + filling)


def is_grain(digit: SegmentedDigit) -> bool:
    """Tell whether this is no digit, but what stands out most in a blank picture."""
    min_strength: float = MIN_STRENGTH
    background = digit.ink[~digit.mask]
    if background.size:
        grain = numpy.percentile(abs(background), GRAIN_PERCENTILE)
        above_grain = float(MIN_STRENGTH_TO_GRAIN * grain)
        min_strength = min(SUFFICIENT_STRENGTH, above_grain)
        min_strength = max(MIN_STRENGTH, min_strength)
    return digit.strength < min_strength


def cut_out_digit(digit: SegmentedDigit) -> FloatArray:
    """Return the digit's ink, from 0 to 1, without anything around the digit."""
    share = digit.ink / digit.strength
    ink = (share - WHITE_SHARE) / SHARE_RANGE
    ink = ink.clip(0, 1)
    ink = ink * dilate_mask(digit.mask)
    top, left, bottom, right = digit.extent
    return ink[top:bottom, left:right]


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
    mass = ink.sum()
    row_masses = ink.sum(axis=1)
    column_masses = ink.sum(axis=0)
    mean_row = row_masses @ numpy.arange(height) / mass
    mean_column = column_masses @ numpy.arange(width) / mass
    top = find_start(mean_row, height)
    left = find_start(mean_column, width)
    bottom = top + height
    right = left + width
    levels = torch.from_numpy(ink / ink.max() * 255)
    image = torch.zeros(IMAGE_SIDE, IMAGE_SIDE, dtype=torch.uint8)
    image[top:bottom, left:right] = levels.round()
    return image


def find_start(mean: float, side: int) -> int:
    """Return at which row or column a digit begins, so that its mean is at CENTRE."""
    start = round_half_up(CENTRE - mean)
    last_start = IMAGE_SIDE - side
    return min(max(start, 0), last_start)
