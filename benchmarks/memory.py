"""Measure what `fit` gains by keeping the memory that tensors free.

    python benchmarks/memory.py --write   # on Linux with glibc; writes docs/speed.md

The same trainings, with the memory kept, and with it left to glibc, as a setting for
glibc in the environment has it. They take turns; the figures are milliseconds a step,
the validation and the checkpoint at the end of each epoch included: the median and the
range of all epochs but the first. The peak memory is the largest of all rounds.
"""

import argparse
import os
import statistics
from tempfile import TemporaryDirectory

from commands import FIT, find_logged_epochs, run_command, unpack_mnist
from report import (
    DOCS,
    ROOT,
    describe_setup,
    format_count,
    format_table,
    replace_figures,
    summarise,
)

BATCHES = 100  # of an epoch
EPOCHS = 4
SHORT = [
    f"--trainer.max_epochs={EPOCHS}",
    f"--trainer.limit_train_batches={BATCHES}",
    "--trainer.limit_val_batches=1",
    "--data.val_size=1000",
    "--trainer.enable_progress_bar=false",
    "--figures=false",
]
RECORD = f"--config={ROOT / 'configs' / 'record.yaml'}"
TRAININGS = {
    "`fit` without options": [],
    "record.yaml": [RECORD],
    "record.yaml, bf16-mixed": [RECORD, "--trainer.precision=bf16-mixed"],
}
LEFT_TO_GLIBC = {"GLIBC_TUNABLES": "glibc.malloc.check=0"}  # its own default
KEPT: dict[str, str] = {}


class Samples:
    """What several rounds of a training gave."""

    def __init__(self) -> None:
        self.steps: list[float] = []  # milliseconds
        self.peak = 0.0  # MB of memory

    def add(self, words: list[str], variables: dict[str, str]) -> None:
        """Train once more."""
        with TemporaryDirectory() as folder:
            unpack_mnist(folder)
            done = run_command([*FIT, *words, *SHORT], folder, variables)
            epochs = find_logged_epochs(folder)
        self.steps += [seconds / BATCHES * 1000 for seconds in epochs]
        self.peak = max(self.peak, done.peak_memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--write", action="store_true", help="write docs/speed.md")
    options = parser.parse_args()
    if any(name.startswith(("MALLOC_", "GLIBC_")) for name in os.environ):
        parser.error("the environment sets glibc's memory already: unset that")
    rows = []
    for name, words in TRAININGS.items():
        left = Samples()
        kept = Samples()
        for _ in range(options.rounds):
            left.add(words, LEFT_TO_GLIBC)
            kept.add(words, KEPT)
        ratio = statistics.median(left.steps) / statistics.median(kept.steps)
        rows.append(
            [
                name,
                summarise(left.steps),
                summarise(kept.steps),
                f"{ratio:.2f}",
                f"{left.peak:,.0f}",
                f"{kept.peak:,.0f}",
            ]
        )
    header = [
        "",
        "ms, left to glibc",
        "ms, kept",
        "times as fast",
        "MB, left",
        "MB, kept",
    ]
    table = format_table(header, rows)
    setup = f"{format_count(options.rounds, 'round')} on {describe_setup()}."
    print(table, setup, sep="\n\n")
    if options.write:
        text = f"{table}\n\n{setup}"
        replace_figures(DOCS / "speed.md", "memory.py:table", text)


if __name__ == "__main__":
    main()
