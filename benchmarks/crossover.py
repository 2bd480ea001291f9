"""Find the work from which on more threads pay, for speed.py --threads.

The same steps of training, on made-up images, are timed with one thread and with all,
on an idle machine and beside a busy core.
"""

import sys
import time
from collections import defaultdict
from statistics import median

import torch
from busy import ALL, ALONE, BESIDE_CORE, busy_core
from report import describe_setup, format_table
from torch.nn.functional import cross_entropy

from mlp_lightning import MLP
from mlp_lightning.hardware import MIN_PARALLEL_WORK

Network = tuple[tuple[int, ...], int]  # hidden sizes and batch size
# By network, situation and number of threads, the milliseconds of a step.
Samples = dict[tuple[Network, str, int], list[float]]

NETWORKS: tuple[Network, ...] = (  # from little to much work
    ((64,), 64),
    ((128, 64), 64),
    ((128, 64), 128),
    ((256, 128), 64),
    ((256, 128), 96),
    ((256, 128), 128),
    ((512, 256), 64),
    ((512, 256), 128),
    ((1024, 512), 64),
    ((2048, 1024), 64),
    ((2048, 1024, 1024), 256),
)
SECONDS = 0.3  # of steps that make up one sample
IMAGES = 4096
STEPS = 8  # between two looks at the clock
MIN_GAIN = 1.2  # in speed, for which more threads are worth it


def time_step(model: MLP, batch_size: int, threads: int) -> float:
    """Return the milliseconds of a step of training."""
    torch.set_num_threads(threads)
    images = torch.randn(IMAGES, 1, 28, 28)
    labels = torch.randint(10, (IMAGES,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def train() -> int:
        batches = torch.randperm(IMAGES).split(batch_size)[:STEPS]
        for rows in batches:
            optimizer.zero_grad()
            logits = model(images.index_select(0, rows))
            loss = cross_entropy(logits, labels.index_select(0, rows))
            loss.backward()
            optimizer.step()
        return len(batches)

    train()  # the first steps are slower
    steps = 0
    start = time.perf_counter()
    seconds = 0.0
    while seconds < SECONDS:
        steps += train()
        seconds = time.perf_counter() - start
    return seconds / steps * 1000


def add_samples(samples: Samples, situation: str) -> None:
    """Time each network once with one thread, and once with all."""
    for network in NETWORKS:
        hidden_sizes, batch_size = network
        model = MLP(hidden_sizes)
        for threads in (1, ALL):
            milliseconds = time_step(model, batch_size, threads)
            samples[network, situation, threads].append(milliseconds)


def describe_crossover(rounds: int) -> str:
    """Return a table, and the work from which on all threads are faster by a fifth."""
    if ALL == 1:
        sys.exit("there is only one core: nothing to compare")
    samples: Samples = defaultdict(list)
    for _ in range(rounds):
        add_samples(samples, ALONE)
        with busy_core():
            add_samples(samples, BESIDE_CORE)
    rows = []
    crossover = 0
    for network in NETWORKS:
        hidden_sizes, batch_size = network
        weights = sum(parameter.numel() for parameter in MLP(hidden_sizes).parameters())
        work = weights * batch_size
        # Alone, the fastest, which nothing has disturbed; beside a busy core, all are.
        fastest = [min(samples[network, ALONE, threads]) for threads in (1, ALL)]
        usual = [median(samples[network, BESIDE_CORE, threads]) for threads in (1, ALL)]
        gain = fastest[0] / fastest[1]
        if gain < MIN_GAIN:
            crossover = 0
        elif crossover == 0:
            crossover = work
        rows.append(
            [
                f"{list(hidden_sizes)}, batch {batch_size}",
                f"{work / 1e6:,.0f}",
                f"{fastest[0]:.2f}",
                f"{gain:.2f}",
                f"{usual[0] / usual[1]:.2f}",
            ]
        )
    header = [
        "network",
        "million multiply-adds",
        "ms a step, 1 thread",
        f"speed-up by {ALL} threads",
        "beside a busy core (below 1: slower)",
    ]
    table = format_table(header, rows)
    found = f"from {crossover / 1e6:,.0f} million on" if crossover else "nowhere"
    return (
        f"{table}\n\nHere {ALL} threads are faster by a fifth or more {found}; "
        f"`fit` uses them from {MIN_PARALLEL_WORK / 1e6:,.0f} million on.\n"
        f"The fastest of {rounds} samples, and beside a busy core their medians, on "
        f"{describe_setup()}."
    )
