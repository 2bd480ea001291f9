"""The lesson's display: the numbers on the page are those that torch computes."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lesson_page import (
    click,
    open_lesson,
    parse_number,
    parse_numbers,
    parse_texts,
    parse_words,
    read_array,
    read_numbers,
    read_panel,
    read_table,
    read_values,
    read_words,
    restart,
    say,
    set_value,
    take_steps,
    wait_until,
    write_anew,
)
from support import read_complaints, read_mnist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

from mlp_lightning.mlp import ACTIVATIONS, MLP, normalise
from mlp_lightning.webpage import SOURCES

pytestmark = pytest.mark.pages
HIDDEN_SIZES = [128, 64]
FIRST_SETTINGS = {"learningRate": 0.1, "momentum": 0.5, "batchSize": 64}
TRAINING_IMAGES = 2000
# Of a panel's rows: the text, the activation, and whether gradients are cleared.
LINEAR_ROWS = {"withRelu": ("relu", True), "withNothing": ("identity", True)}
CLEARING_ROWS = {"cleared": ("relu", True), "notCleared": ("relu", False)}
Batch = tuple[Tensor, Tensor]  # inputs, float64 (n, 784), and labels, int64 (n,)


# Whether the first network or its settings are not there, or not any more.
HAS_CHANGED = """
const isChanged = ([name, value]) => lesson.settings[name] !== value;
return Object.entries(arguments[0]).some(isChanged)
  || window.firstNumbers?.join() !== lesson.network.numbers.join();
"""


@pytest.fixture(scope="module")
def opened(driver: Any, lesson_path: Path) -> Any:
    """The lesson, opened once for all these tests."""
    open_lesson(driver, lesson_path)
    return driver


@pytest.fixture
def page(opened: Any) -> Iterator[Any]:
    """The lesson with its first network, restored if need be; it must not complain."""
    if opened.execute_script(HAS_CHANGED, FIRST_SETTINGS):
        for name, value in FIRST_SETTINGS.items():
            set_value(opened, f"training-{name}", value, "change")
        restart(opened, "training")
        write_anew(opened)
        opened.execute_script("window.firstNumbers = lesson.network.numbers.slice()")
    yield opened
    assert read_complaints(opened) == []


# What torch computes


def build_network(
    numbers: Tensor, hidden_sizes: list[int] | None = None, activation: str = "relu"
) -> MLP:
    """Return the network of these weights and biases, in float64 as on the page."""
    sizes = HIDDEN_SIZES if hidden_sizes is None else hidden_sizes
    network = MLP(sizes, activation).double()
    vector_to_parameters(numbers.double(), network.parameters())
    return network


def read_batch(page: Any) -> Batch:
    """Return the batch that the stations compute with."""
    inputs = read_array(page, "lesson.batch.inputs", torch.float32)
    labels = read_array(page, "lesson.batch.labels", torch.uint8)
    return inputs.view(-1, 784).double(), labels.long()


def compute_loss(numbers: Tensor, batch: Batch) -> float:
    inputs, labels = batch
    with torch.no_grad():
        return cross_entropy(build_network(numbers)(inputs), labels).item()


def compute_gradients(numbers: Tensor, batch: Batch) -> Tensor:
    """Return the gradient of each weight and bias, in the order of the numbers."""
    inputs, labels = batch
    network = build_network(numbers)
    cross_entropy(network(inputs), labels).backward()
    return torch.cat([get_gradient(one).flatten() for one in network.parameters()])


def get_gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def pass_through(network: MLP, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return what goes into each linear layer, and the sums that come out."""
    values = inputs
    entering = []
    sums = []
    for module in network:
        if isinstance(module, nn.Linear):
            entering.append(values)
        values = module(values)
        if isinstance(module, nn.Linear):
            sums.append(values)
    return entering, sums


def list_layers(network: MLP) -> list[nn.Linear]:
    return [module for module in network if isinstance(module, nn.Linear)]


# Panels


