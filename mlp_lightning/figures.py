"""The callback that shows in TensorBoard what the network gets, learns and confuses."""

import time
from math import inf
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from mlp_lightning.classifier import Batch, get_logits
from mlp_lightning.confusion import draw_confusion_matrix
from mlp_lightning.drawing import (
    IMAGE_SIDE,
    Picture,
    denormalise,
    draw_mistakes,
    draw_pixel_weights,
    fit_title,
    image_grid,
)
from mlp_lightning.gallery import Gallery
from mlp_lightning.info import get_info
from mlp_lightning.mistakes import MAX_CELLS, Mistakes
from mlp_lightning.names import get_names
from mlp_lightning.settings import SettingsSummary
from mlp_lightning.tensorboard import (
    Pictures,
    add_graph,
    add_histogram,
    add_settings,
    find_board_logger,
    make_layout,
)

SECONDS_BETWEEN_DRAWINGS = 30  # A drawing takes 0.3 s on one CPU core.
NEVER = -1  # before any step
PIXELS = IMAGE_SIDE * IMAGE_SIDE


class Figures(Callback):
    """Shows images, mistakes and weights; in TensorBoard, settings and results too.

    It draws what the validation's steps return and does not run the network again.
    Between two drawings, at least `SECONDS_BETWEEN_DRAWINGS` of training pass; what
    the last validation has left undrawn is drawn at the end.
    """

    def __init__(self) -> None:
        self.run: Path | None = None
        self.config_text = ""
        self.settings: SettingsSummary = {}
        # Only in the first process.
        self.gallery: Gallery | None = None
        # Only there, and only if TensorBoard is among the loggers.
        self.board: SummaryWriter | None = None
        self.drawing_time = -inf  # of the last drawing, by time.monotonic
        self.drawing_is_due = False  # in this validation
        self.weights_step = NEVER  # when the weights were last drawn
        # What the last validation or test has found, and its step unless it is drawn.
        self.mistakes: Mistakes | None = None
        self.confusion_matrix: Tensor | None = None
        self.undrawn_step: int | None = None

    def use_run(
        self, run: Path | None, config_text: str, settings: SettingsSummary
    ) -> None:
        """Take what there is to know of a run.

        Args:
            run: Its folder, for pictures that no logger takes.
            config_text: Its config as YAML.
            settings: Those to show with its results.
        """
        self.run = run
        self.config_text = config_text
        self.settings = settings

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Find out where to show pictures."""
        if not trainer.is_global_zero:
            return
        self.gallery = Gallery(trainer.loggers, self.run)
        logger = find_board_logger(trainer)
        if logger is not None:
            self.board = logger.experiment

    def on_train_batch_start(
        self, trainer: Trainer, model: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Show, before the first step, the config, training images and the graph.

        The layout of the page CUSTOM SCALARS goes with them.
        """
        has_begun = batch_idx > 0 or trainer.global_step > 0
        if self.gallery is None or has_begun:
            return
        images, labels = batch
        board = self.board
        if board is not None:
            text = f"```yaml\n{self.config_text}\n```"
            board.add_text("config", text)
            layout = make_layout(get_info(model))
            board.add_custom_scalars(layout)
            add_graph(board, model, images[:1])
        picture = draw_training_images(images, labels, model)
        self.gallery.show({"training": picture}, step=0)

    def on_validation_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Decide whether this validation is drawn."""
        self.mistakes = None
        now = time.monotonic()
        elapsed = now - self.drawing_time
        is_time = elapsed >= SECONDS_BETWEEN_DRAWINGS
        has_trained = trainer.global_step > 0 and not trainer.sanity_checking
        self.drawing_is_due = has_trained and is_time

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        model: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect mistakes; with the last batch, show the weights if that is due."""
        self.collect_mistakes(model, outputs, batch)
        # Averaged weights are in the model only until the last batch is over.
        batches = trainer.num_val_batches[0]
        is_last_batch = batch_idx + 1 == batches
        if is_last_batch and self.drawing_is_due:
            step = trainer.global_step - 1
            self.show_weights(model, step)

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        """Show what the validation has found, or keep it for the end."""
        if trainer.sanity_checking:
            return
        self.finish_evaluation(trainer, model)
        self.undrawn_step = trainer.global_step - 1
        if self.drawing_is_due:
            self.show_evaluation(model)

    def on_test_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.mistakes = None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        model: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.collect_mistakes(model, outputs, batch)

    def on_test_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.finish_evaluation(trainer, model)

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        """Show what is left, and the settings beside the best accuracy."""
        self.show_evaluation(model)
        step = trainer.global_step - 1
        self.show_weights(model, step)
        if self.board is None:
            return
        for callback in trainer.checkpoint_callbacks:
            best_score = getattr(callback, "best_score", -1)  # Lightning's have none.
            if best_score >= 0:
                self.board.add_scalar("val/acc_best", best_score, step)
        add_settings(self.board, self.settings)

    def draw_evaluation(self, model: LightningModule) -> Pictures:
        """Return the pictures "wrong", "confusion" and "weights", as far as known."""
        findings = self.draw_findings(model)
        weights = draw_weights(model)
        return findings | weights

    def draw_findings(self, model: LightningModule) -> Pictures:
        """Return the pictures "wrong" and "confusion", as far as known."""
        pictures = {}
        mistakes = self.mistakes
        matrix = self.confusion_matrix
        names = get_names(model)
        if mistakes is not None:
            pictures["wrong"] = draw_mistakes(*mistakes, names)
        if matrix is not None:
            pictures["confusion"] = draw_confusion_matrix(matrix, names)
        return pictures

    def collect_mistakes(
        self, model: LightningModule, outputs: STEP_OUTPUT, batch: Batch
    ) -> None:
        """Join the mistakes of a batch to those that are surer."""
        logits = get_logits(outputs)
        if logits is None:
            return
        images, labels = batch
        new = Mistakes.of_batch(images, labels, logits, get_info(model))
        old = self.mistakes
        if old is None:
            old = Mistakes.none(images.device)
        mistakes = old.join(new)
        self.mistakes = mistakes.surest()

    def finish_evaluation(self, trainer: Trainer, model: LightningModule) -> None:
        """Take the model's confusion matrix, and the mistakes of all processes."""
        self.confusion_matrix = getattr(model, "confusion_matrix", None)
        if self.mistakes is None or trainer.world_size == 1:
            return
        shares = model.all_gather(self.mistakes)  # (processes, n, ...) of each
        columns = [share.flatten(0, 1) for share in shares]
        mistakes = Mistakes(*columns)
        self.mistakes = mistakes.surest()

    def show_evaluation(self, model: LightningModule) -> None:
        """Show what the last validation has found, unless that is done."""
        step = self.undrawn_step
        if self.gallery is None or step is None:
            return
        pictures = self.draw_findings(model)
        self.gallery.show(pictures, step)
        self.undrawn_step = None

    def show_weights(self, model: LightningModule, step: int) -> None:
        """Show the weights after a step, and their gradients, unless that is done."""
        if self.gallery is None or self.weights_step == step:
            return
        self.drawing_time = time.monotonic()
        self.weights_step = step
        pictures = draw_weights(model)
        self.gallery.show(pictures, step)
        board = self.board
        if board is None:
            return
        for name, weights in model.named_parameters():
            tag = f"weights/{name}"
            values = weights.detach()
            add_histogram(board, tag, values, step)
            gradients = weights.grad
            if gradients is not None:
                tag = f"gradients/{name}"
                add_histogram(board, tag, gradients, step)


def draw_training_images(
    images: Tensor, labels: Tensor, model: LightningModule
) -> Picture:
    """Draw the first normalised images of a batch above their labels."""
    info = get_info(model)
    names = get_names(model)
    first_images = images[:MAX_CELLS]
    first_labels = labels[:MAX_CELLS]
    pixels = denormalise(first_images, info.mean, info.std).cpu()
    titles = [fit_title(names[label]) for label in first_labels.tolist()]
    cells = zip(pixels, titles, strict=True)
    return image_grid(cells)


def draw_weights(model: LightningModule) -> Pictures:
    """Draw the first weights of pixels, (units, 784), if the network has any."""
    for weights in model.parameters():
        inputs = weights.shape[1:]
        if inputs == (PIXELS,):
            picture = draw_pixel_weights(weights)
            return {"weights": picture}
    return {}
