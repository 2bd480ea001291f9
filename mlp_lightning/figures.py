"""What the network gets, sees and confuses: pictures in TensorBoard, and after a test."""

import re
import time
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
from math import inf
from typing import Any

import numpy
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.utils.tensorboard import summary

from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import TensorBatches
from mlp_lightning.mlp import MEAN, STD

SIDE = 84  # pixels that 28 x 28 take up on a sheet
MOST_DIGITS, MOST_UNITS = 40, 128  # on a sheet
WEIGHT_SCALE = 0.3  # a weight of this size has full colour, in all runs
SECONDS = 30  # of training between two drawings
# in the settings of a class, of which HPARAMS has one column
NOISE = re.compile(
    r"'(class_path|init_args)': |torch\.optim\.(lr_scheduler\.)?"
    r"|, '\w+': (None|False|0|0\.0)(?=[,}])|[{}']"
)


def sheet(cells: Iterable[tuple[Any, str]]) -> Image.Image:
    """Return square arrays of uint8 side by side, each above its title of at most two lines."""
    cells, font = list(cells), ImageFont.load_default(12)
    width, height, rows = SIDE + 4, SIDE + 32, max(1, -(-len(cells) // 10))
    whole = Image.new("RGB", (10 * width, rows * height), "white")
    for i, (array, title) in enumerate(cells):
        x, y = i % 10 * width, i // 10 * height
        picture = Image.fromarray(numpy.asarray(array))
        whole.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y))
        ImageDraw.Draw(whole).text((x, y + SIDE), title, "black", font)
    return whole


def pixels(images: Tensor) -> Tensor:
    """Return the uint8 pixels, (n, 28, 28), of normalised images of any shape."""
    return (
        ((images.float().cpu() * STD + MEAN) * 255)
        .round()
        .clamp(0, 255)
        .byte()
        .view(-1, 28, 28)
    )


def colours(numbers: Tensor) -> Tensor:
    """Return a colour, uint8, (..., 3), for each number: blue at -1, white at 0, red at 1."""
    red, blue = 1 + numbers.clamp(-1, 0), 1 - numbers.clamp(0, 1)
    return (255 * torch.stack([red, red.min(blue), blue], dim=-1)).byte()


def confusion(matrix: Tensor) -> Image.Image:
    """Draw a confusion matrix, (10, 10), a row for each true digit.

    Coloured by the root of the share of its row, from 0 to 1: blue where right, red where wrong.
    """
    shares = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    cells = torch.full((11, 11, 3), 255, dtype=torch.uint8)
    cells[1:, 1:] = colours(
        0.67 * shares.sqrt() * (1 - 2 * torch.eye(10))
    )  # legible counts
    side, font = 48, ImageFont.load_default(14)
    picture = Image.fromarray(cells.numpy()).resize(
        (11 * side,) * 2, Image.Resampling.NEAREST
    )
    table = [["true,\nread as", *range(10)]]
    table += [[digit, *counts] for digit, counts in enumerate(matrix.tolist())]
    for y, row in enumerate(table):
        for x, entry in enumerate(row):
            middle = (x + 0.5) * side, (y + 0.5) * side
            ImageDraw.Draw(picture).text(middle, str(entry), "black", font, anchor="mm")
    return picture


def confusions(matrix: Tensor, most: int = 5) -> str:
    """Name the most frequent confusions of a matrix, (10, 10)."""
    worst = (matrix - matrix.diag().diag()).flatten().topk(most)
    pairs = zip(worst.indices.tolist(), worst.values.tolist(), strict=True)
    return ", ".join(f"{i // 10} as {i % 10} ({count})" for i, count in pairs if count)


