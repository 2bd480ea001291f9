"""Whatever the user gets wrong: an exit code, one line that names it, no traceback."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning_utilities.core.imports import RequirementCache
from support import SHORT_RUN, Outcome, RunCommand, get_error_line
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

import mlp_lightning
from mlp_lightning import MLPClassifier
from mlp_lightning.__main__ import main
from mlp_lightning.checks import try_optimizer
from mlp_lightning.errors import (
    SettingError,
    find_exit_code,
    find_signal_code,
    forward_signals,
    restore_child_error,
)
from mlp_lightning.runs import list_runs
from mlp_lightning.trainer import MLPTrainer

NOT_READ = "--{}: is damaged, or another program's"

# Every option of ours, as a flag and in YAML: value, and what the line must say of it.
SETTINGS: dict[str, dict[Any, str]] = {
    "model.hidden_sizes": {
        "[0]": "each must be 1 to 1000000, got [0]",
        "[-5, 3]": "each must be 1 to 1000000, got [-5, 3]",
        "[1000001]": "each must be 1 to 1000000, got [1000001]",
        "[100000000000000000000000]": "each must be 1 to 1000000, got [1000000000",
        "[1.5]": "Expected a <class 'int'>",
        "many": "many",
        "5": "Sequence",
    },
    "model.activation": {
        "rellu": "must be relu, sigmoid, tanh, identity or a class path, got 'rellu'",
        "torch.nn.Linear": "must be relu, sigmoid, tanh, identity or a class path, got "
        "'torch.nn.L",
        "os.system": "got 'os.system'",
        "{class_path: torch.nn.GELU, init_args: {x: 1}}": "got {'class_path': "
        "'torch.nn.GELU'",
        "torch.nn.AdaptiveAvgPool1d": "got 'torch.nn.AdaptiveAvgPool1d'",
    },
    "model.dropout": {
        "1": "must be at least 0 and below 1, got 1.0",
        "-0.1": "must be at least 0 and below 1, got -0.1",
        "high": "Expected a <class 'float'>",
        ".nan": "must be at least 0 and below 1, got nan",
        ".inf": "must be at least 0 and below 1, got inf",
    },
    "model.optimizer": {"Adamm": "Adamm", "torch.nn.ReLU": "torch.nn.ReLU", "3": "3"},
    "model.lr_scheduler": {"Stepp": "Stepp", "torch.optim.SGD": "SGD"},
    "data.dataset": {"Fashion": "or a folder, got Fashion"},
    "data.data_dir": {"file": "cannot be written, Not a directory: file/MNIST"},
    "data.batch_size": {
        "0": "must be at least 1, got 0",
        "-1": "must be at least 1, got -1",
        "6.5": "Expected a <class 'int'>",
    },
    "data.val_size": {
        "-1": "must be at least 0, got -1",
        "60000": "must be below 60000, the number of training images, got 60000",
        "all": "Expected a <class 'int'>",
    },
    "data.augmentation.rotation": {
        "-1": "must be from 0 to 180, got -1.0",
        "x": "Expected a <class 'float'>",
        "null": "",  # refused as a flag and in YAML, in two ways
    },
    "data.augmentation": {"null": "null", "[1]": "1"},
    "data.augmentation.scale": {"1": "must be from 0 to 0.9, got 1.0"},
    "data.augmentation.shear": {"11": "must be from 0 to 10, got 11.0"},
    "data.augmentation.shift": {"29": "must be from 0 to 28, got 29.0"},
    "data.augmentation.elastic": {"1001": "must be from 0 to 1000, got 1001.0"},
    "data.augmentation.smoothing": {"0": "must be from 0.5 to 1000, got 0.0"},
    "checkpoint.every_n_train_steps": {
        "-1": "must be at least 0, got -1",
        "x": "got value: x",
    },
    "seed_everything": {"-1": "-1", "4294967296": "4294967296", "abc": "abc"},
    "trainer.max_epochs": {"x": "x", "-7": "-7"},
    "trainer.accelerator": {"abacus": "abacus", "tpu": "torch_xla"},
    "trainer.devices": {"0": "0", "abc": "`devices`"},
    "trainer.strategy": {"warp": "warp", "deepspeed": "DeepSpeed", "fsdp": "fsdp"},
    "trainer.precision": {"17": "17", "transformer-engine": "transformer_engine"},
    "trainer.accumulate_grad_batches": {"0": "must be above 0, got 0"},
    "trainer.check_val_every_n_epoch": {"0": "must be above 0, got 0"},
    "trainer.val_check_interval": {"0": "must be above 0, got 0", "100000": "100000"},
    "trainer.limit_train_batches": {"-1": "-1", "1.5": "1.5"},
    "trainer.max_time": {"soon": "soon"},
    "trainer.default_root_dir": {
        "file": "cannot be written, Not a directory: file/lightning_logs"
    },
    "trainer.callbacks": {"EarlyStop": "EarlyStop"},
    "trainer.logger": {"Paper": "Paper"},
}
# What takes several words: those, and the line's beginning.
WORDS: list[tuple[str, str]] = [
    (
        "fit --model.hiden_sizes=[3]",
        "unrecognized arguments: --model.hiden_sizes=[3]; "
        "did you mean --model.hidden_sizes?",
    ),
    (
        "fit --modle.dropout 0.1",
        "unrecognized arguments: --modle.dropout 0.1; did you mean --model.dropout?",
    ),
    (
        "fit --data.batchsize=3",
        "unrecognized arguments: --data.batchsize=3; did you mean --data.batch_size?",
    ),
    (
        "fit --trainer.maxepochs=3",
        "unrecognized arguments: --trainer.maxepochs=3; "
        "did you mean --trainer.max_epochs?",
    ),
    (
        "fit --checkpoint.every_n_steps=3",
        "unrecognized arguments: --checkpoint.every_n_steps=3; "
        "did you mean --checkpoint",
    ),
    ("fit --model.hidden=3", "ambiguous option: --model.hidden=3 could"),
    ("fit extra", "unrecognized arguments: extra"),
    ("fit --config", "argument -c/--config: expected one argument"),
    ("fit --model.optimizer.lr=-1", "--model.optimizer: Invalid learning rate: -1.0"),
    (
        "fit --model.optimizer.lr=.nan",
        "--model.optimizer: learning rates must be finite, and 0 or more, got nan",
    ),
    (
        "fit --model.optimizer.lr=.inf",
        "--model.optimizer: learning rates must be finite, and 0 or more, got inf",
    ),
    ("fit --model.optimizer.lr=fast", "--model.optimizer.lr: "),
    ("fit --model.optimizer.rate=3", "--model.optimizer.rate: "),
    (
        "fit --model.optimizer=SGD --model.optimizer.momentum=-1",
        "--model.optimizer: Invalid momentum value: -1.0",
    ),
    (
        "fit --model.optimizer=SGD --model.optimizer.nesterov=true",
        "--model.optimizer: Nesterov momentum requires",
    ),
    (
        "fit --model.optimizer=Adam --model.optimizer.betas=[2,0.9]",
        "--model.optimizer: Invalid beta parameter",
    ),
    (
        "fit --model.optimizer=Adam --model.optimizer.capturable=true",
        "--model.optimizer: ",
    ),
    (
        "fit --model.optimizer=SparseAdam",
        "--model.optimizer: SparseAdam does not support dense gradients",
    ),
    (
        "fit --model.lr_scheduler=OneCycleLR",
        "--model.lr_scheduler: OneCycleLR needs --model.lr_scheduler.max_lr",
    ),
    (
        "fit --model.lr_scheduler torch.optim.lr_scheduler.CyclicLR",
        "--model.lr_scheduler: CyclicLR needs --model.lr_scheduler.base_lr, "
        "--model.lr_scheduler.max_lr",
    ),
    (
        "fit --model.lr_scheduler=CosineAnnealingWarmRestarts --config=empty.yaml",
        "--model.lr_scheduler: CosineAnnealingWarmRestarts needs "
        "--model.lr_scheduler.T_0",
    ),
    (
        "fit --trainer.callbacks+=Timer --trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks: EarlyStopping needs --trainer.callbacks.monitor",
    ),
    (
        "fit --trainer.callbacks+=BackboneFinetuning",
        "--trainer.callbacks: BackboneFinetuning trains the `backbone` of a network",
    ),
    (
        "fit --model.lr_scheduler=SequentialLR",
        "--model.lr_scheduler: SequentialLR is made of other schedules: name a fun",
    ),
    (
        "fit --model.lr_scheduler=LRScheduler",
        "--model.lr_scheduler: LRScheduler is what all schedules have in common",
    ),
    (
        "fit --model.optimizer=Muon --model.optimizer.lr=1",
        "--model.optimizer: Muon trains the weight matrices of hidden layers alone",
    ),
    (
        "fit --model.lr_scheduler=ReduceLROnPlateau --data.val_size=0",
        "--model.lr_scheduler: waits for val/loss, but there is no validation: set",
    ),
    (
        "fit --model.lr_scheduler=ReduceLROnPlateau --trainer.limit_val_batches=0",
        "--model.lr_scheduler: waits for val/loss, but there is no validation: set",
    ),
    (
        "fit --model.lr_scheduler=StepLR --model.lr_scheduler.step_size=0",
        "--model.lr_scheduler: StepLR cannot make its first step: ",
    ),
    (
        "fit --model.lr_scheduler=ExponentialLR --model.lr_scheduler.gamma=-1",
        "--model.lr_scheduler: learning rates must be finite, and 0 or more, got -0.01",
    ),
    (
        "fit --trainer.profiler=XLAProfiler",
        "--trainer.profiler: is for TPUs, and needs `pip install torch_xla`",
    ),
    (
        "fit --model.lr_scheduler=OneCycleLR --model.lr_scheduler.max_lr=-1",
        "--model.lr_scheduler: learning rates must",
    ),
    (
        "fit --model.lr_scheduler=OneCycleLR --model.lr_scheduler.max_lr=1 "
        "--model.lr_scheduler.total_steps=7",
        "--model.lr_scheduler: OneCycleLR is as long as the training: leave out total_",
    ),
    (
        "fit --model.lr_scheduler=StepLR --model.lr_scheduler.step_size=x",
        "--model.lr_scheduler.step_size: ",
    ),
    (
        "fit --trainer.callbacks+=LearningRateMonitor --trainer.logger=false",
        "Cannot use `LearningRateMonitor` callback with `Trainer` that has no logger",
    ),
    ("fit --ckpt_path=last", "--ckpt_path: no run in .: run fit first"),
    ("fit --ckpt_path=none", "--ckpt_path: no run in none: run fit first"),
    ("fit --ckpt_path=file", "--ckpt_path: no run in file: run fit first"),
    ("fit --ckpt_path=data", "--ckpt_path: no run in data: run fit first"),
    ("fit --config=none.yaml", "--config: File does not exist: "),
    ("fit --config=data", "--config: "),
    ("test", "--ckpt_path: no checkpoint in .: run fit first"),
    ("test --ckpt_path=none", "--ckpt_path: no checkpoint in none: run fit first"),
    ("test --ckpt_path=data", "--ckpt_path: no checkpoint in data: run fit first"),
    ("test --ckpt_path=file", "--ckpt_path: file is damaged, or another program's"),
    ("validate --ckpt_path=file", "--ckpt_path: file is damaged, or another program's"),
    ("predict --ckpt_path=", "--ckpt_path: no checkpoint in .: run fit first"),
    ("predict --data.images=a.png", "--ckpt_path: no checkpoint in .: run fit first"),
    ("train", "argument subcommand: invalid choice: 'train'"),
    ("", 'expected "subcommand" to be one of {fit,validate,test,predict,export, ...}'),
]
FILES: dict[str, tuple[bytes, str]] = {
    "no yaml": (b"model: [", "Problems parsing config: "),
    "a text": (b"just a text", "Unexpected config: just a text (in a.yaml)"),
    "empty": (b"", "Unexpected config: (in a.yaml)"),
    "binary": (b"\x80\x81\xff", "'utf-8' codec can't decode byte 0x80"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "'utf-8' codec can't decode byte 0x89"),
    "a misspelt option": (
        b"model: {hiden_sizes: [3]}",
        "Subcommand 'fit' does not accept option 'model.hiden_sizes' (in a.yaml); "
        "did you mean --model.hidden_sizes?",
    ),
    "a misspelt group": (
        b"trainr: {max_epochs: 3}",
        "Subcommand 'fit' does not accept option 'tra",
    ),
    "another project's": (
        b"model: {lr: 0.1, net: {_target_: src.Net}}\ndata: {num_workers: 3}",
        "Subcommand 'fit' does not accept option 'model.net._target_' (in a.yaml)",
    ),
    "the command in it": (
        b"fit: {data: {val_size: 3}}",
        "Subcommand 'fit' does not accept option",
    ),
    "a list": (b"- model\n- data", "Unexpected config: "),
    "a schedule that lacks a setting": (
        b"model: {lr_scheduler: StepLR}",
        "StepLR needs step_size (in a.yaml)",
    ),
}


@pytest.fixture
def run_main(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> RunCommand:
    """Run `main(argv)`, and see that nothing was written."""
    monkeypatch.setattr(sys, "argv", ["mlp_lightning"])
    Path("file").write_text("no yaml: [")
    Path("empty.yaml").write_text("{}")

    def run(*words: str) -> Outcome:
        before = set(workplace.rglob("*"))
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        written = {
            path for path in workplace.rglob("*") if path.name != "lightning_logs"
        } - before
        assert not written
        assert isinstance(caught.value.code, int)
        return Outcome(caught.value.code, *capfd.readouterr())

    return run


OURS = ("model", "data", "checkpoint", "seed")
CASES = [
    (option, value, text)
    for option, texts in SETTINGS.items()
    for value, text in texts.items()
]


@pytest.mark.parametrize(
    ("option", "value", "text", "how"),
    [(*case, "flag") for case in CASES]
    + [(*case, "yaml") for case in CASES if case[0].startswith(OURS)],
)
def test_a_setting(
    option: str, value: str, text: str, how: str, run_main: RunCommand
) -> None:
    words = [f"--{option}={value}"]
    if how == "yaml":
        *groups, key = option.split(".")
        content = {key: yaml.safe_load(value)}
        for group in reversed(groups):
            content = {group: content}
        Path("a.yaml").write_text(yaml.safe_dump(content))
        words = ["--config=a.yaml"]
    line = get_error_line(run_main("fit", *words))
    assert text.lower() in line.lower()
    if option.startswith(OURS):
        assert line.startswith(f"--{option}: ")


@pytest.mark.parametrize(("words", "line"), WORDS)
def test_words(words: str, line: str, run_main: RunCommand) -> None:
    if "SparseAdam" in words:
        words += " --trainer.limit_train_batches=2 --trainer.log_every_n_steps=1"
    assert get_error_line(run_main(*words.split())).startswith(line)


ABSENT = RequirementCache("a-package-that-nobody-has")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("RichProgressBar", "progress.rich_progress"),
        ("RichModelSummary", "rich_model_summary"),
    ],
)
def test_without_rich(
    name: str, module: str, run_main: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"lightning.pytorch.callbacks.{module}._RICH_AVAILABLE"
    monkeypatch.setattr(path, ABSENT)
    line = get_error_line(run_main("fit", f"--trainer.callbacks+={name}"))
    assert line.startswith(f"--trainer: `{name}` requires `rich`")
    assert line.endswith("Install it by running `pip install -U rich`.")


def test_without_psutil(cli: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "lightning.pytorch.callbacks.device_stats_monitor._PSUTIL_AVAILABLE"
    monkeypatch.setattr(path, ABSENT)
    line = get_error_line(cli("fit", "--trainer.callbacks+=DeviceStatsMonitor"))
    assert line.startswith("`DeviceStatsMonitor` cannot log CPU stats as `psutil` is")
    assert not list_runs(None)


def test_without_the_package_of_a_logger(run_main: RunCommand) -> None:
    line = get_error_line(run_main("fit", "--trainer.logger=CometLogger"))
    assert re.match(
        r"--trainer: Requirement 'comet-ml\S+' not met\. .*`pip insta", line
    )


def test_a_schedule_that_nobody_can_plan(cli: RunCommand) -> None:
    schedule = "--model.lr_scheduler=CosineAnnealingLR"
    line = get_error_line(cli("fit", schedule, "--trainer.max_epochs=-1"))
    text = "has to know how long the training is: set --trainer.max_epochs"
    assert line == f"--model.lr_scheduler: {text}"
    assert not list_runs(None)


def test_a_run_that_has_begun_is_kept_whatever_is_refused(cli: RunCommand) -> None:
    callback = "--trainer.callbacks+=EarlyStopping"
    outcome = cli("fit", *SHORT_RUN, callback, "--trainer.callbacks.monitor=val/los")
    text = "Early stopping conditioned on metric `val/los` which is not available"
    assert get_error_line(outcome).startswith(text)
    assert Path("lightning_logs/version_0/config.yaml").exists()


@pytest.mark.parametrize("kind", FILES)
def test_a_config(kind: str, run_main: RunCommand) -> None:
    content, line = FILES[kind]
    Path("a.yaml").write_bytes(content)
    found = get_error_line(run_main("fit", "--config=a.yaml"))
    assert found.startswith(line)
    assert "a.yaml" in found


@pytest.mark.parametrize("option", ["batch_size", "val_size", "data_dir"])
def test_null(option: str, run_main: RunCommand) -> None:
    Path("a.yaml").write_text(f"data: {{{option}: null}}")
    line = get_error_line(run_main("fit", "--config=a.yaml"))
    assert line == f"--data.{option}: must have a value, got null"


@pytest.mark.subprocess
def test_from_the_shell(shell: RunCommand) -> None:
    assert (
        get_error_line(shell("fit", "--data.batch_size=0"))
        == "--data.batch_size: must be at least 1, got 0"
    )
    line = get_error_line(shell("fit", "--model.optimizer.lr=1e30", *SHORT_RUN), code=1)
    assert "learning rate 1e+30" in line


class Malicious:
    """Unpickled with trust, it would leave a file."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


CHECKPOINTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "code": lambda held: {**held, "code": Malicious()},
    "code alone": lambda held: Malicious(),
    "weights alone": lambda held: held["state_dict"],
    "another program's": lambda held: {"model": {}, "optimizer": {}, "epoch": 3},
    "no settings": lambda held: {**held, "hyper_parameters": None},
    "a list": lambda held: [1, 2, 3],
    "a tensor": lambda held: torch.zeros(3),
    "another network": lambda held: {**held, "state_dict": {}},
    "other settings": lambda held: {
        **held,
        "hyper_parameters": {"lr": 0.1, "lin1_size": 64},
    },
}


def test_checkpoints(short_run: Path, cli: RunCommand) -> None:
    path = short_run / "checkpoints" / "last.ckpt"
    held = torch.load(path, weights_only=True)
    for kind, change in CHECKPOINTS.items():
        torch.save(change(held), path)
        damaged = path.read_bytes()
        commands = ["test", "predict", "validate", "fit"]
        if kind in ("other settings", "another network"):
            commands.remove(
                "fit"
            )  # it takes the settings from config.yaml, and has finished
        for command in commands:
            line = get_error_line(cli(command, f"--ckpt_path={path}"))
            assert str(path) in line or "state_dict" in line or "model.l" in line
            assert not Path("executed").exists()
        if "code" in kind:
            with pytest.raises(Exception, match="Weights only load failed"):
                MLPClassifier.load_from_checkpoint(path)
            assert not Path("executed").exists()
        assert path.read_bytes() == damaged
        assert len(list(Path("lightning_logs").iterdir())) == 1


