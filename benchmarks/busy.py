"""Time `fit` on a busy machine, for speed.py: beside a busy core, and beside another.

The busy core is one that a program occupies which does nothing but count.
"""

import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import torch
from commands import FIT, Command, run_command, thread_variables
from report import format_count, format_table, summarise

from mlp_lightning.hardware import count_cores

BUSY_LOOP = [sys.executable, "-c", "while True: pass"]
ALONE = "alone"
BESIDE_CORE = "beside a busy core"
BESIDE_FIT = "two at once, each"
SITUATIONS = (ALONE, BESIDE_CORE, BESIDE_FIT)
WIDE = ("--model.hidden_sizes=[512,256]",)
# Two epochs, since two at once may take ten times as long.
SHORT = ("--trainer.max_epochs=2",)
# As many as `fit` uses at most.
ALL = min(torch.get_num_threads(), count_cores())


@dataclass(frozen=True, eq=False)
class Way:
    """A way to call `fit`."""

    title: str
    words: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment


DEFAULT = Way("`fit`")
ONE_THREAD = Way("`fit` with `OMP_NUM_THREADS=1`", variables=thread_variables(1))
ALL_THREADS = Way(
    f"`fit` with `OMP_NUM_THREADS={ALL}`", variables=thread_variables(ALL)
)
SHORT_ALL_THREADS = Way(
    f"two epochs with `OMP_NUM_THREADS={ALL}`", SHORT, thread_variables(ALL)
)
SHORT_WIDE = Way("two epochs of [512, 256]", SHORT + WIDE)
# A thread that waits goes to sleep sooner than by OpenMP's default.
SHORT_WIDE_SLEEPY = Way(
    "two epochs of [512, 256] with `GOMP_SPINCOUNT=1000`",
    SHORT + WIDE,
    {"GOMP_SPINCOUNT": "1000"},
)
# Situations in which each way is timed in each round.
EACH_ROUND = {DEFAULT: SITUATIONS, ONE_THREAD: (ALONE,), ALL_THREADS: (ALONE,)}
ONCE = (SHORT_ALL_THREADS, SHORT_WIDE, SHORT_WIDE_SLEEPY)

BusySamples = dict[tuple[Way, str], list[float]]  # seconds of whole processes


def time_way(way: Way, situation: str, folder: str) -> list[float]:
    """Return the seconds of a whole process, or of both that run at once."""
    words = [*FIT, *way.words]
    if situation == BESIDE_FIT:
        return time_two(words, way.variables, folder)
    beside = busy_core() if situation == BESIDE_CORE else nullcontext()
    with beside:
        return [run_command(words, folder, way.variables).seconds]


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen(BUSY_LOOP)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def time_two(
    words: list[str], variables: Mapping[str, str], folder: str
) -> list[float]:
    """Run a command twice at once, and return the seconds of both."""
    data = f"--data.data_dir={folder}/data"
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        commands = [Command([*words, data], place, variables) for place in (one, other)]
        with ThreadPoolExecutor() as pool:
            return [done.seconds for done in pool.map(Command.wait, commands)]


def add_busy_round(samples: BusySamples, folder: str) -> None:
    """Time what is timed in each round."""
    for way, situations in EACH_ROUND.items():
        for situation in situations:
            samples[way, situation] += time_way(way, situation, folder)


def add_once(samples: BusySamples, folder: str) -> None:
    """Time what takes too long to be timed in each round."""
    for way in ONCE:
        for situation in SITUATIONS:
            samples[way, situation] += time_way(way, situation, folder)


def new_samples() -> BusySamples:
    return defaultdict(list)


def tabulate_busy(samples: BusySamples) -> str:
    """Return the seconds of each way in each situation, and how much more they are."""
    rows = []
    for way in (*EACH_ROUND, *ONCE):
        alone = statistics.median(samples[way, ALONE])
        cells = [way.title, summarise(samples[way, ALONE])]
        for situation in (BESIDE_CORE, BESIDE_FIT):
            seconds = samples.get((way, situation))
            cells.append(compare(seconds, alone) if seconds else "")
        rows.append(cells)
    table = format_table(["the whole process", *SITUATIONS], rows)
    fixed = (ONE_THREAD, ALL_THREADS)
    best = min(statistics.median(samples[way, ALONE]) for way in fixed)
    ratio = statistics.median(samples[DEFAULT, ALONE]) / best
    choice = f"the better of 1 and {format_count(ALL, 'thread')}"
    return f"{table}\n\nAlone, `fit` takes {ratio:.2f} times as long as with {choice}."


def compare(seconds: list[float], alone: float) -> str:
    """Return the median, and how many times that of a process alone it is."""
    median = statistics.median(seconds)
    return f"{median:.1f} ({median / alone:.2f} times)"
