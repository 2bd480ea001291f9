"""What this package relies on of Lightning beyond what Lightning documents.

A new version of Lightning may change any of it. Then a test fails here first, and its
docstring says what is no longer so, and who relies on it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from support import QUIET_TRAINER, read_curves
from torch import Tensor, nn


class TinyModule(LightningModule):
    """A linear layer whose loss is 1 in the first batch, 2 in the second, and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        outputs: Tensor = self.layer(batch)
        return 0 * outputs.sum() + batch_idx + 1

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/score", torch.tensor(0.5))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Batches:
    """A loader of the plainest kind."""

    def __init__(self, count: int = 6) -> None:
        self.batches = [torch.full((2, 3), float(number)) for number in range(count)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.batches)


class ResumableBatches(Batches):
    """A loader that can be asked for its state, and told one."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"kept": "by the loader"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loaded.append(state)


class StopError(Exception):
    """Ends training amid an epoch."""


class Probe(Callback):
    """Notes what the trainer says at the start of each batch, and may stop there."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at  # optimizer steps
        self.seen: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        epoch_loop = trainer.fit_loop.epoch_loop
        self.seen.append(
            {
                "batch_idx": batch_idx,
                "global_step": trainer.global_step,
                "ready": epoch_loop.batch_progress.current.ready,
                "stepped": epoch_loop._batches_that_stepped,
                "restarting": trainer.fit_loop._restarting,
            }
        )
        if trainer.global_step == self.stop_at:
            raise StopError


def fit(*callbacks: Callback, loader: Batches | None = None, **settings: Any) -> Any:
    """Train for two epochs of six batches, and return the trainer."""
    ckpt_path = settings.pop("ckpt_path", None)
    defaults = {**QUIET_TRAINER, "max_epochs": 2, "callbacks": list(callbacks)}
    trainer = lightning.Trainer(**(defaults | settings))
    trainer.fit(TinyModule(), loader or Batches(), Batches(2), ckpt_path=ckpt_path)
    return trainer


def column(probe: Probe, name: str) -> list[Any]:
    return [seen[name] for seen in probe.seen]


def save_amid_epoch(folder: Path, loader: Batches | None = None) -> Path:
    """Save a checkpoint at the start of the fifth batch of the second epoch."""
    path = folder / "amid.ckpt"

    class Save(Callback):
        def on_train_batch_start(
            self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
        ) -> None:
            if trainer.global_step == 10:
                trainer.save_checkpoint(path)
                raise StopError

    with pytest.raises(StopError):
        fit(Save(), loader=loader)
    return path


# What the data module and the callbacks read of the loops


def test_batch_progress_counts_the_batch_that_begins() -> None:
    """`epoch_loop.batch_progress.current.ready`: between batches, the next one's index.

    It is an int, 0 before an epoch's first batch, and one more when a batch begins. The
    loader is told by it where to go on in a resumed epoch.
    """
    probe = Probe()
    trainer = fit(probe)
    assert column(probe, "batch_idx") == [*range(6), *range(6)]
    assert column(probe, "ready") == [*range(1, 7), *range(1, 7)]
    assert trainer.fit_loop.epoch_loop.batch_progress.current.ready == 6


def test_ready_is_0_when_training_starts() -> None:
    """`batch_progress.current.ready` is 0 in `on_train_start` of a new run.

    By that, a resumed epoch is told from a new one.
    """

    class Look(Callback):
        def on_train_start(self, trainer: Any, pl_module: LightningModule) -> None:
            self.ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready

    look = Look()
    fit(look)
    assert look.ready == 0


def test_the_step_of_the_logger() -> None:
    """`epoch_loop._batches_that_stepped`: the step that loggers are given, an int.

    It is the number of optimizer steps before this batch. Checkpoints set it when a run
    goes on, or the curves would have a gap or a step twice.
    """
    probe = Probe()
    trainer = fit(probe, accumulate_grad_batches=2)
    assert column(probe, "stepped") == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 6


def test_global_step_at_the_start_of_a_batch() -> None:
    """`trainer.global_step` in `on_train_batch_start`: the optimizer steps done so far.

    Checkpoints are named and written by it, and the rate is logged for the next step.
    """
    probe = Probe()
    fit(probe, accumulate_grad_batches=4)
    # the last batch of an epoch steps, however many came before it
    assert column(probe, "global_step") == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]


