"""Anybody's picture of a handwritten digit -> the image that MNIST would have made of it."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MOST_PIXELS = 50_000_000
SIDE = 192  # pixels of the longer side of what is looked at: enough for each stroke of a digit


@dataclass
class Pictures:
    """A data loader over files: batches of images, uint8 (n, 28, 28), files, and errors, or ""."""

    files: Sequence[str]
    batch_size: int = 20

    def __len__(self) -> int:
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Sequence[str], list[str]]]:
        for start in range(0, len(self.files), self.batch_size):
            files = self.files[start : start + self.batch_size]
            images, errors = (
                torch.zeros(len(files), 28, 28, dtype=torch.uint8),
                [""] * len(files),
            )
            for i, file in enumerate(files):
                try:
                    images[i] = read_digit(file)
                except ValueError as error:
                    errors[i] = str(error)
            yield images, files, errors


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Return a picture, upright, opaque and grey, pixels float32; ValueError if it is none."""
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")
            return _flatten(picture)
    except UnidentifiedImageError as error:
        raise ValueError(
            "is no picture" if os.path.getsize(path) else "is empty"
        ) from error
    except (
        Exception
    ) as error:  # Pillow's readers raise whatever a broken file leads them to
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            text if text.startswith("is ") else f"cannot be read: {text}"
        ) from error


def _flatten(picture: Image.Image) -> Image.Image:
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"is larger than {MOST_PIXELS // 10**6} megapixels")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # more than 8 bits
        deep = numpy.nan_to_num(
            numpy.asarray(picture, numpy.float32), posinf=0, neginf=0
        )
        return Image.fromarray(255 * (deep - deep.min()) / max(numpy.ptp(deep), 1e-9))
    if not picture.has_transparency_data:
        return picture.convert("RGB").convert("L").convert("F")
    picture = picture.convert("RGBA")
    alpha = numpy.asarray(picture.getchannel("A"), numpy.float32) / 255
    grey = numpy.asarray(picture.convert("L"), numpy.float32)
    # on a ground like the rest of it; if that is little, it is ink, on a ground unlike it
    mean = (grey * alpha).sum() / max(alpha.sum(), 1)
    ground = mean if alpha.mean() > 0.5 else 255.0 * (mean < 128)
    return Image.fromarray(grey * alpha + numpy.float32(ground) * (1 - alpha))


def read_digit(path: str | os.PathLike[str]) -> Tensor:
    """Return the digit in a picture as MNIST would have it: uint8, (28, 28), the ink at 255.

    That is LeCun's procedure, yann.lecun.com/exdb/mnist: cut out, its longer side brought to 20
    pixels by averaging areas, its centre of mass put at the centre. Raises ValueError, saying why,
    if the file is no picture, or shows no ink.
    """
    picture = open_picture(path)
    ink, kept = _find_ink(picture, (0, 0, *picture.size), 0.4)
    grain = numpy.percentile(abs(ink[~kept]), 95) if not kept.all() else 0
    # grain reaches 3 in blank photographs, digits from 4
    if numpy.percentile(ink[kept], 75) < max(8, min(64, 3.5 * grain)):
        raise ValueError("shows no ink")
    # again, from close by: the digit and half of its size all around
    low, high = (
        numpy.array([f(i) for i in reversed(kept.nonzero())]) for f in (min, max)
    )
    margin, size = (high - low).max() / 2 + 2, numpy.array(picture.size)
    scale = size / (numpy.array(ink.shape[::-1]) - 2)
    corners = (low - margin - 1) * scale, (high + margin) * scale
    ink, kept = _find_ink(picture, tuple(numpy.clip(corners, 0, size).ravel()), 0.15)
    ink = ((ink / numpy.percentile(ink[kept], 75) - 0.25) / 0.65).clip(0, 1)
    around = numpy.pad(kept, 1)
    for _ in range(2):  # the pixels next to it, too, are part of its soft edge
        around = (around[:-2] | around[1:-1] | around[2:]).T
    rows, columns = (slice(min(i), max(i) + 1) for i in kept.nonzero())
    ink = (ink * around)[rows, columns].astype("float32")
    height, width = (max(1, _round(side * 20 / max(ink.shape))) for side in ink.shape)
    ink = numpy.asarray(
        Image.fromarray(ink).resize((width, height), Image.Resampling.BOX), float
    )
    # MNIST has the centre of mass, pixels counted from 0, within half a pixel of (14, 14)
    y = _round(14 - ink.sum(axis=1) @ numpy.arange(height) / ink.sum())
    x = _round(14 - ink.sum(axis=0) @ numpy.arange(width) / ink.sum())
    y, x = min(max(y, 0), 28 - height), min(max(x, 0), 28 - width)
    digit = torch.zeros(28, 28, dtype=torch.uint8)
    digit[y : y + height, x : x + width] = (
        torch.from_numpy(ink / ink.max() * 255).round().byte()
    )
    return digit


