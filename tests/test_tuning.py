"""The searches that come before a training."""

import functools
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.tuner import Tuner
from support import (
    QUIET_TRAINER,
    SMALL_RUN,
    RunCommand,
    assert_equal,
    get_error_line,
    read_weights,
)

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.errors import SettingError
from mlp_lightning.trainer import MLPTrainer

FIND_RATE = [
    "--trainer.callbacks+=LearningRateFinder",
    "--trainer.callbacks.num_training_steps=20",
]
FIND_SIZE = [
    "--trainer.callbacks+=BatchSizeFinder",
    "--trainer.callbacks.init_val=32",
    "--trainer.callbacks.max_trials=3",
]
ONE_CYCLE = ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"]
RUN = Path("lightning_logs", "version_0")
RUN_1 = Path("lightning_logs", "version_1")


def read_config() -> dict[str, dict[str, object]]:
    config: dict[str, dict[str, object]] = yaml.safe_load(
        (RUN / "config.yaml").read_text()
    )
    return config


def check_search(cli: RunCommand) -> float:
    """Search both, check that what is found is trained with, and return the rate."""
    fitted = cli("fit", *SMALL_RUN, *FIND_SIZE, *FIND_RATE)
    assert fitted.code == 0
    # From 32 images, doubled twice.
    assert "BatchSizeFinder: training with --data.batch_size 128" in fitted.out
    found = re.search(r"training with --model\.optimizer\.lr ([\d.e-]+)", fitted.out)
    assert found is not None
    rate = float(found[1])
    assert 1e-8 < rate < 1
    config = read_config()
    assert config["data"]["batch_size"] == 128
    optimizer = config["model"]["optimizer"]
    assert isinstance(optimizer, dict)
    assert optimizer["init_args"]["lr"] == rate
    checkpoint = torch.load(RUN / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == rate
    assert checkpoint["datamodule_hyper_parameters"]["batch_size"] == 128
    assert checkpoint["global_step"] == 3 * 10  # of 1,260 images
    assert [path.name for path in Path().iterdir()] == ["data", "lightning_logs"]
    return rate


def test_what_is_found_is_a_setting_like_others(cli: RunCommand) -> None:
    """It makes the same weights when it is given, and is not searched again."""
    rate = check_search(cli)
    plain = [f"--model.optimizer.lr={rate}", "--data.batch_size=128"]
    assert cli("fit", *SMALL_RUN, *plain).code == 0
    last = Path("checkpoints", "last.ckpt")
    assert_equal(read_weights(RUN_1 / last), read_weights(RUN / last))

    again = cli("fit", "--ckpt_path", str(RUN), "--trainer.max_epochs=4")
    assert again.code == 0
    assert "Finder" not in again.out
    assert "Finding" not in again.err
    assert read_config()["data"]["batch_size"] == 128


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [*FIND_RATE, "--trainer.callbacks.num_training_steps=5"],
            "--trainer.callbacks: LearningRateFinder found no rate in 5 steps: "
            "give it more num_training_steps",
        ),
        (
            [*FIND_RATE, *ONE_CYCLE],
            "--trainer.callbacks: LearningRateFinder sets the optimizer's rate, but "
            "OneCycleLR has its own: set its max_lr",
        ),
        (
            [*FIND_RATE, "--trainer.callbacks.min_lr=0"],
            "min_lr: must be above 0 and below max_lr, got 0.0",
        ),
        (
            [*FIND_RATE, "--trainer.callbacks.attr_name=rate"],
            "attr_name: must be lr, got rate",
        ),
        (
            [*FIND_SIZE, "--trainer.callbacks.batch_arg_name=size"],
            "batch_arg_name: must be batch_size, got size",
        ),
    ],
)
def test_a_search_that_cannot_be_made(
    words: list[str], message: str, cli: RunCommand
) -> None:
    refused = cli("fit", *SMALL_RUN, *words)
    assert get_error_line(refused) == message
    assert not RUN.exists()


def test_a_rate_to_look_at_only(cli: RunCommand) -> None:
    words = [*SMALL_RUN, *FIND_RATE, "--trainer.callbacks.update_attr=false"]
    fitted = cli("fit", *words, "--trainer.max_epochs=1")
    assert re.search(r"LearningRateFinder: suggests [\d.e-]+\n", fitted.out)
    optimizer = read_config()["model"]["optimizer"]
    assert isinstance(optimizer, dict)
    assert optimizer["init_args"]["lr"] == 0.01


def test_a_search_comes_before_processes_are_spawned(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has the batches that the processes will have, in this process alone."""
    fit = MLPTrainer.fit
    words = [*SMALL_RUN, *FIND_RATE, "--trainer.max_epochs=1"]
    alone = cli("fit", *words)

    @functools.wraps(fit)
    def refuse_to_spawn(trainer: MLPTrainer, *given: Any, **named: Any) -> None:
        if trainer.strategy.launcher is None:
            return fit(trainer, *given, **named)
        _, _, _, datamodule, _ = given
        # It is to be copied, without the trainer that has searched.
        assert datamodule.trainer is None
        raise SettingError("strategy: no")

    monkeypatch.setattr(MLPTrainer, "fit", refuse_to_spawn)
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "propagate", True)
    two = ["--trainer.strategy=ddp_spawn", "--trainer.devices=2"]
    outcome = cli("fit", *words, *two, "--trainer.accelerator=cpu")
    assert get_error_line(outcome) == "--trainer.strategy: no"
    (line,) = re.findall("LearningRateFinder: .*", outcome.out)
    assert line in alone.out
    assert caplog.messages == []


def test_tuner_of_lightning_from_python(data_dir: Path, tmp_path: Path) -> None:
    """What Lightning's Tuner finds is what Lightning's Trainer trains with."""
    model = MLPClassifier()
    data = MNISTDataModule(str(data_dir), val_size=59_000)
    trainer = Trainer(**QUIET_TRAINER, max_epochs=1, default_root_dir=tmp_path)
    tuner = Tuner(trainer)
    finder = tuner.lr_find(model, datamodule=data, num_training=20)
    assert finder is not None
    rate = finder.suggestion()
    size = tuner.scale_batch_size(model, datamodule=data, init_val=32, max_trials=3)
    assert size == 128
    trainer.fit(model, data)
    assert trainer.global_step == 8  # of 1,000 images
    assert model.lr == rate
    assert trainer.optimizers[0].param_groups[0]["lr"] == rate
