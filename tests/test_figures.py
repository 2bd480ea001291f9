import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, SHORT, Outcome
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torchvision.datasets.mnist import read_label_file

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.figures import Figures, confusion, confusions, pixels, sheet
from mlp_lightning.mlp import normalise

CLI = Callable[..., Outcome]
RUN = Path("lightning_logs/version_0")
WEIGHTS = {
    f"network.{layer}.{part}" for layer in (1, 4, 7) for part in ("weight", "bias")
}


def events(run: Path) -> EventAccumulator:
    return EventAccumulator(
        str(run), size_guidance={"images": 0, "histograms": 0, "scalars": 0}
    ).Reload()


def hparams(board: EventAccumulator, kind: str) -> Any:
    metadata = board.summary_metadata[f"_hparams_/{kind}"].plugin_data.content
    return getattr(HParamsPluginData.FromString(metadata), kind)


def test_a_run_can_be_looked_at_in_tensorboard(cli: CLI) -> None:
    words = ["--trainer.max_epochs=3", "--data.val_size=500", "--model.optimizer=SGD"]
    assert (
        cli("fit", *SHORT, *words, "--figures=true", "--model.optimizer.lr=0.02").code
        == 0
    )
    board = events(RUN)
    tags = board.Tags()
    images = {tag: board.Images(tag) for tag in tags["images"]}
    assert {
        tag: [image.step for image in series] for tag, series in images.items()
    } == {
        "images/training": [0],
        **{f"images/{name}": [4, 14] for name in ("confusion", "weights", "wrong")},
    }  # the first validation and the end, but none within 30 s
    picture = Image.open(io.BytesIO(images["images/confusion"][0].encoded_image_string))
    assert picture.size == (528, 528)
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
            "dropout",
            "hidden_sizes",
            "lr_scheduler",
        ),
        *("max_epochs", "optimizer", "precision", "seed", "val_size"),
    }
    assert settings["augmentation"].string_value == "none"

    tested = cli("test")
    assert {path.name for path in RUN.glob("*.png")} == {
        f"test_{name}.png" for name in ("confusion", "weights", "wrong")
    }
    report = json.loads((RUN / "test.json").read_text())
    assert events(RUN).Scalars("test/acc")[-1].value == report["test/acc"]
    counts = read_label_file("data/MNIST/raw/t10k-labels-idx1-ubyte").bincount()
    right = sum(
        report[f"test_acc/{digit}"] * counts[digit].item() for digit in range(10)
    )
    assert right / 10_000 == pytest.approx(report["test/acc"])
    assert "test_acc/3" in tested.out
    assert "Most often taken for another: " in tested.out


def test_without_tensorboard_the_pictures_are_left_out(cli: CLI) -> None:
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=."]
    outcome = cli("fit", *SHORT, "--figures=true", *logger)
    assert outcome.code == 0
    assert (
        outcome.out.count("Pictures are left out: they need TensorBoard's logger\n")
        == 1
    )


def test_pictures_can_be_turned_off(cli: CLI) -> None:
    assert cli("fit", *SHORT).code == 0
    assert not events(RUN).Tags()["images"]
    assert cli("test", "--figures=false").code == 0
    assert not list(RUN.glob("*.png"))


def test_without_validation_the_weights_are_drawn_at_the_end(cli: CLI) -> None:
    assert cli("fit", *SHORT, "--figures=true", "--data.val_size=0").code == 0
    assert set(events(RUN).Tags()["images"]) == {"images/training", "images/weights"}


def test_the_best_accuracy_is_noted_beside_a_checkpoint_callback_of_the_users(
    cli: CLI,
) -> None:
    words = [word for word in SHORT if "figures" not in word]
    own = "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint"
    assert cli("fit", *words, "--trainer.max_epochs=1", own).code == 0
    assert events(RUN).Scalars("val/acc_best")[0].value > 0


def test_a_confusion_matrix_is_blue_where_right_and_red_where_wrong() -> None:
    matrix = torch.eye(10, dtype=torch.long) * 90
    matrix[3, 5] = 10
    picture = confusion(matrix)
    assert picture.getpixel((4 * 48 + 2, 4 * 48 + 2)) == (92, 92, 255)
    assert picture.getpixel((6 * 48 + 2, 4 * 48 + 2)) == (255, 200, 200)
    assert picture.getpixel((1 * 48 + 2, 4 * 48 + 2)) == (255, 255, 255)
    assert confusions(matrix) == "3 as 5 (10)"
    assert confusion(torch.zeros(10, 10, dtype=torch.long)).size == picture.size


