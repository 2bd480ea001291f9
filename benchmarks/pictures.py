"""Measure how well pictures of handwritten digits are read, as against MNIST's own images.

    python benchmarks/pictures.py lightning_logs/version_0/checkpoints/best.ckpt

Pictures of six kinds are drawn from digits of the test set: ink on paper and chalk on a board,
photographed in uneven light and with grain; scans; transparent ink; small, in a corner of a page;
photographs turned by EXIF. With scikit-learn, its 1,797 digits of 8 x 8 pixels are read as well:
handwriting that has nothing to do with MNIST.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import torch
from numpy.random import Generator
from PIL import Image
from torchvision.datasets.mnist import read_image_file, read_label_file

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.handwriting import Pictures, read_digit

KINDS = ("paper", "board", "scan", "transparent", "corner", "turned")


def strokes(digit: numpy.ndarray, length: float, sharpness: float) -> numpy.ndarray:
    """Return the digit, enlarged until it is as long as so many pixels, as ink from 0 to 1."""
    rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
    digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    digit = numpy.pad(digit, 2)
    scale = length / (max(digit.shape) - 4)
    size = [round(side * scale) for side in reversed(digit.shape)]
    large = (
        numpy.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BICUBIC))
        / 255
    )
    return numpy.clip((large - 0.5) * sharpness + 0.5, 0, 1)


def light(shape: tuple[int, int], random: Generator, depth: float) -> numpy.ndarray:
    """Return how bright a lamp makes each place: a slope and a spot, from 1 - depth to 1."""
    y, x = numpy.mgrid[: shape[0], : shape[1]] / max(shape)
    angle, (top, left) = random.uniform(0, 2 * numpy.pi), random.uniform(0, 1, 2)
    slope = x * numpy.cos(angle) + y * numpy.sin(angle)
    spot = numpy.exp(-((y - top) ** 2 + (x - left) ** 2) / random.uniform(0.2, 1.0))
    both = slope * random.uniform(0, 1) + spot
    return 1 - depth + depth * (both - both.min()) / (both.max() - both.min())


def draw(digit: numpy.ndarray, kind: str, random: Generator) -> Image.Image:
    """Draw a digit, uint8, (28, 28), as a picture of a kind."""
    page = (random.integers(360, 720), random.integers(480, 960))  # height, width
    height = random.uniform(0.2, 0.6) * min(page)
    if kind == "corner":
        page, height = (1200, 1600), random.uniform(40, 90)
    ink = numpy.zeros(page)
    # as sharp as its maker's hand left it, or as blurred as a lens did
    small = strokes(digit, height, random.uniform(1, 1 + height / 28))
    free = [side - part for side, part in zip(page, small.shape, strict=True)]
    place = [random.integers(0, room + 1) for room in free]
    if kind == "corner":
        margins = random.integers(5, 60, 2)
        place = [margin if random.random() < 0.5 else room - margin
                 for margin, room in zip(margins, free, strict=True)]  # fmt: skip
    ink[place[0] :, place[1] :][: small.shape[0], : small.shape[1]] = small
    if kind == "transparent":
        colour = (
            random.integers(0, 100, 3)
            if random.random() < 0.5
            else random.integers(156, 256, 3)
        )
        layers = [numpy.full(page, channel) for channel in colour] + [ink * 255]
        return Image.fromarray(numpy.dstack(layers).astype(numpy.uint8))
    if kind == "scan":
        grey = 255 - ink * random.uniform(140, 250) - random.uniform(0, 10)
        grey = grey + random.normal(0, 4, page)
        dust = random.integers(0, 30)
        grey[random.integers(0, page[0], dust), random.integers(0, page[1], dust)] = 90
        return Image.fromarray(numpy.clip(grey, 0, 255).astype(numpy.uint8))
    paper, pen = random.uniform(190, 250, 3), random.uniform(10, 110, 3)
    if kind == "board":
        paper, pen = random.uniform(20, 80, 3), random.uniform(190, 250, 3)
    lit = light(page, random, random.uniform(0.2, 0.6))[..., None]
    colours = (paper + ink[..., None] * (pen - paper)) * lit
    colours += random.normal(0, random.uniform(2, 10), (*page, 1))
    colours += random.normal(0, 3, (*page, 3))
    return Image.fromarray(numpy.clip(colours, 0, 255).astype(numpy.uint8))


def save(picture: Image.Image, kind: str, path: Path, random: Generator) -> Path:
    """Save a picture as its kind would be, and return the path with its ending."""
    path = path.with_suffix(".png" if kind in ("scan", "transparent") else ".jpg")
    if kind != "turned":
        picture.save(path, **({"quality": 85} if path.suffix == ".jpg" else {}))
        return path
    tag, turn = [(3, 180), (6, 90), (8, 270)][random.integers(3)]
    exif = Image.Exif()
    exif[0x0112] = tag  # how to turn it back
    picture.rotate(turn, expand=True).save(path, quality=85, exif=exif)
    return path


def write(
    images: numpy.ndarray, folder: Path, kind: str, count: int, seed: int
) -> Iterator[tuple[Path, int]]:
    """Write pictures of a kind, of images of the test set; yield the file and which it is of."""
    random = numpy.random.default_rng((seed, KINDS.index(kind)))
    for number in random.permutation(len(images))[:count]:
        picture = draw(images[number], kind, random)
        yield save(picture, kind, folder / f"{kind}-{number}", random), int(number)


def accuracy(model: MLPClassifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    right = model.probabilities(images).argmax(dim=1) == labels
    return 100 * right.double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--count", type=int, default=500, help="of each kind (default: 500)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the pictures (default: 0)"
    )
    options = parser.parse_args()
    models = [
        MLPClassifier.load_from_checkpoint(path, "cpu") for path in options.checkpoints
    ]
    data = MNISTDataModule()
    data.prepare_data()
    images = read_image_file(str(data.raw_dir / "t10k-images-idx3-ubyte"))
    labels = read_label_file(str(data.raw_dir / "t10k-labels-idx1-ubyte"))
    print(
        f"Accuracy in percent of {len(models)} checkpoints on {options.count} pictures a kind,"
    )
    print(
        f"seed {options.seed}, and on the same digits as MNIST has them; torch {torch.__version__}"
    )
    print(
        "| kind | pictures | MNIST's | points lost | seconds each |\n|---|---|---|---|---|"
    )
    lost = []
    for kind in KINDS:
        numbers, digits, seconds = [], [], []
        with TemporaryDirectory() as folder:
            for path, number in write(
                images.numpy(), Path(folder), kind, options.count, options.seed
            ):
                numbers.append(number)
                start = time.perf_counter()
                (read, _, _), *_ = Pictures([str(path)])  # black, if no digit is found
                seconds.append(time.perf_counter() - start)
                digits.append(read)
        read = [accuracy(model, torch.cat(digits), labels[numbers]) for model in models]
        own = [accuracy(model, images[numbers], labels[numbers]) for model in models]
        lost.append(statistics.mean(own) - statistics.mean(read))
        spread = f"{statistics.mean(read):.2f} ({min(read):.1f} to {max(read):.1f})"
        spent = f"{statistics.median(seconds):.3f}"
        print(
            f"| {kind} | {spread} | {statistics.mean(own):.2f} | {lost[-1]:.2f} | {spent} |"
        )
    print(f"lost, of all: {statistics.mean(lost):.2f} points, at most {max(lost):.2f}")
    if find_spec("sklearn"):
        eights(models)


def eights(models: list[MLPClassifier]) -> None:
    """Read scikit-learn's digits of 8 x 8 pixels, enlarged to 64 x 64."""
    from sklearn.datasets import load_digits

    found, digits = load_digits(), []
    with TemporaryDirectory() as folder:
        for eight in found.images:
            picture = Image.fromarray((eight * 255 / 16).round().astype(numpy.uint8))
            path = Path(folder, "digit.png")
            picture.resize((64, 64), Image.Resampling.BICUBIC).save(path)
            digits.append(read_digit(path))
    read = [
        accuracy(model, torch.stack(digits), torch.from_numpy(found.target))
        for model in models
    ]
    print(f"scikit-learn's {len(digits)} digits: {statistics.mean(read):.2f}", end="")
    print(f" ({min(read):.2f} to {max(read):.2f})")


if __name__ == "__main__":
    main()
