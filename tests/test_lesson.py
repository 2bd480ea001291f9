"""The lesson: what the command writes, and that each of its controls does something."""

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lesson_page import (
    IS_READY,
    click,
    open_lesson,
    read_numbers,
    read_panel,
    take_steps,
    wait_for_step,
    wait_until,
)
from support import ROOT, RunCommand, get_error_line, read_complaints, read_mnist
from torch.nn.utils import parameters_to_vector

from mlp_lightning import webpage
from mlp_lightning.mlp import MLP

MAX_PAGE_SIZE = 1_500_000  # bytes
AXE = ROOT / "node_modules/axe-core/axe.min.js"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
# Contrast depends on the colours alone, and the size of targets on the width.
SCREENS = [(1280, "light"), (390, "dark")]
READ_ANSWER = "return $('answer').innerText"
# What a learner sees in the part of the page that an element belongs to.
SEE = """
const part = arguments[0].closest("section") ?? document.body;
const copy = document.createElement("canvas");
const pencil = copy.getContext("2d", {willReadFrequently: true});
const hashes = [...part.querySelectorAll("canvas")].map(canvas => {
  const {width, height} = canvas;
  if (!width || !height) return 0;
  Object.assign(copy, {width, height});
  pencil.drawImage(canvas, 0, 0);
  const {data} = pencil.getImageData(0, 0, width, height);
  return new Uint32Array(data.buffer).reduce((hash, pixel) =>
    Math.imul(hash ^ pixel, 16777619), 0);
});
return [part.innerText, ...hashes].join();
"""
# The same, when the page has had the time to draw what it has still to draw.
SEE_LATER = f"""
const [control, done] = arguments, see = control => {{ {SEE} }};
setTimeout(() => done(see(control)), 70);
"""
CENTRE = """
arguments[0].scrollIntoView({block: "center", behavior: "instant"});
const {left, top, width, height} = arguments[0].getBoundingClientRect();
return [left + arguments[1] * width, top + arguments[2] * height];
"""
# What has to be done first, for a control to have something to do.
PREPARATIONS = {
    "training-restart": "training-step",
    "linear-restart": "linear-step",
    "sizes-restart": "sizes-step",
    "clearing-restart": "clearing-step",
    "clear": "samples",
    "weight-largest": "weight-random",
    "gradient-picture": "weight-random",
    "descent-back": "descent-against",
}
MOVE_TO_START = """
arguments[0].value = 0;
arguments[0].dispatchEvent(new Event("input"));
"""
KEYS = {
    "range": "ARROW_RIGHT",
    "checkbox": "SPACE",
    "number": "ARROW_UP",
    "canvas": "ARROW_RIGHT",
}


@pytest.fixture
def opened(driver: Any, lesson_path: Path) -> Iterator[Any]:
    """The lesson, opened; it must not complain."""
    open_lesson(driver, lesson_path)
    yield driver
    assert read_complaints(driver) == []


# The command


