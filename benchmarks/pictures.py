"""Pictures of digits, drawn from MNIST's images: what people might give to `predict`.

Six kinds: ink on paper and chalk on a board, photographed in uneven light and with
grain; scans; transparent ink; small, in a corner of a page; photographs that EXIF says
to turn. Everything is a function of the random generator that is passed in.
"""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageOps

KINDS = ("paper", "board", "scan", "transparent", "corner", "turned")
Array = NDArray[numpy.float64]
Bytes = NDArray[numpy.uint8]
EXIF_ORIENTATION = 0x0112
# What EXIF calls an orientation, and the degrees that a picture has to be turned to get
# it.
TURNS = [(3, 180), (6, 90), (8, 270)]
CORNER_PAGE = (1200, 1600)  # height, width in pixels
DUST = 90  # its level of grey


def draw_picture(digit: Bytes, kind: str, random: Generator) -> Image.Image:
    """Draw a digit, uint8 (28, 28), as a picture of one of the KINDS."""
    page_height = int(random.integers(360, 720))
    page_width = int(random.integers(480, 960))
    height = random.uniform(0.2, 0.6) * min(page_height, page_width)
    if kind == "corner":
        page_height, page_width = CORNER_PAGE
        height = random.uniform(40, 90)
    # As sharp as its writer's hand left it, or as blurred as a lens did.
    sharpness = random.uniform(1, 1 + height / 28)
    strokes = enlarge_strokes(digit, height, sharpness)
    page = numpy.zeros((page_height, page_width))
    ink = place_strokes(strokes, page, kind, random)
    if kind == "transparent":
        return draw_transparent(ink, random)
    if kind == "scan":
        return draw_scan(ink, random)
    return draw_photograph(ink, kind, random)


def enlarge_strokes(digit: Bytes, length: float, sharpness: float) -> Array:
    """Cut a digit out and enlarge it to a length in pixels; ink from 0 to 1."""
    picture = Image.fromarray(digit)
    box = picture.getbbox()
    assert box is not None  # no digit of MNIST is empty
    picture = picture.crop(box)
    scale = length / max(picture.size)
    picture = ImageOps.expand(picture, 2)
    width = round(picture.width * scale)
    height = round(picture.height * scale)
    large = picture.resize((width, height), Image.Resampling.BICUBIC)
    ink = numpy.asarray(large) / 255
    sharp = (ink - 0.5) * sharpness + 0.5
    return numpy.clip(sharp, 0, 1)


def place_strokes(strokes: Array, page: Array, kind: str, random: Generator) -> Array:
    """Put strokes anywhere on an empty page; near one of its corners for "corner"."""
    height, width = strokes.shape
    last_top = page.shape[0] - height
    last_left = page.shape[1] - width
    top = random.integers(0, last_top + 1)
    left = random.integers(0, last_left + 1)
    if kind == "corner":
        top, left = random.integers(5, 60, 2)
        if random.random() >= 0.5:
            top = last_top - top
        if random.random() >= 0.5:
            left = last_left - left
    page[top : top + height, left : left + width] = strokes
    return page


def draw_transparent(ink: Array, random: Generator) -> Image.Image:
    """Draw dark or light ink on a transparent ground."""
    if random.random() < 0.5:
        colour = random.integers(0, 100, 3)
    else:
        colour = random.integers(156, 256, 3)
    layers = []
    for channel in colour:
        layers.append(numpy.full(ink.shape, channel))
    layers.append(ink * 255)
    return to_picture(numpy.dstack(layers))


def draw_scan(ink: Array, random: Generator) -> Image.Image:
    """Draw grey ink on white, with the noise of a sensor and some dust."""
    height, width = ink.shape
    darkness = random.uniform(140, 250)
    white = 255 - random.uniform(0, 10)
    grey = white - ink * darkness
    grey += random.normal(0, 4, ink.shape)
    count = random.integers(0, 30)
    rows = random.integers(0, height, count)
    columns = random.integers(0, width, count)
    grey[rows, columns] = DUST
    return to_picture(grey)


