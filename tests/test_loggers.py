"""What loggers write: in the folder of the run, and in one history."""

import csv
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers.logger import DummyLogger
from support import SMALL_RUN, RunCommand, get_error_line, read_curves

from mlp_lightning import MLPClassifier
from mlp_lightning.loggers import read_rows

RUN_0 = Path("lightning_logs", "version_0")
RUN_1 = Path("lightning_logs", "version_1")
CSV = "--trainer.logger=CSVLogger"
Points = list[tuple[int, float]]


def read_csv(path: Path) -> dict[str, Points]:
    """Return the steps and values of each column of a metrics.csv."""
    curves: dict[str, Points] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, value in row.items():
                if value:
                    curves.setdefault(name, []).append((step, float(value)))
    return curves


def test_a_csv_goes_on_as_tensorboard_does(cli: RunCommand, kill: Any) -> None:
    """Killed within an epoch, both end with each step once."""
    words = [
        *SMALL_RUN,
        "--trainer.logger+=CSVLogger",
        "--trainer.logger+=TensorBoardLogger",
        "--checkpoint.every_n_train_steps=4",
    ]
    assert cli("fit", *words).code == 0
    kill(MLPClassifier, "training_step", 27, *words)
    before = read_csv(RUN_1 / "metrics.csv")
    assert before["train/loss"][-1][0] == 26  # dropped, and logged again
    assert cli("fit", "--ckpt_path", str(RUN_1)).code == 0
    whole = read_csv(RUN_0 / "metrics.csv")
    assert [step for step, _ in whole["train/loss"]] == list(range(60))
    assert [step for step, _ in whole["val/acc"]] == [19, 39, 59]
    assert read_csv(RUN_1 / "metrics.csv") == whole
    curves = read_curves(RUN_1)
    assert curves["train/loss"] == whole["train/loss"]
    assert curves == read_curves(RUN_0)
    files = {path.name for path in RUN_1.iterdir()}
    events = {path.name for path in RUN_1.glob("events.out.*")}
    named = {".lock", "checkpoints", "config.yaml", "hparams.yaml", "metrics.csv"}
    assert files == named | events
    # A test adds its row.
    assert cli("test", CSV).code == 0
    tested = read_csv(RUN_1 / "metrics.csv")
    assert tested.pop("test/acc")
    assert tested["train/loss"] == whole["train/loss"]


@pytest.mark.parametrize("logger", ["true", "TensorBoardLogger"])
def test_a_test_adds_one_point_to_the_curves(
    logger: str, short_run: Path, cli: RunCommand
) -> None:
    """Where the checkpoint is, whether the user names the run's logger or not."""
    assert cli("test", f"--trainer.logger={logger}", "--figures=false").code == 0
    curves = read_curves(short_run)
    assert [step for step, _ in curves["test/acc"]] == [curves["val/acc"][-1][0]]


def test_a_place_that_the_user_names(cli: RunCommand) -> None:
    """Its versions are Lightning's, and a run that goes on keeps the one it had."""
    words = [
        *SMALL_RUN,
        CSV,
        "--trainer.logger.save_dir=mine",
        "--trainer.max_epochs=1",
    ]
    place = Path("mine", "lightning_logs")
    for _ in range(2):
        assert cli("fit", *words).code == 0
    assert json.loads((RUN_1 / "loggers.json").read_text()) == {"CSVLogger": [1]}
    for run in (RUN_0, RUN_1):
        assert not (run / "metrics.csv").exists()
        assert cli("fit", "--ckpt_path", str(run), "--trainer.max_epochs=2").code == 0
    assert sorted(path.name for path in place.iterdir()) == ["version_0", "version_1"]
    for version in place.iterdir():
        losses = read_csv(version / "metrics.csv")["train/loss"]
        assert [step for step, _ in losses] == list(range(40))


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        (["name=mine"], "mine"),
        (["version=mine"], "mine"),
        (["name=mine", "version=0"], "mine/version_0"),
    ],
)
def test_a_name_is_a_folder_in_the_run(
    settings: list[str], folder: str, cli: RunCommand
) -> None:
    words = [f"--trainer.logger.{setting}" for setting in settings]
    logger = "--trainer.logger=TensorBoardLogger"
    short = [*SMALL_RUN, "--trainer.max_epochs=1"]
    assert cli("fit", *short, logger, *words).code == 0
    assert len(read_curves(RUN_0 / folder)["train/loss"]) == 20


