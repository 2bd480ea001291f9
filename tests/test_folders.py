"""Pictures of one's own as a data set."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_datasets import choose_parts
from support import Outcome, RunCommand, assert_same_run, get_error_line, read_state
from torch import Tensor

from mlp_lightning import MNISTDataModule
from mlp_lightning.checkpoints import RunCheckpoint
from mlp_lightning.errors import SettingError

CLASSES = ("two words", "Ägäis")  # in the order of their letters
FIT = [
    "--data.dataset=my pictures",
    "--data.val_size=6",
    "--data.batch_size=4",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--figures=false",
]


def write_pictures(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write 20 training and 6 test pictures, each class as many."""
    for part, pictures in choose_parts("MNIST", 20, 6)._asdict().items():
        for number, pixels in enumerate(pictures.images):
            place = folder / part / classes[number % len(classes)]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `my pictures` in the one where the test runs."""
    monkeypatch.chdir(tmp_path)
    return write_pictures(Path("my pictures"))


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    return MNISTDataModule(dataset=str(folder)).source.read(part)


def refuse(folder: Path, part: str = "train") -> str:
    """Return what is said of a folder that cannot be read."""
    with pytest.raises(SettingError) as caught:
        read(folder, part)
    return str(caught.value)


@pytest.mark.parametrize("part", ["train", "test"])
def test_pictures_of_28_pixels_come_back_bit_for_bit(part: str, folder: Path) -> None:
    images, labels = read(folder, part)
    written = getattr(choose_parts("MNIST", 20, 6), part).images
    expected = numpy.concatenate([written[::2], written[1::2]])
    assert torch.equal(images, torch.tensor(expected))
    assert labels.tolist() == [0] * (len(written) // 2) + [1] * (len(written) // 2)
    info = MNISTDataModule(dataset=str(folder)).info
    assert (info.name, info.classes) == ("my pictures", CLASSES)


Pixels = NDArray[numpy.float64]
GREY: Pixels = numpy.arange(784.0).reshape(28, 28) % 251  # of any level


def enlarge(pixels: Pixels) -> Pixels:
    return pixels.repeat(3, axis=0).repeat(3, axis=1)


def grey(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.astype(numpy.uint8))


def turn(picture: Image.Image) -> tuple[Image.Image, Image.Exif]:
    """Return a picture that lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    return picture.transpose(Image.Transpose.ROTATE_90), exif


def save_turned(path: Path) -> None:
    picture, exif = turn(grey(GREY))
    picture.save(path, exif=exif)


def save_wide(path: Path) -> None:
    grey(enlarge(GREY)[21:63]).save(path)


WIDE = numpy.zeros((28, 28))
WIDE[7:21] = GREY[7:21]
DEEP = numpy.round(255 * (GREY - GREY.min()) / numpy.ptp(GREY))

