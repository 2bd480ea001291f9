"""The callback that writes what the network reads: predictions.csv and .png."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import ImageOps
from torch import Tensor

from mlp_lightning.drawing import (
    CELL_SIDE,
    DIGITS,
    Cell,
    Picture,
    denormalise,
    image_grid,
)
from mlp_lightning.errors import SettingError
from mlp_lightning.handwriting import PictureBatch
from mlp_lightning.locks import take_lock
from mlp_lightning.pictures import PictureError, open_picture

MAX_PICTURES = 100  # in predictions.png: at most twenty rows
MAX_NAME_LENGTH = 12  # characters of a file's name that fit in a title
PROBABILITIES = [f"p{digit}" for digit in DIGITS]
HEADER = ["file", "digit", *PROBABILITIES, "error"]
NO_ANSWER = [""] * 11  # in place of the digit and the probabilities
WHITE = 255  # around a picture that is not square
# An answer below this probability is called doubtful. Of the others, 99 of 100 are
# right or more: docs/handwriting.md.
MIN_SURE_PROBABILITY = 0.9

LabelledBatch = tuple[Tensor, Tensor]  # test images and their labels
PredictBatch = PictureBatch | LabelledBatch
Row = Sequence[object]  # of predictions.csv


class Source(NamedTuple):
    """Where an image comes from."""

    name: str  # of the file, or "test/" and the number of a test image
    file: str | None = None  # the user's; None for a test image
    error: str = ""  # why no digit could be read from the file


class Guess(NamedTuple):
    """A digit that an image may show."""

    probability: float
    digit: int


@dataclass
class Answer:
    """What the network reads in one image."""

    source: Source
    image: Tensor  # uint8, (28, 28), as the network sees it
    probabilities: list[float]  # of the ten digits

    def __post_init__(self) -> None:
        pairs = zip(self.probabilities, DIGITS, strict=True)
        guesses = [Guess(*pair) for pair in pairs]
        guesses.sort()
        self.first = guesses[-1]
        self.second = guesses[-2]

    def table_row(self) -> Row:
        """Return the row of predictions.csv."""
        name = self.source.name
        error = self.source.error
        if error:
            return [name, *NO_ANSWER, error]
        numbers = [f"{probability:.6g}" for probability in self.probabilities]
        return [name, self.first.digit, *numbers, ""]

    def printed_line(self) -> str:
        """Return the two most probable digits, or the error, after the file's name.

        The line ends with "doubtful" if the network is not sure of the first.
        """
        words = self.source.name.split()
        name = " ".join(words)  # in one line, whatever it contains
        error = self.source.error
        if error:
            return f"{name:40}  {error}"
        first = self.first
        second = self.second
        best = f"{first.digit}  {first.probability:7.2%}"
        second_best = f"{second.digit} {second.probability:7.2%}"
        is_sure = first.probability >= MIN_SURE_PROBABILITY
        doubt = "" if is_sure else "  doubtful"
        return f"{name:40}  {best}  {second_best}{doubt}"

    def cells(self) -> Iterator[Cell]:
        """Yield images for the grid: the user's picture, and what the network sees."""
        file = self.source.file
        if file is not None:
            with suppress(PictureError):  # It may have gone since.
                yield draw_thumbnail(file), ""
        digit = self.first.digit
        probability = self.first.probability
        name = Path(self.source.name).name
        name = name[-MAX_NAME_LENGTH:]
        title = f"{digit}  {probability:.1%}\n{name}"
        yield self.image, title


