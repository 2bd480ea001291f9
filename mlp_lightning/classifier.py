"""The MLP in training: loss, metrics, optimizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import (
    LRSchedulerCallable,
    OptimizerCallable,
    ReduceLROnPlateau,
)
from lightning.pytorch.utilities.types import (
    STEP_OUTPUT,
    LRSchedulerConfigType,
    OptimizerLRScheduler,
)
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from mlp_lightning.callbacks import StepCallback
from mlp_lightning.errors import SettingError
from mlp_lightning.info import MNIST_INFO, DatasetInfo
from mlp_lightning.mlp import MLP, Activation, normalise
from mlp_lightning.schedules import build_schedule, check_rate

# On the command line, ReduceLROnPlateau is Lightning's, which knows its metric: this
# type comes first, since torch has a class of the same name.
LRScheduler = Callable[[Optimizer], ReduceLROnPlateau] | LRSchedulerCallable
Batch = tuple[Tensor, Tensor]  # normalised images (batch, 1, 28, 28), labels (batch,)


class MLPClassifier(LightningModule):
    """A multilayer perceptron that learns to tell images apart, such as digits."""

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: Activation = "relu",
        dropout: float = 0.0,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.SGD(
            parameters, lr=0.01
        ),
        lr_scheduler: LRScheduler | None = None,
        info: DatasetInfo | Mapping[str, Any] = MNIST_INFO,
    ) -> None:
        """Build the network.

        Args:
            hidden_sizes: Units of each hidden layer, first to last; [] for a linear
                classifier.
            activation: After each hidden layer: relu, sigmoid, tanh, identity, or the
                class path of another, such as torch.nn.GELU, or {class_path: ...,
                init_args: {...}}.
            dropout: Probability, in [0, 1), of zeroing a hidden unit after its
                activation.
            optimizer: A class of torch.optim by name, its settings as
                --model.optimizer.lr and so on.
            lr_scheduler: A class of torch's by name, stepped every epoch; OneCycleLR
                and CosineAnnealingLR get their length from the training itself, and
                are stepped every optimizer step.
            info: What there is to know of the images: the data module's `info`. The
                command line takes it from there.

        Raises:
            SettingError: If a setting is out of its range.
        """
        super().__init__()
        hidden_sizes = list(hidden_sizes)
        if not isinstance(info, DatasetInfo):
            info = DatasetInfo.from_settings(info)
        # What builds optimizer and schedule is not plain data, and a checkpoint holds
        # nothing else. The run's config.yaml keeps it.
        not_plain = ["optimizer", "lr_scheduler", "info"]
        self.save_hyperparameters(ignore=not_plain, logger=False)
        self.hparams["info"] = asdict(info)
        self.info = info
        classes = len(info.classes)
        self.network = MLP(hidden_sizes, activation, dropout, classes)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        # Takes the place of the optimizer's own: Lightning's Tuner sets it.
        self.lr: float | None = None
        self.mean_loss = MeanMetric(nan_strategy="disable")
        self.confusion = MulticlassConfusionMatrix(classes, validate_args=False)
        # Of the last validation or test: (classes, classes), a row for each true one.
        self.confusion_matrix: Tensor | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a string or None without torch's check for parameters.

        Lightning notes in one which hook it is in, some forty times at each step.
        """
        is_plain = value is None or isinstance(value, str)
        if is_plain and name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, classes), of normalised images (batch, 1, 28, 28)."""
        logits: Tensor = self.network(images.to(self.dtype))  # float64 with 64-true
        return logits

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probability of each class, for images as the data set has them.

        Args:
            images: uint8, (batch, 28, 28), from 0 for paper to 255 for ink.

        Returns:
            float32, (batch, classes), each row of sum 1.
        """
        was_training = self.training
        self.eval()
        inputs = normalise(images.to(self.device), self.info.mean, self.info.std)
        logits = self(inputs)
        self.train(was_training)
        return torch.softmax(logits.float(), dim=1)

    def configure_callbacks(self) -> list[Callback]:
        """Bring along what seeds, logs and checks each training step."""
        return [StepCallback()]

    def setup(self, stage: str) -> None:
        """Let each process count for itself: those of ddp_spawn share memory."""
        self.mean_loss.reset()
        self.confusion.reset()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, which StepCallback logs as `train/loss`.

        The Trainer does the rest of a step: `zero_grad`, `backward`, `optimizer.step`.
        """
        images, labels = batch
        return cross_entropy(self(images), labels)

    # Lightning inspects the signature at each step; a stored one is found at once.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count the images into loss and confusion matrix; return their logits."""
        return self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count the images into loss and confusion matrix; return their logits."""
        return self.evaluate(batch, "test")

    def evaluate(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        """Update the metrics, and return {"logits": float32, (batch, classes)}."""
        images, labels = batch
        logits = self(images).float()
        # A loss per image: their mean is the same however the images are shared out.
        losses = cross_entropy(logits, labels, reduction="none")
        self.mean_loss.set_dtype(torch.float32)  # bfloat16 counts only to 256
        self.mean_loss.update(losses)
        classes = logits.argmax(dim=1)
        self.confusion.update(classes, labels)
        self.log(f"{stage}/loss", self.mean_loss)
        return {"logits": logits}

    def on_validation_epoch_start(self) -> None:
        """Forget what an evaluation that was broken off has counted."""
        self.mean_loss.reset()
        self.confusion.reset()

    def on_test_epoch_start(self) -> None:
        """Forget what an evaluation that was broken off has counted."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Log `val/acc`, and `val_acc/0` and so on, by the names of the classes."""
        self.log_accuracies("val")

    def on_test_epoch_end(self) -> None:
        """Log `test/acc`, and `test_acc/0` and so on, by the names of the classes."""
        self.log_accuracies("test")

    def log_accuracies(self, stage: str) -> None:
        """Log the accuracy of all images, and of those of each class."""
        if self.confusion.update_count == 0:
            return  # a subclass has steps of its own, which count nothing
        matrix = self.confusion.compute()  # (classes, classes), over all processes
        self.confusion.reset()
        self.confusion_matrix = matrix
        correct = matrix.diag().float()
        counts = matrix.sum(dim=1)
        accuracy = correct.sum() / counts.sum()
        self.log_agreed(f"{stage}/acc", accuracy, prog_bar=True)
        labels = counts.nonzero().flatten()  # those that there are
        for label in labels.tolist():
            accuracy = correct[label] / counts[label]
            self.log_agreed(f"{stage}_acc/{self.info.classes[label]}", accuracy)

    def log_agreed(self, name: str, value: Tensor, prog_bar: bool = False) -> None:
        """Log a value that is the same in all processes, as its maximum is."""
        self.log(name, value, prog_bar=prog_bar, sync_dist=True, reduce_fx="max")

    def predict_step(self, batch: tuple[Tensor, object], batch_idx: int) -> Tensor:
        """Return the probability of each class, (batch, classes)."""
        images = batch[0]
        logits = self(images).float()
        return torch.softmax(logits, dim=1)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients, where Lightning would clear them, for the histograms."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer, and a schedule that spans the training."""
        total_steps = 0.0
        if self.lr_scheduler is not None:
            total_steps = self.trainer.estimated_stepping_batches
        optimizer, schedule = self.build_optimizer(total_steps)
        if schedule is None:
            return optimizer
        monitor = schedule["monitor"]
        epochs = self.trainer.check_val_every_n_epoch
        if monitor and monitor.startswith("val") and epochs:
            schedule["frequency"] = epochs  # there is no such metric in between
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def build_optimizer(
        self, total_steps: float
    ) -> tuple[Optimizer, LRSchedulerConfigType | None]:
        """Build the optimizer, and the schedule if there is one.

        Args:
            total_steps: Optimizer steps of the whole training, which a one-cycle
                schedule has to know.

        Raises:
            SettingError: If torch refuses the settings.
        """
        try:
            optimizer = self.optimizer(self.parameters())
        except (RuntimeError, TypeError, ValueError) as error:
            raise SettingError(f"optimizer: {error}") from error
        if self.lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = self.lr
        schedule = None
        if self.lr_scheduler is not None:
            schedule = build_schedule(self.lr_scheduler, optimizer, total_steps)
        check_rate(optimizer, "lr_scheduler" if schedule else "optimizer")
        return optimizer, schedule


# A lambda, in which jsonargparse reads the class and its settings, has no name. Under
# this one, a pickle of the model, as ddp_spawn makes it, finds it.
default_optimizer = signature(MLPClassifier).parameters["optimizer"].default
default_optimizer.__qualname__ = "default_optimizer"


def get_logits(outputs: STEP_OUTPUT) -> Tensor | None:
    """Return the logits, (batch, classes), that a step of an evaluation has returned.

    A subclass may return something else from its own steps: then there are none.
    """
    return outputs.get("logits") if isinstance(outputs, dict) else None
