"""What the network gets, sees and confuses: pictures in TensorBoard, and after a test."""

import re
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any

import numpy
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.utils.tensorboard import summary

from mlp_lightning.mlp import MEAN, STD

SIDE = 84  # pixels that 28 x 28 take up on a sheet
MOST_DIGITS, MOST_UNITS = 40, 128
WEIGHT_SCALE = 0.3  # a weight of this size has full colour, in all runs
SECONDS = 30  # of training between two drawings
SHOWN = re.compile(
    r"model\..+|data\.(batch|val)_size|seed_everything|trainer\.(max_epochs|precision)"
)


def sheet(cells: Iterable[tuple[Any, str]], columns: int = 10) -> Image.Image:
    """Return pictures side by side, from arrays of uint8, 28 or 84 pixels high, with titles."""
    drawn = [(Image.fromarray(numpy.asarray(array)), title) for array, title in cells]
    wide = [(picture.width * SIDE // picture.height, title.count("\n")) for picture, title in drawn]
    width, lines = (max(column) for column in zip((SIDE, 0), *wide, strict=True))
    width, height, rows = width + 4, SIDE + 4 + 14 * (lines + 1), max(1, -(-len(drawn) // columns))
    whole = Image.new("RGB", (width * columns, height * rows), "white")
    for i, (picture, title) in enumerate(drawn):
        x, y = i % columns * width, i // columns * height
        whole.paste(picture.resize((wide[i][0], SIDE), Image.Resampling.NEAREST), (x, y))
        ImageDraw.Draw(whole).text((x, y + SIDE), title, "black", ImageFont.load_default(12))
    return whole


def pixels(images: Tensor) -> Tensor:
    """Return the uint8 pixels, (n, 28, 28), of normalised images of any shape."""
    return ((images.float().cpu() * STD + MEAN) * 255).round().clamp(0, 255).byte().view(-1, 28, 28)


def confusion(matrix: Tensor) -> Image.Image:
    """Draw a confusion matrix, (10, 10), a row for each true digit.

    Coloured by the root of the share of its row, from 0 to 1: blue where right, red where wrong.
    """
    side, font = 48, ImageFont.load_default(14)
    picture = Image.new("RGB", (11 * side, 11 * side), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((4, 4), " read as\ntrue", "black", ImageFont.load_default(10))
    shades = 255 - 170 * (matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)).sqrt()
    for i in range(1, 11):
        draw.text(((i + 0.5) * side, side / 2), str(i - 1), "black", font, anchor="mm")
        draw.text((side / 2, (i + 0.5) * side), str(i - 1), "black", font, anchor="mm")
        for j in range(1, 11):
            shade, count = int(shades[i - 1, j - 1]), int(matrix[i - 1, j - 1])
            colour = (shade, shade, 255) if i == j else (255, shade, shade)
            x, y = j * side, i * side
            draw.rectangle((x, y, x + side - 2, y + side - 2), colour)
            draw.text((x + side / 2, y + side / 2), str(count), "black", font, anchor="mm")
    return picture


def confusions(matrix: Tensor, most: int = 5) -> str:
    """Name the most frequent confusions of a matrix, (10, 10)."""
    worst = (matrix - matrix.diag().diag()).flatten().topk(most)
    pairs = zip(worst.indices.tolist(), worst.values.tolist(), strict=True)
    return ", ".join(f"{i // 10} as {i % 10} ({int(count)})" for i, count in pairs if count)


class Figures(Callback):
    """Draws what the network gets, sees and confuses, and notes the settings with the result."""

    def __init__(self, config: str, flat: dict[str, Any]) -> None:
        """Take the config, as text to show and as a flat dictionary to compare runs by."""
        self.config, self.settings = config, dict[str, Any]()
        for key, value in flat.items():
            if SHOWN.fullmatch(key):  # the same columns for all runs: HPARAMS shows those of one
                name, _, detail = re.sub(r"^(model|data|trainer)\.", "", key).partition(".")
                if detail == "class_path":
                    self.settings[name] = value.rpartition(".")[2]
                elif detail and value:
                    self.settings[name] += f" {detail.removeprefix('init_args.')}={value}"
                elif not detail:
                    plain = isinstance(value, (bool, int, float, str))
                    self.settings[name] = value if plain else str(value)
        self.drawn_at, self.drawn_step = -inf, -1
        self.writer: Any = None

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        boards = [x.experiment for x in trainer.loggers if isinstance(x, TensorBoardLogger)]
        if trainer.is_global_zero and trainer.loggers and not boards:
            print("Pictures are left out: they need TensorBoard's logger")
        self.writer = boards[0] if trainer.is_global_zero and boards else None
        if self.writer and trainer.global_step == 0:
            self.writer.add_text("config", f"```yaml\n{self.config}\n```")
            images = torch.zeros(1, 1, 28, 28, dtype=model.dtype, device=model.device)
            with warnings.catch_warnings(), suppress(RuntimeError):  # of layers it cannot trace
                warnings.simplefilter("ignore")  # torch's, of its own tracer
                self.writer.add_graph(model.network, images)

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        if self.writer and trainer.global_step == batch_idx == 0:
            images, labels = pixels(batch[0][:MOST_DIGITS]), batch[1].tolist()
            self._add("images/training", sheet(zip(images, map(str, labels), strict=False)), 0)

    def on_validation_start(self, trainer: Trainer, model: Any) -> None:
        self.wrong = torch.full((MOST_DIGITS, 3 + 784), -1.0, device=model.device)

    def on_validation_batch_end(self, _: Any, __: Any, outputs: Any, batch: Any, *___: Any) -> None:
        """Keep the most confidently wrong: probability, true digit, its answer, pixels."""
        probability, digit = outputs.softmax(dim=1).max(dim=1)
        probability[digit == batch[1]] = -1
        rows = torch.column_stack([probability, batch[1], digit, batch[0].flatten(1)])
        rows = torch.cat([self.wrong, rows])
        self.wrong = rows[rows[:, 0].topk(MOST_DIGITS).indices]

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        wrong = model.all_gather(self.wrong).view(-1, 3 + 784)
        self.wrong = wrong[wrong[:, 0].topk(MOST_DIGITS).indices]
        if time.monotonic() - self.drawn_at >= SECONDS and not trainer.sanity_checking:
            self._draw(trainer, model)

    on_test_start: Any = on_validation_start
    on_test_batch_end: Any = on_validation_batch_end
    on_test_end: Any = on_validation_end

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        self._draw(trainer, model)
        best = getattr(trainer.checkpoint_callback, "best_score", -1)
        if self.writer:
            if best >= 0:
                self.writer.add_scalar("val/acc_best", best, trainer.global_step - 1)
            hparams: Any = summary.hparams
            for event in hparams(self.settings, {"val/acc_best": 0, "test/acc": 0}):
                self.writer._get_file_writer().add_summary(event)

    def pictures(self, model: Any) -> dict[str, Image.Image]:
        """Draw the last evaluation, and the weights of the first layer: red adds, blue takes."""
        drawn = {}
        if hasattr(model, "matrix"):
            wrong = self.wrong[self.wrong[:, 0] >= 0].cpu()
            titles = [f"{t:.0f} as {d:.0f}  {p:.1%}" for p, t, d in wrong[:, :3].tolist()]
            drawn["wrong"] = sheet(zip(pixels(wrong[:, 3:]), titles, strict=True))
            drawn["confusion"] = confusion(model.matrix.cpu())
        first = next(x for x in model.network.modules() if isinstance(x, torch.nn.Linear))
        weights = first.weight[:MOST_UNITS].detach().float().cpu() / WEIGHT_SCALE
        red, blue = 1 + weights.clamp(-1, 0), 1 - weights.clamp(0, 1)
        colours = torch.stack([red, red.min(blue), blue], dim=2).view(-1, 28, 28, 3)
        drawn["weights"] = sheet(((255 * unit).byte(), "") for unit in colours)
        return drawn

    def _draw(self, trainer: Trainer, model: Any) -> None:
        step = trainer.global_step - 1
        if self.writer and step != self.drawn_step:
            for name, picture in self.pictures(model).items():
                self._add(f"images/{name}", picture, step)
            for name, weights in model.named_parameters():
                self.writer.add_histogram(f"weights/{name}", weights.detach().float(), step)
            for name, gradient in getattr(model, "gradients", {}).items():
                self.writer.add_histogram(f"gradients/{name}", gradient.float(), step)
            self.drawn_at, self.drawn_step = time.monotonic(), step

    def _add(self, tag: str, picture: Image.Image, step: int) -> None:
        self.writer.add_image(tag, numpy.array(picture), step, dataformats="HWC")
