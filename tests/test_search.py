"""A study is checked before its first trial, and its choices have no state."""

import datetime
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from support import ROOT, Outcome, get_error_line

from mlp_lightning.__main__ import main
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import SettingError
from mlp_lightning.locks import lock_run
from mlp_lightning.search.command import prepare_study
from mlp_lightning.search.crew import WorkerError
from mlp_lightning.search.plan import CheckCLI, Plan, make_plan
from mlp_lightning.search.records import INDEX, OUTCOME, TOKEN, list_trials, note_index
from mlp_lightning.search.report import count_outcomes, describe_best, report_study
from mlp_lightning.search.sampler import IndexedHyperband, StatelessSampler
from mlp_lightning.search.space import list_examples, read_space, suggest_settings
from mlp_lightning.search.storage import RETRY, Watch
from mlp_lightning.search.study import Study, read_study
from mlp_lightning.search.trials import QUIET, TOKEN_NAME, is_refusal, train_or_resume
from mlp_lightning.search.worker import work

pytestmark = pytest.mark.filterwarnings(  # of Optuna, which the command hides
    "ignore::optuna.exceptions.ExperimentalWarning"
)

DROPOUT = {"model.dropout": {"low": 0, "high": 0.5}}
SPACE = {
    "model.activation": {"choices": ["relu", "tanh"]},
    "model.dropout": {"low": 0, "high": 0.5, "when": {"model.activation": "relu"}},
    "model.hidden_sizes": {
        "layers": {"low": 1, "high": 3},
        "units": {"low": 8, "high": 64, "log": True},
    },
}
RANGE = {"low": 1, "high": 2}
STUDY = {"space": DROPOUT, "trials": 2}
SHORT = {
    "data": {"val_size": 58740},
    "trainer": {"limit_val_batches": 1, "max_epochs": 1, "log_every_n_steps": 1},
    "figures": False,
}
RISKY = {  # momentum 0 is refused with nesterov, and the higher rate diverges
    "model.optimizer": {"choices": ["SGD"]},
    "model.optimizer.init_args.lr": {"choices": [0.1, 1e30]},
    "model.optimizer.init_args.momentum": {"choices": [0.9, 0]},
    "model.optimizer.init_args.nesterov": {"choices": [False, True]},
}
RunSearch = Callable[..., Outcome]


