"""The database of a study: open it, and tell how far the study is."""

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import (
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
    fail_stale_trials,
)
from optuna.trial import TrialState
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from mlp_lightning.errors import SettingError
from mlp_lightning.search.records import INDEX

HEARTBEAT_SECONDS = 2  # between two signs of life of a trial
GRACE_SECONDS = 10  # without one, after which a trial counts as interrupted
# A trial that a killed worker has not even begun has no heartbeat, and Optuna waits for
# it forever. One that a live worker begins is without an index for a moment only.
ORPHAN_SECONDS = 30
LOCK_SECONDS = 60  # that SQLite waits while another process writes
POLL_SECONDS = 0.5
MAX_TRIES = 10  # to open a database
DEFINITION = "definition"  # the attribute of a study that says what it is
BROKEN = (SQLAlchemyError, StorageInternalError)
UNUSABLE = (ArgumentError, ImportError, *BROKEN)

# Queues a trial that was interrupted once more, with its settings and attributes.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    RETRY = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)


def silence_optuna() -> None:
    """Hide what Optuna tells of each trial, and that heartbeats are experimental."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    # An epoch that is trained again after an interruption is reported again.
    warnings.filterwarnings("ignore", "The reported value is ignored because")
    warnings.filterwarnings("ignore", "The distribution is specified by")
    warnings.filterwarnings("ignore", "Target and region quantiles select the same")


def connect(url: str) -> RDBStorage:
    """Open a database, and make its tables if it has none.

    Raises:
        SettingError: If it is another program's, or cannot be named so.
        OSError: If it cannot be reached, or written.
    """
    # A connection that is kept would break where the database is started anew.
    options: dict[str, Any] = {"poolclass": NullPool}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": LOCK_SECONDS}
    for _ in range(MAX_TRIES):
        try:
            return RDBStorage(
                url,
                options,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RETRY,
            )
        except (*UNUSABLE, RuntimeError) as error:  # RuntimeError: of another Optuna
            failure = explain(error)
            is_early = isinstance(error, IntegrityError)
            if not is_early and "already exists" not in str(error):
                break
            time.sleep(POLL_SECONDS)  # another process makes the tables
    raise failure


def explain(error: BaseException) -> Exception:
    """Return the error to raise instead, in the words of the database's own package.

    It is a failure if the database does not work, and else a refusal of what was named.
    """
    has_failed = False
    while error.__cause__ is not None:
        has_failed = has_failed or isinstance(error, OperationalError)
        error = error.__cause__
    lines = [*str(error).splitlines(), type(error).__name__]
    text = f"storage: {lines[0]}"
    return OSError(text) if has_failed else SettingError(text)


@contextmanager
def explain_errors() -> Iterator[None]:
    """Raise OSError or SettingError where a database breaks."""
    try:
        yield
    except BROKEN as error:
        raise explain(error) from error


def open_study(
    storage: RDBStorage, name: str, sampler: BaseSampler, pruner: BasePruner
) -> optuna.Study:
    """Return the study of this name, which is new if there is none."""
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        sampler=sampler,
        pruner=pruner,
    )


def check_definition(study: optuna.Study, definition: dict[str, Any]) -> None:
    """Note what the study is, or compare it with what was noted.

    Raises:
        SettingError: If the database holds another study by this name.
    """
    definition = json.loads(json.dumps(definition, default=str))
    noted = study.user_attrs.get(DEFINITION)
    if noted is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(DEFINITION, definition)
        return
    name = study.study_name
    if noted is None:
        raise SettingError(f"storage: has a study {name} of another program")
    for key, value in definition.items():
        if noted.get(key) != value:
            text = f"storage: has a study {name} with another {key}"
            raise SettingError(f"{text}: rename the file, or name another storage")


class Watch:
    """Finds the trials whose worker was killed."""

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.first_seen: dict[int, float] = {}  # of trials without an index, seconds

    def fail_interrupted(self) -> None:
        """Have interrupted trials continued, and those forgotten that did not begin."""
        fail_stale_trials(self.study)
        now = time.monotonic()
        for trial in self.list_running():
            if INDEX in trial.user_attrs:
                continue
            since = self.first_seen.setdefault(trial.number, now)
            if now - since > ORPHAN_SECONDS:
                self.study.tell(
                    trial.number, state=TrialState.FAIL, skip_if_finished=True
                )

    def list_running(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that run, or have been interrupted just now."""
        states = (TrialState.RUNNING,)
        return self.study.get_trials(deepcopy=False, states=states)

    def settle(self) -> None:
        """Wait until it is known which trials are interrupted, of those that run now.

        A new trial would otherwise be drawn beside them, and not after them.
        """
        self.retry_lost()
        start = time.monotonic()
        numbers = {trial.number for trial in self.list_running()}
        while True:
            self.fail_interrupted()
            running = [one for one in self.list_running() if one.number in numbers]
            waited = time.monotonic() - start
            begun = all(INDEX in trial.user_attrs for trial in running)
            if not running or (begun and waited > GRACE_SECONDS + HEARTBEAT_SECONDS):
                return
            time.sleep(POLL_SECONDS)

    def retry_lost(self) -> None:
        """Queue what a worker has called failed, but was killed before it queued it."""
        before = self.list_lost()
        if not before:
            return
        time.sleep(POLL_SECONDS)  # another worker may be about to do it
        after = self.list_lost()
        for number in before & after:
            trial = self.study.get_trials()[number]
            RETRY(self.study, trial)

    def list_lost(self) -> set[int]:
        """Return the numbers of trials that failed, having begun, and were not queued.

        Nothing but an interruption makes a trial fail that has begun.
        """
        trials = self.study.get_trials(deepcopy=False)
        queued = {number for trial in trials for number in RETRY.retry_history(trial)}
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        begun = {trial.number for trial in failed if INDEX in trial.user_attrs}
        return begun - queued
