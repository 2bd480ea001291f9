"""The folder of a run, `lightning_logs/version_N`: made, found, and continued after a stop."""

import os
import re
import signal
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException

LIMITS = {"trainer.max_epochs": "epoch", "trainer.max_steps": "global_step"}
FREE = re.compile(  # what may change when a run goes on
    r"trainer\.(max_|min_|accelerator|strategy|devices|num_nodes|logger|log_every|default_root_dir"
    r"|enable_progress_bar|enable_model_summary)|data\.data_dir|config|ckpt_path|weights_only|figures"
)


def _newest(root: str) -> list[Path]:
    runs = Path(root, "lightning_logs").expanduser().glob("version_*")
    return sorted(
        (r for r in runs if r.name[8:].isdecimal()), key=lambda r: -int(r.name[8:])
    )


def find(given: str | None, root: str, fit: bool) -> tuple[Path | None, Path | None]:
    """Return the run that is meant, if it is one, and a checkpoint of it, if it has one.

    It is the run or checkpoint given; without, or with `best` or `last`, the newest run in
    `root/lightning_logs`. It has to have a checkpoint (the best, else the last), but to fit it
    has to be a run (with its last). Raises MisconfigurationException if there is none.
    """
    keyword = not given or given in ("best", "last")
    names = [f"{given}.ckpt"] if given and keyword else ["best.ckpt"][fit:]
    for place in _newest(root) if keyword else [Path(given or "").expanduser()]:
        paths = [
            place,
            *(place / "checkpoints" / name for name in [*names, "last.ckpt"]),
        ]
        path = next((path for path in paths if path.is_file()), None)
        folder = place.absolute().parent.parent if path == place else place
        run = folder if (folder / "config.yaml").is_file() else None
        if run if fit else path:
            return run, path
    text = f"no {'run' if fit else 'checkpoint'} in {root or '.' if keyword else given}"
    raise MisconfigurationException(f"--ckpt_path: {text}: run fit first")


