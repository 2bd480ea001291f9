"""The folder of a run, `lightning_logs/version_N`: make it, find it, resume it."""

import os
import re
import shutil
import warnings
from collections.abc import Mapping
from math import inf
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from uuid import uuid4

import torch

from mlp_lightning.errors import REFUSED, SettingError, find_exit_code

KEYWORDS = ("best", "last")  # checkpoints of the newest run
RUN_NAME = re.compile(r"version_\d+")
# What may change when a run goes on.
RESUMABLE_SETTINGS = re.compile(
    r"trainer\.(max_|min_|accelerator|strategy|devices|num_nodes|logger|log_every"
    r"|default_root_dir|enable_progress_bar|enable_model_summary)"
    r"|data\.data_dir|config|ckpt_path|weights_only|figures"
)
# The limits of a training, each with its counter in a checkpoint.
LIMITS = {"trainer.max_epochs": "epoch", "trainer.max_steps": "global_step"}
# What torch.load raises for a file that holds something else, or is cut off.
UNREADABLE = (
    UnpicklingError,
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Why some runs can train no longer than was planned.
SPANNED = "a run whose learning rate is planned to its end"
AVERAGED = "a run that ended in averaged weights"

CheckpointContent = dict[str, Any]  # as Lightning writes it: no schema is public
Settings = Mapping[str, Any]  # of a run: option name, such as data.val_size, to value


def logs_folder(root: str | None) -> Path:
    """Return the folder of all runs, in `root` or the working folder."""
    return Path(root or "", "lightning_logs").expanduser()


def run_number(run: Path) -> int:
    """Return N of version_N."""
    return int(run.name.removeprefix("version_"))


def list_runs(root: str | None) -> list[Path]:
    """Return the folders of all runs, the newest first."""
    folders = logs_folder(root).glob("version_*")
    runs = [folder for folder in folders if RUN_NAME.fullmatch(folder.name)]
    return sorted(runs, key=run_number, reverse=True)


def find_run(given: str, root: str | None) -> tuple[Path, Path | None]:
    """Find the run to go on with.

    Args:
        given: A run, a checkpoint of a run, or `best` or `last`, of the newest run.
        root: The folder that holds `lightning_logs`.

    Returns:
        The folder of the run, and its checkpoint: the last, if it is not named. A run
        that was stopped early has none.

    Raises:
        SettingError: If there is no such run.
    """
    names = ["last.ckpt"]
    if given in KEYWORDS:
        names = [f"{given}.ckpt", "last.ckpt"]
    for place in list_places(given, root):
        checkpoint = first_checkpoint(place, names)
        run = run_of(place, checkpoint)
        if run:
            return run, checkpoint
    raise not_found("run", given, root)


def find_checkpoint(given: str | None, root: str | None) -> tuple[Path | None, Path]:
    """Find the checkpoint to use.

    Args:
        given: A checkpoint, a run, or `best` or `last`, of the newest run; nothing
            means the best.
        root: The folder that holds `lightning_logs`.

    Returns:
        The run that the checkpoint is of, None if it lies in none, and the checkpoint:
        the best, or the last if there is no best, if it is not named.

    Raises:
        SettingError: If there is no such checkpoint.
    """
    names = ["best.ckpt", "last.ckpt"]
    if given == "last":
        names = ["last.ckpt"]
    for place in list_places(given, root):
        checkpoint = first_checkpoint(place, names)
        if checkpoint:
            return run_of(place, checkpoint), checkpoint
    raise not_found("checkpoint", given, root)


def list_places(given: str | None, root: str | None) -> list[Path]:
    """Return where to look: at what is given, or in all runs, the newest first."""
    if given and given not in KEYWORDS:
        return [Path(given).expanduser()]
    return list_runs(root)


def first_checkpoint(place: Path, names: list[str]) -> Path | None:
    """Return the place itself if it is a file, else the first of these in the run."""
    paths = [place]
    paths += [place / "checkpoints" / name for name in names]
    return next((path for path in paths if path.is_file()), None)


def run_of(place: Path, checkpoint: Path | None) -> Path | None:
    """Return the run that was found at this place, if it is one."""
    run = place
    if checkpoint == place:  # the file itself was given
        run = place.absolute().parent.parent
    return run if (run / "config.yaml").is_file() else None


def not_found(what: str, given: str | None, root: str | None) -> SettingError:
    """Return the error for a run or a checkpoint that is not there."""
    place = given
    if not given or given in KEYWORDS:
        place = root or "."
    return SettingError(f"--ckpt_path: no {what} in {place}: run fit first")


def read_checkpoint(path: Path, resumable: bool = False) -> CheckpointContent:
    """Read a checkpoint, as data alone: nothing in it is run.

    Args:
        path: The file.
        resumable: It has to be of a run, so that training can go on.

    Raises:
        SettingError: If it is damaged, or not one of ours.
    """
    refusal = f"--ckpt_path: {path} is damaged, or another program's"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of pickles that are not its own
            checkpoint = torch.load(path, "cpu", weights_only=True)
    except UNREADABLE as error:
        raise SettingError(refusal) from error
    if not isinstance(checkpoint, dict):
        raise SettingError(refusal)
    has_settings = isinstance(checkpoint.get("hyper_parameters"), dict)
    has_callbacks = isinstance(checkpoint.get("callbacks"), dict)
    is_resumable = has_callbacks and "Checkpoints" in checkpoint["callbacks"]
    if not has_settings or (resumable and not is_resumable):
        raise SettingError(refusal)
    return checkpoint


def make_run(config: str, root: str | None) -> Path:
    """Make the next run, whose folder appears together with its config.yaml.

    Raises:
        SettingError: If `root` cannot be written.
    """
    logs = logs_folder(root)
    folder = logs / f".{uuid4().hex}"
    runs = list_runs(root)
    number = run_number(runs[0]) + 1 if runs else 0
    try:
        folder.mkdir(parents=True)
        write_config(config, folder)
        return rename_to_free_number(folder, logs, number)
    except OSError as error:
        text = f"cannot be written, {error.strerror}: {error.filename}"
        raise SettingError(f"default_root_dir: {text}") from error


def rename_to_free_number(folder: Path, logs: Path, number: int) -> Path:
    """Name the folder version_N, with the first N from `number` on that is free."""
    while True:
        run = logs / f"version_{number}"
        try:
            return folder.rename(run)
        except OSError:
            if not run.exists():
                raise
        number += 1  # another process was faster


def remove_if_refused(run: Path, error: Exception) -> None:
    """Remove a new run if the error that ended it is a refusal."""
    # The steps of child processes, as of ddp_fork, are not counted in this one.
    has_saved = (run / "checkpoints").exists()
    if find_exit_code(error) == REFUSED and not has_saved:
        shutil.rmtree(run, ignore_errors=True)


def write_config(config: str, run: Path) -> None:
    """Write config.yaml, whole or not at all."""
    part = run / "config.part"
    part.write_text(config, encoding="utf-8")
    os.replace(part, run / "config.yaml")


def check_resumable(before: Settings, now: Settings) -> None:
    """Raise SettingError if the settings of a run differ in more than may change."""
    for name in {**before, **now}:
        old = before.get(name)
        new = now.get(name)
        if old != new and not RESUMABLE_SETTINGS.match(name):
            text = f"the run was begun with {old}, and cannot go on with {new}"
            raise SettingError(f"--{name}: {text}")


def is_finished(before: Settings, now: Settings, checkpoint: CheckpointContent) -> bool:
    """Return whether a run has reached its end, as the settings now have it.

    Args:
        before: The settings of the run so far.
        now: Those that it is asked to go on with.
        checkpoint: Its last one; empty if it has none yet.

    Raises:
        SettingError: If more has changed than may, or cannot be given.
    """
    check_resumable(before, now)
    if not checkpoint:
        return False
    has_ended: bool = checkpoint["callbacks"]["Checkpoints"]["finished"]
    raised = [name for name in LIMITS if limit_of(now, name) > limit_of(before, name)]
    has_new_time = now["trainer.max_time"] != before["trainer.max_time"]
    if has_ended and has_new_time:
        raised.append("trainer.max_time")
    obstacle = find_obstacle(checkpoint)
    if raised and obstacle and (raised[0] in LIMITS or obstacle is AVERAGED):
        value = now[raised[0]]
        raise SettingError(f"--{raised[0]}: {obstacle} cannot be prolonged to {value}")
    if has_ended:
        return not raised
    return any(
        checkpoint[count] >= limit_of(now, name) for name, count in LIMITS.items()
    )


def advise_on_prolonging(checkpoint: CheckpointContent) -> str:
    """Return what the user of a finished run can do, or cannot."""
    obstacle = find_obstacle(checkpoint)
    if obstacle:
        return f"{obstacle} cannot be prolonged"
    return "--trainer.max_epochs N prolongs it"


def find_obstacle(checkpoint: CheckpointContent) -> str | None:
    """Return why a run can train no longer than was planned, None if it can."""
    has_ended = checkpoint["callbacks"]["Checkpoints"]["finished"]
    if has_ended and "averaging_state" in checkpoint:
        return AVERAGED  # the weights before averaging are gone
    if any("total_steps" in schedule for schedule in checkpoint["lr_schedulers"]):
        return SPANNED
    return None


def limit_of(settings: Settings, name: str) -> float:
    """Return how far a training goes at most, infinity if it is not limited."""
    value: float | None = settings[name]
    if value is None or value == -1:  # both mean that to Lightning
        return inf
    return value