def draw_photograph(ink: Array, kind: str, random: Generator) -> Image.Image:
    """Draw a pen on paper, or chalk on a board, in uneven light and with grain."""
    height, width = ink.shape
    ground = random.uniform(190, 250, 3)
    pen = random.uniform(10, 110, 3)
    if kind == "board":
        ground = random.uniform(20, 80, 3)
        pen = random.uniform(190, 250, 3)
    depth = random.uniform(0.2, 0.6)
    light = draw_light(height, width, random, depth)
    ink = ink[..., None]  # (height, width, 1)
    light = light[..., None]
    colours = ground + ink * (pen - ground)  # (height, width, 3)
    colours *= light
    strength = random.uniform(2, 10)
    colours += random.normal(0, strength, ink.shape)
    colours += random.normal(0, 3, colours.shape)
    return to_picture(colours)


def draw_light(height: int, width: int, random: Generator, depth: float) -> Array:
    """Return how bright a lamp makes each place: a slope and a spot, 1 - depth to 1."""
    y, x = numpy.mgrid[:height, :width] / max(height, width)
    angle = random.uniform(0, 2 * numpy.pi)
    top, left = random.uniform(0, 1, 2)
    slope = x * numpy.cos(angle)
    slope += y * numpy.sin(angle)
    distance = (y - top) ** 2
    distance += (x - left) ** 2
    size = random.uniform(0.2, 1.0)
    spot = numpy.exp(-distance / size)
    steepness = random.uniform(0, 1)
    light = slope * steepness + spot
    light -= light.min()
    brightness: Array = light / light.max()
    return 1 - depth + depth * brightness


def to_picture(levels: Array) -> Image.Image:
    """Round levels down to bytes: grey, RGB or RGBA by their last axis."""
    clipped = numpy.clip(levels, 0, 255)
    return Image.fromarray(clipped.astype(numpy.uint8))


def save_picture(
    picture: Image.Image, kind: str, path: Path, random: Generator
) -> Path:
    """Save a picture in the format of its kind; return the path with its suffix."""
    if kind in ("scan", "transparent"):
        path = path.with_suffix(".png")
        picture.save(path)
        return path
    path = path.with_suffix(".jpg")
    if kind != "turned":
        picture.save(path, quality=85)
        return path
    orientation, degrees = TURNS[random.integers(3)]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    picture = picture.rotate(degrees, expand=True)
    picture.save(path, quality=85, exif=exif)
    return path


def write_pictures(
    images: Bytes, folder: Path, kind: str, count: int, seed: int
) -> Iterator[tuple[Path, int]]:
    """Write pictures of a kind; yield each file with the index of its image."""
    random = numpy.random.default_rng((seed, KINDS.index(kind)))
    indices = random.permutation(len(images))
    for index in indices[:count]:
        picture = draw_picture(images[index], kind, random)
        path = folder / f"{kind}-{index}"
        path = save_picture(picture, kind, path, random)
        yield path, int(index)


def write_page_pictures(
    images: Bytes, count: int, folder: Path
) -> list[tuple[int, Path]]:
    """Write pictures of all kinds in turn, as a page can be given them without loss.

    They are PNG files, except those to turn, as only a JPEG says how. Returns the index
    of each image with its file.
    """
    random = numpy.random.default_rng(0)
    indices = random.permutation(len(images))
    written: list[tuple[int, Path]] = []
    for index, kind in zip(indices[:count], cycle(KINDS), strict=False):
        picture = draw_picture(images[index], kind, random)
        path = folder / f"{index}.png"
        if kind == "turned":
            path = save_picture(picture, kind, path, random)
        elif kind == "corner":
            picture.convert("L").save(path)  # in colour, it would take 6 MB
        else:
            picture.save(path)
        written.append((int(index), path))
    return written