def test_a_sheet_shows_the_pixels_that_the_network_got() -> None:
    images = torch.randint(256, (12, 28, 28), dtype=torch.uint8)
    assert torch.equal(pixels(normalise(images)), images)
    picture = sheet(zip(images, map(str, range(12)), strict=True))
    assert picture.size == (880, 2 * 116)
    corner = torch.tensor(
        list(picture.crop((88, 116, 172, 200)).convert("L").tobytes()),
        dtype=torch.uint8,
    )
    assert torch.equal(corner.view(84, 84)[1::3, 1::3], images[11])


def drawn(
    folder: Path, model: Any, *callbacks: Any, **settings: Any
) -> EventAccumulator:
    """Train for some steps, and return what TensorBoard has."""
    config = {"seed_everything": 0, "model": {}, "data": {"data_dir": "", "images": ""}}
    figures = Figures("", {**config, "trainer": {"max_epochs": 1, "precision": None}})
    settings = {
        **QUIET,
        "limit_val_batches": 1,
        "logger": TensorBoardLogger(folder),
        **settings,
    }
    trainer = Trainer(**settings, callbacks=[*callbacks, figures])
    trainer.fit(model, MNISTDataModule(str(folder / "data")))
    return events(Path(trainer.log_dir))


def test_pictures_show_the_network_as_it_is_whenever_it_was_evaluated(
    workplace: Path,
) -> None:
    model = MLPClassifier([8])
    board = drawn(
        workplace, model, num_sanity_val_steps=1, max_steps=5, val_check_interval=3
    )
    series = board.Images("images/confusion")
    assert [image.step for image in series] == [2, 4]
    assert [event.step for event in board.Histograms("gradients/network.1.weight")] == [
        2,
        4,
    ]
    loader = model.trainer.datamodule.val_dataloader()
    digits = model.probabilities(loader.images[loader.rows]).argmax(dim=1)
    matrix = torch.zeros(10, 10, dtype=torch.long)
    for label, digit in zip(loader.labels[loader.rows], digits, strict=True):
        matrix[label, digit] += 1
    last = Image.open(io.BytesIO(series[-1].encoded_image_string))
    assert last.tobytes() == confusion(matrix).tobytes()


class Diverging(MLPClassifier):
    def on_validation_start(self) -> None:
        with torch.no_grad():
            self.network[1].weight.fill_(torch.nan)
            self.network[4].bias.fill_(1e30)
            self.network[4].weight[0] = torch.inf


def test_weights_that_have_no_histogram_are_left_out(workplace: Path) -> None:
    board = drawn(workplace, Diverging([8]), max_steps=1, val_check_interval=1)
    tags = board.Tags()["histograms"]
    assert {tag for tag in tags if tag.startswith("weights/")} == {
        "weights/network.1.bias",
        "weights/network.4.weight",
    }


class Untraceable(torch.nn.Flatten):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("cannot be traced")
        return super().forward(images)


def test_pictures_show_averaged_weights_where_these_are_evaluated(
    workplace: Path,
) -> None:
    model = MLPClassifier([8], optimizer=partial(torch.optim.SGD, lr=0.3))
    settings: Any = {"max_steps": 9, "val_check_interval": 9, "limit_val_batches": 1.0}
    board = drawn(workplace, model, EMAWeightAveraging(decay=0.9), **settings)
    (image,) = board.Images("images/confusion")
    picture = Image.open(io.BytesIO(image.encoded_image_string))
    assert (
        picture.tobytes() == confusion(model.matrix).tobytes()
    )  # that val/acc is from


class Convolutions(MLPClassifier):
    """A network without a layer of pixels or a graph, and with steps of its own."""

    def __init__(self) -> None:
        super().__init__([])
        layers = [torch.nn.Conv2d(1, 2, 28), Untraceable(), torch.nn.Linear(2, 10)]
        self.network: Any = torch.nn.Sequential(*layers)

    def validation_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])


def test_a_network_of_ones_own_is_drawn_as_far_as_it_can_be(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Convolutions()
    board = drawn(workplace, model, max_steps=1, val_check_interval=1)
    assert set(board.Tags()["images"]) == {
        "images/training",
        "images/wrong",
        "images/confusion",
    }
    assert not board.Tags()["graph"]
    assert "val/acc" not in model.trainer.callback_metrics  # it would be 0 / 0
    assert capfd.readouterr().out == ""