def test_the_lesson_needs_no_run_and_is_one_small_file(cli: RunCommand) -> None:
    outcome = cli("lesson")
    assert outcome.code == 0, outcome.err
    size = Path("lesson.html").stat().st_size
    assert outcome.out == (
        f"Wrote lesson.html ({size:,} bytes): open it in a browser\n"
    )
    assert size < MAX_PAGE_SIZE
    assert not Path("lightning_logs").exists()
    text = Path("lesson.html").read_text(encoding="utf-8")
    assert "src=" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_lesson_begins_with_the_settings(cli: RunCommand) -> None:
    words = (
        "--output=it.html",
        "--seed_everything=7",
        "--model.hidden_sizes=[30]",
        "--model.activation=tanh",
        "--model.optimizer=SGD",
        "--model.optimizer.lr=0.05",
        "--model.optimizer.momentum=0.5",
        "--data.batch_size=16",
    )
    assert cli("lesson", *words).code == 0
    data = read_page_data(Path("it.html"))
    assert data["settings"] == {
        "hiddenSizes": [30],
        "activation": "tanh",
        "seed": 7,
        "learningRate": 0.05,
        "momentum": 0.5,
        "batchSize": 16,
        "clearsGradients": True,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output=it.txt"], "--output: must end in .html, got it.txt"),
        (["--output=folder.html"], "--output: cannot be written, "),
        (
            ["--model.optimizer=Adam"],
            "--model.optimizer: the lesson trains with SGD, got Adam",
        ),
        (
            ["--model.optimizer=SGD", "--model.optimizer.lr=-1"],
            "--model.optimizer: Invalid learning rate: -1.0",
        ),
        (
            ["--model.optimizer=SGD", "--model.optimizer.weight_decay=0.1"],
            "weight_decay: the lesson has none, got 0.1",
        ),
        ([f"--config={ROOT / 'configs/dropout.yaml'}"], "dropout: the lesson has none"),
        (
            [f"--config={ROOT / 'configs/augmentation.yaml'}"],
            "augmentation: the lesson has none",
        ),
        (
            ["--model.lr_scheduler=CosineAnnealingLR"],
            "lr_scheduler: the lesson has none",
        ),
        (
            ["--model.activation=torch.nn.GELU"],
            "--output: .html cannot hold this network: ",
        ),
    ],
)
def test_what_the_lesson_cannot_train_is_refused(
    words: list[str], message: str, cli: RunCommand
) -> None:
    Path("folder.html").mkdir()
    assert message in get_error_line(cli("lesson", *words))
    assert not list(Path().glob("*.html/*"))
    assert not Path("lesson.html").exists()


def read_page_data(path: Path) -> Any:
    page = path.read_text(encoding="utf-8")
    element = '<script type="application/json" id="model">'
    return json.loads(page.partition(element)[2].partition("</script>")[0])


def test_the_lesson_in_docs_is_of_this_code(lesson_path: Path) -> None:
    path = ROOT / "docs/demo/lesson.html"
    data = read_page_data(path)
    assert webpage.assemble_page("lesson.html", data) == path.read_text("utf-8")
    written = read_page_data(lesson_path)
    for part in ("training", "test"):  # another zlib may deflate them otherwise
        packed = [page[part].pop("images") for page in (data, written)]
        pixels = [zlib.decompress(base64.b64decode(text)) for text in packed]
        assert pixels[0] == pixels[1]
    assert data == written


# The scripts


def read_scripts(page: str) -> dict[str, str]:
    """Return the scripts that a page of mlp_lightning/page/ names, by their names."""
    names = re.findall(r'src="(.+?)"', webpage.read_source(page))
    return {name: webpage.read_source(name) for name in names}


