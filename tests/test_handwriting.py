import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image, ImageChops, ImageDraw
from PIL.PngImagePlugin import PngImageFile
from support import (
    HARD_KINDS,
    PICTURE_KINDS,
    draw_light,
    draw_picture,
    read_mnist,
    save_picture,
    write_hard_pictures,
    write_pictures,
    write_several_digits,
)

from mlp_lightning.components import connected_components, find_extent
from mlp_lightning.handwriting import PictureLoader, read_digit
from mlp_lightning.pictures import PictureError


@pytest.fixture(scope="module")
def images(data_dir: Path) -> torch.Tensor:
    return read_mnist(data_dir, "t10k")[0]


@pytest.fixture(scope="module")
def labels(data_dir: Path) -> torch.Tensor:
    return read_mnist(data_dir, "t10k")[1]


def distance(digit: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean difference of their pixels, in grey levels of 255."""
    return (digit.float() - other.float()).abs().mean().item()


def draw_page(image: torch.Tensor) -> Image.Image:
    """Draw an image of MNIST, four times as large, on white paper."""
    page = Image.new("L", (220, 180), 255)
    digit = Image.fromarray(255 - image.numpy())
    page.paste(digit.resize((112, 112), Image.Resampling.BICUBIC), (60, 30))
    return page


# ---- What is read


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_an_image_of_mnist_stays_as_it_is(
    mode: str, images: torch.Tensor, tmp_path: Path
) -> None:
    for image in images[:50]:
        white_on_black = Image.fromarray(image.numpy())
        black_on_white = Image.eval(white_on_black, lambda level: 255 - level)
        for picture in (white_on_black, black_on_white):
            picture.convert(mode).save(tmp_path / "a.png")
            assert torch.equal(read_digit(tmp_path / "a.png"), image)


@pytest.mark.parametrize("shift", [(2, 0), (0, 2)])
def test_a_small_image_that_is_not_centred_is_read_as_any_picture(
    shift: tuple[int, int], images: torch.Tensor, tmp_path: Path
) -> None:
    for image in images[:10]:
        moved = image.roll(shift, dims=(0, 1))
        Image.fromarray(moved.numpy()).save(tmp_path / "a.png")
        digit = read_digit(tmp_path / "a.png")
        assert not torch.equal(digit, moved)
        assert distance(digit, image) < 20


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_pictures_give_what_mnist_has(
    kind: str, images: torch.Tensor, tmp_path: Path
) -> None:
    distances = []
    naive_distances = []
    for path, number in write_pictures(images.numpy(), tmp_path, kind, 12, seed=5):
        image = images[number]
        distances.append(distance(read_digit(path), image))
        resized = Image.open(path).convert("RGBA").convert("L").resize((28, 28))
        naive = torch.from_numpy(numpy.array(resized))
        naive_distances.append(distance(naive, image))
    assert numpy.median(distances) < 12
    # The limit means something only if a resized picture is beyond it.
    assert numpy.median(naive_distances) > 25


def test_a_small_digit_is_not_taken_for_a_frame(
    images: torch.Tensor, tmp_path: Path
) -> None:
    distances = []
    for image in images[:60]:
        digit = Image.fromarray(255 - image.numpy())
        page = Image.new("L", (190, 190), 255)
        page.paste(digit.resize((14, 14), Image.Resampling.BICUBIC), (8, 8))
        page.save(tmp_path / "a.png")
        distances.append(distance(read_digit(tmp_path / "a.png"), image))
    assert numpy.median(distances) < 25


# What the pictures of a kind may differ by from MNIST's images, as the median of ten.
# Some are thicker than what a thin pen wrote, or were written over lines.
HARD_LIMITS = {
    "frame": 12,
    "lines": 12,
    "ruled": 14,
    "squared": 14,
    "cell": 14,
    "thin": 20,
    "faint": 12,
    "tight": 12,
    "form": 14,
}


@pytest.mark.parametrize("kind", HARD_KINDS)
def test_hard_pictures_give_what_mnist_has(
    kind: str, images: torch.Tensor, labels: torch.Tensor, tmp_path: Path
) -> None:
    distances = []
    pictures = write_hard_pictures(
        images.numpy(), labels.numpy(), tmp_path, kind, count=10, seed=5
    )
    for path, number in pictures:
        distances.append(distance(read_digit(path), images[number]))
    assert numpy.median(distances) < HARD_LIMITS[kind]


def test_a_digit_that_touches_a_frame_is_read_from_close_by(
    images: torch.Tensor, tmp_path: Path
) -> None:
    """From there, the frame's sides end within the picture, and look like strokes."""
    path = tmp_path / "digit.png"
    for image in images[:5]:
        page = draw_page(image)
        page.save(path)
        expected = read_digit(path)
        ink = find_extent(numpy.asarray(page) < 128)
        frame = (ink.left - 2, 15, 200, 165)
        ImageDraw.Draw(page).rectangle(frame, outline=0, width=3)
        page.save(path)
        assert distance(read_digit(path), expected) < 15


def test_a_small_digit_on_ruled_paper_is_read(
    images: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "digit.png"
    for image in images[:10]:
        page = Image.new("L", (900, 900), 255)
        digit = Image.fromarray(255 - image.numpy())
        page.paste(digit.resize((126, 126), Image.Resampling.BICUBIC), (387, 387))
        lines = Image.new("L", page.size, 255)
        for row in range(30, 900, 90):
            ImageDraw.Draw(lines).line((0, row, 900, row), fill=120, width=3)
        ImageChops.darker(page, lines).save(path)
        assert distance(read_digit(path), image) < 20


def test_a_faint_digit_that_covers_most_of_its_picture_is_read(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    digits = []
    for ink in (0, 191):
        picture = Image.new("L", (90, 120), 255)
        pencil = ImageDraw.Draw(picture)
        pencil.ellipse((-10, -10, 99, 129), fill=ink)
        pencil.ellipse((38, 40, 52, 80), fill=255)
        picture.save(path)
        digits.append(read_digit(path))
    strong, faint = digits
    assert distance(faint, strong) < 2


def test_several_digits_are_told(images: torch.Tensor, tmp_path: Path) -> None:
    for path in write_several_digits(images.numpy(), tmp_path, count=15, seed=5):
        with pytest.raises(PictureError, match=r"^shows more than one digit$"):
            read_digit(path)


def test_a_digit_of_several_strokes_is_one_digit(tmp_path: Path) -> None:
    lines = {
        "5 with its bar apart": [
            (60, 60, 60, 100, 100, 100, 100, 150, 55, 150),
            (66, 46, 110, 46),
        ],
        "open 4": [(60, 40, 50, 100, 90, 100), (104, 60, 104, 150)],
        "dotted 0": [(50, 50, 110, 50, 110, 150, 50, 150, 50, 50), (72, 98, 88, 104)],
    }
    for strokes in lines.values():
        picture = Image.new("L", (160, 200), 255)
        for stroke in strokes:
            ImageDraw.Draw(picture).line(stroke, fill=0, width=8)
        picture.save(tmp_path / "a.png")
        digit = read_digit(tmp_path / "a.png")
        for stroke in strokes:  # Without any of them, another digit would come out.
            ImageDraw.Draw(picture).line(stroke, fill=255, width=8)
            picture.save(tmp_path / "a.png")
            assert distance(read_digit(tmp_path / "a.png"), digit) > 2
            ImageDraw.Draw(picture).line(stroke, fill=0, width=8)


def test_a_light_digit_on_a_dark_ground_may_be_cropped(
    images: torch.Tensor, tmp_path: Path
) -> None:
    distances = []
    for image in images[:20]:
        picture = Image.fromarray(image.numpy())
        cropped = picture.crop(picture.getbbox())
        size = (6 * cropped.width, 6 * cropped.height)
        cropped.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "a.png")
        distances.append(distance(read_digit(tmp_path / "a.png"), image))
    assert numpy.median(distances) < 12
    assert sum(number > 25 for number in distances) <= 1


def test_where_the_digit_is_and_how_large_does_not_matter(
    images: torch.Tensor, tmp_path: Path
) -> None:
    ink = 255 - images[0].numpy()[7:27, 6:22]  # the digit alone: 20 x 16 pixels
    digits = []
    for height, top, left in ((60, 9, 9), (150, 140, 20), (280, 10, 5)):
        size = (height * 16 // 20, height)
        large = Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)
        page = Image.new("L", (400, 300), 255)
        page.paste(large, (left, top))
        page.save(tmp_path / "a.png")
        digits.append(read_digit(tmp_path / "a.png"))
    assert distance(digits[0], digits[1]) < 8
    assert distance(digits[1], digits[2]) < 6


def test_the_answer_is_as_mnist_makes_it(images: torch.Tensor, tmp_path: Path) -> None:
    random = numpy.random.default_rng(3)
    positions = torch.arange(28.0, dtype=torch.double)
    for image in images[:20]:
        picture = draw_picture(image.numpy(), "paper", random)
        digit = read_digit(save_picture(picture, "paper", tmp_path / "a", random))
        assert digit.dtype == torch.uint8
        assert digit.shape == (28, 28)
        assert digit.max() == 255
        rows = (digit > 0).any(dim=1).nonzero()
        columns = (digit > 0).any(dim=0).nonzero()
        assert 18 <= max(len(rows), len(columns)) <= 20
        mass = digit.double()
        mean_row = mass.sum(dim=1) @ positions / mass.sum()
        mean_column = mass.sum(dim=0) @ positions / mass.sum()
        assert abs(mean_row.item() - 14) <= 0.51
        assert abs(mean_column.item() - 14) <= 0.51


# ---- Any form of a picture


def save_turned(picture: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.convert("RGB").rotate(90, expand=True).save(path, exif=exif, quality=95)


def save_deep(picture: Image.Image, path: Path) -> None:
    levels = numpy.asarray(picture).astype(numpy.uint16) * 257
    Image.fromarray(levels).save(path)


def save_floating(picture: Image.Image, path: Path) -> None:
    levels = numpy.asarray(picture).astype(numpy.float32) / 255
    levels[0, 0] = numpy.nan
    Image.fromarray(levels).save(path)


def save_bilevel(picture: Image.Image, path: Path) -> None:
    picture.point(lambda level: 255 * (level > 127)).save(path)


def save_inverted(picture: Image.Image, path: Path) -> None:
    Image.eval(picture, lambda level: 255 - level).save(path)


def save_transparent(picture: Image.Image, path: Path, ink: int) -> None:
    alpha = Image.eval(picture, lambda level: 255 - level)
    colour = Image.new("L", picture.size, ink)
    Image.merge("LA", [colour, alpha]).save(path)


FORMS: dict[str, tuple[str, Callable[[Image.Image, Path], None]]] = {
    "colour": ("png", lambda page, path: page.convert("RGB").save(path)),
    "palette": ("png", lambda page, path: page.convert("P").save(path)),
    "bilevel": ("png", save_bilevel),
    "light on dark": ("png", save_inverted),
    "16 bit": ("png", save_deep),
    "16 bit TIFF": ("tiff", save_deep),
    "float TIFF": ("tiff", save_floating),
    "black ink": ("png", lambda page, path: save_transparent(page, path, 0)),
    "white ink": ("webp", lambda page, path: save_transparent(page, path, 255)),
    "JPEG": ("jpg", lambda page, path: page.save(path, quality=90)),
    "CMYK": ("jpg", lambda page, path: page.convert("CMYK").save(path, quality=95)),
    "CMYK TIFF": ("tiff", lambda page, path: page.convert("CMYK").save(path)),
    "turned": ("jpg", save_turned),
    "GIF": ("gif", lambda page, path: page.save(path)),
    "BMP": ("bmp", lambda page, path: page.save(path)),
    "WebP": ("webp", lambda page, path: page.save(path, lossless=True)),
    "YCbCr TIFF": (
        "tiff",
        lambda page, path: page.convert("RGB").convert("YCbCr").save(path),
    ),
    "a wrong suffix": ("bmp", lambda page, path: page.save(path, format="png")),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_a_picture_gives_the_same(
    form: str, images: torch.Tensor, tmp_path: Path
) -> None:
    page = draw_page(images[4])
    page.save(tmp_path / "grey.png")
    suffix, save_form = FORMS[form]
    save_form(page, tmp_path / f"other.{suffix}")
    digit = read_digit(tmp_path / "grey.png")
    other = read_digit(tmp_path / f"other.{suffix}")
    assert distance(digit, images[4]) < 12
    limit = 10 if form == "bilevel" else 2  # has no soft edges
    assert distance(digit, other) < limit


# ---- Pictures without a digit


def draw_blank(shape: tuple[int, int], grain: float, mode: str = "L") -> Image.Image:
    """Draw paper without ink, photographed in uneven light."""
    random = numpy.random.default_rng(1)
    levels = 200 * draw_light(*shape, random, 0.4) + random.normal(0, grain, shape)
    levels = levels.clip(0, 255).astype(numpy.uint8)
    return Image.fromarray(levels).convert(mode)


def hollow_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is this large, and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        length = struct.pack(">I", len(body))
        checksum = struct.pack(">I", zlib.crc32(name + body))
        content += length + name + body + checksum
    return content


BLANK = {
    "paper.png": draw_blank((300, 400), 6),
    "photo.jpg": draw_blank((600, 800), 10, "RGB"),
    "small.png": draw_blank((28, 28), 3),
    "white.png": Image.new("L", (100, 100), 255),
    "black.gif": Image.new("L", (100, 100), 0),
    "pixel.png": Image.new("L", (1, 1), 7),
    "line.png": Image.new("L", (1, 900), 7),
    "nothing.png": Image.new("RGBA", (50, 50), (0, 0, 0, 0)),
    "deep.tiff": Image.fromarray(numpy.full((40, 40), 30_000, numpy.uint16)),
    "nan.tiff": Image.fromarray(numpy.full((40, 40), numpy.nan, numpy.float32)),
}
HEIC_START = b"\x00\x00\x00\x18ftypheic"
HEIC_REASON = "is in Apple's HEIC format, which Pillow cannot read: save it as JPEG or"
UNREADABLE = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"hello", "is no picture"),
    "page.jpg": (b"<html></html>", "is no picture"),
    "zip.png": (b"PK\x03\x04" + bytes(100), "is no picture"),
    "pickle.png": (b"\x80\x04N.", "is no picture"),
    "signature.png": (b"\x89PNG\r\n\x1a\n", "is no picture"),
    "large.png": (hollow_png(8000, 8000), "is larger than 50 megapixels"),
    "larger.png": (hollow_png(10000, 10000), "is larger than 50 megapixels"),
    "bomb.png": (hollow_png(60000, 60000), "cannot be read: Image size"),
    "hollow.png": (hollow_png(100, 100), "cannot be read: image file is truncated"),
    "photo.heic": (HEIC_START + bytes(100), HEIC_REASON),
    "renamed.jpg": (HEIC_START + bytes(100), HEIC_REASON),
    "other brand.HEIF": (b"\x00\x00\x00\x18ftypmif1" + bytes(100), HEIC_REASON),
    "empty.heic": (b"", "is empty"),
    "film.mp4": (b"\x00\x00\x00\x18ftypmp42" + bytes(100), "is no picture"),
}


@pytest.mark.parametrize("name", BLANK)
def test_a_blank_picture_shows_no_ink(name: str, tmp_path: Path) -> None:
    BLANK[name].save(tmp_path / name)
    with pytest.raises(PictureError, match=r"^shows no ink$"):
        read_digit(tmp_path / name)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_picture_gives_its_reason(name: str, tmp_path: Path) -> None:
    content, reason = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=f"^{reason}"):
        read_digit(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.png", "missing.heic"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=rf"^cannot be read: .*No such .*{name}"):
        read_digit(tmp_path / name)


def test_a_heic_file_is_read_if_pillow_can(
    images: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_heic(file: io.BytesIO, filename: str) -> PngImageFile:
        file.seek(len(HEIC_START))
        return PngImageFile(io.BytesIO(file.read()))

    def is_heic(start: bytes) -> bool:
        return start.startswith(HEIC_START)

    Image.init()  # or Pillow would register its other formats in the list of this test
    monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIC"])
    monkeypatch.setitem(Image.OPEN, "HEIC", (open_heic, is_heic))
    page = draw_page(images[4])
    page.save(tmp_path / "page.png")
    content = HEIC_START + (tmp_path / "page.png").read_bytes()
    (tmp_path / "page.heic").write_bytes(content)
    digit = read_digit(tmp_path / "page.png")
    assert torch.equal(read_digit(tmp_path / "page.heic"), digit)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "bmp", "webp"])
def test_a_damaged_picture_gives_a_digit_or_a_reason(
    suffix: str, tmp_path: Path
) -> None:
    random = numpy.random.default_rng(2)
    path = tmp_path / f"a.{suffix}"
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
        ((_, _, [error]),) = PictureLoader([str(path)], read_digit)
        reasons += bool(error)
        assert "\n" not in error
    assert reasons > 10


# ---- The loader, and mistakes of our own


def test_the_loader_gives_digits_and_reasons_in_batches(
    images: torch.Tensor, tmp_path: Path
) -> None:
    files = [str(tmp_path / f"{number}.png") for number in range(5)]
    for image, file in zip(images, files, strict=False):
        draw_page(image).save(file)
    Path(files[3]).write_bytes(b"hello")
    loader = PictureLoader(files, read_digit, batch_size=2)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    digits = torch.cat([batch[0] for batch in batches])
    assert digits.dtype == torch.uint8
    assert digits.shape == (5, 28, 28)
    assert [list(batch[1]) for batch in batches] == [files[:2], files[2:4], files[4:]]
    assert [batch[2] for batch in batches] == [["", ""], ["", "is no picture"], [""]]
    assert not digits[3].any()
    for number in (0, 1, 2, 4):
        assert torch.equal(digits[number], read_digit(files[number]))


@pytest.mark.parametrize("mistake", [ValueError, RuntimeError, TypeError, OSError])
@pytest.mark.parametrize(
    ("step", "mode"),
    [
        ("pictures.stretch_grey_levels", "F"),
        ("pictures.fill_transparency", "RGBA"),
        ("handwriting.segment_digit", "L"),
        ("handwriting.look_closer", "L"),
        ("ink.estimate_background", "L"),
        ("lines.trace_lines", "L"),
        ("digits.connected_components", "L"),
        ("handwriting.is_grain", "L"),
        ("handwriting.shows_several", "L"),
        ("digits.frame_digit", "L"),
        ("handwriting.cut_out_digit", "L"),
        ("handwriting.widen_thin_strokes", "L"),
        ("handwriting.centre_digit", "L"),
    ],
)
def test_a_mistake_of_our_own_is_not_taken_for_a_bad_picture(
    step: str,
    mode: str,
    mistake: type[Exception],
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise mistake("a mistake")

    page = draw_page(images[4]).convert(mode)
    page.putpixel((0, 0), 0)  # a transparent pixel, in mode RGBA
    page.save(tmp_path / "page.tiff")
    loader = PictureLoader([str(tmp_path / "page.tiff")], read_digit)
    assert [errors for _, _, errors in loader] == [[""]]
    monkeypatch.setattr(f"mlp_lightning.{step}", fail)
    with pytest.raises(mistake, match=r"^a mistake$") as caught:
        list(loader)
    assert type(caught.value) is mistake


def test_pixels_are_connected_at_corners_but_not_around_the_border() -> None:
    mask = numpy.array(
        [[1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]], bool
    )
    components = [
        sorted(zip(rows.tolist(), columns.tolist(), strict=True))
        for rows, columns in connected_components(mask)
    ]
    assert sorted(components) == [
        [(0, 0), (1, 0), (2, 1)],
        [(0, 3)],
        [(3, 3)],
        [(4, 0)],
    ]
