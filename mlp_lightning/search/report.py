"""What a study has found: a table, best.yaml, and a page of Optuna's pictures."""

import html
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import yaml
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState
from plotly.graph_objects import Figure

from mlp_lightning.errors import PROGRAM
from mlp_lightning.search.plan import Plan, make_config
from mlp_lightning.search.records import (
    DIVERGED,
    ENDED,
    OUTCOME,
    PRUNED,
    REFUSED,
    RUN,
    SETTINGS,
    UNVALIDATED,
)
from mlp_lightning.search.space import Settings

TABLE_ROWS = 10
MIN_TRIALS = 2  # complete ones, below which Optuna compares nothing
FIGURE = '<div class="figure">{figure}</div>'
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<style>div.figure {{ overflow-x: auto }}</style>
<title>{title}</title>
<h1>{title}</h1>
{figures}
</html>
"""


def rank_trials(opened: optuna.Study) -> list[FrozenTrial]:
    """Return the complete trials, the best first."""
    trials = opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=score_of, reverse=True)


def score_of(trial: FrozenTrial) -> float:
    """Return the best val/acc of a complete trial."""
    assert trial.value is not None
    return trial.value


def describe_best(opened: optuna.Study) -> str:
    """Return the best so far; "" if no trial is complete."""
    best = next(iter(rank_trials(opened)), None)
    if best is None:
        return ""
    return f"best val/acc {score_of(best):.4f} in {best.user_attrs[RUN]}"


def report_study(plan: Plan, opened: optuna.Study) -> None:
    """Print a table of the best, and write best.yaml and the page."""
    ranked = rank_trials(opened)
    print(count_outcomes(opened))
    if not ranked:
        return
    for line in list_rows(ranked[:TABLE_ROWS]):
        print(line)
    best = write_best(plan, ranked[0])
    print(f"Saved {best}")
    if len(ranked) >= MIN_TRIALS:
        print(f"Saved {write_page(plan, opened)}")
    else:
        print("No search.html yet: it needs two complete trials")
    print(f"Next: {PROGRAM} fit --config {shlex.quote(str(best))}")
    print(f"      tensorboard --logdir {shlex.quote(str(plan.logs))}")


def count_outcomes(opened: optuna.Study) -> str:
    """Return how many trials have ended, and how."""
    trials = opened.get_trials(deepcopy=False, states=ENDED)
    complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    counts = Counter(trial.user_attrs.get(OUTCOME) for trial in trials)
    text = f"{len(trials)} trials: {complete} complete, {counts[PRUNED]} pruned"
    for outcome in (DIVERGED, REFUSED, UNVALIDATED):
        if counts[outcome]:
            text += f", {counts[outcome]} {outcome}"
    return text


def list_rows(trials: list[FrozenTrial]) -> Iterator[str]:
    """Return the lines of a table of trials."""
    runs = [Path(trial.user_attrs[RUN]).name for trial in trials]
    width = max(len(run) for run in runs)
    yield f"val/acc  {'run':{width}}  settings"
    for trial, run in zip(trials, runs, strict=True):
        settings = describe_settings(trial.user_attrs[SETTINGS])
        yield f"{score_of(trial):.4f}   {run:{width}}  {settings}"


def describe_settings(settings: Settings) -> str:
    """Return settings in one line, each with the last part of its name."""
    texts = []
    for name, value in settings.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        texts.append(f"{name.rpartition('.')[2]}={text}")
    return "  ".join(texts)


def write_best(plan: Plan, trial: FrozenTrial) -> Path:
    """Write best.yaml, the config of the best trial."""
    path = plan.folder / "best.yaml"
    study = plan.study
    config = make_config(study, trial.user_attrs[SETTINGS])
    lines = [
        f"# The best of the study {study.name}: val/acc {score_of(trial):.4f}, the run "
        f"{trial.user_attrs[RUN]}",
        f"# {PROGRAM} fit --config {shlex.quote(str(path))}",
        yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    ]
    write_whole(path, "\n".join(lines))
    return path


def write_page(plan: Plan, opened: optuna.Study) -> Path:
    """Write the page of Optuna's pictures, which needs no other file."""
    path = plan.folder / "search.html"
    texts: list[str] = []
    for figure in draw_figures(opened):
        script = not texts  # the first one brings the library along
        drawn = figure.to_html(full_html=False, include_plotlyjs=script)
        texts.append(FIGURE.format(figure=drawn))
    title = html.escape(f"The study {plan.study.name}")
    write_whole(path, PAGE.format(title=title, figures="\n".join(texts)))
    return path


def draw_figures(opened: optuna.Study) -> Iterator[Figure]:
    """Return the history of the study, what each setting matters, and its slices."""
    plots: list[Callable[..., Figure]] = [
        visualization.plot_optimization_history,
        visualization.plot_param_importances,
        visualization.plot_slice,
    ]
    for plot in plots:
        try:
            yield plot(opened, target_name="val/acc")
        except (RuntimeError, ValueError):
            continue  # of trials that are too few, or too much alike


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