@pytest.mark.browser
def test_settings_take_effect_with_the_next_step(page: Any) -> None:
    network = build_network(read_numbers(page, "training"))
    optimizer = torch.optim.SGD(network.parameters())
    changed = {"learningRate": 0.03, "momentum": 0.9, "batchSize": 256}
    for settings in (FIRST_SETTINGS, changed):
        for name, value in settings.items():
            set_value(page, f"training-{name}", value, "change")
        take_steps(page, "training", 1)
        inputs, labels = read_batch(page)
        assert len(labels) == settings["batchSize"]
        (options,) = optimizer.param_groups
        options |= {"lr": settings["learningRate"], "momentum": settings["momentum"]}
        optimizer.zero_grad()
        cross_entropy(network(inputs), labels).backward()
        optimizer.step()
        expected = nn.utils.parameters_to_vector(network.parameters())
        found = read_numbers(page, "training")
        assert torch.allclose(found.double(), expected, rtol=0, atol=1e-6)
    wait_for_number(page, "training", 2)
    shown = read_values(page, "training-number", "stepNumber")
    epochs = (64 + 256) / TRAINING_IMAGES
    assert shown == {"step": 2, "epochs": pytest.approx(epochs, abs=0.051)}


def wait_for_number(page: Any, name: str, step: int) -> None:
    """Wait until a panel shows the results of this step."""
    start = say(page, "stepNumber", step=step, epochs="").partition(":")[0]
    wait_until(lambda: read_words(page, f"{name}-number").startswith(start), page)


def read_data(data_dir: Path) -> tuple[Batch, Batch]:
    """Return the lesson's training images and its test images."""
    images, labels = read_mnist(data_dir, "train")
    training = normalise(images[::30]).flatten(1).double(), labels[::30]
    images, labels = read_mnist(data_dir, "t10k")
    return training, (normalise(images[::20]).flatten(1).double(), labels[::20])


def choose_rows(page: Any, name: str, steps: int) -> list[list[int]]:
    """Return which training images a panel takes for each of its first steps."""
    script = """
    const {settings} = experiments.find(({id}) => id === arguments[0]);
    return Array.from({length: arguments[1]}, (_, step) =>
      [...chooseImages({settings, step}, lesson.training.labels.length)]);
    """
    rows: list[list[int]] = page.execute_script(script, name, steps)
    return rows


class Measures(NamedTuple):
    """What a panel measures at one step."""

    loss: float
    accuracy: float
    norm: float  # of the gradients
    test_accuracy: float


def train_network(
    network: MLP, rate: float, batches: list[Batch], test: Batch, *, clears: bool
) -> list[Measures]:
    """Take a step with each batch, with the gradients cleared before it or not."""
    optimizer = torch.optim.SGD(network.parameters(), rate)
    steps = []
    for inputs, labels in batches:
        if clears:
            optimizer.zero_grad()
        logits = network(inputs)
        loss = cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        gradients = [get_gradient(one) for one in network.parameters()]
        steps.append(
            Measures(
                loss.item(),
                measure_accuracy(logits, labels),
                nn.utils.get_total_norm(gradients).item(),
                measure_accuracy(network(test[0]), test[1]),
            )
        )
    return steps