class Figures(Callback):
    """Draws what the network gets, sees and confuses, and notes the settings with the result."""

    def __init__(self, text: str, config: dict[str, Any]) -> None:
        """Take the config of the run, as text to show and as settings to compare runs by."""
        settings = {
            "seed": config["seed_everything"],
            **config["model"],
            **config["data"],
        }
        settings |= {key: config["trainer"][key] for key in ("max_epochs", "precision")}
        del settings["data_dir"], settings["images"]
        if not Augmentation(**settings.get("augmentation", {})):
            settings["augmentation"] = "none"
        self.text, self.settings = text, settings
        for key, value in settings.items():
            if not isinstance(value, (int, float, str)):
                settings[key] = NOISE.sub("", str(value))
        self.drawn_at, self.drawn_step = -inf, -1
        self.writer: Any = None

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        boards = [
            x.experiment for x in trainer.loggers if isinstance(x, TensorBoardLogger)
        ]
        if trainer.loggers and not boards:
            trainer.print("Pictures are left out: they need TensorBoard's logger")
        self.writer = boards[0] if trainer.is_global_zero and boards else None

    def on_train_batch_start(
        self, trainer: Any, model: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.writer and trainer.global_step == batch_idx == 0:
            self.writer.add_text("config", f"```yaml\n{self.text}\n```")
            images, labels = pixels(batch[0][:MOST_DIGITS]), batch[1].tolist()
            picture = sheet(zip(images, map(str, labels), strict=False))
            self.writer.add_image(
                "images/training", numpy.asarray(picture), 0, dataformats="HWC"
            )
            # of layers that it cannot trace, torch warns, prints and raises
            with warnings.catch_warnings(), redirect_stdout(None), suppress(Exception):
                warnings.simplefilter("ignore")
                self.writer.add_graph(model.network, batch[0][:1].to(model.dtype))

    def on_validation_batch_end(self, trainer: Any, model: Any, *batch: Any) -> None:
        """Draw after the last batch, while averaged weights, if there are any, are in place."""
        last = (
            batch[2] + 1 == trainer.num_val_batches[0] and not trainer.sanity_checking
        )
        if last and time.monotonic() - self.drawn_at >= SECONDS:
            self._draw(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        self._draw(trainer, model)
        best = max(
            (getattr(c, "best_score", -1) for c in trainer.checkpoint_callbacks),
            default=-1,
        )
        if self.writer:
            if best >= 0:
                self.writer.add_scalar("val/acc_best", best, trainer.global_step - 1)
            hparams: Any = summary.hparams
            for event in hparams(self.settings, {"val/acc_best": 0, "test/acc": 0}):
                self.writer._get_file_writer().add_summary(event)

    def pictures(self, model: Any) -> dict[str, Image.Image]:
        """Draw what a model makes of the images evaluated, and its weights of pixels: red adds."""
        drawn = {}
        loader = model.trainer.test_dataloaders or model.trainer.val_dataloaders
        if isinstance(loader, TensorBatches):
            images, labels = loader.images[loader.rows], loader.labels[loader.rows]
            probabilities, digits = (
                part.cpu() for part in model.probabilities(images).max(dim=1)
            )
            wrong = (digits != labels).nonzero().flatten()
            wrong = wrong[probabilities[wrong].argsort(descending=True)[:MOST_DIGITS]]
            drawn["wrong"] = sheet(
                (images[i], f"{labels[i]} as {digits[i]}\n{probabilities[i]:.1%}")
                for i in wrong
            )
            counts = torch.bincount(10 * labels + digits, minlength=100)
            drawn["confusion"] = confusion(counts.view(10, 10))
        for weights in model.network.parameters():
            if weights.shape[1:] == (784,) and "weights" not in drawn:
                units = colours(
                    weights[:MOST_UNITS].detach().float().cpu() / WEIGHT_SCALE
                )
                drawn["weights"] = sheet(
                    (unit, "") for unit in units.view(-1, 28, 28, 3)
                )
        return drawn

    def _draw(self, trainer: Trainer, model: Any) -> None:
        step = trainer.global_step - 1
        if not self.writer or step == self.drawn_step:
            return
        self.drawn_at, self.drawn_step = time.monotonic(), step
        for name, picture in self.pictures(model).items():
            tag = f"images/{name}"
            self.writer.add_image(tag, numpy.asarray(picture), step, dataformats="HWC")
        for name, weights in model.named_parameters():
            for kind, values in (
                ("weights", weights.detach()),
                ("gradients", weights.grad),
            ):
                # TensorBoard has no bins for others, and fails if there is nothing to count
                if values is not None and len(values := values[values.abs() < 1e19]):
                    self.writer.add_histogram(f"{kind}/{name}", values.float(), step)