def _round(number: float) -> int:
    return int(number + 0.5)  # halves up, as page.html does


def _find_ink(picture: Image.Image, box: Any, threshold: float) -> Any:
    """Return how strong the ink is in a box of the picture, shrunk, and which of it is the digit.

    Both have an edge of one pixel around the box. The threshold is a share of the strongest ink.
    """
    sides = box[2] - box[0], box[3] - box[1]  # width, height
    scale = max(64, min(SIDE, max(sides))) / max(
        sides
    )  # averaged, or a tiny one repeated
    size = [max(1, _round(side * scale)) for side in sides]
    grey = numpy.asarray(picture.resize(size, Image.Resampling.BOX, box))
    # The paper is what is left without strokes; of the two guesses, the smoother one is right.
    guesses = _fill(grey), -_fill(-grey)
    rough = [
        sum((numpy.diff(guess, axis=i) ** 2).sum() for i in (0, 1)) for guess in guesses
    ]
    ink = guesses[0] - grey if rough[0] < rough[1] else grey - guesses[1]
    ink = numpy.pad(ink - numpy.median(ink.ravel()[::11]), 2)
    for _ in range(2):  # grain is evened out
        ink = ((ink[:-2] + ink[1:-1] + ink[2:]) / 3).T
    parts = _parts(ink > threshold * ink.max())
    if not parts:
        raise ValueError("shows no ink")
    masses = [ink[part].sum() for part in parts]
    main = parts[int(numpy.argmax(masses))]
    near = 1.5 * max(numpy.ptp(i) + 1 for i in main)
    kept = numpy.zeros(ink.shape, bool)
    for part, mass in zip(parts, masses, strict=True):
        away = max(abs(i.mean() - j.mean()) for i, j in zip(part, main, strict=True))
        kept[part] |= mass > 0.05 * max(masses) and away <= near
    return ink, kept


def _fill(grey: Any) -> Any:
    """Return grey without strokes darker than what is around them, in its row or its column."""
    for axis in (1, 0):  # the brightest on either side, the darker of the two
        before = numpy.maximum.accumulate(grey, axis)
        after = numpy.flip(numpy.maximum.accumulate(numpy.flip(grey, axis), axis), axis)
        grey = numpy.minimum(before, after)
    return grey


def _parts(mask: Any) -> list[Any]:
    """Return the rows and columns of each connected part of a mask."""
    mask = numpy.pad(mask, 1)
    width, parts = mask.shape[1], []
    left = set(mask.ravel().nonzero()[0].tolist())
    steps = [row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
    while left:
        part = [left.pop()]
        for pixel in part:  # grows meanwhile
            near = left.intersection([pixel + step for step in steps])
            left -= near
            part += near
        rows, columns = numpy.divmod(part, width)
        parts.append((rows - 1, columns - 1))
    return parts
