"""The page's own training, against torch: the same weights from the same seed on."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from support import ROOT, read_mnist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlp_lightning import mlp
from mlp_lightning.mlp import MLP, normalise

pytestmark = [pytest.mark.browser, pytest.mark.pages]

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
        data = value.numpy().tobytes()
        return base64.b64encode(data).decode()
    return value


def decode(text: str) -> Tensor:
    """Return numbers from the page, float32 (n,)."""
    data = bytearray(base64.b64decode(text))
    return torch.frombuffer(data, dtype=torch.float32)


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


def measure_accuracy(logits: Tensor, labels: Tensor) -> float:
    is_right = logits.argmax(dim=1) == labels
    return is_right.float().mean().item()


def take_images_off_kinks(
    network: MLP, images: Tensor, labels: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return inputs, (count, 1, 28, 28), and labels, far from where ReLU bends.

    For these, no hidden unit's sum is within a hundred nudges of 0. No nudge of a
    weight moves it so far.
    """
    values = inputs = normalise(images)
    is_far = torch.ones(len(images), dtype=torch.bool)
    for module in list(network)[:-1]:
        values = module(values)
        if isinstance(module, nn.Linear):
            is_far &= (values.abs() > 100 * NUDGE).all(dim=1)
    return inputs[is_far][:count], labels[is_far][:count]


def test_pixels_are_normalised_as_in_python(page: Page) -> None:
    constants = page.driver.execute_script("return [MEAN, STD]")
    assert constants == [mlp.MEAN, mlp.STD]
    pixels = torch.arange(256, dtype=torch.uint8)
    expected = normalise(pixels.view(256, 1, 1))
    found = decode(page.call("normaliseAllPixels"))
    assert torch.equal(found, expected.flatten())


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
    assert torch.equal(found, expected)
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
        numbers = wanted.flatten().tolist()
        assert layer == pytest.approx(numbers, rel=1e-5, abs=1e-6)


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
        expected_accuracy = measure_accuracy(logits, labels[batch])
        expected_norm = nn.utils.get_total_norm(get_gradients(network))
        assert loss == pytest.approx(expected_loss.item(), rel=0, abs=1e-5)
        assert accuracy == pytest.approx(expected_accuracy)
        assert norm == pytest.approx(expected_norm.item(), rel=1e-4)
    expected = get_numbers(network)
    differences = decode(trained) - expected
    assert differences.abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("activation", mlp.ACTIVATIONS)
def test_gradients_are_those_of_torch(
    page: Page, mnist: tuple[Tensor, Tensor], activation: str
) -> None:
    network = create_mlp(activation)
    inputs, labels = take_images_off_kinks(network, *mnist, count=BATCH_SIZE)
    given = (SIZES, activation, get_numbers(network), inputs, labels.byte())
    once = decode(page.call("addGradients", *given, 1))
    cross_entropy(network(inputs), labels).backward()
    expected = get_gradients(network)
    found = once.split([gradient.numel() for gradient in expected])
    for ours, theirs in zip(found, expected, strict=True):  # weights, biases, ...
        difference = (ours - theirs.flatten()).abs().max()
        assert difference <= 1e-5 * theirs.abs().max()
    twice = decode(page.call("addGradients", *given, 2))
    assert torch.equal(twice, 2 * once)  # added to those that are there


@pytest.mark.parametrize("activation", mlp.ACTIVATIONS)
def test_gradients_are_what_a_nudge_changes(
    page: Page, mnist: tuple[Tensor, Tensor], activation: str
) -> None:
    network = create_mlp(activation)
    inputs, labels = take_images_off_kinks(network, *mnist, count=8)
    given = (SIZES, activation, get_numbers(network), inputs, labels.byte())
    gradients = decode(page.call("addGradients", *given, 1))
    random = numpy.random.default_rng(0)
    places: list[int] = []
    tolerances: list[float] = []
    start = 0
    for parameter in network.parameters():
        end = start + parameter.numel()
        part = gradients[start:end]
        nonzero = start + part.nonzero().flatten().numpy()
        count = min(200, len(nonzero))  # fewer of the biases
        places += random.choice(nonzero, count, replace=False).tolist()
        tolerances += [1e-3 * part.abs().max().item()] * count
        start = end
    nudged = page.call("nudgeNumbers", *given, places, NUDGE)
    differences = gradients[places] - torch.tensor(nudged)
    assert (differences.abs() <= torch.tensor(tolerances)).all()


@pytest.mark.parametrize("factor", [1, 100])  # 100: probabilities too small for a float
def test_evaluation_is_that_of_torch(
    page: Page, mnist: tuple[Tensor, Tensor], factor: int
) -> None:
    network = create_mlp("relu")
    numbers = factor * get_numbers(network)
    vector_to_parameters(numbers, network.parameters())
    images, labels = mnist
    logits = network(normalise(images))
    expected_loss = cross_entropy(logits, labels).item()
    loss, accuracy = page.call("evaluateAll", SIZES, numbers)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert accuracy == pytest.approx(measure_accuracy(logits, labels))


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
        greys = torch.tensor(expected, dtype=torch.uint8)
        images = greys.view(30, 1, 1).expand(30, 28, 28)
        assert torch.equal(decode(inputs), normalise(images).flatten())


def test_a_batch_is_no_larger_than_the_data(page: Page) -> None:
    settings = {"seed": 6, "batchSize": 64}
    batches = page.call("takeGreyBatches", 20, [0, 1], settings)
    for epoch, (labels, _) in enumerate(batches):
        assert labels == get_order(6, epoch, 20)
