"""Try exported pages in a browser: do they answer as `predict` does, and how fast?

    python benchmarks/page.py lightning_logs/version_0 lightning_logs/version_1 --write

On the page of each run, 100 digits of the test set are painted by pointer events, a dot
for each pixel of ink, and 100 are dropped as pictures of the kinds of
benchmarks/pictures.py. The same pictures are then read by Python. `--write` puts the
figures into docs/export.md. With `--screenshots DIR`, the page is shot on a desk and on
a phone, light and dark.
"""

import argparse
import base64
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy
from browser import (
    Comparison,
    compare_page,
    is_browser_installed,
    open_browser,
    read_complaints,
)
from numpy.typing import NDArray
from pictures import write_page_pictures
from report import DOCS, describe_setup, format_table, replace_figures
from selenium.webdriver import Chrome

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.cli import MLPCLI

# Median of 40 runs after 20 to warm up, in milliseconds.
TIMES = """
const median = run => {
  const times = Array.from({length: 60}, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  return times.slice(20).sort((a, b) => a - b)[20];
};
$("samples").firstElementChild.click();
const pixels = readDigit(take(paper));
return [
  median(() => forward(network, pixels)),
  median(() => forward(network, readDigit(take(paper)))),
];
"""
HEADER = [
    "network",
    "painted digits read alike",
    "pixels within 2 levels",
    "dropped pictures read alike",
    "pixels within 2 levels",
    "probabilities off by at most",
    "network, ms",
    "picture to answer, ms",
    "KB",
]
SCREENS = {"desk": (1280, 1000), "phone": (390, 844)}  # width, height


class PageResult(NamedTuple):
    """What was found on the page of a run."""

    network: str
    size: int  # bytes
    comparisons: dict[str, list[Comparison]]
    network_time: float  # median, ms
    answer_time: float  # from picture to answer, median, ms
    complaints: list[str]


def read_test_images() -> NDArray[numpy.uint8]:
    """Return the test images, uint8 (10000, 28, 28)."""
    data = MNISTDataModule()
    data.prepare_data()
    images, _ = data.source.read("test")
    pixels: NDArray[numpy.uint8] = images.numpy()
    return pixels


def try_page(
    run: Path, images: NDArray[numpy.uint8], options: argparse.Namespace
) -> PageResult:
    """Export the page of a run, and try it."""
    model = MLPClassifier.load_from_checkpoint(run / "checkpoints/best.ckpt", "cpu")
    with TemporaryDirectory() as folder, open_browser() as driver:
        page = Path(folder, "page.html")
        MLPCLI(["export", f"--ckpt_path={run}", f"--output={page}"])
        driver.get(page.as_uri())
        pictures = write_page_pictures(images, options.count, Path(folder))
        comparisons = compare_page(driver, model, images, pictures)
        network_time, answer_time = driver.execute_script(TIMES)
        complaints = read_complaints(driver)
        if options.screenshots:
            shoot_page(driver, options.screenshots / run.name)
        return PageResult(
            describe_network(model),
            page.stat().st_size,
            comparisons,
            network_time,
            answer_time,
            complaints,
        )


def describe_network(model: MLPClassifier) -> str:
    """Name a network by its sizes and activation: "784-128-64-10, relu"."""
    sizes = [784, *model.hparams["hidden_sizes"], 10]
    return f"{'-'.join(map(str, sizes))}, {model.hparams['activation']}"


def format_result(result: PageResult) -> list[str]:
    """Return the cells below HEADER."""
    cells = [result.network]
    away = []
    for comparisons in result.comparisons.values():
        same = [comparison.same for comparison in comparisons]
        read = [c for c in comparisons if c.pixels_off is not None]
        within = 1 - statistics.mean(c.pixels_off or 0.0 for c in read)
        cells += [f"{sum(same)} of {len(same)}", f"{within:.2%}"]
        away += [c.probability_off or 0.0 for c in read]
    cells += [
        f"{max(away):.1e}",
        f"{result.network_time:.2f}",
        f"{result.answer_time:.1f}",
        f"{result.size / 1000:.0f}",
    ]
    return cells


def shoot_page(driver: Chrome, path: Path) -> None:
    """Save what the page looks like on a desk and on a phone, light and dark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, (width, height) in SCREENS.items():
        screen = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": name == "phone",
        }
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        for theme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": theme}
            media = {"features": [feature]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            shot = driver.execute_cdp_cmd(
                "Page.captureScreenshot",
                {"captureBeyondViewport": True, "format": "png"},
            )
            picture = base64.b64decode(shot["data"])
            Path(f"{path}-{name}-{theme}.png").write_bytes(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument(
        "--count", type=int, default=100, help="digits each way (default: 100)"
    )
    parser.add_argument("--screenshots", type=Path, metavar="DIR")
    parser.add_argument(
        "--write", action="store_true", help="the figures into docs/export.md"
    )
    options = parser.parse_args()
    if not is_browser_installed():
        parser.error("needs Chromium or Chrome, and chromedriver")
    images = read_test_images()
    results = [try_page(run, images, options) for run in options.runs]
    table = format_table(HEADER, [format_result(result) for result in results])
    text = f"{table}\n\nMeasured on {describe_setup()}."
    print(text)
    for result in results:
        print(*result.complaints, sep="\n", end="\n" if result.complaints else "")
    if options.write:
        replace_figures(DOCS / "export.md", "page.py:table", text)


if __name__ == "__main__":
    main()
