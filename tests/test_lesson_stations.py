"""What the lesson's stations compute: gradients by paths and nudges, steps, sums."""

import base64
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, read_mnist
from torch import Tensor

pytestmark = [pytest.mark.browser, pytest.mark.pages]

PAGE = ROOT / "mlp_lightning" / "page"
NAMES = (
    "language",
    "random",
    "network",
    "training",
    "stations",
    "nudges",
    "steps",
    "sums",
)
SCRIPTS = [
    *(PAGE / f"{name}.js" for name in NAMES),
    ROOT / "tests" / "stations_probe.js",
]
IMAGES = 640
SETTINGS = {
    "hiddenSizes": [128, 64],
    "seed": 0,
    "learningRate": 0.01,
    "momentum": 0,
    "batchSize": 64,
    "clearsGradients": True,
}


@pytest.fixture(scope="module")
def page(driver: Any, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page that has the stations' scripts and some images."""
    sources = [script.read_text(encoding="utf-8") for script in SCRIPTS]
    blocks = [f"<script>{source}</script>\n" for source in sources]
    path = tmp_path_factory.mktemp("stations") / "stations.html"
    path.write_text("".join(blocks), encoding="utf-8")
    driver.get(path.as_uri())
    images, labels = read_mnist(data_dir, "train")
    keep_bytes(driver, "images", images[:IMAGES])
    keep_bytes(driver, "labels", labels[:IMAGES].byte())
    return driver


def keep_bytes(driver: Any, name: str, values: Tensor) -> None:
    """Give the page an array of bytes as a global variable."""
    raw = values.numpy().tobytes()
    data = base64.b64encode(raw).decode()
    decoded = "Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0))"
    driver.execute_script(f"window.{name} = {decoded}", data)


def train(page: Any, steps: int = 20, **changes: object) -> None:
    """Keep a network that has been trained on the page, and its last batch."""
    call = "window.trained = trainForStations(arguments[0], images, labels, {})"
    page.execute_script(call.format(steps), {**SETTINGS, **changes})


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
def test_gradient_is_mean_of_products_along_paths(page: Any, activation: str) -> None:
    train(page, activation=activation)
    found = page.execute_script("return compareStationGradients(trained, 0, 20)")
    products, slopes, paths = zip(*found, strict=True)
    assert max(products) < 1e-6  # gradients are float32
    assert max(paths) < 1e-12
    slopes_apart = [slope for slope in slopes if slope > 1e-3]
    # Some nudges pass one of ReLU's kinks.
    allowed = 3 if activation == "relu" else 0
    assert len(slopes_apart) <= allowed


@pytest.mark.parametrize("hidden_sizes", [[], [16], [128, 64], [16, 16, 16]])
def test_line_has_the_loss_of_the_moved_network(
    page: Any, hidden_sizes: list[int]
) -> None:
    train(page, activation="relu", hiddenSizes=hidden_sizes)
    distances = [-1, 0, 0.01, 1, 10]
    found = page.execute_script("return compareLine(trained, arguments[0])", distances)
    for along_line, moved in found:
        assert along_line == pytest.approx(moved, rel=1e-6)


def test_only_against_the_gradient_does_the_loss_fall(page: Any) -> None:
    train(page, activation="relu")
    against, along, random = page.execute_script("return compareSteps(trained, 0.01)")
    assert against < 0 < along
    assert abs(random) < 0.05 * abs(against)


@pytest.mark.parametrize(("layer", "unit"), [(0, 5), (1, 63), (2, 9)])
def test_sums_add_up_as_they_are_shown(page: Any, layer: int, unit: int) -> None:
    train(page, activation="tanh")
    call = "return writeOutForTest(trained, images.subarray(0, 784), ...arguments)"
    found = page.execute_script(call, layer, unit)
    terms = found["sum"]["terms"]
    for term in terms:
        assert term["product"] == pytest.approx(
            term["value"] * term["weight"], abs=6e-4
        )
    listed = sum(term["product"] for term in terms)
    total = found["sum"]["total"]
    shown = listed + found["sum"]["others"] + found["sum"]["bias"]
    assert shown == pytest.approx(total, abs=1e-9)
    assert total == pytest.approx(found["total"], abs=6e-4)


def test_softmax_adds_up_as_it_is_shown(page: Any) -> None:
    train(page, activation="relu")
    call = "return writeOutForTest(trained, images.subarray(0, 784), 0, 0).softmax"
    softmax = page.execute_script(call)
    powers = sum(row["power"] for row in softmax["rows"])
    probabilities = sum(row["probability"] for row in softmax["rows"])
    assert powers == pytest.approx(softmax["total"], abs=1e-9)
    assert probabilities == pytest.approx(1)