# How a picture is saved, and what is read from it.
FORMATS: dict[str, tuple[Callable[[Path], None], Pixels, int]] = {
    "a.png": (lambda path: grey(GREY).save(path), GREY, 0),
    "colour.png": (lambda path: grey(GREY).convert("RGB").save(path), GREY, 0),
    "palette.gif": (lambda path: grey(GREY).save(path), GREY, 0),
    "opaque.png": (lambda path: grey(GREY).convert("RGBA").save(path), GREY, 0),
    "large.bmp": (lambda path: grey(enlarge(GREY)).save(path), GREY, 0),
    "a.jpg": (lambda path: grey(enlarge(DEEP)).save(path, quality=100), DEEP, 3),
    "turned.png": (save_turned, GREY, 0),
    "wide.png": (save_wide, WIDE, 0),
    "deep.png": (
        lambda path: Image.fromarray((GREY * 256).astype(numpy.uint16)).save(path),
        DEEP,
        1,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_format_is_read_as_a_training_image_and_by_predict(
    name: str, folder: Path
) -> None:
    save, expected, tolerance = FORMATS[name]
    path = folder / "train" / CLASSES[0] / name
    for other in path.parent.iterdir():
        other.unlink()
    save(path)
    module = MNISTDataModule(dataset=str(folder), images=str(path))
    image = module.source.read("train")[0][0]
    difference = numpy.abs(image.numpy().astype(float) - expected)
    assert difference.max() <= tolerance
    module.setup("predict")
    ((images, _, errors),) = module.predict_dataloader()
    assert errors == [""]
    assert torch.equal(images[0], image)


def test_a_transparent_picture_is_laid_on_an_opaque_ground(folder: Path) -> None:
    strokes = numpy.zeros((28, 28, 4), numpy.uint8)
    strokes[10:20, 10:20] = 255  # light ink, on nothing
    path = folder / "train" / CLASSES[0] / "00.png"
    Image.fromarray(strokes).save(path)
    image = read(folder, "train")[0][0]
    assert torch.equal(image, torch.tensor(strokes[:, :, 3]))


def test_hidden_files_and_files_beside_the_classes_are_ignored(folder: Path) -> None:
    before = read(folder, "train")
    (folder / "train" / CLASSES[0] / ".DS_Store").write_text("no picture")
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "README.txt").write_text("no class")
    after = read(folder, "train")
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"words", "is no picture"), (None, "cannot be read: ")],
)
def test_a_file_that_is_no_picture_is_named(
    content: bytes | None, reason: str, folder: Path
) -> None:
    path = folder / "test" / CLASSES[1] / "notes.txt"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    read(folder, "train")
    assert refuse(folder, "test").startswith(f"dataset: {path} {reason}")


def test_a_class_may_lack_test_images_but_not_training_images(folder: Path) -> None:
    shutil.rmtree(folder / "test" / CLASSES[0])
    assert read(folder, "test")[1].tolist() == [1] * 3
    write_pictures(folder, ("another", CLASSES[1]))
    shutil.rmtree(folder / "train" / "another")
    place = folder / "test" / "another"
    expected = f"dataset: {place} is none of the classes {', '.join(CLASSES)}"
    assert refuse(folder, "test") == expected


@pytest.mark.parametrize("left", ["", "train", "test"])
def test_a_folder_without_pictures_is_refused(left: str, folder: Path) -> None:
    shutil.rmtree(folder)
    (folder / left).mkdir(parents=True)
    layout = "train/CLASS/PICTURE and test/CLASS/PICTURE, with 2 classes or more"
    assert refuse(folder) == f"dataset: {folder} must hold {layout}"


def test_a_class_without_training_pictures_is_refused(folder: Path) -> None:
    (folder / "train" / "third").mkdir()
    assert refuse(folder) == "dataset: no picture in my pictures/train/third"


def test_missing_test_pictures_are_said_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "test")
    MNISTDataModule(dataset=str(folder)).prepare_data()
    expected = "There is no my pictures/test: test and export will need it\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb"])
def test_a_name_that_cannot_be_printed_is_refused(name: bytes, folder: Path) -> None:
    os.mkdir(os.fsencode(folder / "train") + b"/" + name)
    assert f"{name!r}"[2:-1] in refuse(folder)


def test_a_single_class_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "train" / CLASSES[0])
    assert "with 2 classes or more" in refuse(folder)


def test_pictures_that_are_all_alike_are_refused(folder: Path) -> None:
    for path in folder.glob("train/*/*"):
        Image.new("L", (28, 28), 7).save(path)
    with pytest.raises(SettingError, match=r"^dataset: all pixels of its .* are alike"):
        _ = MNISTDataModule(dataset=str(folder)).info


# ---- By the command line


@pytest.fixture
def run(folder: Path, cli: RunCommand) -> Outcome:
    """A run that has been trained on the folder."""
    outcome = cli("fit", *FIT)
    assert outcome.code == 0, outcome
    return outcome


