"""A run that was stopped, however it was, ends as if nothing had happened."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import (
    SMALL_RUN,
    RunCommand,
    assert_equal,
    assert_same_run,
    get_error_line,
    link_data,
    read_curves,
    read_state,
)

from mlp_lightning import MLPClassifier
from mlp_lightning.checkpoints import RunCheckpoint
from mlp_lightning.cli import MLPCLI

MOMENTUM = [
    "--model.optimizer=SGD",
    "--model.optimizer.lr=0.05",
    "--model.optimizer.momentum=0.9",
]
ONE_CYCLE = ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"]
COSINE = ["--model.lr_scheduler=CosineAnnealingLR"]
EAGER = ["--model.lr_scheduler.patience=0", "--model.lr_scheduler.threshold=0.5"]
PLATEAU = ["--model.lr_scheduler=ReduceLROnPlateau", *EAGER]
LIGHTNINGS_PLATEAU = [
    "--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
    "--model.lr_scheduler.monitor=val/loss",
    *EAGER,
]
AVERAGES = [
    "--trainer.callbacks+=EMAWeightAveraging",
    "--trainer.callbacks.decay=0.9",
    "--trainer.callbacks.update_every_n_steps=3",
]
KINDS = {
    "momentum": [*MOMENTUM, "--figures=true"],
    "dropout": ["--model.dropout=0.3"],
    "one cycle": [*MOMENTUM, *ONE_CYCLE],
    "plateau": [*MOMENTUM, *PLATEAU],
    "accumulation": [
        "--trainer.accumulate_grad_batches=3",
        "--data.augmentation.rotation=15",
    ],
    "validation amid epochs": ["--trainer.val_check_interval=7"],
    "validation by steps": [
        "--trainer.val_check_interval=13",
        "--trainer.check_val_every_n_epoch=null",
    ],
    "cosine, steps": [*COSINE, "--trainer.max_steps=50", "--trainer.max_epochs=-1"],
    "no validation": ["--data.val_size=0", "--trainer.limit_train_batches=20"],
    "plateau, validation amid epochs": [
        *LIGHTNINGS_PLATEAU,
        "--trainer.val_check_interval=11",
    ],
    "accumulation, validation amid it": [
        "--trainer.accumulate_grad_batches=3",
        "--trainer.val_check_interval=7",
    ],
    "overfit": ["--trainer.overfit_batches=8", "--trainer.max_epochs=5"],
    "early stop": [
        "--trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.patience=1",
        "--trainer.callbacks.min_delta=10",
    ],
    "augmentation and averages": [
        "--data.augmentation.rotation=15",
        "--data.augmentation.shear=0.1",
        "--data.augmentation.elastic=36",
        *AVERAGES,
    ],
    "sanity check": ["--trainer.num_sanity_val_steps=1"],
}
RUN_0, RUN_1 = "lightning_logs/version_0", "lightning_logs/version_1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_if_it_had_not_been(
    kind: str, cli: RunCommand, kill: Any
) -> None:
    words = [*SMALL_RUN, *KINDS[kind], "--checkpoint.every_n_train_steps=4"]
    assert cli("fit", *words).code == 0
    kill(MLPClassifier, "training_step", 10 if "accumulation" in kind else 27, *words)
    run = "lightning_logs/version_1"
    before = torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)[
        "global_step"
    ]
    outcome = cli("fit", "--ckpt_path=last")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"Continuing {run} after step {before}\n")
    assert sorted(path.name for path in Path("lightning_logs").iterdir()) == [
        *("version_0", "version_1")
    ]
    assert_same_run(run, "lightning_logs/version_0")
    one, two = (
        Path(f"lightning_logs/version_{n}/config.yaml").read_text() for n in (0, 1)
    )
    assert one == two


DROPPED_OUT = [*SMALL_RUN, *MOMENTUM, "--model.dropout=0.1"]


@pytest.fixture(scope="module")
def whole_runs(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder whose lightning_logs/version_0 is the run of `fit` with DROPPED_OUT."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mlp_lightning"])
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        link_data(data_dir, folder / "data")
        MLPCLI(["fit", *DROPPED_OUT])
        yield folder / "lightning_logs"


@pytest.mark.parametrize(
    ("cls", "hook", "step"),
    [
        (MLPClassifier, "validation_step", 20),
        (MLPClassifier, "on_validation_end", 40),
        (MLPClassifier, "on_train_epoch_end", 20),
        (RunCheckpoint, "save", 20),
        (RunCheckpoint, "on_train_end", 60),
        (MLPClassifier, "training_step", 1),
        (MLPClassifier, "training_step", 0),
    ],
)
def test_killed_anywhere(
    cls: type, hook: str, step: int, whole_runs: Path, cli: RunCommand, kill: Any
) -> None:
    words = DROPPED_OUT
    shutil.copytree(whole_runs, "lightning_logs")
    if not hasattr(cls, hook):
        pytest.fail(f"{cls} has no {hook}")
    kill(cls, hook, step, *words)
    kill(cls, hook, step, "--ckpt_path=last")  # and again
    kill(
        MLPClassifier, "training_step", max(step, 45), "--ckpt_path=last"
    ) if step < 60 else None
    assert cli("fit", "--ckpt_path=last").code == 0
    assert_same_run(RUN_1, RUN_0)


def test_dropout_does_not_depend_on_what_was_drawn_before(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", *SMALL_RUN, "--model.dropout=0.5").code == 0
    original = MLPClassifier.training_step

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        torch.rand(batch_idx)
        return loss

    monkeypatch.setattr(MLPClassifier, "training_step", step)
    assert cli("fit", *SMALL_RUN, "--model.dropout=0.5").code == 0
    assert_equal(
        read_state("lightning_logs/version_1"), read_state("lightning_logs/version_0")
    )


def test_a_finished_run_says_so_and_can_be_prolonged(cli: RunCommand) -> None:
    assert (
        cli("fit", *SMALL_RUN, "--trainer.max_epochs=5", "--model.dropout=0.2").code
        == 0
    )
    assert cli("fit", *SMALL_RUN, "--model.dropout=0.2").code == 0
    run = "lightning_logs/version_1"
    held = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    for words in ([], ["--trainer.max_epochs=2"], ["--trainer.max_steps=1000"]):
        outcome = cli("fit", f"--ckpt_path={run}", *words)
        assert outcome == (
            0,
            f"{run} is finished: --trainer.max_epochs N prolongs it\n",
            "",
        )
    assert held == {
        path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()
    }
    assert cli("fit", f"--ckpt_path={run}", "--trainer.max_epochs=5").code == 0
    assert_same_run(run, "lightning_logs/version_0")
    assert (
        yaml.safe_load(Path(run, "config.yaml").read_text())["trainer"]["max_epochs"]
        == 5
    )
    assert len(list(Path("lightning_logs").iterdir())) == 2


def test_steps_can_be_prolonged_from_amid_an_epoch(cli: RunCommand) -> None:
    assert cli("fit", *SMALL_RUN, "--trainer.max_steps=50").code == 0
    assert (
        cli("fit", *SMALL_RUN, "--trainer.max_steps=33", "--trainer.max_epochs=2").code
        == 0
    )
    words = ["--trainer.max_steps=50", "--trainer.max_epochs=3"]
    assert cli("fit", "--ckpt_path=last", *words).code == 0
    assert_same_run(RUN_1, RUN_0)


def test_a_run_of_one_cycle_cannot_be_prolonged(cli: RunCommand, kill: Any) -> None:
    words = [*SMALL_RUN, *MOMENTUM, *ONE_CYCLE, "--checkpoint.every_n_train_steps=5"]
    kill(MLPClassifier, "training_step", 30, *words)
    held = Path("lightning_logs/version_0/config.yaml").read_text()
    for limit in ("4", "-1", "null"):
        line = get_error_line(
            cli("fit", "--ckpt_path=last", f"--trainer.max_epochs={limit}")
        )
        assert line.startswith(
            "--trainer.max_epochs: a run whose learning rate is planned to its end can"
        )
    assert Path("lightning_logs/version_0/config.yaml").read_text() == held
    assert cli("fit", "--ckpt_path=last").code == 0


def test_a_run_that_ended_in_averaged_weights_cannot_be_prolonged(
    cli: RunCommand,
) -> None:
    assert cli("fit", *SMALL_RUN, *AVERAGES).code == 0
    for option, value in (("max_epochs", "4"), ("max_time", "00:01:00:00")):
        line = get_error_line(
            cli("fit", "--ckpt_path=last", f"--trainer.{option}={value}")
        )
        text = "a run that ended in averaged weights cannot be prolonged to"
        assert line == f"--trainer.{option}: {text} {value}"


FIXED = [
    *("--model.hidden_sizes=[32]", "--model.dropout=0.1", "--model.optimizer.lr=0.1"),
    *("--model.optimizer=Adam", "--model.activation=tanh", "--model.lr_scheduler=null"),
    *("--data.batch_size=32", "--data.val_size=1000", "--seed_everything=1"),
    "--data.augmentation.rotation=15",
    *("--trainer.precision=bf16-mixed", "--trainer.accumulate_grad_batches=2"),
    *("--trainer.gradient_clip_val=1", "--trainer.limit_train_batches=3"),
    *(
        "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val/loss",
        "--config=a.yaml",
    ),
    "--checkpoint.every_n_train_steps=3",
]


def test_what_may_not_change(cli: RunCommand, kill: Any) -> None:
    schedule = ["--model.lr_scheduler=ExponentialLR", "--model.lr_scheduler.gamma=0.9"]
    kill(MLPClassifier, "training_step", 1, *SMALL_RUN, *schedule)
    held = Path("lightning_logs/version_0/config.yaml").read_text()
    Path("a.yaml").write_text("model: {activation: sigmoid}")
    for words in FIXED:
        line = get_error_line(cli("fit", "--ckpt_path=last", *words.split()))
        assert "the run was begun with " in line
        assert line.startswith(
            "--model.activation" if "config" in words else words[:12]
        )
        assert Path("lightning_logs/version_0/config.yaml").read_text() == held


def test_what_may_change(cli: RunCommand, kill: Any) -> None:
    assert cli("fit", *SMALL_RUN).code == 0
    kill(MLPClassifier, "training_step", 30, *SMALL_RUN)
    Path("data").rename("elsewhere")
    Path("lightning_logs").rename("moved")
    words = [
        "--data.data_dir=elsewhere",
        "--trainer.max_time=00:01:00:00",
        "--data.batch_size=64",
    ]
    words += [
        "--trainer.devices=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_model_summary=true",
    ]
    outcome = cli("fit", "--ckpt_path=moved/version_1", *words)
    assert outcome.code == 0, outcome.err
    assert_same_run("moved/version_1", "moved/version_0")
    config = yaml.safe_load(Path("moved/version_1/config.yaml").read_text())
    assert config["data"]["data_dir"] == "elsewhere"
    assert config["ckpt_path"] is None


def test_a_checkpoint_before_the_last_can_be_returned_to(
    cli: RunCommand, kill: Any
) -> None:
    kill(
        MLPClassifier,
        "training_step",
        25,
        *SMALL_RUN,
        "--checkpoint.every_n_train_steps=8",
    )
    run = Path("lightning_logs/version_0")
    last = run / "checkpoints" / "last.ckpt"
    kept = last.rename(last.with_name("kept.ckpt"))
    last.write_bytes(kept.read_bytes())
    assert cli("fit", "--ckpt_path=last").code == 0
    expected = read_state(run), read_curves(run)
    outcome = cli("fit", f"--ckpt_path={kept}")
    assert outcome.out.startswith(f"Continuing {run.absolute()} after step 24\n")
    assert_equal(read_state(run), expected[0])
    assert_equal(read_curves(run), expected[1])


def test_best_stays_the_best_of_the_whole_run(cli: RunCommand, kill: Any) -> None:
    words = [*SMALL_RUN, "--model.optimizer.lr=0.5", "--trainer.max_epochs=8"]
    kill(MLPClassifier, "training_step", 150, *words)
    best = Path("lightning_logs/version_0/checkpoints/best.ckpt")
    kept = torch.load(best, weights_only=True)["callbacks"]["Checkpoints"]["best_score"]
    assert cli("fit", "--ckpt_path=last").code == 0
    points = read_curves("lightning_logs/version_0")["val/acc"]
    top = max(value for _, value in points)
    checkpoint = torch.load(best, weights_only=True)
    assert checkpoint["callbacks"]["Checkpoints"]["best_score"] == top >= kept
    assert (checkpoint["global_step"] - 1, top) in points


def test_lower_limits_end_a_run(cli: RunCommand, kill: Any) -> None:
    kill(MLPClassifier, "training_step", 25, *SMALL_RUN)
    for limit in ("--trainer.max_epochs=1", "--trainer.max_steps=20"):
        outcome = cli("fit", "--ckpt_path=last", limit)
        assert outcome.out.startswith("lightning_logs/version_0 is finished: ")
    assert cli("fit", "--ckpt_path=last", "--trainer.max_epochs=2").code == 0
    assert read_state("lightning_logs/version_0")["global_step"] == 40


def test_stopped_by_the_clock_amid_an_accumulation(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SMALL_RUN, "--trainer.accumulate_grad_batches=3", "--data.val_size=0"]
    words += ["--trainer.limit_train_batches=20", "--trainer.max_time=00:01:00:00"]
    assert cli("fit", *words).code == 0
    original = MLPClassifier.training_step

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        self.trainer.should_stop = self.global_step == 9 and batch_idx % 3 == 1
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "training_step", step)
        assert cli("fit", *words).code == 0
    assert read_state("lightning_logs/version_1")["global_step"] == 9
    assert cli("fit", "--ckpt_path=last", "--trainer.max_time=00:02:00:00").code == 0
    assert_same_run(RUN_1, RUN_0)


def test_an_exception_writes_nothing(cli: RunCommand, kill: Any) -> None:
    kill(MLPClassifier, "training_step", 25, *SMALL_RUN)
    folder = Path("lightning_logs/version_0/checkpoints")
    assert {path.name for path in folder.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert read_state("lightning_logs/version_0")["global_step"] == 20


def test_nan_stops_the_run_and_leaves_the_last_good_checkpoint(cli: RunCommand) -> None:
    words = [
        *SMALL_RUN,
        "--checkpoint.every_n_train_steps=1",
        "--trainer.log_every_n_steps=20",
    ]
    assert cli("fit", *words).code == 0
    good = read_state("lightning_logs/version_0")
    diverging = [
        "--model.optimizer.lr=1e6",
        "--data.val_size=1000",
        "--trainer.max_epochs=1",
    ]
    line = get_error_line(cli("fit", *words, *diverging), code=1)
    assert line.startswith("the loss or a weight is no longer finite by step ")
    assert "learning rate 1e+06" in line
    last = Path("lightning_logs/version_1/checkpoints/last.ckpt")
    if last.exists():
        assert all(
            w.isfinite().all()
            for w in read_state(last.parents[1])["state_dict"].values()
        )
    assert_equal(read_state("lightning_logs/version_0"), good)
    line = get_error_line(cli("fit", *SMALL_RUN, "--model.optimizer.lr=1e30"), code=1)
    assert "learning rate 1e+30" in line
    assert not Path("lightning_logs/version_2/checkpoints").exists()