def measure_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of right answers, in percent."""
    return 100 * (logits.argmax(dim=1) == labels).double().mean().item()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "rate", "variants"),
    [("linear", 0.1, LINEAR_ROWS), ("clearing", 0.01, CLEARING_ROWS)],
)
def test_each_row_has_the_measures_of_its_network(
    name: str,
    rate: float,
    variants: dict[str, tuple[str, bool]],
    page: Any,
    data_dir: Path,
) -> None:
    start = "void play(experiments.find(({id}) => id === arguments[0]), arguments[1])"
    training, test = read_data(data_dir)
    set_value(page, f"{name}-learningRate", rate, "change")
    restart(page, name)
    numbers = read_numbers(page, name)
    page.execute_script(start, name, 22)  # the last 20 make the training accuracy
    wait_for_number(page, name, 22)
    rows = read_table(page, f"#{name}-panel table")
    images, labels = training
    batches = [(images[row], labels[row]) for row in choose_rows(page, name, 22)]
    assert [row[""] for row in rows] == [say(page, variant) for variant in variants]
    for row, (activation, clears) in zip(rows, variants.values(), strict=True):
        network = build_network(numbers, activation=activation)
        steps = train_network(network, rate, batches, test, clears=clears)
        recent = [step.accuracy for step in steps[-20:]]
        expected = {
            "batchLoss": pytest.approx(steps[-1].loss, abs=2e-3),
            "batchAccuracy": pytest.approx(statistics.mean(recent), abs=0.06),
            "testAccuracy": pytest.approx(steps[19].test_accuracy, abs=0.06),
        }
        if name == "clearing":
            expected["gradientNorm"] = pytest.approx(steps[-1].norm, rel=0.01)
        del row[""]
        assert {title: parse_number(cell) for title, cell in row.items()} == expected
    shown = read_values(page, f"{name}-number", "stepNumber")
    epochs = 22 * 64 / TRAINING_IMAGES
    assert shown == {"step": 22, "epochs": pytest.approx(epochs, abs=0.051)}


@pytest.mark.browser
def test_each_network_tried_is_listed(page: Any, data_dir: Path) -> None:
    _, (test_inputs, test_labels) = read_data(data_dir)
    set_value(page, "size-1", 32, "input")
    set_value(page, "size-2", 0, "input")
    wait_until(lambda: len(read_numbers(page, "sizes")) == 25450, page)
    set_value(page, "sizes-learningRate", 0.3, "change")
    take_steps(page, "sizes", 3)
    wait_for_number(page, "sizes", 3)
    network = build_network(read_numbers(page, "sizes"), [32])
    times = read_panel(page, "sizes")["milliseconds"]
    (row,) = read_table(page, "#size-tries table")
    assert row.pop("network") == "784-32-10"
    assert {title: parse_number(cell) for title, cell in row.items()} == {
        "parameters": 25450,
        "learningRate": 0.3,
        "steps": 3,
        "stepTime": pytest.approx(statistics.median(times), abs=0.051),
        "testAccuracy": pytest.approx(
            measure_accuracy(network(test_inputs), test_labels), abs=0.06
        ),
    }
    terms = read_table(page, "#size-terms table")
    assert [parse_number(term["sum"]) for term in terms] == [25120, 330, 25450]
    assert terms[0]["weightsTitle"] == "784 × 32"
    assert parse_number(terms[0]["biases"]) == 32


# The answer and the first layer


@pytest.mark.browser
def test_the_answer_says_how_sure_it_is(page: Any) -> None:
    pixels = read_array(page, "lesson.drawnPixels", torch.uint8).view(1, 28, 28)
    inputs = normalise(pixels).flatten(1).double()
    favour = "lesson.network.layers.at(-1).bias[arguments[0]] += arguments[1]"
    page.execute_script(favour, 8, 0.5)
    for name in ("isUnsure", "isSure"):
        write_anew(page)
        network = build_network(read_numbers(page, "training"))
        probabilities = network(inputs).softmax(dim=1)
        answer = parse_words(page, read_words(page, "answer"), name)
        percent = 100 * probabilities.max().item()
        assert parse_number(answer["percent"]) == pytest.approx(percent, abs=0.051)
        assert answer["name"] == "8"
        assert answer["article"] == "an"
        page.execute_script(favour, 8, 5)
    page.execute_script(favour, 1, 20)
    write_anew(page)
    assert parse_words(page, read_words(page, "answer"), "isSure")["article"] == "a"


@pytest.mark.browser
def test_the_first_layer_is_drawn_as_it_is_or_as_it_has_changed(page: Any) -> None:
    first = read_numbers(page, "training")[:784]
    assert len(set(read_first_tile(page)[1].tolist())) == 1  # nothing has changed yet
    take_steps(page, "training", 2)
    weights = read_numbers(page, "training")[:784]
    for values in (weights - first, weights):
        wait_for_tile(page, values)
        click(page, "shows-changes")


def wait_for_tile(page: Any, values: Tensor) -> None:
    wait_until(lambda: is_drawn(page, values), page)


def is_drawn(page: Any, values: Tensor) -> bool:
    """Tell whether the first tile has the colours of these values."""
    signs, opacity = read_first_tile(page)
    strong = values.abs() > 0.3 * values.abs().max()  # of faint colours, little is left
    grows = torch.corrcoef(torch.stack([values.abs(), opacity.double()]))[0, 1]
    return bool((signs[strong] == values[strong].sign()).all()) and bool(grows > 0.99)


def read_first_tile(page: Any) -> tuple[Tensor, Tensor]:
    """Return the sign of each weight of the first unit as drawn, and the opacity."""
    script = """
    const copy = new OffscreenCanvas(28, 28);
    window.pencil = copy.getContext("2d", {willReadFrequently: true});
    pencil.drawImage($("first-layer"), 0, 0);
    """
    page.execute_script(script)
    content = read_array(page, "pencil.getImageData(0, 0, 28, 28).data", torch.uint8)
    pixels = content.view(784, 4).int()
    return (pixels[:, 0] - pixels[:, 2]).sign(), pixels[:, 3]


# The sums


@pytest.mark.browser
@pytest.mark.parametrize(("layer", "unit"), [(0, 17), (1, 25), (2, 6)])
def test_a_sum_is_written_out_term_by_term(layer: int, unit: int, page: Any) -> None:
    set_value(page, "sums-layer", layer, "change")
    set_value(page, "sums-unit", unit, "input")
    network = build_network(read_numbers(page, "training"))
    entering, sums = pass_through(network, read_digit(page))
    linear = list_layers(network)[layer]
    *terms, others, bias, last = read_table(page, "#sums-table")
    check_terms(page, terms, entering[layer][0], linear.weight[unit])
    count = f"{linear.in_features - 8:,}"
    assert others["sumsFrom"] == say(page, "sumsOthers", count=count)
    assert bias["sumsFrom"] == say(page, "sumsBias")
    assert last["sumsFrom"] == say(page, "sumsTotal")
    added = [parse_number(row["sumsProduct"]) for row in (*terms, others, bias)]
    shown = parse_number(last["sumsProduct"])
    total = sums[layer][0, unit].item()
    assert added[-1] == pytest.approx(linear.bias[unit].item(), abs=6e-4)
    assert sum(added) == pytest.approx(shown, abs=1e-9)
    assert shown == pytest.approx(total, abs=6e-4)
    if layer == 2:
        said = read_values(page, "sums-activation", "sumsLogit")
        assert said == pytest.approx({"sum": total, "digit": unit}, abs=6e-4)
    else:
        said = read_values(page, "sums-activation", "sumsBy_relu")
        assert said == pytest.approx({"sum": total, "output": max(total, 0)}, abs=6e-4)


def check_terms(
    page: Any, terms: list[dict[str, str]], values: Tensor, weights: Tensor
) -> None:
    """Check that the largest terms of a sum are listed, each with its factors."""
    largest = (weights * values).abs().topk(8).indices
    assert [find_input(page, term["sumsFrom"]) for term in terms] == largest.tolist()
    for index, term in zip(largest, terms, strict=True):
        value = parse_number(term["sumsInput"])
        weight = parse_number(term["sumsWeight"])
        product = parse_number(term["sumsProduct"])
        assert value == pytest.approx(values[index].item(), abs=6e-4)
        assert weight == pytest.approx(weights[index].item(), abs=6e-5)
        assert product == pytest.approx(value * weight, abs=6e-4)


def read_digit(page: Any) -> Tensor:
    """Return the digit on the paper as the network's input, float64 (1, 784)."""
    pixels = read_array(page, "lesson.drawnPixels", torch.uint8)
    return normalise(pixels.view(1, 28, 28)).flatten(1).double()


