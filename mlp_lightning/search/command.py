"""`python -m mlp_lightning search STUDY.yaml`: search for the best settings.

This process checks the study, starts workers, and shows how far they are. The workers
have all that matters from the database, and go on from there if they are killed.

What needs the extra's packages is imported when it is known that they are there.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from tqdm import tqdm

from mlp_lightning import errors
from mlp_lightning.errors import PROGRAM, SettingError
from mlp_lightning.search.study import read_study

if TYPE_CHECKING:
    import optuna

    from mlp_lightning.search.plan import Plan

PACKAGES = ("optuna", "plotly", "sqlalchemy")  # of the extra; a database may need more
HELP = """Search for the settings with the best validation accuracy. Each trial is a run
of `fit`. The same command goes on with a study that was stopped. docs/search.md
explains STUDY.yaml."""


def main(words: list[str]) -> None:
    """Run the command with these words, which follow `search`."""
    plans: list[Plan] = []
    errors.silence_libraries()
    with errors.report_errors(str, partial(describe_resumption, plans)):
        options = parse(words)
        check_packages()
        study = read_study(Path(options.study))
        from mlp_lightning.search.plan import make_plan

        plans.append(make_plan(study, options.workers))
        with exit_at_sigterm():
            search(plans[0])


def describe_resumption(plans: "list[Plan]") -> str:
    """Return how to go on with the study that was stopped."""
    return f"; to go on: {plans[0].command}" if plans else ""


def parse(words: list[str]) -> Namespace:
    """Parse the command line.

    Raises:
        SettingError: If it says what cannot be.
    """
    parser = ArgumentParser(
        prog=f"{PROGRAM} search", description=HELP, exit_on_error=False
    )
    parser.add_argument("study", metavar="STUDY.yaml", type=str, help="The study.")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=PositiveInt,
        default=1,
        help="Trials at once; if more than 1, each has one thread.",
    )
    try:
        return parser.parse_args(words)
    except (ArgumentError, TypeError, ValueError) as error:
        raise SettingError(f"search: {error}") from error


def check_packages() -> None:
    """Raise SettingError if a package of the extra is missing."""
    for name in PACKAGES:
        if find_spec(name) is None:
            text = f"needs {name}: pip install 'mlp-lightning[search]'"
            raise SettingError(f"search: {text}")


@contextmanager
def exit_at_sigterm() -> Iterator[None]:
    """Stop the workers at SIGTERM, as at Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(errors.TERMINATED)

    handler = None
    with suppress(ValueError):  # only the main thread may listen
        handler = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def search(plan: "Plan") -> None:
    """Run the trials that are left, and report what all have found."""
    from mlp_lightning.search import report, storage
    from mlp_lightning.search.crew import WorkerError

    with storage.explain_errors():
        opened = prepare_study(plan)
        try:
            is_whole = run_trials(plan, opened)
        except WorkerError as failure:
            report.report_study(plan, opened)
            errors.exit_with_error(failure.code, str(failure))
        report.report_study(plan, opened)
    if not is_whole:
        print(f"{plan.study.minutes:g} minutes are over; to go on: {plan.command}")


def prepare_study(plan: "Plan") -> "optuna.Study":
    """Open the study's database, and make it if there is none.

    Raises:
        SettingError: If it is no database, or has another study by this name.
        OSError: If it does not work.
    """
    from mlp_lightning.search import sampler, storage

    storage.silence_optuna()
    study = plan.study
    if not study.storage:
        plan.folder.mkdir(parents=True, exist_ok=True)
    connected = storage.connect(plan.storage)
    opened = storage.open_study(
        connected,
        study.name,
        sampler.StatelessSampler(study.seed),
        sampler.make_pruner(study.pruner, study.seed, plan.max_epochs),
    )
    storage.check_definition(opened, plan.definition)
    return opened


def run_trials(plan: "Plan", opened: "optuna.Study") -> bool:
    """Run the trials that are left; return whether all are done in time."""
    from mlp_lightning.search.crew import Crew
    from mlp_lightning.search.records import count_ended
    from mlp_lightning.search.storage import POLL_SECONDS, Watch

    watch = Watch(opened)
    if watch.list_running():
        print("Waiting for trials that run, or were interrupted", flush=True)
    watch.settle()
    crew = Crew(plan)
    ended = count_ended(opened)
    progress = Progress(plan.study.trials, ended)
    start = time.monotonic()
    limit = (plan.study.minutes or float("inf")) * 60  # seconds
    try:
        for _ in range(min(plan.workers, plan.study.trials - ended)):
            crew.start()
        while crew.workers and time.monotonic() - start < limit:
            progress.show(opened)
            crew.check(count_ended(opened))
            time.sleep(POLL_SECONDS)
        progress.show(opened)
        return not crew.workers
    finally:
        progress.close()
        crew.stop()


class Progress:
    """A bar of trials; lines, if it is not a terminal that shows them."""

    def __init__(self, trials: int, ended: int) -> None:
        """Begin with the trials that have ended already."""
        self.trials = trials
        self.best = ""
        self.bar = tqdm(
            total=trials,
            initial=ended,
            unit="trial",
            disable=None,  # if it is not a terminal
            dynamic_ncols=True,
        )

    def show(self, opened: "optuna.Study") -> None:
        """Show how many trials have ended, and the best of them."""
        from mlp_lightning.search.records import count_ended
        from mlp_lightning.search.report import describe_best

        best = describe_best(opened)
        ended = count_ended(opened)
        if not self.bar.disable:
            self.bar.n = ended
            self.bar.set_postfix_str(best)
        elif best != self.best:
            print(f"{ended} of {self.trials} trials, {best}", flush=True)
        self.best = best

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
