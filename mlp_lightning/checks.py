"""The checks that a command makes before anything is written."""

import copy
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer

from mlp_lightning.arguments import ShortParser
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
        raise SettingError(f"--trainer: {error}") from error
    parts: TrainerParts = vars(built["trainer"])
    if parts["callbacks"] is None:
        parts["callbacks"] = []
    elif isinstance(parts["callbacks"], Callback):
        parts["callbacks"] = [parts["callbacks"]]
    return parts
