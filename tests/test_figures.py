import io
import json
import math
import re
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from support import (
    QUIET_TRAINER,
    SHORT_RUN,
    TWO_FORKS,
    RunCommand,
    read_events,
    read_mnist,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.confusion import draw_confusion_matrix
from mlp_lightning.drawing import draw_mistakes, draw_pixel_weights
from mlp_lightning.figures import Figures
from mlp_lightning.mistakes import MAX_CELLS, Mistakes
from mlp_lightning.mlp import normalise
from mlp_lightning.settings import summarise_settings

RUN = Path("lightning_logs/version_0")
WEIGHTS = {
    f"network.{layer}.{part}" for layer in (1, 4, 7) for part in ("weight", "bias")
}


def hparams(board: EventAccumulator, kind: str) -> Any:
    metadata = board.summary_metadata[f"_hparams_/{kind}"].plugin_data.content
    return getattr(HParamsPluginData.FromString(metadata), kind)


def match_charts(board: EventAccumulator, curves: list[str]) -> dict[str, list[str]]:
    """Return the curves in each chart of CUSTOM SCALARS, as TensorBoard finds them."""
    (event,) = board.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    (category,) = layout.category
    return {
        chart.title: sorted(
            name
            for name in curves
            if any(re.match(tag, name) for tag in chart.multiline.tag)
        )
        for chart in category.chart
    }


def test_a_run_can_be_looked_at_in_tensorboard(cli: RunCommand) -> None:
    words = ["--trainer.max_epochs=3", "--data.val_size=500", "--model.optimizer=SGD"]
    words += ["--model.optimizer.lr=0.02", "--figures=true"]
    assert cli("fit", *SHORT_RUN, *words).code == 0
    board = read_events(RUN)
    tags = board.Tags()
    images = {tag: board.Images(tag) for tag in tags["images"]}
    assert {
        tag: [image.step for image in series] for tag, series in images.items()
    } == {
        "images/training": [0],
        **{f"images/{name}": [4, 14] for name in ("confusion", "weights", "wrong")},
    }  # the first validation and the end, but none within 30 s
    assert picture(images["images/confusion"][0]).size == (528, 528)
    assert set(tags["histograms"]) == {
        f"{kind}/{name}" for kind in ("weights", "gradients") for name in WEIGHTS
    }
    assert [event.step for event in board.Histograms("weights/network.1.weight")] == [
        4,
        14,
    ]
    histogram = board.Histograms("gradients/network.1.weight")[1].histogram_value
    assert histogram.num == 784 * 128
    assert histogram.min < 0 < histogram.max
    assert tags["graph"]
    assert match_charts(board, [*tags["scalars"], "test/acc"]) == {
        "loss": ["train/loss", "val/loss"],
        "accuracy": ["test/acc", "val/acc"],
        "accuracy of each digit": [f"val_acc/{digit}" for digit in range(10)],
    }
    assert (
        "hidden_sizes"
        in board.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    )
    scalars = {f"val_acc/{digit}" for digit in range(10)} | {"train/lr", "val/acc_best"}
    assert scalars <= set(tags["scalars"])
    rates = [event.value for event in board.Scalars("train/lr")]
    assert rates == [pytest.approx(0.02)] * 15
    best = max(event.value for event in board.Scalars("val/acc"))
    assert board.Scalars("val/acc_best")[-1].value == best


def test_a_run_can_be_compared_in_tensorboard(cli: RunCommand) -> None:
    words = ["--trainer.max_epochs=1", "--model.optimizer=SGD"]
    words += ["--model.optimizer.lr=0.02", "--figures=true"]
    assert cli("fit", *SHORT_RUN, *words).code == 0
    board = read_events(RUN)
    metrics = {metric.name.tag for metric in hparams(board, "experiment").metric_infos}
    assert metrics == {"val/acc_best", "test/acc"}  # and no hp_metric
    settings = hparams(board, "session_start_info").hparams
    assert settings["optimizer"].string_value == "SGD, lr: 0.02"
    assert settings["batch_size"].number_value == 64
    assert set(settings) == {
        *(
            "activation",
            "augmentation",
            "batch_size",
            "dataset",
            "dropout",
            "hidden_sizes",
            "lr_scheduler",
        ),
        *("max_epochs", "optimizer", "precision", "seed", "val_size"),
    }
    assert settings["augmentation"].string_value == "none"
    noted = yaml.safe_load((RUN / "hparams.yaml").read_text())
    assert noted == {
        name: value.string_value if value.string_value else value.number_value
        for name, value in settings.items()
    }


def test_a_test_is_drawn_and_noted_in_the_run(short_run: Path, cli: RunCommand) -> None:
    tested = cli("test")
    assert {path.name for path in RUN.glob("*.png")} == {
        f"test_{name}.png" for name in ("confusion", "weights", "wrong")
    }
    report = json.loads((RUN / "test.json").read_text())
    assert read_events(RUN).Scalars("test/acc")[-1].value == report["test/acc"]
    counts = read_mnist(Path("data"), "t10k")[1].bincount()
    right = sum(
        report[f"test_acc/{digit}"] * counts[digit].item() for digit in range(10)
    )
    assert right / 10_000 == pytest.approx(report["test/acc"])
    assert "test_acc/3" in tested.out
    assert "Most often taken for another: " in tested.out


def test_pictures_that_no_logger_takes_are_files(cli: RunCommand) -> None:
    """They are those that TensorBoard would show last."""
    words = [*SHORT_RUN, "--figures=true", "--trainer.max_epochs=1"]
    assert cli("fit", *words).code == 0
    csv_run = RUN.with_name("version_1")
    fitted = cli("fit", *words, "--trainer.logger=CSVLogger")
    assert fitted.code == 0
    assert "tensorboard" not in fitted.out
    events = read_events(RUN)
    pictures = sorted((csv_run / "images").iterdir())
    names = [picture.stem for picture in pictures]
    assert names == ["confusion", "training", "weights", "wrong"]
    for picture in pictures:
        shown = events.Images(f"images/{picture.stem}")[-1].encoded_image_string
        expected = Image.open(io.BytesIO(shown)).convert("RGB")
        assert list(Image.open(picture).convert("RGB").tobytes()) == list(
            expected.tobytes()
        )


def test_pictures_can_be_turned_off(short_run: Path, cli: RunCommand) -> None:
    assert not read_events(RUN).Tags()["images"]
    assert not list(RUN.glob("projector*"))
    assert cli("test", "--figures=false").code == 0
    assert not list(RUN.glob("*.png"))


def test_without_validation_the_weights_are_drawn_at_the_end(cli: RunCommand) -> None:
    assert cli("fit", *SHORT_RUN, "--figures=true", "--data.val_size=0").code == 0
    assert set(read_events(RUN).Tags()["images"]) == {
        "images/training",
        "images/weights",
    }
    assert not list(RUN.glob("projector*"))


def test_the_best_accuracy_is_noted_beside_a_checkpoint_callback_of_the_users(
    cli: RunCommand,
) -> None:
    words = [word for word in SHORT_RUN if "figures" not in word]
    own = "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint"
    assert cli("fit", *words, "--trainer.max_epochs=1", own).code == 0
    assert read_events(RUN).Scalars("val/acc_best")[0].value > 0


def test_hparams_yaml_follows_a_run_that_goes_on(cli: RunCommand) -> None:
    assert cli("fit", *SHORT_RUN, "--trainer.max_epochs=1").code == 0
    assert yaml.safe_load((RUN / "hparams.yaml").read_text())["max_epochs"] == 1
    assert cli("fit", f"--ckpt_path={RUN}", "--trainer.max_epochs=2").code == 0
    assert yaml.safe_load((RUN / "hparams.yaml").read_text())["max_epochs"] == 2


def test_settings_are_short_and_tell_runs_apart() -> None:
    step = {"class_path": "torch.optim.lr_scheduler.StepLR"}
    config: dict[str, Any] = {
        "seed_everything": 7,
        "model": {
            "hidden_sizes": [128, 64],
            "lr_scheduler": {**step, "init_args": {"step_size": 3, "verbose": False}},
        },
        "data": {
            "data_dir": "data",
            "images": [],
            "augmentation": {"rotation": 15.0, "scale": 0.0, "smoothing": 6.0},
        },
        "trainer": {"max_epochs": 5, "precision": None, "devices": "auto"},
    }
    assert summarise_settings(config) == {
        "seed": 7,
        "hidden_sizes": "[128, 64]",
        "lr_scheduler": "StepLR, step_size: 3",
        "augmentation": "rotation: 15.0, smoothing: 6.0",
        "max_epochs": 5,
        "precision": "None",
    }
    for augmentation in ({"rotation": 0.0, "smoothing": 4.0}, {}):
        config["data"]["augmentation"] = augmentation
        assert summarise_settings(config)["augmentation"] == "none"


def make_figures() -> Figures:
    return Figures()


def drawn(
    folder: Path, model: Any, *callbacks: Any, **settings: Any
) -> EventAccumulator:
    """Train for some steps, and return what TensorBoard has."""
    settings = {
        **QUIET_TRAINER,
        "limit_val_batches": 1,
        "logger": TensorBoardLogger(folder),
        **settings,
    }
    trainer = Trainer(**settings, callbacks=[*callbacks, make_figures()])
    trainer.fit(model, MNISTDataModule(str(folder / "data")))
    return read_events(settings["logger"].log_dir)


def picture(event: Any) -> Image.Image:
    return Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")


def validation_set(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    loader = model.trainer.val_dataloaders
    return loader.dataset.tensors[0][loader.rows], loader.dataset.tensors[1][
        loader.rows
    ]


class Snapshots(Callback):
    """Keeps the weights that each validation is made with."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        model: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 0:
            self.states.append(deepcopy(model.state_dict()))


def look_through(
    model: MLPClassifier, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, list[tuple[float, int, int]]]:
    """Return the confusion matrix and all mistakes: probability, image, digit read."""
    matrix = torch.zeros(10, 10, dtype=torch.long)
    mistakes = []
    parts = [model.probabilities(part) for part in images.split(1_000)]
    for number, answer in enumerate(torch.cat(parts).tolist()):
        digit = max(range(10), key=answer.__getitem__)
        label = int(labels[number])
        matrix[label, digit] += 1
        if digit != label:
            mistakes.append((answer[digit], number, digit))
    mistakes.sort(key=lambda mistake: -mistake[0])
    return matrix, mistakes


def draw_surest(
    mistakes: list[tuple[float, int, int]], images: torch.Tensor, labels: torch.Tensor
) -> Image.Image:
    probabilities, numbers, digits = map(torch.tensor, zip(*mistakes[:40], strict=True))
    return draw_mistakes(images[numbers], labels[numbers], digits, probabilities)


@pytest.mark.parametrize(
    ("max_steps", "seconds", "evaluated", "weighed"),
    [
        (5, 30, [2], [2, 4]),  # the last validation is drawn already
        (8, 30, [2, 5], [2, 7]),  # and here drawn at the end, at its own step
        (11, 30, [2, 8], [2, 10]),
        (11, 0, [2, 5, 8], [2, 5, 8, 10]),
    ],
)
def test_pictures_show_the_network_as_it_is_whenever_it_was_evaluated(
    max_steps: int,
    seconds: float,
    evaluated: list[int],
    weighed: list[int],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlp_lightning.figures.SECONDS_BETWEEN_DRAWINGS", seconds)
    torch.manual_seed(0)
    model = MLPClassifier([8])
    snapshots = Snapshots()
    settings: Any = {"num_sanity_val_steps": 1, "val_check_interval": 3}
    board = drawn(workplace, model, snapshots, max_steps=max_steps, **settings)
    series = board.Images("images/confusion")
    assert [image.step for image in series] == evaluated
    assert [image.step for image in board.Images("images/wrong")] == evaluated
    for tag in ("weights", "gradients"):
        histograms = board.Histograms(f"{tag}/network.1.weight")
        assert [histogram.step for histogram in histograms] == weighed
    assert [image.step for image in board.Images("images/weights")] == weighed
    last = picture(board.Images("images/weights")[-1])
    final_weights = model.get_parameter("network.1.weight")
    assert last.tobytes() == draw_pixel_weights(final_weights).tobytes()

    # what the weights then made of the one batch that was validated
    model.load_state_dict(snapshots.states[-1])
    images, labels = (rows[:1_000] for rows in validation_set(model))
    matrix, mistakes = look_through(model, images, labels)
    assert picture(series[-1]).tobytes() == draw_confusion_matrix(matrix).tobytes()
    wrong = picture(board.Images("images/wrong")[-1])
    assert wrong.tobytes() == draw_surest(mistakes, images, labels).tobytes()


def test_the_surest_mistakes_of_the_whole_validation_are_drawn(workplace: Path) -> None:
    torch.manual_seed(0)
    model = MLPClassifier([8], optimizer=partial(torch.optim.SGD, lr=0.1))
    settings: Any = {"max_steps": 50, "val_check_interval": 50}
    board = drawn(workplace, model, limit_val_batches=1.0, **settings)
    images, labels = validation_set(model)
    assert len(images) == 5_000
    matrix, mistakes = look_through(model, images, labels)
    assert {number // 1_000 for _, number, _ in mistakes[:40]} == {0, 1, 2, 3, 4}
    (wrong,) = board.Images("images/wrong")
    expected = draw_surest(mistakes, images, labels)
    assert picture(wrong).tobytes() == expected.tobytes()
    (confusion,) = board.Images("images/confusion")
    assert picture(confusion).tobytes() == draw_confusion_matrix(matrix).tobytes()


def test_mistakes_are_kept_surest_first_and_equals_in_their_order() -> None:
    pixels = torch.arange(60).byte().view(60, 1, 1).expand(60, 28, 28)
    images = normalise(pixels)
    labels = torch.ones(60, dtype=torch.long)
    logits = torch.zeros(60, 10)
    logits[:, 4] = 1
    logits[7, 4] = 3
    logits[8, 1] = 9  # and is read correctly
    mistakes = Mistakes.none(images.device)
    for part in (slice(0, 5), slice(5, 55), slice(55, 60)):
        new = Mistakes.of_batch(images[part], labels[part], logits[part])
        mistakes = mistakes.join(new).surest()
        assert len(mistakes.images) == MAX_CELLS
    expected = [7, *range(7), *range(9, 41)]
    assert torch.equal(mistakes.images, pixels[expected])
    assert mistakes.labels.tolist() == [1] * 40
    assert mistakes.answers.tolist() == [4] * 40
    seventh = math.exp(3) / (math.exp(3) + 9)
    others = math.e / (math.e + 9)
    assert mistakes.probabilities.tolist() == pytest.approx([seventh] + [others] * 39)
    few = Mistakes.none(images.device)
    few = few.join(Mistakes.of_batch(images[:9], labels[:9], logits[:9])).surest()
    assert few.probabilities.count_nonzero() == 8


def test_two_processes_draw_what_one_draws(shell: RunCommand) -> None:
    words = [word for word in SHORT_RUN if "figures" not in word]
    done = shell("fit", *words, "--trainer.max_epochs=1", *TWO_FORKS)
    assert done.code == 0, done.err
    assert "\nval/acc 0." in done.out
    assert f"Saved {RUN / 'checkpoints/best.ckpt'}\n" in done.out
    board = read_events(RUN)
    path = RUN / "checkpoints/last.ckpt"
    model = MLPClassifier.load_from_checkpoint(path, "cpu")
    figures = make_figures()
    trainer = Trainer(**QUIET_TRAINER, callbacks=[figures])
    trainer.validate(model, MNISTDataModule("data"), verbose=False)
    pictures = figures.draw_evaluation(model)
    assert set(pictures) == {"wrong", "confusion", "weights"}
    for name, expected in pictures.items():
        (event,) = board.Images(f"images/{name}")
        assert event.step == 4
        assert picture(event).tobytes() == expected.tobytes(), name
    _, labels = validation_set(model)
    projected = numpy.loadtxt(RUN / "projector/labels.tsv")  # by the first process
    assert projected.tolist() == labels[::2][:1_000].tolist()


class Diverging(MLPClassifier):
    def on_validation_start(self) -> None:
        with torch.no_grad():
            self.get_parameter("network.1.weight").fill_(torch.nan)
            self.get_parameter("network.4.bias").fill_(1e30)
            self.get_parameter("network.4.weight")[0] = torch.inf


def test_weights_that_have_no_histogram_are_left_out(workplace: Path) -> None:
    board = drawn(workplace, Diverging([8]), max_steps=1, val_check_interval=1)
    tags = board.Tags()["histograms"]
    assert {tag for tag in tags if tag.startswith("weights/")} == {
        "weights/network.1.bias",
        "weights/network.4.weight",
    }


class Untraceable(torch.nn.Flatten):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise RuntimeError("cannot be traced")
        return super().forward(images)


def test_pictures_show_averaged_weights_where_these_are_evaluated(
    workplace: Path,
) -> None:
    model = MLPClassifier([8], optimizer=partial(torch.optim.SGD, lr=0.3))
    snapshots = Snapshots()
    settings: Any = {"max_steps": 12, "val_check_interval": 9, "limit_val_batches": 1.0}
    average = EMAWeightAveraging(decay=0.9)
    board = drawn(workplace, model, average, snapshots, **settings)
    (image,) = board.Images("images/confusion")
    assert model.confusion_matrix is not None
    expected = draw_confusion_matrix(model.confusion_matrix)  # that val/acc is from
    assert picture(image).tobytes() == expected.tobytes()
    validated, final = board.Images("images/weights")
    assert (validated.step, final.step) == (8, 11)
    (state,) = snapshots.states
    averaged = draw_pixel_weights(state["network.1.weight"])
    assert picture(validated).tobytes() == averaged.tobytes()


class Convolutions(MLPClassifier):
    """A network without a layer of pixels or a graph, and with steps of its own."""

    def __init__(self) -> None:
        super().__init__([])
        layers = [torch.nn.Conv2d(1, 2, 28), Untraceable(), torch.nn.Linear(2, 10)]
        self.network: Any = torch.nn.Sequential(*layers)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])


def test_a_network_of_ones_own_is_drawn_as_far_as_it_can_be(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Convolutions()
    board = drawn(workplace, model, max_steps=1, val_check_interval=1)
    assert board.Tags()["images"] == ["images/training"]
    assert not board.Tags()["graph"]
    assert "val/acc" not in model.trainer.callback_metrics  # it would be 0 / 0
    assert capfd.readouterr().out == ""