def test_two_loggers_of_one_kind_keep_their_places(cli: RunCommand) -> None:
    """The one within the run is not taken for the other one when the run goes on."""
    own = "{class_path: CSVLogger, init_args: {save_dir: mine}}"
    Path("two.yaml").write_text(f"trainer: {{logger: [CSVLogger, {own}]}}")
    short = [*SMALL_RUN, "--trainer.max_epochs=1"]
    assert cli("fit", "--config=two.yaml", *short).code == 0
    assert json.loads((RUN_0 / "loggers.json").read_text()) == {"CSVLogger": [None, 0]}
    longer = ["--ckpt_path", str(RUN_0), "--trainer.max_epochs=2"]
    assert cli("fit", *longer).code == 0
    places = [RUN_0, *Path("mine", "lightning_logs").iterdir()]
    assert len(places) == 2
    for place in places:
        assert len(read_csv(place / "metrics.csv")["train/loss"]) == 40


class CountingLogger(DummyLogger):
    """A logger of a user's, without settings."""

    lines = 0

    def log_metrics(self, *_: Any, **__: Any) -> None:
        CountingLogger.lines += 1


def test_a_logger_of_the_users_own(cli: RunCommand) -> None:
    """It needs no settings, and a ModelCheckpoint beside it still writes to the run."""
    words = [
        *SMALL_RUN,
        "--trainer.max_epochs=1",
        "--trainer.logger=test_loggers.CountingLogger",
        "--trainer.callbacks+=ModelCheckpoint",
    ]
    assert cli("fit", *words).code == 0
    assert CountingLogger.lines == 20 + 1
    names = sorted(path.name for path in (RUN_0 / "checkpoints").iterdir())
    assert names == ["best.ckpt", "epoch=0-step=20.ckpt", "last.ckpt"]
    assert sorted(path.name for path in Path().iterdir()) == ["data", "lightning_logs"]


