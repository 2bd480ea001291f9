import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support import (
    ROOT,
    SHORT_RUN,
    TWO_FORKS,
    TWO_PROCESSES,
    Outcome,
    RunCommand,
    get_error_line,
    read_curves,
    read_mnist,
    read_weights,
)
from torch import Tensor

CONFIGS = sorted(ROOT.joinpath("configs").glob("*.yaml"))


def read_steps(run: str | Path) -> dict[str, list[int]]:
    """Return the steps of each curve that TensorBoard shows."""
    return {
        name: [step for step, _ in curve] for name, curve in read_curves(run).items()
    }


def read_last_weights(number: int) -> dict[str, Tensor]:
    """Return the weights that the run of this number ended with."""
    return read_weights(f"lightning_logs/version_{number}/checkpoints/last.ckpt")


def test_fit_then_test(cli: RunCommand) -> None:
    fitted = cli("fit", "--trainer.max_epochs=2", "--trainer.limit_train_batches=100")
    assert fitted.code == 0, fitted.err
    run = "lightning_logs/version_0"
    best = f"{run}/checkpoints/best.ckpt"
    files = {file.name for file in Path(run).iterdir() if "tfevents" not in file.name}
    assert files == {
        *(".lock", "config.yaml", "hparams.yaml", "checkpoints"),
        *("projector", "projector_config.pbtxt"),
    }
    assert set(os.listdir(f"{run}/checkpoints")) == {"best.ckpt", "last.ckpt"}
    assert re.search(r"train/loss=\d\.\d", fitted.out)  # in the progress bar
    val_acc, saved, test, tensorboard = fitted.out.splitlines()[-4:]
    assert re.fullmatch(r"val/acc 0\.\d{4}", val_acc)
    assert saved == f"Saved {best}"
    assert test == f"Next: python -m mlp_lightning test --ckpt_path {best}"
    assert tensorboard == "      tensorboard --logdir lightning_logs"
    assert {
        "train/loss": [49, 99, 149, 199],
        "val/loss": [99, 199],
        "val/acc": [99, 199],
    }.items() <= (read_steps(run).items())

    tested = cli("test")
    assert tested.code == 0
    assert tested.out.startswith(f"Using {best}\n")
    report = json.loads(Path(run, "test.json").read_text())
    digits = {f"test_acc/{digit}" for digit in range(10)}
    assert report.keys() == {"test/acc", "test/loss", "checkpoint"} | digits
    assert report["checkpoint"] == "checkpoints/best.ckpt"
    assert 0.5 < report["test/acc"] < 0.9
    assert re.search(rf"test/acc[ │]+{report['test/acc']}", tested.out)
    assert read_steps(run)["test/acc"] == [199]  # where val/acc of the last step is
    assert os.listdir("lightning_logs") == ["version_0"]


def test_validate_measures_what_fit_has_said(cli: RunCommand) -> None:
    fitted = cli("fit", *SHORT_RUN)
    (val_acc,) = re.findall(r"^val/acc (0\.\d{4})$", fitted.out, re.MULTILINE)
    validated = cli("validate")
    assert re.search(r"val/acc[ │]+" + re.escape(val_acc[:5]), validated.out)


@pytest.mark.subprocess
def test_what_a_run_was_made_with_comes_back_unasked(
    cli: RunCommand, shell: RunCommand
) -> None:
    Path("data").rename("daten 😀")
    made = [
        "--model.hidden_sizes=[32]",
        "--model.activation=tanh",
        "--data.val_size=1000",
    ]
    root = "--trainer.default_root_dir=elsewhere"
    assert cli("fit", *SHORT_RUN, *made, root, "--data.data_dir=daten 😀").code == 0
    assert get_error_line(cli("test")).startswith(
        "--ckpt_path: no checkpoint in .: run fit first"
    )
    tested = shell("test", root)
    assert tested.code == 0, tested.err
    assert tested.err == ""
    best = "elsewhere/lightning_logs/version_0/checkpoints/best.ckpt"
    line = get_error_line(cli("test", "--model.hidden_sizes=[33]", root))
    assert line == f"--model.hidden_sizes: [33], but {best} holds [32]"
    # a folder, and a file that lies in no run
    assert cli("test", "--ckpt_path=elsewhere/lightning_logs/version_0").code == 0
    Path("alone.ckpt").write_bytes(Path(best).read_bytes())
    assert cli("test", "--ckpt_path=alone.ckpt").code == 0


def test_explicit_words_win_over_the_runs_settings(cli: RunCommand) -> None:
    assert (
        cli("fit", *SHORT_RUN, "--model.activation=tanh", "--data.val_size=1000").code
        == 0
    )
    Path("a.yaml").write_text("{model: {activation: sigmoid}, trainer: {logger: null}}")
    accuracies = {}
    for words in ([], ["--model.activation=identity"], ["--config=a.yaml"]):
        assert cli("test", *words).code == 0
        accuracies[tuple(words)] = json.loads(
            Path("lightning_logs/version_0/test.json").read_text()
        )
    assert len({report["test/loss"] for report in accuracies.values()}) == 3
    assert len(list(Path("lightning_logs").iterdir())) == 1


