"""The fixtures that several test modules share."""

import os

# The tests run side by side, one process a core: more threads would only be in the way.
# torch reads this when it is imported; processes that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import (
    SHORT_RUN,
    Outcome,
    RunCommand,
    is_browser_installed,
    link_data,
    open_browser,
)
from torchvision.datasets.utils import check_integrity

from mlp_lightning import MNISTDataModule, datasets
from mlp_lightning.__main__ import main
from mlp_lightning.checkpoints import RunCheckpoint
from mlp_lightning.cli import MLPCLI

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("search") is None)


@pytest.fixture(scope="session", autouse=True)
def shared_parser() -> Iterator[None]:
    """Build the parser of the command line once for all tests, not for each command.

    To build it takes three quarters of the time of a command that is refused. Each
    command parses several times with one parser anyway; those from the shell have
    their own.
    """
    build = MLPCLI.setup_parser
    built: dict[str, Any] = {}

    def share(cli: MLPCLI, *options: Any) -> None:
        if not built:
            before = set(vars(cli)) - {"parsers"}  # which is there, and empty
            build(cli, *options)
            found = vars(cli).items()
            built.update({name: value for name, value in found if name not in before})
        else:
            cli.parsers.extend(built["parsers"])
            vars(cli).update({**built, "parsers": cli.parsers})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPCLI, "setup_parser", share)
        yield


@pytest.fixture(scope="session", autouse=True)
def known_checksums() -> Iterator[None]:
    """Compute the checksum of a file once, not for each command, until it changes.

    Each command verifies 55 MB of MNIST, and the folders of most tests share its files.
    """
    known: dict[tuple[object, ...], bool] = {}

    def check(path: Path, md5: str) -> bool:
        if not path.is_file():
            return False
        state = path.stat()
        key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, md5)
        if key not in known:
            known[key] = check_integrity(path, md5)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlp_lightning.downloads.check_integrity", check)
        yield


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Fail the test that changes torch's threads, and not one that comes after it.

    With another number of threads, the same training ends in other bits.
    """
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


@pytest.fixture(autouse=True)
def forget_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test without the seed that another test's command has set."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST, unpacked. To be read only: tests share its files."""
    folder = tmp_path_factory.mktemp("data")
    MNISTDataModule(str(folder)).prepare_data()
    return folder


@pytest.fixture
def workplace(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, but for `data`, which is there already."""
    monkeypatch.chdir(tmp_path)
    link_data(data_dir, tmp_path / "data")
    return tmp_path


@pytest.fixture
def garments(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's images in the place of Fashion-MNIST's, which would be downloaded."""
    names = datasets.DATASETS["FashionMNIST"].classes
    digits = datasets.DATASETS["MNIST"]
    images = dataclasses.replace(digits, classes=names)
    monkeypatch.setitem(datasets.DATASETS, "FashionMNIST", images)


@pytest.fixture
def cli(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> RunCommand:
    """Run `python -m mlp_lightning` with these words in this process."""
    # LightningCLI warns of pytest's words
    monkeypatch.setattr(sys, "argv", ["mlp_lightning"])

    def run(*words: str) -> Outcome:
        code: int | str | None = 0
        try:
            MLPCLI(list(words))
        except SystemExit as error:
            code = error.code
        assert isinstance(code, int)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def shell(workplace: Path) -> RunCommand:
    """Run `python -m mlp_lightning` with these words from the shell."""

    def run(*words: str) -> Outcome:
        command = [sys.executable, "-m", "mlp_lightning", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def trained_runs(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose lightning_logs/version_0 is the run of `fit` with SHORT_RUN."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mlp_lightning"])
        link_data(data_dir, folder / "data")
        MLPCLI(["fit", *SHORT_RUN])
    return folder / "lightning_logs"


@pytest.fixture
def short_run(trained_runs: Path, workplace: Path) -> Path:
    """A copy of the run of `fit` with SHORT_RUN, at lightning_logs/version_0.

    For tests of what comes after training. They may change it, as it is a copy.
    """
    shutil.copytree(trained_runs, "lightning_logs")
    return Path("lightning_logs", "version_0")


@pytest.fixture(scope="session")
def lesson_path(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """The lesson, as the command writes it without any settings."""
    path = tmp_path_factory.mktemp("lesson") / "lesson.html"
    main(["lesson", f"--output={path}", f"--data.data_dir={data_dir}"])
    return path


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """A headless Chromium. It keeps its settings from test to test."""
    if not is_browser_installed():
        pytest.skip("there is no Chromium with its chromedriver")
    with open_browser() as driver:
        yield driver


class Killed(BaseException):
    """As sudden as SIGKILL, within one process."""


@pytest.fixture
def kill(cli: RunCommand, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run `fit`, but die in the hook of a class as soon as so many steps are done."""

    def run(cls: type, hook: str, step: int, *words: str) -> None:
        original = getattr(cls, hook)

        def die(self: Any, *args: Any, **kwargs: Any) -> Any:
            trainer = args[0] if cls is RunCheckpoint else self.trainer
            if trainer.global_step >= step:
                raise Killed
            return original(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(cls, hook, die)
            with pytest.raises(Killed):
                cli("fit", *words)

    return run
