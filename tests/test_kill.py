"""A run that a signal ends goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import (
    SMALL_RUN,
    TWO_FORKS,
    RunCommand,
    assert_same_run,
    get_error_line,
    read_curves,
    read_state,
)

from mlp_lightning import MLPClassifier

RUN_0, RUN_1 = Path("lightning_logs/version_0"), Path("lightning_logs/version_1")
MOMENTUM = [
    "--model.optimizer=SGD",
    "--model.optimizer.lr=0.05",
    "--model.optimizer.momentum=0.9",
]
KINDS = {
    "dropout, augmentation and accumulation": [
        "--model.dropout=0.3",
        "--data.augmentation.rotation=15",
        "--trainer.accumulate_grad_batches=3",
    ],
    "momentum and one cycle, with pictures": [
        *MOMENTUM,
        "--model.lr_scheduler=OneCycleLR",
        "--model.lr_scheduler.max_lr=0.1",
        "--figures=true",
    ],
}
ENDLESS = ["--trainer.max_epochs=1000", "--checkpoint.every_n_train_steps=50"]
needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)


StartFit = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_fit(workplace: Path) -> Iterator[StartFit]:
    """Start `python -m mlp_lightning fit` with these words; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlp_lightning", "fit", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert path.exists()


@pytest.mark.kill
@pytest.mark.subprocess
@pytest.mark.parametrize(("kind", "delay"), list(zip(KINDS, (0.0, 0.2), strict=True)))
def test_sigkill(kind: str, delay: float, start_fit: StartFit, cli: RunCommand) -> None:
    words = [
        *KINDS[kind],
        "--trainer.max_epochs=1",
        "--checkpoint.every_n_train_steps=50",
    ]
    process = start_fit(*words)
    wait_for(RUN_0 / "checkpoints" / "last.ckpt", process)
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *words).code == 0
    assert_same_run(RUN_0, RUN_1)


@pytest.mark.kill
@pytest.mark.subprocess
def test_killed_before_its_first_checkpoint(
    start_fit: StartFit, cli: RunCommand
) -> None:
    words = ["--trainer.max_epochs=1", "--trainer.max_steps=300"]
    process = start_fit(*words)
    wait_for(RUN_0, process)
    config = yaml.safe_load((RUN_0 / "config.yaml").read_text())
    assert config["ckpt_path"] is None
    process.kill()
    process.communicate(timeout=60)
    assert not (RUN_0 / "checkpoints").exists()
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *words).code == 0
    assert_same_run(RUN_0, RUN_1)


@needs_signals
@pytest.mark.kill
@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal(
    number: signal.Signals, code: int, start_fit: StartFit, cli: RunCommand
) -> None:
    steps = ["--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=100"]
    process = start_fit(*ENDLESS, *steps)
    wait_for(RUN_0 / "checkpoints" / "last.ckpt", process)
    line = get_error_line(cli("fit", "--ckpt_path=last"))
    assert f"{RUN_0} is in use by process {process.pid}: " in line
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    again = f"python -m mlp_lightning fit --ckpt_path {RUN_0}"
    line = f"python -m mlp_lightning: error: interrupted; to go on: {again}"
    assert err.splitlines()[-1] == line
    assert "Traceback" not in err
    stopped = read_state(RUN_0)["global_step"]
    assert stopped > 0
    more = [f"--trainer.max_steps={stopped + 20}", "--trainer.max_epochs=1000"]
    assert cli("fit", f"--ckpt_path={RUN_0}", *more).code == 0
    assert cli("fit", *ENDLESS, *steps, *more).code == 0
    assert_same_run(RUN_0, RUN_1)


@needs_signals
@pytest.mark.kill
def test_a_signal_amid_validation_lets_it_end(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MLPClassifier.validation_step

    def step(self: MLPClassifier, *args: Any) -> Any:
        if self.global_step == 20:  # with each batch of the validation
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "validation_step", step)
        line = get_error_line(cli("fit", *SMALL_RUN), code=143)
    assert line.startswith("interrupted; to go on: ")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert read_state(RUN_0)["global_step"] == 20
    assert [step for step, _ in read_curves(RUN_0)["val/acc"]] == [19]
    assert cli("fit", "--ckpt_path=last").code == 0
    assert cli("fit", *SMALL_RUN).code == 0
    assert_same_run(RUN_0, RUN_1)


@needs_signals
@pytest.mark.kill
@pytest.mark.subprocess
def test_ctrl_c_while_it_starts(start_fit: StartFit) -> None:
    # a shorter run could end before the signal
    process = start_fit("--trainer.max_epochs=1000")
    time.sleep(2)  # Python itself is up by then
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = err.splitlines()[-1]
    assert line.startswith("python -m mlp_lightning: error: interrupted")
    assert "Traceback" not in err


@needs_signals
@pytest.mark.kill
@pytest.mark.stock
@pytest.mark.subprocess
def test_two_processes_go_on(start_fit: StartFit, shell: RunCommand) -> None:
    """The first process is told to stop, which knows little of what the others do."""
    words = [*ENDLESS, "--model.dropout=0.2", *TWO_FORKS]
    process = start_fit(*words)
    wait_for(RUN_0 / "checkpoints" / "last.ckpt", process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    (line,) = [line for line in err.splitlines() if "error" in line]
    assert line.endswith(f"to go on: python -m mlp_lightning fit --ckpt_path {RUN_0}")
    stopped = read_state(RUN_0)["global_step"]
    more = [f"--trainer.max_steps={stopped + 20}", "--trainer.max_epochs=1000"]
    assert shell("fit", f"--ckpt_path={RUN_0}", *more).code == 0
    assert shell("fit", *words, *more).code == 0
    assert_same_run(RUN_0, RUN_1)
