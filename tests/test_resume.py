"""A run that was stopped, however it was, ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome, refused
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from mlp_lightning import MLPClassifier
from mlp_lightning.runs import Checkpoints

CLI = Callable[..., Outcome]
SMALL = [  # epochs of 20 batches, the last one smaller
    *(
        "--data.val_size=58740",
        "--trainer.max_epochs=3",
        "--trainer.log_every_n_steps=1",
    ),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
    "--figures=false",
]
MOMENTUM = [
    "--model.optimizer=SGD",
    "--model.optimizer.lr=0.05",
    "--model.optimizer.momentum=0.9",
]
ONE_CYCLE = ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"]
PLATEAU = [
    *(
        "--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
        "--model.lr_scheduler.monitor=val/loss",
    ),
    *("--model.lr_scheduler.patience=0", "--model.lr_scheduler.threshold=0.5"),
]
AVERAGES = [
    *("--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.9"),
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
        *("--trainer.val_check_interval=13", "--trainer.check_val_every_n_epoch=null")
    ],
    "steps": ["--trainer.max_steps=50", "--trainer.max_epochs=-1"],
    "no validation": ["--data.val_size=0", "--trainer.limit_train_batches=20"],
    "plateau, validation amid epochs": [*PLATEAU, "--trainer.val_check_interval=11"],
    "accumulation, validation amid it": [
        *("--trainer.accumulate_grad_batches=3", "--trainer.val_check_interval=7")
    ],
    "overfit": ["--trainer.overfit_batches=8", "--trainer.max_epochs=5"],
    "early stop": [
        *("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"),
        *("--trainer.callbacks.patience=1", "--trainer.callbacks.min_delta=10"),
    ],
    "augmentation and averages": [
        *(
            f"--data.augmentation.{name}"
            for name in ("rotation=15", "shear=0.1", "elastic=36")
        ),
        *AVERAGES,
    ],
    "sanity check": ["--trainer.num_sanity_val_steps=1"],
}


# TensorBoard orders files of the same second by their names, in which 10 would come before 9.
event_file_writer._global_uid = event_file_writer.AtomicCounter(1_000_000)


class Killed(BaseException):
    """As sudden as SIGKILL, within one process."""


def state(run: str | Path) -> dict[str, Any]:
    last = torch.load(Path(run, "checkpoints", "last.ckpt"), weights_only=True)
    return {
        name: last[name]
        for name in (
            "state_dict",
            "optimizer_states",
            "lr_schedulers",
            "global_step",
            "epoch",
        )
    } | {name: last.get(name) for name in ("current_model_state", "averaging_state")}


def curves(run: str | Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run)).Reload()
    tags = events.Tags()["scalars"]
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in tags
    }


def assert_equal(one: Any, two: Any) -> None:
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_equal(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


@pytest.fixture
def kill(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run `fit`, but die in the hook of a class as soon as so many steps are done."""

    def run(cls: type, hook: str, step: int, *words: str) -> None:
        original = getattr(cls, hook)

        def die(self: Any, *args: Any, **kwargs: Any) -> Any:
            trainer = args[0] if cls is Checkpoints else self.trainer
            if trainer.global_step >= step:
                raise Killed
            return original(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(cls, hook, die)
            with pytest.raises(Killed):
                cli("fit", *words)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_if_it_had_not_been(
    kind: str, cli: CLI, kill: Any
) -> None:
    words = [*SMALL, *KINDS[kind], "--checkpoint.every_n_train_steps=4"]
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
    assert_equal(state(run), state("lightning_logs/version_0"))
    assert_equal(curves(run), curves("lightning_logs/version_0"))
    one, two = (
        Path(f"lightning_logs/version_{n}/config.yaml").read_text() for n in (0, 1)
    )
    assert one == two


@pytest.mark.parametrize(
    ("cls", "hook", "step"),
    [
        (MLPClassifier, "validation_step", 20),
        (MLPClassifier, "on_validation_end", 40),
        (MLPClassifier, "on_train_epoch_end", 20),
        (Checkpoints, "_save", 20),
        (Checkpoints, "on_train_end", 60),
        (MLPClassifier, "training_step", 1),
        (MLPClassifier, "training_step", 0),
    ],
)
def test_killed_anywhere(cls: type, hook: str, step: int, cli: CLI, kill: Any) -> None:
    words = [*SMALL, *MOMENTUM, "--model.dropout=0.1"]
    assert cli("fit", *words).code == 0
    if not hasattr(cls, hook):
        pytest.fail(f"{cls} has no {hook}")
    kill(cls, hook, step, *words)
    kill(cls, hook, step, "--ckpt_path=last")  # and again
    kill(
        MLPClassifier, "training_step", max(step, 45), "--ckpt_path=last"
    ) if step < 60 else None
    assert cli("fit", "--ckpt_path=last").code == 0
    assert_equal(state("lightning_logs/version_1"), state("lightning_logs/version_0"))
    assert_equal(curves("lightning_logs/version_1"), curves("lightning_logs/version_0"))


def test_dropout_does_not_depend_on_what_was_drawn_before(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", *SMALL, "--model.dropout=0.5").code == 0
    original = MLPClassifier.training_step

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        torch.rand(batch_idx)
        return loss

    monkeypatch.setattr(MLPClassifier, "training_step", step)
    assert cli("fit", *SMALL, "--model.dropout=0.5").code == 0
    assert_equal(state("lightning_logs/version_1"), state("lightning_logs/version_0"))


def test_a_finished_run_says_so_and_can_be_prolonged(cli: CLI) -> None:
    assert cli("fit", *SMALL, "--trainer.max_epochs=5", "--model.dropout=0.2").code == 0
    assert cli("fit", *SMALL, "--model.dropout=0.2").code == 0
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
    assert_equal(state(run), state("lightning_logs/version_0"))
    assert_equal(curves(run), curves("lightning_logs/version_0"))
    assert (
        yaml.safe_load(Path(run, "config.yaml").read_text())["trainer"]["max_epochs"]
        == 5
    )
    assert len(list(Path("lightning_logs").iterdir())) == 2


def test_steps_can_be_prolonged_from_amid_an_epoch(cli: CLI) -> None:
    assert cli("fit", *SMALL, "--trainer.max_steps=50").code == 0
    assert (
        cli("fit", *SMALL, "--trainer.max_steps=33", "--trainer.max_epochs=2").code == 0
    )
    words = ["--trainer.max_steps=50", "--trainer.max_epochs=3"]
    assert cli("fit", "--ckpt_path=last", *words).code == 0
    assert_equal(state("lightning_logs/version_1"), state("lightning_logs/version_0"))
    assert_equal(curves("lightning_logs/version_1"), curves("lightning_logs/version_0"))


def test_a_run_of_one_cycle_cannot_be_prolonged(cli: CLI, kill: Any) -> None:
    words = [*SMALL, *MOMENTUM, *ONE_CYCLE, "--checkpoint.every_n_train_steps=5"]
    kill(MLPClassifier, "training_step", 30, *words)
    held = Path("lightning_logs/version_0/config.yaml").read_text()
    for limit in ("4", "-1", "null"):
        line = refused(cli("fit", "--ckpt_path=last", f"--trainer.max_epochs={limit}"))
        assert line.startswith(
            "--trainer.max_epochs: a run of one cycle ends with it, and cannot"
        )
    assert Path("lightning_logs/version_0/config.yaml").read_text() == held
    assert cli("fit", "--ckpt_path=last").code == 0


def test_a_run_that_ended_in_averaged_weights_cannot_be_prolonged(cli: CLI) -> None:
    assert cli("fit", *SMALL, *AVERAGES).code == 0
    for option, value in (("max_epochs", "4"), ("max_time", "00:01:00:00")):
        line = refused(cli("fit", "--ckpt_path=last", f"--trainer.{option}={value}"))
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


def test_what_may_not_change(cli: CLI, kill: Any) -> None:
    schedule = ["--model.lr_scheduler=ExponentialLR", "--model.lr_scheduler.gamma=0.9"]
    kill(MLPClassifier, "training_step", 1, *SMALL, *schedule)
    held = Path("lightning_logs/version_0/config.yaml").read_text()
    Path("a.yaml").write_text("model: {activation: sigmoid}")
    for words in FIXED:
        line = refused(cli("fit", "--ckpt_path=last", *words.split()))
        assert "the run was begun with " in line
        assert line.startswith(
            "--model.activation" if "config" in words else words[:12]
        )
        assert Path("lightning_logs/version_0/config.yaml").read_text() == held


def test_what_may_change(cli: CLI, kill: Any) -> None:
    assert cli("fit", *SMALL).code == 0
    kill(MLPClassifier, "training_step", 30, *SMALL)
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
    assert_equal(state("moved/version_1"), state("moved/version_0"))
    assert_equal(curves("moved/version_1"), curves("moved/version_0"))
    config = yaml.safe_load(Path("moved/version_1/config.yaml").read_text())
    assert config["data"]["data_dir"] == "elsewhere"
    assert config["ckpt_path"] is None


def test_a_checkpoint_before_the_last_can_be_returned_to(cli: CLI, kill: Any) -> None:
    kill(
        MLPClassifier, "training_step", 25, *SMALL, "--checkpoint.every_n_train_steps=8"
    )
    run = Path("lightning_logs/version_0")
    last = run / "checkpoints" / "last.ckpt"
    kept = last.rename(last.with_name("kept.ckpt"))
    last.write_bytes(kept.read_bytes())
    assert cli("fit", "--ckpt_path=last").code == 0
    expected = state(run), curves(run)
    outcome = cli("fit", f"--ckpt_path={kept}")
    assert outcome.out.startswith(f"Continuing {run.absolute()} after step 24\n")
    assert_equal(state(run), expected[0])
    assert_equal(curves(run), expected[1])


def test_best_stays_the_best_of_the_whole_run(cli: CLI, kill: Any) -> None:
    words = [*SMALL, "--model.optimizer.lr=0.5", "--trainer.max_epochs=8"]
    kill(MLPClassifier, "training_step", 150, *words)
    best = Path("lightning_logs/version_0/checkpoints/best.ckpt")
    kept = torch.load(best, weights_only=True)["callbacks"]["Checkpoints"]["best_score"]
    assert cli("fit", "--ckpt_path=last").code == 0
    points = curves("lightning_logs/version_0")["val/acc"]
    top = max(value for _, value in points)
    checkpoint = torch.load(best, weights_only=True)
    assert checkpoint["callbacks"]["Checkpoints"]["best_score"] == top >= kept
    assert (checkpoint["global_step"] - 1, top) in points


def test_lower_limits_end_a_run(cli: CLI, kill: Any) -> None:
    kill(MLPClassifier, "training_step", 25, *SMALL)
    for limit in ("--trainer.max_epochs=1", "--trainer.max_steps=20"):
        outcome = cli("fit", "--ckpt_path=last", limit)
        assert outcome.out.startswith("lightning_logs/version_0 is finished: ")
    assert cli("fit", "--ckpt_path=last", "--trainer.max_epochs=2").code == 0
    assert state("lightning_logs/version_0")["global_step"] == 40


def test_stopped_by_the_clock_amid_an_accumulation(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SMALL, "--trainer.accumulate_grad_batches=3", "--data.val_size=0"]
    words += ["--trainer.limit_train_batches=20", "--trainer.max_time=00:01:00:00"]
    assert cli("fit", *words).code == 0
    original = MLPClassifier.training_step

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        self.trainer.should_stop = self.global_step == 9 and batch_idx % 3 == 1
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "training_step", step)
        assert cli("fit", *words).code == 0
    assert state("lightning_logs/version_1")["global_step"] == 9
    assert cli("fit", "--ckpt_path=last", "--trainer.max_time=00:02:00:00").code == 0
    assert_equal(state("lightning_logs/version_1"), state("lightning_logs/version_0"))
    assert_equal(curves("lightning_logs/version_1"), curves("lightning_logs/version_0"))


def test_an_exception_writes_nothing(cli: CLI, kill: Any) -> None:
    kill(MLPClassifier, "training_step", 25, *SMALL)
    folder = Path("lightning_logs/version_0/checkpoints")
    assert {path.name for path in folder.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert state("lightning_logs/version_0")["global_step"] == 20


def test_nan_stops_the_run_and_leaves_the_last_good_checkpoint(cli: CLI) -> None:
    words = [
        *SMALL,
        "--checkpoint.every_n_train_steps=1",
        "--trainer.log_every_n_steps=20",
    ]
    assert cli("fit", *words).code == 0
    good = state("lightning_logs/version_0")
    diverging = [
        "--model.optimizer.lr=1e6",
        "--data.val_size=1000",
        "--trainer.max_epochs=1",
    ]
    line = refused(cli("fit", *words, *diverging), code=1)
    assert line.startswith("the loss or a weight is no longer finite by step ")
    assert "learning rate 1e+06" in line
    last = Path("lightning_logs/version_1/checkpoints/last.ckpt")
    if last.exists():
        assert all(
            w.isfinite().all() for w in state(last.parents[1])["state_dict"].values()
        )
    assert_equal(state("lightning_logs/version_0"), good)
    line = refused(cli("fit", *SMALL, "--model.optimizer.lr=1e30"), code=1)
    assert "learning rate 1e+30" in line
    assert not Path("lightning_logs/version_2/checkpoints").exists()


COMMAND = [sys.executable, "-m", "mlp_lightning", "fit"]
ENDLESS = ["--trainer.max_epochs=1000", "--checkpoint.every_n_train_steps=50"]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert path.exists()


@pytest.mark.parametrize(
    ("kind", "delay"),
    [("dropout", 0.0), ("one cycle", 0.1), ("accumulation", 0.2), ("momentum", 0.3)],
)
def test_sigkill(kind: str, delay: float, workplace: Path, cli: CLI) -> None:
    words = [
        *KINDS[kind],
        "--trainer.max_epochs=1",
        "--checkpoint.every_n_train_steps=50",
    ]
    process = start(*words)
    wait_for(Path("lightning_logs/version_0/checkpoints/last.ckpt"), process)
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode != 0
    time.sleep(1)  # TensorBoard orders its files by the second
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *words).code == 0
    assert_equal(state("lightning_logs/version_0"), state("lightning_logs/version_1"))
    assert_equal(curves("lightning_logs/version_0"), curves("lightning_logs/version_1"))


def test_killed_before_its_first_checkpoint(workplace: Path, cli: CLI) -> None:
    words = ["--trainer.max_epochs=1", "--trainer.max_steps=300"]
    process = start(*words)
    wait_for(Path("lightning_logs/version_0"), process)
    assert (
        yaml.safe_load(Path("lightning_logs/version_0/config.yaml").read_text())[
            "ckpt_path"
        ]
        is None
    )
    process.kill()
    process.communicate(timeout=60)
    time.sleep(1)  # TensorBoard orders its files by the second
    assert not Path("lightning_logs/version_0/checkpoints").exists()
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *words).code == 0
    assert_equal(state("lightning_logs/version_0"), state("lightning_logs/version_1"))
    assert_equal(curves("lightning_logs/version_0"), curves("lightning_logs/version_1"))


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal(number: signal.Signals, code: int, workplace: Path, cli: CLI) -> None:
    steps = ["--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=100"]
    process = start(*ENDLESS, *steps)
    run = Path("lightning_logs/version_0")
    wait_for(run / "checkpoints" / "last.ckpt", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    again = f"python -m mlp_lightning fit --ckpt_path {run}"
    assert (
        err.splitlines()[-1]
        == f"python -m mlp_lightning: error: interrupted; to go on: {again}"
    )
    assert "Traceback" not in err
    stopped = state(run)["global_step"]
    assert stopped > 0
    time.sleep(1)  # TensorBoard orders its files by the second
    more = [f"--trainer.max_steps={stopped + 20}", "--trainer.max_epochs=1000"]
    assert cli("fit", f"--ckpt_path={run}", *more).code == 0
    assert cli("fit", *ENDLESS, *steps, *more).code == 0
    assert_equal(state(run), state("lightning_logs/version_1"))
    assert_equal(curves(run), curves("lightning_logs/version_1"))


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)
def test_a_signal_amid_validation_lets_it_end(
    cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MLPClassifier.validation_step

    def step(self: MLPClassifier, *args: Any) -> None:
        if self.global_step == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *args)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "validation_step", step)
        patch.setattr(
            signal, "SIG_DFL", signal.SIG_IGN
        )  # the validation has several batches
        line = refused(cli("fit", *SMALL), code=143)
    assert line.startswith("interrupted; to go on: ")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert state("lightning_logs/version_0")["global_step"] == 20
    assert [step for step, _ in curves("lightning_logs/version_0")["val/acc"]] == [19]
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *SMALL).code == 0
    assert_equal(state("lightning_logs/version_0"), state("lightning_logs/version_1"))
    assert_equal(curves("lightning_logs/version_0"), curves("lightning_logs/version_1"))


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)
def test_ctrl_c_while_it_starts(workplace: Path) -> None:
    process = start("--trainer.max_epochs=1000")  # else a fast machine is done with it
    time.sleep(2)  # Python itself is up by then
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith(
        "python -m mlp_lightning: error: interrupted"
    )
    assert "Traceback" not in err


def test_two_processes_go_on(shell: CLI, kill: Any, cli: CLI) -> None:
    two = ["--trainer.strategy=ddp", "--trainer.accelerator=cpu", "--trainer.devices=2"]
    words = [*SMALL, "--model.dropout=0.2", "--checkpoint.every_n_train_steps=7"]
    assert shell("fit", *words, *two).code == 0
    assert shell("fit", *words, *two, "--trainer.max_steps=33").code == 0
    assert shell("fit", "--ckpt_path=last", "--trainer.max_steps=-1").code == 0
    assert_equal(state("lightning_logs/version_1"), state("lightning_logs/version_0"))
    assert_equal(curves("lightning_logs/version_1"), curves("lightning_logs/version_0"))
