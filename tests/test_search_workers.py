"""Whole studies, whose workers are killed: no trial is lost, and none is drawn anew."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool
from support import read_curves

from mlp_lightning.runs import read_checkpoint
from mlp_lightning.search.records import ENDED, RUN, list_trials
from mlp_lightning.search.trials import TOKEN_NAME

pytestmark = [
    pytest.mark.search,
    pytest.mark.subprocess,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

CHECKPOINT_STEPS = 5
BASE = {
    "data": {"val_size": 58740},
    "trainer": {"limit_val_batches": 3, "max_epochs": 4, "log_every_n_steps": 1},
    "checkpoint": {"every_n_train_steps": CHECKPOINT_STEPS},
    "figures": False,
}
SPACE = {
    "model.optimizer": {"choices": ["SGD", "Adam"]},
    "model.optimizer.init_args.lr": {"low": 0.001, "high": 1, "log": True},
    "model.optimizer.init_args.momentum": {
        "low": 0,
        "high": 0.95,
        "when": {"model.optimizer": "SGD"},
    },
    "model.hidden_sizes": {
        "layers": {"low": 1, "high": 2},
        "units": {"low": 4, "high": 32, "log": True},
    },
}
PROGRAM = [sys.executable, "-m", "mlp_lightning"]
POSTGRES = Path("/usr/lib/postgresql")
Search = subprocess.Popen[str]
StartSearch = Callable[..., Search]


def write_study(folder: Path, **values: Any) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = folder / "study.yaml"
    study = {"config": "base.yaml", "space": SPACE, **values}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@pytest.fixture
def start_search(workplace: Path) -> Iterator[StartSearch]:
    """Start `python -m mlp_lightning search`; it ends with the test."""
    started: list[Search] = []

    def start(*words: object) -> Search:
        process = subprocess.Popen(
            [*PROGRAM, "search", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def list_workers(search: Search) -> list[int]:
    """Return the processes that a search has started."""
    path = Path(f"/proc/{search.pid}/task/{search.pid}/children")
    return [int(word) for word in path.read_text().split()]


def finish(search: Search) -> str:
    """Wait for the end, and return what was printed."""
    out, err = search.communicate(timeout=500)
    assert search.returncode == 0, (out, err)
    assert "Traceback" not in err
    return out


def load(name: str = "study", storage: str = "") -> optuna.Study:
    url = storage or f"sqlite:///lightning_logs/search_{name}/study.db"
    options = {"poolclass": NullPool}  # which leaves no connection open
    opened = RDBStorage(url, options, skip_table_creation=True)
    return optuna.load_study(study_name=name, storage=opened)


def count_ended(storage: str = "") -> int:
    """Return how many trials of the study have ended, 0 if there is none yet."""
    with suppress(Exception):
        return len(load(storage=storage).get_trials(deepcopy=False, states=ENDED))
    return 0


def wait_for_trials(search: Search, count: int) -> None:
    deadline = time.monotonic() + 300
    while count_ended() < count and time.monotonic() < deadline:
        assert search.poll() is None, search.communicate()
        time.sleep(0.1)
    assert count_ended() >= count


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def describe(trial: FrozenTrial) -> dict[str, Any]:
    """Return all of a trial that is the same however often it is killed."""
    return {
        "params": trial.params,
        "state": trial.state,
        "value": trial.value,
        "reported": trial.intermediate_values,
        "outcome": trial.user_attrs.get("outcome"),
        "index": trial.user_attrs["index"],
        "loss": read_curves(trial.user_attrs[RUN])["train/loss"],
        "weights": read_weights(Path(trial.user_attrs[RUN])),
    }


def read_weights(run: Path) -> dict[str, bytes]:
    """Return the last weights of a run, bit for bit."""
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    weights = checkpoint["state_dict"].items()
    return {name: tensor.numpy().tobytes() for name, tensor in weights}


def read_steps(file: Path, folder: Path) -> list[int]:
    """Return the optimizer steps that one file of a run's curves has."""
    folder.mkdir(parents=True)
    shutil.copy(file, folder)
    points = read_curves(folder).get("train/loss", [])
    return [step for step, _ in points]


def check_resumption(run: Path, scratch: Path) -> None:
    """Check that no process has trained what was saved before it went on."""
    last = -1  # the last step that was saved
    for number, file in enumerate(sorted(run.glob("events.out.*"))):
        steps = read_steps(file, scratch / run.name / str(number))
        if steps:
            assert min(steps) > last - CHECKPOINT_STEPS
            last = max(steps)


def check_trials(study: optuna.Study, count: int, scratch: Path) -> None:
    """Check that a study has so many trials, each of them with one run."""
    trials = list_trials(study)
    assert len(trials) == count
    assert {trial.state for trial in trials} <= set(ENDED)
    assert {trial.user_attrs["index"] for trial in trials} == set(range(count))
    assert study.get_trials(states=(TrialState.FAIL,))  # those that were interrupted
    runs = {Path(trial.user_attrs[RUN]) for trial in trials}
    assert len(runs) == count
    assert {path.parent for path in Path().glob(f"*/*/{TOKEN_NAME}")} == runs
    for run in runs:
        check_resumption(run, scratch)


