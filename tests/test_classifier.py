"""The classifier in a plain lightning.Trainer, without the command line."""

import copy
import math
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from support import QUIET_TRAINER, read_curves
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from torch.utils.data import TensorDataset
from torchvision.datasets import MNIST
from torchvision.transforms import Normalize, ToTensor

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import TensorBatches
from mlp_lightning.errors import SettingError
from mlp_lightning.mlp import normalise
from mlp_lightning.runs import SPANNED, find_obstacle


class TrainedEpoch(NamedTuple):
    """The default network, with seed 42, before and after an epoch."""

    initial: dict[str, torch.Tensor]  # its weights before
    model: MLPClassifier
    data: MNISTDataModule
    accuracy: float  # on the images kept for validation


def train_epoch(cls: type[MLPClassifier], data_dir: Path) -> TrainedEpoch:
    lightning.seed_everything(42, verbose=False)  # of the order of the images, too
    model = cls()
    initial = copy.deepcopy(model.network.state_dict())
    data = MNISTDataModule(str(data_dir))
    trainer = lightning.Trainer(**QUIET_TRAINER, max_epochs=1)
    trainer.fit(model, data)
    accuracy = trainer.callback_metrics["val/acc"].item()
    return TrainedEpoch(initial, model, data, accuracy)


@pytest.fixture(scope="module")
def epoch(data_dir: Path) -> TrainedEpoch:
    return train_epoch(MLPClassifier, data_dir)


