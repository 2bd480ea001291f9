"""What TensorBoard shows besides curves: pictures, histograms, a graph, settings."""

import re
import warnings
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter, summary

from mlp_lightning.drawing import Picture
from mlp_lightning.info import DatasetInfo
from mlp_lightning.names import name_kind
from mlp_lightning.settings import SettingsSummary

MAX_HISTOGRAM_VALUE = 1e19  # TensorBoard has no bins for larger ones.
IMAGE_FORMAT = "HWC"  # height, width, colour

# The charts of the page CUSTOM SCALARS: which curves, as regular expressions.
CHARTS = {
    "loss": ["Multiline", ["train/loss$", "val/loss$"]],
    "accuracy": ["Multiline", ["val/acc$", "test/acc$"]],
}
DIGIT_CHART = {"accuracy of each digit": ["Multiline", [r"val_acc/\d$"]]}

Pictures = dict[str, Picture]  # by their names in TensorBoard
# The charts of a page, by category and title: a kind, and curves.
Layout = dict[str, dict[str, list[Any]]]


def make_layout(info: DatasetInfo) -> Layout:
    """Return the charts of the page CUSTOM SCALARS.

    Runs on several data sets share the page: each data set has a chart for its classes.
    """
    chart = DIGIT_CHART
    if name_kind(info.classes) == "class":
        names = map(re.escape, info.classes)
        curves = f"val_acc/({'|'.join(names)})$"
        chart = {f"accuracy of each class of {info.title}": ["Multiline", [curves]]}
    return {"training": CHARTS | chart}


def find_board_logger(trainer: Trainer) -> TensorBoardLogger | None:
    """Return the first logger that writes for TensorBoard, if there is one."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            return logger
    return None


def add_pictures(board: SummaryWriter, pictures: Pictures, step: int) -> None:
    """Show pictures by their names, below "images"."""
    for name, picture in pictures.items():
        tag = f"images/{name}"
        pixels = numpy.asarray(picture)  # (height, width, 3)
        board.add_image(tag, pixels, step, dataformats=IMAGE_FORMAT)


def add_histogram(board: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
    """Show how the values are distributed, as far as TensorBoard has bins for them."""
    magnitudes = values.abs()
    has_bin = magnitudes < MAX_HISTOGRAM_VALUE  # False for NaN
    counted = values[has_bin]
    if counted.numel() == 0:
        return  # TensorBoard fails if there is nothing to count.
    counted = counted.float()
    board.add_histogram(tag, counted, step)


def add_graph(board: SummaryWriter, model: LightningModule, image: Tensor) -> None:
    """Show the graph of the network, if torch can trace what it does with an image."""
    network = model.get_submodule("network")
    image = image.to(model.dtype)
    with warnings.catch_warnings(), redirect_stdout(None):
        warnings.simplefilter("ignore")
        # Of layers that it cannot trace, torch warns, prints, and raises anything.
        with suppress(Exception):
            board.add_graph(network, image)


def add_settings(board: SummaryWriter, settings: SettingsSummary) -> None:
    """Fill the HPARAMS page; add_hparams would do so in a run of its own."""
    # The values do not matter: TensorBoard looks for the scalars of these names.
    metrics = {"val/acc_best": 0, "test/acc": 0}
    # torch has no types for these two.
    make_events: Any = summary.hparams
    writer: Any = board.file_writer
    events = make_events(settings, metrics)
    for event in events:
        writer.add_summary(event)
