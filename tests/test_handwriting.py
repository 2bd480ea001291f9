import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from pictures import KINDS, draw, light, save, write
from PIL import Image
from torchvision.datasets.mnist import read_image_file

from mlp_lightning.handwriting import Pictures, read_digit


@pytest.fixture(scope="module")
def images(data_dir: Path) -> torch.Tensor:
    return read_image_file(str(data_dir / "MNIST/raw/t10k-images-idx3-ubyte"))


def distance(digit: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean difference of their pixels, in grey levels of 255."""
    return (digit.float() - other.float()).abs().mean().item()


def test_a_digit_of_mnist_reads_as_itself(images: torch.Tensor, tmp_path: Path) -> None:
    distances = []
    for image in images[:50]:
        Image.fromarray(image.numpy()).save(tmp_path / "a.png")
        distances.append(distance(read_digit(tmp_path / "a.png"), image))
    assert numpy.mean(distances) < 10
    assert max(distances) < 20


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_give_what_mnist_has(
    kind: str, images: torch.Tensor, tmp_path: Path
) -> None:
    read, naive = [], []
    for path, number in write(images.numpy(), tmp_path, kind, 12, seed=5):
        read.append(distance(read_digit(path), images[number]))
        small = Image.open(path).convert("RGBA").convert("L").resize((28, 28))
        naive.append(distance(torch.from_numpy(numpy.array(small)), images[number]))
    assert numpy.median(read) < 12
    assert numpy.median(naive) > 25  # a test that cannot fail would be none


def test_where_the_digit_is_and_how_large_does_not_matter(
    images: torch.Tensor, tmp_path: Path
) -> None:
    digits = []
    for height, top, left in ((60, 9, 9), (150, 140, 20), (280, 10, 5)):
        page = Image.new("L", (400, 300), 255)
        cut = images[0].numpy()[7:27, 6:22]  # the digit alone
        ink = Image.fromarray(255 - cut).resize((height * 16 // 20, height), 3)
        page.paste(ink, (left, top))
        page.save(tmp_path / "a.png")
        digits.append(read_digit(tmp_path / "a.png"))
    assert distance(digits[0], digits[1]) < 8
    assert distance(digits[1], digits[2]) < 6


def test_the_answer_is_as_mnist_makes_it(images: torch.Tensor, tmp_path: Path) -> None:
    random = numpy.random.default_rng(3)
    for number in range(20):
        path = save(
            draw(images[number].numpy(), "paper", random),
            "paper",
            tmp_path / "a",
            random,
        )
        digit = read_digit(path)
        assert digit.dtype == torch.uint8
        assert digit.shape == (28, 28)
        assert digit.max() == 255
        rows, columns = (
            (digit > 0).any(dim=1).nonzero(),
            (digit > 0).any(dim=0).nonzero(),
        )
        assert 18 <= max(len(rows), len(columns)) <= 20
        mass = digit.double()
        for axis in (0, 1):
            centre = (
                mass.sum(dim=1 - axis) @ torch.arange(28.0, dtype=torch.double)
            ) / mass.sum()
            assert abs(centre.item() - 14) <= 0.51


def _turned(picture: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.convert("RGB").rotate(90, expand=True).save(path, exif=exif, quality=95)


def _deep(picture: Image.Image, path: Path) -> None:
    array = numpy.asarray(picture).astype(numpy.uint16) * 257
    Image.fromarray(array).save(path)


def _floating(picture: Image.Image, path: Path) -> None:
    array = numpy.asarray(picture).astype(numpy.float32) / 255
    array[0, 0] = numpy.nan
    Image.fromarray(array).save(path)


def _transparent(ink: int) -> Callable[[Image.Image, Path], None]:
    def save(picture: Image.Image, path: Path) -> None:
        alpha = Image.eval(picture, lambda level: 255 - level)
        Image.merge("LA", [Image.new("L", picture.size, ink), alpha]).save(path)

    return save


FORMS: dict[str, tuple[str, Callable[[Image.Image, Path], None]]] = {
    "colour": ("png", lambda picture, path: picture.convert("RGB").save(path)),
    "palette": ("png", lambda picture, path: picture.convert("P").save(path)),
    "bilevel": (
        "png",
        lambda picture, path: picture.point(lambda x: 255 * (x > 127)).save(path),
    ),
    "light on dark": (
        "png",
        lambda picture, path: Image.eval(picture, lambda x: 255 - x).save(path),
    ),
    "16 bit": ("png", _deep),
    "16 bit TIFF": ("tiff", _deep),
    "float TIFF": ("tiff", _floating),
    "black ink": ("png", _transparent(0)),
    "white ink": ("webp", _transparent(255)),
    "JPEG": ("jpg", lambda picture, path: picture.save(path, quality=90)),
    "CMYK": (
        "jpg",
        lambda picture, path: picture.convert("CMYK").save(path, quality=95),
    ),
    "CMYK TIFF": ("tiff", lambda picture, path: picture.convert("CMYK").save(path)),
    "turned": ("jpg", _turned),
    "GIF": ("gif", lambda picture, path: picture.save(path)),
    "BMP": ("bmp", lambda picture, path: picture.save(path)),
    "WebP": ("webp", lambda picture, path: picture.save(path, lossless=True)),
    "LAB": (
        "tiff",
        lambda picture, path: picture.convert("RGB").convert("YCbCr").save(path),
    ),
    "a wrong ending": ("bmp", lambda picture, path: picture.save(path, format="png")),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_a_picture_gives_the_same(
    form: str, images: torch.Tensor, tmp_path: Path
) -> None:
    page = Image.new("L", (220, 180), 255)
    page.paste(Image.fromarray(255 - images[4].numpy()).resize((112, 112), 3), (60, 30))
    page.save(tmp_path / "grey.png")
    ending, write_form = FORMS[form]
    write_form(page, tmp_path / f"other.{ending}")
    digit = read_digit(tmp_path / "grey.png")
    assert distance(digit, images[4]) < 12
    limit = 10 if form == "bilevel" else 2  # has no soft edges
    assert distance(digit, read_digit(tmp_path / f"other.{ending}")) < limit


def _page(shape: tuple[int, int], grain: float, mode: str = "L") -> Image.Image:
    random = numpy.random.default_rng(1)
    grey = 200 * light(shape, random, 0.4) + random.normal(0, grain, shape)
    return Image.fromarray(grey.clip(0, 255).astype(numpy.uint8)).convert(mode)


def _png(width: int, height: int) -> bytes:
    """Return a PNG that says it is this large, and holds nothing."""
    chunks = b""
    for name, content in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
                          (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):  # fmt: skip
        check = zlib.crc32(name + content)
        chunks += (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
        )
    return b"\x89PNG\r\n\x1a\n" + chunks


BLANK = {
    "paper.png": _page((300, 400), 6),
    "photo.jpg": _page((600, 800), 10, "RGB"),
    "small.png": _page((28, 28), 3),
    "white.png": Image.new("L", (100, 100), 255),
    "black.gif": Image.new("L", (100, 100), 0),
    "pixel.png": Image.new("L", (1, 1), 7),
    "line.png": Image.new("L", (1, 900), 7),
    "nothing.png": Image.new("RGBA", (50, 50), (0, 0, 0, 0)),
    "deep.tiff": Image.fromarray(numpy.full((40, 40), 30_000, numpy.uint16)),
    "nan.tiff": Image.fromarray(numpy.full((40, 40), numpy.nan, numpy.float32)),
}
NONE = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"hello", "is no picture"),
    "page.jpg": (b"<html></html>", "is no picture"),
    "zip.png": (b"PK\x03\x04" + bytes(100), "is no picture"),
    "pickle.png": (b"\x80\x04N.", "is no picture"),
    "signature.png": (b"\x89PNG\r\n\x1a\n", "is no picture"),
    "large.png": (_png(8000, 8000), "is larger than 50 megapixels"),
    "bomb.png": (_png(60000, 60000), "cannot be read: Image size"),
    "hollow.png": (_png(100, 100), "cannot be read: image file is truncated"),
}


def test_a_picture_without_a_digit_gives_its_reason(tmp_path: Path) -> None:
    for name, picture in BLANK.items():
        picture.save(tmp_path / name)
        with pytest.raises(ValueError, match="shows no ink"):
            read_digit(tmp_path / name)
    for name, (content, reason) in NONE.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            read_digit(tmp_path / name)
    with pytest.raises(ValueError, match=r"cannot be read: .*No such"):
        read_digit(tmp_path / "missing.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tiff", "bmp", "webp"])
def test_a_damaged_picture_gives_a_digit_or_a_reason(
    ending: str, tmp_path: Path
) -> None:
    path, random = tmp_path / f"a.{ending}", numpy.random.default_rng(2)
    page = Image.new("RGB", (120, 90), "white")
    page.paste("navy", (50, 20, 60, 70))
    page.save(path)
    whole = path.read_bytes()
    reasons = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(1, len(whole) + 1)])
        (_, _, (error,)), *_ = Pictures([str(path)])
        reasons += bool(error)
        assert "\n" not in error
    assert reasons > 10
