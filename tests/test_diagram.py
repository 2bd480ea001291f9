"""The picture of the network on an exported page: what it shows, and who is where."""

from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from browser import read_complaints
from support import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.pages]
PAGE = ROOT / "docs/demo/index.html"
NETWORKS: list[list[int]] = [[], [1], [10], [128, 64], [1024], [200, 3, 64, 1024]]
WIDTHS = (390, 1280)

# The places of all layers, and which unit is found at each of them
PLACES = """
const [hiddenSizes] = arguments, canvas = $("diagram");
const other = createNetwork([784, ...hiddenSizes, 10], "relu");
initialise(other, 0);
const layers = placeLayers(canvas, other);
drawDiagram(canvas, other, forward(other, decodeBase64(model.images).subarray(0, 784)));
return {
  width: canvas.clientWidth,
  height: canvas.clientHeight,
  places: layers.map(({xs, ys}) => [[...xs], [...ys]]),
  found: layers.map(({xs, ys}) => [...xs].map((x, unit) => {
    const {layer, unit: found} = findUnitAt(canvas, other, x, ys[unit]);
    return [layer, found];
  })),
};
"""
LINES = """
const [count, only] = arguments, layer = network.layers[1];
return {
  lines: findStrongestLines(layer, outputs[1], count, only).map(line => line.value),
  weights: [...layer.weights],
  inputs: [...outputs[1]],
};
"""


def set_screen(driver: Any, width: int, motion: str = "reduce") -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-reduced-motion", "value": motion}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture
def page(driver: Any) -> Iterator[Any]:
    """The page in docs, opened without motion; it must not complain."""
    set_screen(driver, 1280)
    read_complaints(driver)  # of the test before
    driver.get(PAGE.as_uri())
    yield driver
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert read_complaints(driver) == []


def read_picture(page: Any) -> str:
    return str(page.execute_script("return $('diagram').toDataURL()"))


def read_words(page: Any) -> str:
    return str(page.find_element("id", "words").text)


def test_the_picture_changes_with_the_digit(page: Any) -> None:
    samples = page.find_elements("css selector", "#samples button")
    pictures = []
    for sample in samples[:6]:
        sample.click()
        pictures.append(read_picture(page))
    page.find_element("id", "clear").click()
    pictures.append(read_picture(page))
    assert len(set(pictures)) == 7
    samples[0].click()
    assert read_picture(page) == pictures[0]


def test_a_digit_goes_through_only_where_motion_is_wanted(page: Any) -> None:
    choose = "$('samples').children[8].click(); return $('diagram').toDataURL();"
    still = page.execute_script(choose)
    set_screen(page, 1280, "no-preference")
    assert page.execute_script(choose) != still
    page.execute_async_script("setTimeout(arguments[0], 1500)")
    assert read_picture(page) == still
    draw = """
    drawDiagram($("diagram"), network, outputs, {progress: arguments[0]});
    return $("diagram").toDataURL();
    """
    ways = [page.execute_script(draw, progress) for progress in (0, 0.3, 0.6, 0.9, 1)]
    assert len(set(ways)) == 5
    assert ways[-1] == still


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("hidden_sizes", NETWORKS)
def test_each_unit_is_found_where_it_is_drawn(
    hidden_sizes: list[int], width: int, page: Any
) -> None:
    set_screen(page, width)
    shown = page.execute_script(PLACES, hidden_sizes)
    sizes = [784, *hidden_sizes, 10]
    right = 0.0
    for layer, size in enumerate(sizes):
        xs, ys = numpy.array(shown["places"][layer])
        assert len(xs) == size
        assert right < xs.min()  # the layers stand side by side
        right = xs.max()
        assert ys.min() > 0
        assert ys.max() < shown["height"]
        assert shown["found"][layer] == [[layer, unit] for unit in range(size)]
    assert right < shown["width"]


@pytest.mark.parametrize("only", [{}, {"unit": 5}, {"input": 7}])
def test_the_strongest_signals_are_drawn(only: dict[str, int], page: Any) -> None:
    # An 8, for which the first layer's eighth unit is active
    page.execute_script("outputs[1][7] = 1.5")
    found = page.execute_script(LINES, 40, only)
    inputs = numpy.array(found["inputs"], numpy.float32)
    signals = numpy.array(found["weights"]).reshape(-1, len(inputs)) * inputs
    if "unit" in only:
        signals = signals[only["unit"]]
    elif "input" in only:
        signals = signals[:, only["input"]]
    ordered = numpy.sort(signals.flatten())
    positive = ordered[-20:][ordered[-20:] > 0]
    negative = ordered[:20][ordered[:20] < 0]
    expected = numpy.sort(numpy.concatenate([positive, negative]))
    numpy.testing.assert_allclose(sorted(found["lines"]), expected, rtol=1e-6)
    strengths = numpy.abs(found["lines"])
    assert (numpy.diff(strengths) >= 0).all()  # the weakest are drawn first


def test_keys_and_touch_choose_a_unit(page: Any) -> None:
    from selenium.webdriver import Keys

    diagram = page.find_element("id", "diagram")
    answer = read_words(page)
    assert answer.startswith("Digit 0: its 128 weights, one for each unit before.")
    plain = read_picture(page)
    diagram.send_keys(Keys.ARROW_UP)  # above the 0 is none
    assert read_words(page) == answer
    assert read_picture(page) != plain  # its lines stand out
    expected = (
        (Keys.ARROW_DOWN, "Digit 1: its 128 weights"),
        (Keys.ARROW_LEFT, "Unit "),
        (Keys.ARROW_LEFT, "Unit "),
        (Keys.ARROW_LEFT, "Pixel in row "),
        (Keys.ARROW_RIGHT, "Unit "),
    )
    for key, words in expected:
        diagram.send_keys(key)
        assert read_words(page).startswith(words)
    diagram.send_keys(Keys.ESCAPE)
    assert read_words(page) == answer
    assert read_picture(page) == plain
    touch = """
    const {left, top} = $("diagram").getBoundingClientRect();
    const {xs, ys} = placeLayers($("diagram"), network)[2];
    return [left + xs[99], top + ys[99]];
    """
    page.execute_script("$('diagram').scrollIntoView()")
    x, y = page.execute_script(touch)
    finger = {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    page.execute_cdp_cmd("Input.dispatchTouchEvent", finger)
    page.execute_cdp_cmd(
        "Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []}
    )
    assert read_words(page).startswith("Unit 100 of 128: its 256 weights")
