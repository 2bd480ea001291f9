from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from support import read_mnist

from mlp_lightning.drawing import (
    denormalise,
    diverging_colours,
    draw_mistakes,
    draw_pixel_weights,
    fit_title,
    fits_column,
    image_grid,
)
from mlp_lightning.mlp import normalise

CELL = (88, 116)  # width and height of a cell, title and gaps included


def shown(picture: Image.Image, row: int, column: int) -> torch.Tensor:
    """Return a cell's image, (28, 28, 3), from the middle pixels of each 3 x 3."""
    x, y = column * CELL[0], row * CELL[1]
    pixels = numpy.array(picture.crop((x, y, x + 84, y + 84)))
    return torch.from_numpy(pixels)[1::3, 1::3]


def grey(image: torch.Tensor) -> torch.Tensor:
    return image.unsqueeze(-1).expand(28, 28, 3)


@pytest.mark.usefixtures("workplace")
def test_an_image_grid_shows_the_pixels_that_the_network_got() -> None:
    images = read_mnist(Path("data"), "t10k")[0][:12]
    assert torch.equal(denormalise(normalise(images)), images)
    assert torch.equal(denormalise(normalise(images).double()), images)
    picture = image_grid(zip(images, map(str, range(12)), strict=True))
    assert picture.size == (10 * CELL[0], 2 * CELL[1])
    assert torch.equal(shown(picture, 0, 3), grey(images[3]))
    assert torch.equal(shown(picture, 1, 1), grey(images[11]))
    title = picture.crop((88, 116 + 84, 2 * 88, 2 * 116))
    assert numpy.asarray(title.convert("L")).min() < 50  # there is text
    assert image_grid([]).getcolors() == [(880 * 116, (255, 255, 255))]


def test_every_pixel_survives_normalisation() -> None:
    pixels = torch.arange(784).fmod(256).byte().view(1, 28, 28)
    assert torch.equal(denormalise(normalise(pixels)), pixels)


@pytest.mark.parametrize("mean", [0.0, 1e-6, 0.1307, 0.2860, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("std", [1e-6, 3e-4, 0.01, 0.3081, 0.3530, 0.5])
def test_every_pixel_survives_by_any_mean_and_standard_deviation(
    mean: float, std: float
) -> None:
    pixels = torch.arange(784).fmod(256).byte().view(1, 28, 28)
    images = normalise(pixels, mean, std)
    assert torch.equal(denormalise(images, mean, std), pixels)


def test_colours_go_from_blue_through_white_to_red() -> None:
    colours = diverging_colours(torch.tensor([[-2.0, -1.0, -0.5], [0.0, 1.0, 2.0]]))
    blue, red = [0, 0, 255], [255, 0, 0]
    assert colours.tolist() == [
        [blue, blue, [127, 127, 255]],
        [[255, 255, 255], red, red],
    ]


@pytest.mark.usefixtures("workplace")
def test_mistakes_are_drawn_without_empty_rows() -> None:
    images = read_mnist(Path("data"), "t10k")[0][:3]
    digits = torch.tensor([1, 2, 3])
    probabilities = torch.tensor([0.9876, 0.0, 0.5])
    picture = draw_mistakes(images, digits + 1, digits, probabilities)
    cells = [(images[0], "2 as 1\n98.8%"), (images[2], "4 as 3\n50.0%")]
    assert picture.tobytes() == image_grid(cells).tobytes()


def test_mistakes_are_titled_by_names_in_as_many_lines_as_they_need() -> None:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    labels = torch.tensor([0, 1])
    probabilities = torch.tensor([0.9876, 0.5])
    picture = draw_mistakes(images, labels, 1 - labels, probabilities, ["cat", "dog"])
    titles = ["cat as dog\n98.8%", "dog as cat\n50.0%"]
    expected = image_grid(zip(images, titles, strict=True))
    assert picture.tobytes() == expected.tobytes()
    assert picture.size == (10 * CELL[0], CELL[1])
    names = ["Shirt", "T-shirt/top"]
    picture = draw_mistakes(images, labels, 1 - labels, probabilities, names)
    titles = ["Shirt\nas T-shirt/top\n98.8%", "T-shirt/top\nas Shirt\n50.0%"]
    expected = image_grid(zip(images, titles, strict=True))
    assert picture.tobytes() == expected.tobytes()
    assert picture.size == (10 * CELL[0], CELL[1] + 16)
    below = picture.crop((0, CELL[1] + 12, CELL[0], CELL[1] + 16))
    assert below.getcolors() == [(4 * CELL[0], (255, 255, 255))]  # nothing is cut off


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("T-shirt/top", "T-shirt/top"),
        ("W" * 30, "WWWWWW…"),
        ("class number 17", "class number…"),
        ("", ""),
    ],
)
def test_a_title_is_as_wide_as_its_image(line: str, expected: str) -> None:
    assert fit_title(f"{line}\n99.9%") == f"{expected}\n99.9%"
    assert fits_column(expected)


def test_the_weights_of_a_unit_are_red_where_ink_adds() -> None:
    weights = torch.zeros(130, 784, requires_grad=True)
    with torch.no_grad():
        weights[11, 28 + 2] = 0.3
        weights[11, 28 + 3] = -0.15
    picture = draw_pixel_weights(weights)
    assert picture.size == (10 * CELL[0], 13 * CELL[1])  # 128 units
    unit = shown(picture, 1, 1)
    assert unit[1, 2].tolist() == [255, 0, 0]
    assert unit[1, 3].tolist() == [127, 127, 255]
    assert (unit == 255).all(dim=-1).sum() == 784 - 2
