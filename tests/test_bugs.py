"""A bug of this package keeps its type, its traceback and what was written.

Each test plants a bug into a function of the package: not the user's mistake, though it
may be of the same type. It has to come out of the program as it is, and no run and no
checkpoint may be lost by it.
"""

import gc
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from support import RunCommand, get_function, plant_bug

from mlp_lightning import (
    MLP,
    MLPClassifier,
    MNISTDataModule,
    checks,
    digits,
    drawing,
    export,
    handwriting,
    hardware,
    mlp,
    pictures,
    results,
    runs,
    schedules,
    start,
    webpage,
)
from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import TensorBatches
from mlp_lightning.callbacks import StepCallback
from mlp_lightning.checkpoints import RunCheckpoint
from mlp_lightning.cli import MLPCLI
from mlp_lightning.downloads import DownloadedImages
from mlp_lightning.export import ExportedClassifier
from mlp_lightning.figures import Figures
from mlp_lightning.handwriting import PictureLoader
from mlp_lightning.predictions import Predictions
from mlp_lightning.results import Results

# files that a bug leaves open
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

# Statements that raise an error, as a slip of ours would.
UNPACK_BATCH = "images, labels, extra = batch"  # ValueError
UNPACK_BATCH_OF_THREE = "images, labels, origin = batch"  # ValueError
UNPACK = "one, two, three = 'of'"  # ValueError
CONVERT = "int('ours')"  # ValueError
COUNT = "len(None)"  # TypeError
COMPUTE = "raise RuntimeError('ours')"
LOOK_UP = "{}['ours']"  # KeyError
ERRORS = {
    UNPACK_BATCH: (ValueError, "not enough values to unpack"),
    UNPACK_BATCH_OF_THREE: (ValueError, "not enough values to unpack"),
    UNPACK: (ValueError, "not enough values to unpack"),
    CONVERT: (ValueError, "invalid literal for int"),
    COUNT: (TypeError, "has no len"),
    COMPUTE: (RuntimeError, "ours"),
    LOOK_UP: (KeyError, "ours"),
}


class Bug(NamedTuple):
    """A place for a bug, as `plant_bug` takes it, and a command that meets it there."""

    owner: Any
    name: str
    statement: str
    words: str = ""  # of the command, or besides `fit`
    before: str = ""
    after: str = ""

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plant_bug(
            monkeypatch,
            self.owner,
            self.name,
            self.statement,
            before=self.before,
            after=self.after,
        )