def test_a_csv_survives_a_kill_while_it_is_taken_over(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always one whole file, and the next process finds it."""
    words = [*SMALL_RUN, CSV, "--trainer.max_epochs=1"]
    assert cli("fit", *words).code == 0
    file = RUN_0 / "metrics.csv"
    rows = read_csv(file)
    file.rename(RUN_0 / "metrics.csv.old")
    file.write_text("epoch,step\n")  # as far as the killed process came
    longer = ["--ckpt_path", str(RUN_0), "--trainer.max_epochs=2"]
    assert cli("fit", *longer).code == 0
    losses = read_csv(file)["train/loss"]
    assert losses[:20] == rows["train/loss"]
    assert len(losses) == 40
    assert not (RUN_0 / "metrics.csv.old").exists()


def test_an_unfinished_row_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss\n0,0,1.5\n0,1,1.25\n0,2,1.0\n0")
    expected = [{"epoch": "0", "step": "0", "train/loss": "1.5"}]
    assert read_rows(path, 1) == expected


def kill_amid_training(*words: str) -> None:
    """Run `fit` in a process of its own, and kill it after its second epoch."""
    command = [sys.executable, "-m", "mlp_lightning", "fit", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        last = RUN_0 / "checkpoints" / "last.ckpt"
        while not last.exists():
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(process.stderr.read().decode())
            time.sleep(0.02)
        time.sleep(0.5)  # W&B writes every 0.1 s
        os.kill(process.pid, signal.SIGKILL)


LOGGED = [
    "--trainer.limit_train_batches=40",
    "--trainer.max_epochs=100",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.mark.stock
@pytest.mark.kill
# SQLAlchemy warns of what MLflow asks it.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_mlflow_has_every_step_of_one_run(shell: RunCommand) -> None:
    """Steps after the checkpoint are there twice: the later value counts."""
    tracking = pytest.importorskip("mlflow.tracking")
    kill_amid_training(*LOGGED, "--trainer.logger=MLFlowLogger")
    resumed = shell("fit", "--ckpt_path", "last", "--trainer.max_epochs=6")
    assert resumed.code == 0, resumed.err
    client = tracking.MlflowClient(f"sqlite:///{RUN_0}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name != 'Default'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "version_0"
    assert run.data.params["max_epochs"] == "100"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert {point.step for point in history} == set(range(240))
    scores = client.get_metric_history(run.info.run_id, "val/acc")
    assert {point.step for point in scores} == set(range(39, 240, 40))
    # What is there twice has the same value.
    assert len({(point.step, point.value) for point in history}) == 240
    images = RUN_0 / "mlartifacts" / run.info.run_id / "artifacts" / "images"
    assert len(list(images.glob("images~training+step+0+*.png"))) == 1
    assert len(list(images.glob("images~confusion+step+239+*.png"))) == 1


@pytest.mark.stock
def test_mlflow_keeps_what_it_has(shell: RunCommand) -> None:
    """Neither a second test nor a second logger takes anything away."""
    words = [*SMALL_RUN, "--trainer.max_epochs=1"]
    assert shell("fit", *words).code == 0
    logger = "--trainer.logger=MLFlowLogger"
    for _ in range(2):
        assert shell("test", logger).code == 0
    resumed = shell("fit", "--ckpt_path=last", "--trainer.max_epochs=2", logger)
    assert resumed.code == 0, resumed.err
    with sqlite3.connect(RUN_0 / "mlflow.db") as database:
        rows = database.execute("SELECT run_uuid, key, step FROM metrics").fetchall()
    assert len({run for run, _, _ in rows}) == 1
    assert [key for _, key, _ in rows].count("test/acc") == 2
    steps = {step for _, key, step in rows if key == "train/loss"}
    assert steps == set(range(20, 40))


def read_wandb(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file, which is a log as LevelDB writes it."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    position = 7  # behind the file's header
    whole = b""
    while position + 7 <= len(data):
        left_of_block = 32_768 - position % 32_768
        if left_of_block < 7:
            position += left_of_block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        position += 7
        whole += data[position : position + size]
        position += size
        if kind in (1, 4):  # whole in itself, or the last part
            # Protobuf makes its classes when it is imported.
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(whole)
            whole = b""
            yield record


@pytest.mark.stock
@pytest.mark.kill
def test_wandb_has_every_step_under_one_id(shell: RunCommand) -> None:
    """Each start writes a segment, whose steps may overlap the one before."""
    pytest.importorskip("wandb")
    offline = ["--trainer.logger=WandbLogger", "--trainer.logger.offline=true"]
    kill_amid_training(*LOGGED, *offline)
    resumed = shell("fit", "--ckpt_path", "last", "--trainer.max_epochs=6")
    assert resumed.code == 0, resumed.err
    (identity,) = json.loads((RUN_0 / "loggers.json").read_text())["WandbLogger"]
    segments = sorted(RUN_0.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(segments) == 2
    steps: set[int] = set()
    for segment in segments:
        for record in read_wandb(segment):
            if record.HasField("run"):
                assert record.run.run_id == identity
                assert record.run.display_name == "version_0"
            items = {item.nested_key[0]: item for item in record.history.item}
            if "train/loss" in items:
                steps.add(json.loads(items["trainer/global_step"].value_json))
    assert steps == set(range(240))
    media = "wandb/offline-run-*/files/media/images/images"
    assert len(list(RUN_0.glob(f"{media}/training_*.png"))) == 1
    assert len(list(segments[1].parent.glob("files/**/confusion_*.png"))) >= 1


@pytest.mark.stock
@pytest.mark.parametrize("command", ["fit", "test"])
def test_wandb_without_a_key_is_refused(
    command: str, short_run: Path, shell: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    words = SMALL_RUN if command == "fit" else []
    refused = shell(command, *words, "--trainer.logger=WandbLogger")
    line = get_error_line(refused)
    assert line.startswith("--trainer.logger: WandbLogger cannot begin, No API key")
    assert not RUN_1.exists()
