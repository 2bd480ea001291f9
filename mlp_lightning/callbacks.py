"""What happens around each training step: seeding, logging, and a check for NaN."""

import zlib
from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from mlp_lightning.batches import DEFAULT_SEED, get_seed


def check_finite(trainer: Trainer, *values: Tensor) -> None:
    """Raise FloatingPointError unless these are finite in each of the processes."""
    finite = all(bool(value.isfinite().all()) for value in values)
    if not trainer.strategy.reduce_boolean_decision(finite):
        step = trainer.global_step
        rate = get_learning_rate(trainer)
        raise FloatingPointError(
            f"the loss or a weight is no longer finite by step {step}, "
            f"learning rate {rate:g}: lower it"
        )


def get_learning_rate(trainer: Trainer) -> float:
    """Return the learning rate of the next step."""
    optimizer = trainer.optimizers[0]
    rate: float = optimizer.param_groups[0]["lr"]
    return rate


class StepCallback(Callback):
    """Seeds, logs and checks each training step; MLPClassifier brings it along.

    It logs the loss and the learning rate only where the logger takes a value, or a
    callback looks at the last one of an epoch: of a short step, logging is a good part.
    """

    def __init__(self) -> None:
        self.steps_done = 0
        self.seed = DEFAULT_SEED
        self.set_torch_seed: Callable[[int], object] = torch.manual_seed

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Note what stays the same from step to step."""
        self.seed = get_seed()
        if module.device.type == "cpu":
            # torch.manual_seed would look for other devices too, which takes longer.
            self.set_torch_seed = torch.default_generator.manual_seed
        else:
            backend = torch.get_device_module(module.device)
            self.set_torch_seed = backend.manual_seed

    def is_logging_due(self, trainer: Trainer) -> bool:
        """Return whether Lightning hands the logger what this batch logs.

        Its rule counts optimizer steps, and not the one under way.
        """
        # Lightning sets it where mypy does not look.
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if interval == 0:
            return False
        is_multiple = (self.steps_done + 1) % interval == 0
        return is_multiple or trainer.should_stop

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Seed torch, and log the learning rate of the step that begins.

        Dropout becomes a function of seed, epoch, batch and process, so that a run that
        was stopped draws the same.
        """
        position = f"{trainer.current_epoch} {batch_idx} {trainer.global_rank}"
        text = f"{self.seed} {position}"
        self.set_torch_seed(zlib.crc32(text.encode()))
        self.steps_done = trainer.global_step
        if self.is_logging_due(trainer):
            # At the end of the step, a schedule has changed the rate already.
            module.log("train/lr", get_learning_rate(trainer))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Log the loss, and raise FloatingPointError if it is not finite."""
        if not isinstance(outputs, Mapping) or "loss" not in outputs:
            return  # the step is a subclass's own, or has left out this batch
        if self.is_logging_due(trainer) or trainer.is_last_batch:
            # Lightning has divided the loss by the number of batches it accumulates.
            loss = outputs["loss"] * trainer.accumulate_grad_batches
            check_finite(trainer, loss)
            module.log("train/loss", loss, prog_bar=True)
