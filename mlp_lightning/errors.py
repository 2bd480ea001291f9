"""What the user reads when something is wrong: one line, with an exit code. A bug's traceback."""

import difflib
import logging
import re
import shlex
import shutil
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import (
    MisconfigurationException,
    SIGTERMException,
)
from lightning.pytorch.utilities.rank_zero import rank_zero_only


class SettingError(ValueError):
    """A setting that cannot be; its message begins with the setting's name and a colon."""


PROG = "python -m mlp_lightning"
REFUSED, FAILED = (MisconfigurationException,), (FloatingPointError, OSError)
DOUBTFUL = (
    ValueError,
    TypeError,
    RuntimeError,
    ImportError,
)  # of a setting, or a bug of ours
say = rank_zero_only(print)  # in the first process alone
SPEAKERS = ("lightning.", "torch.optim.", "torch.nn.modules.module.")


def leave(code: int, message: str) -> NoReturn:
    """Exit with 2 for what the user said wrong, 1 for what failed, 130 or 143 for a signal."""
    name, colon, text = " ".join(message.split()).partition(":")
    option = next(
        (option for option in Parser.options if option.endswith(f".{name}")), name
    )
    say(f"{PROG}: error: {option}{colon}{text}", file=sys.stderr)
    sys.exit(code)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and what is wrong; or raise the error, if it is a bug of ours.

    That is told by who raises it: Lightning and torch's optimizers refuse settings, and so do we.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    speaker, text = f"{frame.f_globals['__name__']}.", str(error)
    speakers = (
        (*SPEAKERS, "mlp_lightning.") if isinstance(error, ValueError) else SPEAKERS
    )
    failed = speaker.startswith("torch.distributed.") or "allocate memory" in text
    if isinstance(error, DOUBTFUL) and not (failed or speaker.startswith(speakers)):
        raise error
    if speaker.startswith("torch.optim."):
        text = f"{'lr_scheduler' if 'lr_scheduler' in speaker else 'optimizer'}: {text}"
    return 1 if failed or isinstance(error, FAILED) else 2, text


def _leave_to_main(args: threading.ExceptHookArgs) -> None:
    if not isinstance(
        args.exc_value, OSError
    ):  # of TensorBoard's writer: the main thread gets it
        threading.__excepthook__(args)


@contextmanager
def told(cli: Any) -> Iterator[None]:
    """End the program with one line if it is stopped or fails, not if the failure is a bug."""
    threading.excepthook = _leave_to_main
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="lightning"
    )  # torch's
    warnings.filterwarnings(
        "ignore", "Precision .* is not supported by the model summary"
    )
    for module in ("pytorch.utilities.rank_zero", "fabric"):  # advertisements too
        logging.getLogger(f"lightning.{module}").setLevel(logging.WARNING)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        code = (
            143 if isinstance(error, SIGTERMException) else getattr(error, "code", 130)
        )
        code = 130 if isinstance(error.__context__, KeyboardInterrupt) else code
        if code not in (130, 143):
            raise
        go = cli.run and getattr(cli, "subcommand", "") == "fit"
        again = (
            f"; to go on: {PROG} fit --ckpt_path {shlex.quote(str(cli.run))}"
            if go
            else ""
        )
        # the first process is killed if another ends before it with anything but 0
        leave(0 if getattr(rank_zero_only, "rank", 0) else code, f"interrupted{again}")
    except (*REFUSED, *FAILED, *DOUBTFUL) as error:
        code, message = explain(error)
        if code == 2 and cli.new and not (cli.new / "checkpoints").exists():
            shutil.rmtree(
                cli.new, ignore_errors=True
            )  # refused before anything was saved
        leave(code, message)


class Parser(LightningArgumentParser):
    """Says in one line what is wrong, and helps without naming all the classes of torch."""

    options: Any = ()  # of a subcommand
    words: Any = ()  # that are parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = re.sub(r'Parser key "([\w.]+)"', r"--\1", " ".join(message.split()))
        message = re.sub(
            r"(- Expected a path|Does not validate against) .*? Errors: ", "", message
        )
        wrong = re.search(
            r"(?i)(?:d arguments: |option ')-*([\w.]+)|^--([\w.]+)", message
        )
        name = wrong[1] or wrong[2] if wrong else "?"
        given = "\n".join(self.words)
        for option in re.findall(rf"(?m)^(--.*\.{re.escape(name)})\b", given):
            message = f"{option}: {message}"  # of a class, whose own parser knows its last part
        files = re.findall(r"(?m)^(?:-c|--config)[=\n]([^{\n]+)$", given)
        if files and name not in given:
            message += f" (in {' or '.join(files)})"
        near = difflib.get_close_matches(f"--{name}", self.options, 1, 0.75)
        known = not near or near[0] == f"--{name}"
        leave(2, message if known else f"{message}; did you mean {near[0]}?")

    def format_help(self, *args: Any) -> str:
        self.usage = self.prog.replace(" [options]", "") + " [options]"
        return re.sub(r",\s+known\s+subclasses:[^)]*", "", super().format_help(*args))
