"""The checks that a command makes before anything is written."""

import copy
import re
from importlib.util import find_spec
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, SpikeDetection
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mlp_lightning.arguments import ShortParser
from mlp_lightning.checkpoints import wrap_atomic_writing
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.datasets import check_same_images
from mlp_lightning.errors import SettingError
from mlp_lightning.info import DatasetInfo
from mlp_lightning.runs import CheckpointContent
from mlp_lightning.schedules import TRIAL_STEPS, check_rate
from mlp_lightning.trainer import MLPTrainer

# Lightning divides by these, or waits for a multiple of them.
POSITIVE_SETTINGS = (
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "val_check_interval",
)
TrainerParts = dict[str, Any]  # the options of Lightning's Trainer, built
# How jsonargparse says that a value is not of one of the types of its option.
OTHER_TYPE = re.compile("Expected an? |Import path .* not correspond|Not a valid sub")
OWN_CHECKPOINTS = ("best", "last")  # of a run, which RunCheckpoint keeps
LAST_BESIDE_OURS = "{epoch}-last"  # of a ModelCheckpoint in the same folder


def check_settings(options: Namespace) -> None:
    """Refuse what the types of the options let pass.

    Raises:
        SettingError: If a setting is null, not above 0 where it has to be, or lacks a
            package.
    """
    for group in ("model", "data", "data.augmentation", "checkpoint"):
        check_group(group, options[group])
    for name in POSITIVE_SETTINGS:
        value = options.trainer[name]
        if isinstance(value, (int, float)) and value <= 0:
            raise SettingError(f"{name}: must be above 0, got {value}")
    is_for_tpus = "xla" in str(options.trainer.profiler).lower()
    if is_for_tpus and not find_spec("torch_xla"):
        # Lightning's own refusal ends in a traceback.
        raise SettingError("profiler: is for TPUs, and needs `pip install torch_xla`")


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
        SettingError: If they are those of another network, or for other images.
    """
    trained_on = checkpoint["hyper_parameters"].get("info", {})
    check_same_images(DatasetInfo.from_settings(trained_on), model.info)
    if precision == "64-true":
        model.double()  # Lightning does it after it has loaded, and rounded, them
    try:
        model.load_state_dict(checkpoint.get("state_dict", {}))
    except RuntimeError as error:
        raise SettingError(f"--ckpt_path: {error}") from error


def check_training(
    model: MLPClassifier, datamodule: MNISTDataModule, trainer: Trainer
) -> None:
    """Try the optimizer and the schedule.

    Raises:
        SettingError: If torch refuses their settings, or the schedule waits for a
            metric of validations, and there are none.
    """
    schedule = try_optimizer(model, trainer.strategy.root_device)
    monitor = schedule["monitor"] if schedule else None
    has_validation = datamodule.hparams["val_size"] and trainer.limit_val_batches
    if monitor and monitor.startswith("val") and not has_validation:
        text = f"waits for {monitor}, but there is no validation"
        advice = "set --data.val_size and --trainer.limit_val_batches above 0"
        raise SettingError(f"lr_scheduler: {text}: {advice}")


def try_optimizer(
    model: MLPClassifier, device: torch.device
) -> LRSchedulerConfigType | None:
    """Build optimizer and schedule, and make a step of each with a copy of the model.

    Args:
        model: The model, on the CPU.
        device: Where it will be trained.

    Returns:
        The schedule of the copy, if there is one.

    Raises:
        SettingError: If torch refuses its settings, or gradients that are not sparse.
    """
    trial = copy.deepcopy(model)
    optimizer, schedule = trial.build_optimizer(TRIAL_STEPS)
    if device.type != "cpu":
        # Some settings are for GPUs alone. To try them there would start CUDA in this
        # process, and a process that has started CUDA cannot fork.
        return schedule
    for weights in trial.parameters():
        weights.grad = torch.zeros_like(weights)
    try:
        optimizer.step(lambda: 0.0)  # LBFGS asks for the loss
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise SettingError(f"optimizer: {error}") from error
    if schedule and not schedule["monitor"]:
        try_schedule(schedule["scheduler"], optimizer)
    return schedule


def try_schedule(scheduler: LRScheduler, optimizer: Optimizer) -> None:
    """Make a step of a schedule, since torch looks at some settings only there."""
    name = type(scheduler).__name__
    try:
        scheduler.step()
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        text = f"{name} cannot make its first step"
        raise SettingError(f"lr_scheduler: {text}: {error}") from error
    check_rate(optimizer, "lr_scheduler")


def build_trainer_parts(options: Namespace | dict[str, Any]) -> TrainerParts:
    """Build the user's callbacks, loggers and so on; the other options stay.

    Args:
        options: Of the Trainer, all or some.

    Raises:
        SettingError: If one of them refuses its settings, or lacks a package.
    """
    # A parser of its own, since the command line's would build the model as well.
    parser = ShortParser()
    parser.add_lightning_class_args(MLPTrainer, "trainer")
    try:
        built = parser.instantiate_classes({"trainer": options})
    except (ImportError, ValueError) as error:
        raise SettingError(f"--trainer: {find_reason(error)}") from error
    parts: TrainerParts = vars(built["trainer"])
    for name in ("callbacks", "plugins"):
        parts[name] = list_parts(parts.get(name))
    for callback in parts["callbacks"]:
        keep_apart(callback)
        mend_callback(callback)
    check_plugins(parts["plugins"], parts.get("strategy", ""))
    wrap_atomic_writing(parts["plugins"])
    return parts


def check_plugins(plugins: list[Any], strategy: Strategy | str) -> None:
    """Raise SettingError for a precision whose strategy is not there."""
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    has_precision = any(isinstance(plugin, DeepSpeedPrecision) for plugin in plugins)
    if has_precision and "deepspeed" not in name.lower():
        text = "DeepSpeedPrecision works with --trainer.strategy=deepspeed alone"
        raise SettingError(f"plugins: {text}")


def keep_apart(callback: Callback) -> None:
    """Let a ModelCheckpoint write no file of the run's own, whose folder it shares.

    Raises:
        SettingError: If it is asked to.
    """
    if not isinstance(callback, ModelCheckpoint) or callback.dirpath is not None:
        return
    if callback.filename in OWN_CHECKPOINTS:
        text = f"{callback.filename}.ckpt is the run's own: choose another filename"
        raise SettingError(f"callbacks: {text}")
    callback.CHECKPOINT_NAME_LAST = LAST_BESIDE_OURS


def mend_callback(callback: Callback) -> None:
    """Let a SpikeDetection be resumed.

    Lightning 2.6 loads its state into an attribute that it has by another name.
    """
    if isinstance(callback, SpikeDetection):
        setattr(callback, "running", callback.running_mean)  # noqa: B010


def find_reason(error: BaseException) -> str:
    """Return what the class that refuses has said, which jsonargparse wraps.

    Its own text lists all the types that the option might have had instead.
    """
    whole = str(error)
    named = re.search(r"Problem with given class_path '[^']+':\s+(.+)", whole)
    if named:
        return named[1]
    for reason in re.findall(r"^  - (.*(?:\n {4,}.*)*)", whole, re.MULTILINE):
        if not OTHER_TYPE.match(reason):
            return str(reason)
    while error.__cause__:
        error = error.__cause__
    first = str(error)
    # Of a list, the first type that fails is often that of a single part.
    return whole if first.startswith("Not a valid subclass") else first


def list_parts(value: Any) -> list[Any]:
    """Return the parts that an option of the Trainer has: none, one or several."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    return [value]