def test_an_epoch_equals_the_tutorials_loop_bit_for_bit(
    epoch: TrainedEpoch, data_dir: Path
) -> None:
    model = epoch.model
    data = epoch.data
    tutorial = nn.Sequential(
        nn.Flatten(),
        *(
            nn.Linear(784, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        ),
    )
    for initial, theirs in zip(
        epoch.initial.values(), tutorial.parameters(), strict=True
    ):
        theirs.data.copy_(initial)

    # The same batches, as row numbers; the images by way of torchvision and PIL.
    rows = torch.arange(60_000)
    seed = int(os.environ.get("PL_GLOBAL_SEED", "42"))
    dataset = MNIST(data_dir, transform=ToTensor())
    normalize = Normalize((0.1307,), (0.3081,))
    optimizer = torch.optim.SGD(tutorial.parameters(), lr=0.01)
    numbers = TensorDataset(rows, rows)
    for batch, _ in TensorBatches(numbers, data.train_rows, 64, seed=seed):
        images = normalize(torch.stack([dataset[row][0] for row in batch.tolist()]))
        labels = dataset.targets[batch]
        optimizer.zero_grad()
        logits = tutorial(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()

    for ours, theirs in zip(
        model.network.parameters(), tutorial.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_metrics_are_means_over_all_images(data_dir: Path) -> None:
    torch.manual_seed(0)
    model = MLPClassifier([32], dropout=0.5)
    data = MNISTDataModule(
        str(data_dir), val_size=1_234
    )  # the last batch is a smaller one
    trainer = lightning.Trainer(**QUIET_TRAINER)
    (measured,) = trainer.validate(model, data, verbose=False)
    images, labels = (part[data.val_rows] for part in data.training_set.tensors)
    logits = model.eval()(normalise(images))
    assert measured["val/acc"] == pytest.approx(
        (logits.argmax(1) == labels).float().mean().item()
    )
    assert measured["val/loss"] == pytest.approx(
        functional.cross_entropy(logits, labels).item()
    )

    (measured,) = trainer.test(model, data, verbose=False)
    images, labels = data.test_set.tensors
    right = (model(normalise(images)).argmax(1) == labels).sum().item()
    assert measured["test/acc"] == pytest.approx(right / 10_000, abs=1e-7)


class LoggedEachStep(MLPClassifier):
    """As Lightning's manual has it: log each loss, and the trainer picks some."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train/loss", loss)
        return loss

    def configure_callbacks(self) -> list[lightning.Callback]:
        return []  # the model's own would log it


class StopsAt(lightning.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"log_every_n_steps": 4, "max_epochs": 2}, [3, 7, 11, 15]),
        (
            {"log_every_n_steps": 2, "accumulate_grad_batches": 3, "max_epochs": 2},
            [1, 3, 5],
        ),
        ({"log_every_n_steps": 4, "callbacks": [StopsAt(6)], "max_epochs": 2}, [3, 5]),
        # a callback finds the loss at the end of an epoch, whatever the logger takes
        (
            {
                "log_every_n_steps": 0,
                "max_epochs": 1,
                "callbacks": [EarlyStopping("train/loss")],
            },
            [],
        ),
    ],
)
def test_the_loss_is_logged_where_lightning_notes_it(
    settings: Any, steps: list[int], data_dir: Path, tmp_path: Path
) -> None:
    curves = []
    for cls in (MLPClassifier, LoggedEachStep):
        torch.manual_seed(0)
        logger = TensorBoardLogger(tmp_path / cls.__name__)
        trainer = lightning.Trainer(
            **{**QUIET_TRAINER, **settings, "logger": logger},
            limit_train_batches=8,
            limit_val_batches=0,
        )
        trainer.fit(cls([16]), MNISTDataModule(str(data_dir)))
        curves.append(dict(read_curves(logger.log_dir).get("train/loss", [])))
    ours, lightnings = curves
    assert list(ours) == steps
    assert ours == pytest.approx(
        lightnings, rel=1e-6
    )  # it is divided and multiplied again


def test_probabilities_take_images_as_mnist_has_them() -> None:
    torch.manual_seed(0)
    model = MLPClassifier([16], dropout=0.5)
    images = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    probabilities = model.probabilities(images)
    assert model.training  # as before
    expected = model.eval()(normalise(images)).softmax(dim=1)
    assert probabilities.shape == (3, 10)
    assert probabilities.dtype == torch.float32
    assert not probabilities.requires_grad
    assert torch.equal(probabilities, expected)
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_checkpoints_of_a_plain_trainer_load_again(
    data_dir: Path, tmp_path: Path
) -> None:
    model = MLPClassifier((16, 8), activation="tanh", dropout=0.1)
    path: Any = data_dir  # not a str, as some will give it
    data = MNISTDataModule(path, batch_size=100)
    trainer = lightning.Trainer(**QUIET_TRAINER, max_steps=2, limit_val_batches=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")

    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    settings = {"hidden_sizes": [16, 8], "activation": "tanh", "dropout": 0.1}
    info = {"name": "MNIST", "classes": tuple("0123456789"), "mean": 0.1307}
    info["std"] = 0.3081
    assert checkpoint["hyper_parameters"] == {**settings, "info": info}
    settings = {"data_dir": str(data_dir), "batch_size": 100, "val_size": 5_000}
    held = checkpoint["datamodule_hyper_parameters"]
    settings["augmentation"] = vars(Augmentation())
    assert held == {**settings, "dataset": "MNIST"}
    again = MLPClassifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    images = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    assert torch.equal(again.probabilities(images), model.probabilities(images))


class Rates(MLPClassifier):
    """Notes the learning rate of each optimizer step."""

    def on_fit_start(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def rates(data_dir: Path, lr_scheduler: Any, **settings: Any) -> list[float]:
    model = Rates([], lr_scheduler=lr_scheduler)
    settings = {"limit_val_batches": 0, **QUIET_TRAINER, **settings}
    trainer = lightning.Trainer(**settings)
    trainer.fit(model, MNISTDataModule(str(data_dir)))
    return model.rates


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_epochs": 2, "limit_train_batches": 5}, 10),
        ({"max_epochs": 2, "limit_train_batches": 5, "accumulate_grad_batches": 2}, 6),
        ({"max_epochs": 5, "limit_train_batches": 5, "max_steps": 7}, 7),
        ({"max_epochs": 1}, 860),
    ],
)
def test_one_cycle_spans_the_training(
    data_dir: Path, settings: Any, steps: int
) -> None:
    found = rates(data_dir, partial(OneCycleLR, max_lr=0.1), **settings)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    schedule = OneCycleLR(reference, max_lr=0.1, total_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(schedule.get_last_lr()[0])
        reference.step()
        schedule.step()
    assert found == expected


# What the command line makes where T_max is not given.
COSINE: Any = partial(CosineAnnealingLR, T_max=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", [CosineAnnealingLR, COSINE])
def test_cosine_annealing_spans_the_training(data_dir: Path, schedule: Any) -> None:
    settings = {"max_epochs": 5, "limit_train_batches": 5, "max_steps": 7}
    found = rates(data_dir, schedule, **settings)
    # It falls by half a cosine, and would be 0 at the first step after the end.
    expected = [0.005 * (1 + math.cos(math.pi * step / 7)) for step in range(7)]
    assert found == pytest.approx(expected)


def test_cosine_annealing_of_a_given_length_counts_epochs(data_dir: Path) -> None:
    schedule = partial(CosineAnnealingLR, T_max=2)
    found = rates(data_dir, schedule, max_epochs=3, limit_train_batches=2)
    assert found == pytest.approx([0.01, 0.01, 0.005, 0.005, 0, 0])


@pytest.mark.parametrize(
    ("schedule", "obstacle"),
    [
        (CosineAnnealingLR, SPANNED),
        (partial(CosineAnnealingLR, T_max=2), None),
        (partial(OneCycleLR, max_lr=0.1), SPANNED),
        (partial(StepLR, step_size=1), None),
    ],
)
def test_what_spans_the_training_cannot_be_prolonged(
    schedule: Any, obstacle: str | None
) -> None:
    model = MLPClassifier([], lr_scheduler=schedule)
    _, config = model.build_optimizer(10)
    assert config is not None
    states = [config["scheduler"].state_dict()]
    callbacks = {"Checkpoints": {"finished": False}}
    checkpoint = {"lr_schedulers": states, "callbacks": callbacks}
    assert find_obstacle(checkpoint) == obstacle


class Falling(LambdaLR):
    """Falls to 0 along a line, over a number of steps that it does not keep."""

    def __init__(self, optimizer: torch.optim.Optimizer, total_steps: int = 1) -> None:
        super().__init__(optimizer, lambda step: 1 - step / total_steps)


def test_what_takes_the_number_of_steps_is_stepped_every_step(data_dir: Path) -> None:
    found = rates(data_dir, Falling, max_epochs=2, limit_train_batches=2)
    assert found == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


def own_settings(optimizer: torch.optim.Optimizer, **settings: float) -> StepLR:
    return StepLR(optimizer, 1)


def test_settings_of_any_name_are_no_length() -> None:
    model = MLPClassifier([], lr_scheduler=own_settings)
    _, config = model.build_optimizer(10)
    assert config is not None
    assert config["interval"] == "epoch"


def divide(optimizer: torch.optim.Optimizer, total_steps: Any) -> StepLR:
    return StepLR(optimizer, total_steps / "10")


def test_what_a_schedule_of_the_users_own_raises_is_told() -> None:
    schedule: Any = divide
    model = MLPClassifier([], lr_scheduler=schedule)
    with pytest.raises(SettingError, match="unsupported operand type"):
        model.build_optimizer(10)


@pytest.mark.parametrize("name", ["total_steps", "epochs", "steps_per_epoch"])
def test_one_cycle_has_no_other_length(name: str) -> None:
    length: Any = {name: 7}
    schedule = partial(OneCycleLR, max_lr=0.1, **length)
    model = MLPClassifier([], lr_scheduler=schedule)
    text = f"lr_scheduler: OneCycleLR is as long as the training: leave out {name}"
    with pytest.raises(SettingError, match=text):
        model.build_optimizer(10)


def test_a_plateau_is_looked_for_after_each_validation(data_dir: Path) -> None:
    """Where only every second epoch ends in one, torch's own class waits for it."""
    schedule = partial(ReduceLROnPlateau, patience=0, threshold=0.9)
    settings = {"limit_train_batches": 1, "limit_val_batches": 1}
    found = rates(
        data_dir, schedule, max_epochs=5, check_val_every_n_epoch=2, **settings
    )
    assert found == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.001])


def test_the_rate_in_the_log_is_that_of_the_step(
    data_dir: Path, tmp_path: Path
) -> None:
    model = Rates([], lr_scheduler=partial(OneCycleLR, max_lr=0.1))
    logger = TensorBoardLogger(tmp_path)
    settings = {
        **QUIET_TRAINER,
        "logger": logger,
        "limit_train_batches": 6,
        "limit_val_batches": 0,
    }
    trainer = lightning.Trainer(**settings, max_epochs=1, log_every_n_steps=2)
    trainer.fit(model, MNISTDataModule(str(data_dir)))
    noted = dict(read_curves(logger.log_dir)["train/lr"])
    expected = {step: model.rates[step] for step in (1, 3, 5)}
    assert noted == pytest.approx(expected)


def test_other_schedules_step_every_epoch(data_dir: Path) -> None:
    schedule = partial(StepLR, step_size=1, gamma=0.5)
    found = rates(data_dir, schedule, max_epochs=3, limit_train_batches=2)
    assert found == [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16)]
)
def test_images_are_counted_exactly_in_any_precision(
    data_dir: Path, precision: Any, dtype: torch.dtype
) -> None:
    model = MLPClassifier([8])
    trainer = lightning.Trainer(
        **QUIET_TRAINER,
        precision=precision,
        max_epochs=1,
        limit_train_batches=100,
        limit_val_batches=1,
    )
    data = MNISTDataModule(str(data_dir))
    trainer.fit(model, data)
    (measured,) = trainer.test(model, data, verbose=False)
    assert model.dtype == dtype
    images, labels = data.test_set.tensors
    probabilities = torch.cat([model.probabilities(part) for part in images.split(500)])
    assert probabilities.dtype == torch.float32
    right = (probabilities.argmax(dim=1) == labels).sum().item()
    assert measured["test/acc"] == pytest.approx(right / 10_000, abs=1e-7)


