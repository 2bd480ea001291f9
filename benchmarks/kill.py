"""Kill training runs with SIGKILL, continue them, and compare the ends with a run never killed.

    python benchmarks/kill.py 20

The kills are drawn with a seed: in turn of the defaults, configs/fast.yaml, a network with dropout
under gradient accumulation, and configs/record.yaml with a smaller network; at any moment after the
first step, or aimed at a validation, at an epoch's end, or at a half-written checkpoint. A
checkpoint is written every 100 steps. For each kill, one line: where it struck, how many steps had
to be repeated, and whether the weights, the optimizer's state and every point of the curves are
equal, bit for bit.
"""

import argparse
import functools
import itertools
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EVERY = 100
CONFIG = Path(__file__).parents[1] / "configs"
SMALLER = ["--model.hidden_sizes=[128, 64]"]
CONFIGS = {
    "defaults": [],
    "fast": [f"--config={CONFIG / 'fast.yaml'}"],
    "dropout and accumulation": [
        "--model.dropout=0.2",
        "--trainer.accumulate_grad_batches=3",
    ],
    "record": [f"--config={CONFIG / 'record.yaml'}", "--data.val_size=5000", *SMALLER],
}
PLACES = ["any moment", "validation", "any moment", "epoch's end", "half a checkpoint"]


def child(place: str, step: int, words: list[str]) -> None:
    """Run the command line with these words, and kill this process from `step` on, at `place`."""
    from lightning.pytorch import Trainer

    from mlp_lightning import MLPClassifier
    from mlp_lightning.__main__ import main

    trainers: list[Any] = []

    def die(*_: Any) -> None:
        if trainers and trainers[0].global_step >= step:
            os.write(2, f"\nkilled at step {trainers[0].global_step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def die_any_moment() -> None:
        while True:
            time.sleep(random.uniform(0, 0.002))
            die()

    def before(cls: type, name: str) -> None:
        original = getattr(cls, name)
        setattr(cls, name, lambda *args: die() or original(*args))

    def save_half(trainer: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        save(trainer, path, *args, **kwargs)
        if trainer.global_step >= step:
            os.truncate(path, os.path.getsize(path) // 2)
        die()

    fit, save = Trainer.fit, Trainer.save_checkpoint

    @functools.wraps(fit)  # LightningCLI reads its options there
    def note_trainer(trainer: Any, *args: Any, **kwargs: Any) -> None:
        trainers.append(trainer)
        fit(trainer, *args, **kwargs)

    Trainer.fit = note_trainer
    if place == "validation":
        before(MLPClassifier, "validation_step")
    elif place == "epoch's end":
        before(MLPClassifier, "on_train_epoch_end")
    elif place == "half a checkpoint":
        Trainer.save_checkpoint = save_half
    else:
        threading.Thread(target=die_any_moment, daemon=True).start()
    main(words)


def fit(root: Path, *words: str, kill: tuple[str, int] | None = None) -> str:
    """Run `fit`, be it to its end or to a kill, and return what it writes."""
    quiet = [
        f"--trainer.enable_{part}=false" for part in ("progress_bar", "model_summary")
    ]
    words = ("fit", *words, f"--trainer.default_root_dir={root}", *quiet)
    start = (
        ["-m", "mlp_lightning"]
        if kill is None
        else [__file__, "--child", *map(str, kill)]
    )
    done = subprocess.run(
        [sys.executable, *start, *words], capture_output=True, text=True
    )
    if done.returncode != (0 if kill is None else -signal.SIGKILL):
        sys.exit(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(part, f"{name}.{key}")
    else:
        yield name, value.tolist() if isinstance(value, torch.Tensor) else value


def end_of(root: Path) -> dict[str, Any]:
    """Return all that must be equal: weights, optimizer, schedules, counters, and the curves."""
    (run,) = root.glob("lightning_logs/version_*")
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    parts = {
        name: last[name] for name in ("state_dict", "optimizer_states", "lr_schedulers")
    }
    averages = ("current_model_state", "averaging_state")
    parts |= {name: last[name] for name in averages if name in last}
    counts = {name: last[name] for name in ("epoch", "global_step", "callbacks")}
    events = EventAccumulator(str(run)).Reload()
    curves = {
        tag: [[event.step, event.value] for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    return dict(flat({**parts, **counts, "best": best["state_dict"], "curves": curves}))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        place, step, *words = sys.argv[2:]
        return child(place, int(step), words)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kills", type=int, metavar="N", help="how many kills")
    parser.add_argument("--seed", type=int, default=0, help="of the kills (default: 0)")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart
    same = 0
    with TemporaryDirectory() as folder:
        expected = {}
        epochs, often = (
            "--trainer.max_epochs=2",
            f"--checkpoint.every_n_train_steps={EVERY}",
        )
        for name, words in CONFIGS.items():
            root = Path(folder, f"never killed, {name}")
            fit(root, *words, epochs, often)
            expected[name] = end_of(root)
        for kill, name, place in zip(
            range(options.kills),
            itertools.cycle(CONFIGS),
            itertools.cycle(PLACES),
            strict=False,
        ):
            root = Path(folder, f"kill {kill}")
            steps = int(expected[name][".global_step"])
            at = draw.randrange(1, steps // 2 if place == "epoch's end" else steps - 1)
            died, repeated = [], []
            for again in range(draw.choice([1, 1, 2])):  # some are killed once more
                start = (
                    ["--ckpt_path=last"] if again else [*CONFIGS[name], epochs, often]
                )
                said = fit(root, *start, kill=("any moment" if again else place, at))
                died += map(int, re.findall(r"killed at step (\d+)", said))
                last = list(root.glob("lightning_logs/version_*/checkpoints/last.ckpt"))
                held = (
                    torch.load(last[0], weights_only=True)["global_step"] if last else 0
                )
                repeated.append(died[-1] - held)
                if (at := died[-1] + draw.randrange(200)) >= steps - 1:
                    break
            fit(root, "--ckpt_path=last")
            found = end_of(root)
            differ = [
                key
                for key in expected[name] | found
                if found.get(key) != expected[name].get(key)
            ]
            same += not differ and max(repeated) <= EVERY
            print(
                f"{kill + 1}: {name}, {place}: at step {died}, {repeated} repeated: ",
                end="",
            )
            print(f"differs in {differ[:5]}" if differ else "equal", flush=True)
    print(f"{same} of {options.kills} ended as if never killed")
    sys.exit(same != options.kills)


if __name__ == "__main__":
    main()
