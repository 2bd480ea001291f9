"""What a search does, and where; checked before its first trial."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlp_lightning.errors import PROGRAM, SettingError
from mlp_lightning.runs import logs_folder
from mlp_lightning.search.space import Settings, list_examples
from mlp_lightning.search.study import Study
from mlp_lightning.search.trials import SHOWN, QuietCLI

# Where files lie makes no other study.
PLACES = (("data", "data_dir"), ("trainer", "default_root_dir"))


class CheckCLI(QuietCLI):
    """Does all that `fit` does before it trains, and no more."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train nothing."""

    def list_differences(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, as a config has them."""
        parsers = dict(zip(self.subcommands(), self.parsers, strict=True))
        text = parsers["fit"].dump(self.options, format="yaml", skip_default=True)
        settings: dict[str, Any] = yaml.safe_load(text) or {}
        settings.pop("config", None)
        return without(settings, [("trainer", name) for name in SHOWN])


@dataclass(frozen=True)
class Plan:
    """What a search does: the study, and where."""

    study: Study
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
        return self.study.storage or f"sqlite:///{path.as_posix()}"

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


def list_differences(study: Study, settings: Settings) -> dict[str, Any]:
    """Return the config of a trial with these settings."""
    return CheckCLI(study.list_words(settings)).list_differences()


def make_plan(study: Study, workers: int) -> Plan:
    """Check all that can be checked of a study, and plan it.

    Raises:
        SettingError: If a trial could not be continued, or not be judged.
        SystemExit: If `fit` refuses the settings; it has said why.
    """
    cli = CheckCLI(study.list_words({}))
    check_base(cli)
    max_epochs = cli.options.trainer.max_epochs
    is_limited = max_epochs is not None and max_epochs > 0
    if study.pruner == "hyperband" and not is_limited:
        raise SettingError("max_epochs: must be above 0 for hyperband")
    for example in list_examples(study.space):
        CheckCLI(study.list_words(example))
    logs = logs_folder(cli.options.trainer.default_root_dir)
    return Plan(study, workers, cli.list_differences(), logs, max_epochs or 1)


def check_base(cli: CheckCLI) -> None:
    """Raise SettingError unless the trials can be continued, and judged."""
    trainer = cli.trainer
    if not cli.keeps_checkpoints:
        text = "a trial goes on from its checkpoints: leave it true"
        raise SettingError(f"enable_checkpointing: {text}")
    if not cli.datamodule.hparams["val_size"] or not trainer.limit_val_batches:
        raise SettingError("val_size: a trial is judged by val/acc: set it above 0")
    if trainer.world_size > 1 or trainer.strategy.launcher is not None:
        text = "a trial is one process: search --workers N runs N trials at once"
        raise SettingError(f"devices: {text}")
