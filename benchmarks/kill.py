"""Kill training runs, continue them, and compare their ends with runs never killed.

    python benchmarks/kill.py 20 --write

The kills are drawn with a seed: in turn of the defaults, configs/fast.yaml, a network
with dropout under gradient accumulation, and configs/record.yaml with a smaller
network; at any moment after the first step, or aimed at a validation, at the end of an
epoch, or at a half-written checkpoint. A checkpoint is written every 100 steps. For
each kill, one line: where it struck, how many steps had to be repeated, and whether the
weights, the optimizer's state and every point of the curves are equal, bit for bit.
`--write` puts the sum into docs/resume.md.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from report import DOCS, describe_setup, replace_figures
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CHECKPOINT_INTERVAL = 100  # steps
CONFIG_DIR = Path(__file__).resolve().parents[1] / "configs"
EXPERIMENTS = {
    "defaults": [],
    "fast": [f"--config={CONFIG_DIR / 'fast.yaml'}"],
    "dropout and accumulation": [
        "--model.dropout=0.2",
        "--trainer.accumulate_grad_batches=3",
    ],
    "record": [
        f"--config={CONFIG_DIR / 'record.yaml'}",
        "--data.val_size=5000",
        "--model.hidden_sizes=[128, 64]",
    ],
}
COMMON = [
    "--trainer.max_epochs=2",
    f"--checkpoint.every_n_train_steps={CHECKPOINT_INTERVAL}",
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
ANY_MOMENT = "any moment"
PLACES = [ANY_MOMENT, "validation", ANY_MOMENT, "end of an epoch", "half a checkpoint"]


class Kill(NamedTuple):
    """Where a training process dies: at a place, but not before a step."""

    place: str
    step: int


class Story(NamedTuple):
    """What happened to a run."""

    deaths: list[int]  # steps
    repeated: list[int]  # steps that were lost by each death


class Killer:
    """Kills this process at a place of the training, from a step on."""

    def __init__(self, kill: Kill) -> None:
        self.kill = kill
        self.trainer: Any = None

    def is_due(self) -> bool:
        return self.trainer is not None and self.trainer.global_step >= self.kill.step

    def kill_if_due(self) -> None:
        if self.is_due():
            os.write(2, f"\nkilled at step {self.trainer.global_step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def kill_any_moment(self) -> None:
        while True:
            time.sleep(random.uniform(0, 0.002))
            self.kill_if_due()

    def arm(self) -> None:
        """Put the killer where it is to strike."""
        from lightning.pytorch import Trainer

        from mlp_lightning import MLPClassifier

        self.note_trainer(Trainer)
        if self.kill.place == "validation":
            self.strike_before(MLPClassifier, "validation_step")
        elif self.kill.place == "end of an epoch":
            self.strike_before(MLPClassifier, "on_train_epoch_end")
        elif self.kill.place == "half a checkpoint":
            self.cut_checkpoints(Trainer)
        else:
            threading.Thread(target=self.kill_any_moment, daemon=True).start()

    def note_trainer(self, trainer_class: Any) -> None:
        """Learn from `fit` which trainer counts the steps."""
        fit = trainer_class.fit

        @functools.wraps(fit)  # LightningCLI reads the options in its signature
        def note_and_fit(trainer: Any, *args: Any, **kwargs: Any) -> None:
            self.trainer = trainer
            fit(trainer, *args, **kwargs)

        trainer_class.fit = note_and_fit

    def strike_before(self, cls: type, name: str) -> None:
        original: Callable[..., Any] = getattr(cls, name)

        def die_or_go_on(*args: Any) -> Any:
            self.kill_if_due()
            return original(*args)

        setattr(cls, name, die_or_go_on)

    def cut_checkpoints(self, trainer_class: Any) -> None:
        """Strike when half a checkpoint is on the disk."""
        save = trainer_class.save_checkpoint

        def save_half(trainer: Any, path: Any, *args: Any, **kwargs: Any) -> None:
            save(trainer, path, *args, **kwargs)
            if self.is_due():
                os.truncate(path, os.path.getsize(path) // 2)
            self.kill_if_due()

        trainer_class.save_checkpoint = save_half


def run_and_die(kill: Kill, words: list[str]) -> None:
    """Run the command line in this process, which does not survive it."""
    from mlp_lightning.__main__ import main

    Killer(kill).arm()
    main(words)


def fit(root: Path, *words: str, kill: Kill | None = None) -> str:
    """Run `fit`, be it to its end or to a kill, and return what it writes."""
    command = ["-m", "mlp_lightning"]
    expected = 0
    if kill is not None:
        command = [__file__, "--child", kill.place, str(kill.step)]
        expected = -signal.SIGKILL
    words = ("fit", *words, f"--trainer.default_root_dir={root}", *QUIET)
    done = subprocess.run(
        [sys.executable, *command, *words], capture_output=True, text=True
    )
    if done.returncode != expected:
        sys.exit(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf of dictionaries and lists with its place; tensors as lists."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flatten(part, f"{name}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from flatten(part, f"{name}.{index}")
    else:
        yield name, value.tolist() if isinstance(value, torch.Tensor) else value


def read_end(root: Path) -> dict[str, Any]:
    """Return all that must be equal, from weights to counters and curves, by name."""
    (run,) = root.glob("lightning_logs/version_*")
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    needed = ["state_dict", "optimizer_states", "lr_schedulers"]
    needed += ["epoch", "global_step", "callbacks"]
    averages = ["current_model_state", "averaging_state"]
    parts = {name: last[name] for name in needed}
    parts |= {name: last[name] for name in averages if name in last}
    events = EventAccumulator(str(run)).Reload()
    curves = {
        tag: [[event.step, event.value] for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    return dict(flatten({**parts, "best": best["state_dict"], "curves": curves}))


def read_saved_step(root: Path) -> int:
    """Return the step of a run's last.ckpt; 0 if there is none yet."""
    last = list(root.glob("lightning_logs/version_*/checkpoints/last.ckpt"))
    if not last:
        return 0
    return int(torch.load(last[0], weights_only=True)["global_step"])


