"""What several tests share: commands, runs and what is in them, and planted bugs.

The fixtures are in conftest.py.
"""

import ast
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Literal, NamedTuple

import pytest
import torch

# The benchmarks of the page and of handwriting measure with the same pictures and the
# same browser, so these live in benchmarks/. The tests import them from here alone.
from browser import (
    ANSWER,
    compare_page,
    drop_picture,
    is_browser_installed,
    open_browser,
    paint_digit,
    read_complaints,
)
from hard_pictures import KINDS as HARD_KINDS
from hard_pictures import write_hard_pictures
from lightning.pytorch import Callback, LightningModule, Trainer
from pictures import KINDS as PICTURE_KINDS
from pictures import (
    draw_light,
    draw_picture,
    save_picture,
    write_page_pictures,
    write_pictures,
)
from several_digits import write_several_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file

__all__ = [  # besides what is defined below
    "ANSWER",
    "HARD_KINDS",
    "PICTURE_KINDS",
    "compare_page",
    "draw_light",
    "draw_picture",
    "drop_picture",
    "is_browser_installed",
    "open_browser",
    "paint_digit",
    "read_complaints",
    "save_picture",
    "write_hard_pictures",
    "write_page_pictures",
    "write_pictures",
    "write_several_digits",
]

ROOT = Path(__file__).parents[1]  # of the repository

# A Trainer that trains and does nothing else.
QUIET_TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
# Five epochs of five steps, each of them logged. Pictures would take longer than that.
SHORT_RUN = [
    "--trainer.limit_train_batches=5",
    "--trainer.log_every_n_steps=1",
    "--figures=false",
]
# Three epochs of 20 steps, the last of a smaller batch; a validation is of 3 batches.
SMALL_RUN = [
    "--data.val_size=58740",
    "--trainer.limit_val_batches=3",
    "--trainer.max_epochs=3",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--figures=false",
]
TWO_PROCESSES = [
    "--trainer.strategy=ddp",
    "--trainer.accelerator=cpu",
    "--trainer.devices=2",
]
# A fork has torch imported already. Only on Linux is it safe.
FORK = "ddp_fork" if sys.platform == "linux" else "ddp"
TWO_FORKS = [*TWO_PROCESSES, f"--trainer.strategy={FORK}"]


