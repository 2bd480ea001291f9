from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from mlp_lightning import MLP
from mlp_lightning.mlp import normalise

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: numpy.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + numpy.exp(-x)),
    "tanh": numpy.tanh,
    "identity": lambda x: x,
}


def test_normalise_equals_totensor_and_normalize(data_dir: Path) -> None:
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    reference = MNIST(data_dir, train=False, transform=transform)
    images = normalise(reference.data)
    assert images.shape == (10_000, 1, 28, 28)
    assert images.dtype == torch.float32
    expected = torch.stack([reference[i][0] for i in range(2_000)])
    assert torch.equal(images[:2_000], expected)


def test_normalise_refuses_pixels_that_are_scaled_already() -> None:
    with pytest.raises(TypeError, match=r"must be uint8 .* got torch.float32"):
        normalise(torch.zeros(1, 28, 28))


@pytest.mark.parametrize("hidden_sizes", [(128, 64), (), (20, 30, 40, 50)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_equals_numpy(hidden_sizes: Sequence[int], activation: str) -> None:
    torch.manual_seed(0)
    network = MLP(hidden_sizes, activation)
    images = torch.randn(7, 1, 28, 28)
    layers = [parameter.detach().double().numpy() for parameter in network.parameters()]
    assert [len(bias) for bias in layers[1::2]] == [*hidden_sizes, 10]
    x = images.double().numpy().reshape(7, 784)
    for number, (weight, bias) in enumerate(
        zip(layers[::2], layers[1::2], strict=True)
    ):
        x = x @ weight.T + bias
        if number < len(hidden_sizes):
            x = ACTIVATIONS[activation](x)
    logits = network(images).detach().numpy()
    assert numpy.abs(logits - x).max() < 1e-5


def test_the_default_network_has_109386_parameters() -> None:
    assert sum(parameter.numel() for parameter in MLP().parameters()) == 109_386


def test_dropout_follows_each_hidden_activation() -> None:
    network = MLP((8, 8), "tanh", dropout=0.5)
    names = [type(layer).__name__ for layer in network]
    assert names == ["Flatten", *["Linear", "Tanh", "Dropout"] * 2, "Linear"]
    assert [network[3].p, network[6].p] == [0.5, 0.5]
    assert (
        network.state_dict().keys() == MLP((8, 8)).state_dict().keys()
    )  # of one shape with all


def test_an_activation_by_class_path_with_its_arguments() -> None:
    spec = {"class_path": "torch.nn.LeakyReLU", "init_args": {"negative_slope": 0.3}}
    network = MLP((8,), spec)
    assert network[2].negative_slope == 0.3
    assert network[2].training
    assert isinstance(MLP((8,), "torch.nn.GELU")[2], torch.nn.GELU)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_sizes", [0]),
        ("hidden_sizes", [128, -1]),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("activation", "swish"),
        ("activation", "torch.nn.Nothing"),
        ("activation", "torch.nn.Linear"),  # lacks its arguments
        ("activation", "torch.nn.GLU"),  # halves the width
        ("activation", "torch.relu"),  # a function
        ("activation", {"init_args": {}}),
        ("activation", {"class_path": "torch.nn.Softmax", "init_args": {"dim": 5}}),
        ("activation", {"class_path": "torch.nn.ELU", "init_args": {"alfa": 1.0}}),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^{setting}: must be|^{setting}: each must be"
    ):
        MLP(**{setting: value})


def test_only_modules_are_called(tmp_path: Path) -> None:
    spec = {"class_path": "os.mkdir", "init_args": {"path": str(tmp_path / "made")}}
    with pytest.raises(ValueError, match=r"^activation: "):
        MLP((8,), spec)
    assert not (tmp_path / "made").exists()
