"""How an error becomes one line and an exit code: by its type.

Some errors have no type of their own, and are known by their message: memory
that a CPU does not have, four refusals of Lightning, and what a child process raised.
"""

import logging
import pkgutil
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.exceptions import (
    MisconfigurationException,
    SIGTERMException,
)
from lightning.pytorch.utilities.memory import is_oom_error
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.distributed import DistError
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

PROGRAM = "python -m mlp_lightning"

# Exit codes, as shells and their users know them.
FAILED = 1
REFUSED = 2
INTERRUPTED = 130  # 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM


class SettingError(ValueError):
    """The user asked for something that cannot be.

    The message begins with the setting's name and a colon, says what is wrong with it,
    and what to do where that is not plain.
    """


class ReportedExit(SystemExit):
    """Ends the program, which has said why."""


# A module is missing if an option needs a package that is not installed.
REFUSALS = (SettingError, MisconfigurationException, ModuleNotFoundError)
FAILURES = (
    OSError,
    FloatingPointError,
    MemoryError,
    DistError,
    TrainingSpikeException,
    ProcessExitedException,  # killed, as by Linux when memory runs out
)
# How messages begin with which Lightning refuses a setting when the training has begun,
# in errors that have no type of their own.
LIGHTNING_REFUSALS = (
    "Early stopping conditioned on metric",
    "The current optimizer, ",
    "When using the ModelParallelStrategy, ",
    "`val_check_interval` (",
)
# Loggers of Lightning that tell what nobody has asked for; their warnings are shown.
TALKATIVE = (
    "lightning.fabric",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "lightning.pytorch.tuner",
    "lightning.pytorch.utilities.rank_zero",
)


def silence_libraries() -> None:
    """Hide what libraries say to their developers, and what they advertise."""
    # Lightning asks torch in a way that torch no longer likes.
    warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
    # The sizes in the summary are those of 32 bits, whatever the precision.
    warnings.filterwarnings("ignore", "Precision .* is not supported by the model sum")
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    threading.excepthook = leave_os_errors_to_main_thread


def is_first_process(nodes: int = 1) -> bool:
    """Return whether this is the first of the processes that train together.

    Args:
        nodes: As the Trainer's num_nodes. Until there is a Trainer, Lightning knows the
            rank within the node alone; and without other nodes, NODE_RANK is of no use.
    """
    rank: int = getattr(rank_zero_only, "rank", 0)
    is_first_node = nodes == 1 or LightningEnvironment().node_rank() == 0
    return rank == 0 and is_first_node


def copies_process(strategy: Strategy) -> bool:
    """Return whether a strategy forks or spawns this process, as `ddp_spawn` does."""
    launcher = strategy.launcher
    # Only the launcher that runs the command once more, as `ddp` does, has this.
    runs_command = hasattr(launcher, "cluster_environment")
    return launcher is not None and not runs_command


@rank_zero_only
def print_rank_zero(text: str, *, error: bool = False) -> None:
    """Print a line, in the first process alone."""
    print(text, file=sys.stderr if error else sys.stdout)


def exit_with_error(code: int, message: str) -> NoReturn:
    """Print the message as one line, and exit."""
    one_line = " ".join(message.split())
    print_rank_zero(f"{PROGRAM}: error: {one_line}", error=True)
    raise ReportedExit(code)


def find_exit_code(error: Exception) -> int | None:
    """Return the exit code for an error; None if it is a bug, to be shown as it is."""
    if isinstance(error, ProcessRaisedException):
        error = restore_child_error(error)
    message = str(error).lstrip()
    if isinstance(error, REFUSALS) or message.startswith(LIGHTNING_REFUSALS):
        return REFUSED
    if isinstance(error, FAILURES) or is_oom_error(error):
        return FAILED
    return None


def find_signal_code(stop: BaseException) -> int | None:
    """Return the exit code if a signal ended the program, else None."""
    if isinstance(stop, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(stop, SIGTERMException):
        return TERMINATED
    if isinstance(stop.__context__, KeyboardInterrupt):
        return INTERRUPTED  # Lightning turns it into an exit with code 1
    if isinstance(stop, SystemExit) and stop.code in (INTERRUPTED, TERMINATED):
        return int(stop.code)
    return None


def restore_child_error(error: ProcessRaisedException) -> Exception:
    """Return the error that ended a child process of `ddp_spawn`.

    torch hands it over as the text of its traceback. An error that may be a refusal or
    a failure gets its type back; any other one is returned as it came.
    """
    last_line = re.compile(r"^([A-Za-z_][\w.]*): (.*)\Z", re.MULTILINE | re.DOTALL)
    *_, trace = error.msg.rpartition("\n  File ")
    found = last_line.search(trace)
    if not found:
        return error
    name, message = found.groups()
    try:
        child_type = pkgutil.resolve_name(name if "." in name else f"builtins:{name}")
    except (ImportError, AttributeError, ValueError):
        return error
    if not isinstance(child_type, type):
        return error
    is_plain = child_type in (RuntimeError, ValueError)
    if is_plain or issubclass(child_type, REFUSALS + FAILURES):
        restored: Exception = child_type(message.strip())
        return restored
    return error


def stop_copies(strategy: Strategy, number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal: stop the processes that were started, then this one."""
    if strategy.launcher is not None:
        strategy.launcher.kill(signal.SIGTERM)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(TERMINATED)


@contextmanager
def forward_signals(strategy: Strategy) -> Iterator[None]:
    """Stop with the processes that are forked or spawned, whichever is told to stop.

    They are sent SIGTERM, which may come twice: from a terminal they have had Ctrl-C
    already, and a second one would not wait for the step to end.

    With other strategies, Lightning does this itself as soon as the processes have met.
    Until then they wait for one another within torch, where no handler would run.
    """
    if not copies_process(strategy):
        yield
        return
    handlers = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # only the main thread may listen
                handlers[number] = signal.signal(number, partial(stop_copies, strategy))
        yield
    except ProcessExitedException as error:
        if error.exit_code in (INTERRUPTED, TERMINATED):
            raise SystemExit(error.exit_code) from error
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def leave_os_errors_to_main_thread(args: threading.ExceptHookArgs) -> None:
    """Print no traceback for TensorBoard's writer: the main thread gets its error."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)


@contextmanager
def report_errors(
    name_option: Callable[[str], str], describe_resumption: Callable[[], str]
) -> Iterator[None]:
    """End the program with one line if it is refused, fails or is stopped.

    A bug keeps its traceback, wherever it is raised.

    Args:
        name_option: Returns the command line's name of a setting such as `batch_size`.
        describe_resumption: Returns what to add for the user who has stopped a run.
    """
    try:
        yield
    except ReportedExit:
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        code = find_signal_code(stop)
        if code is None:
            raise
        # Lightning kills the first process if another one ends before it with an error.
        code = code if is_first_process() else 0
        exit_with_error(code, f"interrupted{describe_resumption()}")
    except Exception as raised:
        code = find_exit_code(raised)
        if code is None:
            raise
        error = raised
        if isinstance(raised, ProcessRaisedException):
            error = restore_child_error(raised)
        message = str(error)
        if isinstance(error, SettingError):
            setting, colon, text = message.partition(":")
            message = f"{name_option(setting)}{colon}{text}"
        exit_with_error(code, message)