def test_a_network_can_be_tested_with_other_dropout(cli: RunCommand) -> None:
    assert cli("fit", *SHORT_RUN, "--model.dropout=0.2").code == 0
    assert cli("test", "--model.dropout=0").code == 0


def test_a_partial_test_leaves_no_result(short_run: Path, cli: RunCommand) -> None:
    for batches in ("0", "2", "0.5"):
        assert cli("test", f"--trainer.limit_test_batches={batches}").code == 0
    assert not (short_run / "test.json").exists()


def test_without_validation_the_last_checkpoint_serves(cli: RunCommand) -> None:
    fitted = cli("fit", *SHORT_RUN, "--data.val_size=0")
    last = "lightning_logs/version_0/checkpoints/last.ckpt"
    assert fitted.out.splitlines()[-3] == f"Saved {last}"
    assert [path.name for path in Path(last).parent.iterdir()] == ["last.ckpt"]
    assert cli("test").out.startswith(f"Using {last}\n")
    assert (
        get_error_line(cli("validate"))
        == "--data.val_size: must be at least 1 to validate, got 0"
    )


def test_predict(short_run: Path, cli: RunCommand) -> None:
    assert cli("test").code == 0
    assert cli("predict").code == 0
    with (short_run / "predictions.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "digit", *(f"p{digit}" for digit in range(10)), "error"]
    numbers = [[float(cell) for cell in row[1:-1]] for row in rows]
    table = torch.tensor(numbers, dtype=torch.float64)
    digits, probabilities = table[:, 0], table[:, 1:]
    assert torch.equal(probabilities.argmax(dim=1), digits.long())
    assert probabilities.sum(dim=1).sub(1).abs().max() < 1e-5
    _, labels = read_mnist(Path("data"), "t10k")
    report = json.loads((short_run / "test.json").read_text())
    assert (digits == labels).double().mean().item() == pytest.approx(
        report["test/acc"]
    )


@pytest.mark.subprocess
@pytest.mark.usefixtures("short_run")
def test_names_that_the_terminal_cannot_print(
    shell: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("drei ③.png").touch()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    outcome = shell("predict", "--data.images=drei ③.png")
    assert get_error_line(outcome, 1) == "1 file was not read: see the table"
    assert "drei ?.png" in outcome.out


def test_the_same_seed_gives_the_same_weights(cli: RunCommand) -> None:
    for seed in (
        "--seed_everything=42",
        "--seed_everything=42",
        "--seed_everything=43",
    ):
        words = ["--model.dropout=0.2", "--trainer.limit_train_batches=50"]
        assert cli("fit", "--trainer.max_epochs=1", *words, seed).code == 0
    first, again, other = (read_last_weights(number) for number in range(3))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def read_test_pictures() -> dict[str, bytes]:
    """Return the pictures of a test, which the newest run has."""
    pictures = Path("lightning_logs/version_1").glob("test_*.png")
    return {path.name: path.read_bytes() for path in pictures}


@pytest.mark.stock
@pytest.mark.subprocess
def test_two_processes_learn_what_one_does(cli: RunCommand, shell: RunCommand) -> None:
    words = [
        "--trainer.max_epochs=1",
        "--data.val_size=50000",  # 157 steps, the last of 16 images
        "--data.augmentation.rotation=15",
    ]
    assert cli("fit", *words).code == 0
    outcome = shell("fit", *words, *TWO_PROCESSES)
    assert outcome.code == 0, outcome.err
    one, two = read_last_weights(0), read_last_weights(1)
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-4) for name in one)

    alone = cli("test")
    pictures = read_test_pictures()
    shared = shell("test", *TWO_PROCESSES, "--trainer.strategy=ddp_spawn")
    assert (alone.code, shared.code, shared.err) == (0, 0, "")
    assert read_test_pictures() == pictures
    assert shared.out.splitlines()[-1] == alone.out.splitlines()[-1]
    accuracies = [
        re.findall(r"test/acc +(\S+)", outcome.out) for outcome in (alone, shared)
    ]
    assert len(accuracies[0]) == 1
    assert accuracies[0] == accuracies[1]
    line = get_error_line(shell("fit", *TWO_FORKS, "--data.batch_size=63"))
    assert line == "--data.batch_size: must be a multiple of the 2 processes, got 63"
    runs = sorted(path.name for path in Path("lightning_logs").iterdir())
    assert runs == ["version_0", "version_1"]
    assert Path("data/MNIST").exists()


