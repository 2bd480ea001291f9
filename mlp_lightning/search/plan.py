"""What a search does, and where; checked before its first trial."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import URL

from mlp_lightning.errors import PROGRAM, SettingError
from mlp_lightning.runs import logs_folder
from mlp_lightning.search.space import Settings, list_examples
from mlp_lightning.search.study import Study, write_line
from mlp_lightning.search.trials import SHOWN, QuietCLI

# Where files lie makes no other study.
PLACES = (("data", "data_dir"), ("trainer", "default_root_dir"))


class CheckCLI(QuietCLI):
    """Does all that `fit` does before it trains, and no more."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train nothing."""

    def read_config(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, as a config has them."""
        parsers = dict(zip(self.subcommands(), self.parsers, strict=True))
        text = parsers["fit"].dump(self.options, format="yaml", skip_default=True)
        settings: dict[str, Any] = yaml.safe_load(text) or {}
        settings.pop("config", None)
        return without(settings, [("trainer", name) for name in SHOWN])


@dataclass(frozen=True)
class Plan:
    """What a search does: the study, and where."""

    study: Study  # whose config is `base`, whatever becomes of the file
    workers: int
    base: dict[str, Any]  # the settings that all trials have in common
    logs: Path  # the folder of all runs
    max_epochs: int

    @property
    def folder(self) -> Path:
        """Return the folder of the study."""
        return self.logs / f"search_{self.study.name}"

    @property
    def storage(self) -> str:
        """Return the URL of the database."""
        path = self.folder / "study.db"
        file = URL.create("sqlite", database=str(path))
        return self.study.storage or file.render_as_string(hide_password=False)

    @property
    def definition(self) -> dict[str, Any]:
        """Return what makes the study this one, and no other."""
        return {
            "config": without(self.base, PLACES),
            "space": self.study.description,
            "seed": self.study.seed,
            "pruner": self.study.pruner,
        }

    @property
    def command(self) -> str:
        """Return the command that goes on with the study."""
        path = shlex.quote(str(self.study.path))
        workers = f" --workers {self.workers}" if self.workers > 1 else ""
        return f"{PROGRAM} search {path}{workers}"


def without(
    settings: Mapping[str, Any], names: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return settings without these, each a group and a name, and without empty groups.

    Args:
        settings: As a config has them.
        names: What to leave out.
    """
    rest: dict[str, Any] = {}
    for group, values in settings.items():
        if isinstance(values, dict):
            kept = [key for key in values if (group, key) not in names]
            if kept:
                rest[group] = {key: values[key] for key in kept}
        else:
            rest[group] = values
    return rest


def make_config(study: Study, settings: Settings) -> dict[str, Any]:
    """Return the config of a trial with these settings."""
    return CheckCLI(study.list_words(settings)).read_config()


def make_plan(study: Study, workers: int) -> Plan:
    """Check all that can be checked of a study, and plan it.

    Raises:
        SettingError: If a trial could not be continued, or not be judged.
        SystemExit: If `fit` refuses the settings; it has said why.
    """
    cli = CheckCLI(study.list_words({}))
    base = cli.read_config()
    checked = replace(study, config=write_line(base))
    check_training(cli)
    max_epochs = cli.options.trainer.max_epochs
    is_limited = max_epochs is not None and max_epochs > 0
    if study.pruner == "hyperband" and not is_limited:
        raise SettingError("max_epochs: must be above 0 for hyperband")
    for example in list_examples(study.space):
        words = checked.list_words(example)
        try:
            check_training(CheckCLI(words))
        except SettingError as error:
            raise SettingError(f"{study.path}: {error}") from error
    logs = logs_folder(cli.options.trainer.default_root_dir)
    return Plan(checked, workers, base, logs, max_epochs or 1)


def check_training(cli: CheckCLI) -> None:
    """Raise SettingError unless a training can be continued, and judged."""
    options = cli.options.trainer
    if options.fast_dev_run or options.barebones:
        name = "fast_dev_run" if options.fast_dev_run else "barebones"
        raise SettingError(f"{name}: keeps no run: leave it false")
    if not cli.keeps_checkpoints:
        text = "a trial goes on from its checkpoints: leave it true"
        raise SettingError(f"enable_checkpointing: {text}")
    strategy = cli.trainer.strategy
    if cli.trainer.world_size > 1 or strategy.launcher is not None:
        text = "a trial is one process: set trainer.devices: 1"
        raise SettingError(f"devices: {text}; search --workers N runs N trials at once")
    check_validation(cli)


def check_validation(cli: CheckCLI) -> None:
    """Raise SettingError unless a training is validated before it ends."""
    reason = "a trial is judged by val/acc"
    trainer = cli.trainer
    if not cli.datamodule.hparams["val_size"]:
        raise SettingError(f"val_size: {reason}: set it above 0")
    if not trainer.limit_val_batches:
        raise SettingError(f"limit_val_batches: {reason}: set it above 0")
    for name in ("max_epochs", "max_steps"):
        if cli.options.trainer[name] == 0:
            raise SettingError(f"{name}: must be above 0, got 0")
    epochs = trainer.max_epochs or -1
    every = trainer.check_val_every_n_epoch or 1
    if 0 < epochs < every:
        text = f"{reason}: must be at most max_epochs, {epochs}"
        raise SettingError(f"check_val_every_n_epoch: {text}, got {every}")
    if trainer.max_steps > 0:
        steps = count_steps_to_validation(cli)
        if trainer.max_steps < steps:
            text = f"{reason}, which is first known after {steps} steps"
            raise SettingError(f"max_steps: {text}, got {trainer.max_steps}")


def count_steps_to_validation(cli: CheckCLI) -> int:
    """Return the optimizer steps before the first validation."""
    trainer = cli.trainer
    cli.datamodule.prepare_data()
    cli.datamodule.setup("fit")
    batches = take_part(
        trainer.limit_train_batches, len(cli.datamodule.train_dataloader())
    )
    interval = take_part(trainer.val_check_interval, batches)
    epochs_before = (trainer.check_val_every_n_epoch or 1) - 1
    before = epochs_before * batches + interval
    return math.ceil(before / trainer.accumulate_grad_batches)


def take_part(limit: float, whole: int) -> int:
    """Return a number of batches, which Lightning also takes as a part of the whole."""
    return limit if isinstance(limit, int) else int(limit * whole)
