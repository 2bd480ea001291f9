import csv
import re
from pathlib import Path

import numpy
import pytest
import torch
from lightning.pytorch import LightningModule
from PIL import Image
from support import SHORT_RUN, RunCommand, read_events
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torchvision.datasets import EMNIST, FashionMNIST

from mlp_lightning import MLPClassifier, MNISTDataModule
from mlp_lightning.drawing import fit_title, image_grid
from mlp_lightning.figures import draw_training_images
from mlp_lightning.info import MNIST_INFO, DatasetInfo, get_info
from mlp_lightning.mlp import CLASS_NAMES
from mlp_lightning.names import clean_name, get_names, name_kind
from mlp_lightning.predictions import Answer, Source
from mlp_lightning.tensorboard import make_layout

RUN = Path("lightning_logs/version_0")
CLASSES = ["(a|b", "50% off, really", "Ankle boot", "日本語"]  # sorted


@pytest.fixture
def folder(workplace: Path) -> Path:
    """A data set of one's own: 10 pictures of each class to train on, 4 to test."""
    generator = numpy.random.default_rng(0)
    for part, count in (("train", 10), ("test", 4)):
        for label, name in enumerate(CLASSES):
            place = workplace / "pictures" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 200, (28, 28), dtype=numpy.uint8)
                pixels[label * 7 : label * 7 + 7] = 255
                Image.fromarray(pixels).save(place / f"{number}.png")
    return Path("pictures")


@pytest.fixture
def run(folder: Path, cli: RunCommand) -> Path:
    """A run on this data set."""
    words = [*SHORT_RUN, f"--data.dataset={folder}", "--data.val_size=8"]
    words += ["--data.batch_size=8", "--trainer.max_epochs=2", "--figures=true"]
    fitted = cli("fit", *words, "--trainer.enable_progress_bar=false")
    assert fitted.code == 0, fitted.err
    assert "Summary name" not in fitted.out + fitted.err  # as TensorBoard complains
    return RUN


def test_tensorboard_shows_a_folder_by_its_names(run: Path) -> None:
    board = read_events(run)
    curves = [tag for tag in board.Tags()["scalars"] if tag.startswith("val_acc/")]
    (event,) = board.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    (category,) = layout.category
    chart = category.chart[-1]
    assert chart.title == "accuracy of each class of pictures"
    (pattern,) = chart.multiline.tag
    assert len(curves) > 1
    assert all(re.match(pattern, curve) for curve in curves)
    data = MNISTDataModule("data", val_size=8, dataset="pictures")
    data.setup("validate")
    labels = data.training_set.tensors[1][data.val_rows]
    names = [CLASSES[label] for label in labels.tolist()]
    projected = (run / "projector/labels.tsv").read_text(encoding="utf-8")
    assert projected == "".join(f"{name}\n" for name in names)


def test_a_test_shows_a_folder_by_its_names(run: Path, cli: RunCommand) -> None:
    tested = cli("test")
    assert tested.code == 0, tested.err
    line = tested.out.splitlines()[-1]
    mistakes = line.removeprefix("Most often taken for another: ")
    assert mistakes != line
    name = f"({'|'.join(map(re.escape, CLASSES))})"
    pair = rf"{name} as {name} \(\d+\)"
    assert mistakes == "" or re.fullmatch(f"{pair}(, {pair})*", mistakes)
    with Image.open(run / "test_confusion.png") as picture:
        assert picture.width > 5 * 48  # long names have room


