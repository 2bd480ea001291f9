"""Compare this code with another checkout of it: the same bits, and how fast?

    git worktree add /tmp/before main~10
    python benchmarks/compare.py /tmp/before

Four kinds of training, two epochs each, seed 42, one torch thread: the final weights of
both must be equal, bit for bit. Then both train the defaults in turns, and the ratio of
the medians of their seconds per epoch is printed: this code's by the other's.
"""

import argparse
import os
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

HERE = Path(__file__).resolve().parents[1]
AVERAGES = "--trainer.callbacks+=EMAWeightAveraging"
TRAININGS = {
    "the defaults": [],
    "configs/fast.yaml": [f"--config={HERE / 'configs' / 'fast.yaml'}"],
    "dropout and accumulated gradients": [
        "--model.dropout=0.2",
        "--trainer.accumulate_grad_batches=3",
    ],
    "augmentation and averaged weights": [
        "--data.augmentation.rotation=15",
        "--data.augmentation.shear=0.1",
        "--data.augmentation.elastic=36",
        AVERAGES,
    ],
}
EPOCHS_TO_TIME = 6  # the first is left out


def fit(checkout: Path, root: Path, *words: str) -> Path:
    """Train with the code of a checkout, and return the folder of the run."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "mlp_lightning", "fit", *words]
    command += [f"--trainer.default_root_dir={root}", "--seed_everything=42"]
    done = subprocess.run(
        command, env=environment, cwd=root.parent, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return root / "lightning_logs" / "version_0"


def read_weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the final weights of a run."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    weights: dict[str, torch.Tensor] = last["state_dict"]
    return weights


def is_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Return whether names, shapes and bits are the same."""
    if one.keys() != other.keys():
        return False
    return all(torch.equal(one[name], other[name]) for name in one)


def time_epochs(run: Path) -> list[float]:
    """Return the seconds of each epoch but the first, from one val/acc to the next."""
    events = EventAccumulator(str(run)).Reload().Scalars("val/acc")
    return [after.wall_time - before.wall_time for before, after in pairwise(events)]


def compare_weights(checkouts: list[Path], folder: Path) -> bool:
    """Print whether the weights are equal, for each kind of training."""
    all_equal = True
    for number, (name, words) in enumerate(TRAININGS.items()):
        ends = []
        for which, checkout in enumerate(checkouts):
            root = folder / f"weights-{number}-{which}"
            run = fit(checkout, root, "--trainer.max_epochs=2", *words)
            ends.append(read_weights(run))
        equal = is_equal(*ends)
        all_equal = all_equal and equal
        print(f"{name}: {'equal' if equal else 'DIFFERENT'}", flush=True)
    return all_equal


def compare_seconds(checkouts: list[Path], folder: Path, rounds: int) -> None:
    """Print the seconds per epoch of both, taken in turns, and their ratio."""
    seconds: list[list[float]] = [[], []]
    limit = f"--trainer.max_epochs={EPOCHS_TO_TIME}"
    for turn in range(rounds):
        for which, checkout in enumerate(checkouts):
            root = folder / f"time-{turn}-{which}"
            run = fit(checkout, root, limit, "--figures=false")
            seconds[which] += time_epochs(run)
    medians = [statistics.median(times) for times in seconds]
    for name, times, median in zip(("other", "this"), seconds, medians, strict=True):
        spread = f"{min(times):.3f} to {max(times):.3f}"
        print(f"{name}: {median:.3f} s an epoch ({spread}, {len(times)} epochs)")
    print(f"this / other: {medians[1] / medians[0]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=5, help="of timing (default: 5)")
    options = parser.parse_args()
    # Without one, python would find this code, and compare it with itself.
    if not (options.other / "mlp_lightning").is_dir():
        parser.error(f"{options.other} is no checkout: it has no mlp_lightning")
    checkouts = [options.other.resolve(), HERE]
    with TemporaryDirectory() as folder:
        equal = compare_weights(checkouts, Path(folder))
        if options.rounds:
            compare_seconds(checkouts, Path(folder), options.rounds)
    sys.exit(not equal)


if __name__ == "__main__":
    main()
