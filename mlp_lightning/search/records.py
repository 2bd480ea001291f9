"""The trials of a study, as its database has them."""

from itertools import count, islice

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
# The attributes of a trial.
INDEX = "index"  # from 0, without gaps: sampler.py says what for
TOKEN = "token"  # which its run has in a file
SETTINGS = "settings"
RUN = "run"
OUTCOME = "outcome"  # of a trial that is not trained to its end, or has no val/acc
# The outcomes. To Optuna, all of them are pruned.
PRUNED = "pruned"
DIVERGED = "diverged"
REFUSED = "refused"
UNVALIDATED = "without val/acc"


def list_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that count: those that did not fail, by number."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state != TrialState.FAIL]


def count_ended(study: Study) -> int:
    """Return how many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


def count_earlier(study: Study, number: int) -> int:
    """Return how many trials of a lower number count."""
    return sum(trial.number < number for trial in list_trials(study))


def note_index(trial: Trial) -> None:
    """Give a trial its index, unless it has one from before it was interrupted.

    It is the lowest that is free: no trial has it, nor had it before it was
    interrupted, and no earlier trial that is about to begin needs it. Such a trial may
    be killed before it has its index; the next one that begins has it then.
    """
    if INDEX in trial.user_attrs:
        return
    # Read once: other workers give indices meanwhile.
    trials = trial.study.get_trials(deepcopy=False)
    taken = {one.user_attrs.get(INDEX) for one in trials}
    earlier = trials[: trial.number]
    beginning = [
        one
        for one in earlier
        if one.state != TrialState.FAIL and INDEX not in one.user_attrs
    ]
    free = (index for index in count() if index not in taken)
    trial.set_user_attr(INDEX, next(islice(free, len(beginning), None)))
