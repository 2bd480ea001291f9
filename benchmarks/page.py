"""Try exported pages in a headless Chromium: do they answer as `predict` does, and how fast?

    python benchmarks/page.py lightning_logs/version_0 lightning_logs/version_1

Of each run's page, 100 digits of the test set are painted by pointer events, a dot for each pixel
of ink, and 100 are dropped as pictures of the kinds of benchmarks/pictures.py, PNG but for those
turned by EXIF. The same pictures are then read by Python. With --screenshots DIR, the page is shot
on a desk and on a phone, light and dark.
"""

import argparse
import base64
import io
import json
import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import torch
from pictures import KINDS, draw, save
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from torchvision.datasets.mnist import read_image_file

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.cli import CLI
from mlp_lightning.handwriting import read_digit

PAINT = """
clear();
const {left, top, width, height} = paper.getBoundingClientRect();
arguments[0].forEach(([row, column]) => {
  const spot = {bubbles: true, isPrimary: true, clientX: left + (column + .5) * width / 28,
    clientY: top + (row + .5) * height / 28};
  paper.dispatchEvent(new PointerEvent("pointerdown", {...spot, buttons: 1}));
  paper.dispatchEvent(new PointerEvent("pointerup", spot));
});
"""
DROP = """
const [name, data, finish] = arguments, dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([decode(data)], name));
$("answer").textContent = "";
document.dispatchEvent(new DragEvent("drop", {dataTransfer}));
const look = () => $("answer").textContent ? finish() : setTimeout(look, 2);
look();
"""
ANSWER = """
return all && {digit: greatest(all[last + 1]), probabilities: [...all[last + 1]],
  pixels: [...all[0]].map(x => Math.round((x * model.std + model.mean) * 255))};
"""
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
return [median(() => forward(pixels)), median(() => forward(readDigit(take(paper))))];
"""


@contextmanager
def browser(width: int = 1280, height: int = 1400) -> Iterator[Chrome]:
    """Start Debian's chromium, or any other whose driver is there, without a window."""
    options = ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, NAMES)))
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for word in (
            *(
                "headless=new",
                "no-sandbox",
                "disable-gpu",
                "no-first-run",
                "hide-scrollbars",
            ),
            *(
                "disable-background-networking",
                "disable-component-update",
                "disable-sync",
            ),
            *(f"window-size={width},{height}", f"user-data-dir={profile}"),
        ):
            options.add_argument(f"--{word}")
        driver = Chrome(options, Service(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def is_there() -> bool:
    return bool(shutil.which("chromedriver") and any(map(shutil.which, NAMES)))


def paint(driver: Chrome, image: numpy.ndarray) -> tuple[Any, io.BytesIO]:
    """Paint the ink of an image, uint8, (28, 28); return the page's answer, and its paper."""
    driver.execute_script(PAINT, numpy.argwhere(image > 127).tolist())
    picture = driver.execute_script("return paper.toDataURL()").partition(",")[2]
    return driver.execute_script(ANSWER), io.BytesIO(base64.b64decode(picture))


def drop(driver: Chrome, path: Path) -> Any:
    """Drop a picture on the page, and return the answer."""
    data = base64.b64encode(path.read_bytes()).decode()
    driver.execute_async_script(DROP, path.name, data)
    return driver.execute_script(ANSWER)


def complaints(driver: Chrome) -> list[str]:
    """Return what the page wrote on its console, and what it asked for besides itself."""
    said = [entry["message"] for entry in driver.get_log("browser")]
    events = [
        json.loads(entry["message"])["message"]
        for entry in driver.get_log("performance")
    ]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    own = (
        "file:",
        "data:",
        "blob:",
        "chrome:",
    )  # the last are the browser's, of its empty tab
    return said + [url for url in asked if not url.startswith(own)]


def write(images: numpy.ndarray, count: int, folder: Path) -> list[tuple[int, Path]]:
    """Write pictures of digits, and return the number of each one's image, with its file."""
    random, found = numpy.random.default_rng(0), []
    for number in random.permutation(len(images))[:count]:
        kind = KINDS[len(found) % len(KINDS)]
        path, picture = folder / f"{number}.png", draw(images[number], kind, random)
        if kind == "turned":
            path = save(
                picture, kind, path, random
            )  # only a JPEG holds how to turn it back
        else:
            (picture.convert("L") if kind == "corner" else picture).save(
                path
            )  # or 6 MB
        found.append((int(number), path))
    return found


def compare(
    driver: Chrome,
    model: MLPClassifier,
    images: numpy.ndarray,
    pictures: list[tuple[int, Path]],
) -> dict[str, list[Any]]:
    """Paint digits and drop pictures; return whether answers agree, and how far off they are.

    That is, for each picture, which share of its pixels by more than 2 levels, and how much the
    probabilities for the page's own pixels.
    """
    found: dict[str, list[Any]] = {
        name: []
        for name in ("painted", "dropped", "painted off", "dropped off", "away")
    }
    for number, path in pictures:
        for way, (answer, picture) in (
            ("painted", paint(driver, images[number])),
            ("dropped", (drop(driver, path), path)),
        ):
            try:
                digit = read_digit(picture)
            except ValueError:
                found[way].append(answer is None)
                continue
            found[way].append(bool(answer))
            if not answer:
                continue
            seen = torch.tensor(answer["pixels"]).view(28, 28)
            ours, same = model.probabilities(torch.stack([digit, seen.byte()]))
            found[way][-1] = answer["digit"] == ours.argmax().item()
            found[f"{way} off"].append(
                ((seen - digit.int()).abs() > 2).float().mean().item()
            )
            found["away"].append(
                (torch.tensor(answer["probabilities"]) - same).abs().max().item()
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument(
        "--count", type=int, default=100, help="digits each way (default: 100)"
    )
    parser.add_argument("--screenshots", type=Path, metavar="DIR")
    options = parser.parse_args()
    data = MNISTDataModule()
    data.prepare_data()
    images = read_image_file(str(data.raw_dir / "t10k-images-idx3-ubyte")).numpy()
    print(
        "| run | KB | painted, same digit | pixels within 2 | dropped, same digit",
        end="",
    )
    print(
        " | pixels within 2 | probabilities off | forward, ms | picture to answer, ms",
        end="",
    )
    print(" | complaints |\n|---|---|---|---|---|---|---|---|---|---|")
    for run in map(Path, options.runs):
        with TemporaryDirectory() as folder, browser() as driver:
            page = Path(folder, "page.html")
            CLI(["export", f"--ckpt_path={run}", f"--output={page}"])
            driver.get(page.as_uri())
            model = MLPClassifier.load_from_checkpoint(
                run / "checkpoints/best.ckpt", "cpu"
            )
            pictures = write(images, options.count, Path(folder))
            found = compare(driver, model, images, pictures)
            times = driver.execute_script(TIMES)
            print(f"| {run.name} | {page.stat().st_size / 1000:.0f}", end="")
            for way in ("painted", "dropped"):
                within = 1 - statistics.mean(found[f"{way} off"])
                print(
                    f" | {sum(found[way])} of {len(found[way])} | {within:.2%}", end=""
                )
            print(
                f" | {max(found['away']):.1e} | {times[0]:.2f} | {times[1]:.1f}", end=""
            )
            print(f" | {len(complaints(driver))} |")
            if options.screenshots:
                shoot(driver, options.screenshots / run.name)


def shoot(driver: Chrome, path: Path) -> None:
    """Save what the page looks like on a desk and on a phone, light and dark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, width, height in (("desk", 1280, 1000), ("phone", 390, 844)):
        for theme in ("light", "dark"):
            size = {"width": width, "height": height, "deviceScaleFactor": 1}
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {**size, "mobile": name == "phone"},
            )
            feature = {"name": "prefers-color-scheme", "value": theme}
            driver.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [feature]}
            )
            whole = {"captureBeyondViewport": True, "format": "png"}
            picture = driver.execute_cdp_cmd("Page.captureScreenshot", whole)["data"]
            Path(f"{path}-{name}-{theme}.png").write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    main()