def test_global_step_is_one_higher_at_the_end_of_a_batch() -> None:
    """`trainer.global_step` counts the batch's own step in `on_train_batch_end`.

    The loss is logged by that.
    """

    class Look(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            self.steps.append(trainer.global_step)

    look = Look()
    fit(look, max_epochs=1)
    assert look.steps == [1, 2, 3, 4, 5, 6]


# What checkpoints change in the loops, to go on amid an epoch


def test_a_new_run_is_not_restarting() -> None:
    """`fit_loop._restarting`: a bool, False unless a checkpoint was loaded."""
    probe = Probe()
    fit(probe)
    assert set(column(probe, "restarting")) == {False}


def test_a_run_that_goes_on_amid_an_epoch_is_restarting(tmp_path: Path) -> None:
    """`fit_loop._restarting` is True in `on_train_start` after amid an epoch.

    Checkpoints set it to False there: else ReduceLROnPlateau misses its step at the end
    of that epoch.
    """

    class Look(Callback):
        def on_train_start(self, trainer: Any, pl_module: LightningModule) -> None:
            self.restarting = trainer.fit_loop._restarting

    look = Look()
    fit(look, loader=ResumableBatches(), ckpt_path=save_amid_epoch(tmp_path))
    assert look.restarting is True


class GoesOn(Callback):
    """Sets the loops as checkpoints.py does when a run goes on."""

    def __init__(self, amid: bool) -> None:
        self.amid = amid

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (batches["current"], batches["total"]):
            counts.update(dict.fromkeys(counts, counts["processed"]))

    def on_train_start(self, trainer: Any, pl_module: LightningModule) -> None:
        epoch_loop = trainer.fit_loop.epoch_loop
        trainer.fit_loop._restarting = False
        epoch_loop.restarting = self.amid
        epoch_loop.reset_restart_stage()
        epoch_loop._batches_that_stepped = trainer.global_step - self.amid


def test_setting_restarting_keeps_the_count_of_batches(tmp_path: Path) -> None:
    """`epoch_loop.restarting = True` in `on_train_start`: its batches are counted on.

    With `reset_restart_stage()`, which forgets what the loop concluded from the counts,
    training takes batches 4 and 5 of the second epoch, and Lightning itself adds one to
    `_batches_that_stepped`.
    """
    probe = Probe()
    ckpt_path = save_amid_epoch(tmp_path)
    trainer = fit(
        GoesOn(amid=True), probe, loader=ResumableBatches(), ckpt_path=ckpt_path
    )
    assert column(probe, "batch_idx") == [4, 5]
    assert column(probe, "ready") == [5, 6]
    assert column(probe, "global_step") == column(probe, "stepped") == [10, 11]
    assert trainer.current_epoch == 2
    assert trainer.global_step == 12


def test_without_restarting_the_batches_are_counted_from_0(tmp_path: Path) -> None:
    """`epoch_loop.restarting = False`: the epoch is counted anew.

    This is why checkpoints have to set it: were it not so, that code could go.
    """
    probe = Probe()
    ckpt_path = save_amid_epoch(tmp_path)
    fit(GoesOn(amid=False), probe, loader=ResumableBatches(), ckpt_path=ckpt_path)
    assert column(probe, "batch_idx")[:3] == [0, 1, 2]


def test_restart_stage_is_a_state_that_can_be_reset() -> None:
    """`epoch_loop.reset_restart_stage()` takes no argument and forgets the stage."""
    epoch_loop: Any = lightning.Trainer(**QUIET_TRAINER).fit_loop.epoch_loop
    epoch_loop.restarting = True
    epoch_loop.update_restart_stage()
    assert epoch_loop.restarted_on_last is True
    epoch_loop.reset_restart_stage()
    assert epoch_loop.restarted_on_last is False
    assert epoch_loop.restarting is True


# What a checkpoint holds


def test_the_schema_of_the_loops_in_a_checkpoint(tmp_path: Path) -> None:
    """`checkpoint["loops"]["fit_loop"]`: counts of epochs and batches, in plain dicts.

    Saved at the start of batch 4 of epoch 1, that batch is counted as ready alone.
    Checkpoints set the counts to their values between two steps.
    """
    checkpoint = torch.load(save_amid_epoch(tmp_path), weights_only=True)
    fit_loop = checkpoint["loops"]["fit_loop"]
    assert fit_loop["epoch_progress"] == {
        "total": {"ready": 2, "started": 2, "processed": 1, "completed": 1},
        "current": {"ready": 2, "started": 2, "processed": 1, "completed": 1},
    }
    assert fit_loop["epoch_loop.batch_progress"] == {
        "total": {"ready": 11, "started": 10, "processed": 10, "completed": 10},
        "current": {"ready": 5, "started": 4, "processed": 4, "completed": 4},
        "is_last_batch": False,
    }
    assert fit_loop["epoch_loop.state_dict"] == {"_batches_that_stepped": 10}
    assert checkpoint["global_step"] == 10
    assert checkpoint["epoch"] == 1


def test_the_loops_at_the_end_of_training(tmp_path: Path) -> None:
    """`is_last_batch` is True, and all counts are equal, when an epoch is over.

    Checkpoints tell by it that a new epoch comes next.
    """

    class Save(Callback):
        def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / "end.ckpt")

    fit(Save())
    checkpoint = torch.load(tmp_path / "end.ckpt", weights_only=True)
    fit_loop = checkpoint["loops"]["fit_loop"]
    assert fit_loop["epoch_loop.batch_progress"] == {
        "total": {"ready": 12, "started": 12, "processed": 12, "completed": 12},
        "current": {"ready": 6, "started": 6, "processed": 6, "completed": 6},
        "is_last_batch": True,
    }
    assert fit_loop["epoch_progress"]["current"]["started"] == 2


