"""Networks and the data sets that they are for, from training to the exported file."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lightning
import numpy
import pytest
import torch
from numpy.typing import NDArray
from small_datasets import DOWNLOADED, Host, Parts, list_files, offer, run_host
from support import QUIET_TRAINER, RunCommand, get_error_line
from torch import Tensor

from mlp_lightning import MLPClassifier, MNISTDataModule, datasets
from mlp_lightning.datasets import measure_images
from mlp_lightning.errors import SettingError
from mlp_lightning.info import MNIST_INFO, DatasetInfo

SMALL_FIT = [
    "--data.val_size=60",
    "--trainer.max_epochs=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--figures=false",
]
CHECKPOINT = Path("lightning_logs/version_0/checkpoints/best.ckpt")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.chdir(tmp_path)
    with run_host() as host:
        yield host


@pytest.fixture
def parts(
    request: pytest.FixtureRequest, host: Host, monkeypatch: pytest.MonkeyPatch
) -> Parts:
    """What a host offers: KMNIST, unless the test names others."""
    name = getattr(request, "param", "KMNIST")
    return offer(monkeypatch, host, name)[0]


each_dataset = pytest.mark.parametrize(
    ("name", "parts"), [(name, name) for name in DOWNLOADED], indirect=["parts"]
)


def assert_measured(info: DatasetInfo, images: NDArray[numpy.uint8]) -> None:
    """Compare mean and deviation with those of all pixels in float64."""
    pixels = images.astype(numpy.float64) / 255
    assert info.mean == pytest.approx(pixels.mean(), rel=1e-12)
    assert info.std == pytest.approx(pixels.std(), rel=1e-12)


# ---- What there is to know of images


def test_mean_and_deviation_are_those_of_numpy() -> None:
    random = numpy.random.default_rng(0)
    for count in (1, 7, 300):
        images = random.integers(0, 256, (count, 28, 28), numpy.uint8)
        mean, std = measure_images(torch.tensor(images))
        assert_measured(replace(MNIST_INFO, mean=mean, std=std), images)
    black = torch.zeros(2, 28, 28, dtype=torch.uint8)
    black[0, 0, 0] = 255
    mean, std = measure_images(black)
    assert (mean, std) == (1 / 1568, math.sqrt(1567) / 1568)
    with pytest.raises(SettingError, match=r"^dataset: all pixels .* are alike$"):
        measure_images(black[1:])


def test_mnist_keeps_the_usual_numbers(data_dir: Path) -> None:
    assert MNISTDataModule(str(data_dir)).info is MNIST_INFO
    assert (MNIST_INFO.mean, MNIST_INFO.std) == (0.1307, 0.3081)
    module = MNISTDataModule(str(data_dir))
    measured = measure_images(module.source.read("train")[0])
    assert measured == pytest.approx((0.1307, 0.3081), abs=5e-5)


CLASS_COUNTS = {
    "FashionMNIST": 10,
    "KMNIST": 10,
    "QMNIST": 10,
    "EMNIST-digits": 10,
    "EMNIST-letters": 26,
    "EMNIST-balanced": 47,
}


@each_dataset
def test_the_data_module_knows_and_splits_it(name: str, parts: Parts) -> None:
    module = MNISTDataModule(dataset=name, val_size=60)
    info = module.info
    assert info.name == name
    assert len(info.classes) == len(set(info.classes)) == CLASS_COUNTS[name]
    assert_measured(info, parts.train.images)
    module.prepare_data()
    module.setup("fit")
    assert (len(module.train_rows), len(module.val_rows)) == (240, 60)
    rows = torch.cat([module.train_rows, module.val_rows])
    assert torch.equal(rows.sort().values, torch.arange(300))
    module.setup("test")
    images, labels = next(iter(module.test_dataloader()))
    inputs, _ = module.on_after_batch_transfer((images, labels), 0)
    expected = (parts.test.images[:, None] / 255 - info.mean) / info.std
    assert numpy.abs(inputs.numpy() - expected).max() < 1e-5
    assert torch.equal(labels, torch.tensor(parts.test.labels))


# ---- From Python


@pytest.mark.usefixtures("parts")
def test_a_network_is_trained_from_python() -> None:
    data = MNISTDataModule(dataset="KMNIST", val_size=60)
    model = MLPClassifier([8], info=data.info)
    trainer = lightning.Trainer(**QUIET_TRAINER, max_epochs=1)
    trainer.fit(model, data)
    (before,) = trainer.test(model, data, verbose=False)
    trainer.save_checkpoint("it.ckpt")
    loaded = MLPClassifier.load_from_checkpoint("it.ckpt", weights_only=True)
    assert loaded.info == data.info
    same_data = MNISTDataModule.load_from_checkpoint("it.ckpt", weights_only=True)
    for module in (same_data, MNISTDataModule(dataset=loaded.info)):
        assert module.info == data.info
        (after,) = trainer.test(loaded, module, verbose=False)
        assert after == before


@pytest.mark.usefixtures("parts")
def test_a_network_that_is_not_told_its_images_is_refused() -> None:
    data = MNISTDataModule(dataset="KMNIST", val_size=60)
    trainer = lightning.Trainer(**QUIET_TRAINER, max_epochs=1)
    text = (
        "^dataset: the network is for MNIST, and the images are KMNIST: "
        "give it the data module's `info`$"
    )
    for use in (trainer.fit, trainer.validate, trainer.test):
        with pytest.raises(SettingError, match=text):
            use(MLPClassifier([8]), datamodule=data)


# ---- By the command line


def read_probabilities(table: Path) -> Tensor:
    """Return the probabilities in a predictions.csv, (n, classes)."""
    with table.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = [index for index, name in enumerate(header) if index > 1][:-1]
    return torch.tensor([[float(row[index]) for index in columns] for row in rows])


@pytest.mark.datasets
@each_dataset
@pytest.mark.usefixtures("workplace")
def test_a_round_trip(name: str, parts: Parts, cli: RunCommand) -> None:
    pytest.importorskip("onnxruntime")
    go_round(name, parts, cli)
    for ending in (".onnx", ".pt2"):
        check_export(ending, torch.tensor(parts.test.images), cli)


@pytest.mark.parametrize("parts", ["EMNIST-letters"], indirect=True)
@pytest.mark.usefixtures("workplace")
def test_letters_are_trained_tested_and_predicted(
    parts: Parts, cli: RunCommand
) -> None:
    go_round("EMNIST-letters", parts, cli)


def go_round(name: str, parts: Parts, cli: RunCommand) -> None:
    """Train, test and predict, and compare the answers."""
    fitted = cli("fit", f"--data.dataset={name}", *SMALL_FIT)
    assert fitted.code == 0, fitted
    checkpoint = torch.load(CHECKPOINT, weights_only=True)
    info = DatasetInfo.from_settings(checkpoint["hyper_parameters"]["info"])
    assert (info.name, info.classes) == (name, datasets.DATASETS[name].classes)
    assert_measured(info, parts.train.images)
    model = MLPClassifier.load_from_checkpoint(CHECKPOINT, "cpu", weights_only=True)
    images = torch.tensor(parts.test.images)
    expected = model.probabilities(images)
    tested = cli("test")
    assert tested.code == 0, tested
    right = expected.argmax(dim=1) == torch.tensor(parts.test.labels)
    report = json.loads(Path("lightning_logs/version_0/test.json").read_text())
    assert report["test/acc"] == pytest.approx(right.float().mean().item())
    assert cli("predict", "--output=answers").code == 0
    answers = read_probabilities(Path("answers/predictions.csv"))
    torch.testing.assert_close(answers, expected, atol=1e-5, rtol=1e-4)


def check_export(ending: str, images: Tensor, cli: RunCommand) -> None:
    """Compare the answers of an exported file with the checkpoint's."""
    exported = cli("export", f"--output=it{ending}")
    assert exported.code == 0, exported
    model = MLPClassifier.load_from_checkpoint(CHECKPOINT, "cpu", weights_only=True)
    expected = model.probabilities(images)
    torch.testing.assert_close(run_file(ending, images), expected)