@pytest.fixture(scope="module", autouse=True)
def freeze_imports() -> Iterator[None]:
    """Spare the garbage collector, after each test, what was there before them."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def close_files() -> Iterator[None]:
    """Let Python close, in the test itself, the files that a bug has left open."""
    yield
    gc.collect()


def describe(bug: Bug) -> str:
    """Name a bug in the list of tests."""
    owner = bug.owner.__name__.removeprefix("mlp_lightning.")
    before = f" before {bug.before}" if bug.before else ""
    after = f" after {bug.after}" if bug.after else ""
    return f"{owner}.{bug.name}{before}{after}: {bug.statement}"


def meet(bug: Bug, cli: RunCommand, *words: str) -> None:
    """Run a command, and check that the bug comes out of it as it is."""
    error, message = ERRORS[bug.statement]
    with pytest.raises(error, match=message) as caught:
        cli(*words)
    assert type(caught.value) is error
    function = get_function(bug.owner, bug.name)
    last = caught.traceback[-1]
    assert (str(last.path), last.name) == (inspect.getfile(function), function.__name__)


def read_files(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


TWO_STEPS = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",  # 1 would be read as 1.0, which is all
    "--trainer.limit_val_batches=2",
    "--trainer.log_every_n_steps=1",
]
AUGMENTED = "--data.augmentation.rotation=15"
SCHEDULED = "--model.lr_scheduler=StepLR --model.lr_scheduler.step_size=1"
WIDE = "--model.hidden_sizes=[2048]"
BFLOAT16 = "--trainer.precision=bf16-mixed"
NEW_DATA = "--data.data_dir=new"
RESUME = "fit --ckpt_path=last --trainer.max_epochs=6"
PREDICT = "predict --data.images=3.png"
EXPORT = "export --output=it"

# Met by `fit` when the run has its folder.
BUGS_IN_A_RUN = [
    Bug(MLPClassifier, "training_step", UNPACK_BATCH),
    Bug(MLPClassifier, "training_step", COUNT),
    Bug(MLPClassifier, "validation_step", COMPUTE),
    Bug(MLPClassifier, "log_accuracies", COUNT),
    Bug(MLPClassifier, "configure_optimizers", CONVERT),
    Bug(StepCallback, "on_train_batch_start", COMPUTE),
    Bug(StepCallback, "on_train_batch_end", CONVERT),
    Bug(MNISTDataModule, "prepare_data", COUNT),
    Bug(DownloadedImages, "unpack", COMPUTE, NEW_DATA, before="call_torchvision("),
    Bug(DownloadedImages, "unpack", COMPUTE, NEW_DATA, after="call_torchvision("),
    Bug(MNISTDataModule, "setup", CONVERT),
    Bug(MNISTDataModule, "train_dataloader", COUNT),
    Bug(MNISTDataModule, "on_after_batch_transfer", UNPACK_BATCH_OF_THREE),
    Bug(TensorBatches, "__iter__", CONVERT),
    Bug(Augmentation, "__call__", COMPUTE, AUGMENTED),
    Bug(mlp, "normalise", CONVERT),
    Bug(Figures, "on_validation_batch_end", CONVERT),
    Bug(drawing, "image_grid", COMPUTE),
    Bug(RunCheckpoint, "on_train_batch_start", COMPUTE),
    Bug(RunCheckpoint, "on_validation_end", COUNT),
    Bug(RunCheckpoint, "save", CONVERT),
    Bug(MLPCLI, "count_threads", CONVERT),
    Bug(hardware, "choose_threads", COUNT),
    Bug(hardware, "use_threads", CONVERT),
    Bug(hardware, "announce_threads", COMPUTE),
    Bug(hardware, "count_cores", CONVERT, WIDE),
    Bug(hardware, "read_cpu_quota", UNPACK, WIDE),
    Bug(MLPCLI, "open_run", CONVERT, after="make_run("),
    Bug(MLPCLI, "open_run", COUNT, before="write_hparams("),
    Bug(MLPCLI, "fit", COMPUTE, after="trainer.fit("),
]
# Met by `fit` before there is a folder.
BUGS_BEFORE_A_RUN = [
    Bug(MLPClassifier, "__init__", COUNT),
    Bug(MLPClassifier, "__setattr__", COUNT),
    Bug(MLPClassifier, "build_optimizer", CONVERT),
    Bug(MLPClassifier, "build_optimizer", COMPUTE, before="self.optimizer("),
    Bug(MLPClassifier, "build_optimizer", CONVERT, after="self.optimizer("),
    Bug(schedules, "build_schedule", COMPUTE, SCHEDULED),
    Bug(schedules, "build_scheduler", COUNT, SCHEDULED),
    Bug(checks, "try_schedule", CONVERT, SCHEDULED, after="scheduler.step("),
    Bug(checks, "try_optimizer", CONVERT, before="optimizer.step("),
    Bug(checks, "try_optimizer", COUNT, after="optimizer.step("),
    Bug(checks, "check_settings", CONVERT),
    Bug(checks, "build_trainer_parts", COUNT),
    Bug(hardware, "warn_of_slow_precision", CONVERT),
    Bug(hardware, "measure_slowdown", COUNT),
    Bug(hardware, "has_instructions", LOOK_UP, BFLOAT16),
    Bug(MLP, "__init__", CONVERT),
    Bug(mlp, "build_activation", COUNT, before="resolve_name("),
    Bug(mlp, "build_activation", CONVERT, after="resolve_name("),
    Bug(MNISTDataModule, "__init__", COUNT),
    Bug(Augmentation, "__post_init__", CONVERT),
    Bug(RunCheckpoint, "__init__", COUNT),
    Bug(MLPCLI, "parse_arguments", CONVERT),
    Bug(MLPCLI, "after_instantiate_classes", COUNT),
    Bug(MLPCLI, "instantiate_trainer", CONVERT, before="super()."),
    Bug(MLPCLI, "fit", UNPACK),
    Bug(runs, "write_config", CONVERT, before="os.replace("),
    Bug(runs, "write_config", COMPUTE, after="os.replace("),
]
# Met by another command.
BUGS_OF_OTHER_COMMANDS = [
    Bug(runs, "find_run", CONVERT, RESUME),
    Bug(start, "resume_run", CONVERT, RESUME),
    Bug(RunCheckpoint, "on_load_checkpoint", CONVERT, RESUME),
    Bug(RunCheckpoint, "resume_loops", LOOK_UP, RESUME),
    Bug(MLPClassifier, "training_step", UNPACK_BATCH, RESUME),
    Bug(runs, "read_checkpoint", COMPUTE, "test", before="torch.load("),
    Bug(runs, "read_checkpoint", COUNT, "test", after="torch.load("),
    Bug(checks, "load_weights", COMPUTE, "test", before="load_state_dict("),
    Bug(checks, "load_weights", COMPUTE, "test", after="load_state_dict("),
    Bug(hardware, "measure_slowdown", UNPACK, "test"),
    Bug(MLPClassifier, "test_step", UNPACK_BATCH, "test"),
    Bug(Results, "teardown", COMPUTE, "test"),
    Bug(results, "save_test", COUNT, "test"),
    Bug(MLPClassifier, "predict_step", COUNT, "predict"),
    Bug(PictureLoader, "__iter__", COMPUTE, PREDICT),
    Bug(handwriting, "read_digit", CONVERT, PREDICT),
    Bug(pictures, "open_picture", COMPUTE, PREDICT, before="Image.open("),
    Bug(pictures, "open_picture", CONVERT, PREDICT, after="Image.open("),
    Bug(pictures, "open_picture", CONVERT, PREDICT, after="exif_transpose("),
    Bug(pictures, "open_picture", COUNT, PREDICT, after="upright.convert("),
    Bug(digits, "segment_digit", UNPACK, PREDICT),
    Bug(Predictions, "on_predict_batch_end", CONVERT, PREDICT),
    Bug(MLPCLI, "predict", COUNT, PREDICT, after="trainer.predict("),
    Bug(export, "export_checkpoint", UNPACK, f"{EXPORT}.pt2"),
    Bug(export, "trace", COUNT, f"{EXPORT}.pt2"),
    Bug(ExportedClassifier, "forward", CONVERT, f"{EXPORT}.pt2"),
    Bug(export, "encode_pt2", COMPUTE, f"{EXPORT}.pt2", before="torch.export.save("),
    Bug(export, "encode_pt2", COMPUTE, f"{EXPORT}.pt2", after="torch.export.save("),
    Bug(export, "encode_onnx", COMPUTE, f"{EXPORT}.onnx", after="torch.onnx.export("),
    Bug(webpage, "fill_page", CONVERT, f"{EXPORT}.html"),
]


@pytest.mark.parametrize("bug", BUGS_IN_A_RUN, ids=describe)
def test_a_bug_in_a_run_leaves_its_folder(
    bug: Bug, short_run: Path, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # so that fit chooses
        monkeypatch.delenv(variable, raising=False)
    held = read_files(short_run)
    bug.plant(monkeypatch)
    draws = "true" if bug.owner in (Figures, drawing) else "false"
    meet(bug, cli, "fit", *TWO_STEPS, f"--figures={draws}", *bug.words.split())
    assert read_files(short_run) == held
    assert sorted(os.listdir("lightning_logs")) == ["version_0", "version_1"]
    assert Path("lightning_logs/version_1/config.yaml").is_file()


@pytest.mark.parametrize("bug", BUGS_BEFORE_A_RUN, ids=describe)
def test_a_bug_before_a_run_leaves_the_others(
    bug: Bug, short_run: Path, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read_files(short_run)
    bug.plant(monkeypatch)
    meet(bug, cli, "fit", *TWO_STEPS, *bug.words.split())
    assert read_files(short_run) == held


@pytest.mark.parametrize("bug", BUGS_OF_OTHER_COMMANDS, ids=describe)
def test_a_bug_of_another_command_leaves_the_run(
    bug: Bug, short_run: Path, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_a_stroke().save("3.png")
    Path("it.pt2").write_text("older")
    checkpoints = read_files(short_run / "checkpoints")
    bug.plant(monkeypatch)
    meet(bug, cli, *bug.words.split())
    assert read_files(short_run / "checkpoints") == checkpoints
    assert (short_run / "config.yaml").is_file()
    assert os.listdir("lightning_logs") == ["version_0"]
    assert Path("it.pt2").read_text() == "older"
    assert not Path("it.onnx").exists()
    assert not Path("it.html").exists()


def draw_a_stroke() -> Image.Image:
    """Return a picture of a digit, a 1."""
    picture = Image.new("L", (100, 100), "white")
    picture.paste("black", (48, 20, 54, 80))
    return picture


PLANT_AND_RUN = """
import importlib, sys
import pytest
from support import RunCommand, get_function, plant_bug
from mlp_lightning.__main__ import main

