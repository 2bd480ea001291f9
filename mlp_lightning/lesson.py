"""The lesson: a page on which the network learns MNIST before your eyes.

The page holds images and settings, no weights: it draws those that torch would draw for
the same seed, and trains them in the browser.
"""

import os
import zlib
from dataclasses import asdict
from pathlib import Path

from torch import Tensor
from torch.optim import SGD

from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import get_seed
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import SettingError
from mlp_lightning.export import output_error, replace_file
from mlp_lightning.info import MNIST_INFO
from mlp_lightning.webpage import (
    assemble_page,
    choose_samples,
    encode_base64,
    find_activation,
)

# What SGD can do besides, and the lesson cannot.
UNKNOWN_OPTIONS = ("dampening", "maximize", "nesterov", "weight_decay")
# Every 30th training image and every 20th test image: 2,000 of 60,000, and 500 of
# 10,000. All of them would make a page too large to pass around.
TRAINING_STRIDE = 30
TRAINING_IMAGES = 2_000
TEST_STRIDE = 20


def write_lesson(
    model: MLPClassifier, datamodule: MNISTDataModule, output: str
) -> None:
    """Write the lesson: HTML that needs no other file and no network connection.

    Args:
        model: The lesson begins with its layers, activation and optimizer.
        datamodule: Has the images, and the size of a batch.
        output: File to write, .html.

    Raises:
        SettingError: The page cannot train this network, or not in this way, or the
            file cannot be written.
    """
    path = Path(os.path.expanduser(output))
    if path.suffix != ".html":
        raise output_error(f"must end in .html, got {path}")
    settings = choose_settings(model, datamodule)
    datamodule.prepare_data()
    training_set = take_every(TRAINING_STRIDE, datamodule.source.read("train"))
    test_set = take_every(TEST_STRIDE, datamodule.source.read("test"))
    data = {
        "settings": settings,
        "training": encode_images(training_set),
        "test": encode_images(test_set),
        "samples": choose_samples(test_set[1]).tolist(),
    }
    page = assemble_page("lesson.html", data).encode("utf-8")
    replace_file(path, page)
    print(f"Wrote {path} ({len(page):,} bytes): open it in a browser")


def choose_settings(
    model: MLPClassifier, datamodule: MNISTDataModule
) -> dict[str, object]:
    """Return the settings that the lesson begins with, by their names in training.js.

    Raises:
        SettingError: The page cannot train this network, or not in this way.
    """
    optimizer = build_optimizer(model)
    check_training(model, datamodule)
    (options,) = optimizer.param_groups
    return {
        "hiddenSizes": list(model.hparams["hidden_sizes"]),
        "activation": find_activation(model.network),
        "seed": get_seed(),
        "learningRate": options["lr"],
        "momentum": options["momentum"],
        "batchSize": min(datamodule.hparams["batch_size"], TRAINING_IMAGES),
        "clearsGradients": True,
    }


def build_optimizer(model: MLPClassifier) -> SGD:
    """Build the optimizer; raise SettingError if the lesson lacks what it does."""
    optimizer, schedule = model.build_optimizer(total_steps=1)
    if type(optimizer) is not SGD:
        name = type(optimizer).__name__
        raise SettingError(f"optimizer: the lesson trains with SGD, got {name}")
    for name in UNKNOWN_OPTIONS:
        value = optimizer.defaults[name]
        if value:
            raise SettingError(f"{name}: the lesson has none, got {value}")
    if schedule is not None:
        raise SettingError("lr_scheduler: the lesson has none")
    return optimizer


def check_training(model: MLPClassifier, datamodule: MNISTDataModule) -> None:
    """Raise SettingError if the training is to have what the lesson lacks."""
    check_dataset(datamodule.hparams["dataset"])
    if model.hparams["dropout"]:
        dropout = model.hparams["dropout"]
        raise SettingError(f"dropout: the lesson has none, got {dropout}")
    if datamodule.hparams["augmentation"] != asdict(Augmentation()):
        raise SettingError("augmentation: the lesson has none")


def check_dataset(name: object) -> None:
    """Raise SettingError for any data set that the lesson is not made for."""
    if name != MNIST_INFO.name:
        raise SettingError(f"dataset: the lesson is on MNIST, got {name}")


def take_every(stride: int, part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return every so many images, uint8 (n, 28, 28), and their labels, int64 (n,)."""
    images, labels = part
    return images[::stride], labels[::stride]


def encode_images(images_and_labels: tuple[Tensor, Tensor]) -> dict[str, str]:
    """Return the bytes of images, deflated, and of labels, both in base64."""
    images, labels = images_and_labels
    pixels = zlib.compress(images.numpy().tobytes(), level=9)
    digits = labels.byte().numpy().tobytes()
    return {"images": encode_base64(pixels), "labels": encode_base64(digits)}
