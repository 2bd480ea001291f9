"""What the tests share: MNIST unpacked once, and the command line in this process or outside."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mlp_lightning import MNISTDataModule
from mlp_lightning.cli import CLI

QUIET = {  # a Trainer that trains and does nothing else
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
SHORT = [  # pictures take longer than such a run
    *(
        "--trainer.limit_train_batches=5",
        "--trainer.log_every_n_steps=1",
        "--figures=false",
    )
]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def refused(outcome: Outcome, code: int = 2) -> str:
    """Return what is wrong, said in one line, without a traceback."""
    assert outcome.code == code, outcome
    (line,) = [line for line in outcome.err.splitlines() if "error" in line]
    assert line == outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    return line.removeprefix("python -m mlp_lightning: error: ")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    MNISTDataModule(str(folder)).prepare_data()
    return folder


@pytest.fixture
def workplace(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, but for `data`, which is there already."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data_dir, tmp_path / "data", copy_function=os.link)
    return tmp_path


@pytest.fixture
def cli(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run `python -m mlp_lightning` with these words in this process."""
    monkeypatch.setattr(
        sys, "argv", ["mlp_lightning"]
    )  # LightningCLI warns of pytest's words

    def run(*words: str) -> Outcome:
        code: int | str | None = 0
        try:
            CLI(list(words))
        except SystemExit as error:
            code = error.code
        assert isinstance(code, int)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def shell(workplace: Path) -> Callable[..., Outcome]:
    """Run `python -m mlp_lightning` with these words from the shell."""

    def run(*words: str) -> Outcome:
        command = [sys.executable, "-m", "mlp_lightning", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
