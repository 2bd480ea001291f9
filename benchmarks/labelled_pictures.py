"""Measure networks on a folder of anybody's pictures, and show where they fail.

The folder has labels.csv, a table with the columns `file` and `label` and, perhaps,
`source`: who wrote the digit, or where the picture comes from.
"""

import csv
import statistics
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from answers import (
    SURE,
    Answers,
    Reading,
    ask_networks,
    read_pictures,
    tabulate_reliability,
)
from PIL import Image
from report import format_table
from torch import Tensor

from mlp_lightning import MLPClassifier
from mlp_lightning.drawing import BACKGROUND, CELL_SIDE, Cell, Picture, image_grid
from mlp_lightning.errors import SettingError
from mlp_lightning.pictures import PictureError
from mlp_lightning.predictions import MAX_FILE_NAME_LENGTH, draw_thumbnail

TABLE = "labels.csv"
COLUMNS = ("file", "label")
LABELS = [str(digit) for digit in range(10)]
LINE_LENGTH = 14  # characters that fit in a line of a title
REFUSED_FIRST = 2.0  # in place of a probability: failures are sorted by it


class LabelledPicture(NamedTuple):
    path: Path
    label: int
    source: str  # "" if the table does not tell


class Failure(NamedTuple):
    """A picture that a network at least refuses or misreads."""

    picture: LabelledPicture
    image: Tensor  # uint8 (28, 28), as the networks see it
    certainty: float  # of the surest wrong answer
    title: str


def read_labels(folder: Path) -> list[LabelledPicture]:
    """Return the pictures that labels.csv lists.

    Raises:
        SettingError: The table or a picture is missing, or the table is wrong.
    """
    table = folder / TABLE
    try:
        # Spreadsheets put a byte order mark at the beginning.
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file, restval="")
            found = reader.fieldnames or ()  # None if the file is empty
            rows = list(reader)
    except OSError as error:
        text = f"cannot read {table}: {error.strerror}"
        raise SettingError(f"--pictures: {text}") from error
    for column in COLUMNS:
        if column not in found:
            raise SettingError(f"--pictures: {table} has no column {column!r}")
    if not rows:
        raise SettingError(f"--pictures: {table} lists no pictures")
    return [check_row(folder, row) for row in rows]


def check_row(folder: Path, row: dict[str, str]) -> LabelledPicture:
    """Return the picture of a row of the table, or raise SettingError."""
    path = folder / row["file"]
    if not path.is_file():
        raise SettingError(f"--pictures: {TABLE} lists {path}, which is no file")
    label = row["label"].strip()
    if label not in LABELS:
        raise SettingError(f"--pictures: {TABLE}: the label of {path} is no digit")
    return LabelledPicture(path, int(label), row.get("source", ""))


def measure_labelled_pictures(
    models: Sequence[MLPClassifier], pictures: Sequence[LabelledPicture], sheet: Path
) -> None:
    """Print how well pictures are read, and draw the failures into a file, as PNG."""
    reading = read_pictures([picture.path for picture in pictures])
    labels = torch.tensor([picture.label for picture in pictures])
    answers = ask_networks(models, reading, labels)
    print(tabulate_sources(pictures, answers), end="\n\n")
    print(tabulate_failures(answers), end="\n\n")
    print(tabulate_reliability({"these": answers}), end="\n\n")
    failures = find_failures(pictures, reading, answers)
    failures.sort(key=lambda failure: failure.certainty, reverse=True)
    cells: list[Cell] = []
    for failure in failures:
        cells += draw_failure(failure)
    image_grid(cells).save(sheet, "PNG")
    print(f"Wrote {sheet}, which shows {len(failures)} failures")


def tabulate_sources(pictures: Sequence[LabelledPicture], answers: Answers) -> str:
    """Return the accuracy on the pictures of each source, and on all."""
    correct = answers.correct.double()
    sources = [picture.source for picture in pictures]
    rows = []
    for source, count in sorted(Counter(sources).items()):
        if source:
            chosen = torch.tensor([other == source for other in sources])
            accuracies = 100 * correct[:, chosen].mean(dim=1)
            rows.append([source, str(count), *format_numbers(accuracies.tolist())])
    rows.append(["all", str(len(pictures)), *format_numbers(answers.accuracies)])
    header = ["accuracy, percent", "pictures", *name_columns(answers)]
    return format_table(header, rows)


def tabulate_failures(answers: Answers) -> str:
    """Return how many pictures are refused, and why, and how many are misread."""
    network_count = len(answers.probabilities)
    reasons = Counter(error for error in answers.errors if error)
    rows = []
    for reason, count in reasons.most_common():
        counts = [count] * network_count
        rows.append([f"refused: {reason}", *format_numbers(counts, decimals=0)])
    misread = ~answers.correct & ~answers.refused
    sure = answers.probabilities.amax(dim=2) > SURE
    kinds = {
        f"wrong, above {100 * SURE:.0f} percent sure": misread & sure,
        "wrong, less sure": misread & ~sure,
    }
    for title, failed in kinds.items():
        counts = failed.sum(dim=1).tolist()
        rows.append([title, *format_numbers(counts, decimals=0)])
    return format_table(["failures", *name_columns(answers)], rows)


def name_columns(answers: Answers) -> list[str]:
    """Return the headings of the columns that format_numbers fills."""
    numbers = range(1, len(answers.probabilities) + 1)
    return [*(f"network {number}" for number in numbers), "mean"]


def format_numbers(numbers: Sequence[float], decimals: int = 2) -> list[str]:
    """Return a number for each network, and their mean with two decimals."""
    cells = [f"{number:.{decimals}f}" for number in numbers]
    return [*cells, f"{statistics.mean(numbers):.2f}"]


def find_failures(
    pictures: Sequence[LabelledPicture], reading: Reading, answers: Answers
) -> list[Failure]:
    failures = []
    for index, picture in enumerate(pictures):
        wrong = ~answers.correct[:, index]
        if not wrong.any():
            continue
        image = reading.images[index]
        error = reading.errors[index]
        if error:
            lines = textwrap.wrap(error, LINE_LENGTH)
            title = "\n".join(lines[:2])
            failures.append(Failure(picture, image, REFUSED_FIRST, title))
        else:
            # Whatever a network that errs finds most probable is wrong.
            probabilities = answers.probabilities[wrong, index]  # (wrong, 10)
            certainty = probabilities.max().item()
            digit = probabilities.amax(dim=0).argmax().item()
            title = f"{digit}  {certainty:.1%}\n{wrong.sum()} of {len(wrong)} wrong"
            failures.append(Failure(picture, image, certainty, title))
    return failures


def draw_failure(failure: Failure) -> tuple[Cell, Cell]:
    """Return a picture above its label, and what the networks saw above the answer."""
    picture = failure.picture
    name = picture.path.name[-MAX_FILE_NAME_LENGTH:]
    title = f"{name}\nshows {picture.label}"
    return (draw_picture(picture.path), title), (failure.image, failure.title)


def draw_picture(path: Path) -> Picture:
    """Return a thumbnail, which is blank if the picture cannot even be opened."""
    try:
        return draw_thumbnail(str(path))
    except PictureError:
        return Image.new("L", (CELL_SIDE, CELL_SIDE), BACKGROUND)
