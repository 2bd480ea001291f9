"""Train and test configs with several seeds: the results in configs and docs.

    python benchmarks/accuracy.py configs/*.yaml --seeds 5

Without a config, the defaults of `fit` are measured. For each, one line: mean and
standard deviation of the accuracy on the 10,000 test images, median seconds of training
(validation included, start-up not), parameters, device and version. `--write` puts it
into the header of the config, into docs/results.md, and into every other table that has
a row for this config. `--precision` trains in another precision than the config's, and
the header ends with it.

`--check` measures the seeds of the headers again, in their precision, and says which
headers no longer hold: those that lie further off than four standard errors of the
difference, and those that docs/results.md does not repeat. On the machine that wrote
them, the accuracy comes out the same to the last digit.

If anything stops the benchmark, the same command goes on where it was, even within a
training. The runs stay in lightning_logs/accuracy until the next command that starts
after they finished.
"""

import argparse
import contextlib
import hashlib
import io
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import lightning
import torch
from report import ROOT, describe_setup, replace_figures
from results import (
    RESULTS,
    Result,
    find_precision,
    find_stated,
    format_header,
    still_holds,
    write_header,
    write_rows,
)

import mlp_lightning
from mlp_lightning.cli import MLPCLI

RUNS = ROOT / "lightning_logs" / "accuracy"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
TIMER = ["--trainer.callbacks+=Timer", "--trainer.callbacks.interval=step"]


class Measurement(NamedTuple):
    """What one seed gave."""

    folder: Path
    accuracy: float  # on the test images, in [0, 1]
    seconds: float  # of training
    parameters: int


def hash_experiment(config: Path | None, seed: int, settings: str) -> str:
    """Hash all that a result depends on: a run is only continued as the same run."""
    parts = [torch.__version__, lightning.__version__, settings, str(seed)]
    package = Path(mlp_lightning.__file__).parent
    parts += [file.read_text(encoding="utf-8") for file in sorted(package.glob("*.py"))]
    if config:
        lines = config.read_text(encoding="utf-8").splitlines()
        parts += [line for line in lines if not line.startswith("#")]
    return hashlib.md5("\n".join(parts).encode()).hexdigest()[:8]


def measure_seed(
    config: Path | None, seed: int, precision: str, purpose: str
) -> Measurement:
    """Train and test with one seed, or go on where that was stopped."""
    name = config.stem if config else "defaults"
    code = hash_experiment(config, seed, purpose + precision)
    folder = RUNS / f"{name}-{seed}-{code}"
    run = folder / "lightning_logs" / "version_0"
    if not (run / "test.json").exists():
        with contextlib.redirect_stdout(io.StringIO()):
            train_and_test(config, seed, precision, folder, run)
    report = json.loads((run / "test.json").read_text(encoding="utf-8"))
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    measurement = Measurement(
        folder,
        report["test/acc"],
        read_timer(last["callbacks"]),
        sum(weights.numel() for weights in last["state_dict"].values()),
    )
    print(f"{folder.name}: {measurement.accuracy:.4f}", file=sys.stderr)
    return measurement


def train_and_test(
    config: Path | None, seed: int, precision: str, folder: Path, run: Path
) -> None:
    """Run `fit` and `test` in a folder; leave the program if they are interrupted."""
    common = [*QUIET, f"--trainer.default_root_dir={folder}"]
    if run.exists():
        words = ["fit", "--ckpt_path=last"]
    else:
        words = ["fit"]
        if config:
            words.append(f"--config={config}")
        words += [f"--seed_everything={seed}", *TIMER]
        if precision:
            words.append(f"--trainer.precision={precision}")
    try:
        MLPCLI([*words, *common])
    except SystemExit as error:
        # Lightning leaves with 0 if the run is finished already: then it only needs its
        # test.
        if error.code:
            sys.exit(f"stopped; the same command goes on: {' '.join(sys.orig_argv)}")
    MLPCLI(["test", *common])


def read_timer(callbacks: dict[str, dict[str, dict[str, float]]]) -> float:
    """Return the seconds of training that Lightning's Timer left in a checkpoint."""
    (timer,) = [state for name, state in callbacks.items() if name.startswith("Timer")]
    return timer["time_elapsed"]["train"]


def combine_seeds(measurements: list[Measurement]) -> Result:
    accuracies = [measurement.accuracy for measurement in measurements]
    seconds = [measurement.seconds for measurement in measurements]
    return Result(
        mean=statistics.mean(accuracies),
        spread=statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        seeds=len(accuracies),
        seconds=statistics.median(seconds),
        parameters=measurements[0].parameters,
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "configs", nargs="*", type=Path, metavar="CONFIG", help="none: defaults"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="0 to N-1 (default: 5)"
    )
    parser.add_argument(
        "--precision",
        default="",
        metavar="P",
        help="of the training, such as bf16-mixed (default: the config's)",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--write", action="store_true", help="into the configs and the docs"
    )
    either.add_argument("--check", action="store_true", help="whether these still hold")
    return parser.parse_args()


def choose_precision(config: Path | None, options: argparse.Namespace) -> str:
    """Return the precision to train in; for a check, that of the header."""
    return find_precision(config) if options.check else options.precision


def measure_config(
    config: Path | None, options: argparse.Namespace
) -> list[Measurement]:
    """Measure all seeds of a config; for a check, those that its header names."""
    stated = find_stated(config)
    seeds = stated.seeds if stated and options.check else options.seeds
    purpose = "check" if options.check else "write"
    precision = choose_precision(config, options)
    return [measure_seed(config, seed, precision, purpose) for seed in range(seeds)]


def report_result(
    config: Path | None, result: Result, options: argparse.Namespace
) -> bool:
    """Print a result, and write it if asked; return False if a check fails."""
    header = format_header(result, choose_precision(config, options))
    print(config or "the defaults", header, sep="\n", flush=True)
    if options.write:
        if config:
            write_header(config, header)
        write_rows(config, result)
    if not options.check:
        return True
    stated = find_stated(config)
    holds = still_holds(config, result, stated)
    if not holds:
        print(f"no longer holds: it says {stated}")
    return holds


def main() -> None:
    options = parse_options()
    sys.argv = sys.argv[:1]  # LightningCLI warns if it gets words and finds others here
    for finished in RUNS.glob("*/finished"):
        shutil.rmtree(finished.parent)
    print(describe_setup())
    folders: list[Path] = []
    wrong = 0
    for config in options.configs or [None]:
        measurements = measure_config(config, options)
        folders += [measurement.folder for measurement in measurements]
        if not report_result(config, combine_seeds(measurements), options):
            wrong += 1
    if options.write:
        text = f"Last written on {describe_setup()}."
        replace_figures(RESULTS, "accuracy.py:setup", text)
    # Only now: a command that was stopped before finds all its runs when it goes on.
    for folder in folders:
        (folder / "finished").touch()
    print(f"{wrong} no longer hold" if options.check else f"The runs are in {RUNS}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
