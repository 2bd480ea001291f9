"""The MLP in training: loss, accuracy, optimizer."""

import os
import zlib
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from mlp_lightning.mlp import MLP, normalise


class MLPClassifier(LightningModule):
    """A multilayer perceptron that learns to read handwritten digits."""

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: str | dict[str, Any] = "relu",
        dropout: float = 0.0,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.SGD(
            parameters, lr=0.01
        ),
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        """Build the network.

        Args:
            hidden_sizes: Units of each hidden layer, first to last; [] for a linear classifier.
            activation: After each hidden layer: relu, sigmoid, tanh, identity, or the class path
                of another, such as torch.nn.GELU, or {class_path: ..., init_args: {...}}.
            dropout: Probability, in [0, 1), of zeroing a hidden unit after its activation.
            optimizer: Any of torch.optim by name, its settings as --model.optimizer.lr and so on.
            lr_scheduler: Any of torch's by name, stepped every epoch; OneCycleLR is stepped every
                optimizer step and gets its total_steps from the training itself.
        """
        super().__init__()
        hidden_sizes = list(hidden_sizes)
        # What builds optimizer and schedule is no plain data: the run's config.yaml keeps it.
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler"], logger=False)
        self.network = MLP(hidden_sizes, activation, dropout)
        self.optimizer = optimizer
        self.lr_scheduler: Any = lr_scheduler
        self.mean_loss = MeanMetric(nan_strategy="disable")
        self.confusion = MulticlassConfusionMatrix(10, validate_args=False)

    def __setattr__(self, name: str, value: Any) -> None:
        """Spare Lightning's note of the hook, some forty a step, torch's search for parameters."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Any:
        """Return logits, (batch, 10), no softmax applied, for normalised (batch, 1, 28, 28)."""
        return self.network(images.to(self.dtype))  # with 64-true, say, not float32

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return float32, (batch, 10), for images as MNIST has them: uint8, (batch, 28, 28)."""
        training = self.training
        logits = self.eval()(normalise(images.to(self.device)))
        self.train(training)
        return torch.softmax(logits.float(), dim=1)

    def check_finite(self, *values: Tensor) -> None:
        """Raise FloatingPointError unless all of these, the loss or weights, are finite."""
        finite = all(value.isfinite().all() for value in values)
        if not self.trainer.strategy.reduce_boolean_decision(
            finite
        ):  # in any of the processes
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            text = f"no longer finite by step {self.global_step}, learning rate {rate:g}: lower it"
            raise FloatingPointError(f"the loss or a weight is {text}")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout a function of seed, epoch, batch and process: a restart draws the same."""
        seed = os.environ.get(
            "PL_GLOBAL_SEED", "42"
        )  # what lightning.seed_everything set
        number = zlib.crc32(
            f"{seed} {self.current_epoch} {batch_idx} {self.global_rank}".encode()
        )
        cpu = (
            self.device.type == "cpu"
        )  # torch.manual_seed would take a hundred times as long
        source: Any = (
            torch.default_generator if cpu else torch.get_device_module(self.device)
        )
        source.manual_seed(number)
        if (
            self.trainer._logger_connector.should_update_logs
        ):  # when the step is over, a schedule
            self.log(
                "train/lr", self.trainer.optimizers[0].param_groups[0]["lr"]
            )  # has changed it

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the loss where logger or callbacks look at it: to log takes a fifth of a step."""
        trainer: Any = self.trainer
        if outputs and (
            trainer._logger_connector.should_update_logs or trainer.is_last_batch
        ):
            loss = (
                outputs["loss"] * trainer.accumulate_grad_batches
            )  # Lightning has divided it
            self.check_finite(loss)
            self.log("train/loss", loss, prog_bar=True)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients, for the pictures: the next step clears them anyway."""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self(images).float()
        # A loss per image: their mean is the same however the images are shared out.
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        self.mean_loss.set_dtype(torch.float32).update(
            losses
        )  # bfloat16 counts only to 256
        self.confusion.update(logits.argmax(dim=1), labels)
        self.log(f"{'test' if self.trainer.testing else 'val'}/loss", self.mean_loss)

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy, of all images and of those of each digit."""
        if not self.confusion.update_count:
            return  # the steps are a subclass's own
        stage = "test" if self.trainer.testing else "val"
        self.matrix = (
            self.confusion.compute()
        )  # (10, 10), rows: true digits; of all processes
        self.confusion.reset()
        right, count = self.matrix.diag().float(), self.matrix.sum(dim=1)
        same: Any = {"sync_dist": True, "reduce_fx": "max"}  # in all processes
        self.log(f"{stage}/acc", right.sum() / count.sum(), prog_bar=True, **same)
        for digit in count.nonzero().flatten().tolist():
            self.log(f"{stage}_acc/{digit}", right[digit] / count[digit], **same)

    test_step, on_test_epoch_end = validation_step, on_validation_epoch_end

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return torch.softmax(self(batch[0]).float(), dim=1)  # (batch, 10)

    def configure_optimizers(self) -> Any:
        optimizer, schedules = self.optimizer(self.parameters()), []
        if self.lr_scheduler is not None:
            # without a trainer, only to see whether torch accepts the settings
            steps = self.trainer.estimated_stepping_batches if self._trainer else 1_000
            try:
                scheduler = self.lr_scheduler(optimizer, total_steps=steps)
            except TypeError:  # only a one-cycle schedule takes the number of steps
                scheduler = self.lr_scheduler(optimizer)
            interval = "step" if isinstance(scheduler, OneCycleLR) else "epoch"
            monitor = getattr(
                scheduler, "monitor", None
            )  # of Lightning's ReduceLROnPlateau
            schedules = [
                {"scheduler": scheduler, "interval": interval, "monitor": monitor}
            ]
        if not 0 <= (rate := optimizer.param_groups[0]["lr"]) < float("inf"):
            option = "lr_scheduler" if schedules else "optimizer"
            raise ValueError(
                f"{option}: learning rates must be finite, and 0 or more, got {rate}"
            )
        return [optimizer], schedules
