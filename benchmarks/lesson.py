"""Use the lesson in a browser as a learner does, and write down what it shows.

    python benchmarks/lesson.py --write

The browser has one core. First the network is trained for a minute: how many steps a
second, and how long is the page's main thread ever busy at a stretch? Then the tasks of
the stations are done. `--write` puts the figures into docs/lesson.md; `--screenshots
DIR` shoots the page on a desk and on a phone, light and dark, in both languages.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from browser import is_browser_installed, open_browser, read_complaints
from report import DOCS, describe_setup, format_table, replace_figures
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from mlp_lightning.cli import MLPCLI

MAX_SECONDS = 300  # for any task
# Of the page's main thread, in milliseconds: browsers report what is longer than 50.
WATCH_TASKS = """
window.longTasks = [];
new PerformanceObserver(list => {
  for (const {duration} of list.getEntries()) longTasks.push(duration);
}).observe({type: "longtask", buffered: true});
"""
IS_READY = """
return typeof experiments !== "undefined" && experiments.length === 4
  && experiments.every(({networks}) => networks);
"""
READ_EXPERIMENT = """
const {step, histories, milliseconds} = experiments.find(({id}) => id === arguments[0]);
return {step, histories, milliseconds};
"""


def open_lesson(driver: Chrome, folder: Path) -> None:
    """Write the lesson into a folder, and open it."""
    page = folder / "lesson.html"
    MLPCLI(["lesson", f"--output={page}"])
    driver.get(page.as_uri())
    wait = WebDriverWait(driver, MAX_SECONDS, poll_frequency=0.1)
    wait.until(lambda _: driver.execute_script(IS_READY))
    driver.execute_script(WATCH_TASKS)


def train(driver: Chrome, name: str, steps: int) -> Any:
    """Press Train in a panel, pause after so many steps, and return what was measured.

    Returns:
        `step`, `milliseconds` of each step, and `histories`, for each network its
        `loss`, `accuracy`, `norm`, `testLoss` and `testAccuracy`: lists of pairs
        [step, value].
    """
    button = driver.find_element(By.ID, f"{name}-play")
    button.click()
    wait = WebDriverWait(driver, MAX_SECONDS, poll_frequency=0.2)
    wait.until(lambda _: read_experiment(driver, name)["step"] >= steps)
    button.click()
    return read_experiment(driver, name)


def read_experiment(driver: Chrome, name: str) -> Any:
    return driver.execute_script(READ_EXPERIMENT, name)


def choose(driver: Chrome, name: str, setting: str, value: str) -> None:
    """Choose a value from one of a panel's lists."""
    Select(driver.find_element(By.ID, f"{name}-{setting}")).select_by_value(value)


def find_value(points: list[list[float]], step: int) -> float:
    """Return the value of a curve at a step."""
    return dict(map(tuple, points))[step]


def play_for(driver: Chrome, seconds: float) -> list[str]:
    """Train the first network of the lesson for so long; return a row of figures."""
    button = driver.find_element(By.ID, "training-play")
    button.click()
    time.sleep(seconds)
    button.click()
    measured = read_experiment(driver, "training")
    tasks = driver.execute_script("return longTasks")
    accuracy = measured["histories"][0]["testAccuracy"][-1][1]
    return [
        f"{measured['step'] / seconds:.0f}",
        f"{max(tasks, default=50):.0f}",
        f"{accuracy:.1%}",
    ]


def compare_activations(driver: Chrome) -> list[list[str]]:
    """Do the task of the first station."""
    measured = train(driver, "linear", 500)
    rows = []
    names = ["with ReLU", "with nothing between the layers"]
    for name, history in zip(names, measured["histories"], strict=True):
        accuracies = [
            f"{find_value(history['testAccuracy'], step):.1%}"
            for step in (50, 100, 300, 500)
        ]
        rows.append([name, *accuracies])
    return rows


def try_sizes(driver: Chrome) -> list[list[str]]:
    """Do the task of the second station."""
    for first, second in ((8, 0), (32, 16), (128, 64), (256, 256)):
        for layer, size in ((1, first), (2, second)):
            driver.execute_script(
                "const slider = $(`size-${arguments[0]}`); slider.value = arguments[1];"
                "slider.dispatchEvent(new Event('input'))",
                layer,
                size,
            )
        time.sleep(1)  # until the new network is there
        train(driver, "sizes", 300)
    table = driver.find_element(By.ID, "size-tries")
    rows = table.find_elements(By.TAG_NAME, "tr")[1:]
    return [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
        for row in rows
    ]


def leave_gradients(driver: Chrome) -> list[list[str]]:
    """Do the task of the third station."""
    rows = []
    for rate, steps in (("0.01", (100, 300, 900)), ("0.1", (20, 100))):
        driver.find_element(By.ID, "clearing-restart").click()
        choose(driver, "clearing", "learningRate", rate)
        time.sleep(1)
        measured = train(driver, "clearing", steps[-1])
        cleared, not_cleared = measured["histories"]
        rows += [
            [
                rate,
                str(step),
                f"{find_value(cleared['testAccuracy'], step):.1%}",
                f"{find_value(not_cleared['testAccuracy'], step):.1%}",
                f"{find_value(cleared['norm'], step):.3g}",
                f"{find_value(not_cleared['norm'], step):.3g}",
            ]
            for step in steps
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60, help="of the first part")
    parser.add_argument("--write", action="store_true", help="into docs/lesson.md")
    options = parser.parse_args()
    if not is_browser_installed():
        parser.error("needs Chromium or Chrome, and chromedriver")
    os.sched_setaffinity(0, {0})  # the browser inherits it
    with TemporaryDirectory() as folder, open_browser() as driver:
        open_lesson(driver, Path(folder))
        print(play_for(driver, options.seconds))
        print(compare_activations(driver))
        print(try_sizes(driver))
        print(leave_gradients(driver))
        print(read_complaints(driver))


if __name__ == "__main__":
    main()