module, owner, name, statement = sys.argv[1:5]
owner = getattr(importlib.import_module(module), owner)
plant_bug(pytest.MonkeyPatch(), owner, name, statement)
main(sys.argv[5:])
"""


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("owner", "name", "statement"), [(MLPClassifier, "training_step", UNPACK_BATCH)]
)
def test_the_shell_sees_the_traceback(
    owner: type, name: str, statement: str, short_run: Path
) -> None:
    held = read_files(short_run)
    place = [owner.__module__, owner.__name__, name, statement]
    done = subprocess.run(
        [sys.executable, "-c", PLANT_AND_RUN, *place, "fit", *TWO_STEPS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    error, message = ERRORS[statement]
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert f", in {name}\n" in done.stderr
    last_line = done.stderr.rstrip().splitlines()[-1]
    assert last_line.startswith(f"{error.__name__}: ")
    assert message in last_line
    assert read_files(short_run) == held
    made_a_folder = name != "instantiate_trainer"
    assert Path("lightning_logs/version_1/config.yaml").exists() == made_a_folder


CONVERTS = '''
class Parent:
    def divide(self, by):
        return 12 // by

class Child(Parent):
    def divide(self, by):
        """Convert what the division raises."""
        if by != 1:
            try:
                by = super().divide(by)
            except ZeroDivisionError as error:
                raise ValueError("by: must not be 0") from error
        return by
'''


def test_a_bug_is_planted_beside_a_call_not_within_its_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`plant_bug` itself: the tests above would not see a bug in another place."""
    module = tmp_path / "converts.py"
    module.write_text(CONVERTS)
    monkeypatch.syspath_prepend(tmp_path)
    converter = importlib.import_module("converts").Child
    bug = "raise ZeroDivisionError('ours')"
    for before, after in (("", ""), ("divide(", ""), ("", "divide(")):
        with monkeypatch.context() as patch:
            plant_bug(patch, converter, "divide", bug, before=before, after=after)
            with pytest.raises(ZeroDivisionError, match="ours") as caught:
                converter().divide(2)
            assert caught.traceback[-1].path == module
            assert converter().divide.__doc__ == "Convert what the division raises."
    with monkeypatch.context() as patch:
        plant_bug(patch, converter, "divide", bug, after="divide(")
        with pytest.raises(ValueError, match="must not be 0"):
            converter().divide(0)
        assert converter().divide(1) == 1
    assert converter().divide(2) == 6  # the bug is gone with the test