def test_truncated_checkpoints(short_run: Path, cli: RunCommand) -> None:
    path = short_run / "checkpoints" / "last.ckpt"
    held = path.read_bytes()
    for keep in (0, 1, 1000, -1):
        path.write_bytes(held[:keep])
        for command in ("test", "predict", "fit"):
            line = get_error_line(cli(command, f"--ckpt_path={path}"))
            assert line == f"--ckpt_path: {path} is damaged, or another program's"


def test_what_trusts_would_have_run(workplace: Path) -> None:
    """The malicious checkpoint is one: the tests above could fail."""
    torch.save(Malicious(), "evil.ckpt")
    torch.load("evil.ckpt", weights_only=False)
    assert Path("executed").exists()


def test_a_run_with_a_damaged_config(short_run: Path, cli: RunCommand) -> None:
    (short_run / "config.yaml").write_text("model: [")
    assert "lightning_logs/version_0/config.yaml" in get_error_line(
        cli("fit", "--ckpt_path=last")
    )


def limited_fit(size: int, *words: str) -> Outcome:
    """Run `fit` where no file can grow beyond so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows limits no file's size")
    done = subprocess.run(
        [sys.executable, "-m", "mlp_lightning", "fit", *SHORT_RUN, *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.subprocess
def test_a_full_disk(short_run: Path, cli: RunCommand) -> None:
    path = short_run / "checkpoints" / "last.ckpt"
    held = path.read_bytes()
    line = get_error_line(
        limited_fit(100_000, "--ckpt_path=last", "--trainer.max_epochs=7"), code=1
    )
    assert "File too large" in line
    assert path.read_bytes() == held
    assert sorted(os.listdir(path.parent)) == ["best.ckpt", "last.ckpt"]
    assert cli("test").code == 0
    assert cli("fit", "--ckpt_path=last", "--trainer.max_epochs=7").code == 0
    shutil.rmtree("data/MNIST")
    line = get_error_line(limited_fit(100_000))
    assert line.startswith("--data.data_dir: cannot be written, File too large")


def test_a_file_where_the_checkpoints_go(short_run: Path, cli: RunCommand) -> None:
    shutil.rmtree(short_run / "checkpoints")
    (short_run / "checkpoints").write_text("")
    assert "checkpoints" in get_error_line(
        cli("fit", "--ckpt_path=last", "--trainer.max_epochs=7"), code=1
    )


def test_what_fails_after_the_first_step(short_run: Path, cli: RunCommand) -> None:
    (short_run / "test.json").mkdir()
    assert "test.json" in get_error_line(cli("test"), code=1)


def test_the_errors_name_what_is_there() -> None:
    """An option that a line names is one of `fit`."""
    text = "".join(
        path.read_text() for path in Path(mlp_lightning.__file__).parent.rglob("*.py")
    )
    named = set(re.findall(r'"--((?:model|data|trainer|checkpoint)\.\w+)', text))
    assert named <= SETTINGS.keys()


CHILD_ERRORS = {
    "mlp_lightning.errors.SettingError: batch_size: too large": (2, "batch_size: too"),
    "FileNotFoundError: [Errno 2] No such file: 'a'": (1, "[Errno 2] No such file"),
    "FloatingPointError: no longer finite": (1, "no longer finite"),
    "RuntimeError: Early stopping conditioned on metric `a`": (2, "Early stopping"),
    "RuntimeError: [enforce] DefaultCPUAllocator: can't allocate memory: 9": (1, "["),
    "ValueError:  `val_check_interval` (9) must be less": (2, "`val_check_interval`"),
    "ValueError: ours": (None, "ours"),
    "KeyError: 'ours'": (None, ""),
    "UnicodeDecodeError: 'utf-8' codec can't decode": (None, ""),
    "os.path: nothing": (None, ""),
}


@pytest.mark.parametrize("text", CHILD_ERRORS)
def test_the_error_of_a_child_process_keeps_its_kind(text: str) -> None:
    code, message = CHILD_ERRORS[text]
    trace = f"""