def find_input(page: Any, words: str) -> int:
    """Return which of a layer's inputs it is that the page names so."""
    if words.startswith(say(page, "nameUnit", number="")):
        return int(parse_words(page, words, "nameUnit")["number"]) - 1
    place = parse_words(page, words, "namePixel")
    return 28 * (int(place["row"]) - 1) + int(place["column"]) - 1


@pytest.mark.browser
def test_softmax_is_written_out_step_by_step(page: Any) -> None:
    logits = build_network(read_numbers(page, "training"))(read_digit(page))[0]
    less = logits - logits.max()
    columns = {
        "softmaxDigit": torch.arange(10),
        "softmaxLogit": logits,
        "softmaxLess": less,
        "softmaxPower": less.exp(),
        "softmaxProbability": 100 * logits.softmax(dim=0),
        "softmaxLoss": -logits.log_softmax(dim=0),
    }
    rows = read_table(page, "#softmax-table")
    for title, expected in columns.items():
        shown = [parse_number(row[title]) for row in rows]
        tolerance = 0.051 if title == "softmaxProbability" else 6e-4
        assert shown == pytest.approx(expected.tolist(), abs=tolerance)
    said = read_values(page, "softmax-sum", "softmaxSum")
    percent = said.pop("percent")
    assert percent == pytest.approx(100 * logits.softmax(dim=0).max().item(), abs=0.051)
    total = sum(parse_number(row["softmaxPower"]) for row in rows)
    expected = {"total": total, "digit": logits.argmax().item(), "power": 1}
    assert said == pytest.approx(expected, abs=1e-9)


# Backpropagation


@pytest.mark.browser
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_largest_gradient_is_found(layer: int, page: Any) -> None:
    numbers = read_numbers(page, "training")
    gradients = compute_gradients(numbers, read_batch(page))
    set_value(page, "weight-layer", layer, "change")
    of_layer = list_layers(build_network(gradients))[layer].weight
    unit, index = divmod(of_layer.abs().argmax().item(), of_layer.shape[1])
    assert read_choice(page) == (layer, unit, index)
    click(page, "weight-random")
    assert read_choice(page)[0] == layer
    click(page, "weight-largest")
    assert read_choice(page) == (layer, unit, index)


