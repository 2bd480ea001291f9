"""The network, and `normalise`, which defines its input. Nothing here knows of training."""

import pkgutil
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

MEAN, STD = 0.1307, 0.3081  # of the 60,000 training images, pixels in [0, 1]
ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}


def normalise(images: Tensor) -> Tensor:
    """Turn images, uint8, (batch, 28, 28), into input, float32, (batch, 1, 28, 28), where they are.

    The result is that of torchvision's `ToTensor` + `Normalize`, bit for bit. Raises TypeError if
    the images are not uint8, as other pixels would be scaled wrongly.
    """
    if images.dtype != torch.uint8:
        raise TypeError(
            f"images must be uint8 with pixels from 0 to 255, got {images.dtype}"
        )
    constants: Any = (255.0, MEAN, STD)
    if (
        images.device.type != "cpu"
    ):  # CUDA multiplies by a number's reciprocal, which rounds twice
        constants = (
            torch.full((1,), number, device=images.device) for number in constants
        )
    white, mean, std = constants
    return (
        images.unsqueeze(1).float().div_(white).sub_(mean).div_(std)
    )  # (batch, 1, 28, 28)


class MLP(nn.Sequential):
    """From normalised images, (batch, 1, 28, 28), to logits, (batch, 10), no softmax applied."""

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: str | dict[str, Any] = "relu",
        dropout: float = 0.0,
    ) -> None:
        if not all(1 <= size <= 10**6 for size in hidden_sizes):
            raise ValueError(
                f"hidden_sizes: each must be 1 to 1000000, got {list(hidden_sizes)}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be at least 0 and below 1, got {dropout}")
        sizes, layers = [28 * 28, *hidden_sizes], list[nn.Module]()
        for width, size in pairwise(sizes):
            layers += [
                nn.Linear(width, size),
                _build(activation, size),
                nn.Dropout(dropout),
            ]
        super().__init__(nn.Flatten(), *layers, nn.Linear(sizes[-1], 10))


def _build(activation: str | dict[str, Any], width: int) -> nn.Module:
    spec: dict[str, Any] = (
        {"class_path": activation} if isinstance(activation, str) else activation
    )
    try:
        name = spec["class_path"]
        cls: type[nn.Module] = ACTIVATIONS.get(name) or pkgutil.resolve_name(name)
        if not issubclass(
            cls, nn.Module
        ):  # asked before the call: a checkpoint may name anything
            raise TypeError("that is no torch.nn.Module")
        layer = cls(**spec.get("init_args", {})).eval()
        if layer(torch.zeros(2, width)).shape != (2, width):
            raise ValueError("that changes the shape")
    except (
        ImportError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        text = f"activation: must be {', '.join(ACTIVATIONS)} or a class path, got {activation!r}"
        raise ValueError(f"{text} ({error})") from error
    return layer.train()
