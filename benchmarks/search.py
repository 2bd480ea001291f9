"""Search with configs/search/fast.yaml, and compare what it finds with fast.yaml.

    python benchmarks/search.py --write

The study is run with several seeds, for the best of 30 trials is chosen by chance as
well. For the same reason, the settings that each study finds are trained anew, with
seeds that no trial had, beside those of configs/fast.yaml. All is measured on the
validation images; the test images are left alone.

`--write` puts the figures into docs/search.md.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml
from commands import PROGRAM, run_command, unpack_mnist
from report import DOCS, ROOT, describe_setup, format_table, replace_figures

PAGE = DOCS / "search.md"
STUDY = ROOT / "configs" / "search" / "fast.yaml"
BASE = ROOT / "configs" / "fast.yaml"
WORKERS = 2
FIRST_SEED = 100  # of the trainings that compare; the trials have seed 42


class Found(NamedTuple):
    """What a study has found."""

    seed: int
    minutes: float
    output: str
    score: float  # the best val/acc
    config: Path  # best.yaml


def run_study(seed: int, folder: Path) -> Found:
    """Run the study with this seed in a folder."""
    content = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    content["config"] = str(BASE)
    content["seed"] = seed
    path = folder / f"seed_{seed}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    words = [*PROGRAM, "search", path.name, f"--workers={WORKERS}"]
    done = run_command(words, str(folder))
    table = done.output[done.output.index("trials: ") :]
    scores = re.findall(r"^(0\.\d{4}) ", table, re.MULTILINE)
    config = folder / "lightning_logs" / f"search_{path.stem}" / "best.yaml"
    print(f"seed {seed}: {scores[0]} in {done.seconds:.0f} s", file=sys.stderr)
    return Found(seed, done.seconds / 60, done.output, float(scores[0]), config)


def train_with_seeds(config: Path, count: int, folder: Path) -> list[float]:
    """Return the val/acc of trainings with so many seeds."""
    scores = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        options = [f"--seed_everything={seed}", "--figures=false"]
        options.append("--trainer.enable_progress_bar=false")
        words = [*PROGRAM, "fit", f"--config={config}", *options]
        output = run_command(words, str(folder)).output
        (score,) = re.findall(r"^val/acc (\S+)$", output, re.MULTILINE)
        scores.append(float(score))
        print(f"{config}, seed {seed}: {score}", file=sys.stderr)
    return scores


def format_scores(scores: Sequence[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f}"


def find_table(output: str) -> str:
    """Return what a study has printed of its trials."""
    lines = output.splitlines()
    (begin,) = [place for place, line in enumerate(lines) if " trials: " in line]
    end = next(place for place, line in enumerate(lines) if line.startswith("Saved"))
    return "\n".join(lines[begin:end])


def describe_study(found: Found) -> str:
    """Show the study of the first seed, and what it has chosen."""
    config = found.config.read_text(encoding="utf-8")
    settings = "\n".join(line for line in config.splitlines() if line[:1] != "#")
    return (
        f"```\n{find_table(found.output)}\n```\n\nIts `best.yaml`:\n\n"
        f"```yaml\n{settings.strip()}\n```"
    )


def compare(studies: Sequence[Found], count: int, folder: Path) -> str:
    """Return a table: the settings of each study, and those of fast.yaml."""
    base = train_with_seeds(BASE, count, folder)
    rows = [["`configs/fast.yaml`", "", "", format_scores(base), ""]]
    for found in studies:
        scores = train_with_seeds(found.config, count, folder)
        pairs = zip(scores, base, strict=True)
        wins = sum(score > other for score, other in pairs)
        rows.append(
            [
                f"study of seed {found.seed}",
                f"{found.minutes:.1f}",
                f"{found.score:.4f}",
                format_scores(scores),
                f"{wins} of {count}",
            ]
        )
    header = ["settings", "minutes", "best trial", f"val/acc, {count} seeds", "better"]
    table = format_table(header, rows)
    last = FIRST_SEED + count - 1
    return (
        f"{table}\n\nTrained with the seeds {FIRST_SEED} to {last}; searched with "
        f"{WORKERS} workers on {describe_setup()}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=3, help="studies to run")
    parser.add_argument("--seeds", type=int, default=5, help="trainings that compare")
    parser.add_argument("--write", action="store_true", help="write docs/search.md")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        unpack_mnist(name)
        studies = [run_study(seed, folder) for seed in range(options.studies)]
        figures = {
            "search.py:study": describe_study(studies[0]),
            "search.py:seeds": compare(studies, options.seeds, folder),
        }
    for marker, text in figures.items():
        print(text)
        if options.write:
            replace_figures(PAGE, marker, text)


if __name__ == "__main__":
    main()