def read_choice(page: Any) -> tuple[int, int, int]:
    """Return the layer, the unit and the input of the weight that is chosen."""
    script = "return ['layer', 'unit', 'input'].map(name => +$(`weight-${name}`).value)"
    layer, unit, index = page.execute_script(script)
    return layer, unit, index


def choose_weight(page: Any, layer: int, unit: int, index: int) -> None:
    set_value(page, "weight-layer", layer, "change")
    set_value(page, "weight-unit", unit, "input")
    set_value(page, "weight-input", index, "input")


WEIGHTS = [
    (0, 5, 14 * 28 + 14, "weightWithKinks"),
    (0, 7, 0, "weightOfPaper"),
    (1, 11, 30, "weightWithKinks"),
    (2, 3, 20, "weightWithoutKinks"),
]


@pytest.mark.browser
@pytest.mark.parametrize(("layer", "unit", "index", "note"), WEIGHTS)
def test_the_gradient_of_any_weight_is_shown(
    layer: int, unit: int, index: int, note: str, page: Any
) -> None:
    batch = read_batch(page)
    numbers = read_numbers(page, "training")
    choose_weight(page, layer, unit, index)
    set_value(page, "nudge-size", 5, "input")  # the largest: the slope differs then
    place = find_place(build_network(numbers), layer, unit, index)
    gradient = compute_gradients(numbers, batch)[place].item()
    epsilon = parse_number(read_words(page, "nudge-size-value"))
    trials = nudge_number(numbers, place, epsilon, batch)
    (lower, lower_loss), (weight, loss), (upper, upper_loss) = trials
    slope = (upper_loss - lower_loss) / (upper - lower)
    names = ("gradient", "slope", "difference")
    shown = [parse_number(read_words(page, f"weight-{name}")) for name in names]
    precision = 2e-4 * abs(gradient)  # at least four digits are shown
    assert shown[0] == pytest.approx(gradient, abs=precision)
    assert shown[1] == pytest.approx(slope, abs=precision)
    assert shown[2] == pytest.approx(shown[0] - shown[1], abs=1e-12)
    rate = FIRST_SETTINGS["learningRate"]
    updated = weight - rate * gradient
    update = {"weight": weight, "rate": rate, "gradient": gradient, "updated": updated}
    shown_update = read_values(page, "weight-update", "weightUpdate")
    assert shown_update == pytest.approx(update, abs=2e-6)
    assert read_values(page, "weight-note", note)["images"] == 64
    check_nudges(page, trials)
    assert read_values(page, "nudge-sum", "nudgeSum") == {
        "up": pytest.approx(upper_loss - loss, rel=2e-3),
        "down": pytest.approx(lower_loss - loss, rel=2e-3),
        "width": pytest.approx(2 * epsilon),
        "slope": pytest.approx(slope, abs=precision),
    }


def check_nudges(page: Any, trials: list[tuple[float, float]]) -> None:
    """Check the table of a weight that is made smaller, as it is, and made larger."""
    rows = read_table(page, "#nudge-table")
    names = ("nudgedDown", "nudgedNot", "nudgedUp")
    assert [row[""] for row in rows] == [say(page, name) for name in names]
    for row, (weight, loss) in zip(rows, trials, strict=True):
        assert parse_number(row["nudgedWeight"]) == pytest.approx(weight, abs=6e-7)
        assert parse_number(row["nudgedLoss"]) == pytest.approx(loss, abs=6e-7)
    down, nothing, up = [row["nudgedChange"] for row in rows]
    (_, lower_loss), (_, loss), (_, upper_loss) = trials
    assert nothing == ""
    assert parse_number(down) == pytest.approx(lower_loss - loss, rel=2e-3)
    assert parse_number(up) == pytest.approx(upper_loss - loss, rel=2e-3)


def find_place(network: MLP, layer: int, unit: int, index: int) -> int:
    """Return where a weight stands among all of the network's numbers."""
    before = list_layers(network)[:layer]
    start = sum(one.weight.numel() + one.bias.numel() for one in before)
    return start + unit * list_layers(network)[layer].in_features + index


def nudge_number(
    numbers: Tensor, place: int, epsilon: float, batch: Batch
) -> list[tuple[float, float]]:
    """Return a weight made smaller, as it is, and made larger, each with the loss."""
    trials = []
    for nudge in (-epsilon, 0, epsilon):
        nudged = numbers.clone()
        nudged[place] = numbers[place].item() + nudge  # rounded to float32
        trials.append((nudged[place].item(), compute_loss(nudged, batch)))
    return trials


