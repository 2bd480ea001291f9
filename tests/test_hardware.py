"""How many threads a training uses, its memory, and which precisions are slow."""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from support import (
    QUIET_TRAINER,
    RunCommand,
    assert_equal,
    get_error_line,
    link_data,
    read_state,
)
from torch import nn

from mlp_lightning import MLPClassifier, MNISTDataModule, hardware
from mlp_lightning import cli as cli_module
from mlp_lightning.cli import MLPCLI
from mlp_lightning.errors import SettingError
from mlp_lightning.trainer import MLPTrainer

FEWER_THREADS = (
    "Training with 1 instead of 2 threads: for so small a step, more gain little and "
    "suffer on a busy machine (OMP_NUM_THREADS overrides this)"
)
TRIAL = ["fit", "--trainer.fast_dev_run=true", "--trainer.enable_progress_bar=false"]
GROUPS = Path("groups")  # in the tests of control groups
MEMBERSHIP = Path("membership")


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch have two threads, by its own choice, of eight cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware, "count_cores", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def used_threads(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The numbers of threads that training and validation steps have had."""
    counts = set()

    def spy_on(step: Callable[..., Any]) -> Callable[..., Any]:
        def count(model: MLPClassifier, batch: Any, batch_idx: int) -> Any:
            counts.add(torch.get_num_threads())
            return step(model, batch, batch_idx)

        return count

    for name in ("training_step", "validation_step"):
        monkeypatch.setattr(MLPClassifier, name, spy_on(getattr(MLPClassifier, name)))
    return counts


# The cores that a process may use


@pytest.fixture
def no_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in no control group; the test's own folder is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "CGROUPS", GROUPS)
    monkeypatch.setattr(hardware, "MEMBERSHIP", MEMBERSHIP)


def write_groups(files: dict[str, str]) -> None:
    for name, text in files.items():
        file = GROUPS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        pytest.param("0::/", {"cpu.max": "150000 100000"}, 1.5, id="one"),
        pytest.param("0::/", {"cpu.max": "100000 50000"}, 2, id="period"),
        pytest.param("0::/", {"cpu.max": "max 100000"}, inf, id="max"),
        pytest.param("0::/", {"cgroup.procs": "1"}, inf, id="no-file"),
        pytest.param(
            "0::/a/b",
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"},
            2,
            id="inner-has-less",
        ),
        pytest.param(
            "0::/a/b",
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000"},
            3,
            id="outer-has-less",
        ),
        pytest.param(
            "0::/a/b",
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"},
            3,
            id="only-outer",
        ),
        pytest.param(
            "0::/a",
            {"a/cpu.max": "300000 100000", "b/cpu.max": "200000 100000"},
            3,
            id="not-another-group",
        ),
        pytest.param(
            "0::/a:b",
            {"a:b/cpu.max": "300000 100000"},
            3,
            id="colon",
            marks=pytest.mark.skipif(
                sys.platform == "win32", reason="no file there has a colon in its name"
            ),
        ),
        pytest.param(
            "0::/docker/1f", {"cpu.max": "300000 100000"}, 3, id="path-outside"
        ),
        pytest.param(
            "9:name=systemd:/\n4:cpu,cpuacct:/a\n0::/a",
            {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"},
            2.5,
            id="v1",
        ),
        pytest.param(
            "4:cpu:/a",
            {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
            inf,
            id="v1-none",
        ),
        pytest.param(
            "4:cpu:/docker/1f",
            {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
            2.5,
            id="v1-path-outside",
        ),
    ],
)
def test_the_smallest_quota_counts(
    membership: str, files: dict[str, str], quota: float
) -> None:
    write_groups(files)
    Path("cpu.max").write_text("10000 100000\n")  # is of no group
    MEMBERSHIP.write_text(membership + "\n")
    assert hardware.read_cpu_quota(GROUPS, MEMBERSHIP) == quota


@pytest.mark.usefixtures("no_groups")
def test_without_control_groups_there_is_no_quota() -> None:
    assert hardware.read_cpu_quota(GROUPS, MEMBERSHIP) == inf
    MEMBERSHIP.write_text("")
    assert hardware.read_cpu_quota(GROUPS, MEMBERSHIP) == inf


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 4),
        ("800000 100000", 4),
        ("400000 100000", 4),
        ("250000 100000", 2),
        ("50000 100000", 1),
    ],
)
def test_a_quota_leaves_whole_cores_and_at_least_one(
    quota: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5}, raising=False)
    write_groups({"cpu.max": quota})
    MEMBERSHIP.write_text("0::/")
    assert hardware.count_cores() == cores


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize(("known", "cores"), [(6, 6), (None, 1)])
def test_without_affinity_all_cores_count(
    known: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert hardware.count_cores() == cores


@pytest.mark.usefixtures("no_groups")
def test_affinity_leaves_the_cores_that_it_allows() -> None:
    if sys.platform != "linux":
        pytest.skip("no process can be kept to some cores here")
    else:  # mypy knows these functions on Linux alone
        allowed = os.sched_getaffinity(0)
        assert hardware.count_cores() == len(allowed)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            assert hardware.count_cores() == 1
        finally:
            os.sched_setaffinity(0, allowed)


# The threads of a training


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("batch_size", "threads"), [(9, 1), (10, 2), (11, 2)])
def test_a_step_of_enough_work_gets_all_threads(
    batch_size: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "MIN_PARALLEL_WORK", 1_200)
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 1, bias=False))
    assert sum(weights.numel() for weights in model.parameters()) == 120
    assert hardware.choose_threads(model, batch_size) == threads


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 2)])
def test_there_are_no_more_threads_than_cores(
    cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "count_cores", lambda: cores)
    model = nn.Linear(1, 1)
    assert hardware.choose_threads(model, hardware.MIN_PARALLEL_WORK) == threads


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_number_that_the_user_gives_wins(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Linear(1, 1)
    monkeypatch.setenv(variable, "")  # is none
    assert hardware.choose_threads(model, 1) == 1
    monkeypatch.setenv(variable, "2")  # torch has read it
    assert hardware.choose_threads(model, 1) == 2
    monkeypatch.setattr(hardware, "count_cores", lambda: 1)
    assert hardware.choose_threads(model, hardware.MIN_PARALLEL_WORK) == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_are_given_back_whatever_happens() -> None:
    def stop() -> None:
        with hardware.use_threads(1):
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("cores", "line"),
    [
        (2, FEWER_THREADS),
        (
            1,
            "Training with 1 instead of 2 threads: this process may use no more cores "
            "(OMP_NUM_THREADS overrides this)",
        ),
    ],
)
def test_another_number_of_threads_than_torchs_is_announced(
    cores: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hardware, "count_cores", lambda: cores)
    hardware.announce_threads(2)
    assert capsys.readouterr() == ("", "")
    hardware.announce_threads(1)
    assert capsys.readouterr() == (f"{line}\n", "")


@pytest.mark.usefixtures("two_threads")
def test_the_number_that_torch_has_is_not_set_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []
    with monkeypatch.context() as patch:  # ends before two_threads sets the number back
        patch.setattr(torch, "set_num_threads", counts.append)
        with hardware.use_threads(2):
            assert counts == []
        assert counts == []
        with hardware.use_threads(1):
            assert counts == [1]
        assert counts == [1, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("no_groups")
def test_a_quota_that_cannot_be_read_stops_nothing() -> None:
    (GROUPS / "cpu.max").mkdir(parents=True)  # reading it raises an OSError
    MEMBERSHIP.write_text("0::/")
    assert hardware.read_cpu_quota(GROUPS, MEMBERSHIP) == inf


def test_fit_trains_a_small_network_with_one_thread(
    cli: RunCommand, used_threads: set[int]
) -> None:
    outcome = cli(*TRIAL)
    assert outcome.code == 0, outcome.err
    assert used_threads == {1}
    assert torch.get_num_threads() == 2
    assert outcome.out.splitlines()[0] == FEWER_THREADS
    assert outcome.out.count(FEWER_THREADS) == 1


def test_fit_trains_a_wide_network_with_all_threads(
    cli: RunCommand, used_threads: set[int]
) -> None:
    outcome = cli(*TRIAL, "--model.hidden_sizes=[2048]")
    assert outcome.code == 0, outcome.err
    assert used_threads == {2}
    assert "threads" not in outcome.out


def test_fit_trains_on_large_batches_with_all_threads(
    cli: RunCommand, used_threads: set[int]
) -> None:
    outcome = cli(*TRIAL, "--data.batch_size=1000")
    assert outcome.code == 0, outcome.err
    assert used_threads == {2}
    assert "threads" not in outcome.out


def test_fit_keeps_the_threads_that_the_user_asks_for(
    cli: RunCommand, used_threads: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    outcome = cli(*TRIAL)
    assert outcome.code == 0, outcome.err
    assert used_threads == {2}
    assert "threads" not in outcome.out


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("options", "threads"),
    [
        ({"strategy": "auto"}, 1),
        ({"strategy": SingleDeviceStrategy("cuda")}, 2),
        ({"strategy": "ddp", "devices": 1}, 2),
        ({"strategy": "ddp_spawn", "devices": 2}, 2),
    ],
    ids=["alone", "cuda", "launched-alone", "two"],
)
def test_only_a_training_in_this_process_on_the_cpu_has_its_threads_chosen(
    options: dict[str, Any], threads: int
) -> None:
    trainer = lightning.Trainer(**{**QUIET_TRAINER, **options})
    data = MNISTDataModule()
    cli: Any = SimpleNamespace(trainer=trainer, model=MLPClassifier(), datamodule=data)
    assert MLPCLI.count_threads(cli) == threads


@pytest.mark.usefixtures("two_threads", "short_run")
@pytest.mark.parametrize(
    ("strategy", "threads"), [("auto", 2), ("ddp_spawn", 2), ("ddp_fork", 1)]
)
def test_a_process_that_will_be_forked_starts_no_threads(
    strategy: str, threads: int, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its forks would wait for these threads forever."""
    counts = set()

    def count_threads(*_: object) -> None:
        counts.add(torch.get_num_threads())

    def stop(*_: object, **__: object) -> None:
        raise SettingError("trainer: stopped before the fork")

    for name in ("load_weights", "check_training"):
        monkeypatch.setattr(cli_module, name, count_threads)
    monkeypatch.setattr(MLPTrainer, "fit", wraps(MLPTrainer.fit)(stop))
    words = [f"--trainer.strategy={strategy}", "--trainer.accelerator=cpu"]
    more = ["--trainer.max_epochs=10", "--trainer.devices=1"]
    line = get_error_line(cli("fit", "--ckpt_path=last", *words, *more))
    assert line.endswith("stopped before the fork")
    assert counts == {threads}
    assert torch.get_num_threads() == 2


def test_a_trainer_from_python_keeps_torchs_threads(
    data_dir: Path, used_threads: set[int]
) -> None:
    few: Any = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1}
    trainer = lightning.Trainer(**QUIET_TRAINER, **few)
    trainer.fit(MLPClassifier(), MNISTDataModule(str(data_dir)))
    assert used_threads == {2}
    assert torch.get_num_threads() == 2


