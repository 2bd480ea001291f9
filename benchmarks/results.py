"""Where the results of configs stand: in their headers, and in the tables of the docs.

A header is the second line of a config. A row is the same result in a table between
markers of benchmarks/accuracy.py; docs/results.md has one for each config, other pages
for some. The Chinese pages have the rows of the English ones.
"""

import re
from pathlib import Path
from typing import NamedTuple

import torch
from chinese import SUFFIX, write_translations
from report import (
    DOCS,
    README,
    ROOT,
    find_tables,
    format_count,
    format_row,
    read_figures,
    replace_figures,
)

from mlp_lightning.hardware import count_cores

RESULTS = DOCS / "results.md"
TABLE = "accuracy.py:table"
DEFAULTS = (
    "What does the tutorial's network reach, with 5,000 images kept for validation?"
)
# Few seeds may agree by chance: no spread counts as less than this standard deviation.
MIN_SPREAD = 0.0005
MAX_STANDARD_ERRORS = 4
PRECISION = re.compile(r"^# test/acc .+, torch [^,\s]+, (\S+)$", re.MULTILINE)
ACCURACY = re.compile(r"(0\.\d{4})(?: ± (0\.\d{4}))? \((\d+) seeds?\)")


class Result(NamedTuple):
    """What all seeds of a config gave, or what a header or a row states."""

    mean: float  # test accuracy, in [0, 1]
    spread: float  # its standard deviation
    seeds: int
    seconds: float = 0
    parameters: int = 0

    def __str__(self) -> str:
        if self.seeds == 1:
            return f"{self.mean:.4f} (1 seed)"
        return f"{self.mean:.4f} ± {self.spread:.4f} ({self.seeds} seeds)"


def name_device() -> str:
    """Name what Lightning trains on if nobody tells it."""
    if not torch.accelerator.is_available():
        return format_count(count_cores(), "CPU core")
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    return (
        torch.cuda.get_device_name() if accelerator.type == "cuda" else accelerator.type
    )


def name_row(config: Path | None, page: Path) -> str:
    """Return the first cell of a config's row in a page, with a link from there."""
    if config is None:
        return "the defaults"
    up = "../" * (len(page.relative_to(ROOT).parts) - 1)
    return f"[{config.stem}]({up}configs/{config.name})"


def read_question(config: Path | None) -> str:
    """Return the question that a config answers: its first line."""
    if config is None:
        return DEFAULTS
    with config.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("# ").strip()


def find_row(config: Path | None) -> str:
    """Return a config's row in docs/results.md; "" if it has none."""
    start = f"| {name_row(config, RESULTS)} |"
    lines = read_figures(RESULTS, TABLE).splitlines()
    return next((line for line in lines if line.startswith(start)), "")


def find_result(text: str) -> Result | None:
    """Return the accuracy that a header or a row states."""
    found = ACCURACY.search(text)
    if found is None:
        return None
    return Result(float(found[1]), float(found[2] or 0), int(found[3]))


def find_stated(config: Path | None) -> Result | None:
    """Return what a config's header states; for the defaults, docs/results.md."""
    return find_result(
        config.read_text(encoding="utf-8") if config else find_row(config)
    )


def find_precision(config: Path | None) -> str:
    """Return the precision that a config's header ends with; "" if with none."""
    if config is None:
        return ""
    found = PRECISION.search(config.read_text(encoding="utf-8"))
    return found[1] if found else ""


def format_header(result: Result, precision: str) -> str:
    """Return the second line of a config; tests/test_cli.py knows its form.

    It ends with the precision, unless that is "": the config's own.
    """
    header = (
        f"# test/acc {result}, {result.seconds:,.1f} s of training on {name_device()}, "
        f"{result.parameters:,} parameters, torch {torch.__version__}"
    )
    return f"{header}, {precision}" if precision else header


def write_header(config: Path, header: str) -> None:
    """Put the result into a config, below its question."""
    question, *rest = config.read_text(encoding="utf-8").splitlines()
    if rest[0].startswith("# test/acc"):
        del rest[0]
    text = "\n".join([question, header, *rest]) + "\n"
    config.write_text(text, encoding="utf-8")


def write_rows(config: Path | None, result: Result) -> None:
    """Replace a config's row in all tables with one, or add it to docs/results.md."""
    for page in (README, *sorted(DOCS.glob("*.md"))):
        if page.name.endswith(SUFFIX):
            continue
        for name in find_tables(page):
            write_row(page, name, config, result)
    write_translations()


def write_row(page: Path, name: str, config: Path | None, result: Result) -> None:
    """Replace a config's row between two markers of a page."""
    first_cell = name_row(config, page)
    row = format_row(
        [
            first_cell,
            str(result),
            f"{result.seconds:,.1f} s",
            f"{result.parameters:,}",
            read_question(config),
        ]
    )
    lines = read_figures(page, name).splitlines()
    places = [i for i, line in enumerate(lines) if line.startswith(f"| {first_cell} |")]
    if places:
        lines[places[0]] = row
    elif name == TABLE and page == RESULTS:
        lines.append(row)
    else:
        return
    replace_figures(page, name, "\n".join(lines))


def still_holds(config: Path | None, result: Result, old: Result | None) -> bool:
    """Tell whether header and row still state what is measured."""
    row = find_row(config)
    if old is None or find_result(row) != old:
        return False
    spreads = (max(result.spread, MIN_SPREAD), max(old.spread, MIN_SPREAD))
    variance = sum(spread**2 for spread in spreads) / old.seeds
    difference = abs(result.mean - old.mean)
    close = difference <= MAX_STANDARD_ERRORS * variance**0.5
    return close and f"| {result.parameters:,} |" in row
