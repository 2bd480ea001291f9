"""What networks answer to pictures: how often they are right, and how sure they are."""

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from PIL import Image
from report import format_table
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from mlp_lightning import MLPClassifier
from mlp_lightning.handwriting import read_digit
from mlp_lightning.pictures import PictureError

SURE = 0.9  # An answer of a higher probability is called sure.
BLACK_IMAGE = torch.zeros(28, 28, dtype=torch.uint8)  # where no digit was read


class Reading(NamedTuple):
    """What was read in n pictures."""

    images: Tensor  # uint8 (n, 28, 28)
    errors: list[str]  # why a picture was refused; "" if it was not
    seconds: float  # median of a picture


class Reliability(NamedTuple):
    """How far the probabilities of a network's answers can be trusted; in percent."""

    calibration_error: float  # the mean distance of certainty and accuracy
    sure_share: float  # of all answers
    sure_accuracy: float  # of these; NaN if there are none


class Answers(NamedTuple):
    """What each network answers to the same n pictures."""

    probabilities: Tensor  # float32 (networks, n, 10)
    labels: Tensor  # int64 (n,)
    errors: Sequence[str]  # why a picture was refused; "" if it was not

    @property
    def refused(self) -> Tensor:
        """Which pictures were refused: bool (n,)."""
        return torch.tensor([error != "" for error in self.errors])

    @property
    def correct(self) -> Tensor:
        """Which answers are right: bool (networks, n). To refuse a picture is wrong."""
        digits = self.probabilities.argmax(dim=2)
        return (digits == self.labels) & ~self.refused

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each network, in percent."""
        shares = self.correct.double().mean(dim=1)
        return (100 * shares).tolist()


def read_pictures(paths: Iterable[Path]) -> Reading:
    """Read each picture, which need not be there before it is its turn."""
    images: list[Tensor] = []
    errors: list[str] = []
    seconds: list[float] = []
    for path in paths:
        image = BLACK_IMAGE
        message = ""
        start = time.perf_counter()
        try:
            image = read_digit(path)
        except PictureError as error:
            message = str(error)
        seconds.append(time.perf_counter() - start)
        images.append(image)
        errors.append(message)
    return Reading(torch.stack(images), errors, statistics.median(seconds))


def read_drawings(drawings: Iterable[Image.Image]) -> Reading:
    """Read drawings by way of a PNG file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "drawing.png")
        return read_pictures(save_in_turn(drawings, path))


def save_in_turn(drawings: Iterable[Image.Image], path: Path) -> Iterator[Path]:
    """Save a drawing whenever the next is asked for, in place of the one before."""
    for drawing in drawings:
        drawing.save(path)
        yield path


def ask_networks(
    models: Iterable[MLPClassifier], reading: Reading, labels: Tensor
) -> Answers:
    """Ask each network for the digits that were read."""
    with torch.no_grad():
        probabilities = [model.probabilities(reading.images) for model in models]
    return Answers(torch.stack(probabilities), labels, reading.errors)


def summarise_accuracies(accuracies: Sequence[float]) -> str:
    """Return the mean and, of several networks, the range: "98.07 (97.8 to 98.4)"."""
    mean = f"{statistics.mean(accuracies):.2f}"
    if len(accuracies) == 1:
        return mean
    return f"{mean} ({min(accuracies):.1f} to {max(accuracies):.1f})"


def join_answers(parts: Sequence[Answers]) -> Answers:
    """Return the answers to several sets of pictures as those to one."""
    errors: list[str] = []
    for part in parts:
        errors += part.errors
    return Answers(
        torch.cat([part.probabilities for part in parts], dim=1),
        torch.cat([part.labels for part in parts]),
        errors,
    )


def measure_reliability(probabilities: Tensor, labels: Tensor) -> Reliability:
    """Compare how sure the answers, (n, 10), of a network are with the labels, (n,)."""
    calibration_error = MulticlassCalibrationError(10, n_bins=15, norm="l1")
    certainties, digits = probabilities.max(dim=1)
    sure = certainties > SURE
    correct = digits == labels
    return Reliability(
        100 * calibration_error(probabilities, labels).item(),
        100 * sure.double().mean().item(),
        100 * correct[sure].double().mean().item(),
    )


def tabulate_reliability(answers_by_title: dict[str, Answers]) -> str:
    """Return a row for each set of answers: means of the networks."""
    rows = []
    for title, answers in answers_by_title.items():
        answered = ~answers.refused
        labels = answers.labels[answered]
        networks = [
            measure_reliability(probabilities, labels)
            for probabilities in answers.probabilities[:, answered]
        ]
        means = torch.tensor(networks).mean(dim=0).tolist()
        rows.append([title, f"{len(labels):,}", *(f"{mean:.2f}" for mean in means)])
    header = [
        "pictures",
        "answers",
        "expected calibration error, percent",
        f"answers above {100 * SURE:.0f} percent sure, percent",
        "accuracy of these, percent",
    ]
    return format_table(header, rows)