def test_both_workers_are_killed_twice(
    start_search: StartSearch, workplace: Path
) -> None:
    generator = random.Random(0)
    path = write_study(workplace, trials=30, pruner="hyperband")
    search = start_search(path, "--workers=2")
    for count in (3, 10):
        wait_for_trials(search, count)
        for worker in list_workers(search):
            time.sleep(generator.uniform(0, 2))
            kill(worker)
        time.sleep(generator.uniform(0, 2))
    # once more, with the process that would start new ones
    wait_for_trials(search, 20)
    workers = list_workers(search)
    search.kill()
    for worker in workers:
        kill(worker)
    out = finish(start_search(path, "--workers=2"))
    assert "30 trials: " in out
    check_trials(load(), 30, workplace / "scratch")
    best = Path("lightning_logs/search_study/best.yaml")
    assert yaml.safe_load(best.read_text())["model"]["hidden_sizes"]


def test_a_study_killed_twice_is_that_of_one_left_alone(
    start_search: StartSearch, workplace: Path
) -> None:
    generator = random.Random(1)
    path = write_study(workplace, trials=10, seed=7)
    finish(start_search(path))
    expected = [describe(trial) for trial in list_trials(load())]
    assert {trial["state"] for trial in expected} == set(ENDED)
    shutil.rmtree("lightning_logs")
    search = start_search(path)
    wait_for_trials(search, 3)
    path.write_text("trials: 1")  # a worker has what was checked
    (workplace / "base.yaml").write_text("figures: true")
    time.sleep(generator.uniform(0, 2))
    for worker in list_workers(search):
        kill(worker)
    wait_for_trials(search, 7)
    time.sleep(generator.uniform(0, 2))
    search.kill()  # the worker stops by itself
    search.wait()
    write_study(workplace, trials=10, seed=7)
    finish(start_search(path))
    study = load()
    assert [describe(trial) for trial in list_trials(study)] == expected
    assert study.get_trials(states=(TrialState.FAIL,))


def test_ctrl_c_and_minutes(start_search: StartSearch, workplace: Path) -> None:
    path = write_study(workplace, trials=400)
    search = start_search(path, "--workers=2")
    wait_for_trials(search, 2)
    search.send_signal(signal.SIGINT)
    _, err = search.communicate(timeout=100)
    assert search.returncode == 130
    command = f"python -m mlp_lightning search {path} --workers 2"
    line = f"python -m mlp_lightning: error: interrupted; to go on: {command}"
    assert err.splitlines()[-1] == line
    assert "Traceback" not in err
    path = write_study(workplace, trials=400, minutes=0.05)
    out = finish(start_search(path, "--workers=2"))
    assert "0.05 minutes are over; to go on: " in out
    path = write_study(workplace, trials=2)
    out = finish(start_search(path))
    assert f"{count_ended()} trials: " in out
    page = Path("lightning_logs/search_study/search.html").read_text(encoding="utf-8")
    # The history of the study, what each setting matters, and the slices.
    assert page.count('class="plotly-graph-div"') == 3
    assert "<script src=" not in page


def find_postgres() -> Path | None:
    return next(iter(sorted(POSTGRES.glob("*/bin"), reverse=True)), None)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of a server that ends with the test."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("there is no server of PostgreSQL")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(f"/tmp/postgres-{os.getpid()}")  # a socket's path has to be short
    folder.mkdir()
    if user:
        shutil.chown(folder, "postgres")
    data = f"{folder}/data"
    make = [f"{programs}/initdb", "-A", "trust", "-U", "test", "-D", data]
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
    control = [*user, f"{programs}/pg_ctl", "-w", "-D", data]
    log = f"{folder}/log"
    try:
        subprocess.run([*user, *make], check=True, capture_output=True, cwd="/tmp")
        start = [*control, "-o", options, "-l", log, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd="/tmp")
        yield f"postgresql+psycopg://test@/postgres?host={folder}"
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd="/tmp")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_two_machines_share_a_study(
    postgres: str,
    start_search: StartSearch,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two commands in two folders, as on two machines without a common disk."""
    places = [workplace / name for name in ("one", "two")]
    searches = []
    for place in places:
        place.mkdir()
        shutil.copytree(workplace / "data", place / "data")
        path = write_study(place, trials=8, storage=postgres)
        monkeypatch.chdir(place)
        searches.append(start_search(path))
    # The first machine goes down, and with it the runs of its trials.
    while count_ended(postgres) < 3:
        assert searches[0].poll() is None, searches[0].communicate()
        time.sleep(0.1)
    workers = list_workers(searches[0])
    searches[0].kill()
    for worker in workers:
        kill(worker)
    out = finish(searches[1])
    assert "8 trials: " in out
    trials = list_trials(load(storage=postgres))
    assert len(trials) == 8
    counts = [len(list(place.glob(f"*/*/{TOKEN_NAME}"))) for place in places]
    assert all(counts)