def kill_and_continue(
    root: Path, name: str, place: str, steps: int, draw: random.Random
) -> Story:
    """Run an experiment of so many steps, kill it once or twice, then let it end."""
    latest = steps // 2 if place == "end of an epoch" else steps - 1
    step = draw.randrange(1, latest)
    story = Story([], [])
    for attempt in range(draw.choice([1, 1, 2])):
        start = ["--ckpt_path=last"] if attempt else [*EXPERIMENTS[name], *COMMON]
        kill = Kill(ANY_MOMENT if attempt else place, step)
        output = fit(root, *start, kill=kill)
        deaths = re.findall(r"killed at step (\d+)", output)
        story.deaths.extend(map(int, deaths))
        story.repeated.append(story.deaths[-1] - read_saved_step(root))
        step = story.deaths[-1] + draw.randrange(200)
        if step >= steps - 1:
            break
    fit(root, "--ckpt_path=last")
    return story


def find_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [key for key in one | other if one.get(key) != other.get(key)]


def count_equal_ends(kills: int, draw: random.Random, folder: str) -> int:
    """Kill runs and print how each ended; return how many ended as if never killed."""
    expected = {}
    for name, words in EXPERIMENTS.items():
        root = Path(folder, f"never killed, {name}")
        fit(root, *words, *COMMON)
        expected[name] = read_end(root)
    names = itertools.cycle(EXPERIMENTS)
    places = itertools.cycle(PLACES)
    equal = 0
    for number in range(1, kills + 1):
        name = next(names)
        place = next(places)
        root = Path(folder, f"kill {number}")
        steps = int(expected[name][".global_step"])
        story = kill_and_continue(root, name, place, steps, draw)
        differences = find_differences(expected[name], read_end(root))
        if not differences and max(story.repeated) <= CHECKPOINT_INTERVAL:
            equal += 1
        end = f"differs in {differences[:5]}" if differences else "equal"
        where = f"{name}, {place}: at step {story.deaths}"
        print(f"{number}: {where}, {story.repeated} repeated: {end}", flush=True)
    return equal


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        place, step, *words = sys.argv[2:]
        run_and_die(Kill(place, int(step)), words)
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kills", type=int, metavar="N", help="how many kills")
    parser.add_argument("--seed", type=int, default=0, help="of the kills (default: 0)")
    parser.add_argument(
        "--write", action="store_true", help="the sum into docs/resume.md"
    )
    options = parser.parse_args()
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart
    with TemporaryDirectory() as folder:
        draw = random.Random(options.seed)
        equal = count_equal_ends(options.kills, draw, folder)
    text = f"{equal} of {options.kills} killed runs ended bit for bit as if left alone"
    print(text)
    if options.write:
        text = f"{text}.\nTried with seed {options.seed} on {describe_setup()}."
        replace_figures(DOCS / "resume.md", "kill.py:sum", text)
    sys.exit(equal != options.kills)


if __name__ == "__main__":
    main()
