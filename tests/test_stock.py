"""Whatever Lightning's users bring along works, or is refused in one line."""

import os
import shlex
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from stock import PLAIN, ROWS, Row, find_stock
from support import RunCommand, assert_equal, get_error_line, read_curves, read_state

from mlp_lightning import MLPClassifier
from mlp_lightning.runs import list_runs

# Two epochs of four steps, each of them logged.
TINY_RUN = [
    "--data.val_size=59744",
    "--trainer.accelerator=cpu",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=2",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--figures=false",
]


class Killed(BaseException):
    """As sudden as SIGKILL, within one process."""


@pytest.fixture(autouse=True)
def no_process_group() -> Iterator[None]:
    """Leave torch.distributed, and the variables that start it, as they were."""
    before = dict(os.environ)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def make_parameters() -> list[Any]:
    """Return the rows with the marks of their tests."""
    parameters = []
    for row in ROWS:
        name = row.describe()
        marks = []
        if not any(part in name for part in PLAIN):
            marks.append(pytest.mark.stock)
        parameters.append(pytest.param(row, id=name, marks=marks))
    return parameters


def test_the_table_has_all_that_lightning_brings_and_nothing_else() -> None:
    names = {row.name for row in ROWS if not row.name.startswith("model.")}
    assert names == find_stock()
    counts = Counter(row.describe() for row in ROWS)
    assert counts.most_common(1)[0][1] == 1
    for part in PLAIN:
        assert any(part in name for name in counts), part


def test_what_may_be_an_object_is_written_by_its_name(cli: RunCommand) -> None:
    words = ["--trainer.callbacks+=ModelPruning"]
    words += ["--trainer.callbacks.pruning_fn=l1_unstructured"]
    words += ["--trainer.callbacks+=StochasticWeightAveraging"]
    words += ["--trainer.callbacks.swa_lrs=0.01"]
    outcome = cli("fit", *words, "--print_config")
    config = yaml.safe_load(outcome.out)
    pruning, averaging = (one["init_args"] for one in config["trainer"]["callbacks"])
    assert pruning["pruning_fn"] == "l1_unstructured"
    assert averaging["device"] == "cpu"
    assert outcome.err == ""


def test_one_batch_is_not_all_of_them(cli: RunCommand) -> None:
    words = ["limit_train_batches", "limit_val_batches", "overfit_batches"]
    options = [f"--trainer.{word}=1" for word in words]
    config = yaml.safe_load(cli("fit", *options, "--print_config").out)
    for word in words:
        assert isinstance(config["trainer"][word], int)


def test_a_spike_is_a_failure(cli: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*TINY_RUN, "--trainer.callbacks+=SpikeDetection"]
    original = MLPClassifier.training_step

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        return loss * 100 if batch_idx == 3 else loss

    monkeypatch.setattr(MLPClassifier, "training_step", step)
    line = get_error_line(cli("fit", *words), code=1)
    assert line == "Training spike detected in batch 3"


@pytest.mark.parametrize("row", make_parameters())
def test_stock(
    row: Row,
    cli: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if row.skipped:
        pytest.skip(row.skipped)
    if row.warning:
        warnings.filterwarnings("ignore", row.warning)
    words = [*TINY_RUN, *shlex.split(row.words)]
    outcome = cli("fit", *words)
    if row.refused:
        assert row.refused in get_error_line(outcome)
        assert not list_runs(None)
        return
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    if not row.keeps_run:
        return
    if row.stop_at:
        kill_fit(row, words, cli, monkeypatch)
        capfd.readouterr()  # the last words of a forked process
        check_resumption(cli)
    outcome = cli("test", *words)
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    assert "test/acc" in outcome.out


def kill_fit(
    row: Row, words: list[str], cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begin the same run once more, and kill it amid an epoch."""
    original = MLPClassifier.training_step
    batches = 0

    def step(self: MLPClassifier, batch: Any, batch_idx: int) -> torch.Tensor:
        nonlocal batches
        batches += 1
        if batches == row.stop_at:
            raise Killed
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "training_step", step)
        # A process that the strategy has forked dies in the place of this one.
        with suppress(Killed):
            outcome = cli("fit", *words, "--checkpoint.every_n_train_steps=1")
            assert outcome.code == 1


def check_resumption(cli: RunCommand) -> None:
    """Go on with the run that was killed, and compare it with the one before it."""
    outcome = cli("fit", "--ckpt_path=last")
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    assert "Continuing lightning_logs/version_1 after step " in outcome.out
    resumed, whole = list_runs(None)
    assert_equal(read_state(resumed), read_state(whole))
    assert_equal(read_own_curves(resumed), read_own_curves(whole))
    assert [path.name for path in sorted(whole.glob("checkpoints/*"))] == [
        path.name for path in sorted(resumed.glob("checkpoints/*"))
    ]


def read_own_curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the curves of the project, not those of a callback that measures time."""
    curves = read_curves(run)
    own = ("train/l", "val/", "val_acc/")
    return {tag: curves[tag] for tag in curves if tag.startswith(own)}