@pytest.mark.usefixtures("run")
def test_a_folder_may_move(folder: Path, cli: RunCommand) -> None:
    tested = cli("test", "--figures=false")
    assert tested.code == 0, tested
    accuracy = Path("lightning_logs/version_0/test.json").read_text()
    place = folder.rename("new place")
    moved = "--data.dataset=new place"
    missing = get_error_line(cli("test"))
    assert missing == (
        "--data.dataset: my pictures is gone: say where it is now, "
        "as --data.dataset NEW/PLACE"
    )
    assert cli("test", "--figures=false", moved).code == 0
    assert Path("lightning_logs/version_0/test.json").read_text() == accuracy
    prolonged = cli("fit", "--ckpt_path=last", "--trainer.max_epochs=3", moved)
    assert prolonged.code == 0, prolonged
    place.rename(folder)
    shutil.rmtree("lightning_logs/version_0")
    assert cli("fit", *FIT, "--trainer.max_epochs=3").code == 0


@pytest.mark.kill
def test_a_resumed_run_equals_an_uninterrupted_one(
    folder: Path, cli: RunCommand, kill: Callable[..., None]
) -> None:
    augmented = [*FIT, "--data.augmentation.rotation=15"]
    assert cli("fit", *augmented).code == 0
    saving = [*augmented, "--checkpoint.every_n_train_steps=1"]
    kill(RunCheckpoint, "on_train_batch_start", 6, *saving)
    folder.rename("elsewhere")
    words = ["--ckpt_path=lightning_logs/version_1", "--data.dataset=elsewhere"]
    resumed = cli("fit", *words)
    assert resumed.code == 0, resumed
    assert_same_run("lightning_logs/version_0", "lightning_logs/version_1")


def add_a_picture(folder: Path) -> None:
    Image.new("L", (28, 28), "white").save(folder / "train" / CLASSES[0] / "new.png")


def rename_a_class(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / CLASSES[0]).rename(folder / part / "Aegean")


def add_a_class(folder: Path) -> None:
    shutil.copytree(folder / "train" / CLASSES[0], folder / "train" / "third")


@pytest.mark.usefixtures("run")
def test_a_run_goes_on_with_the_same_pictures_alone(
    folder: Path, cli: RunCommand
) -> None:
    before = read_state("lightning_logs/version_0")["global_step"]
    go_on = ["--ckpt_path=last", "--trainer.max_epochs=3"]
    other_images = (
        "the images of my pictures are not those that the network is for: bring them "
        "back, or begin a new run"
    )
    network = "the network is for two words, Ägäis"
    for change, text in (
        (add_a_picture, other_images),
        (rename_a_class, f"the classes of my pictures are Aegean, Ägäis: {network}"),
        (
            add_a_class,
            f"the classes of my pictures are third, two words, Ägäis: {network}",
        ),
    ):
        shutil.rmtree(folder)
        write_pictures(folder)
        change(folder)
        assert get_error_line(cli("fit", *go_on)) == f"--data.dataset: {text}"
    assert read_state("lightning_logs/version_0")["global_step"] == before


@pytest.mark.usefixtures("folder")
def test_val_size_must_leave_images_to_train_on(cli: RunCommand) -> None:
    for size, words in ((20, ["--data.val_size=20"]), (5000, [])):
        line = get_error_line(cli("fit", "--data.dataset=my pictures", *words))
        limit = "must be below 20, the number of training images"
        assert line == f"--data.val_size: {limit}, got {size}"
    assert not list(Path("lightning_logs").glob("*"))


@pytest.mark.parametrize("name", ["Fashion-MNIST", "", "no/such folder"])
def test_a_name_that_means_nothing_is_refused(name: str, cli: RunCommand) -> None:
    line = get_error_line(cli("fit", f"--data.dataset={name}"))
    assert line.startswith("--data.dataset: must be MNIST, FashionMNIST, ")
    question = "; did you mean FashionMNIST?" if name == "Fashion-MNIST" else ""
    assert line.endswith(f" or a folder, got {name}".rstrip() + question)