@pytest.mark.usefixtures("garments")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_each_config_runs_and_says_what_it_reached(
    config: Path, cli: RunCommand
) -> None:
    assert cli("fit", f"--config={config}", "--trainer.fast_dev_run=true").code == 0
    question, result, command = config.read_text().splitlines()[:3]
    assert re.fullmatch(r"# .+\?.*", question)
    several, one = r"0\.\d{4} ± 0\.\d{4} \([35] seeds\)", r"0\.\d{4} \(1 seed\)"
    seconds = r"([\d.,]+ s) of training on .+"
    versions = r"torch [^, ]+(?:, bf16-mixed)?"
    figures = rf"({several}|{one}), {seconds}, ([\d,]+) parameters, {versions}"
    found = re.fullmatch(f"# test/acc {figures}", result)
    assert found
    link = f"[{config.stem}](../configs/{config.name})"
    cells = [link, found[1], found[2], found[3], question.removeprefix("# ")]
    row = f"| {' | '.join(cells)} |"
    assert row in ROOT.joinpath("docs/results.md").read_text().splitlines()
    assert command == f"# python -m mlp_lightning fit --config configs/{config.name}"


def test_the_saved_config_makes_the_same_run_again(cli: RunCommand) -> None:
    fast = next(config for config in CONFIGS if config.stem == "fast")
    assert cli("fit", f"--config={fast}", *SHORT_RUN).code == 0
    saved = Path("lightning_logs/version_0/config.yaml")
    assert yaml.safe_load(saved.read_text())["data"]["batch_size"] == 128
    assert cli("fit", f"--config={saved}").code == 0
    one, two = (read_last_weights(run) for run in (0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_the_user_switches_off_is_off(cli: RunCommand) -> None:
    off = [
        "--trainer.enable_checkpointing=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",  # rich would print it to stdout
    ]
    outcome = cli(
        "fit", *SHORT_RUN, *off, "--trainer.logger=false", "--trainer.max_epochs=1"
    )
    assert outcome == Outcome(0, "", outcome.err)
    assert {path.name for path in Path().iterdir()} == {"data"}


def test_what_the_user_adds_is_used(cli: RunCommand) -> None:
    callbacks = [
        f"--trainer.callbacks+={name}"
        for name in ("TQDMProgressBar", "ModelCheckpoint", "Timer")
    ]
    profiler = [
        f"--trainer.profiler{word}" for word in ("=SimpleProfiler", ".filename=profile")
    ]
    outcome = cli("fit", *SHORT_RUN, *callbacks, *profiler, "--trainer.max_epochs=1")
    assert outcome.code == 0, outcome.err
    (report,) = Path("lightning_logs/version_0").glob("*profile*")
    assert "run_training_batch" in report.read_text()
    saved = {
        path.name for path in Path("lightning_logs/version_0/checkpoints").iterdir()
    }
    assert saved == {"best.ckpt", "last.ckpt", "epoch=0-step=5.ckpt"}


@pytest.mark.parametrize(
    "schedule",
    [
        "ReduceLROnPlateau",
        "lightning.pytorch.cli.ReduceLROnPlateau",
        {"class_path": "ReduceLROnPlateau", "init_args": {"mode": "min"}},
    ],
)
def test_a_plateau_of_the_loss_is_lightnings(schedule: object, cli: RunCommand) -> None:
    Path("a.yaml").write_text(yaml.safe_dump({"model": {"lr_scheduler": schedule}}))
    patience = "--model.lr_scheduler.patience=3"
    outcome = cli("fit", "--config=a.yaml", patience, "--print_config")
    found = yaml.safe_load(outcome.out)["model"]["lr_scheduler"]
    assert found["class_path"] == "lightning.pytorch.cli.ReduceLROnPlateau"
    assert found["init_args"]["monitor"] == "val/loss"
    assert found["init_args"]["patience"] == 3


@pytest.mark.subprocess
def test_the_package_imports_what_is_asked_for() -> None:
    code = """
import sys, mlp_lightning
assert "torch" not in sys.modules
assert mlp_lightning.MLP is __import__("mlp_lightning.mlp").mlp.MLP
assert "torch" in sys.modules
assert not hasattr(mlp_lightning, "Net")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_help_shows_our_options_first(cli: RunCommand) -> None:
    outcome = cli("fit", "--help")
    assert outcome.code == 0
    usage, *lines = outcome.out.splitlines()
    assert usage == "usage: python -m mlp_lightning fit [options]"
    ours = "\n".join(lines[:64])
    for option in (
        "hidden_sizes",
        "activation",
        "dropout",
        "optimizer",
        "lr_scheduler",
    ):
        assert f"--model.{option} " in ours
    for option in ("data_dir", "batch_size", "val_size"):
        assert f"--data.{option} " in ours
    assert "--trainer.max_epochs" in outcome.out
    assert "--trainer" not in ours
    assert "subclasses" not in outcome.out
    assert cli("--help").out.startswith("usage: python -m mlp_lightning [options]\n")
