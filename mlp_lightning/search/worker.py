"""A worker of a study: `python -m mlp_lightning.search.worker`, as crew.py starts it.

It reads what to do from a pipe, and stops, as by Ctrl-C, when the pipe is closed: that
is, also when the process that has started it is killed.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from mlp_lightning.errors import FAILED, exit_with_error
from mlp_lightning.search.records import count_ended, list_trials
from mlp_lightning.search.sampler import StatelessSampler, make_pruner
from mlp_lightning.search.storage import (
    BROKEN,
    POLL_SECONDS,
    Watch,
    connect,
    explain,
    open_study,
    silence_optuna,
)
from mlp_lightning.search.study import Study, parse_study
from mlp_lightning.search.trials import SurplusError, Unfinished, run_trial


class Order(TypedDict):
    """What a worker is told to do."""

    path: str  # of STUDY.yaml
    text: str  # its content, as it was checked: the file may change
    config: str  # what all trials have in common, as it was checked
    storage: str  # the URL of the database
    logs: str  # the folder of all runs
    max_epochs: int
    settle: bool  # first wait until it is known which trials are interrupted


def main() -> None:
    """Run trials until there are enough."""
    order: Order = json.loads(sys.stdin.readline())
    threading.Thread(target=stop_with_parent, daemon=True).start()
    silence_optuna()
    read = parse_study(Path(order["path"]), order["text"])
    study = replace(read, config=order["config"])
    sampler = StatelessSampler(study.seed)
    pruner = make_pruner(study.pruner, study.seed, order["max_epochs"])
    try:
        storage = connect(order["storage"])
        opened = open_study(storage, study.name, sampler, pruner)
        work(study, opened, Path(order["logs"]), settle=order["settle"])
    except BROKEN as error:
        exit_with_error(FAILED, str(explain(error)))


def stop_with_parent() -> None:
    """Send SIGTERM to this process when the pipe is closed."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def work(study: Study, opened: optuna.Study, logs: Path, *, settle: bool) -> None:
    """Run trials until there are enough, those of killed workers included."""
    watch = Watch(opened)
    if settle:
        watch.settle()
    objective = partial(run_trial, study, logs)
    while count_ended(opened) < study.trials:
        watch.fail_interrupted()
        if not is_trial_left(opened, study.trials):
            time.sleep(POLL_SECONDS)  # other workers have the last ones
            continue
        try:
            opened.optimize(objective, n_trials=1, catch=(SurplusError,))
        except Unfinished as error:
            raise_cause(error)


def raise_cause(error: Unfinished) -> None:
    """Raise what has ended a trial, unless another worker has the trial by now."""
    cause = error.__cause__
    assert cause is not None
    if not isinstance(cause, UpdateFinishedTrialError):
        raise cause


def is_trial_left(opened: optuna.Study, count: int) -> bool:
    """Return whether a trial is to be continued, or to be begun."""
    trials = list_trials(opened)
    waits = any(trial.state == TrialState.WAITING for trial in trials)
    return waits or len(trials) < count


if __name__ == "__main__":
    main()
