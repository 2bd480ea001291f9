import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import FashionMNIST

from mlp_lightning.confusion import draw_confusion_matrix, most_confused

ODD_NAMES = ["日本語", "50% off, really", "שלום", "👩‍🔬", "\x1b[31m", "(a|b", " ", "é"]


def is_blank(
    picture: Image.Image, left: int, upper: int, right: int, lower: int
) -> bool:
    """Return whether a part of a picture is all white."""
    part = picture.crop((left, upper, right, lower))
    return bool((numpy.asarray(part) == 255).all())


def number_cells(classes: int) -> Tensor:
    return torch.arange(classes * classes).view(classes, classes)


def test_a_confusion_matrix_is_blue_where_right_and_red_where_wrong() -> None:
    matrix = torch.eye(10, dtype=torch.long) * 90
    matrix[3, 5] = 10
    picture = draw_confusion_matrix(matrix)
    assert picture.size == (11 * 48, 11 * 48)
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
    names = FashionMNIST.classes
    expected = "Ankle boot as Coat (12), Coat as Ankle boot (7)"
    assert most_confused(matrix, names, max_pairs=2) == expected


def test_two_classes_have_fewer_confusions_than_are_named() -> None:
    matrix = torch.tensor([[5, 2], [3, 5]])
    assert most_confused(matrix, ["cat", "dog"]) == "dog as cat (3), cat as dog (2)"
    assert draw_confusion_matrix(matrix, ["cat", "dog"]).size == (3 * 48, 3 * 48)


def test_long_names_stand_upright_above_a_confusion_matrix() -> None:
    matrix = torch.eye(10, dtype=torch.long)
    picture = draw_confusion_matrix(matrix, FashionMNIST.classes)
    margin = picture.width - 480
    assert picture.size == (margin + 480, margin + 480)
    assert 60 < margin < 100
    assert picture.getpixel((margin + 2, margin + 2)) == (84, 84, 255)
    # "Bag", the ninth, is close to the matrix, and short: it is read from below.
    left = margin + 8 * 48
    assert not is_blank(picture, left, margin - 30, left + 48, margin - 4)
    assert is_blank(picture, left, 0, left + 48, margin - 40)
    assert is_blank(picture, left, margin - 30, left + 14, margin)
    top = margin + 8 * 48
    assert not is_blank(picture, margin - 30, top, margin - 4, top + 48)
    assert is_blank(picture, 0, top, margin - 40, top + 48)
    assert is_blank(picture, margin - 30, top, margin, top + 14)


def test_a_long_name_is_shortened() -> None:
    matrix = torch.eye(2, dtype=torch.long)
    shortened = draw_confusion_matrix(matrix, ["a", "abcdefghijklmnopqrstuvwxyz"])
    written = draw_confusion_matrix(matrix, ["a", "abcdefghijklm…"])
    assert shortened.tobytes() == written.tobytes()


@pytest.mark.parametrize(
    ("classes", "length", "cell_side", "margin"),
    [
        (26, 1, 48, 48),
        (47, 1, 33, 48),
        (100, 1, 15, 48),  # too small for counts, not for names
        (200, 1, 7, 48),
        (2_000, 1, 1, 48),
        (47, 14, 30, None),
    ],
)
def test_many_classes_have_smaller_cells(
    classes: int, length: int, cell_side: int, margin: int | None
) -> None:
    names = ["W" * length] * classes
    picture = draw_confusion_matrix(number_cells(classes), names)
    inner = cell_side * classes
    assert picture.width == picture.height
    assert picture.width <= max(1_600, 48 + classes)
    if margin is not None:
        assert picture.width == margin + inner
    names_are_written = not is_blank(picture, 0, 0, picture.width - inner, 1_000)
    assert names_are_written == (cell_side >= 14)


def test_any_names_can_be_drawn() -> None:
    matrix = number_cells(len(ODD_NAMES))
    picture = draw_confusion_matrix(matrix, ODD_NAMES)
    assert picture.width == picture.height
    assert "日本語" in most_confused(matrix, ODD_NAMES, max_pairs=64)
