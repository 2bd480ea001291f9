"""What one process must not do while another one is at work in the same folder."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from support import SHORT_RUN, RunCommand, get_error_line

from mlp_lightning import MLPClassifier, locks
from mlp_lightning.errors import SettingError
from mlp_lightning.locks import RunInUseError, lock_run, make_scratch

RUN = Path("lightning_logs/version_0")


def list_files(run: Path) -> set[Path]:
    return set(run.rglob("*"))


@pytest.mark.parametrize("given", ["last", f"{RUN}/checkpoints/best.ckpt"])
def test_a_run_in_training_cannot_be_continued(
    given: str, short_run: Path, cli: RunCommand
) -> None:
    with lock_run(short_run):
        before = list_files(short_run)
        words = ("fit", f"--ckpt_path={given}", "--trainer.max_epochs=9")
        line = get_error_line(cli(*words))
        process = f"process {os.getpid()}"
        advice = "wait for it, or stop it"
        assert line.startswith("--ckpt_path: ")
        assert line.endswith(f"{RUN} is in use by {process}: {advice}")
        assert list_files(short_run) == before


def test_a_test_leaves_a_run_in_training_as_it_is(
    short_run: Path, cli: RunCommand
) -> None:
    with lock_run(short_run):
        before = list_files(short_run)
        outcome = cli("test")
        assert outcome.code == 0
        assert f"{RUN} is in use by another process" in outcome.out
        assert list_files(short_run) == before


def test_no_logger_of_a_test_writes_into_a_run_in_training(
    short_run: Path, cli: RunCommand
) -> None:
    with lock_run(short_run):
        before = list_files(short_run)
        line = get_error_line(cli("test", "--trainer.logger=CSVLogger"))
        assert f"{RUN} is in use by process {os.getpid()}: " in line
        assert list_files(short_run) == before


@pytest.mark.parametrize(("nodes", "is_first"), [(1, True), (2, False)])
def test_the_first_node_has_the_lock_for_all(
    nodes: int,
    is_first: bool,
    short_run: Path,
    cli: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # as before there is a Trainer
    with lock_run(short_run):
        options = [f"--ckpt_path={RUN}", f"--trainer.num_nodes={nodes}"]
        outcome = cli("fit", *options)
    if is_first:
        assert f"{RUN} is in use by process {os.getpid()}: " in get_error_line(outcome)
    else:
        assert outcome.out.startswith(f"{RUN} is finished: ")


@contextmanager
def start_node(rank: int, port: int, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command on one of two nodes, as Lightning's own guide does."""
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlp_lightning", *words],
        env={**os.environ, **places, "NODE_RANK": f"{rank}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.stock
@pytest.mark.usefixtures("workplace")
def test_two_nodes_go_on_together() -> None:
    nodes = ["--trainer.strategy=ddp", "--trainer.devices=1", "--trainer.num_nodes=2"]
    first = [*SHORT_RUN, *nodes, "--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
    for words in (first, [f"--ckpt_path={RUN}", "--trainer.max_epochs=2"]):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        first_node = start_node(0, port, "fit", *words)
        with first_node as one, start_node(1, port, "fit", *words) as other:
            assert one.wait(timeout=60) == 0
            assert other.wait(timeout=60) == 0
    assert len(list(RUN.glob("events*"))) == 2  # of the first node


@pytest.mark.stock
@pytest.mark.usefixtures("workplace")
def test_a_node_that_waits_for_another_one_can_be_stopped() -> None:
    nodes = ["--trainer.strategy=ddp", "--trainer.devices=1", "--trainer.num_nodes=2"]
    words = [*SHORT_RUN, *nodes, "--trainer.accelerator=cpu"]
    with start_node(1, 9, "fit", *words) as process:  # nobody listens on port 9
        time.sleep(10)
        process.terminate()
        assert process.wait(timeout=10) == -signal.SIGTERM


def test_a_run_in_training_can_be_read(short_run: Path, cli: RunCommand) -> None:
    with lock_run(short_run):
        assert cli("predict", "--trainer.limit_predict_batches=1").code == 0
        assert cli("export", f"--output={RUN}/it.html").code == 0


def test_whatever_ends_a_command_frees_its_run(short_run: Path) -> None:
    with pytest.raises(KeyboardInterrupt), lock_run(short_run):
        raise KeyboardInterrupt
    with lock_run(short_run):
        pass


def test_a_file_system_without_locks_refuses_nobody(
    short_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    library, function = ("msvcrt", "locking") if os.name == "nt" else ("fcntl", "flock")
    monkeypatch.setattr(f"mlp_lightning.locks.{library}.{function}", lack_locks)
    with lock_run(short_run), lock_run(short_run):
        pass


def test_a_new_file_of_tensorboards_comes_after_the_others(tmp_path: Path) -> None:
    made = int(time.time())
    (tmp_path / f"events.out.tfevents.{made:010d}.host.9.0").touch()
    with lock_run(tmp_path):
        assert int(time.time()) > made
    began = time.monotonic()
    with lock_run(tmp_path):
        assert time.monotonic() - began < 0.5


def test_scratch_that_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    left = folder / f"{locks.SCRATCH_PREFIX}left"
    left.mkdir(parents=True)
    (left / "file").touch()
    with make_scratch(folder) as scratch:
        assert os.listdir(folder) == [Path(scratch).name]
    assert os.listdir(folder) == []


def test_scratch_of_a_process_at_work_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    names: list[str] = []

    def work() -> None:
        with make_scratch(folder) as scratch:
            names.append(scratch)

    thread = threading.Thread(target=work)
    with make_scratch(folder) as scratch:
        thread.start()
        time.sleep(3 * locks.SECONDS_BETWEEN_TRIES)
        assert os.listdir(folder) == [Path(scratch).name]
        assert not names
    thread.join()
    assert len(names) == 1


def test_a_test_with_a_logger_keeps_the_run_for_itself(
    short_run: Path, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logger writes into the run until it ends; so does its result."""
    test = MLPClassifier.on_test_epoch_start

    def try_to_train(model: MLPClassifier) -> None:
        with pytest.raises(RunInUseError), lock_run(short_run):
            pass
        test(model)

    monkeypatch.setattr(MLPClassifier, "on_test_epoch_start", try_to_train)
    outcome = cli("test", "--trainer.logger=CSVLogger")
    assert outcome.code == 0, outcome.err
    assert (short_run / "test.json").exists()
    with lock_run(short_run):
        pass


def test_another_refusal_is_not_taken_for_a_lock(
    short_run: Path, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SettingError("logger: has no room")

    monkeypatch.setattr(TensorBoardLogger, "log_metrics", refuse)
    line = get_error_line(cli("test", "--figures=false"))
    assert line == "--trainer.logger: has no room"
