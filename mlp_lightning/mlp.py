"""The network, and `normalise`, which defines its input."""

import pkgutil
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mlp_lightning.errors import SettingError

IMAGE_PIXELS = 28 * 28
CLASS_NAMES = tuple("0123456789")  # of MNIST

# Of all pixels of the 60,000 training images, scaled to [0, 1].
MEAN = 0.1307
STD = 0.3081

MAX_HIDDEN_SIZE = 1_000_000  # 784 million weights: more is surely a typo
ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}

# A key of ACTIVATIONS, a class path, or {"class_path": ..., "init_args": {...}}.
Activation = str | dict[str, Any]


def normalise(images: Tensor, mean: float = MEAN, std: float = STD) -> Tensor:
    """Turn images into the network's input, on the device where they are.

    The result is that of torchvision's `ToTensor` and `Normalize`, bit for bit.

    Args:
        images: uint8, (batch, 28, 28), from 0 for paper to 255 for ink.
        mean: Of the pixels of the training images, scaled to [0, 1].
        std: Their standard deviation.

    Returns:
        float32, (batch, 1, 28, 28), of mean 0 and standard deviation 1 over the
        training images.

    Raises:
        TypeError: If the images are not uint8: other pixels would be scaled wrongly.
    """
    if images.dtype != torch.uint8:
        raise TypeError(
            f"images must be uint8 with pixels from 0 to 255, got {images.dtype}"
        )
    pixels = images.unsqueeze(1).float()  # (batch, 1, 28, 28)
    if images.device.type == "cpu":
        return pixels.div_(255.0).sub_(mean).div_(std)
    # CUDA divides by a number as it multiplies by its reciprocal, which rounds twice.
    # It divides by a tensor as the CPU does.
    white = torch.full((1,), 255.0, device=images.device)
    divisor = torch.full((1,), std, device=images.device)
    return pixels.div_(white).sub_(mean).div_(divisor)


class MLP(nn.Sequential):
    """A multilayer perceptron: linear layers, and activations between them.

    It takes normalised images, float32, (batch, 1, 28, 28), and returns logits,
    float32, (batch, classes); no softmax is applied.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: Activation = "relu",
        dropout: float = 0.0,
        classes: int = len(CLASS_NAMES),
    ) -> None:
        """Build the layers, with torch's own random initialisation.

        Args:
            hidden_sizes: Units of each hidden layer; () for a linear classifier.
            activation: A key of ACTIVATIONS, the class path of another module, or
                {"class_path": ..., "init_args": {...}}.
            dropout: Probability, in [0, 1), of zeroing a hidden unit in training.
            classes: How many there are to tell apart.

        Raises:
            SettingError: If a size or the dropout is out of its range, or if there is
                no such activation.
        """
        if not all(1 <= size <= MAX_HIDDEN_SIZE for size in hidden_sizes):
            raise SettingError(
                f"hidden_sizes: each must be 1 to {MAX_HIDDEN_SIZE}, "
                f"got {list(hidden_sizes)}"
            )
        if not 0 <= dropout < 1:
            raise SettingError(
                f"dropout: must be at least 0 and below 1, got {dropout}"
            )
        sizes = [IMAGE_PIXELS, *hidden_sizes]
        layers: list[nn.Module] = [nn.Flatten()]  # (batch, 784)
        for in_features, out_features in pairwise(sizes):
            layers.append(nn.Linear(in_features, out_features))
            layers.append(build_activation(activation, out_features))
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(sizes[-1], classes))  # (batch, classes)
        super().__init__(*layers)


def build_activation(activation: Activation, width: int) -> nn.Module:
    """Build the activation of a hidden layer with `width` units.

    Raises:
        SettingError: If it is no torch.nn.Module that keeps the shape (batch, width).
    """
    expected = f"{', '.join(ACTIVATIONS)} or a class path"
    refusal = f"activation: must be {expected}, got {activation!r}"
    spec = activation
    if isinstance(spec, str):
        spec = {"class_path": spec}
    try:
        name = spec["class_path"]
        module_class = ACTIVATIONS.get(name) or pkgutil.resolve_name(name)
    except (ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SettingError(f"{refusal} ({error})") from error
    # Checked before the call, since a checkpoint from elsewhere may name any function.
    if not isinstance(module_class, type) or not issubclass(module_class, nn.Module):
        raise SettingError(f"{refusal} (that is no torch.nn.Module)")
    try:
        module = module_class(**spec.get("init_args", {}))
        outputs = module.eval()(torch.zeros(2, width))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise SettingError(f"{refusal} ({error})") from error
    if outputs.shape != (2, width):
        raise SettingError(f"{refusal} (that changes the shape)")
    return module.train()