class Predictions(Callback):
    """Writes predictions.csv as the answers come, and predictions.png at the end.

    The picture shows the least certain answers, at most `MAX_PICTURES`. For each file
    of the user's, a line is printed, too; these take the place of the progress bar.
    """

    def __init__(self, folder: Path) -> None:
        folder = Path(os.path.expanduser(folder))
        self.path = folder / "predictions.csv"
        self.picture_path = self.path.with_suffix(".png")
        self.table: TextIO | None = None  # open, and locked, in the first process
        self.count = 0
        self.least_certain: list[Answer] = []

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        bar = trainer.progress_bar_callback
        if getattr(datamodule, "images", None) and bar is not None:
            bar.disable()  # Printed lines would be appended to it.

    def on_predict_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Begin the table, unless another process is writing it."""
        if not trainer.is_global_zero:
            return
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        self.table = self.path.open("a", newline="", encoding="utf-8")
        try:
            take_lock(self.table)
        except BlockingIOError as error:
            text = f"{self.path} is being written by another process"
            raise SettingError(f"--output: {text}") from error
        self.table.truncate(0)
        self.write_rows([HEADER])

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        model: LightningModule,
        outputs: Tensor,
        batch: PredictBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note the probabilities, (batch, 10), that the step has returned."""
        if not trainer.is_global_zero:
            return  # Each process predicts all images.
        answers = self.match(batch, outputs)
        rows = [answer.table_row() for answer in answers]
        self.write_rows(rows)
        for answer in answers:
            if answer.source.file is not None:
                line = answer.printed_line()
                print(line)
            if not answer.source.error:
                self.least_certain.append(answer)
        self.count += len(answers)
        self.least_certain.sort(key=certainty)
        del self.least_certain[MAX_PICTURES:]

    def on_predict_end(self, trainer: Trainer, model: LightningModule) -> None:
        """Draw the least certain answers."""
        if not trainer.is_global_zero:
            return
        cells: list[Cell] = []
        for answer in self.least_certain:
            cells += answer.cells()
        grid = image_grid(cells)
        grid.save(self.picture_path)

    def teardown(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        """Name the two files, below the progress bar, which has ended by now."""
        self.close_table()
        if trainer.is_global_zero:
            print(f"Wrote {self.path} and {self.picture_path}")

    def on_exception(
        self, trainer: Trainer, model: LightningModule, exception: BaseException
    ) -> None:
        self.close_table()

    def close_table(self) -> None:
        """Leave the table to other processes."""
        if self.table is not None:
            self.table.close()

    def count_errors(self) -> int:
        """Return how many files were not read, as the finished table has it."""
        with self.path.open(newline="", encoding="utf-8") as file:
            return sum(row["error"] != "" for row in csv.DictReader(file))

    def match(self, batch: PredictBatch, probabilities: Tensor) -> list[Answer]:
        """Return the answer for each image in the batch."""
        normalised = batch[0]
        images = denormalise(normalised).cpu()
        if len(batch) == 3:
            _, files, errors = batch
            sources = name_files(files, errors)
        else:
            sources = self.name_test_images(len(images))
        rows = probabilities.tolist()
        columns = zip(sources, images, rows, strict=True)
        return [Answer(*column) for column in columns]

    def name_test_images(self, count: int) -> list[Source]:
        """Return the sources of the next images of the test set."""
        first = self.count
        numbers = range(first, first + count)
        return [Source(f"test/{number}") for number in numbers]

    def write_rows(self, rows: Iterable[Row]) -> None:
        """Add rows to the table."""
        assert self.table is not None
        table = csv.writer(self.table)
        table.writerows(rows)
        self.table.flush()


def name_files(files: Sequence[str], errors: Sequence[str]) -> list[Source]:
    """Return the sources of the user's pictures."""
    sources = []
    for file, error in zip(files, errors, strict=True):
        name = os.fsencode(file)
        # A file's name may hold bytes that are no Unicode.
        readable_name = name.decode(errors="replace")
        source = Source(readable_name, file, error)
        sources.append(source)
    return sources


def draw_thumbnail(file: str) -> Picture:
    """Return the user's picture in the size of a cell of the grid."""
    picture = open_picture(file)
    grey = picture.convert("L")
    size = (CELL_SIDE, CELL_SIDE)
    return ImageOps.pad(grey, size, color=WHITE)


def certainty(answer: Answer) -> float:
    """Return the probability of the digit that the network reads."""
    return answer.first.probability