@pytest.mark.browser
@pytest.mark.parametrize(("layer", "unit", "index"), [weight[:3] for weight in WEIGHTS])
def test_the_error_that_comes_back_is_shown(
    layer: int, unit: int, index: int, page: Any
) -> None:
    inputs, labels = read_batch(page)
    network = build_network(read_numbers(page, "training"))
    entering, sums = pass_through(network, inputs)
    loss = cross_entropy(sums[-1], labels, reduction="sum")  # each image's own
    errors = torch.autograd.grad(loss, sums)[layer][:, unit]
    products = entering[layer][:, index] * errors
    image = int(products.abs().argmax())  # to which the weight matters most
    choose_weight(page, layer, unit, index)
    write_anew(page)
    is_output = layer == len(sums) - 1
    names = ["pathChain", "errorOfOutput" if is_output else "errorOfUnit"]
    chain, origin = parse_texts(page, read_words(page, "path-chain"), names)
    assert find_input(page, chain.pop("source")) == index
    name = "nameOutput" if is_output else "nameUnit"
    assert chain.pop("target") == say(page, name, number=unit + 1, digit=unit)
    expected = {
        "number": image + 1,
        "digit": int(labels[image]),
        "input": entering[layer][image, index].item(),
        "error": errors[image].item(),
        "product": products[image].item(),
    }
    assert parse_numbers(chain) == pytest.approx(expected, rel=0.01)
    expected = describe_origin(sums[layer][image], unit, int(labels[image]), is_output)
    assert parse_numbers(origin) == pytest.approx(expected, abs=6e-5)
    mean = pytest.approx(products.mean().item(), rel=6e-4)
    assert read_values(page, "path-mean", "pathMean") == {"count": 64, "mean": mean}


def describe_origin(
    sums: Tensor, unit: int, label: int, is_output: bool
) -> dict[str, float]:
    """Return what the error at a unit is made of, from the sums of its layer."""
    if not is_output:
        return {"slope": float(sums[unit] > 0)}
    probability = sums.softmax(dim=0)[unit].item()
    target = float(unit == label)
    return {"probability": probability, "target": target, "error": probability - target}


@pytest.mark.browser
def test_the_times_follow_from_one_another(page: Any) -> None:
    times = read_values(page, "backpropagation-times", "backpropagationTimes")
    passes = 2 * 109386
    assert times == {
        "images": 64,
        "count": 109386,
        "backward": times["backward"],
        "forward": times["forward"],
        "ratio": pytest.approx(times["backward"] / times["forward"], abs=0.051),
        "minutes": pytest.approx(passes * times["forward"] / 60000, abs=0.51),
    }


