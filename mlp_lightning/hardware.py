"""What suits the CPU: the number of threads, memory that is kept, and precisions.

torch shares each matrix product out to all cores, and the threads that are done wait,
spinning, for the last one. For a small network that gains little, and as soon as
another program takes one of the cores, each product waits for it: a training that runs
beside another one can take ten times as long. docs/speed.md has the measurements.
"""

import ctypes
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from pathlib import Path

import torch
from lightning.pytorch.strategies import Strategy
from torch import nn

from mlp_lightning.errors import print_rank_zero
from mlp_lightning.mlp import IMAGE_PIXELS

# Multiply-adds of the forward pass of a step, from which on more threads are used:
# benchmarks/speed.py --threads shows where they begin to pay.
MIN_PARALLEL_WORK = 25_000_000
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # the groups of this process
# Parameters of mallopt, from glibc's malloc.h, and the largest values it takes on a
# system of 64 bits.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MAX_TRIM_THRESHOLD = 2**31 - 1  # bytes
MAX_MMAP_THRESHOLD = 32 * 2**20  # bytes
# Whoever sets one of these has decided already.
MALLOC_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
MIN_SLOWDOWN = 1.5  # to warn of: less may be the noise of one measurement
TIMED_ROWS = 64  # of a matrix product that is timed, as a batch has by default
TIMED_PRODUCTS = 3  # another program may slow one of them down
# Instruction sets that multiply 16-bit numbers, as torch.cpu.get_capabilities names
# them: on x86-64, and from the third on ARM.
NATIVE_SETS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16", "bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "fp16_arith"),
}


def count_cores() -> int:
    """Return how many cores this process may use, by affinity and by quota."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    quota = read_cpu_quota(CGROUPS, MEMBERSHIP)
    return max(1, int(min(cores, quota)))


def read_cpu_quota(cgroups: Path, membership: Path) -> float:
    """Return the cores that Linux's control groups leave this process; inf: all.

    Args:
        cgroups: Where they are mounted.
        membership: File that lists the groups of the process, as "4:cpu:/group".
    """
    quotas = [inf]
    lines = membership.read_text().splitlines() if membership.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", maxsplit=2)
        if controllers == "":  # version 2
            root = cgroups
        elif "cpu" in controllers.split(","):  # version 1
            root = cgroups / "cpu"
        else:
            continue
        group = root / path.lstrip("/")
        # A group has no more than the groups around it. In a container, the path may
        # be that outside, and only the root is there.
        for folder in (group, *group.parents):
            quotas.append(read_group_quota(folder))
            if folder == root:
                break
    return min(quotas)


def read_group_quota(folder: Path) -> float:
    """Return the quota of one control group, in cores; inf if it has none."""
    newer = folder / "cpu.max"  # "150000 100000", or "max 100000"
    older = folder / "cpu.cfs_quota_us"  # "150000", or "-1"
    try:
        if newer.exists():
            quota, period = newer.read_text().split()
        elif older.exists():
            quota = older.read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        else:
            return inf
    except OSError:  # a quota that cannot be read must not stop a training
        return inf
    if quota in ("max", "-1"):
        return inf
    return int(quota) / int(period)


def choose_threads(model: nn.Module, batch_size: int) -> int:
    """Return how many threads suit a training in one process on the CPU.

    What the user says wins: OMP_NUM_THREADS or MKL_NUM_THREADS.

    Args:
        model: A network of linear layers, which use each weight once for each image.
        batch_size: Images of a step.
    """
    threads = torch.get_num_threads()
    if os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"):
        return threads
    weights = sum(parameter.numel() for parameter in model.parameters())
    if weights * batch_size < MIN_PARALLEL_WORK:
        return 1
    return min(threads, count_cores())


def announce_threads(count: int) -> None:
    """Say how many threads are used, if torch would use another number."""
    default = torch.get_num_threads()
    if count == default:
        return
    reason = "this process may use no more cores"
    if count < min(default, count_cores()):
        reason = "for so small a step, more gain little and suffer on a busy machine"
    print_rank_zero(
        f"Training with {count} instead of {default} threads: {reason} "
        "(OMP_NUM_THREADS overrides this)"
    )


def keep_freed_memory() -> None:
    """Have the C library keep memory that tensors free, for the tensors of later steps.

    As it is, glibc gives much of it back to the system, which has to clear each page
    again when the next step asks for it: with millions of weights, that takes a good
    part of the time (docs/speed.md). This holds for the rest of the process, and for
    blocks of up to 32 MB. Other C libraries are left as they are.
    """
    if sys.platform != "linux" or sets_malloc(os.environ):
        return
    c_library = ctypes.CDLL(None)  # the one that this process has loaded
    if not hasattr(c_library, "gnu_get_libc_version"):  # musl, for one
        return
    c_library.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
    c_library.mallopt(M_TRIM_THRESHOLD, MAX_TRIM_THRESHOLD)


def sets_malloc(variables: Mapping[str, str]) -> bool:
    """Return whether environment variables tell glibc what to keep."""
    if "glibc.malloc" in variables.get("GLIBC_TUNABLES", ""):
        return True
    return any(name in variables for name in MALLOC_VARIABLES)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Have torch use so many threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    if count == before:  # to set it again would change MKL's own choice of threads
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_forkable_threads(strategy: Strategy) -> AbstractContextManager[None]:
    """Have torch start no threads if the strategy will fork this process.

    A fork has none of the threads that were started before, and waits for them forever.
    """
    launcher = strategy.launcher
    # Notebooks, which Lightning calls interactive, can be forked alone.
    if launcher is not None and launcher.is_interactive_compatible:
        return use_threads(1)
    return nullcontext()


def warn_of_slow_precision(precision: str) -> None:
    """Say in one line if this CPU is slow at a precision of Lightning's Trainer."""
    slowdown = measure_slowdown(precision)
    if slowdown > MIN_SLOWDOWN:
        print_rank_zero(
            f"--trainer.precision {precision} is slow on this CPU: a matrix product "
            f"takes {slowdown:.1f} times as long as with 32-true"
        )


def measure_slowdown(precision: str) -> float:
    """Return how many times as long a matrix product takes as with 32-true.

    A CPU without instructions for 16-bit numbers emulates them, and may take 30 times
    as long.

    Args:
        precision: As Lightning's Trainer has it, such as bf16-mixed.

    Returns:
        The factor; 1.0 if the precision has no 16-bit numbers, or if the CPU has
        instructions for them.
    """
    if precision.startswith("bf16"):
        dtype = torch.bfloat16
    elif precision.startswith("16"):
        dtype = torch.float16
    else:
        return 1.0
    if has_instructions(dtype):
        return 1.0
    with use_threads(1):  # more would wait for one another on a busy machine
        return time_product(dtype) / time_product(torch.float32)


def has_instructions(dtype: torch.dtype) -> bool:
    """Return whether the CPU is known to have instructions for this type."""
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.10
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in NATIVE_SETS[dtype])


def time_product(dtype: torch.dtype) -> float:
    """Return the seconds of a product of two matrices, of the fastest of several."""
    weights = torch.ones(IMAGE_PIXELS, IMAGE_PIXELS, dtype=dtype)
    images = weights[:TIMED_ROWS]
    torch.matmul(images, weights)  # the first one is slower
    times = []
    for _ in range(TIMED_PRODUCTS):
        start = time.perf_counter()
        torch.matmul(images, weights)
        times.append(time.perf_counter() - start)
    return min(times)
