"""A trial of a study: a run of `fit`, as the command line would make it."""

import json
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.memory import is_oom_error

from mlp_lightning import errors
from mlp_lightning.checkpoints import NOT_VALIDATED, read_best_score
from mlp_lightning.cli import MLPCLI
from mlp_lightning.locks import RunInUseError, lock_run
from mlp_lightning.search.records import (
    DIVERGED,
    INDEX,
    OUTCOME,
    PRUNED,
    REFUSED,
    RUN,
    SETTINGS,
    TOKEN,
    UNVALIDATED,
    count_earlier,
    note_index,
)
from mlp_lightning.search.space import suggest_settings
from mlp_lightning.search.storage import POLL_SECONDS
from mlp_lightning.search.study import Study

TOKEN_NAME = "trial.txt"  # in a run: which trial it is of
# What a trainer shows, and a trial does not.
SHOWN = ("enable_progress_bar", "enable_model_summary")
QUIET = [f"--trainer.{name}=false" for name in SHOWN]


class SurplusError(Exception):
    """Two workers have begun the last trial: this one is too many."""


class Unfinished(BaseException):
    """Leaves a trial as it is, to be continued, as SystemExit does.

    Optuna would call it failed after any other error, and not continue it.
    """


class QuietCLI(MLPCLI):
    """MLPCLI with one parser for all commands of a process.

    To build it takes most of the time that passes before the training.
    """

    shared: ClassVar[dict[str, Any]] = {}

    def __init__(self, words: list[str]) -> None:
        """Run the command line with these words."""
        # Lightning warns of words that the process itself was started with.
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")
        super().__init__([*words, *QUIET])

    def setup_parser(self, *options: Any) -> None:
        """Build the parser, or take the one that was built."""
        if not self.shared:
            before = set(vars(self)) - {"parsers"}  # which is there, and empty
            super().setup_parser(*options)
            made = vars(self).items()
            self.shared.update({key: one for key, one in made if key not in before})
            return
        self.parsers.extend(self.shared["parsers"])
        vars(self).update({**self.shared, "parsers": self.parsers})


class TrialCLI(QuietCLI):
    """Trains a trial."""

    def __init__(self, words: list[str], trial: optuna.Trial) -> None:
        """Run `fit` with these words."""
        self.trial = trial
        super().__init__(words)

    def make_callbacks(self, user_callbacks: list[Callback]) -> list[Callback]:
        """Add the one that reports to the study."""
        return [*super().make_callbacks(user_callbacks), PruningCallback(self.trial)]

    def open_run(self) -> None:
        """Make the folder of the run if it is new, and say which trial it is of."""
        super().open_run()
        run = self.run_folder
        assert run is not None  # plan.py has refused what keeps no run
        part = run / f"{TOKEN_NAME}.part"
        part.write_text(self.trial.user_attrs[TOKEN])
        part.replace(run / TOKEN_NAME)
        self.trial.set_user_attr(RUN, str(run))

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train; a training that diverges is a result, and no failure."""
        try:
            super().fit(*args, **kwargs)
        except FloatingPointError:
            self.trial.set_user_attr(OUTCOME, DIVERGED)


class PruningCallback(Callback):
    """Reports val/acc after each epoch, and stops a training that is pruned."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        # A trial that goes on trains some epochs again that it has reported.
        self.reported_epochs = frozen.last_step or 0

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Report, and ask whether to go on."""
        epoch = trainer.current_epoch + 1
        score = trainer.callback_metrics.get("val/acc")
        if score is None or epoch < self.reported_epochs:
            return
        self.trial.report(score.item(), epoch)
        if self.is_pruned(is_last=epoch == trainer.max_epochs):
            trainer.should_stop = True

    def is_pruned(self, is_last: bool) -> bool:
        """Return whether the trial has to stop, and note it."""
        if self.trial.user_attrs.get(OUTCOME) == PRUNED:
            return True  # it was killed before it could
        if is_last or not self.trial.should_prune():
            return False
        self.trial.set_user_attr(OUTCOME, PRUNED)
        return True


def run_trial(study: Study, logs: Path, trial: optuna.Trial) -> float:
    """Train a trial, or go on with it, and return its best val/acc.

    Args:
        study: What STUDY.yaml says.
        logs: The folder of all runs.
        trial: The trial.

    Raises:
        optuna.TrialPruned: If it is stopped early, diverges, or has no val/acc.
        SurplusError: If there are trials enough without it.
        Unfinished: If it is to be continued, by this worker or another.
    """
    try:
        return train(study, logs, trial)
    except (optuna.TrialPruned, SurplusError):
        raise
    except Exception as error:
        raise Unfinished from error


def train(study: Study, logs: Path, trial: optuna.Trial) -> float:
    """Do what `run_trial` does, with all its errors."""
    begins = INDEX not in trial.user_attrs
    if begins and count_earlier(trial.study, trial.number) >= study.trials:
        raise SurplusError
    note_index(trial)
    settings = suggest_settings(study.space, trial)
    if TOKEN not in trial.user_attrs:
        plain = json.loads(json.dumps(settings, default=str))  # a date is text there
        trial.set_user_attr(SETTINGS, plain)
        trial.set_user_attr(TOKEN, uuid4().hex)
    if trial.user_attrs.get(OUTCOME) in (None, PRUNED):
        train_or_resume(study.list_words(settings), logs, trial)
    if OUTCOME in trial.user_attrs:
        raise optuna.TrialPruned
    run = find_run_of(trial, logs)
    assert run is not None
    score = read_best_score(run)
    if score == NOT_VALIDATED:
        trial.set_user_attr(OUTCOME, UNVALIDATED)
        raise optuna.TrialPruned
    return score


def train_or_resume(words: list[str], logs: Path, trial: optuna.Trial) -> None:
    """Train with these words, or go on with the trial's run if it has one."""
    run = find_run_of(trial, logs)
    if run is not None:
        wait_until_free(run)
        words = ["fit", f"--ckpt_path={run}"]
    try:
        TrialCLI(words, trial)
    except SystemExit as stop:
        if isinstance(stop.__context__, RunInUseError):
            # Another worker has taken the trial over since the run was free.
            train_or_resume(words, logs, trial)
        elif is_refusal(stop):
            trial.set_user_attr(OUTCOME, REFUSED)
        elif stop.code:
            raise
        # Else the run was finished, but its worker was killed before it could say so.


def is_refusal(stop: SystemExit) -> bool:
    """Return whether `fit` has ended because of the settings, or their need of memory.

    They would end it whenever they are tried.
    """
    error = stop.__context__
    if isinstance(error, Exception) and is_oom_error(error):
        return True
    return stop.code == errors.REFUSED or isinstance(error, MemoryError)


def find_run_of(trial: optuna.Trial, logs: Path) -> Path | None:
    """Return the run of a trial; None if it has none here."""
    token = trial.user_attrs[TOKEN]
    for path in logs.glob(f"version_*/{TOKEN_NAME}"):
        if path.read_text() == token:
            return path.parent
    return None


def wait_until_free(run: Path) -> None:
    """Wait while the process that was interrupted still works in this run."""
    while True:
        try:
            with lock_run(run):
                return
        except RunInUseError:
            time.sleep(POLL_SECONDS)