# Pixels of two images of two pixels each: ink on the left, and ink on the right.
LEFT = [255, 0]
RIGHT = [0, 255]
# A network of two pixels: each has a unit of its own, which is on when there is ink. A
# unit behind both is on when the right one is, but off when the left one is.
EXPLAIN = """
const {images, choice, activation = "relu", broken = -1} = arguments[0];
const network = createNetwork([2, 2, 1, 10], activation);
const [first, second, last] = network.layers;
first.weights.set([1, 0, 0, 1]);
second.weights.set([-1, 1]);
last.weights.set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
if (broken >= 0) network.layers[broken].weights.fill(NaN);
const outputs = computeLogits(network, normalise(images.flat()), images.length);
const errors = computeErrors(network, outputs, new Uint8Array(images.length));
const [layer, unit, input] = choice;
return explainWeight(network, outputs, errors, {layer, unit, input});
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("images", "choice", "reason"),
    [
        ([RIGHT, RIGHT], (0, 1, 0), "weightOfPaper"),
        ([RIGHT], (0, 1, 0), "weightOfPaper"),
        ([RIGHT], (0, 1, 1), "weightWithKinks"),  # ink in all images, that is, in one
        ([LEFT, RIGHT], (0, 1, 0), "weightWithKinks"),
        ([RIGHT, RIGHT], (0, 0, 1), "weightUnitOff"),
        ([RIGHT, RIGHT], (0, 0, 0), "weightUnitOff"),  # though the pixel is paper
        ([LEFT, LEFT], (1, 0, 0), "weightUnitOff"),
        ([LEFT, LEFT], (0, 0, 0), "weightLaterOff"),
        ([RIGHT, RIGHT], (1, 0, 0), "weightSourceOff"),
        ([LEFT, LEFT], (2, 4, 0), "weightSourceOff"),
        ([LEFT, RIGHT], (1, 0, 0), "weightNeverBoth"),
        ([LEFT, RIGHT], (1, 0, 1), "weightWithKinks"),
        ([LEFT, RIGHT], (2, 4, 0), "weightWithoutKinks"),
    ],
)
def test_it_is_explained_why_a_weight_has_no_gradient(
    images: list[list[int]], choice: tuple[int, ...], reason: str, opened: Any
) -> None:
    given = {"images": images, "choice": choice}
    assert opened.execute_script(EXPLAIN, given) == reason
    layer, _, index = choice
    is_paper = layer == 0 and all(image[index] == 0 for image in images)
    smooth = "weightOfPaper" if is_paper else "weightWithoutKinks"
    tanh = {**given, "activation": "tanh"}
    assert opened.execute_script(EXPLAIN, tanh) == smooth
    for number in (0, 1, 2):
        broken = {**given, "broken": number}
        assert opened.execute_script(EXPLAIN, broken) == "weightNoNumber"


# Steps

STEPS = {"against": "stepFell", "along": "stepRose", "random": "stepRandomSaid"}


@pytest.mark.browser
@pytest.mark.parametrize("kind", STEPS)
def test_a_step_leads_where_torch_says(kind: str, page: Any) -> None:
    batch = read_batch(page)
    numbers = read_numbers(page, "training")
    gradients = compute_gradients(numbers, batch)
    length = gradients.norm().item()
    drawn = "drawDirection(lesson.network.numbers.length, 1, 1)"
    directions = {
        "against": -gradients,
        "along": gradients,
        "random": length * read_array(page, drawn, torch.float32),
    }
    click(page, "descent-back")
    loss = compute_loss(numbers, batch)
    begun = read_values(page, "descent-said", "descentBegin")
    assert begun == {"loss": pytest.approx(loss, abs=6e-5)}
    assert read_words(page, "descent-copy") == say(page, "descentFollows")
    set_rate(page, 0.05)
    click(page, f"descent-{kind}")
    after = compute_loss(numbers + 0.05 * directions[kind], batch)
    said = read_values(page, "descent-said", STEPS[kind])
    check_losses(page, kind, said, loss, after)
    if kind == "random":
        predicted = 0.05 * length**2
        times = predicted / abs(after - loss)
        assert said["predicted"] == pytest.approx(predicted, rel=6e-3)
        assert said["times"] == pytest.approx(times, rel=0.02)
    assert read_words(page, "descent-copy") == say(page, "descentCopy", steps=1)


def set_rate(page: Any, rate: float) -> None:
    place = page.execute_script("return DESCENT_RATES.indexOf(arguments[0])", rate)
    set_value(page, "descent-rate", place, "input")
    assert read_words(page, "descent-rate-value") == str(rate)
    assert read_words(page, "descent-legend") == say(page, "descentLegend", rate=rate)


def check_losses(
    page: Any, kind: str, said: dict[str, float], before: float, after: float
) -> None:
    """Check what is said of a step, and the table's rows when it is the only one."""
    assert said["before"] == pytest.approx(before, abs=6e-5)
    assert said["after"] == pytest.approx(after, abs=6e-5)
    assert said["change"] == pytest.approx(abs(after - before), rel=0.06)
    rows = {row[""]: row["stepLoss"] for row in read_table(page, "#descent-table")}
    cells = {name: rows[say(page, f"kind_{name}")] for name in STEPS}
    shown = [parse_number(cell) for cell in cells.pop(kind).split(" → ")]
    assert shown == [said["before"], said["after"]]
    assert set(cells.values()) == {"\u2013"}  # a dash


@pytest.mark.browser
def test_a_step_against_the_gradient_can_be_too_large(page: Any) -> None:
    batch = read_batch(page)
    numbers = read_numbers(page, "training")
    click(page, "descent-back")
    losses = [compute_loss(numbers, batch)]
    for rate, name in ((2, "stepFell"), (2, "stepTooLarge")):
        set_rate(page, rate)
        click(page, "descent-against")
        numbers = numbers - rate * compute_gradients(numbers, batch).float()
        losses.append(compute_loss(numbers, batch))
        said = read_values(page, "descent-said", name)
        check_losses(page, "against", said, *losses[-2:])