class Outcome(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


# What the fixtures `cli` and `shell` are: functions of the command line's words.
RunCommand = Callable[..., Outcome]


def get_error_line(outcome: Outcome, code: int = 2) -> str:
    """Check that what is wrong is said in one line, and return it."""
    assert outcome.code == code, outcome
    (line,) = [line for line in outcome.err.splitlines() if "error" in line]
    assert line == outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    return line.removeprefix("python -m mlp_lightning: error: ")


def link_data(data_dir: Path, copy: Path) -> None:
    """Make a copy of a data_dir, whose files take no space of their own."""
    shutil.copytree(data_dir, copy, copy_function=os.link)


def read_mnist(data_dir: Path, part: Literal["train", "t10k"]) -> tuple[Tensor, Tensor]:
    """Return images, uint8 (n, 28, 28), and labels, int64 (n,), read by torchvision."""
    raw_dir = data_dir / "MNIST" / "raw"
    images: Tensor = read_image_file(str(raw_dir / f"{part}-images-idx3-ubyte"))
    labels: Tensor = read_label_file(str(raw_dir / f"{part}-labels-idx1-ubyte"))
    return images, labels


def read_events(run: str | Path) -> EventAccumulator:
    """Return all that TensorBoard has of a run."""
    # 0: leave none out
    guidance = {"images": 0, "histograms": 0, "scalars": 0}
    return EventAccumulator(str(run), size_guidance=guidance).Reload()


def read_curves(run: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each curve that TensorBoard shows."""
    events = read_events(run)
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def read_weights(checkpoint: str | Path) -> dict[str, Tensor]:
    return dict(torch.load(checkpoint, weights_only=True)["state_dict"])


def read_state(run: str | Path) -> dict[str, Any]:
    """Return what training goes on from, as the run's last checkpoint holds it."""
    last = torch.load(Path(run, "checkpoints", "last.ckpt"), weights_only=True)
    always = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    averaged = ("current_model_state", "averaging_state")
    state = {name: last[name] for name in always}
    return state | {name: last.get(name) for name in averaged}


def assert_equal(one: Any, two: Any) -> None:
    """Compare nested dicts, lists and tensors, bit for bit."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_equal(left, right)
    elif isinstance(one, Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


def assert_same_run(one: str | Path, two: str | Path) -> None:
    """Compare what two runs ended with, and all their curves, bit for bit."""
    assert_equal(read_state(one), read_state(two))
    assert_equal(read_curves(one), read_curves(two))


class BatchRecorder(Callback):
    """Keeps each batch as the network gets it, distorted and normalised."""

    def __init__(self) -> None:
        # by epoch and number of the batch: images (batch, 1, 28, 28) and labels
        self.trained: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.validated: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        self.trained[trainer.current_epoch, batch_idx] = batch

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.validated.append(batch)

    def get_labels(self, epoch: int) -> list[Tensor]:
        """Return the labels of each training batch of an epoch, in order."""
        return [labels for (of, _), (_, labels) in self.trained.items() if of == epoch]


def get_function(owner: object, name: str) -> FunctionType:
    """Return a function of a class or module, without what decorates it."""
    function = inspect.unwrap(inspect.getattr_static(owner, name))
    if isinstance(function, (classmethod, staticmethod)):
        function = function.__func__
    assert isinstance(function, FunctionType)
    return function


def plant_bug(
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    statement: str,
    *,
    before: str = "",
    after: str = "",
) -> None:
    """Insert a statement into a function of the package, until the test ends.

    It becomes the function's first one, or stands right before or after the statement
    that has the text `before` or `after` in it: that is, if this is within a `try`, or
    a `with` of something that converts errors, before or after the whole of it.

    The function's own module is compiled anew, under its own file name, and the
    function is given the new code. So it keeps its globals, closure and `super()`, all
    who imported it meet the bug, and a traceback ends in the module, not in a test.

    Args:
        owner: The class or module that has the function.
        name: The function's name there.
    """
    function = get_function(owner, name)
    file = inspect.getfile(function)
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    definition = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name == function.__name__
        and _get_first_line(node) == function.__code__.co_firstlineno
    )
    block, place = _find_place(definition, before or after)
    (bug,) = ast.parse(statement).body
    for node in ast.walk(bug):
        ast.copy_location(node, block[place])
    block.insert(place + 1 if after else place, bug)
    code = compile(tree, file, "exec")
    planted = next(
        candidate
        for candidate in _walk_code(code)
        if candidate.co_name == function.__code__.co_name
        and candidate.co_firstlineno == function.__code__.co_firstlineno
    )
    monkeypatch.setattr(function, "__code__", planted)


def _get_first_line(definition: ast.FunctionDef) -> int:
    """Return the line where a function begins, which is its first decorator's."""
    return min(
        [definition.lineno, *(node.lineno for node in definition.decorator_list)]
    )


def _find_place(definition: ast.FunctionDef, text: str) -> tuple[list[ast.stmt], int]:
    """Return a list of statements, and the index of the one that a bug goes beside."""
    if not text:
        has_docstring = ast.get_docstring(definition) is not None
        return definition.body, int(has_docstring)
    found = None
    blocks = [definition.body]
    while blocks:
        block = blocks.pop()
        for index, statement in enumerate(block):
            if text not in ast.unparse(statement):
                continue
            found = block, index
            if not _converts_errors(statement):
                blocks += _get_blocks(statement)
    assert found, f"{definition.name} has no {text}"
    return found


def _converts_errors(statement: ast.stmt) -> bool:
    """Return whether errors within a statement may come out as others."""
    if isinstance(statement, ast.With):
        return any("errors" in ast.unparse(item) for item in statement.items)
    return isinstance(statement, ast.Try)


def _get_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Return the blocks of an `if`, a loop or a `with`."""
    for field in ("body", "orelse"):
        if block := getattr(statement, field, []):
            yield block


def _walk_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk_code(constant)
