"""The callback that saves a run's checkpoints, and resumes it exactly.

This is the only module that uses private members of Lightning. It relies on the
following of lightning 2.6; tests/test_lightning_contract.py fails if they change.

- `trainer.fit_loop._restarting`: has no other way to be cleared for the outer loop
  alone, without which ReduceLROnPlateau misses a step at the end of a resumed epoch.
- `trainer.fit_loop.epoch_loop._batches_that_stepped`: the step under which loggers note
  metrics. Lightning saves it one too low, and adds one only on some ways to resume.
- `trainer.fit_loop.epoch_loop.reset_restart_stage()`: forgets which kind of stop
  Lightning has guessed from its counters.
- `trainer._logger_connector._callback_metrics`: what `trainer.callback_metrics` shows,
  which Lightning does not save; ReduceLROnPlateau looks for its metric there.
- The schema of `checkpoint["loops"]["fit_loop"]`, its counters of epochs and batches.
"""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO

from mlp_lightning.callbacks import check_finite
from mlp_lightning.errors import SettingError
from mlp_lightning.runs import CheckpointContent, read_checkpoint, write_config

NOT_VALIDATED = -1.0  # below any accuracy


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, so that a kill leaves the one before."""

    def save_checkpoint(
        self,
        checkpoint: CheckpointContent,
        path: str | Path,
        storage_options: object = None,
    ) -> None:
        """Write beside the file, and rename."""
        # Lightning writes into the system's folder for temporary files, and moves: to
        # another file system, that is a copy.
        part = f"{path}.part"
        super().save_checkpoint(checkpoint, part, storage_options)
        os.replace(part, path)


def wrap_atomic_writing(plugins: Iterable[object]) -> None:
    """Have those plugins write as AtomicCheckpointIO that leave it to Lightning how."""
    for plugin in plugins:
        if isinstance(plugin, AsyncCheckpointIO):
            # Does nothing if it wraps a plugin of the user's already.
            plugin.checkpoint_io = AtomicCheckpointIO()


class RunCheckpoint(Checkpoint):
    """Keeps best.ckpt and last.ckpt, from which a run goes on as if never stopped.

    They are written between two optimizer steps, when all that belongs to the one
    before is done: its validation, the schedules, the log. Lightning's ModelCheckpoint
    writes in the middle of that.
    """

    def __init__(self, every_n_train_steps: int = 0) -> None:
        """Keep best.ckpt, of the best val/acc, and last.ckpt, of the last epoch's end.

        Args:
            every_n_train_steps: Optimizer steps after which last.ckpt is written
                besides; 0: none.

        Raises:
            SettingError: If that is negative.
        """
        if every_n_train_steps < 0:
            raise SettingError(
                f"every_n_train_steps: must be at least 0, got {every_n_train_steps}"
            )
        self.every_n_train_steps = every_n_train_steps
        self.run = Path()
        self.config = ""
        self.best_score = NOT_VALIDATED
        self.best_is_due = False
        self.finished = False
        self.metrics: dict[str, float] = {}  # of the last validation and step
        self.saved_step = 0
        self.received_signal = 0

    @property
    def state_key(self) -> str:
        """Return the name of this callback's state, that of version 0.1.0."""
        return "Checkpoints"

    def use_run(self, run: Path, config: str) -> None:
        """Say where to save, and what the run's config.yaml is to hold."""
        self.run = run
        self.config = config

    def state_dict(self) -> dict[str, object]:
        """Return what a resumed run has to know."""
        return {
            "best_score": self.best_score,
            "finished": self.finished,
            "metrics": self.metrics,
        }

    def load_state_dict(self, state: CheckpointContent) -> None:
        """Take over what the run has reached."""
        self.best_score = state["best_score"]
        self.metrics = state["metrics"]

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Have checkpoints written whole, unless a plugin of the user's writes them."""
        # Lightning's default, and no subclass, which would be the user's.
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def read_back(self) -> None:
        """Take over what was reached by the processes that Lightning has started."""
        path = self.run / "checkpoints" / "last.ckpt"
        if self.finished or not path.exists():
            return
        state = read_checkpoint(path, resumable=True)["callbacks"][self.state_key]
        self.load_state_dict(state)
        self.finished = state["finished"]

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: CheckpointContent
    ) -> None:
        """Set Lightning's counters to what they are between two steps."""
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        current = batches["current"]
        epoch_is_over = (
            batches["is_last_batch"] and current["ready"] == current["processed"]
        )
        batches["is_last_batch"] = False
        # Batches whose gradients were not yet applied are taken again.
        pending = current["processed"] % trainer.accumulate_grad_batches
        total_batches = batches["total"]["processed"]
        if epoch_is_over:
            set_all(batches["total"], total_batches)
            set_all(current, 0)
        else:
            set_all(batches["total"], total_batches - pending)
            set_all(current, current["processed"] - pending)
        epochs = loops["epoch_progress"]
        epochs_done = epochs["current"]["started"]
        if not epoch_is_over and epochs_done > 0:  # 0: no training has begun
            epochs_done -= 1
        set_all(epochs["total"], epochs_done)
        set_all(epochs["current"], epochs_done)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Enter the epoch where it was left, and listen to signals."""
        self.resume_loops(trainer)
        if trainer.is_global_zero:
            write_config(self.config, self.run)
        with suppress(ValueError):  # only the main thread may listen
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.note_signal)

    def resume_loops(self, trainer: Trainer) -> None:
        """Make Lightning's loops take the one way to resume that counts right."""
        epoch_loop = trainer.fit_loop.epoch_loop
        is_mid_epoch = epoch_loop.batch_progress.current.ready > 0
        trainer.fit_loop._restarting = False
        epoch_loop.restarting = is_mid_epoch  # else batches are counted from 0
        epoch_loop.reset_restart_stage()
        self.saved_step = trainer.global_step
        epoch_loop._batches_that_stepped = self.saved_step
        if is_mid_epoch:
            epoch_loop._batches_that_stepped -= 1  # Lightning adds it again
        metrics = {name: torch.tensor(value) for name, value in self.metrics.items()}
        trainer._logger_connector._callback_metrics.update(metrics)

    def note_signal(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal until the step is done; a second Ctrl-C does not wait."""
        self.received_signal = number
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Save what is due, before the next step begins."""
        if self.best_is_due:
            self.save_best(trainer)
        if batch_idx % trainer.accumulate_grad_batches:
            return  # in the middle of an optimizer step
        stop = self.agree_on_signal(trainer)
        step = trainer.global_step
        is_due = (
            stop
            or batch_idx == 0
            or (self.every_n_train_steps and step % self.every_n_train_steps == 0)
        )
        if is_due and step > self.saved_step:
            self.save_last(trainer)
        if stop:
            # torch stops the other processes as soon as one ends with an error.
            raise SystemExit(128 + stop if trainer.is_global_zero else 0)

    def agree_on_signal(self, trainer: Trainer) -> int:
        """Return the signal to stop for, 0 for none: the same in all processes."""
        if trainer.world_size == 1:
            return self.received_signal
        strategy = trainer.strategy
        if strategy.reduce_boolean_decision(self.received_signal > 0, all=False):
            return self.received_signal or signal.SIGTERM
        return 0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Remember to save the best weights, as soon as the step is done."""
        score = trainer.callback_metrics.get("val/acc")
        if score is None or trainer.sanity_checking:
            return
        if score > self.best_score:
            self.best_score = score.item()
            self.best_is_due = True

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save the end of the run."""
        if self.best_is_due:
            self.save_best(trainer)
        self.finished = True
        self.save_last(trainer)
        if self.received_signal:
            raise SystemExit(128 + self.received_signal)

    def save_best(self, trainer: Trainer) -> None:
        """Write best.ckpt; before last.ckpt, since a resumed run does not write it."""
        self.save(trainer, "best.ckpt")
        self.best_is_due = False

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt."""
        self.save(trainer, "last.ckpt")
        self.saved_step = trainer.global_step

    def save(self, trainer: Trainer, name: str) -> None:
        """Write a checkpoint, after what the loggers still keep in memory.

        Raises:
            FloatingPointError: If a weight is not finite.
        """
        assert trainer.lightning_module is not None
        check_finite(trainer, *trainer.lightning_module.parameters())
        metrics = trainer.callback_metrics
        self.metrics = {key: value.item() for key, value in metrics.items()}
        for logger in trainer.loggers:
            logger.save()  # or a kill would leave a gap in the curves
        path = self.run / "checkpoints" / name
        trainer.save_checkpoint(path, weights_only=False)


def read_best_score(run: Path) -> float:
    """Return the best val/acc of a run, NOT_VALIDATED if it has none."""
    checkpoint = RunCheckpoint()
    checkpoint.use_run(run, "")
    checkpoint.read_back()
    return checkpoint.best_score


def set_all(counters: dict[str, int], value: int) -> None:
    """Set ready, started, processed and completed, as they are between two batches."""
    counters.update(dict.fromkeys(counters, value))


def place_checkpoints(trainer: Trainer, run: Path) -> None:
    """Have the user's own ModelCheckpoints write into the run, unless told where.

    Lightning puts them where the first logger writes.
    """
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(run / "checkpoints")