@pytest.mark.parametrize("page", ["demo.html", "lesson.html"])
def test_no_script_takes_the_name_of_anothers(page: str) -> None:
    names = []
    for script, text in read_scripts(page).items():
        if script != "worker.js":  # which runs by itself
            definition = r"^(?:async )?(?:function|const|let|class) (\w+)"
            names += re.findall(definition, text, re.MULTILINE)
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("page", ["demo.html", "lesson.html"])
def test_each_text_is_there_once_in_two_languages(page: str, driver: Any) -> None:
    scripts = read_scripts(page)
    scripts.pop(
        "picture_texts.js", None
    )  # says some of them anew: test_picture_page.py
    texts = [text for name, text in scripts.items() if "texts" in name]
    names = re.findall(r"^  (\w+): \[", "".join(texts), re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    driver.get("data:text/html,")
    table = driver.execute_script("".join(texts) + "return TEXTS;")
    assert sorted(table) == sorted(names)
    for english, chinese in table.values():
        holes = [sorted(re.findall(r"\{(\w+)\}", text)) for text in (english, chinese)]
        assert set(holes[0]) >= set(holes[1])
        assert not re.search(r"[\u4e00-\u9fff]", english) or english == "中文"
    used = webpage.read_source(page)
    for name in re.findall(r'data-(?:text|label|title)="(\w+)"', used):
        assert name in table


# The page


@pytest.mark.browser
def test_the_lesson_begins_with_the_weights_of_fit(opened: Any) -> None:
    torch.manual_seed(42)
    expected = parameters_to_vector(MLP().parameters()).detach()
    for name in ("training", "linear", "sizes", "clearing"):
        assert torch.equal(read_numbers(opened, name), expected)


@pytest.mark.pages
@pytest.mark.browser
def test_the_lesson_has_every_thirtieth_image(opened: Any, data_dir: Path) -> None:
    script = """
    const {images, labels} = lesson[arguments[0]];
    return [[...images.subarray(-784)], [...labels]];
    """
    sets = {
        "training": (read_mnist(data_dir, "train"), 30),
        "test": (read_mnist(data_dir, "t10k"), 20),
    }
    for name, ((images, labels), stride) in sets.items():
        pixels, digits = opened.execute_script(script, name)
        assert pixels == images[::stride][-1].flatten().tolist()
        assert digits == labels[::stride].tolist()


@pytest.mark.browser
def test_the_network_learns_before_your_eyes(opened: Any) -> None:
    seen = opened.execute_script(SEE, opened.find_element("id", "training-play"))
    read = opened.execute_script(READ_ANSWER)
    click(opened, "training-play")
    wait_until(lambda: read_panel(opened, "training")["step"] >= 30, opened)
    click(opened, "linear-play")  # only one trains at a time
    wait_until(lambda: read_panel(opened, "linear")["step"] >= 3, opened)
    paused = read_panel(opened, "training")
    assert not paused["isPlaying"]
    (history,) = paused["histories"]
    assert [step for step, _ in history["loss"]] == list(range(1, paused["step"] + 1))
    tested = [step for step, _ in history["testLoss"]]
    assert tested == list(range(0, paused["step"] + 1, 10))
    losses = [loss for _, loss in history["testLoss"]]
    assert losses == sorted(losses, reverse=True)
    accuracies = [accuracy for _, accuracy in history["testAccuracy"]]
    assert accuracies[-1] > accuracies[0] + 0.1
    wait_until(lambda: opened.execute_script(READ_ANSWER) != read, opened)
    play = opened.find_element("id", "training-play")
    assert opened.execute_script(SEE, play) != seen
    assert read_complaints(opened) == []


@pytest.mark.pages
@pytest.mark.browser
def test_the_network_begins_again(opened: Any) -> None:
    first = read_numbers(opened, "training")
    take_steps(opened, "training", 1)
    assert not torch.equal(read_numbers(opened, "training"), first)
    click(opened, "training-restart")
    wait_for_step(opened, "training", 0)
    wait_until(lambda: torch.equal(read_numbers(opened, "training"), first), opened)


@pytest.mark.pages
@pytest.mark.browser
def test_the_network_trains_for_a_hundred_steps(opened: Any) -> None:
    click(opened, "training-hundred")
    wait_until(lambda: read_panel(opened, "training")["step"] >= 100, opened)
    wait_until(lambda: not read_panel(opened, "training")["isPlaying"], opened)
    assert read_panel(opened, "training")["step"] == 100


@pytest.mark.pages
@pytest.mark.browser
def test_a_run_is_the_same_whenever_it_is_repeated(opened: Any) -> None:
    ends = []
    for _ in range(2):
        take_steps(opened, "training", 3)
        ends.append(read_numbers(opened, "training"))
        click(opened, "training-restart")
        wait_for_step(opened, "training", 0)
    assert torch.equal(ends[0], ends[1])


@pytest.mark.pages
@pytest.mark.browser
def test_three_layers_without_relu_are_one(opened: Any) -> None:
    script = """
    const {networks: [withRelu, withNothing]} =
      experiments.find(({id}) => id === "linear");
    return [withNothing, withRelu].map(network =>
      compareLogits(network, mergeLayers(network), lesson.batch));
    """
    take_steps(opened, "linear", 2)
    without, with_relu = opened.execute_script(script)
    assert without < 1e-5
    assert with_relu > 1e-2
    words = opened.find_element("id", "product-difference").text
    assert re.search(r"by \d × 10⁻. at most", words)


@pytest.mark.pages
@pytest.mark.browser
def test_the_sliders_make_other_layers(opened: Any) -> None:
    script = """
    $("size-1").value = 32; $("size-2").value = 0;
    $("size-1").dispatchEvent(new Event("input"));
    """
    terms = opened.find_element("id", "size-terms")
    assert "784 × 128 + 128 = 100,480" in terms.text
    assert "109,386" in terms.text
    opened.execute_script(script)
    wait_until(lambda: "25,450" in terms.text, opened)
    assert "784 × 32 + 32 = 25,120" in terms.text
    assert "32 × 10 + 10 = 330" in terms.text
    take_steps(opened, "sizes", 1)
    tries = opened.find_element("id", "size-tries")
    wait_until(lambda: "784-32-10" in tries.text, opened)


@pytest.mark.pages
@pytest.mark.browser
def test_gradients_that_are_not_cleared_grow(opened: Any) -> None:
    take_steps(opened, "clearing", 8)
    cleared, kept = read_panel(opened, "clearing")["histories"]
    assert cleared["loss"][0] == kept["loss"][0]
    assert kept["norm"][-1][1] > 5 * cleared["norm"][-1][1]
    assert kept["loss"][-1][1] < cleared["loss"][-1][1]  # it is ahead at first


@pytest.mark.browser
def test_the_lesson_speaks_chinese(opened: Any) -> None:
    click(opened, "language")
    assert opened.execute_script("return document.documentElement.lang") == "zh-CN"
    assert opened.title == opened.execute_script("return TEXTS.lessonTitle[1]")
    wait_until(
        lambda: "训练" in opened.find_element("id", "training-play").text, opened
    )
    visible = opened.find_element("tag name", "body").text
    english = re.findall(r"(?:[A-Za-z]{3,} ){2,}[A-Za-z]+", visible)
    assert english == []
    click(opened, "language")
    assert opened.execute_script("return document.documentElement.lang") == "en"


# Its controls


def list_controls(page: Any) -> Any:
    """Return what can be used, two of the sample images among them."""
    selector = "main button, main input:not([type=file]), main canvas[tabindex]"
    controls = page.find_elements("css selector", selector)
    samples = page.find_elements("css selector", "#samples button")
    return [one for one in controls if one not in samples] + samples[:2]


def prepare(page: Any, control: Any) -> None:
    name = control.get_attribute("id")
    if name in PREPARATIONS:
        first = PREPARATIONS[name]
        if first == "samples":
            page.execute_script("$('samples').lastElementChild.click()")
        elif first.endswith("-step"):
            take_steps(page, first.removesuffix("-step"), 1)
        else:
            click(page, first)
    if control.get_attribute("type") == "range":
        page.execute_script(MOVE_TO_START, control)
    if name == "path-products":
        page.execute_script(MOVE_TO_START, page.find_element("id", "path-image"))


def use_by_mouse(page: Any, control: Any) -> None:
    from selenium.webdriver import ActionChains

    width, height = control.size["width"], control.size["height"]
    mouse = ActionChains(page, duration=0)
    mouse.move_to_element_with_offset(control, -width // 5, -height // 10)
    mouse.click().perform()


def use_by_touch(page: Any, control: Any) -> None:
    x, y = page.execute_script(CENTRE, control, 0.6, 0.6)
    points = [{"x": int(x), "y": int(y)}]
    for kind, touched in (("touchStart", points), ("touchEnd", [])):
        event = {"type": kind, "touchPoints": touched}
        page.execute_cdp_cmd("Input.dispatchTouchEvent", event)


def use_by_keys(page: Any, control: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    page.execute_script("arguments[0].focus()", control)
    kind = control.get_attribute("type") or control.tag_name
    keys = [getattr(Keys, KEYS.get(kind, "ENTER"))]
    if control.get_attribute("id") == "paper":
        keys = [" ", Keys.ARROW_DOWN]
    ActionChains(page, duration=0).send_keys(*keys).perform()


@pytest.mark.pages
@pytest.mark.browser
@pytest.mark.parametrize("use", [use_by_mouse, use_by_touch, use_by_keys])
def test_each_control_does_something(
    use: Callable[[Any, Any], None], opened: Any
) -> None:
    controls = list_controls(opened)
    assert len(controls) > 30
    for control in controls:
        is_number = control.get_attribute("type") == "number"
        if is_number and use is not use_by_keys:
            continue  # it is typed into
        prepare(opened, control)
        before = settle(opened, control)
        use(opened, control)
        name = control.get_attribute("id")
        wait_for_change(opened, control, before)
        if name.endswith(("-play", "-hundred")):  # it trains on
            click(opened, name.split("-")[0] + "-play")
            settle(opened, control)
    assert read_complaints(opened) == []


def settle(page: Any, control: Any) -> str:
    """Wait until nothing changes any more by itself; return what is seen then."""
    page.execute_script(CENTRE, control, 0.5, 0.5)
    seen = ""
    while seen != (now := str(page.execute_async_script(SEE_LATER, control))):
        seen = now
    return seen


def wait_for_change(page: Any, control: Any, before: str) -> None:
    wait_until(lambda: page.execute_script(SEE, control) != before, page)


@pytest.mark.pages
@pytest.mark.browser
def test_each_list_sets_what_it_says(opened: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    selects = opened.find_elements("css selector", "main select")
    assert len(selects) > 10
    script = """
    const [id, name] = arguments[0].split("-");
    const {settings, stepsPerSecond} =
      experiments.find(experiment => experiment.id === id);
    return name === "speed" ? stepsPerSecond : settings[name];
    """
    for select in selects:
        name = select.get_attribute("id")
        before = select.get_attribute("value")
        opened.execute_script("arguments[0].focus()", select)
        begins_last = name.endswith(("speed", "weight-layer"))
        key = Keys.ARROW_UP if begins_last else Keys.ARROW_DOWN
        ActionChains(opened, duration=0).send_keys(key).perform()
        value = select.get_attribute("value")
        assert value != before
        if name not in ("sums-layer", "weight-layer"):  # of a station
            assert opened.execute_script(script, name) == float(value)
    assert read_complaints(opened) == []


@pytest.mark.pages
@pytest.mark.browser
def test_the_page_fits_all_screens(opened: Any) -> None:
    for width in (1280, 768, 390, 320):
        show_on_screen(opened, width, "light")
        wait_for_width(opened, width)
    reset_screen(opened)


def wait_for_width(page: Any, width: int) -> None:
    script = "return document.documentElement.scrollWidth"
    wait_until(lambda: page.execute_script(script) <= width, page)


def show_on_screen(page: Any, width: int, theme: str) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-color-scheme", "value": theme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def reset_screen(page: Any) -> None:
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.pages
@pytest.mark.browser
@pytest.mark.skipif(not AXE.exists(), reason="npm install --no-save axe-core")
@pytest.mark.parametrize("page", ["index.html", "lesson.html"])
def test_axe_finds_nothing_amiss(page: str, driver: Any) -> None:
    script = """
    axe.run({runOnly: arguments[0]}).then(arguments[1]);
    """
    for width, theme in SCREENS:
        show_on_screen(driver, width, theme)
        driver.get((ROOT / "docs/demo" / page).as_uri())
        if page == "lesson.html":
            wait_until(lambda: driver.execute_script(IS_READY), driver)
        driver.execute_script(AXE.read_text(encoding="utf-8"))
        for _ in ("English", "Chinese"):
            found = driver.execute_async_script(script, AXE_TAGS)
            problems = [
                (violation["id"], [node["html"][:200] for node in violation["nodes"]])
                for violation in found["violations"]
            ]
            assert problems == []
            assert len(found["passes"]) > 15
            click(driver, "language")
    reset_screen(driver)