def test_a_loader_with_a_state_is_resumable(tmp_path: Path) -> None:
    """A loader with `state_dict` and `load_state_dict` is asked, and told, its state.

    Lightning then does not warn, in an epoch that is gone on with, that the loader is
    not resumable; here, each warning is an error. `TensorBatches` relies on it.
    """
    saving = ResumableBatches()
    path = save_amid_epoch(tmp_path, saving)
    fit_loop = torch.load(path, weights_only=True)["loops"]["fit_loop"]
    assert fit_loop["state_dict"] == {"combined_loader": [{"kept": "by the loader"}]}
    loading = ResumableBatches()
    fit(GoesOn(amid=True), loader=loading, ckpt_path=path)
    assert loading.loaded == [{"kept": "by the loader"}]


def test_a_loader_without_a_state_is_warned_of(tmp_path: Path) -> None:
    """The warning of the test above is there: that test could fail."""
    path = save_amid_epoch(tmp_path)
    with pytest.warns(UserWarning, match="your dataloader is not resumable"):
        fit(GoesOn(amid=True), ckpt_path=path)


# The metrics that callbacks are given


def test_callback_metrics_can_be_set() -> None:
    """`trainer._logger_connector._callback_metrics`: the dict of `callback_metrics`.

    Its values are tensors. Checkpoints put the last metrics back into it, as
    ReduceLROnPlateau asks for them before the next validation.
    """

    class Look(Callback):
        def on_train_start(self, trainer: Any, pl_module: LightningModule) -> None:
            held = trainer._logger_connector._callback_metrics
            assert held == {}
            held["val/loss"] = torch.tensor(0.25)

        def on_train_epoch_start(
            self, trainer: Trainer, pl_module: LightningModule
        ) -> None:
            self.metrics = dict(trainer.callback_metrics)

    look = Look()
    trainer = fit(look, max_epochs=1)
    assert look.metrics == {"val/loss": torch.tensor(0.25)}
    assert trainer.callback_metrics["val/score"] == torch.tensor(0.5)


# In which order hooks are called, and with what