@pytest.fixture
def search(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> RunSearch:
    """Run `search` on a study with this content, in this process."""
    monkeypatch.setattr("sys.argv", ["mlp_lightning"])

    def run(content: Any, *words: str) -> Outcome:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        Path("study.yaml").write_text(text)
        code: int | str | None = 0
        try:
            main(["search", "study.yaml", *words])
        except SystemExit as error:
            code = error.code
        assert isinstance(code, int)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("space: {", "study.yaml: cannot be read: "),
        ("7", "study.yaml: must name space and trials"),
        ({"space": DROPOUT}, "arguments are required: trials"),
        ({**STUDY, "trials": 0}, '"trials": '),
        ({**STUDY, "minutes": 0}, '"minutes": '),
        ({**STUDY, "pruner": "best"}, '"pruner": '),
        ({**STUDY, "pruned": "median"}, "'pruned'"),
        ({**STUDY, "config": "none.yaml"}, "config: there is no file none.yaml"),
        ({**STUDY, "space": {}}, "space: must name the settings to search"),
        ({**STUDY, "storage": "hello"}, "storage: Could not parse"),
        ({**STUDY, "storage": "mysql+none://x/y"}, "storage: "),
        ({**STUDY, "space": {"model.dropuot": {"low": 0, "high": 1}}}, "--model.dropo"),
        ({**STUDY, "space": {"model.dropout": {"low": 0, "high": 2}}}, "--model.dropo"),
    ],
)
def test_a_bad_study_is_refused(content: Any, reason: str, search: RunSearch) -> None:
    assert reason in get_error_line(search(content))
    assert not list(Path().glob("lightning_logs/version_*"))


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (7, "x: must say low and high, choices, or layers and units"),
        ({"low": 2, "high": 1}, "x: from 2 to 1 is empty"),
        ({"low": 0, "high": 1, "log": True}, "x: low must be above 0 with log"),
        ({"low": 0, "high": "much"}, "x: high must be a number, got much"),
        ({"low": 0, "high": float("inf")}, "x: must be between finite numbers"),
        ({"low": 0, "high": 1, "base": 2}, "but no base"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "x: takes either log or step"),
        ({"low": 1, "high": 2, "step": 0}, "x: step must be above 0"),
        ({"low": 1, "high": 2, "step": 0.5}, "x: step must be an integer"),
        ({"choices": []}, "x: choices must be a list"),
        ({"choices": [[1], [1]]}, "x: choices must differ"),
        ({"choices": [1], "when": {"y": 1}}, "x: when must name settings before it"),
        ({"choices": [1], "when": {"model.a": 3}}, "x: model.a is never 3"),
        ({"choices": [1], "when": ["a"]}, "x: when must name settings and values"),
        ({"choices": [1], "when": {"model.layers": 1}}, "x: no setting may depend on"),
        ({"layers": {**RANGE, "when": 3}, "units": RANGE}, "layers: takes low, high"),
        ({**RANGE, "step": float("inf")}, "x: step must be above 0, and finite"),
        ({"low": 1, "high": 10**20}, "x: high: must be below 2**63"),
        ({"choices": [10**20]}, "x: must be below 2**63"),
        ({"layers": {"low": -1, "high": 1}, "units": {"low": 1, "high": 2}}, "least 0"),
    ],
)
def test_a_bad_space_is_refused(description: Any, reason: str) -> None:
    with pytest.raises(SettingError) as refusal:
        read_space(
            {
                "model.a": {"choices": [1, 2]},
                "model.layers": {"layers": RANGE, "units": RANGE},
                "model.x": description,
            }
        )
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ({"trainer": {"enable_checkpointing": False}}, "enable_checkpointing: "),
        ({"data": {"val_size": 0}}, "val_size: "),
        ({"trainer": {"devices": 2, "accelerator": "cpu"}}, "devices: "),
        ({"trainer": {"max_epochs": -1}}, "max_epochs: must be above 0 for hyperband"),
        ({"trainer": {"max_epochs": 0}}, "max_epochs: must be above 0"),
        ({"trainer": {"max_steps": 3}}, "max_steps: "),
        ({"trainer": {"limit_val_batches": 0}}, "limit_val_batches: "),
        ({"trainer": {"check_val_every_n_epoch": 6}}, "check_val_every_n_epoch: "),
        ({"trainer": {"fast_dev_run": True}}, "fast_dev_run: "),
        ({"trainer": {"barebones": True}}, "barebones: "),
    ],
)
def test_a_base_without_trials_that_go_on_is_refused(
    base: Any, reason: str, search: RunSearch
) -> None:
    Path("base.yaml").write_text(yaml.safe_dump(base))
    study = {**STUDY, "config": "base.yaml", "pruner": "hyperband"}
    assert reason in get_error_line(search(study))


@pytest.mark.parametrize(
    ("name", "choices", "reason"),
    [
        ("trainer.enable_checkpointing", [True, False], "enable_checkpointing: "),
        ("data.val_size", [10000, 0], "val_size: "),
        ("trainer.max_epochs", [1, 0], "max_epochs: "),
        ("trainer.fast_dev_run", [False, True], "fast_dev_run: "),
        ("model.dropout", [datetime.date(2020, 1, 1)], "--model.dropout: "),
    ],
)
def test_choices_without_val_acc_are_refused(
    name: str, choices: list[Any], reason: str, search: RunSearch
) -> None:
    study = {"space": {name: {"choices": choices}}, "trials": 1}
    assert reason in get_error_line(search(study))


@pytest.mark.parametrize(
    "name",
    [
        "config",
        "ckpt_path",
        "print_config",
        "help",
        "figures",
        "",
        "data.data_dir",
        "trainer.default_root_dir",
        "trainer.devices",
        "trainer.logger.init_args.name",
    ],
)
def test_what_is_no_setting_of_a_training_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="is no setting to search"):
        read_space({name: {"choices": [1]}})


