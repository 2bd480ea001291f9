"""What the benchmarks share: writing figures into docs, and describing the machine.

A benchmark owns the text between its markers in a page of docs/:

    <!-- speed.py:epochs -->
    | | an epoch | the whole process |
    <!-- /speed.py:epochs -->

The name before the colon is the script's; nothing but `--write` changes what stands
between them.
"""

import platform
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from mlp_lightning.hardware import count_cores

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
# What decides how fast a matrix product is, by the name that /proc/cpuinfo gives it:
# the first five on x86-64, the others on ARM.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 bf16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "bf16",
}


def replace_figures(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of a page.

    Raises:
        LookupError: The page has no such markers, or has them twice.
    """
    before, _, after = split_at_markers(page.read_text(encoding="utf-8"), name)
    whole = f"{before}\n{text.strip()}\n{after}"
    page.write_text(whole, encoding="utf-8")
    print(f"Wrote {name} into {page.relative_to(ROOT)}", file=sys.stderr)


def read_figures(page: Path, name: str) -> str:
    """Return what stands between the markers of a page, or raise LookupError."""
    _, figures, _ = split_at_markers(page.read_text(encoding="utf-8"), name)
    return figures.strip()


def find_tables(page: Path) -> list[str]:
    """Return the names of the tables in a page that accuracy.py writes."""
    return re.findall(r"<!-- (accuracy\.py:\w+) -->", page.read_text(encoding="utf-8"))


def split_at_markers(text: str, name: str) -> tuple[str, str, str]:
    """Return the text up to the first marker, what is between the two, and the rest."""
    start = f"<!-- {name} -->"
    end = f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise LookupError(f"must have {start} and {end}, each once")
    before, _, rest = text.partition(start)
    between, _, after = rest.partition(end)
    return before + start, between, end + after


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [format_row(header), "|" + "---|" * len(header)]
    lines += [format_row(cells) for cells in rows]
    return "\n".join(lines)


def format_row(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown; an empty cell takes one space."""
    padded = [f" {cell} " if cell else " " for cell in cells]
    return f"|{'|'.join(padded)}|"


def summarise(samples: Sequence[float]) -> str:
    """Return the median and, of several samples, the range: "0.66 (0.65 to 0.74)"."""
    median = f"{statistics.median(samples):.2f}"
    if len(samples) == 1:
        return median
    return f"{median} ({min(samples):.2f} to {max(samples):.2f})"


def format_count(count: int, name: str) -> str:
    """Return "1 thread" or "2 threads"."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def describe_setup() -> str:
    """Describe what figures depend on besides the code: processor and versions."""
    return f"{describe_processor()}; {describe_versions()}"


def describe_versions() -> str:
    packages = [f"{name} {version(name)}" for name in ("torch", "lightning")]
    system = f"{platform.system()} {platform.machine()}"
    return f"{', '.join(packages)}, Python {platform.python_version()} on {system}"


def describe_processor() -> str:
    """Name the processor, its instruction sets on Linux, its cores, torch's threads."""
    cores = format_count(count_cores(), "core")
    threads = f"{cores}, {format_count(torch.get_num_threads(), 'thread')} by default"
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.processor() or platform.machine()}, {threads}"
    text = information.read_text(encoding="utf-8")
    model = _find_entry(text, "model name") or platform.machine()
    flags = (_find_entry(text, "flags") or _find_entry(text, "Features")).split()
    sets = [title for flag, title in INSTRUCTION_SETS.items() if flag in flags]
    return ", ".join([model, *sets, threads])


def _find_entry(text: str, name: str) -> str:
    """Return the first entry of this name in /proc/cpuinfo; "" if there is none."""
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