def save_config(config: str, run: Path | None, root: str) -> Path:
    """Replace the config.yaml of a run, or make the next run, which appears together with it."""
    logs = Path(root, "lightning_logs").expanduser()
    folder = run or logs / f".{uuid4().hex}"
    number = max((int(run.name[8:]) for run in _newest(root)), default=-1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.part").write_text(config)
        os.replace(folder / "config.part", folder / "config.yaml")
        while not run:
            number += 1
            try:
                run = folder.rename(logs / f"version_{number}")
            except OSError:
                if not (
                    logs / f"version_{number}"
                ).exists():  # else another process was faster
                    raise
    except OSError as error:
        text = f"cannot be written, {error.strerror}: {error.filename}"
        raise MisconfigurationException(f"default_root_dir: {text}") from error
    return run


def is_finished(
    before: dict[str, Any], now: dict[str, Any], last: dict[str, Any]
) -> bool:
    """Tell whether a run has reached its end, going by its last checkpoint and the settings now.

    Raises MisconfigurationException if these differ from those before in more than limits, devices,
    logging and paths, or ask for more of a run whose schedule or averaged weights came to an end.
    """
    for key in before | now:
        if not FREE.match(key) and now.get(key) != before.get(key):
            text = f"the run was begun with {before.get(key)}, and cannot go on with {now.get(key)}"
            raise MisconfigurationException(f"--{key}: {text}")
    if not last:
        return False
    endless = {None: inf, -1: inf}
    limits = {
        key: [endless.get(x[key], x[key]) for x in (before, now)] for key in LIMITS
    }
    finished = last["callbacks"]["Checkpoints"]["finished"]
    later = finished and now["trainer.max_time"] != before["trainer.max_time"]
    averaged = finished and "averaging_state" in last  # the weights before are gone
    more = [k for k, (a, b) in limits.items() if b > a] + [
        "trainer.max_time"
    ] * averaged * later
    if more and (
        averaged or any("total_steps" in schedule for schedule in last["lr_schedulers"])
    ):
        kind = (
            "that ended in averaged weights"
            if averaged
            else "of one cycle ends with it, and"
        )
        text = f"a run {kind} cannot be prolonged to {now[more[0]]}"
        raise MisconfigurationException(f"--{more[0]}: {text}")
    done = any(last[count] >= limits[key][1] for key, count in LIMITS.items())
    return not (more or later) if finished else done


class Checkpoints(Checkpoint):
    """Keeps a run's best.ckpt and last.ckpt, from which it goes on as if it had never stopped.

    They are written between two optimizer steps, when all that belongs to the one before is done:
    its validation, the schedules, the log. Lightning's ModelCheckpoint writes amid all that.
    """

    run: Path  # set before fit
    config: str  # what its config.yaml is to hold

    def __init__(self, every_n_train_steps: int = 0) -> None:
        """Keep best.ckpt, of the best val/acc, and last.ckpt, of the end of the last epoch.

        Args:
            every_n_train_steps: Optimizer steps after which last.ckpt is written besides; 0: none.
        """
        if every_n_train_steps < 0:
            raise ValueError(
                f"every_n_train_steps: must be at least 0, got {every_n_train_steps}"
            )
        self.every_n_train_steps = every_n_train_steps
        self.best_score = -1.0
        self.best_is_due = self.finished = False
        self.metrics: dict[str, float] = {}
        self.saved_step = self.signal = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in ("best_score", "finished", "metrics")
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_score, self.metrics = state["best_score"], state["metrics"]

    def on_load_checkpoint(
        self, trainer: Trainer, model: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Set Lightning's counters, wherever it saved them, to their values between two steps."""
        loops = checkpoint["loops"]["fit_loop"]
        epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
        now, total = batches["current"], batches["total"]
        whole = (
            batches["is_last_batch"] and now["ready"] == now["processed"]
        )  # the epoch is over
        batches["is_last_batch"] = False
        # batches whose gradients were not yet applied are taken again
        undone = 0 if whole else now["processed"] % trainer.accumulate_grad_batches
        total.update(dict.fromkeys(total, total["processed"] - undone))
        now.update(dict.fromkeys(now, 0 if whole else now["processed"] - undone))
        for count in (epochs["total"], epochs["current"]):
            count.update(
                dict.fromkeys(count, epochs["current"]["started"] - (not whole))
            )

    def on_train_start(self, trainer: Any, model: Any) -> None:
        """Enter the epoch where it was left, on the one path of Lightning's that counts right."""
        loop = trainer.fit_loop.epoch_loop
        amid = loop.batch_progress.current.ready > 0
        trainer.fit_loop._restarting = (
            False  # or ReduceLROnPlateau misses a step at its end
        )
        loop.restarting = amid  # or the batches are counted from 0
        loop.reset_restart_stage()
        self.saved_step = trainer.global_step
        loop._batches_that_stepped = self.saved_step - amid  # Lightning adds one
        metrics = {name: torch.tensor(value) for name, value in self.metrics.items()}
        trainer._logger_connector._callback_metrics.update(
            metrics
        )  # ReduceLROnPlateau asks
        if trainer.is_global_zero:
            save_config(self.config, self.run, "")
        with suppress(ValueError):  # only the main thread may
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: Any) -> None:
        self.signal = number
        again = (
            signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
        signal.signal(number, again)  # who asks twice will not wait

    def on_train_batch_start(
        self, trainer: Any, model: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.best_is_due:
            self._save(trainer, last=False)
        if batch_idx % trainer.accumulate_grad_batches:
            return  # amid an optimizer step
        stop, step, every = self.signal, trainer.global_step, self.every_n_train_steps
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(
            stop > 0, all=False
        ):
            stop = stop or signal.SIGTERM  # all processes stop at the same step
        if step > self.saved_step and (
            stop or batch_idx == 0 or (every and step % every == 0)
        ):
            self._save(trainer, last=True)
        if stop:
            raise SystemExit(128 + stop)

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        score = trainer.callback_metrics.get("val/acc")
        if (
            score is not None
            and score > self.best_score
            and not trainer.sanity_checking
        ):
            self.best_score, self.best_is_due = score.item(), True

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        self._save(trainer, last=True, finished=True)
        if self.signal:
            raise SystemExit(128 + self.signal)

    def _save(self, trainer: Any, last: bool, finished: bool = False) -> None:
        """Write what is due, each whole or not at all; FloatingPointError if a weight is NaN."""
        # the best first: continued from this last.ckpt, the run would not write it again
        for name in ["best.ckpt"] * self.best_is_due + ["last.ckpt"] * last:
            trainer.lightning_module.check_finite(
                *trainer.lightning_module.parameters()
            )
            self.finished = finished and name == "last.ckpt"
            self.metrics = {
                key: value.item() for key, value in trainer.callback_metrics.items()
            }
            for logger in trainer.loggers:
                logger.save()  # or a kill would leave a gap in the curves
            part = self.run / "checkpoints" / f"{name}.part"
            trainer.save_checkpoint(part, weights_only=False)
            if trainer.is_global_zero:
                os.replace(part, part.with_suffix(""))
        self.best_is_due = False
        self.saved_step = trainer.global_step if last else self.saved_step
