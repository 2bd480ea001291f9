"""What a study draws and stops, as functions of its trials alone.

Optuna's samplers have a generator, which begins anew in each worker and after each
restart; its Hyperband goes by numbers of trials, and a trial that is continued gets a
new one. Here each draw is a function of the seed, the trial's index, the setting's name
and the trials that have ended. The index counts trials without those that failed.
"""

import math
import random
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from mlp_lightning.search.records import INDEX, list_trials

REDUCTION_FACTOR = 3  # of Hyperband: one in three goes on, as in its paper


def make_seed(*parts: object) -> int:
    """Return a number below 2**32 that is a function of these."""
    text = "/".join(str(part) for part in parts)
    return random.Random(text).getrandbits(32)


class StatelessSampler(BaseSampler):
    """Optuna's TPESampler, with a new generator for each draw."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: each setting is drawn by itself."""
        return {}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return nothing: each setting is drawn by itself."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a setting."""
        # The trial was read before it had its index.
        trials = study.get_trials(deepcopy=False)
        index = trials[trial.number].user_attrs[INDEX]
        seed = make_seed(self.seed, index, param_name)
        sampler = TPESampler(seed=seed, multivariate=False)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class BracketView:
    """A study as one bracket of Hyperband sees it: without the trials of others."""

    def __init__(self, study: Study, pruner: "IndexedHyperband", bracket: int) -> None:
        self.study = study
        self.pruner = pruner
        self.bracket = bracket

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def get_trials(self, deepcopy: bool = True) -> list[FrozenTrial]:
        """Return the trials of the bracket that count."""
        find_bracket = self.pruner.find_bracket
        trials = list_trials(self.study)
        return [trial for trial in trials if find_bracket(trial) == self.bracket]


class IndexedHyperband(BasePruner):
    """Hyperband as Optuna has it, but for the brackets, which go by a trial's index.

    Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization", https://arxiv.org/abs/1603.06560.
    """

    def __init__(self, seed: int, max_epochs: int) -> None:
        """Plan the brackets of trainings of this length."""
        self.seed = seed
        count = int(math.log(max_epochs, REDUCTION_FACTOR) + 1e-9) + 1
        # How many trials each bracket is to have, in proportion.
        self.budgets = []
        self.pruners = []
        for bracket in range(count):
            rungs = count - bracket
            budget = math.ceil(count * REDUCTION_FACTOR ** (rungs - 1) / rungs)
            self.budgets.append(budget)
            pruner = SuccessiveHalvingPruner(
                min_resource=1,
                reduction_factor=REDUCTION_FACTOR,
                min_early_stopping_rate=bracket,
            )
            self.pruners.append(pruner)

    def find_bracket(self, trial: FrozenTrial) -> int | None:
        """Return the bracket of a trial; None until it has its index."""
        index = trial.user_attrs.get(INDEX)
        if index is None:
            return None
        place = make_seed(self.seed, index, "bracket") % sum(self.budgets)
        return bisect_right(list(accumulate(self.budgets)), place)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether to stop a trial, after the epoch that it has reported."""
        bracket = self.find_bracket(trial)
        if bracket is None:
            return False
        view: Any = BracketView(study, self, bracket)
        return self.pruners[bracket].prune(view, trial)


def make_pruner(name: str, seed: int, max_epochs: int) -> BasePruner:
    """Return the pruner of this name, for trainings of this length."""
    if name == "median":
        return MedianPruner()
    if name == "hyperband":
        return IndexedHyperband(seed, max_epochs)
    return NopPruner()
