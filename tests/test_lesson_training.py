"""The page's own training, against torch: the same weights from the same seed on."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from numpy.typing import NDArray
from support import ROOT, read_mnist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlp_lightning import mlp
from mlp_lightning.mlp import MLP, normalise

pytestmark = pytest.mark.browser

PAGE = ROOT / "mlp_lightning" / "page"
SCRIPTS = [
    *(PAGE / name for name in ("random.js", "network.js", "training.js")),
    ROOT / "tests" / "training_probe.js",
]
SIZES = [784, 128, 64, 10]
LEARNING_RATE = 0.01
BATCH_SIZE = 64
IMAGES = 640
FIRST_IMAGES = [37 * step % (IMAGES - BATCH_SIZE) for step in range(50)]  # of batches
# A float64 loss keeps 6 digits of what so small a nudge changes.
NUDGE = 1e-6


class Layer(NamedTuple):
    """Where a layer's weights, and its weights and biases, are in the numbers."""

    weights: slice
    numbers: slice


class Page:
    """A page that has nothing but the scripts which train."""

    def __init__(self, driver: Any, path: Path) -> None:
        sources = [script.read_text(encoding="utf-8") for script in SCRIPTS]
        blocks = [f"<script>{source}</script>\n" for source in sources]
        path.write_text("".join(blocks), encoding="utf-8")
        driver.get(path.as_uri())
        self.driver = driver

    def call(self, function: str, *values: object) -> Any:
        given = [encode(value) for value in values]
        return self.driver.execute_script(f"return {function}(...arguments)", *given)


def encode(value: object) -> object:
    if isinstance(value, Tensor):
        return base64.b64encode(value.numpy().tobytes()).decode()
    return value


def decode(text: str) -> NDArray[numpy.float32]:
    return numpy.frombuffer(base64.b64decode(text), dtype="<f4")


@pytest.fixture(scope="module")
def mnist(data_dir: Path) -> tuple[Tensor, Tensor]:
    """Some training images, uint8 (640, 28, 28), and their labels."""
    images, labels = read_mnist(data_dir, "train")
    return images[:IMAGES], labels[:IMAGES]


