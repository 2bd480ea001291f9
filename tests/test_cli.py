import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import SHORT, Outcome, refused
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.datasets.mnist import read_label_file

from mlp_lightning import MLPClassifier

CLI = Callable[..., Outcome]
CONFIGS = sorted(Path(__file__).parents[1].joinpath("configs").glob("*.yaml"))
TWO_PROCESSES = [
    "--trainer.strategy=ddp",
    "--trainer.accelerator=cpu",
    "--trainer.devices=2",
]


def scalars(run: str) -> dict[str, list[int]]:
    """Return the steps of each curve that TensorBoard shows."""
    events = EventAccumulator(run).Reload()
    return {
        tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def weights(checkpoint: str) -> dict[str, torch.Tensor]:
    return dict(torch.load(checkpoint, weights_only=True)["state_dict"])


def test_fit_then_test(cli: CLI) -> None:
    fitted = cli("fit", "--trainer.max_epochs=2", "--trainer.limit_train_batches=100")
    assert fitted.code == 0, fitted.err
    run = "lightning_logs/version_0"
    best = f"{run}/checkpoints/best.ckpt"
    assert {
        file.name for file in Path(run).iterdir() if "tfevents" not in file.name
    } == {*("config.yaml", "hparams.yaml", "checkpoints")}
    assert {file.name for file in Path(run, "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
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
    }.items() <= (scalars(run).items())

    tested = cli("test")
    assert tested.code == 0
    assert tested.out.startswith(f"Using {best}\n")
    report = json.loads(Path(run, "test.json").read_text())
    digits = {f"test_acc/{digit}" for digit in range(10)}
    assert report.keys() == {"test/acc", "test/loss", "checkpoint"} | digits
    assert report["checkpoint"] == "checkpoints/best.ckpt"
    assert 0.5 < report["test/acc"] < 0.9
    assert re.search(rf"test/acc +{report['test/acc']}", tested.out)
    assert scalars(run)["test/acc"] == [199]  # where val/acc of the last step is
    assert [path.name for path in Path("lightning_logs").iterdir()] == ["version_0"]

    validated = cli("validate")
    assert re.search(r"val/acc +" + re.escape(val_acc.split()[1][:5]), validated.out)


def test_what_a_run_was_made_with_comes_back_unasked(cli: CLI, shell: CLI) -> None:
    Path("data").rename("daten 😀")
    made = [
        "--model.hidden_sizes=[32]",
        "--model.activation=tanh",
        "--data.val_size=1000",
    ]
    root = "--trainer.default_root_dir=elsewhere"
    assert cli("fit", *SHORT, *made, root, "--data.data_dir=daten 😀").code == 0
    assert refused(cli("test")).startswith(
        "--ckpt_path: no checkpoint in .: run fit first"
    )
    tested = shell("test", root)
    assert tested.code == 0, tested.err
    assert tested.err == ""
    best = "elsewhere/lightning_logs/version_0/checkpoints/best.ckpt"
    line = refused(cli("test", "--model.hidden_sizes=[33]", root))
    assert line == f"--model.hidden_sizes: [33], but {best} holds [32]"
    # a folder, and a file that lies in no run
    assert cli("test", "--ckpt_path=elsewhere/lightning_logs/version_0").code == 0
    Path("alone.ckpt").write_bytes(Path(best).read_bytes())
    assert cli("test", "--ckpt_path=alone.ckpt").code == 0


def test_explicit_words_win_over_the_runs_settings(cli: CLI) -> None:
    assert (
        cli("fit", *SHORT, "--model.activation=tanh", "--data.val_size=1000").code == 0
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


def test_a_network_can_be_tested_with_other_dropout(cli: CLI) -> None:
    assert cli("fit", *SHORT, "--model.dropout=0.2").code == 0
    assert cli("test", "--model.dropout=0").code == 0


def test_a_partial_test_leaves_no_result(cli: CLI) -> None:
    assert cli("fit", *SHORT).code == 0
    for batches in ("0", "2", "0.5"):
        assert cli("test", f"--trainer.limit_test_batches={batches}").code == 0
    assert not Path("lightning_logs/version_0/test.json").exists()


def test_without_validation_the_last_checkpoint_serves(cli: CLI) -> None:
    fitted = cli("fit", *SHORT, "--data.val_size=0")
    last = "lightning_logs/version_0/checkpoints/last.ckpt"
    assert fitted.out.splitlines()[-3] == f"Saved {last}"
    assert [path.name for path in Path(last).parent.iterdir()] == ["last.ckpt"]
    assert cli("test").out.startswith(f"Using {last}\n")
    assert (
        refused(cli("validate"))
        == "--data.val_size: must be at least 1 to validate, got 0"
    )


def test_predict(cli: CLI) -> None:
    assert cli("fit", *SHORT).code == 0
    assert cli("test").code == 0
    assert cli("predict").code == 0
    with open("lightning_logs/version_0/predictions.csv") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "digit", *(f"p{digit}" for digit in range(10)), "error"]
    numbers = [[float(cell) for cell in row[1:-1]] for row in rows]
    table = torch.tensor(numbers, dtype=torch.float64)
    digits, probabilities = table[:, 0], table[:, 1:]
    assert torch.equal(probabilities.argmax(dim=1), digits.long())
    assert probabilities.sum(dim=1).sub(1).abs().max() < 1e-5
    labels = read_label_file("data/MNIST/raw/t10k-labels-idx1-ubyte")
    report = json.loads(Path("lightning_logs/version_0/test.json").read_text())
    assert (digits == labels).double().mean().item() == pytest.approx(
        report["test/acc"]
    )


def test_names_that_the_terminal_cannot_print(
    cli: CLI, shell: CLI, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", *SHORT).code == 0
    Path("drei ③.png").touch()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    outcome = shell("predict", "--data.images=drei ③.png")
    assert refused(outcome, 1) == "1 files show no digit, as said above"
    assert "drei ?.png" in outcome.out


def test_the_same_seed_gives_the_same_weights(cli: CLI) -> None:
    for seed in (
        "--seed_everything=42",
        "--seed_everything=42",
        "--seed_everything=43",
    ):
        words = ["--model.dropout=0.2", "--trainer.limit_train_batches=50"]
        assert cli("fit", "--trainer.max_epochs=1", *words, seed).code == 0
    first, again, other = (
        weights(f"lightning_logs/version_{number}/checkpoints/last.ckpt")
        for number in range(3)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_two_processes_learn_what_one_does(cli: CLI, shell: CLI) -> None:
    words = ["--trainer.max_epochs=1", "--data.augmentation.rotation=15"]
    assert cli("fit", *words).code == 0
    outcome = shell("fit", *words, *TWO_PROCESSES)
    assert outcome.code == 0, outcome.err
    one, two = (
        weights(f"lightning_logs/version_{run}/checkpoints/last.ckpt") for run in (0, 1)
    )
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-4) for name in one)

    accuracies = []
    for devices in (1, 3):
        outcome = shell("test", *TWO_PROCESSES, f"--trainer.devices={devices}")
        assert outcome.code == 0, outcome.err
        accuracies += re.findall(r"test/acc +(\S+)", outcome.out)
    assert len(accuracies) == 2
    assert len(set(accuracies)) == 1
    line = refused(shell("fit", *TWO_PROCESSES, "--data.batch_size=63"))
    assert line == "--data.batch_size: must be a multiple of the 2 processes, got 63"
    runs = sorted(path.name for path in Path("lightning_logs").iterdir())
    assert runs == ["version_0", "version_1"]
    assert Path("data/MNIST").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_each_config_runs_and_says_what_it_reached(config: Path, cli: CLI) -> None:
    assert cli("fit", f"--config={config}", "--trainer.fast_dev_run=true").code == 0
    question, result, command = config.read_text().splitlines()[:3]
    assert re.fullmatch(r"# .+\?.*", question)
    several, one = r"0\.\d{4} ± 0\.\d{4} \(5 seeds\)", r"0\.\d{4} \(1 seed\)"
    figures = rf"({several}|{one}), ([\d.,]+ s) of training on .+, ([\d,]+) parameters, torch .+"
    found = re.fullmatch(f"# test/acc {figures}", result)
    assert found
    link = f"[{config.stem}](configs/{config.name})"
    row = f"| {link} | {found[1]} | {found[2]} | {found[3]} | {question.removeprefix('# ')} |"
    assert (
        row in Path(__file__).parents[1].joinpath("README.md").read_text().splitlines()
    )
    assert command == f"# python -m mlp_lightning fit --config configs/{config.name}"


def test_the_saved_config_makes_the_same_run_again(cli: CLI) -> None:
    fast = next(config for config in CONFIGS if config.stem == "fast")
    assert cli("fit", f"--config={fast}", *SHORT).code == 0
    saved = Path("lightning_logs/version_0/config.yaml")
    assert yaml.safe_load(saved.read_text())["data"]["batch_size"] == 128
    assert cli("fit", f"--config={saved}").code == 0
    one, two = (
        weights(f"lightning_logs/version_{run}/checkpoints/last.ckpt") for run in (0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_the_user_switches_off_is_off(cli: CLI) -> None:
    off = [
        "--trainer.enable_checkpointing=false",
        "--trainer.enable_progress_bar=false",
    ]
    outcome = cli(
        "fit", *SHORT, *off, "--trainer.logger=false", "--trainer.max_epochs=1"
    )
    assert outcome == Outcome(0, "", outcome.err)
    assert {path.name for path in Path().iterdir()} == {"data"}


def test_what_the_user_adds_is_used(cli: CLI) -> None:
    callbacks = [
        f"--trainer.callbacks+={name}"
        for name in ("TQDMProgressBar", "ModelCheckpoint")
    ]
    profiler = [
        f"--trainer.profiler{word}" for word in ("=SimpleProfiler", ".filename=profile")
    ]
    outcome = cli("fit", *SHORT, *callbacks, *profiler, "--trainer.max_epochs=1")
    assert outcome.code == 0, outcome.err
    (report,) = Path("lightning_logs/version_0").glob("*profile*")
    assert "run_training_batch" in report.read_text()
    saved = {
        path.name for path in Path("lightning_logs/version_0/checkpoints").iterdir()
    }
    assert saved == {"best.ckpt", "last.ckpt", "epoch=0-step=5.ckpt"}


def test_the_package_imports_what_is_asked_for() -> None:
    code = """
import sys, mlp_lightning
assert "torch" not in sys.modules
assert mlp_lightning.MLP is __import__("mlp_lightning.mlp").mlp.MLP and "torch" in sys.modules
assert not hasattr(mlp_lightning, "Net")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_help_shows_our_options_first(cli: CLI) -> None:
    outcome = cli("fit", "--help")
    assert outcome.code == 0
    usage, *lines = outcome.out.splitlines()
    assert usage == "usage: python -m mlp_lightning fit [options]"
    ours = "\n".join(lines[:61])
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


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TypeError])
def test_a_bug_keeps_its_traceback(
    error: type[Exception], cli: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any) -> None:
        raise error("ours")

    monkeypatch.setattr(MLPClassifier, "training_step", step)
    with pytest.raises(error, match="ours"):
        cli("fit", *SHORT)
