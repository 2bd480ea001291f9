"""What the tests of the lesson share: how they open it, use it and read it."""

import base64
import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from support import read_complaints
from torch import Tensor

MAX_SECONDS = 30  # for the page to do what it is asked to, on a busy machine
IS_READY = """
return typeof experiments !== "undefined" && experiments.length === 4 && outputs
  && experiments.every(({networks}) => networks) && $("answer").textContent !== "";
"""

# Has everything written anew that follows from the network, and waits for it. Stations
# write in tasks of their own, of which the last one starts another.
WRITE_ANEW = """
const [done] = arguments;
for (const listener of languageListeners) listener();
setTimeout(() => setTimeout(done));
"""
# Of a number as the page writes it: 1,234, × 0.1, (0.25), 11.3 %, 1.234 × 10⁻⁷. A minus
# sign, U+2212, is longer than a hyphen.
PLAIN_DIGITS = str.maketrans("\u2212⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789", ",()×=+% ")


def open_lesson(driver: Any, path: Path) -> None:
    read_complaints(driver)  # of the test before
    driver.get(path.as_uri())
    wait_until(lambda: driver.execute_script(IS_READY), driver)


def wait_until(condition: Callable[[], Any], driver: Any) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    wait = WebDriverWait(driver, MAX_SECONDS, poll_frequency=0.05)
    wait.until(lambda _: condition())


def click(page: Any, identifier: str) -> None:
    page.execute_script("$(arguments[0]).click()", identifier)


def read_panel(page: Any, name: str) -> Any:
    """Return a panel's step, its times and, of each of its networks, the curves."""
    script = """
    const {step, histories, isPlaying, milliseconds} =
      experiments.find(({id}) => id === arguments[0]);
    return {step, histories, isPlaying, milliseconds};
    """
    return page.execute_script(script, name)


def read_array(page: Any, expression: str, dtype: torch.dtype) -> Tensor:
    """Return the typed array that a JavaScript expression gives."""
    script = f"""
    const {{buffer, byteOffset, byteLength}} = {expression};
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    const parts = [];  // a function takes no more than some 100,000 arguments
    for (let start = 0; start < byteLength; start += 50000)
      parts.push(String.fromCharCode(...bytes.subarray(start, start + 50000)));
    return btoa(parts.join(""));
    """
    content = bytearray(base64.b64decode(page.execute_script(script)))
    return torch.frombuffer(content, dtype=dtype)


def read_numbers(page: Any, name: str) -> Tensor:
    """Return the weights and biases of a panel's first network, float32 (n,)."""
    panel = f"experiments.find(({{id}}) => id === '{name}')"
    return read_array(page, f"{panel}.networks[0].numbers", torch.float32)


def wait_for_step(page: Any, name: str, step: int) -> None:
    wait_until(lambda: read_panel(page, name)["step"] == step, page)


def take_steps(page: Any, name: str, steps: int) -> None:
    for _ in range(steps):
        before = read_panel(page, name)["step"]
        click(page, f"{name}-step")
        wait_for_step(page, name, before + 1)


def restart(page: Any, name: str) -> None:
    """Begin a panel anew; its network is there when it has been tested."""
    click(page, f"{name}-restart")
    wait_until(lambda: read_panel(page, name)["histories"][0]["testLoss"], page)


def write_anew(page: Any) -> None:
    page.execute_async_script(WRITE_ANEW)


def set_value(page: Any, identifier: str, value: float, event: str) -> None:
    """Set a list ("change") or a slider ("input")."""
    script = """
    const [identifier, value, event] = arguments;
    $(identifier).value = value;
    $(identifier).dispatchEvent(new Event(event));
    """
    page.execute_script(script, identifier, value, event)


def read_words(page: Any, identifier: str) -> str:
    return str(page.execute_script("return $(arguments[0]).textContent", identifier))


def say(page: Any, name: str, **values: object) -> str:
    """Return a text of the page, with these values in it."""
    return str(page.execute_script("return text(...arguments)", name, values))


def parse_number(words: str) -> float:
    return float(words.replace(" × 10", "e").translate(PLAIN_DIGITS))


def parse_texts(page: Any, words: str, names: Sequence[str]) -> list[dict[str, str]]:
    """Return the values that stand in several texts of the page, one after the other.

    Any other words are an error.
    """
    script = "return arguments[0].map(name => TEXTS[name][language])"
    patterns = []
    groups: list[dict[str, str]] = []
    for number, template in enumerate(page.execute_script(script, names)):
        pattern = ""
        groups.append({})
        for literal, hole, _, _ in string.Formatter().parse(template):
            pattern += re.escape(literal)
            if hole in groups[-1]:  # the same value again
                pattern += f"(?P={hole}_{number})"
            elif hole:
                pattern += f"(?P<{hole}_{number}>.+?)"
                groups[-1][hole] = f"{hole}_{number}"
        patterns.append(pattern)
    match = re.fullmatch(" ".join(patterns), words)
    assert match, f"not {names}: {words}"
    return [{hole: match[name] for hole, name in group.items()} for group in groups]


def parse_words(page: Any, words: str, name: str) -> dict[str, str]:
    """Return the values that stand in a text of the page."""
    (values,) = parse_texts(page, words, [name])
    return values


def parse_numbers(values: dict[str, str]) -> dict[str, float]:
    return {hole: parse_number(words) for hole, words in values.items()}


def read_values(page: Any, identifier: str, name: str) -> dict[str, float]:
    """Return the numbers in what an element says, which must be this text."""
    return parse_numbers(parse_words(page, read_words(page, identifier), name))


def read_table(page: Any, selector: str) -> list[dict[str, str]]:
    """Return a table's rows, each cell by the name of its column's title.

    A column without a title has the name "".
    """
    script = """
    const {tHead, tBodies: [body]} = document.querySelector(arguments[0]);
    const read = (rows, read) => Array.from(rows, ({cells}) => Array.from(cells, read));
    return [read(tHead.rows, ({dataset}) => dataset.text ?? "")[0],
      read(body.rows, ({textContent}) => textContent)];
    """
    titles, rows = page.execute_script(script, selector)
    return [dict(zip(titles, cells, strict=True)) for cells in rows]
