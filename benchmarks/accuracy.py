"""Train and test configs with several seeds: the results in the README and the configs' headers.

    python benchmarks/accuracy.py configs/*.yaml --seeds 5

Without a config, the defaults of `fit` are measured. For each, one line: mean and standard
deviation of the accuracy on the 10,000 test images, median seconds of training (validation
included, start-up not), parameters, device and versions. `--write` puts it into the header of the
config and the table of the README. `--check` measures the seeds of the headers again, and says
which headers no longer hold: those that lie further off than four standard errors of the
difference, and those that the README does not repeat. On the machine that wrote them, the accuracy
comes out the same to the last digit.

Whatever stops it, the same command goes on where it was, also amid a training. The runs are in
lightning_logs/accuracy until the command after the one that is done with them.
"""

import argparse
import contextlib
import hashlib
import io
import json
import platform
import re
import shutil
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import lightning
import torch

import mlp_lightning
from mlp_lightning.cli import CLI

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RUNS = ROOT / "lightning_logs" / "accuracy"
DEFAULTS = "the tutorial's network, 5,000 of the training images kept for validation"
LEAST = 0.0005  # standard deviation of the accuracy
ACCURACY = re.compile(r"(0\.\d{4})(?: ± (0\.\d{4}))? \((\d+) seeds?\)")


class Result(NamedTuple):
    mean: float  # test accuracy, in [0, 1]
    spread: float  # its standard deviation
    seeds: int
    seconds: float = 0
    parameters: int = 0

    def __str__(self) -> str:
        spread = f" ± {self.spread:.4f}" * (self.seeds > 1)
        return f"{self.mean:.4f}{spread} ({self.seeds} seed{'s' * (self.seeds > 1)})"


def device() -> str:
    """Name what Lightning trains on if it is not told."""
    kind = (
        torch.accelerator.current_accelerator()
        if torch.accelerator.is_available()
        else None
    )
    if kind is None:
        return f"{torch.get_num_threads()} CPU cores"
    return torch.cuda.get_device_name() if kind.type == "cuda" else kind.type


def measure(
    config: Path | None, seed: int, kind: str
) -> tuple[Path, float, float, int]:
    """Return folder, test accuracy, seconds of training, parameters; go on where it was stopped."""
    code = [torch.__version__, lightning.__version__, kind, str(seed)]
    code += [
        file.read_text()
        for file in sorted(Path(mlp_lightning.__file__).parent.glob("*.py"))
    ]
    if config:
        code += [line for line in config.read_text().splitlines() if line[:1] != "#"]
    digest = hashlib.md5("\n".join(code).encode()).hexdigest()[:8]
    root = RUNS / f"{config.stem if config else 'defaults'}-{seed}-{digest}"
    run = root / "lightning_logs" / "version_0"
    quiet = [
        f"--trainer.enable_{part}=false" for part in ("progress_bar", "model_summary")
    ]
    words = [*quiet, f"--trainer.default_root_dir={root}"]
    with contextlib.redirect_stdout(io.StringIO()):
        if not (run / "test.json").exists():
            if run.exists():
                fit(["--ckpt_path=last", *words])
            else:
                timing = [
                    "--trainer.callbacks+=Timer",
                    "--trainer.callbacks.interval=step",
                ]
                start = [f"--config={config}"] if config else []
                fit([*start, f"--seed_everything={seed}", *timing, *words])
            CLI(["test", *words])
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    (timer,) = (
        state for name, state in last["callbacks"].items() if name.startswith("Timer")
    )
    parameters = sum(weights.numel() for weights in last["state_dict"].values())
    accuracy = json.loads((run / "test.json").read_text())["test/acc"]
    print(f"{root.name}: {accuracy:.4f}", file=sys.stderr)
    return root, accuracy, timer["time_elapsed"]["train"], parameters


