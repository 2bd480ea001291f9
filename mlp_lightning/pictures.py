"""Anybody's picture file -> a grey picture, upright and opaque."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape, glob
from pathlib import Path

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from mlp_lightning.errors import SettingError
from mlp_lightning.ink import FloatArray, Picture

FilePath = str | os.PathLike[str]

# A larger picture is refused before it is decoded: in float32, this many take 200 MB.
MAX_PIXELS = 50_000_000

DEEP_MODES = ("I", "F")  # how Pillow calls pictures of more than 8 bits

# How Apple's photographs begin, after four bytes and b"ftyp" (ISO/IEC 23008-12).
HEIC_BRANDS = b"heic heix heim heis hevc hevx hevm hevs".split()
HEIC_SUFFIXES = (".heic", ".heif")
PREDICTION_FILES = ("predictions.csv", "predictions.png")  # of an earlier `predict`


class PictureError(ValueError):
    """No digit can be read from this picture; the message says why."""


def find_pictures(path: str) -> list[str]:
    """Return the files that a path means: a file, a folder, or a glob.

    Raises:
        SettingError: If there are none.
    """
    place = os.path.expanduser(path)
    if os.path.isfile(place):
        return [place]
    pattern = os.path.join(escape(place), "*") if os.path.isdir(place) else place
    files = [
        file
        for file in sorted(glob(pattern, recursive=True))
        if os.path.isfile(file) and os.path.basename(file) not in PREDICTION_FILES
    ]
    if not files:
        raise SettingError(f"images: no file, or folder with files, at {path}")
    return files


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
    stretched = numpy.nan_to_num(stretched, posinf=0, neginf=0)
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