-- Process 1 terminated with the following error:
Traceback (most recent call last):
  File "a.py", line 3, in step
    raise error
{text}
"""
    error = ProcessRaisedException(trace, 1, 2)
    assert find_exit_code(error) == code
    if message:
        assert str(restore_child_error(error)).startswith(message)


class OneProcess(SingleDeviceStrategy):
    """Has a launcher that notes which signals it hands to the processes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.killed_by: list[int] = []

    @property
    def launcher(self) -> Any:
        return SimpleNamespace(kill=self.killed_by.append)


@pytest.mark.parametrize(
    ("number", "stop"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
def test_a_signal_reaches_the_processes_that_were_started(
    number: signal.Signals, stop: type[BaseException]
) -> None:
    strategy = OneProcess()
    handler = signal.getsignal(number)
    with pytest.raises(stop) as caught, forward_signals(strategy):
        signal.raise_signal(number)
    assert find_signal_code(caught.value) == 128 + number
    assert strategy.killed_by == [signal.SIGTERM]
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize(
    ("name", "copies"),
    [("auto", False), ("ddp", False), ("ddp_spawn", True), ("ddp_notebook", True)],
)
def test_signals_are_left_to_lightning_unless_it_copies_the_process(
    name: str, copies: bool
) -> None:
    """A process that waits for its peers within torch would not run our handler."""
    devices = 1 if name == "auto" else 2
    strategy = MLPTrainer(accelerator="cpu", devices=devices, strategy=name).strategy
    handler = signal.getsignal(signal.SIGTERM)
    with forward_signals(strategy):
        assert (signal.getsignal(signal.SIGTERM) is not handler) is copies


def test_a_process_that_was_started_stops_the_first_one() -> None:
    with pytest.raises(SystemExit) as caught, forward_signals(OneProcess()):
        raise ProcessExitedException("process 0 terminated", 0, 9, 143)
    assert find_signal_code(caught.value) == 143
    killed = ProcessExitedException("terminated", 0, 9, -9, "SIGKILL")
    with pytest.raises(ProcessExitedException), forward_signals(OneProcess()):
        raise killed
    assert find_exit_code(killed) == 1


def test_a_run_that_has_saved_is_kept_where_steps_are_not_counted(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(trainer: MLPTrainer, *_: object, **__: object) -> None:
        if saves:
            Path("lightning_logs/version_0/checkpoints").mkdir()
        raise SettingError("data.batch_size: no")

    for saves in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(MLPTrainer, "fit", functools.wraps(MLPTrainer.fit)(refuse))
            assert get_error_line(cli("fit", *SHORT_RUN)) == "data.batch_size: no"
        assert Path("lightning_logs/version_0").exists() is saves


def test_a_run_goes_on_by_the_command_alone(short_run: Path, cli: RunCommand) -> None:
    Path("all.yaml").write_text("{subcommand: fit, fit: {ckpt_path: last}}")
    line = get_error_line(cli("--config=all.yaml"))
    assert line.startswith("--ckpt_path: to go on with a run, write `fit`")


def test_what_is_for_gpus_alone_is_not_tried_on_the_cpu() -> None:
    adam = functools.partial(torch.optim.Adam, capturable=True)
    model = MLPClassifier([8], optimizer=adam)
    try_optimizer(model, torch.device("cuda"))
    with pytest.raises(SettingError, match=r"^optimizer: "):
        try_optimizer(model, torch.device("cpu"))
    assert next(model.parameters()).device.type == "cpu"