def test_texts_that_are_whole_numbers_are_integers_beside_one() -> None:
    def read(low: Any, high: Any) -> list[Any]:
        (parameter,) = read_space({"model.x": {"low": low, "high": high}})
        return parameter.domain.list_ends()

    assert repr(read(1, "8")) == "[1, 8]"
    assert repr(read("1e1", 80)) == "[10, 80]"
    assert repr(read(0, 1.0)) == "[0.0, 1.0]"
    assert repr(read(0, "1e-1")) == "[0.0, 0.1]"
    assert repr(read("1e-3", "1e0")) == "[0.001, 1.0]"


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("sqlite:////none/it.db", "storage: unable to open"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/x", "storage: connection fail"),
    ],
)
def test_a_database_that_does_not_work_is_a_failure(
    storage: str, reason: str, search: RunSearch
) -> None:
    line = get_error_line(search({**STUDY, "storage": storage}), 1)
    assert reason in line
    assert "secret" not in line


def test_ctrl_c_during_the_checks_is_said_once(
    search: RunSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(cli: CheckCLI) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckCLI, "before_instantiate_classes", interrupt)
    assert get_error_line(search(STUDY), 130) == "interrupted"


def test_what_was_found_is_reported_even_if_a_worker_fails(
    search: RunSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plan: Plan, opened: optuna.Study) -> bool:
        raise WorkerError(1, "out of order")

    monkeypatch.setattr("mlp_lightning.search.command.run_trials", fail)
    outcome = search(STUDY)
    assert get_error_line(outcome, 1) == "out of order"
    assert "0 trials: 0 complete, 0 pruned" in outcome.out