class NeverClears(MLPClassifier):
    """Adds each gradient to those of all steps before."""

    def optimizer_zero_grad(self, *_: Any) -> None:
        pass


def test_gradients_that_are_not_cleared_spoil_the_training(
    epoch: TrainedEpoch, data_dir: Path
) -> None:
    cleared = epoch.accuracy
    never_cleared = train_epoch(NeverClears, data_dir).accuracy
    assert cleared == pytest.approx(0.9016, abs=0.005)
    assert never_cleared < 0.2  # guessing is right once in ten times; 0.1014


@pytest.fixture
def batch(data_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The first of training, seed 42."""
    data = MNISTDataModule(str(data_dir))
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    return normalise(images), labels


def test_backpropagation_computes_the_slope_of_the_loss(batch: Any) -> None:
    """Each gradient is what the loss does, in float64, when its weight moves a bit."""
    torch.manual_seed(0)
    model = MLPClassifier([4, 4]).double()
    batch = batch[0].double(), batch[1]
    model.training_step(batch, 0).backward()
    move = 1e-6
    slopes: list[float] = []
    gradients: list[float] = []
    with torch.no_grad():
        for weights in model.parameters():
            assert weights.grad is not None
            gradients += weights.grad.flatten().tolist()
            for weight in weights.view(-1):
                weight += move
                above = model.training_step(batch, 0).item()
                weight -= 2 * move
                slopes.append(
                    (above - model.training_step(batch, 0).item()) / (2 * move)
                )
                weight += move
    assert len(gradients) == 3_210
    assert max(map(abs, gradients)) > 0.1
    assert slopes == pytest.approx(gradients, rel=0, abs=1e-8)


def test_a_step_against_the_gradient_lowers_the_loss_and_one_along_it_raises_it(
    batch: Any,
) -> None:
    losses = []
    for maximize in (False, True):
        torch.manual_seed(42)
        model = MLPClassifier()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, maximize=maximize)
        before = model.training_step(batch, 0)
        before.backward()
        optimizer.step()
        losses += [before.item(), model.training_step(batch, 0).item()]
    assert losses == pytest.approx([2.3530, 2.3451, 2.3530, 2.3610], abs=1e-4)


class LeavesOut(MLPClassifier):
    """Leaves out every second batch, as Lightning allows."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss if batch_idx % 2 else None


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_subclass_may_leave_out_batches(data_dir: Path) -> None:
    settings: Any = {**QUIET_TRAINER, "log_every_n_steps": 1, "max_epochs": 1}
    trainer = lightning.Trainer(**settings, limit_train_batches=6, limit_val_batches=0)
    trainer.fit(LeavesOut([8]), MNISTDataModule(str(data_dir)))
    assert "train/loss" in trainer.callback_metrics


class SetsAsTorchDoes(MLPClassifier):
    """Sets each attribute in torch's way."""

    def __setattr__(self, name: str, value: Any) -> None:
        nn.Module.__setattr__(self, name, value)


VALUES: dict[str, Any] = {
    "text": "training_step",
    "None": None,
    "number": 3,
    "tensor": torch.zeros(2),
    "buffer": nn.Buffer(torch.zeros(2)),
    "parameter": nn.Parameter(torch.zeros(2)),
    "module": nn.ReLU(),
}


PLACES = ("_parameters", "_buffers", "_modules")  # besides a model's own __dict__


def set_thing(model: nn.Module, value: Any) -> tuple[object, ...]:
    """Set an attribute, and return the error, and by id what the model then holds."""
    error = ""
    try:
        model.thing = value
    except (KeyError, TypeError) as raised:
        error = repr(raised)
    attributes = vars(model)
    places = (attributes, *(attributes[name] for name in PLACES))
    return error, *(id(place["thing"]) if "thing" in place else 0 for place in places)


def test_a_process_that_is_started_gets_the_model_as_a_pickle() -> None:
    model = pickle.loads(pickle.dumps(MLPClassifier([8])))
    optimizer, _ = model.build_optimizer(1)
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_processes_that_share_memory_count_for_themselves() -> None:
    model = MLPClassifier([8])
    counts = model.confusion.confmat.share_memory_()
    losses = model.mean_loss.mean_value.share_memory_()
    model.setup("test")
    model.confusion.update(torch.arange(10), torch.arange(10))
    model.mean_loss.update(torch.ones(10))
    assert model.confusion.confmat.sum() == 10
    assert counts.sum() == 0
    assert losses == 0


@pytest.mark.parametrize("first", VALUES)
@pytest.mark.parametrize("kind", ["", "parameter", "buffer", "module"])
def test_attributes_are_set_as_torch_sets_them(first: str, kind: str) -> None:
    """Over each other, and over what is registered and still without a value."""
    outcomes = []
    for second in VALUES:
        models = (MLPClassifier([]), SetsAsTorchDoes([]))
        for model in models:
            if kind:
                getattr(model, f"register_{kind}")("thing", None)
        for value in (VALUES[first], VALUES[second]):
            ours, torchs = (set_thing(model, value) for model in models)
            assert ours == torchs
            outcomes.append(ours)
    assert any(error for error, *_ in outcomes)


def test_a_registered_name_takes_no_text() -> None:
    model = MLPClassifier([])
    with pytest.raises(TypeError, match="cannot assign 'str' as child module"):
        model.network = "fit"  # type: ignore[assignment]
    assert isinstance(model.network, nn.Module)


class Recount(Callback):
    """Counts again what is validated, from what the steps return."""

    def __init__(self, break_off: bool = False) -> None:
        self.break_off = break_off  # in the second batch
        self.digits: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.losses: list[Tensor] = []

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.digits, self.labels, self.losses = [], [], []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        logits, labels = outputs["logits"], batch[1]
        self.digits.append(logits.argmax(dim=1))
        self.labels.append(labels)
        self.losses.append(functional.cross_entropy(logits, labels, reduction="none"))
        if self.break_off and batch_idx == 1:
            raise InterruptedError

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        digits, labels = torch.cat(self.digits), torch.cat(self.labels)
        expected = torch.bincount(labels * 10 + digits, minlength=100).view(10, 10)
        assert isinstance(module, MLPClassifier)
        assert module.confusion_matrix is not None
        assert torch.equal(module.confusion_matrix, expected)
        accuracy = (digits == labels).float().mean()
        assert torch.isclose(trainer.callback_metrics["val/acc"], accuracy)
        loss = torch.cat(self.losses).mean()
        assert torch.isclose(trainer.callback_metrics["val/loss"], loss)


@pytest.mark.parametrize(("limit", "count"), [(0.5, 2_000), (3, 3_000), (9, 5_000)])
def test_a_limited_validation_counts_what_it_has_validated(
    limit: float, count: int, data_dir: Path
) -> None:
    """In each of several validations, after a broken one, and in a sanity check."""
    model, data = MLPClassifier([]), MNISTDataModule(str(data_dir))
    settings = {
        **QUIET_TRAINER,
        "limit_val_batches": limit,
        "limit_train_batches": 4,
        "val_check_interval": 2,
        "num_sanity_val_steps": 1,
        "max_epochs": 1,
    }
    with pytest.raises(InterruptedError):
        lightning.Trainer(**settings, callbacks=[Recount(break_off=True)]).validate(
            model, data, verbose=False
        )
    model.train()
    recount = Recount()
    lightning.Trainer(**settings, callbacks=[recount]).fit(model, data)
    assert len(torch.cat(recount.labels)) == count
