"""Use the lesson in a browser as a learner does, and write down what it shows.

    python benchmarks/lesson.py --write

The browser has one core. First the network is trained for a minute: how many steps a
second, and how long is the page's main thread ever busy at a stretch? Then the tasks of
the stations are done. `--write` puts the figures into docs/lesson.md.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable
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
  for (const {duration, startTime} of list.getEntries()) {
    longTasks.push([startTime, duration]);
  }
}).observe({type: "longtask", buffered: true});
"""
IS_READY = """
return typeof experiments !== "undefined" && experiments.length === 4
  && experiments.every(({networks}) => networks);
"""
MOVE_SLIDER = """
const slider = $(arguments[0]);
slider.value = arguments[1];
slider.dispatchEvent(new Event("input"));
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
    rest(2)  # the page draws what is still to be drawn


def train(driver: Chrome, name: str, steps: int) -> Any:
    """Press Train in a panel, pause after so many steps, and return what was measured.

    Returns:
        `step`, `milliseconds` of each step, and `histories`, for each network its
        `loss`, `accuracy`, `norm`, `testLoss` and `testAccuracy`: lists of pairs
        [step, value].
    """
    click(driver, f"{name}-play")
    wait = WebDriverWait(driver, MAX_SECONDS, poll_frequency=0.2)
    wait.until(lambda _: read_experiment(driver, name)["step"] >= steps)
    click(driver, f"{name}-play")
    return read_experiment(driver, name)


def read_experiment(driver: Chrome, name: str) -> Any:
    return driver.execute_script(READ_EXPERIMENT, name)


def choose(driver: Chrome, name: str, setting: str, value: str) -> None:
    """Choose a value from one of a panel's lists."""
    Select(driver.find_element(By.ID, f"{name}-{setting}")).select_by_value(value)


def find_value(points: list[tuple[int, float]], step: int) -> float:
    """Return the value of a curve at a step."""
    return next(value for at, value in points if at == step)


def format_accuracies(history: Any, steps: Iterable[int]) -> list[str]:
    """Return the test accuracies after so many steps."""
    return [f"{find_value(history['testAccuracy'], step):.1%}" for step in steps]


def rest(seconds: float = 1) -> None:
    """Wait until the page has done what it does at intervals."""
    time.sleep(seconds)


def click(driver: Chrome, identifier: str) -> None:
    driver.find_element(By.ID, identifier).click()


def move_slider(driver: Chrome, identifier: str, value: float) -> None:
    driver.execute_script(MOVE_SLIDER, identifier, value)


def read_text(driver: Chrome, identifier: str) -> str:
    return driver.find_element(By.ID, identifier).text


def show(driver: Chrome, section: str) -> None:
    """Scroll to a station: the last two compute only while they are seen."""
    driver.execute_script("$(arguments[0]).scrollIntoView()", section)
    rest()


def play_for(driver: Chrome, seconds: float) -> str:
    """Train the first network of the lesson for so long."""
    start = driver.execute_script("return performance.now()")
    click(driver, "training-play")
    time.sleep(seconds)
    click(driver, "training-play")
    measured = read_experiment(driver, "training")
    tasks = driver.execute_script("return longTasks")
    loading = [duration for at, duration in tasks if at < start]
    playing = [duration for at, duration in tasks if at >= start]
    accuracy = measured["histories"][0]["testAccuracy"][-1][1]
    row = [
        f"{seconds:.0f}",
        f"{measured['step'] / seconds:.0f}",
        f"{statistics.median(measured['milliseconds']):.1f}",
        format_longest(playing),
        format_longest(loading),
        f"{accuracy:.1%}",
    ]
    header = [
        "seconds of training",
        "steps a second",
        "of which the step itself, ms",
        "longest task of the main thread, ms",
        "while the page loads, ms",
        "test accuracy at the end",
    ]
    return format_table(header, [row])


def format_longest(durations: list[float]) -> str:
    """Return the longest of the tasks that a browser reports, in milliseconds."""
    return f"{max(durations):.0f}" if durations else "below 50"


def compare_activations(driver: Chrome) -> str:
    """Do the task of the first station."""
    steps = (50, 100, 300, 500)
    measured = train(driver, "linear", steps[-1])
    names = ["with ReLU", "with nothing between the layers"]
    rows = [
        [name, *format_accuracies(history, steps)]
        for name, history in zip(names, measured["histories"], strict=True)
    ]
    header = ["test accuracy", *(f"after {step} steps" for step in steps)]
    rest()
    difference = read_text(driver, "product-difference")
    return f"{format_table(header, rows)}\n\n{difference}"


