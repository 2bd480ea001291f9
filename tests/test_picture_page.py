"""The exported page of data sets that are not of handwritten digits."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support import drop_picture, read_complaints
from torch import Tensor

from mlp_lightning import data, webpage
from mlp_lightning.__main__ import main
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.datasets import DATASETS
from mlp_lightning.folders import read_picture
from mlp_lightning.info import DatasetInfo
from mlp_lightning.mlp import normalise

LONG_NAME = "a very long name, with many words, " + "x" * 120
ODD_NAMES = ('<b>&"x"', "T-shirt/top", LONG_NAME)
ODD_INFO = DatasetInfo("odd <i>pictures", ODD_NAMES, 0.2860406, 0.3530242)
WIDTHS = (1280, 390)
# Of pictures; where 56 x 56 pixels are averaged, a mean of four may end in .5.
SHAPES = [(28, 28), (28, 28, 3), (56, 56), (150, 200, 3), (301, 77), (9, 5), (6, 300)]
SHOWN_PIXELS = "return [...outputs[0]].map(input => 255 * findPixel(input, dataset))"
CANVAS_WORDS = """
const words = [];
const {fillText} = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillText = function (text) { words.push(text); };
showNetwork();
CanvasRenderingContext2D.prototype.fillText = fillText;
return words;
"""
OpenPage = Callable[[DatasetInfo], MLPClassifier]


def make_images(classes: int) -> tuple[Tensor, Tensor]:
    """Return three random images of each class, uint8 (n, 28, 28), and their labels."""
    generator = torch.Generator().manual_seed(0)
    shape = (3 * classes, 28, 28)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return images, torch.arange(classes).repeat(3)


@pytest.fixture
def open_page(driver: Any, tmp_path: Path) -> OpenPage:
    """Open the page of a network with random weights, and return the network."""

    def write_and_open(info: DatasetInfo) -> MLPClassifier:
        torch.manual_seed(0)
        model = MLPClassifier(hidden_sizes=[20], info=info).eval()
        network = model.network.requires_grad_(False)
        metadata = {"run": "version_0/checkpoints/best.ckpt", "test_acc": "0.8512"}
        images, labels = make_images(len(info.classes))
        page = webpage.fill_page(network, metadata, info, images, labels)
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        read_complaints(driver)  # of the test before
        driver.get(path.as_uri())
        return model

    return write_and_open


@pytest.fixture
def odd_page(open_page: OpenPage, driver: Any) -> Any:
    open_page(ODD_INFO)
    return driver


def read_text(page: Any, selector: str) -> str:
    script = "return document.querySelector(arguments[0]).textContent"
    return str(page.execute_script(script, selector)).replace("\u200b", "")


def read_label(page: Any, selector: str) -> str:
    return str(page.find_element("css selector", selector).get_attribute("aria-label"))


def read_names(page: Any) -> list[str]:
    names = page.find_elements("css selector", "#digits b")
    return [str(name.get_attribute("textContent")) for name in names]


def switch_language(page: Any) -> None:
    page.find_element("id", "language").click()


@pytest.mark.browser
def test_names_are_text_never_html(odd_page: Any) -> None:
    assert read_names(odd_page) == list(ODD_NAMES)
    samples = odd_page.find_elements("css selector", "#samples button")
    labels = [str(sample.get_attribute("aria-label")) for sample in samples]
    named = enumerate((name for name in ODD_NAMES for _ in range(2)), start=1)
    assert labels == [f"Test image {number}: {name}" for number, name in named]
    answers = set()
    for sample in samples:
        sample.click()
        answers.add(read_text(odd_page, "#answer"))
    names = "|".join(map(re.escape, ODD_NAMES))
    pattern = rf"(Perhaps )?({names}): \d+\.\d %"
    assert all(re.fullmatch(pattern, answer) for answer in answers)
    for unit, name in enumerate(ODD_NAMES):
        odd_page.execute_script("pointAt({layer: 2, unit: arguments[0]})", unit)
        assert read_text(odd_page, "#words").startswith(f"Class {name}: its 20 weights")
    words = odd_page.execute_script(CANVAS_WORDS)
    assert [words[0], words[1]] == list(ODD_NAMES[:2])
    assert words[2].endswith("…")
    assert LONG_NAME.startswith(words[2][:-1])
    assert not odd_page.find_elements("css selector", "main b b, main i:not([style])")
    assert read_text(odd_page, "#about").startswith(
        "Trained on odd <i>pictures. Run version_0/checkpoints/best.ckpt recognises"
        " 85.12 % of the test images."
    )
    assert read_complaints(odd_page) == []


@pytest.mark.pages
@pytest.mark.browser
def test_no_text_speaks_of_digits(odd_page: Any) -> None:
    for word in ("digit", "数字"):
        for element in ("title", "body"):
            visible = read_text(odd_page, element)
            scripts = odd_page.find_elements("css selector", "script, style")
            for script in scripts:
                visible = visible.replace(script.get_attribute("textContent"), "")
            assert word not in visible
        for element in odd_page.find_elements("css selector", "[aria-label]"):
            assert word not in element.get_attribute("aria-label")
        switch_language(odd_page)
    odd_page.find_element("id", "clear").click()
    assert read_text(odd_page, "#answer").startswith("Choose a test image")
    assert read_text(odd_page, "#outputTitle") == "3 probabilities come out"


@pytest.mark.pages
@pytest.mark.browser
def test_texts_of_pictures_are_said_anew_in_two_languages(odd_page: Any) -> None:
    source = webpage.read_source("texts.js")
    digits = odd_page.execute_script(
        f"{source.replace('const TEXTS', 'const OLD')}return OLD;"
    )
    pictures = odd_page.execute_script("return PICTURE_TEXTS")
    assert set(pictures) <= set(digits)
    for name, (english, chinese) in pictures.items():
        assert [english, chinese] != digits[name]
        holes = [set(re.findall(r"\{(\w+)\}", text)) for text in (english, chinese)]
        assert holes[0] == holes[1]
        assert not re.search(r"[\u4e00-\u9fff]", english)
        assert re.search(r"[\u4e00-\u9fff]|^\{", chinese)


@pytest.mark.browser
def test_the_page_normalises_by_the_data_set_and_answers_as_python_does(
    open_page: OpenPage, driver: Any
) -> None:
    model = open_page(ODD_INFO)
    levels = torch.arange(256, dtype=torch.uint8)
    expected = normalise(levels.view(256, 1, 1), ODD_INFO.mean, ODD_INFO.std).flatten()
    found = driver.execute_script("return [...dataset.inputOfPixel]")
    assert found == expected.tolist()
    images, _ = make_images(3)
    script = "return arguments[0].map(pixels => [...forward(network, pixels).at(-1)])"
    answers = driver.execute_script(script, images.flatten(1).tolist())
    probabilities = model.probabilities(images).numpy()
    numpy.testing.assert_allclose(answers, probabilities, rtol=0, atol=1e-6)


def write_picture(pixels: NDArray[numpy.uint8], path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def draw_levels(*shape: int) -> NDArray[numpy.uint8]:
    generator = numpy.random.default_rng(sum(shape))
    return generator.integers(0, 256, shape, dtype=numpy.uint8)


def assert_taken_alike(page: Any, path: Path) -> None:
    """Check that a dropped picture, a PNG, is to the bit what Python makes of it."""
    drop_picture(page, path)
    found = numpy.round(page.execute_script(SHOWN_PIXELS)).tolist()
    assert found == read_picture(path).flatten().tolist(), path


@pytest.mark.browser
def test_a_dropped_picture_is_taken_as_it_is(odd_page: Any, tmp_path: Path) -> None:
    for shape in SHAPES:
        path = write_picture(draw_levels(*shape), tmp_path / "picture.png")
        assert_taken_alike(odd_page, path)
    assert read_complaints(odd_page) == []


@pytest.mark.pages
@pytest.mark.browser
def test_pictures_of_many_sizes_are_taken_as_they_are(
    odd_page: Any, tmp_path: Path
) -> None:
    generator = numpy.random.default_rng(0)
    for number in range(100):
        height, width = generator.integers(3, 120, 2)
        path = tmp_path / f"{number}.png"
        assert_taken_alike(odd_page, write_picture(draw_levels(height, width), path))


@pytest.mark.pages
@pytest.mark.browser
def test_a_transparent_picture_and_a_photograph_are_nearly_python_s(
    odd_page: Any, tmp_path: Path
) -> None:
    smooth = Image.fromarray(draw_levels(6, 8, 3)).resize((160, 120))
    smooth.save(tmp_path / "photograph.jpg", quality=95)
    opacity = Image.fromarray(draw_levels(6, 8)).resize((160, 120))
    smooth.putalpha(opacity)
    smooth.save(tmp_path / "transparent.png")
    for name in ("photograph.jpg", "transparent.png"):
        drop_picture(odd_page, tmp_path / name)
        pixels = odd_page.execute_script(SHOWN_PIXELS)
        expected = read_picture(tmp_path / name).flatten().numpy()
        numpy.testing.assert_allclose(pixels, expected, atol=2.5)


@pytest.mark.pages
@pytest.mark.browser
def test_what_is_painted_is_bright_on_black_where_it_was_painted(odd_page: Any) -> None:
    from selenium.webdriver import ActionChains

    board = odd_page.find_element("id", "paper")
    stroke = ActionChains(odd_page, duration=0)  # from the middle of the top, down
    stroke.move_to_element_with_offset(board, 0, -100).click_and_hold()
    stroke.move_by_offset(0, 100).release().perform()
    pixels = odd_page.execute_script(SHOWN_PIXELS)
    image = numpy.array(pixels).reshape(28, 28)
    assert image[2:13, 13:15].min() > 250
    assert image[18:].max() < 1e-3  # black
    assert image[:, :11].max() < 1e-3
    assert image[:, 17:].max() < 1e-3
    board.send_keys("\ue00c")  # Escape
    assert read_text(odd_page, "#answer").startswith("Choose a test image")


@pytest.mark.pages
@pytest.mark.browser
def test_a_sample_is_shown_as_it_is(odd_page: Any) -> None:
    odd_page.find_elements("css selector", "#samples button")[2].click()
    images, _ = make_images(3)
    pixels = odd_page.execute_script(SHOWN_PIXELS)
    numpy.testing.assert_allclose(pixels, images[1].flatten().numpy(), atol=1e-3)
    # On the board, five times as large
    script = "return [...$('paper').getContext('2d').getImageData(0, 0, 140, 140).data]"
    board = numpy.array(odd_page.execute_script(script)).reshape(140, 140, 4)
    shown = board[2::5, 2::5, 0].astype(int)
    assert numpy.corrcoef(shown.flatten(), images[1].flatten().numpy())[0, 1] > 0.9


def show_on_screen(page: Any, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


@pytest.mark.pages
@pytest.mark.browser
@pytest.mark.parametrize(
    "classes",
    [
        ODD_NAMES,
        DATASETS["FashionMNIST"].classes,
        DATASETS["EMNIST-balanced"].classes,
        [f"{LONG_NAME} {number}" for number in range(47)],
        [f"class {number}" for number in range(150)],
    ],
    ids=["odd", "fashion", "emnist", "long", "many"],
)
def test_any_classes_fit_all_screens(
    classes: Sequence[str], open_page: OpenPage, driver: Any
) -> None:
    open_page(DatasetInfo("p" * 200, tuple(classes), 0.3, 0.3))
    for width in WIDTHS:
        show_on_screen(driver, width)
        driver.execute_async_script("setTimeout(arguments[0], 200)")
        page_width = driver.execute_script(
            "return document.documentElement.scrollWidth"
        )
        assert page_width <= width
        places = driver.execute_script(
            "const {ys, right} = placeLayers($('diagram'), network).at(-1);"
            "return [[...ys], right, $('diagram').clientHeight]"
        )
        ys, right, height = places
        assert len(ys) == len(classes)
        assert 0 < min(ys) < max(ys) < height
        assert right <= width
        words = driver.execute_script(CANVAS_WORDS)
        named = len(classes) if len(classes) < 60 else 1
        assert sum(str(word).endswith("%") for word in words) in (0, named)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    rows = driver.find_elements("css selector", "#digits li")
    assert len(rows) == (len(classes) if len(classes) <= 20 else 10)
    assert read_complaints(driver) == []


@pytest.mark.pages
@pytest.mark.browser
def test_of_many_classes_the_most_probable_have_bars(
    open_page: OpenPage, driver: Any
) -> None:
    names = DATASETS["EMNIST-balanced"].classes
    model = open_page(DatasetInfo("EMNIST-balanced", names, 0.17, 0.33))
    images, _ = make_images(len(names))
    expected = model.probabilities(images[:1])[0].topk(10)
    assert read_names(driver) == [names[label] for label in expected.indices]
    text = read_text(driver, "#outputText")
    assert text.endswith("These are the 10 most probable:")
    driver.find_element("id", "clear").click()
    assert read_names(driver) == []


def write_folder(folder: Path) -> None:
    """Write a data set of two classes, the first of which has many test images."""
    for part, counts in {"train": (40, 40), "test": (10, 3)}.items():
        for name, count in zip(("bright", "dark"), counts, strict=True):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                levels = draw_levels(28, 28) // (1 if name == "bright" else 4)
                levels[0, 0] = number
                write_picture(levels, place / f"{number:02}.png")


def test_the_page_of_a_folder_has_samples_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "EVAL_BATCH_SIZE", 4)  # of the first class alone
    write_folder(tmp_path / "pictures/shades")
    folder = "--data.dataset=pictures/shades"
    quick = ["--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"]
    quiet = ["--trainer.enable_progress_bar=false", "--figures=false"]
    main(["fit", folder, "--data.val_size=8", *quick, *quiet])
    main(["export", "--output=page.html"])
    page = Path("page.html").read_text(encoding="utf-8")
    element = '<script type="application/json" id="model">'
    model = json.loads(page.partition(element)[2].partition("</script>")[0])
    assert model["classes"] == ["bright", "dark"]
    assert model["labels"] == [0, 0, 1, 1]
    assert model["dataset"] == "shades"
    assert model["handwriting"] is False
    assert 0.2 < model["mean"] < 0.4