def test_a_folder_is_predicted_by_its_names(run: Path, cli: RunCommand) -> None:
    Path("empty.png").touch()
    predicted = cli("predict", "--data.images=[pictures/test/日本語, empty.png]")
    assert predicted.code == 1
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        *rows, unread = csv.DictReader(file)
    probabilities = [f"p{name}" for name in CLASSES]
    assert list(unread) == ["file", "class", *probabilities, "error"]
    assert list(unread.values()) == ["empty.png", *[""] * 5, "is empty"]
    assert len(rows) == 4
    model = MLPClassifier.load_from_checkpoint(run / "checkpoints/best.ckpt", "cpu")
    for row in rows:
        pixels = torch.from_numpy(numpy.array(Image.open(row["file"])))
        answer = model.probabilities(pixels[None])[0]
        written = torch.tensor([float(row[column]) for column in probabilities])
        assert torch.allclose(written, answer, atol=1e-5)
        best = CLASSES[int(answer.argmax())]
        assert row["class"] == best
        start = f"{row['file']:40}  {best:15}  "
        assert any(line.startswith(start) for line in predicted.out.splitlines())


def test_printed_names_stand_in_columns() -> None:
    image = torch.zeros(28, 28, dtype=torch.uint8)
    names = ["Bag", "Ankle boot", "Coat"]
    source = Source("a.png", "a.png")
    lines = [
        Answer(source, image, probabilities, names).printed_line()
        for probabilities in ([0.95, 0.04, 0.01], [0.01, 0.59, 0.4])
    ]
    file = "a.png".ljust(40)
    assert lines == [
        f"{file}  Bag          95.00%  Ankle boot   4.00%",
        f"{file}  Ankle boot   59.00%  Coat        40.00%  doubtful",
    ]


def test_answers_are_titled_by_names() -> None:
    image = torch.zeros(28, 28, dtype=torch.uint8)
    source = Source("test/7")
    for names, title in (
        (["Bag", "Coat"], "Bag  75.0%\n7"),
        (["Bag", "Ankle boot"], "Bag\n75.0%\n7"),
    ):
        ((_, shown),) = Answer(source, image, [0.75, 0.25], names).cells()
        assert shown == title


def test_training_images_are_titled_by_names() -> None:
    info = DatasetInfo("garments", ("Shirt", "A garment without any name"), 0.25, 0.5)
    model = MLPClassifier([4], info=info)
    images = torch.full((2, 1, 28, 28), 0.5)  # 0.5 * 0.5 + 0.25: 127.5, rounded
    pixels = torch.full((2, 28, 28), 128, dtype=torch.uint8)
    drawn = draw_training_images(images, torch.tensor([1, 0]), model)
    titles = [fit_title(info.classes[1]), "Shirt"]
    assert titles[0].endswith("…")
    expected = image_grid(zip(pixels, titles, strict=True))
    assert drawn.tobytes() == expected.tobytes()


def test_a_chart_finds_the_curves_of_the_classes() -> None:
    info = DatasetInfo("FashionMNIST", tuple(FashionMNIST.classes))
    charts = make_layout(info)["training"]
    _, (pattern,) = charts["accuracy of each class of FashionMNIST"]
    for name in FashionMNIST.classes:
        assert re.match(pattern, f"val_acc/{name}")
    for other in ("val_acc/7", "val_acc/Shirt-like", "test_acc/Bag"):
        assert not re.match(pattern, other)
    assert "accuracy of each digit" not in charts
    assert "accuracy of each digit" in make_layout(MNIST_INFO)["training"]


def test_what_a_class_is_called() -> None:
    assert name_kind(CLASS_NAMES) == "digit"
    assert name_kind(["0", "1"]) == "digit"
    assert name_kind(EMNIST.classes_split_dict["balanced"]) == "class"
    assert name_kind(["10", "11"]) == "class"


def test_names_are_shown_in_one_line() -> None:
    assert clean_name("a\nlong \t name") == "a long name"
    assert clean_name("日本語, 50%") == "日本語, 50%"
    model = MLPClassifier([4], info=DatasetInfo("own", ("a\nb", "c")))
    assert get_names(model) == ["a b", "c"]


class Other(LightningModule):
    """A model of somebody else's, which may call anything `info`."""

    info = "mine"


def test_a_model_that_does_not_say_is_taken_to_be_for_mnist() -> None:
    assert get_info(Other()) is MNIST_INFO
    assert get_info(LightningModule()) is MNIST_INFO
    assert get_names(Other()) == list(CLASS_NAMES)
