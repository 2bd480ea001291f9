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
    Cell,
    Picture,
    denormalise,
    find_longest,
    fit_title,
    fits_column,
    image_grid,
)
from mlp_lightning.errors import SettingError
from mlp_lightning.handwriting import PictureBatch
from mlp_lightning.info import get_info
from mlp_lightning.locks import take_lock
from mlp_lightning.mlp import CLASS_NAMES
from mlp_lightning.names import clean_name, get_names, name_kind
from mlp_lightning.pictures import PictureError, open_picture

MAX_PICTURES = 100  # in predictions.png: at most twenty rows
MAX_FILE_NAME_LENGTH = 12  # characters of a file's name that fit in a title
WHITE = 255  # around a picture that is not square
# An answer below this probability is called doubtful. Of the others, 99 of 100 are
# right or more, if they are digits: docs/handwriting.md.
MIN_SURE_PROBABILITY = 0.9

LabelledBatch = tuple[Tensor, Tensor]  # test images and their labels
PredictBatch = PictureBatch | LabelledBatch
Row = Sequence[object]  # of predictions.csv


class Source(NamedTuple):
    """Where an image comes from."""

    name: str  # of the file, or "test/" and the number of a test image
    file: str | None = None  # the user's; None for a test image
    error: str = ""  # why there is no answer to the file


class Guess(NamedTuple):
    """A class that an image may be of."""

    probability: float
    label: int
    name: str


@dataclass
class Answer:
    """What the network makes of one image."""

    source: Source
    image: Tensor  # uint8, (28, 28), as the network sees it
    probabilities: list[float]  # of the classes
    classes: Sequence[str] = CLASS_NAMES  # their names

    def __post_init__(self) -> None:
        labels = range(len(self.classes))
        columns = zip(self.probabilities, labels, self.classes, strict=True)
        guesses = [Guess(*column) for column in columns]
        guesses.sort()
        self.first = guesses[-1]
        self.second = guesses[-2]

    def table_row(self) -> Row:
        """Return the row of predictions.csv."""
        name = self.source.name
        error = self.source.error
        if error:
            no_answer = [""] * (1 + len(self.classes))
            return [name, *no_answer, error]
        numbers = [f"{probability:.6g}" for probability in self.probabilities]
        return [name, self.first.name, *numbers, ""]

    def printed_line(self) -> str:
        """Return the two most probable classes, or the error, after the file's name.

        The line ends with "doubtful" if the network is not sure of the first.
        """
        name = clean_name(self.source.name)
        error = self.source.error
        if error:
            return f"{name:40}  {error}"
        first = self.first
        second = self.second
        width = max(map(len, self.classes))
        best = f"{first.name:{width}}  {first.probability:7.2%}"
        second_best = f"{second.name:{width}} {second.probability:7.2%}"
        is_sure = first.probability >= MIN_SURE_PROBABILITY
        doubt = "" if is_sure else "  doubtful"
        return f"{name:40}  {best}  {second_best}{doubt}"

    def cells(self) -> Iterator[Cell]:
        """Yield images for the grid: the user's picture, and what the network sees."""
        file = self.source.file
        if file is not None:
            with suppress(PictureError):  # It may have gone since.
                yield draw_thumbnail(file), ""
        longest = find_longest(self.classes)
        joint = "  " if fits_column(f"{longest}  100.0%") else "\n"
        title = fit_title(f"{self.first.name}{joint}{self.first.probability:.1%}")
        name = Path(self.source.name).name
        name = clean_name(name)[-MAX_FILE_NAME_LENGTH:]
        yield self.image, f"{title}\n{name}"


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
        header = make_header(get_names(model))
        self.write_rows([header])

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        model: LightningModule,
        outputs: Tensor,
        batch: PredictBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note the probabilities, (batch, classes), that the step has returned."""
        if not trainer.is_global_zero:
            return  # Each process predicts all images.
        answers = self.match(model, batch, outputs)
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

    def match(
        self, model: LightningModule, batch: PredictBatch, probabilities: Tensor
    ) -> list[Answer]:
        """Return the answer for each image in the batch."""
        info = get_info(model)
        normalised = batch[0]
        images = denormalise(normalised, info.mean, info.std).cpu()
        if len(batch) == 3:
            _, files, errors = batch
            sources = name_files(files, errors)
        else:
            sources = self.name_test_images(len(images))
        rows = probabilities.tolist()
        columns = zip(sources, images, rows, strict=True)
        names = get_names(model)
        return [Answer(*column, names) for column in columns]

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


def make_header(names: Sequence[str]) -> Row:
    """Return the first row of predictions.csv."""
    probabilities = [f"p{name}" for name in names]
    return ["file", name_kind(names), *probabilities, "error"]


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
    """Return the probability of the network's first guess."""
    return answer.first.probability