@pytest.fixture(scope="module")
def page(
    driver: Any, mnist: tuple[Tensor, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Page:
    """The page, which has these images too."""
    page = Page(driver, tmp_path_factory.mktemp("lesson") / "training.html")
    images, labels = mnist
    page.call("keepImages", images, labels.byte())
    return page


def create_mlp(activation: str, seed: int = 0, sizes: Sequence[int] = SIZES) -> MLP:
    torch.manual_seed(seed)
    return MLP(sizes[1:-1], activation)


def get_numbers(network: MLP) -> Tensor:
    """Return a copy of all weights and biases, float32 (n,), as the page has them."""
    return parameters_to_vector(network.parameters()).detach()


def get_gradients(network: MLP) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.parameters()]
    return [gradient for gradient in gradients if gradient is not None]


def find_layers(sizes: Sequence[int]) -> list[Layer]:
    layers = []
    start = 0
    for index in range(1, len(sizes)):
        middle = start + sizes[index - 1] * sizes[index]
        end = middle + sizes[index]
        layers.append(Layer(slice(start, middle), slice(start, end)))
        start = end
    return layers


def take_images_off_kinks(
    network: MLP, images: Tensor, labels: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Return inputs for which no hidden unit's sum is within the margin of 0."""
    values = inputs = normalise(images)
    is_far = torch.ones(len(images), dtype=torch.bool)
    for module in list(network)[:-1]:
        values = module(values)
        if isinstance(module, nn.Linear):
            is_far &= (values.abs() > margin).all(dim=1)
    return inputs[is_far], labels[is_far]


def test_pixels_are_normalised_as_in_python(page: Page) -> None:
    constants = page.driver.execute_script("return [MEAN, STD]")
    assert constants == [mlp.MEAN, mlp.STD]
    pixels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1)
    found = decode(page.call("normaliseAllPixels"))
    assert numpy.array_equal(found, normalise(pixels).flatten())


@pytest.mark.parametrize(
    ("seed", "sizes"),
    [
        (0, SIZES),
        (42, [784, 10]),
        (1234567890, [784, 17, 33, 5, 10]),  # no multiples of what a vector holds
        (2**32 - 1, [784, 1, 10]),
        (2**32 + 7, [784, 32, 10]),  # the lowest 32 bits count
    ],
)
def test_a_seed_gives_the_weights_that_torch_gives(
    page: Page, seed: int, sizes: list[int]
) -> None:
    expected = get_numbers(create_mlp("relu", seed, sizes))
    found = decode(page.call("initialiseNetwork", seed, sizes))
    assert numpy.array_equal(found, expected)
    assert page.call("countParameters", sizes) == len(expected)


@pytest.mark.parametrize("activation", mlp.ACTIVATIONS)
def test_an_image_goes_through_as_in_torch(
    page: Page, mnist: tuple[Tensor, Tensor], activation: str
) -> None:
    network = create_mlp(activation)
    found = page.call("passFirstImage", SIZES, activation, get_numbers(network))
    images, _ = mnist
    values = normalise(images[:1])
    expected = []
    for module in network:
        values = module(values)
        if isinstance(module, nn.Flatten | nn.Dropout):  # the input, each hidden layer
            expected.append(values)
    expected += [values.softmax(dim=1), values]
    for layer, wanted in zip(found, expected, strict=True):
        assert layer == pytest.approx(wanted.flatten().tolist(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("activation", "momentum", "clears_gradients"),
    [
        *[(activation, 0.0, True) for activation in mlp.ACTIVATIONS],
        ("relu", 0.9, True),
        ("relu", 0.0, False),
        ("tanh", 0.9, False),
    ],
)
def test_fifty_steps_are_those_of_torch(
    page: Page,
    mnist: tuple[Tensor, Tensor],
    activation: str,
    momentum: float,
    clears_gradients: bool,
) -> None:
    settings = {
        "hiddenSizes": SIZES[1:-1],
        "activation": activation,
        "seed": 1,  # not that of the weights, which are given
        "learningRate": LEARNING_RATE,
        "momentum": momentum,
        "clearsGradients": clears_gradients,
    }
    network = create_mlp(activation)
    numbers = get_numbers(network)
    results, trained = page.call(
        "trainSteps", settings, numbers, FIRST_IMAGES, BATCH_SIZE
    )
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum)
    images, labels = mnist
    inputs = normalise(images)
    for first, (loss, accuracy, norm) in zip(FIRST_IMAGES, results, strict=True):
        batch = slice(first, first + BATCH_SIZE)
        if clears_gradients:
            optimizer.zero_grad()
        logits = network(inputs[batch])
        expected_loss = cross_entropy(logits, labels[batch])
        expected_loss.backward()
        optimizer.step()
        is_right = logits.argmax(dim=1) == labels[batch]
        expected_norm = nn.utils.get_total_norm(get_gradients(network))
        assert loss == pytest.approx(expected_loss.item(), rel=0, abs=1e-5)
        assert accuracy == pytest.approx(is_right.float().mean().item())
        assert norm == pytest.approx(expected_norm.item(), rel=1e-4)
    expected = get_numbers(network).numpy()
    differences = numpy.abs(decode(trained) - expected)
    assert differences.max() <= 1e-4 * numpy.abs(expected).max()


@pytest.mark.parametrize("activation", mlp.ACTIVATIONS)
def test_gradients_are_those_of_torch_and_of_a_nudge(
    page: Page, mnist: tuple[Tensor, Tensor], activation: str
) -> None:
    network = create_mlp(activation)
    # No nudge moves a sum by as much as a hundred nudges.
    inputs, labels = take_images_off_kinks(network, *mnist, margin=100 * NUDGE)
    inputs = inputs[:8]
    labels = labels[:8]
    given = (SIZES, activation, get_numbers(network), inputs, labels.byte())
    found = decode(page.call("addGradients", *given, 1))
    cross_entropy(network(inputs), labels).backward()
    expected = torch.cat([each.flatten() for each in get_gradients(network)]).numpy()
    random = numpy.random.default_rng(0)
    for layer in find_layers(SIZES):
        largest = numpy.abs(expected[layer.weights]).max()
        differences = numpy.abs(found - expected)[layer.numbers]
        assert differences.max() <= 1e-5 * largest
        nonzero = layer.weights.start + numpy.flatnonzero(expected[layer.weights])
        places = random.choice(nonzero, 200, replace=False)
        nudged = page.call("nudgeNumbers", *given, places.tolist(), NUDGE)
        assert numpy.abs(found[places] - nudged).max() <= 1e-3 * largest
    twice = decode(page.call("addGradients", *given, 2))
    assert numpy.array_equal(twice, 2 * found)  # they are added to those that are there


@pytest.mark.parametrize("factor", [1, 100])  # 100: probabilities too small for a float
def test_evaluation_is_that_of_torch(
    page: Page, mnist: tuple[Tensor, Tensor], factor: int
) -> None:
    network = create_mlp("relu")
    numbers = factor * get_numbers(network)
    vector_to_parameters(numbers, network.parameters())
    images, labels = mnist
    logits = network(normalise(images))
    is_right = logits.argmax(dim=1) == labels
    loss, accuracy = page.call("evaluateAll", SIZES, numbers)
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == pytest.approx(is_right.float().mean().item())


def get_order(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order that torch gives for the seed's first word, plus the epoch."""
    first_word = numpy.random.RandomState(seed).bytes(4)
    epoch_seed = int.from_bytes(first_word, "little") + epoch
    generator = torch.Generator().manual_seed(epoch_seed)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def test_batches_follow_from_seed_and_epoch_alone(page: Page) -> None:
    settings = {"seed": 5, "batchSize": 30}
    steps = [0, 1, 2, 3, 4, 5, 1]  # an epoch has three; 10 of 100 images are left out
    batches = page.call("takeGreyBatches", 100, steps, settings)
    for step, (labels, inputs) in zip(steps, batches, strict=True):
        epoch, number = divmod(step, 3)
        expected = get_order(5, epoch, 100)[30 * number :][:30]
        assert labels == expected
        greys = torch.tensor(expected, dtype=torch.uint8).view(30, 1, 1)
        images = greys.expand(30, 28, 28)
        assert numpy.array_equal(decode(inputs), normalise(images).flatten())


def test_a_batch_is_no_larger_than_the_data(page: Page) -> None:
    settings = {"seed": 6, "batchSize": 64}
    batches = page.call("takeGreyBatches", 20, [0, 1], settings)
    orders = [labels for labels, _ in batches]
    assert orders == [get_order(6, 0, 20), get_order(6, 1, 20)]
