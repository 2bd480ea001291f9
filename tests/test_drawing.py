from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from support import read_mnist

from mlp_lightning.confusion import draw_confusion_matrix, most_confused
from mlp_lightning.drawing import (
    denormalise,
    diverging_colours,
    draw_mistakes,
    draw_pixel_weights,
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


def test_colours_go_from_blue_through_white_to_red() -> None:
    colours = diverging_colours(torch.tensor([[-2.0, -1.0, -0.5], [0.0, 1.0, 2.0]]))
    blue, red = [0, 0, 255], [255, 0, 0]
    assert colours.tolist() == [
        [blue, blue, [127, 127, 255]],
        [[255, 255, 255], red, red],
    ]


def test_a_confusion_matrix_is_blue_where_right_and_red_where_wrong() -> None:
    matrix = torch.eye(10, dtype=torch.long) * 90
    matrix[3, 5] = 10
    picture = draw_confusion_matrix(matrix)
    assert picture.getpixel((4 * 48 + 2, 4 * 48 + 2)) == (92, 92, 255)
    assert picture.getpixel((6 * 48 + 2, 4 * 48 + 2)) == (255, 200, 200)
    assert picture.getpixel((1 * 48 + 2, 4 * 48 + 2)) == (255, 255, 255)
    assert most_confused(matrix) == "3 as 5 (10)"
    nothing = torch.zeros(10, 10, dtype=torch.long)
    assert draw_confusion_matrix(nothing).size == picture.size
    assert most_confused(nothing) == ""


def test_the_most_frequent_confusions_come_first() -> None:
    matrix = torch.eye(10, dtype=torch.long) * 90
    matrix[4, 9] = 7
    matrix[9, 4] = 12
    matrix[0, 1] = 1
    assert most_confused(matrix) == "9 as 4 (12), 4 as 9 (7), 0 as 1 (1)"
    assert most_confused(matrix, max_pairs=2) == "9 as 4 (12), 4 as 9 (7)"


@pytest.mark.usefixtures("workplace")
def test_mistakes_are_drawn_without_empty_rows() -> None:
    images = read_mnist(Path("data"), "t10k")[0][:3]
    digits = torch.tensor([1, 2, 3])
    probabilities = torch.tensor([0.9876, 0.0, 0.5])
    picture = draw_mistakes(images, digits + 1, digits, probabilities)
    cells = [(images[0], "2 as 1\n98.8%"), (images[2], "4 as 3\n50.0%")]
    assert picture.tobytes() == image_grid(cells).tobytes()


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