def run_file(ending: str, images: Tensor) -> Tensor:
    """Return the answers of an exported file."""
    if ending == ".pt2":
        answers: Tensor = torch.export.load("it.pt2").module()(images)
        return answers
    import onnxruntime

    session = onnxruntime.InferenceSession("it.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    return torch.from_numpy(found)


@pytest.mark.usefixtures("workplace", "parts")
def test_a_checkpoint_knows_its_data_set(cli: RunCommand, host: Host) -> None:
    assert cli("fit", "--data.dataset=KMNIST", *SMALL_FIT).code == 0
    host.asked.clear()
    held = list_files(Path("data"))
    for other in ("MNIST", "no folder"):
        for words in (["test"], ["predict"], ["export", "--output=it.pt2"]):
            line = get_error_line(cli(*words, f"--data.dataset={other}"))
            expected = f"{other}, but the network is trained on KMNIST"
            assert line == f"--data.dataset: {expected}"
        line = get_error_line(cli("fit", "--ckpt_path=last", f"--data.dataset={other}"))
        assert line.startswith("--data.dataset: the run was begun with KMNIST, and ")
    assert host.asked == []
    assert list_files(Path("data")) == held
    assert cli("test", "--data.dataset=KMNIST", "--figures=false").code == 0


def test_a_checkpoint_without_a_data_set_is_of_mnist(
    short_run: Path, cli: RunCommand
) -> None:
    assert cli("test", "--figures=false").code == 0
    report = (short_run / "test.json").read_text()
    for path in short_run.glob("checkpoints/*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint["hyper_parameters"]["info"]
        del checkpoint["datamodule_hyper_parameters"]["dataset"]
        torch.save(checkpoint, path)
    config = (short_run / "config.yaml").read_text()
    kept = [line for line in config.splitlines() if "dataset: MNIST" not in line]
    (short_run / "config.yaml").write_text("\n".join(kept))
    assert cli("test", "--figures=false").code == 0
    assert (short_run / "test.json").read_text() == report
    line = get_error_line(cli("test", "--data.dataset=KMNIST"))
    assert line == "--data.dataset: KMNIST, but the network is trained on MNIST"
    resumed = cli("fit", "--ckpt_path=last", "--trainer.max_epochs=6")
    assert resumed.code == 0, resumed


@pytest.mark.usefixtures("parts")
def test_the_lesson_is_on_mnist(cli: RunCommand, host: Host) -> None:
    for name in ("KMNIST", "."):
        line = get_error_line(cli("lesson", f"--data.dataset={name}"))
        assert line == f"--data.dataset: the lesson is on MNIST, got {name}"
    assert host.asked == []
    assert not Path("lesson.html").exists()


@pytest.mark.usefixtures("workplace", "parts")
def test_a_host_that_fails_is_one_line(cli: RunCommand, host: Host) -> None:
    host.failure = "another file"
    line = get_error_line(cli("fit", "--data.dataset=KMNIST", *SMALL_FIT), code=1)
    assert line.startswith(f"KMNIST cannot be downloaded from {host.address}: ")
    assert line.endswith("File not found or corrupted. : connect, or try again later")
    Path("data/KMNIST/raw").rmdir()
    Path("data/KMNIST/raw").touch()
    line = get_error_line(cli("fit", "--data.dataset=KMNIST", *SMALL_FIT))
    assert line == "--data.data_dir: cannot be written, File exists: data/KMNIST/raw"
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize("words", ["={name: KMNIST}", ".name=KMNIST"])
def test_a_data_set_is_named_by_text_alone(words: str, cli: RunCommand) -> None:
    line = get_error_line(cli("fit", f"--data.dataset{words}"))
    assert line == "--data.dataset: must be a name or a folder"
