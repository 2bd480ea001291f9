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
from torchvision.transforms.functional import pil_to_tensor

from mlp_lightning.mlp import MEAN, STD

SIDE = 84  # pixels that 28 x 28 take up on a sheet
MOST_DIGITS, MOST_UNITS = 40, 128  # on a sheet
WEIGHT_SCALE = 0.3  # a weight of this size has full colour, in all runs
SECONDS = 30  # of training between two drawings
# in the settings of a class; HPARAMS has one column for all of them
NOISE = re.compile(r"'(class_path|init_args)': |, '\w+': (None|False|0|0\.0)(?=[,}])|[{}']")


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
    return ((images.float().cpu() * STD + MEAN) * 255).round().clamp(0, 255).byte().view(-1, 28, 28)


def colours(numbers: Tensor) -> Tensor:
    """Return a colour, uint8, (..., 3), for each number: blue at -1, white at 0, red at 1."""
    red, blue = 1 + numbers.clamp(-1, 0), 1 - numbers.clamp(0, 1)
    return (255 * torch.stack([red, red.min(blue), blue], dim=-1)).byte()


def confusion(matrix: Tensor) -> Image.Image:
    """Draw a confusion matrix, (10, 10), a row for each true digit.

    Coloured by the root of the share of its row, from 0 to 1: blue where right, red where wrong.
    """
    shares = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    cells = colours(shares.sqrt() * (1 - 2 * torch.eye(10))).view(100, 1, 1, 3)
    titles = (f"{i // 10} as {i % 10}\n{n}" for i, n in enumerate(matrix.flatten().tolist()))
    return sheet(zip(cells, titles, strict=True))


def confusions(matrix: Tensor, most: int = 5) -> str:
    """Name the most frequent confusions of a matrix, (10, 10)."""
    worst = (matrix - matrix.diag().diag()).flatten().topk(most)
    pairs = zip(worst.indices.tolist(), worst.values.tolist(), strict=True)
    return ", ".join(f"{i // 10} as {i % 10} ({count})" for i, count in pairs if count)


class Figures(Callback):
    """Draws what the network gets, sees and confuses, and notes the settings with the result."""

    def __init__(self, text: str, config: dict[str, Any]) -> None:
        """Take the config of the run, as text to show and as settings to compare runs by."""
        settings = {"seed": config["seed_everything"], **config["model"], **config["data"]}
        settings |= {key: config["trainer"][key] for key in ("max_epochs", "precision")}
        del settings["data_dir"], settings["images"]
        self.text, self.settings = text, settings
        for key, value in settings.items():
            if not isinstance(value, (int, float, str)):
                settings[key] = NOISE.sub("", str(value))
        self.drawn_at, self.drawn_step, self.evaluated_step = -inf, -1, -1
        self.writer: Any = None

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        boards = [x.experiment for x in trainer.loggers if isinstance(x, TensorBoardLogger)]
        if trainer.loggers and not boards:
            trainer.print("Pictures are left out: they need TensorBoard's logger")
        self.writer = boards[0] if trainer.is_global_zero and boards else None

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        if self.writer and trainer.global_step == batch_idx == 0:
            self.writer.add_text("config", f"```yaml\n{self.text}\n```")
            images, labels = pixels(batch[0][:MOST_DIGITS]), batch[1].tolist()
            picture = sheet(zip(images, map(str, labels), strict=False))
            self.writer.add_image("images/training", pil_to_tensor(picture), 0)
            # of layers that it cannot trace, torch warns, prints and raises
            with warnings.catch_warnings(), redirect_stdout(None), suppress(Exception):
                warnings.simplefilter("ignore")
                self.writer.add_graph(model.network, batch[0][:1].to(model.dtype))

    def on_validation_batch_end(
        self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Keep the most confidently wrong: probability, true digit, its answer, pixels."""
        if batch_idx == 0:
            self.wrong = torch.full((MOST_DIGITS, 3 + 784), -1.0, device=model.device)
        if isinstance(outputs, Tensor) and outputs.shape[1:] == (10,):  # our model's logits
            probability, digit = outputs.softmax(dim=1).max(dim=1)
            probability[digit == batch[1]] = -1
            rows = torch.column_stack([probability, batch[1], digit, batch[0].flatten(1)])
            rows = torch.cat([self.wrong, rows])
            self.wrong = rows[rows[:, 0].topk(MOST_DIGITS).indices]

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        if not trainer.sanity_checking:
            self.wrong = model.all_gather(self.wrong).view(-1, 3 + 784)
            self.evaluated_step = trainer.global_step
            if time.monotonic() - self.drawn_at >= SECONDS:
                self._draw(trainer, model)

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
        """Draw an evaluation of the model as it is, and the weights of pixels: red adds."""
        drawn = {}
        if hasattr(model, "matrix") and self.evaluated_step == model.global_step:
            wrong = self.wrong[self.wrong[:, 0] >= 0].cpu()
            titles = (f"{t:.0f} as {d:.0f}\n{p:.1%}" for p, t, d in wrong[:, :3].tolist())
            drawn["wrong"] = sheet(zip(pixels(wrong[:, 3:]), titles, strict=True))
            drawn["confusion"] = confusion(model.matrix.cpu())
        for weights in model.network.parameters():
            if weights.shape[1:] == (784,) and "weights" not in drawn:
                units = colours(weights[:MOST_UNITS].detach().float().cpu() / WEIGHT_SCALE)
                drawn["weights"] = sheet((unit, "") for unit in units.view(-1, 28, 28, 3))
        return drawn

    def _draw(self, trainer: Trainer, model: Any) -> None:
        step = trainer.global_step - 1
        if not self.writer or step == self.drawn_step:
            return
        self.drawn_at, self.drawn_step = time.monotonic(), step
        for name, picture in self.pictures(model).items():
            self.writer.add_image(f"images/{name}", pil_to_tensor(picture), step)
        for name, weights in model.named_parameters():
            for kind, values in (("weights", weights.detach()), ("gradients", weights.grad)):
                # TensorBoard has no bins for others, and fails if there is nothing to count
                if values is not None and len(values := values[values.abs() < 1e19]):
                    self.writer.add_histogram(f"{kind}/{name}", values.float(), step)
