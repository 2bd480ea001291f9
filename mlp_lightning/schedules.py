"""The schedule of the learning rate: how long it is, and when it is stepped."""

from inspect import Parameter, signature
from math import inf
from typing import Any

from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from mlp_lightning.errors import SettingError

DEFAULT_MONITOR = "val/loss"  # what ReduceLROnPlateau waits for
TRIAL_STEPS = 1_000  # of a made-up training, for which a schedule is tried


def build_schedule(
    build: Any, optimizer: Optimizer, total_steps: float
) -> LRSchedulerConfigType:
    """Build the schedule of the learning rate, and say when it is stepped.

    A schedule that can be told how long the training is spans it, and is stepped after
    each optimizer step; any other one is stepped after each epoch.

    Args:
        build: What returns the scheduler of an optimizer. Lightning's type for it,
            LRSchedulerCallable, has no room for the length.
        optimizer: The optimizer whose rate is scheduled.
        total_steps: Optimizer steps of the whole training; infinity if it has no end.

    Raises:
        SettingError: If the settings are refused, or a length is needed that nobody
            knows.
    """
    is_endless = total_steps == inf
    length = TRIAL_STEPS if is_endless else total_steps
    scheduler, spans_training = build_scheduler(build, optimizer, length)
    if spans_training and is_endless:
        text = "has to know how long the training is"
        raise SettingError(f"lr_scheduler: {text}: set --trainer.max_epochs")
    interval = "step" if spans_training else "epoch"
    # Lightning's own ReduceLROnPlateau names the metric that it waits for.
    monitor = getattr(scheduler, "monitor", None)
    if monitor is None and isinstance(scheduler, ReduceLROnPlateau):
        monitor = DEFAULT_MONITOR
    return {"scheduler": scheduler, "interval": interval, "monitor": monitor}


def build_scheduler(
    build: Any, optimizer: Optimizer, total_steps: float
) -> tuple[LRScheduler, bool]:
    """Return a scheduler, and whether it takes the length of the training.

    OneCycleLR calls its length `total_steps`, CosineAnnealingLR `T_max`. The user may
    give T_max, and then it counts epochs, as with any schedule of a fixed length.
    """
    # The command line, like most users in Python, gives the settings by a partial. That
    # of the command line has all of them, and a signature that names none.
    settings = getattr(build, "keywords", {})
    names = {*list_parameters(build), *settings}
    if settings.get("T_max") is not None:
        names.remove("T_max")
    lengths = [name for name in ("total_steps", "T_max") if name in names]
    if not lengths:
        return try_to_build(build, optimizer, {}), False
    scheduler = try_to_build(build, optimizer, {lengths[0]: total_steps})
    if type(scheduler) is OneCycleLR:
        refuse_length(settings)
    # A checkpoint then says that the run cannot be prolonged.
    vars(scheduler).setdefault("total_steps", total_steps)
    return scheduler, True


def list_parameters(build: Any) -> list[str]:
    """Return the parameters of a function or class that have a name."""
    parameters = signature(build).parameters.values()
    unnamed = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.kind not in unnamed]


def try_to_build(build: Any, optimizer: Optimizer, length: dict[str, float]) -> Any:
    """Return the scheduler of an optimizer."""
    try:
        return build(optimizer, **length)
    except (RuntimeError, TypeError, ValueError) as error:
        raise SettingError(f"lr_scheduler: {error}") from error


def refuse_length(settings: dict[str, Any]) -> None:
    """Raise SettingError if a OneCycleLR is given a length: it has the training's."""
    for name in ("total_steps", "epochs", "steps_per_epoch"):
        if settings.get(name) is not None:
            text = "OneCycleLR is as long as the training"
            raise SettingError(f"lr_scheduler: {text}: leave out {name}")


def check_rate(optimizer: Optimizer, culprit: str) -> None:
    """Raise SettingError if the learning rate is none that torch can train with.

    Args:
        optimizer: Has the rate.
        culprit: The setting that made it so.
    """
    rate = optimizer.param_groups[0].get("lr")
    if rate is None:
        raise SettingError(f"{culprit}: has no learning rate, lr")
    if not 0 <= rate < inf:
        raise SettingError(
            f"{culprit}: learning rates must be finite, and 0 or more, got {rate}"
        )
