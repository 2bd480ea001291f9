"""What a command begins with: the words given, on top of the settings of a run.

`fit --ckpt_path` goes on with a run, and has the settings of its config.yaml. `lesson`
has no more than the words. All other commands use a checkpoint, and have the settings
in it. Either way these are parsed first, so that the words of the command line win.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from jsonargparse import Namespace

from mlp_lightning.datasets import may_be_same
from mlp_lightning.errors import SettingError, is_first_process, print_rank_zero
from mlp_lightning.info import DatasetInfo
from mlp_lightning.lesson import check_dataset
from mlp_lightning.locks import lock_run
from mlp_lightning.runs import (
    CheckpointContent,
    advise_on_prolonging,
    find_checkpoint,
    find_run,
    is_finished,
    read_checkpoint,
)

DATASET = "data.dataset"  # the name of the option

Parse = Callable[[list[str]], Namespace]  # from a command line to its config


@dataclass(frozen=True)
class Start:
    """What a command begins with."""

    config: Namespace  # `subcommand`, and the options of this subcommand
    run: Path | None = None  # that goes on, or that the checkpoint is of
    path: Path | None = None  # of the checkpoint
    checkpoint: CheckpointContent = field(default_factory=dict)  # what it holds
    is_locked: bool = False  # whether this command keeps other processes out of the run

    @property
    def step(self) -> int:
        """Return the optimizer steps that are done."""
        step: int = self.checkpoint.get("global_step", 0)
        return step


def find_start(words: list[str], parse: Parse, locks: ExitStack) -> Start:
    """Parse a command line, with the run or the checkpoint that it means.

    A run that is to go on, or that gets a logger's files, is locked until `locks` is
    closed.

    Raises:
        SettingError: If there is none, or if its settings do not go with the words.
    """
    config = parse(words)
    command = config.subcommand
    if not isinstance(config[command].data.dataset, str):
        raise SettingError("--data.dataset: must be a name or a folder")
    if command == "lesson":
        config.lesson.trainer.logger = False
        check_dataset(config.lesson.data.dataset)  # before anything is downloaded
        return Start(config)
    if command != "fit":
        return use_checkpoint(words, parse, config, locks)
    if config.fit.ckpt_path:
        return resume_run(words, parse, config.fit, locks)
    return Start(config)


def use_checkpoint(
    words: list[str], parse: Parse, config: Namespace, locks: ExitStack
) -> Start:
    """Parse the words on top of the settings in the checkpoint that they request.

    Args:
        words: The command line.
        parse: Parses it.
        config: What it is by itself.
        locks: Keep the run locked if a logger may write into it.
    """
    command = config.subcommand
    requested = config[command]
    run, path = find_checkpoint(requested.ckpt_path, requested.trainer.default_root_dir)
    checkpoint = read_checkpoint(path)
    model = dict(checkpoint["hyper_parameters"])
    data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    info = DatasetInfo.from_settings(model.pop("info", {}))
    data["dataset"] = asdict(info)
    settings = {command: {"model": model, "data": data}}
    text = json.dumps(settings, ensure_ascii=False, default=str)
    config = parse(["--config", text, *words])
    options = config[command]
    sizes = options.model.hidden_sizes
    saved_sizes = model.get("hidden_sizes")
    if sizes != saved_sizes:
        raise SettingError(f"hidden_sizes: {sizes}, but {path} holds {saved_sizes}")
    options.data.dataset = find_dataset(options.data.dataset, info)
    # A test makes no run of its own, and needs no logger.
    options.trainer.logger = options.trainer.logger or False
    is_locked = False
    is_first = is_first_process(options.trainer.num_nodes)
    if run and options.trainer.logger and is_first:
        locks.enter_context(lock_run(run))
        is_locked = True
    print_rank_zero(f"Using {path}")
    return Start(config, run, path, checkpoint, is_locked)


def find_dataset(requested: str | Namespace, info: DatasetInfo) -> DatasetInfo:
    """Return what a checkpoint knows of its data set, which may lie elsewhere by now.

    Args:
        requested: Its name, or the folder, if the command line tells it.
        info: What the checkpoint knows.

    Raises:
        SettingError: If another one is requested.
    """
    name = requested if isinstance(requested, str) else info.name
    if not may_be_same(name, info.name):
        text = f"{name}, but the network is trained on {info.name}"
        raise SettingError(f"--data.dataset: {text}")
    return replace(info, name=name)


def resume_run(
    words: list[str], parse: Parse, requested: Namespace, locks: ExitStack
) -> Start:
    """Parse the words on top of the config of the run; exit if it is finished."""
    run, path = find_run(requested.ckpt_path, requested.trainer.default_root_dir)
    saved = f"--config={run / 'config.yaml'}"
    before = parse(["fit", saved])
    if "fit" not in words:
        raise SettingError("--ckpt_path: to go on with a run, write `fit` before it")
    position = words.index("fit") + 1
    config = parse([*words[:position], saved, *words[position:]])
    # Of several processes that train it together, the first one has the lock.
    if is_first_process(config.fit.trainer.num_nodes):
        locks.enter_context(lock_run(run))
    checkpoint = read_checkpoint(path, resumable=True) if path else {}
    old_settings = vars(before.fit.as_flat())
    new_settings = vars(config.fit.as_flat())
    if may_be_same(str(old_settings[DATASET]), str(new_settings[DATASET])):
        old_settings[DATASET] = new_settings[DATASET]
    if is_finished(old_settings, new_settings, checkpoint):
        advice = advise_on_prolonging(checkpoint)
        print_rank_zero(f"{run} is finished: {advice}")
        sys.exit(0)
    start = Start(config, run, path, checkpoint)
    print_rank_zero(f"Continuing {run} after step {start.step}")
    return start
