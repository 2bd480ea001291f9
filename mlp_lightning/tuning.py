"""The search for a learning rate or a batch size, which comes before a training.

Lightning's LearningRateFinder and BatchSizeFinder search when the training has begun. A
run has all its settings in its config.yaml from the first moment, and a run that goes
on searches no more. So the command line takes the two out of the callbacks, and lets
Lightning's Tuner search with a trainer of its own before there is a run.
"""

from collections.abc import Iterable
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from mlp_lightning.checks import build_trainer_parts, list_parts
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import SettingError, copies_process, print_rank_zero
from mlp_lightning.hardware import use_forkable_threads
from mlp_lightning.schedules import TRIAL_STEPS
from mlp_lightning.trainer import MLPTrainer

FINDERS = (LearningRateFinder, BatchSizeFinder)  # and no subclasses, which may do more
CYCLES = (OneCycleLR, CyclicLR)  # schedules with rates of their own
# Options of the trainer that searches: it leaves nothing behind.
SEARCH_OPTIONS: dict[str, Any] = {
    "callbacks": None,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "profiler": None,
    "max_steps": -1,
    "max_time": None,
}
ONE_PROCESS: dict[str, Any] = {"strategy": "auto", "devices": 1, "num_nodes": 1}


def remove_finders(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return the callbacks that do more than to search."""
    return [one for one in callbacks if type(one) not in FINDERS]


def search_settings(
    options: Namespace, model: MLPClassifier, datamodule: MNISTDataModule
) -> None:
    """Search what the callbacks among the options search, and set it.

    Args:
        options: Of `fit`. The settings that are found replace the ones that are there.
        model: Its weights stay as they are. Gets the learning rate.
        datamodule: Gets the batch size.

    Raises:
        SettingError: If the search cannot be made, or finds nothing.
    """
    for callback in list_parts(options.trainer.callbacks):
        kind = callback.class_path.rpartition(".")[2]
        if kind == "BatchSizeFinder":
            search_batch_size(options, callback.init_args, model, datamodule)
        elif kind == "LearningRateFinder":
            search_learning_rate(options, callback.init_args, model, datamodule)


def search_batch_size(
    options: Namespace,
    search: Namespace,
    model: MLPClassifier,
    datamodule: MNISTDataModule,
) -> None:
    """Set the largest batch size that memory, and the limit of the search, allow."""
    check_attribute("batch_arg_name", search.batch_arg_name, "batch_size")
    with TemporaryDirectory() as scratch:
        trainer = build_trainer(options, scratch)
        if trainer.strategy.launcher is not None:
            raise SettingError(
                "callbacks: BatchSizeFinder searches in one process only"
            )
        Tuner(trainer).scale_batch_size(model, datamodule=datamodule, **vars(search))
    size = datamodule.hparams["batch_size"]
    options.data.batch_size = size
    print_rank_zero(f"BatchSizeFinder: training with --data.batch_size {size}")


def search_learning_rate(
    options: Namespace,
    search: Namespace,
    model: MLPClassifier,
    datamodule: MNISTDataModule,
) -> None:
    """Set the learning rate at which the loss falls fastest, unless told to look only.

    Raises:
        SettingError: If there is none, or if it would have no effect.
    """
    check_attribute("attr_name", search.attr_name or "lr", "lr")
    if not 0 < search.min_lr < search.max_lr:
        text = f"must be above 0 and below max_lr, got {search.min_lr}"
        raise SettingError(f"min_lr: {text}")
    check_schedule(model)
    settings = vars(search.clone())
    steps = settings.pop("num_training_steps")
    with TemporaryDirectory() as scratch:
        # Each epoch has a step at least.
        trainer = build_trainer(options, scratch, max_epochs=steps)
        strategy = trainer.strategy
        if copies_process(strategy):
            # What is found in a copy would be lost. The batch size is that of all
            # processes together, so that one process alone sees the same batches.
            trainer = build_trainer(options, scratch, max_epochs=steps, **ONE_PROCESS)
        with use_forkable_threads(strategy):
            finder = Tuner(trainer).lr_find(
                model, datamodule=datamodule, num_training=steps, **settings
            )
    datamodule.trainer = None  # which `ddp_spawn` could not copy any more
    rate = finder.suggestion() if finder is not None else None
    if rate is None:
        raise SettingError(
            f"callbacks: LearningRateFinder found no rate in {steps} steps: give it "
            "more num_training_steps"
        )
    if not search.update_attr:
        print_rank_zero(f"LearningRateFinder: suggests {rate}")
        return
    options.model.optimizer.init_args.lr = rate
    print_rank_zero(f"LearningRateFinder: training with --model.optimizer.lr {rate}")


def check_attribute(option: str, given: str, name: str) -> None:
    """Raise SettingError if another attribute is to be set than there is."""
    if given != name:
        raise SettingError(f"{option}: must be {name}, got {given}")


def check_schedule(model: MLPClassifier) -> None:
    """Raise SettingError if a schedule would replace the rate that is found."""
    _, schedule = model.build_optimizer(TRIAL_STEPS)
    scheduler: LRScheduler | None = schedule and schedule["scheduler"]
    if isinstance(scheduler, CYCLES):
        name = type(scheduler).__name__
        raise SettingError(
            f"callbacks: LearningRateFinder sets the optimizer's rate, but {name} has "
            "its own: set its max_lr"
        )


def build_trainer(options: Namespace, folder: str, **others: Any) -> MLPTrainer:
    """Return a trainer that has the user's options, and leaves nothing behind.

    Args:
        options: Of `fit`.
        folder: For the weights, while a search changes them.
        others: Options of the Trainer, in place of the user's.
    """
    search_options = options.trainer.clone()
    for name, value in {**SEARCH_OPTIONS, **others}.items():
        search_options[name] = value
    search_options.default_root_dir = folder
    return MLPTrainer(**build_trainer_parts(search_options))
