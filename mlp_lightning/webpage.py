"""Make a page of the files in page/: one HTML file that needs no other.

demo.html reads what you draw or open in the browser, with the network of a checkpoint.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mlp_lightning.errors import SettingError
from mlp_lightning.info import DatasetInfo
from mlp_lightning.mlp import ACTIVATIONS, CLASS_NAMES

SOURCES = Path(__file__).with_name("page")
PLACEHOLDER = "DATA"  # where a page's data goes, as JSON
# How a page names its scripts and styles, each on a line of its own.
SCRIPT = re.compile(r'<script(.*) src="(.+)"></script>')
STYLE = re.compile(r'<link rel="stylesheet" href="(.+)">')
SAMPLES_PER_CLASS = 2  # test images that the page offers to begin with
MAX_SAMPLES = 60  # of more classes than half as many, there is one sample each


def fill_page(
    network: nn.Module,
    metadata: Mapping[str, str],
    info: DatasetInfo,
    images: Tensor,
    labels: Tensor,
) -> str:
    """Return the page as HTML that needs no other file and no network connection.

    Args:
        network: An `MLP` on the CPU, in float32, with one of the named activations.
        metadata: Has `run`, where the network comes from, and `test_acc`, from 0 to 1,
            if it is known; the page shows both.
        info: What the network knows of its images.
        images: Of the test set, uint8 (n, 28, 28).
        labels: The classes that they show, int64 (n,).

    Raises:
        SettingError: The page cannot compute this network.
    """
    activation = find_activation(network)
    accuracy = metadata.get("test_acc")
    samples = choose_samples(labels, len(info.classes))
    pixels = images[samples].numpy()  # (samples, 28, 28)
    model = {
        "run": metadata["run"],
        "accuracy": None if accuracy is None else float(accuracy),
        "dataset": info.title,
        "classes": info.classes,
        "mean": info.mean,
        "std": info.std,
        "handwriting": info.shows_handwriting,
        "sizes": list_layer_sizes(network),
        "activation": activation,
        "weights": encode_weights(network),
        "images": encode_base64(pixels.tobytes()),
        "labels": labels[samples].tolist(),
    }
    return assemble_page("demo.html", model)


def assemble_page(name: str, data: Mapping[str, object]) -> str:
    """Return a page of SOURCES with its scripts, its styles and its data in it."""
    page = read_source(name)
    page = STYLE.sub(lambda link: f"<style>\n{read_source(link[1])}</style>", page)
    page = SCRIPT.sub(
        lambda script: (
            f'<script{script[1]} id="{script[2]}">\n{read_source(script[2])}</script>'
        ),
        page,
    )
    # A "<" in the name of a run could end the script element that holds the data.
    content = json.dumps(data).replace("<", "\\u003c")
    return page.replace(f">{PLACEHOLDER}<", f">{content}<")


def read_source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def find_activation(network: nn.Module) -> str:
    """Return which of ACTIVATIONS follows each hidden layer; `identity` if none is.

    Raises SettingError unless the network is an `MLP` with one of them.
    """
    layer_types = [type(layer) for layer in network.children()]
    hidden_count = len(layer_types) // 3
    activation = layer_types[2] if hidden_count else nn.Identity
    hidden_types = [nn.Linear, activation, nn.Dropout] * hidden_count
    if layer_types == [nn.Flatten, *hidden_types, nn.Linear]:
        for name, layer_type in ACTIVATIONS.items():
            if layer_type is activation:
                return name
    allowed = ", ".join(ACTIVATIONS)
    raise SettingError(
        "--output: .html cannot hold this network: "
        f"between its layers must be one of {allowed}"
    )


def choose_samples(labels: Tensor, classes: int = len(CLASS_NAMES)) -> Tensor:
    """Return the rows of the first images of each class, int64 (n,), class by class."""
    per_class = SAMPLES_PER_CLASS
    if per_class * classes > MAX_SAMPLES:
        per_class = 1
    rows = []
    for label in range(classes):
        rows_of_class = (labels == label).nonzero().flatten()
        rows.append(rows_of_class[:per_class])
    return torch.cat(rows)[:MAX_SAMPLES]


def list_layer_sizes(network: nn.Module) -> list[int]:
    """Return the width of each layer, from 784 pixels to the classes."""
    sizes = [28 * 28]
    for layer in network.children():
        if isinstance(layer, nn.Linear):
            sizes.append(layer.out_features)
    return sizes


def encode_weights(network: nn.Module) -> str:
    """Return weights and biases, layer by layer, as little-endian float32 in base64."""
    parts = []
    for weight in network.parameters():
        parts.append(weight.flatten())
    numbers = torch.cat(parts).numpy()
    little_endian = numbers.astype("<f4")
    return encode_base64(little_endian.tobytes())


def encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