# torch counts the cores when it is imported.
FIT_ON_SOME_CORES = """
import os, sys
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, cores[:int(sys.argv[1])])
from mlp_lightning.__main__ import main
main(sys.argv[2:])
"""
FIT = [
    "fit",
    "--trainer.limit_train_batches=40",
    "--trainer.max_epochs=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--figures=false",
]


@pytest.mark.subprocess
def test_a_run_is_the_same_on_one_core_and_on_two(
    data_dir: Path, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("no process can be kept to some cores here")
    elif len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is only one core")
    ours = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # of the tests
    env = {name: value for name, value in os.environ.items() if name not in ours}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    states = []
    for cores in ("1", "2"):
        folder = tmp_path / cores
        link_data(data_dir, folder / "data")
        command = [sys.executable, "-c", FIT_ON_SOME_CORES, cores, *FIT]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        states.append(read_state(folder / "lightning_logs/version_0"))
    one, two = states
    assert one["global_step"] == 40
    assert_equal(one, two)


# Memory


@pytest.fixture
def accepted_by_glibc(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """The parameters that glibc's mallopt has been given, and has not refused."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("it is for glibc alone")
    for name in (*hardware.MALLOC_VARIABLES, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    accepted = {}
    c_library = ctypes.CDLL(None)

    def mallopt(parameter: int, value: int) -> int:
        is_accepted: int = c_library.mallopt(parameter, value)
        if is_accepted:
            accepted[parameter] = value
        return is_accepted

    spy = SimpleNamespace(mallopt=mallopt, gnu_get_libc_version=None)
    monkeypatch.setattr(hardware, "ctypes", SimpleNamespace(CDLL=lambda name: spy))
    return accepted


KEPT = {-1: 2**31 - 1, -3: 32 * 2**20}  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


def test_fit_has_glibc_keep_the_memory_that_tensors_free(
    data_dir: Path, accepted_by_glibc: dict[int, int]
) -> None:
    MLPCLI([*TRIAL, f"--data.data_dir={data_dir}"])
    assert accepted_by_glibc == KEPT


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072", {}),
        ("MALLOC_MMAP_THRESHOLD_", "131072", {}),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", {}),
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0", KEPT),
    ],
)
def test_who_tells_glibc_what_to_keep_is_obeyed(
    variable: str,
    value: str,
    expected: dict[int, int],
    accepted_by_glibc: dict[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    hardware.keep_freed_memory()
    assert accepted_by_glibc == expected


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    musl = SimpleNamespace()  # has no mallopt
    monkeypatch.setattr(hardware, "ctypes", SimpleNamespace(CDLL=lambda name: musl))
    hardware.keep_freed_memory()


# Precisions


def set_capabilities(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object]
) -> None:
    """Let torch find these in the CPU; before 2.10, it does not look."""
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )


@pytest.fixture
def slow_products(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The products that are timed, by a clock of our own, and no 16-bit hardware."""
    seconds = {torch.float32: 0.5, torch.bfloat16: 2.0, torch.float16: 3.0}
    timed = []

    def time_product(dtype: torch.dtype) -> float:
        timed.append(dtype)
        return seconds[dtype]

    monkeypatch.setattr(hardware, "time_product", time_product)
    set_capabilities(monkeypatch, {"avx2": True, "avx512_bf16": False})
    return timed


@pytest.mark.parametrize(
    ("precision", "slowdown"),
    [
        ("32-true", 1),
        ("64-true", 1),
        ("transformer-engine", 1),
        ("bf16-mixed", 4),
        ("bf16-true", 4),
        ("16-mixed", 6),
        ("16-true", 6),
    ],
)
def test_16_bits_are_compared_with_32(
    precision: str, slowdown: float, slow_products: list[torch.dtype]
) -> None:
    assert hardware.measure_slowdown(precision) == slowdown
    assert len(slow_products) == (0 if slowdown == 1 else 2)


@pytest.mark.parametrize(
    ("capability", "bf16", "fp16"),
    [
        ("avx512_bf16", 1, 6),
        ("amx_bf16", 1, 6),
        ("bf16", 1, 6),
        ("avx512_fp16", 4, 1),
        ("amx_fp16", 4, 1),
        ("fp16_arith", 4, 1),
        ("avx512_f", 4, 6),
    ],
)
@pytest.mark.usefixtures("slow_products")
def test_what_the_cpu_has_instructions_for_is_not_timed(
    capability: str, bf16: float, fp16: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_capabilities(monkeypatch, {capability: True, "num_sockets": 1})
    assert hardware.measure_slowdown("bf16-true") == bf16
    assert hardware.measure_slowdown("16-true") == fp16


@pytest.mark.usefixtures("slow_products")
def test_an_older_torch_that_knows_no_instructions_times_a_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert hardware.measure_slowdown("bf16-true") == 4


def test_an_emulated_precision_is_slow() -> None:
    """Measured: PCs before 2023 have no instructions for float16."""
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    is_known = hasattr(torch.cpu, "get_capabilities")
    if not is_x86 or not is_known or hardware.has_instructions(torch.float16):
        pytest.skip("this CPU may have instructions for all types")
    # Another program may slow down a product: of three, one is not disturbed.
    slowdowns = [hardware.measure_slowdown("16-true") for _ in range(3)]
    assert sorted(slowdowns)[1] > hardware.MIN_SLOWDOWN


@pytest.mark.filterwarnings("ignore:You passed `Trainer")  # it takes bf16-mixed
@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_slow_precision_is_named_before_the_first_step(
    precision: str, cli: RunCommand
) -> None:
    outcome = cli(*TRIAL, f"--trainer.precision={precision}")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[0] == (
        "--trainer.precision bf16-mixed is slow on this CPU: a matrix product "
        "takes 4.0 times as long as with 32-true"
    )


@pytest.mark.parametrize(
    ("capability", "seconds"), [("avx512_bf16", 2.0), ("avx2", 0.7), ("avx2", 0.3)]
)
def test_a_precision_that_is_not_slow_is_not_named(
    capability: str,
    seconds: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_capabilities(monkeypatch, {capability: True})
    timed = {torch.float32: 0.5, torch.bfloat16: seconds}
    monkeypatch.setattr(hardware, "time_product", timed.__getitem__)
    hardware.warn_of_slow_precision("bf16-mixed")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("short_run", "slow_products")
@pytest.mark.parametrize(
    ("command", "is_named"), [("validate", True), ("export --output=a.txt", False)]
)
def test_a_slow_precision_matters_to_what_runs_the_network(
    command: str, is_named: bool, cli: RunCommand
) -> None:
    words = ["--trainer.limit_val_batches=2"] if command == "validate" else []
    outcome = cli(*command.split(), *words, "--trainer.precision=bf16-mixed")
    assert ("is slow on this CPU" in outcome.out) == is_named
