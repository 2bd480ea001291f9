from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from google.protobuf import text_format
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from support import QUIET_TRAINER, SHORT_RUN, RunCommand
from tensorboard.plugins.projector import ProjectorConfig
from torch import Tensor, nn

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.mlp import normalise
from mlp_lightning.projector import Projector, find_output_layer, write_projection

RUN = Path("lightning_logs/version_0")


def read_projection(run: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Return activations (n, width), images (squares, 28, 28) and labels (n,)."""
    config = ProjectorConfig()
    text_format.Parse((run / "projector_config.pbtxt").read_text(), config)
    (embedding,) = config.embeddings
    assert embedding.sprite.single_image_dim == [28, 28]
    activations = numpy.loadtxt(run / embedding.tensor_path, delimiter="\t", ndmin=2)
    labels = numpy.loadtxt(run / embedding.metadata_path, dtype=int)
    pixels = torch.from_numpy(
        numpy.array(Image.open(run / embedding.sprite.image_path))
    )
    side = len(pixels) // 28
    assert pixels.shape == (side * 28, side * 28)
    rows = [row.split(28, dim=1) for row in pixels.split(28)]
    images = torch.stack([image for row in rows for image in row])
    return torch.from_numpy(activations), images, torch.from_numpy(labels)


def read_validation_set(count: int) -> tuple[Tensor, Tensor]:
    """Return the first images, uint8 (n, 28, 28), and labels that are validated."""
    data = MNISTDataModule("data")
    data.setup("validate")
    images, labels = data.training_set.tensors
    rows = data.val_rows[:count]
    return images[rows], labels[rows]


def assert_activations(activations: Tensor, model: LightningModule, of: Tensor) -> None:
    """Compare with relu(W x + b) of a network that has one hidden layer."""
    weight = model.get_parameter("network.1.weight").detach().double()
    bias = model.get_parameter("network.1.bias").detach().double()
    inputs = normalise(of).flatten(1).double()
    expected = (inputs @ weight.T + bias).relu()
    assert 0.1 < (expected > 0).float().mean() < 0.9
    # four digits are written, of numbers that were computed in float32
    torch.testing.assert_close(activations, expected, rtol=6e-4, atol=1e-5)


class CarefulProjector(Projector):
    """Fails if it draws random numbers, or leaves the model in another mode."""

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        before = torch.get_rng_state()
        model.train()
        super().on_train_end(trainer, model)
        assert all(module.training for module in model.modules())
        assert torch.equal(torch.get_rng_state(), before)


def train(model: MLPClassifier, *callbacks: Any, **settings: Any) -> Path:
    """Train for two steps, and return the folder that TensorBoard reads."""
    logger = TensorBoardLogger(".")
    settings = {**QUIET_TRAINER, "max_steps": 2, "val_check_interval": 1, **settings}
    settings["logger"] = logger
    trainer = Trainer(**settings, callbacks=[*callbacks, CarefulProjector()])
    trainer.fit(model, MNISTDataModule("data"))
    return Path(logger.log_dir)


@pytest.mark.usefixtures("workplace")
def test_the_projector_shows_what_the_last_hidden_layer_makes_of_images() -> None:
    torch.manual_seed(0)
    model = MLPClassifier([16], dropout=0.5)
    run = train(model, limit_val_batches=2)
    activations, sprites, labels = read_projection(run)
    images, expected_labels = read_validation_set(1_000)
    assert activations.shape == (1_000, 16)
    assert_activations(activations, model, images)
    assert torch.equal(labels, expected_labels)
    assert torch.equal(sprites[:1_000], images)
    assert len(sprites) == 32 * 32
    assert not sprites[1_000:].any()


@pytest.mark.usefixtures("workplace")
def test_the_projector_shows_averaged_weights_where_the_training_ends_with_them() -> (
    None
):
    torch.manual_seed(0)
    model = MLPClassifier([16], optimizer=partial(torch.optim.SGD, lr=0.5))
    run = train(model, EMAWeightAveraging(decay=0.5), limit_val_batches=1)
    activations, _, _ = read_projection(run)
    images, _ = read_validation_set(1_000)
    assert_activations(activations, model, images)


def test_a_run_that_goes_on_replaces_what_the_projector_shows(cli: RunCommand) -> None:
    words = [*SHORT_RUN, "--figures=true", "--data.val_size=50"]
    words += ["--model.hidden_sizes=[16]"]
    assert cli("fit", *words, "--trainer.max_epochs=1").code == 0
    before = read_projection(RUN)
    files = sorted(RUN.rglob("projector*/*"))
    assert cli("fit", f"--ckpt_path={RUN}", "--trainer.max_epochs=2").code == 0
    after = read_projection(RUN)
    assert sorted(RUN.rglob("projector*/*")) == files
    images, labels = read_validation_set(50)
    model = MLPClassifier.load_from_checkpoint(RUN / "checkpoints/last.ckpt", "cpu")
    assert_activations(after[0], model, images)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(after[1][:50], images)
    assert torch.equal(after[2], labels)


def test_a_layer_of_two_units_has_a_third_dimension(tmp_path: Path) -> None:
    activations = torch.tensor([[0.5, -1.25], [12345.0, 0.0], [1e-6, 3.0]])
    images = torch.arange(3 * 784).fmod(256).byte().view(3, 28, 28)
    write_projection(tmp_path, activations, images, ["7", "0", "9"])
    places, sprites, labels = read_projection(tmp_path)
    expected = [[0.5, -1.25, 0], [12340, 0, 0], [1e-6, 3, 0]]
    assert places.tolist() == expected
    assert torch.equal(sprites[:3], images)
    assert len(sprites) == 4
    assert labels.tolist() == [7, 0, 9]


@pytest.mark.parametrize("all_show", [True, False])
def test_processes_without_a_logger_evaluate_with_the_first_one(all_show: bool) -> None:
    """A strategy may have shared out the weights: then one alone waits forever."""
    model = MLPClassifier([16])
    evaluated: list[int] = []
    model.register_forward_hook(lambda _, given, __: evaluated.append(len(given[0])))
    decisions: list[bool] = []

    def decide(decision: bool) -> bool:
        decisions.append(decision)
        return all_show

    strategy = SimpleNamespace(reduce_boolean_decision=decide)
    trainer: Any = SimpleNamespace(loggers=[], is_global_zero=False, strategy=strategy)
    shown = Projector()
    shown.batches = [(torch.zeros(3, 1, 28, 28), torch.zeros(3))]
    shown.on_train_end(trainer, model)
    assert decisions == [True]
    assert evaluated == ([3] if all_show else [])


@pytest.mark.usefixtures("workplace")
def test_without_a_hidden_layer_there_is_no_projector() -> None:
    run = train(MLPClassifier([]), max_steps=1, limit_val_batches=1)
    assert list(run.glob("events*"))
    assert not list(run.glob("projector*"))


def test_the_last_hidden_layer_is_what_comes_before_the_last_linear_one() -> None:
    model = MLPClassifier([8, 4])
    assert find_output_layer(model) is model.get_submodule("network.7")
    model = MLPClassifier([])
    assert find_output_layer(model) is None
    output = nn.Linear(2, 10)
    network: Any = nn.Sequential(nn.Conv2d(1, 2, 28), nn.Flatten(), output, nn.Tanh())
    model.network = network
    assert find_output_layer(model) is output
    network = nn.Sequential(nn.Conv2d(1, 10, 28), nn.Flatten())
    model.network = network
    assert find_output_layer(model) is None
    network = nn.ModuleList([nn.Linear(784, 2), output])  # in whatever order it calls
    model.network = network
    assert find_output_layer(model) is None
