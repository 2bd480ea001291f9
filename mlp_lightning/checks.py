"""The checks that a command makes before anything is written."""

import copy
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import XLAAccelerator
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    SpikeDetection,
)
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import Strategy

from mlp_lightning.arguments import ShortParser, shorten_refusal
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.errors import SettingError
from mlp_lightning.runs import CheckpointContent

# Lightning divides by these, or waits for a multiple of them.
POSITIVE_SETTINGS = (
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "val_check_interval",
)
TrainerParts = dict[str, Any]  # the options of Lightning's Trainer, built
TRIAL_STEPS = 1_000  # of a made-up training, for which the schedule is tried
OWN_CHECKPOINTS = ("best", "last")  # of a run, which RunCheckpoint keeps
LAST_BESIDE_OURS = "{epoch}-last"  # of a ModelCheckpoint in the same folder


def check_settings(options: Namespace) -> None:
    """Refuse what the types of the options let pass.

    Raises:
        SettingError: If a setting is null, or not above 0 where it has to be.
    """
    for group in ("model", "data", "data.augmentation", "checkpoint"):
        check_group(group, options[group])
    for name in POSITIVE_SETTINGS:
        value = options.trainer[name]
        if isinstance(value, (int, float)) and value <= 0:
            raise SettingError(f"{name}: must be above 0, got {value}")
    check_profiler(options.trainer.profiler)


def check_profiler(profiler: Namespace | str | None) -> None:
    """Refuse XLA's profiler where there is no XLA.

    Lightning refuses it too, but the profiler that it leaves half built complains with
    a traceback when it is deleted.
    """
    name = getattr(profiler, "class_path", profiler) or ""
    is_xla = name == "xla" or name.endswith(".XLAProfiler")
    if is_xla and not XLAAccelerator.is_available():
        raise SettingError("profiler: xla needs a TPU, and the package torch_xla")


def check_group(name: str, settings: object) -> None:
    """Raise SettingError if a YAML file says null of a group, or of a setting in it."""
    if not isinstance(settings, Namespace):
        last_name = name.rpartition(".")[2]
        raise SettingError(f"{last_name}: must name its settings, got {settings}")
    for key, value in vars(settings).items():
        if value is None and key != "lr_scheduler":
            raise SettingError(f"{key}: must have a value, got null")


def load_weights(
    model: MLPClassifier, checkpoint: CheckpointContent, precision: str
) -> None:
    """Load the weights; to resume a training, Lightning loads them once more.

    Args:
        model: The model.
        checkpoint: Has the weights.
        precision: Of the training or test, as Lightning's Trainer has it.

    Raises:
        SettingError: If they are those of another network.
    """
    if precision == "64-true":
        model.double()  # Lightning does it after it has loaded, and rounded, them
    try:
        model.load_state_dict(checkpoint.get("state_dict", {}))
    except RuntimeError as error:
        raise SettingError(f"--ckpt_path: {error}") from error


def try_optimizer(model: MLPClassifier, device: torch.device) -> None:
    """Build the optimizer, and make a step with a copy of the model.

    Args:
        model: The model, on the CPU.
        device: Where it will be trained.

    Raises:
        SettingError: If torch refuses its settings, or gradients that are not sparse.
    """
    trial = copy.deepcopy(model)
    optimizer, _ = trial.build_optimizer(TRIAL_STEPS)
    if device.type != "cpu":
        # Some settings are for GPUs alone. To try them there would start CUDA in this
        # process, and a process that has started CUDA cannot fork.
        return
    for weights in trial.parameters():
        weights.grad = torch.zeros_like(weights)
    try:
        optimizer.step(lambda: 0.0)  # LBFGS asks for the loss
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise SettingError(f"optimizer: {error}") from error


def build_trainer_parts(options: Namespace) -> TrainerParts:
    """Build the user's callbacks, loggers and so on; the other options stay.

    Raises:
        SettingError: If one of them refuses its settings, or lacks a package.
    """
    # A parser of its own, since the command line's would build the model as well.
    parser = ShortParser()
    parser.add_lightning_class_args(Trainer, "trainer")
    try:
        built = parser.instantiate_classes({"trainer": options})
    except (ImportError, ValueError) as error:
        raise SettingError(f"--trainer: {shorten_refusal(str(error))}") from error
    parts: TrainerParts = vars(built["trainer"])
    if parts["callbacks"] is None:
        parts["callbacks"] = []
    elif isinstance(parts["callbacks"], Callback):
        parts["callbacks"] = [parts["callbacks"]]
    for callback in parts["callbacks"]:
        check_callback(callback)
        mend_callback(callback)
    check_plugins(parts["plugins"], parts["strategy"])
    return parts


def check_plugins(plugins: object, strategy: Strategy | str) -> None:
    """Raise SettingError for a precision whose strategy is not there."""
    listed = plugins if isinstance(plugins, list) else [plugins]
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    has_precision = any(isinstance(plugin, DeepSpeedPrecision) for plugin in listed)
    if has_precision and "deepspeed" not in name.lower():
        text = "DeepSpeedPrecision works with --trainer.strategy=deepspeed alone"
        raise SettingError(f"plugins: {text}")


def check_callback(callback: Callback) -> None:
    """Refuse what a run, or the model, cannot do with.

    Raises:
        SettingError: If it is one of these.
    """
    name = type(callback).__name__
    if type(callback) is BaseFinetuning:
        raise SettingError(f"callbacks: {name} is a base for classes of your own")
    if isinstance(callback, BackboneFinetuning):
        text = f"{name} needs a model with a backbone, which MLPClassifier has not"
        raise SettingError(f"callbacks: {text}")
    if isinstance(callback, OnExceptionCheckpoint):
        text = f"the next run would begin with what {name} has left"
        advice = "--checkpoint.every_n_train_steps keeps what a run can go on from"
        raise SettingError(f"callbacks: {text}: {advice}")
    if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
        filename = callback.filename
        if filename in OWN_CHECKPOINTS:
            text = f"{filename}.ckpt is the run's own: choose another filename"
            raise SettingError(f"callbacks: {text}")


def mend_callback(callback: Callback) -> None:
    """Let a callback work that would do harm in a run, or fail when it goes on."""
    if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
        # It shares the folder of the run's last.ckpt.
        callback.CHECKPOINT_NAME_LAST = LAST_BESIDE_OURS
    if isinstance(callback, SpikeDetection):
        # lightning 2.6 loads its state into an attribute that it has by another name.
        setattr(callback, "running", callback.running_mean)  # noqa: B010