def try_sizes(driver: Chrome) -> str:
    """Do the task of the second station."""
    for first, second in ((8, 0), (32, 16), (128, 64), (256, 256)):
        move_slider(driver, "size-1", first)
        move_slider(driver, "size-2", second)
        rest()
        train(driver, "sizes", 300)
        rest()
    rows = [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
        for row in driver.find_elements(By.CSS_SELECTOR, "#size-tries tr")
    ]
    return format_table(rows[0], rows[1:])


def leave_gradients(driver: Chrome) -> str:
    """Do the task of the third station."""
    rows = []
    for rate, steps in (("0.01", (100, 300, 900)), ("0.1", (20, 100))):
        choose(driver, "clearing", "learningRate", rate)
        click(driver, "clearing-restart")
        rest()
        cleared, not_cleared = train(driver, "clearing", steps[-1])["histories"]
        rows += [
            [
                rate,
                str(step),
                *format_accuracies(cleared, [step]),
                *format_accuracies(not_cleared, [step]),
                f"{find_value(cleared['norm'], step):.3g}",
                f"{find_value(not_cleared['norm'], step):.3g}",
            ]
            for step in steps
        ]
    header = [
        "learning rate",
        "steps",
        "test accuracy, cleared",
        "not cleared",
        "norm of the gradients, cleared",
        "not cleared",
    ]
    return format_table(header, rows)


def nudge_weights(driver: Chrome) -> str:
    """Do the task of the fourth station, with the largest gradient of each layer."""
    show(driver, "backpropagation")
    rows = []
    for layer in range(3):
        select = Select(driver.find_element(By.ID, "weight-layer"))
        select.select_by_value(str(layer))
        for exponent in (1, 3):
            move_slider(driver, "nudge-size", 6 - exponent)
            rest()
            names = ("weight-gradient", "weight-slope", "weight-difference")
            figures = [read_text(driver, name) for name in names]
            rows.append([select.first_selected_option.text, f"1e-{exponent}", *figures])
    header = ["layer", "nudge", "backpropagation", "nudge", "difference"]
    times = read_text(driver, "backpropagation-times")
    return f"{format_table(header, rows)}\n\n{times}"


def take_steps(driver: Chrome) -> str:
    """Do the task of the fifth station, at the rate given and at the largest."""
    show(driver, "descent")
    rows = []
    last_rate = driver.find_element(By.ID, "descent-rate").get_attribute("max")
    for kinds, rate in (
        (("against", "along", "random"), None),
        (["against"], last_rate),
    ):
        if rate is not None:
            move_slider(driver, "descent-rate", float(rate))
        for kind in kinds:
            click(driver, "descent-back")
            click(driver, f"descent-{kind}")
            rest()
            rows.append(
                [
                    f"{kind}, {read_text(driver, 'descent-rate-value')}",
                    read_text(driver, "descent-said"),
                ]
            )
    return format_table(["step, learning rate", "what the page says"], rows)


TASKS = {
    "1. With ReLU and without, side by side, learning rate 0.1": compare_activations,
    "2. Sizes of the hidden layers, learning rate 0.1": try_sizes,
    "3. Gradients cleared and not cleared": leave_gradients,
    "4. Backpropagation and a nudge of one weight": nudge_weights,
    "5. Steps of the network that was trained for a minute": take_steps,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60, help="of the first part")
    parser.add_argument("--write", action="store_true", help="into docs/lesson.md")
    options = parser.parse_args()
    if not is_browser_installed():
        parser.error("needs Chromium or Chrome, and chromedriver")
    setup = describe_setup()  # of the whole machine
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})  # which the browser inherits
    with TemporaryDirectory() as folder, open_browser() as driver:
        open_lesson(driver, Path(folder))
        parts = [play_for(driver, options.seconds)]
        for title, do_task in TASKS.items():
            parts += [f"**{title}**", do_task(driver)]
        complaints = read_complaints(driver)
    parts.append(f"Measured in headless Chromium on one core of {setup}.")
    text = "\n\n".join(parts)
    print(text)
    if complaints:
        sys.exit("\n".join(complaints))
    if options.write:
        replace_figures(DOCS / "lesson.md", "lesson.py:figures", text)


if __name__ == "__main__":
    main()