def fit(words: list[str]) -> None:
    """Train to the end, or leave the program."""
    try:
        CLI(["fit", *words])
    except SystemExit as error:
        if error.code:  # not if the run is finished already
            sys.exit(f"stopped; the same command goes on: {' '.join(sys.orig_argv)}")


def place(config: Path | None) -> tuple[str, str]:
    """Return the first cell of a config's row in the README, and its last, the question."""
    if config is None:
        return "the defaults", DEFAULTS
    link = f"[{config.stem}](configs/{config.name})"
    return link, config.read_text().split("\n", maxsplit=1)[0].removeprefix("# ")


def row(config: Path | None) -> str:
    """Return a config's row in the README; without one, nothing."""
    start = f"| {place(config)[0]} |"
    return next(
        (text for text in README.read_text().splitlines() if text.startswith(start)), ""
    )


def stated(text: str) -> Result | None:
    """Return the accuracy that a line states."""
    found = ACCURACY.search(text)
    return (
        Result(float(found[1]), float(found[2] or 0), int(found[3])) if found else None
    )


def write(config: Path | None, result: Result, line: str) -> None:
    """Put a result into the header of the config, and the table of the README."""
    if config:
        question, *rest = config.read_text().splitlines(keepends=True)
        rest = rest[rest[0].startswith("# test/acc") :]
        config.write_text("".join([question, f"{line}\n", *rest]))
    name, question = place(config)
    cells = (
        name,
        str(result),
        f"{result.seconds:,.1f} s",
        f"{result.parameters:,}",
        question,
    )
    lines, old = README.read_text().splitlines(), row(config)
    if old:
        lines[lines.index(old)] = f"| {' | '.join(cells)} |"
    else:  # after the others
        rows = [
            number
            for number, text in enumerate(lines)
            if re.match(r"\| .*\(configs/", text)
        ]
        lines.insert(rows[-1] + 1, f"| {' | '.join(cells)} |")
    README.write_text("\n".join(lines) + "\n")


def holds(config: Path | None, result: Result, old: Result | None) -> bool:
    """Tell whether a config's header, or without one the README, still states what is measured."""
    if old is None or stated(row(config)) != old:
        return False
    # of few seeds, the spread may be small by chance
    error = (
        (max(result.spread, LEAST) ** 2 + max(old.spread, LEAST) ** 2) / old.seeds
    ) ** 0.5
    return abs(
        result.mean - old.mean
    ) <= 4 * error and f"| {result.parameters:,} |" in row(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "configs", nargs="*", type=Path, metavar="CONFIG", help="none: defaults"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="0 to N-1 (default: 5)"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--write", action="store_true", help="into the config and the README"
    )
    either.add_argument("--check", action="store_true", help="whether these still hold")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # LightningCLI warns if it is given words and so was Python
    for finished in RUNS.glob("*/finished"):
        shutil.rmtree(finished.parent)
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}"
    print(f"{versions}, Python {platform.python_version()}, {platform.platform()}")
    wrong, roots = 0, list[Path]()
    for config in options.configs or [None]:
        old = stated(config.read_text() if config else row(config))
        seeds = old.seeds if old and options.check else options.seeds
        results = [measure(config, seed, str(options.check)) for seed in range(seeds)]
        folders, accuracies, seconds, parameters = zip(*results, strict=True)
        roots += folders
        spread = statistics.stdev(accuracies) if seeds > 1 else 0.0
        middle = statistics.median(seconds)
        result = Result(
            statistics.mean(accuracies), spread, seeds, middle, parameters[0]
        )
        time = f"{middle:,.1f} s of training on {device()}, {result.parameters:,} parameters"
        line = f"# test/acc {result}, {time}, torch {torch.__version__}"
        print(config or "the defaults", line, sep="\n", flush=True)
        if options.write:
            write(config, result, line)
        if options.check and not holds(config, result, old):
            wrong += 1
            print(f"no longer holds: it says {old}")
    for root in roots:
        (root / "finished").touch()
    print(f"{wrong} no longer hold" if options.check else f"The runs are in {RUNS}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
