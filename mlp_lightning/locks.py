"""Locks on folders, by the operating system: it frees those of a killed process.

A lock is an open file, which child processes made by fork have as well: it is free when
the last of them has gone. The file stays where it is; a lock on a file that somebody
removes would be no lock.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from mlp_lightning.errors import SettingError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = ".lock"
LOCKED_BYTE = 2**30  # Windows lets nobody read what is locked: this is never read
SCRATCH_PREFIX = "scratch-"
SECONDS_BETWEEN_TRIES = 0.05


def take_lock(file: IO[str]) -> bool:
    """Lock an open file, and return whether its file system has locks at all.

    Raises:
        BlockingIOError: If another process has locked it.
    """
    try:
        if sys.platform == "win32":
            os.lseek(file.fileno(), LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # so says Windows, and some network file systems
        raise BlockingIOError(*error.args) from error
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


class RunInUseError(SettingError):
    """Another process trains this run, or writes into its curves."""


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Let no other process train this run, or write into its curves.

    Raises:
        RunInUseError: If another process does; it names the process.
    """
    with (run / LOCK_NAME).open("a+") as file:
        try:
            take_lock(file)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read() or "unknown"
            text = f"{run} is in use by process {process}: wait for it, or stop it"
            raise RunInUseError(f"--ckpt_path: {text}") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        wait_for_new_event_file(run)
        yield


def wait_for_new_event_file(run: Path) -> None:
    """Wait until a new file of TensorBoard's comes after those that the run has.

    They are read in the order of their names, which begin with the second in which they
    were made. Within a second, process 10 would come before process 9.
    """
    while any(run.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def make_scratch(folder: Path) -> Iterator[str]:
    """Make a folder within this one, to work in while other processes wait.

    What processes have left that were killed meanwhile is removed.
    """
    with (folder.parent / LOCK_NAME).open("a+") as file:
        if wait_for_lock(file):
            for scratch in folder.glob(f"{SCRATCH_PREFIX}*"):
                shutil.rmtree(scratch, ignore_errors=True)
        with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=folder) as scratch_name:
            yield scratch_name


def wait_for_lock(file: IO[str]) -> bool:
    """Take the lock as soon as it is free; return what `take_lock` does."""
    while True:
        try:
            return take_lock(file)
        except BlockingIOError:
            time.sleep(SECONDS_BETWEEN_TRIES)
