"""Drive an exported page in a headless Chromium: paint, drop pictures, read answers."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from mlp_lightning import MLPClassifier
from mlp_lightning.handwriting import read_digit
from mlp_lightning.pictures import PictureError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "no-first-run",
    "hide-scrollbars",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)
# What a page may ask for: itself. The last are the browser's own, for its empty tab.
OWN_ADDRESSES = ("file:", "data:", "blob:", "chrome:")
# Pixels of the page and of Python may differ by so many of 255 levels: they round
# elsewhere.
MAX_PIXEL_DIFFERENCE = 2

PAINT = """
clearPaper();
const {left, top, width, height} = paper.getBoundingClientRect();
arguments[0].forEach(([row, column]) => {
  const spot = {bubbles: true, isPrimary: true, clientX: left + (column + .5) * width /
  28,
    clientY: top + (row + .5) * height / 28};
  paper.dispatchEvent(new PointerEvent("pointerdown", {...spot, buttons: 1}));
  paper.dispatchEvent(new PointerEvent("pointerup", spot));
});
"""
DROP = """
const [name, data, finish] = arguments, dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([decodeBase64(data)], name));
$("answer").textContent = "";
document.dispatchEvent(new DragEvent("drop", {dataTransfer}));
const look = () => $("answer").textContent ? finish() : setTimeout(look, 2);
look();
"""
ANSWER = """
if (!outputs) return {refusal: $("answer").textContent};
const inputs = outputs[0], probabilities = outputs.at(-1);
return {digit: greatest(probabilities), probabilities: [...probabilities],
  pixels: [...inputs].map(input => Math.round((input * STD + MEAN) * 255))};
"""


class Comparison(NamedTuple):
    """How a page's answer to one picture differs from Python's."""

    same: bool  # the same digit, or both refused the picture for the same reason
    pixels_off: float | None = None  # share of the pixels that differ; None: no digit
    probability_off: float | None = None  # at most, for the page's own pixels


def is_browser_installed() -> bool:
    browsers = [shutil.which(name) for name in BROWSERS]
    return bool(shutil.which("chromedriver")) and any(browsers)


@contextmanager
def open_browser(width: int = 1280, height: int = 1400) -> Iterator[Chrome]:
    """Start Debian's chromium, or any other whose driver is there, without a window."""
    options = ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        place = (f"window-size={width},{height}", f"user-data-dir={profile}")
        for flag in (*FLAGS, *place):
            options.add_argument(f"--{flag}")
        driver = Chrome(options, Service(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def paint_digit(driver: Chrome, image: NDArray[numpy.uint8]) -> tuple[Any, io.BytesIO]:
    """Paint a dot for each pixel of ink of an image, uint8 (28, 28).

    Returns the page's answer, and what was painted as a PNG.
    """
    driver.execute_script(PAINT, numpy.argwhere(image > 127).tolist())
    picture = driver.execute_script("return paper.toDataURL()").partition(",")[2]
    return driver.execute_script(ANSWER), io.BytesIO(base64.b64decode(picture))


def drop_picture(driver: Chrome, path: Path) -> Any:
    """Drop a picture on the page, and return the answer."""
    data = base64.b64encode(path.read_bytes()).decode()
    driver.execute_async_script(DROP, path.name, data)
    return driver.execute_script(ANSWER)


def read_complaints(driver: Chrome) -> list[str]:
    """Return what the page wrote on its console, and which other files it asked for."""
    console = [entry["message"] for entry in driver.get_log("browser")]
    requests = []
    for entry in driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            requests.append(event["params"]["request"]["url"])
    foreign = [url for url in requests if not url.startswith(OWN_ADDRESSES)]
    return console + foreign


def compare_answer(answer: Any, picture: Any, model: MLPClassifier) -> Comparison:
    """Compare the page's answer to a picture, a file, with Python's."""
    try:
        digit = read_digit(picture)
    except PictureError as error:
        # "shows no ink" is "No ink found." if it was painted.
        reason = str(error).removeprefix("shows ")
        return Comparison(same=reason in answer.get("refusal", "").lower())
    if "refusal" in answer:
        return Comparison(same=False)
    pixels = torch.tensor(answer["pixels"]).view(28, 28)
    # Python's answer to its own pixels, and to those of the page
    ours, same_pixels = model.probabilities(torch.stack([digit, pixels.byte()]))
    differs = (pixels - digit.int()).abs() > MAX_PIXEL_DIFFERENCE
    away = (torch.tensor(answer["probabilities"]) - same_pixels).abs()
    return Comparison(
        same=answer["digit"] == ours.argmax().item(),
        pixels_off=differs.float().mean().item(),
        probability_off=away.max().item(),
    )


def compare_page(
    driver: Chrome,
    model: MLPClassifier,
    images: NDArray[numpy.uint8],
    pictures: list[tuple[int, Path]],
) -> dict[str, list[Comparison]]:
    """Paint digits, uint8 (n, 28, 28), and drop pictures, given with their indices."""
    comparisons: dict[str, list[Comparison]] = {"painted": [], "dropped": []}
    for index, path in pictures:
        answer, paper = paint_digit(driver, images[index])
        comparisons["painted"].append(compare_answer(answer, paper, model))
        answer = drop_picture(driver, path)
        comparisons["dropped"].append(compare_answer(answer, path, model))
    return comparisons