@pytest.mark.browser
def test_the_lowest_point_of_the_line_is_told(page: Any) -> None:
    batch = read_batch(page)
    numbers = read_numbers(page, "training")
    gradients = compute_gradients(numbers, batch)
    click(page, "descent-back")

    def compute_loss_at(distance: float) -> float:
        return compute_loss(numbers - distance * gradients, batch)

    rates = torch.linspace(0, 6, 121).tolist()
    lowest = min(compute_loss_at(rate) for rate in rates)
    loss = pytest.approx(compute_loss_at(0), abs=6e-5)
    line = read_line(page, 1, "lineLowest")
    assert line == {
        "loss": loss,
        "after": pytest.approx(compute_loss_at(1), abs=6e-5),
        "lowest": pytest.approx(lowest, abs=1e-3),
        "distance": line["best"],
        "best": line["best"],
    }
    assert compute_loss_at(line["best"]) == pytest.approx(line["lowest"], abs=1e-3)
    line = read_line(page, 5, "lineLowest")
    assert line["after"] == pytest.approx(compute_loss_at(5), abs=6e-5)
    assert line["best"] == pytest.approx(5 * line["distance"], rel=6e-3)
    after = pytest.approx(compute_loss_at(0.1), abs=6e-5)
    line = read_line(page, 0.1, "lineFallsOn")
    assert line == {"loss": loss, "after": after, "reach": 6}


def read_line(page: Any, rate: float, name: str) -> dict[str, float]:
    """Return the numbers that the page says of the line at this learning rate."""
    set_rate(page, rate)
    # What the page still says is of another rate; it says it anew if it is asked again.
    page.execute_script("$('descent-line').textContent = ''")
    set_rate(page, rate)
    wait_until(lambda: read_words(page, "descent-line"), page)
    return read_values(page, "descent-line", name)


# Numbers that have overflown

# All that the page says, its labels among it.
SEE = """
const labelled = document.querySelectorAll("[aria-label], [aria-valuetext]");
const labels = Array.from(labelled, ({ariaLabel, ariaValueText}) =>
  [ariaLabel, ariaValueText].join(" "));
return [document.querySelector("main").innerText, ...labels].join("\\n");
"""
NO_WORDS = r"\bNaN|Infinity|undefined|null\b|(?<!\w)-1"


@pytest.mark.browser
def test_a_network_that_has_overflown_is_said_to_have(page: Any) -> None:
    enlarge = "change(experiments.find(({id}) => id === arguments[0]), arguments[1])"
    advice = say(page, "overflowAdvice")
    for name in ("training", "linear"):
        restart(page, name)
        page.execute_script(enlarge, name, {"learningRate": 1e30})
        take_steps(page, name, 3)
        wait_for_number(page, name, 3)
        assert read_words(page, f"{name}-number").endswith(f" {advice}")
        for row in read_table(page, f"#{name}-panel table"):
            assert row["batchLoss"] == say(page, "overflow")
    write_anew(page)
    click(page, "descent-back")
    for _ in ("English", "Chinese"):
        wait_for_words(page, "product-difference", say(page, "overflowAdvice"))
        assert read_words(page, "answer") == say(page, "overflowAdvice")
        assert read_words(page, "descent-said") == say(page, "weightNoNumber")
        assert read_words(page, "weight-note") == say(page, "weightNoNumber")
        lines = page.execute_script(SEE).splitlines()
        assert [line for line in lines if re.search(NO_WORDS, line)] == []
        click(page, "language")
        write_anew(page)


def wait_for_words(page: Any, identifier: str, words: str) -> None:
    wait_until(lambda: read_words(page, identifier) == words, page)


# The texts

# What scripts make of the names of other things: kinds of steps, measures, activations.
COMPOSED_TEXTS = [
    *ACTIVATIONS,
    *(f"sumsBy_{activation}" for activation in ACTIVATIONS),
    *(f"kind_{kind}" for kind in STEPS),
    *(f"{measure}Chart" for measure in ("loss", "accuracy", "norm")),
    *(f"{reason}InFile" for reason in ("noInk", "severalDigits")),
]


def test_each_text_is_there_and_is_used() -> None:
    sources = {path.name: path.read_text("utf-8") for path in SOURCES.iterdir()}
    tables = [sources.pop(name) for name in list(sources) if "texts" in name]
    names = set(re.findall(r"^  (\w+): \[", "".join(tables), re.MULTILINE))
    content = "".join(sources.values())
    written = re.findall(r'data-(?:text|label|title)="(\w+)"', content)
    called = [
        name
        for call in re.findall(r"(?:\btext\(|dataset\.text = )[^{\n]*", content)
        for name in re.findall(r'"(\w+)"', call)
    ]
    assert len(written) + len(called) > 150
    assert {*written, *called, *COMPOSED_TEXTS} <= names
    # Some are chosen, or handed on, before they are said.
    mentioned = re.findall(r'"(\w+)"', content)
    assert names <= {*mentioned, *COMPOSED_TEXTS}
