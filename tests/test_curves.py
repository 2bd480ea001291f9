import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait
from support import SHORT_RUN, RunCommand, read_curves

RUN = Path("lightning_logs/version_0")
FIRST = ["at_a_glance/train/loss", "at_a_glance/val/loss"]

# The names of the curves whose charts are seen without a click or a turn of the wheel:
# SCALARS hides its own in shadow roots.
FIND_CHARTS = """
const find = (root) => [...root.querySelectorAll("*")].flatMap((element) => [
  ...(element.matches("scalar-card, tf-scalar-card") ? [element] : []),
  ...(element.shadowRoot ? find(element.shadowRoot) : []),
]);
const isSeen = (element) => {
  const {top, bottom, height} = element.getBoundingClientRect();
  return height > 100 && top >= 0 && bottom <= innerHeight;
};
const nameOf = (card) =>
  card.tag ?? card.querySelector("tb-truncated-path").textContent.trim();
return find(document).filter(isSeen).map(nameOf);
"""


def test_the_losses_are_in_the_first_group_and_the_epoch_has_no_curve(
    short_run: Path,
) -> None:
    curves = read_curves(short_run)
    assert [name for name in sorted(curves) if name.startswith("at_a_glance")] == FIRST
    assert sorted(curves)[:2] == FIRST
    assert len(curves["train/loss"]) == 25
    assert len(curves["val/loss"]) == 5
    for name in ("train/loss", "val/loss"):
        assert curves[f"at_a_glance/{name}"] == curves[name]
    assert "epoch" not in curves


@contextmanager
def serve_tensorboard(folder: str) -> Iterator[str]:
    """Start `tensorboard --logdir` as a user does, and return its address."""
    words = ["tensorboard.main", "--logdir", folder, "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            addresses = (re.search(r"http://\S+", line) for line in server.stderr)
            yield next(found.group() for found in addresses if found)
        finally:
            server.kill()  # it loses a SIGTERM now and then


def wait_for_charts(driver: Any) -> list[str]:
    """Return the names of the first two charts, as soon as the page shows two."""

    def find_charts(driver: Any) -> list[str]:
        charts: list[str] = driver.execute_script(FIND_CHARTS)
        return charts[:2] if len(charts) > 1 else []

    return WebDriverWait(driver, 30).until(find_charts)


@pytest.mark.browser
@pytest.mark.subprocess
def test_tensorboard_shows_the_losses_of_a_tested_run_at_first_sight(
    driver: Any, cli: RunCommand
) -> None:
    words = [*SHORT_RUN, "--figures=true", "--trainer.max_epochs=1"]
    assert cli("fit", *words).code == 0
    assert cli("test").code == 0
    with serve_tensorboard("lightning_logs") as address:
        driver.get(address)
        assert wait_for_charts(driver) == FIRST
        assert driver.current_url.endswith("#timeseries")
        driver.get("about:blank")
        driver.get(f"{address}#scalars")
        assert wait_for_charts(driver) == FIRST