def test_bad_words_and_missing_packages_are_refused(
    search: RunSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "workers" in get_error_line(search(STUDY, "--workers=0"))
    assert "other.yaml" in get_error_line(search(STUDY, "other.yaml"))
    monkeypatch.setattr("mlp_lightning.search.command.find_spec", lambda name: None)
    line = get_error_line(search(STUDY))
    assert line == "search: needs optuna: pip install 'mlp-lightning[search]'"


def make_plan_for(content: dict[str, Any]) -> Plan:
    study = Path("study.yaml")
    study.write_text(yaml.safe_dump(content))
    return Plan(read_study(study), 1, {}, Path("lightning_logs"), 5)


def test_another_study_in_the_database_is_refused(workplace: Path) -> None:
    assert prepare_study(make_plan_for(STUDY)).study_name == "study"
    more = {**STUDY, "trials": 9, "minutes": 1}  # which may change
    assert prepare_study(make_plan_for(more)).study_name == "study"
    with pytest.raises(SettingError, match="has a study study with another seed"):
        prepare_study(make_plan_for({**STUDY, "seed": 1}))


def test_a_path_may_have_any_character(workplace: Path) -> None:
    logs = Path("what? 100%")
    prepare_study(replace(make_plan_for(STUDY), logs=logs))
    assert (logs / "search_study" / "study.db").is_file()


@pytest.fixture
def risky_plan(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A study some of whose trials fail; its files change after they were checked."""
    monkeypatch.setattr("sys.argv", ["mlp_lightning"])
    forbid_test_images(monkeypatch)
    base = Path("base.yaml")
    base.write_text(yaml.safe_dump(SHORT))
    study = Path("<study>.yaml")
    content = {"config": "base.yaml", "space": RISKY, "trials": 8}
    study.write_text(yaml.safe_dump(content, sort_keys=False))
    plan = make_plan(read_study(study), 1)
    base.write_text("model: {hidden_sizes: [1]}")
    study.unlink()
    return plan


def test_trials_that_diverge_or_are_refused_are_counted(
    risky_plan: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    opened = prepare_study(risky_plan)
    work(risky_plan.study, opened, risky_plan.logs, settle=False)
    capfd.readouterr()
    report_study(risky_plan, opened)
    summary, header, *rows = capfd.readouterr().out.splitlines()
    pattern = r"8 trials: (\d) complete, 0 pruned, (\d) diverged, (\d) refused"
    found = re.fullmatch(pattern, summary)
    assert found is not None
    counts = [int(count) for count in found.groups()]
    assert sum(counts) == 8
    assert min(counts) > 0
    assert header.split() == ["val/acc", "run", "settings"]
    rows = rows[: counts[0]]
    assert all(re.search(r" version_\d +optimizer=SGD  lr=0\.1  ", row) for row in rows)
    scores = [row.split()[0] for row in rows]
    assert scores == sorted(scores, reverse=True)
    page = (risky_plan.folder / "search.html").read_text(encoding="utf-8")
    assert "<title>The study &lt;study&gt;</title>" in page
    assert "val\\u002facc" in page  # as plotly writes it
    assert '"text":"Objective Value"' not in page
    main(["fit", "--config", str(risky_plan.folder / "best.yaml"), *QUIET])
    assert f"val/acc {scores[0]}" in capfd.readouterr().out


def forbid_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = MNISTDataModule.setup

    def check_stage(data: MNISTDataModule, stage: str) -> None:
        assert stage == "fit"
        setup(data, stage)

    monkeypatch.setattr(MNISTDataModule, "setup", check_stage)


def test_a_training_that_was_not_validated_is_no_best(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(words: list[str], logs: Path, trial: optuna.Trial) -> None:
        run = logs / f"version_{trial.number}"
        run.mkdir(parents=True)
        (run / TOKEN_NAME).write_text(trial.user_attrs[TOKEN])

    monkeypatch.setattr("mlp_lightning.search.trials.train_or_resume", end)
    study = make_study()
    work(make_plan_for(STUDY).study, study, Path("lightning_logs"), settle=False)
    line = "2 trials: 0 complete, 0 pruned, 2 without val/acc"
    assert count_outcomes(study) == line
    assert describe_best(study) == ""


def test_a_worker_waits_for_another_that_takes_the_run_first(
    short_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_study().ask()
    trial.set_user_attr(TOKEN, "a")
    (short_run / TOKEN_NAME).write_text("a")
    began: list[list[str]] = []

    def fit(words: list[str], trial: optuna.Trial) -> None:
        began.append(words)
        if len(began) == 1:
            with lock_run(short_run):  # by the other worker
                main(words)

    monkeypatch.setattr("mlp_lightning.search.trials.TrialCLI", fit)
    train_or_resume(["fit"], short_run.parent, trial)
    assert began == 2 * [["fit", f"--ckpt_path={short_run}"]]
    assert OUTCOME not in trial.user_attrs


@pytest.mark.parametrize(
    ("cause", "code", "expected"),
    [
        (SettingError("no"), 2, True),
        (MemoryError(), 1, True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), 1, True),
        (OSError("disk full"), 1, False),
        (None, 143, False),
    ],
)
def test_which_ends_are_refusals(
    cause: Exception | None, code: int, expected: bool
) -> None:
    stop = SystemExit(code)
    stop.__context__ = cause
    assert is_refusal(stop) == expected


@pytest.mark.search
def test_the_studies_of_configs_and_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["mlp_lightning"])
    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(# configs/.*?)```", page, re.DOTALL)
    (tmp_path / "fast.yaml").symlink_to(ROOT / "configs" / "fast.yaml")
    study = tmp_path / "search" / "my_study.yaml"
    study.parent.mkdir()
    study.write_text(text)
    for path in (study, *ROOT.glob("configs/search/*.yaml")):
        plan = make_plan(read_study(path), 1)
        assert plan.base["data"] == {"batch_size": 128}


def test_examples_try_each_end_and_choice() -> None:
    examples = list(list_examples(read_space(SPACE)))
    assert {"model.activation": "tanh", "model.hidden_sizes": [8]} in examples
    sizes = [example["model.hidden_sizes"] for example in examples]
    assert [64, 64, 64] in sizes
    dropouts = [example.get("model.dropout") for example in examples]
    assert {0.0, 0.5, None} == set(dropouts)


def make_study(pruner: optuna.pruners.BasePruner | None = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = InMemoryStorage()
    sampler = StatelessSampler(seed=3)
    return optuna.create_study(
        study_name="study",
        storage=storage,
        sampler=sampler,
        pruner=pruner,
        direction="maximize",
    )


def play(study: optuna.Study, trial: optuna.Trial, epochs: int = 5) -> None:
    """Choose settings, and report what a training with them might."""
    note_index(trial)
    settings = suggest_settings(read_space(SPACE), trial)
    score = sum(settings["model.hidden_sizes"]) / 200 - settings.get("model.dropout", 0)
    for epoch in range(1, epochs + 1):
        trial.report(score + epoch / 100, epoch)
        if epoch < epochs and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, score)


def interrupt(study: optuna.Study, trial: optuna.Trial) -> None:
    """Do what Optuna does with a trial whose worker was killed."""
    study.tell(trial, state=TrialState.FAIL)
    RETRY(study, study.trials[trial.number])


def describe(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.params, trial.value, trial.user_attrs[INDEX]


@pytest.mark.parametrize(
    "make_pruner", [optuna.pruners.MedianPruner, lambda: IndexedHyperband(3, 5)]
)
def test_interruptions_change_no_choice(
    make_pruner: Callable[[], optuna.pruners.BasePruner],
) -> None:
    alone = make_study(make_pruner())
    for _ in range(20):
        play(alone, alone.ask())
    killed = make_study(make_pruner())
    for number in itertools.count():
        trial = killed.ask()
        if number in (2, 13, 14):
            note_index(trial)
            trial.suggest_categorical("model.activation", ["relu", "tanh"])
            interrupt(killed, trial)
        elif number in (5, 17):
            killed.tell(trial, state=TrialState.FAIL)  # before it has its index
        else:
            play(killed, trial)
        if len(list_trials(killed)) == 20 and not killed.get_trials(
            states=(TrialState.WAITING,)
        ):
            break
    expected = [describe(trial) for trial in list_trials(alone)]
    assert [describe(trial) for trial in list_trials(killed)] == expected
    assert {state for state, *_ in expected} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_two_workers_draw_different_settings() -> None:
    study = make_study()
    one = study.ask()
    two = study.ask()
    for trial in (two, one):
        note_index(trial)
        suggest_settings(read_space(SPACE), trial)
    assert one.params != two.params


def test_no_index_is_left_out_or_given_twice() -> None:
    study = make_study()
    trials = [study.ask() for _ in range(4)]
    for trial in (trials[3], trials[2], trials[0]):  # the second is yet to begin
        note_index(trial)
    study.tell(trials[1], state=TrialState.FAIL)  # its worker was killed
    study.tell(trials[0], state=TrialState.FAIL)
    late = [study.ask() for _ in range(2)]
    for trial in late:  # before the first is queued again
        note_index(trial)
    RETRY(study, study.trials[0])
    indices = {trial.number: trial.user_attrs[INDEX] for trial in list_trials(study)}
    assert indices == {2: 2, 3: 3, 4: 1, 5: 4, 6: 0}


def test_two_trials_that_begin_together_have_two_indices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_study()
    one = study.ask()
    two = study.ask()
    read_trials = study.get_trials

    def read_while_the_other_begins(deepcopy: bool) -> list[FrozenTrial]:
        monkeypatch.undo()
        trials = read_trials()
        note_index(one)
        return trials

    monkeypatch.setattr(study, "get_trials", read_while_the_other_begins)
    note_index(two)
    assert [trial.user_attrs[INDEX] for trial in study.trials] == [0, 1]


def test_what_a_kill_has_left_between_two_writes_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlp_lightning.search.storage.POLL_SECONDS", 0)
    monkeypatch.setattr("mlp_lightning.search.storage.ORPHAN_SECONDS", -1)
    study = make_study()
    trial = study.ask()
    note_index(trial)
    study.tell(trial, state=TrialState.FAIL)  # and it was not queued
    study.ask()  # and has no index yet
    Watch(study).settle()
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.FAIL, TrialState.WAITING]
    assert study.trials[2].user_attrs == {INDEX: 0}
    Watch(study).settle()
    assert len(study.trials) == 3


Train = Callable[[Study, Path, optuna.Trial], float]


def work_with(train: Train, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """Run a study of two trials, each of which does this."""
    monkeypatch.setattr("mlp_lightning.search.trials.train", train)
    study = make_study()
    work(make_plan_for(STUDY).study, study, Path(), settle=False)
    return study


def test_a_worker_leaves_a_trial_that_another_has_by_now(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(study: Study, logs: Path, trial: optuna.Trial) -> float:
        if trial.number == 0:
            trial.study.tell(trial.number, state=TrialState.FAIL)
        trial.report(0.5, 1)
        return 0.5

    study = work_with(train, monkeypatch)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_bug_leaves_the_trial_to_be_continued(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[optuna.Study] = []

    def train(study: Study, logs: Path, trial: optuna.Trial) -> float:
        seen.append(trial.study)
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        work_with(train, monkeypatch)
    assert [trial.state for trial in seen[0].trials] == [TrialState.RUNNING]