class Order(TinyModule):
    """Notes the module's hooks in the list that callbacks write to as well."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    def on_train_start(self) -> None:
        self.calls.append("module's on_train_start")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.calls.append("module's on_train_batch_start")

    def on_validation_epoch_end(self) -> None:
        self.calls.append("module's on_validation_epoch_end")

    def on_validation_end(self) -> None:
        self.calls.append("module's on_validation_end")


class NoteCalls(Callback):
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def on_train_start(self, *_: Any) -> None:
        self.calls.append("callback's on_train_start")

    def on_train_batch_start(self, *_: Any) -> None:
        self.calls.append("callback's on_train_batch_start")

    def on_validation_epoch_end(self, *_: Any) -> None:
        self.calls.append("callback's on_validation_epoch_end")

    def on_validation_end(self, *_: Any) -> None:
        self.calls.append("callback's on_validation_end")


def test_callbacks_are_called_before_the_module() -> None:
    """A callback's hook is called before the module's of the same name.

    So a checkpoint is written before the module changes anything for the next step, and
    what `on_validation_epoch_end` of the module leaves is there in `on_validation_end`.
    """
    calls: list[str] = []
    trainer = lightning.Trainer(
        **QUIET_TRAINER, max_steps=1, callbacks=NoteCalls(calls), val_check_interval=1
    )
    trainer.fit(Order(calls), Batches(), Batches(1))
    hooks = [
        "on_train_start",
        "on_train_batch_start",
        "on_validation_epoch_end",
        "on_validation_end",
    ]
    pairs = [(f"callback's {hook}", f"module's {hook}") for hook in hooks]
    assert calls == [call for pair in pairs for call in pair]


def test_after_validation_averaged_weights_are_swapped_back() -> None:
    """`on_validation_end` comes after averaged weights were swapped back.

    They are in place during the validation itself, from its first batch to the last. So
    the best checkpoint may be written after `on_validation_end`, and pictures have to
    be drawn before it.
    """

    class Moving(TinyModule):
        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            outputs: Tensor = self.layer(batch + 1)
            return outputs.sum()

    class Look(Callback):
        def __init__(self) -> None:
            self.weights: dict[str, Tensor] = {}

        def keep(self, name: str, model: Any) -> None:
            self.weights[name] = model.layer.weight.detach().clone()

        def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
            self.keep("trained", model)

        def on_validation_batch_end(
            self, trainer: Trainer, model: Any, *_: Any
        ) -> None:
            self.keep("evaluated", model)

        def on_validation_end(self, trainer: Trainer, model: Any) -> None:
            self.keep("after", model)

    look = Look()
    trainer = lightning.Trainer(
        **QUIET_TRAINER, max_epochs=1, callbacks=[EMAWeightAveraging(decay=0.5), look]
    )
    trainer.fit(Moving(), Batches(), Batches(2))
    assert not torch.equal(look.weights["evaluated"], look.weights["trained"])
    assert torch.equal(look.weights["after"], look.weights["trained"])


def test_the_loss_in_outputs_is_divided() -> None:
    """`outputs["loss"]` in `on_train_batch_end` is divided by accumulate_grad_batches.

    Who logs it has to multiply it.
    """

    class Look(Callback):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def on_train_batch_end(
            self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any
        ) -> None:
            self.losses.append(outputs["loss"].item())

    look = Look()
    fit(look, max_epochs=1, accumulate_grad_batches=4)
    assert look.losses == [loss / 4 for loss in (1, 2, 3, 4, 5, 6)]


# When Lightning logs


class LogsByRule(Callback):
    """Notes the steps at which, by our rule, Lightning logs what a step has logged."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.steps_done = trainer.global_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        every = trainer.log_every_n_steps
        stepped = trainer.global_step > self.steps_done
        is_due = every > 0 and (
            (self.steps_done + 1) % every == 0 or trainer.should_stop
        )
        if stepped and is_due:
            self.steps.append(self.steps_done)


class StopAfter(Callback):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


class LogsEachStep(TinyModule):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train/loss", loss)
        return loss


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"log_every_n_steps": 1}, list(range(12))),
        ({"log_every_n_steps": 4}, [3, 7, 11]),
        ({"log_every_n_steps": 5}, [4, 9]),
        ({"log_every_n_steps": 0}, []),
        ({"log_every_n_steps": 2, "accumulate_grad_batches": 4}, [1, 3]),
        ({"log_every_n_steps": 4, "callbacks": [StopAfter(6)]}, [3, 5]),
    ],
)
def test_the_rule_by_which_lightning_logs(
    settings: dict[str, Any], steps: list[int], tmp_path: Path
) -> None:
    """A step is logged if `log_every_n_steps > 0` and it is the n-th, or the last.

    That is: `(steps done before it + 1) % log_every_n_steps == 0 or should_stop`. The
    loss is handed to Lightning at these steps alone, as each time costs a fifth of a
    step.
    """
    logger = TensorBoardLogger(tmp_path)
    rule = LogsByRule()
    callbacks = [*settings.get("callbacks", []), rule]
    trainer = lightning.Trainer(
        **(QUIET_TRAINER | settings | {"logger": logger, "callbacks": callbacks}),
        max_epochs=2,
        limit_val_batches=0,
    )
    trainer.fit(LogsEachStep(), Batches(), Batches(2))
    logged = [step for step, _ in read_curves(logger.log_dir).get("train/loss", [])]
    assert logged == steps
    assert rule.steps == steps
