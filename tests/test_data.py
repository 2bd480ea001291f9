import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from support import QUIET_TRAINER, BatchRecorder, link_data, read_mnist
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import MNIST

from mlp_lightning import MLPClassifier, MNISTDataModule, downloads
from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import TensorBatches
from mlp_lightning.datasets import MNIST_MD5
from mlp_lightning.downloads import BUNDLED_DIR, DownloadedImages
from mlp_lightning.errors import SettingError
from mlp_lightning.mlp import normalise

FILES = sorted(MNIST_MD5)


@pytest.fixture
def copy(data_dir: Path, tmp_path: Path) -> Path:
    """A data_dir of its own, whose files may be replaced, but not written to."""
    link_data(data_dir, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        MNIST, "mirrors", ["http://127.0.0.1:9/"]
    )  # nobody listens there


def md5s(folder: Path) -> dict[str, str]:
    files = (folder / "MNIST" / "raw").iterdir()
    return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}


def test_the_shipped_files_are_unpacked_without_a_network(tmp_path: Path) -> None:
    MNISTDataModule(str(tmp_path / "new" / "data")).prepare_data()
    assert md5s(tmp_path / "new" / "data") == MNIST_MD5


def flip_a_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "a bit flipped": flip_a_bit,
    "a wrong header": lambda content: b"\0\0\x08\x02" + content[4:],
    "longer": lambda content: content + b"\0",
}
KINDS_OF_DAMAGE = ["missing", *DAMAGES]


def damage(file: Path, kind: str) -> None:
    """Damage a file; others that are links to it stay as they are."""
    content = file.read_bytes()
    file.unlink()
    if kind != "missing":
        file.write_bytes(DAMAGES[kind](content))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS_OF_DAMAGE)
def test_a_damaged_file_is_unpacked_again(kind: str, name: str, copy: Path) -> None:
    untouched = {
        file: (copy / "MNIST" / "raw" / file).stat().st_mtime_ns for file in FILES
    }
    damage(copy / "MNIST" / "raw" / name, kind)
    MNISTDataModule(str(copy)).prepare_data()
    assert md5s(copy) == MNIST_MD5
    for other in set(FILES) - {name}:
        assert (copy / "MNIST" / "raw" / other).stat().st_mtime_ns == untouched[other]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file_is_named(name: str, copy: Path) -> None:
    file = copy / "MNIST" / "raw" / name
    file.unlink()
    file.mkdir()
    text = f"^data_dir: cannot be written, Is a directory: .*{name}$"
    with pytest.raises(SettingError, match=text):
        MNISTDataModule(str(copy)).prepare_data()
    assert {path.name for path in file.parent.iterdir()} == set(FILES)


@pytest.mark.parametrize("kind", [*KINDS_OF_DAMAGE, "a folder"])
def test_archives_in_data_dir_do_not_matter(kind: str, copy: Path) -> None:
    """Users of torchvision have them there; ours are verified ones of the package."""
    raw = copy / "MNIST" / "raw"
    for name in FILES:
        archive = raw / f"{name}.gz"
        shutil.copy(BUNDLED_DIR / archive.name, archive)
        if kind == "a folder":
            archive.unlink()
            archive.mkdir()
        else:
            damage(archive, kind)
        archive.with_suffix("").unlink()
    MNISTDataModule(str(copy)).prepare_data()
    for file in FILES:
        content = (raw / file).read_bytes()
        assert hashlib.md5(content).hexdigest() == MNIST_MD5[file]


def test_old_files_of_torchvision_are_not_read(copy: Path) -> None:
    stray = copy / "MNIST" / "processed"
    stray.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28), torch.zeros(3)), stray / name)
    (copy / "MNIST" / "raw" / FILES[0]).unlink()
    module = MNISTDataModule(str(copy))
    module.prepare_data()
    module.setup("fit")
    assert md5s(copy) == MNIST_MD5
    assert len(module.train_rows) == 55_000


def test_good_files_are_only_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        # what a read-only file system would say; chmod does not stop root
        raise PermissionError

    for name in ("mkdir", "replace", "rename", "unlink"):
        monkeypatch.setattr(f"os.{name}", refuse)
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("*")}
    MNISTDataModule(str(copy)).prepare_data()
    assert {file: file.stat().st_mtime_ns for file in copy.rglob("*")} == before


@pytest.mark.parametrize("place", ["", "MNIST", "MNIST/raw"])
def test_a_data_dir_that_cannot_be_made(place: str, tmp_path: Path) -> None:
    (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "data" / place).write_text("")
    text = "^data_dir: cannot be written, (Not a directory|File exists): "
    with pytest.raises(SettingError, match=text):
        MNISTDataModule(str(tmp_path / "data")).prepare_data()


CONCURRENT = """
import multiprocessing, sys
from mlp_lightning import MNISTDataModule

def prepare(barrier):
    barrier.wait()
    MNISTDataModule(sys.argv[1]).prepare_data()

if __name__ == "__main__":
    barrier = multiprocessing.Barrier(8)
    start = {"target": prepare, "args": (barrier,)}
    processes = [multiprocessing.Process(**start) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(sum(process.exitcode != 0 for process in processes))
"""


@pytest.mark.subprocess
def test_eight_processes_at_once(tmp_path: Path) -> None:
    (tmp_path / "eight.py").write_text(CONCURRENT)
    command = [sys.executable, str(tmp_path / "eight.py"), str(tmp_path / "data")]
    assert subprocess.run(command, timeout=120).returncode == 0
    assert md5s(tmp_path / "data") == MNIST_MD5


KILLED = """
import os, signal, sys
from mlp_lightning import MNISTDataModule

calls, replace = [], os.replace

def kill(*args):
    calls.append(args)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    replace(*args)

os.replace = kill
MNISTDataModule(sys.argv[1]).prepare_data()
"""


@pytest.mark.kill
@pytest.mark.subprocess
@pytest.mark.parametrize("call", ["1", "3"])
def test_killed_while_unpacking(call: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), call]
    assert subprocess.run(command, timeout=120).returncode != 0
    raw = tmp_path / "MNIST" / "raw"
    assert sum(file.is_file() for file in raw.iterdir()) == int(call) - 1
    assert any(file.is_dir() for file in raw.iterdir())
    MNISTDataModule(str(tmp_path)).prepare_data()
    assert md5s(tmp_path) == MNIST_MD5  # what was left is gone


@pytest.fixture
def damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose copy of the test labels is damaged."""
    name = "t10k-labels-idx1-ubyte.gz"
    shutil.copytree(BUNDLED_DIR, tmp_path / "shipped")
    damage(tmp_path / "shipped" / name, "a bit flipped")
    monkeypatch.setattr(downloads, "BUNDLED_DIR", tmp_path / "shipped")
    return name


def test_the_mirrors_are_asked_if_the_package_is_damaged(
    damaged_package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    class Mirror(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Mirror, directory=BUNDLED_DIR)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(MNIST, "mirrors", [mirror])
        MNISTDataModule(str(tmp_path / "data")).prepare_data()
        server.shutdown()
    assert set(asked) == {f"/{damaged_package}"}
    archive = tmp_path / "shipped" / damaged_package
    said = f"{archive} is missing or damaged: asking {mirror}\n"
    assert said in capsys.readouterr().out
    assert md5s(tmp_path / "data") == MNIST_MD5


def test_a_file_that_is_nowhere_is_named(damaged_package: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=damaged_package):
        MNISTDataModule(str(tmp_path / "data")).prepare_data()
    assert not any((tmp_path / "data" / "MNIST" / "raw").iterdir())


def split(data_dir: Path, **settings: Any) -> tuple[Tensor, Tensor]:
    module = MNISTDataModule(str(data_dir), **settings)
    module.setup("fit")
    return module.train_rows, module.val_rows


def test_the_split_is_disjoint_and_stable(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val = split(data_dir)
    assert (len(train), len(val)) == (55_000, 5_000)
    assert torch.equal(torch.cat([train, val]).sort().values, torch.arange(60_000))
    # as on the first day, whatever the seed: val/acc is comparable from run to run
    digest = hashlib.md5(val.numpy().tobytes()).hexdigest()
    assert digest == "31cd27b19b168c4dc70524c224b1c5fb"
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    torch.manual_seed(7)
    assert torch.equal(split(data_dir)[1], val)


def test_val_size_moves_images_to_the_training_set(data_dir: Path) -> None:
    assert [len(rows) for rows in split(data_dir, val_size=1)] == [59_999, 1]
    assert [len(rows) for rows in split(data_dir, val_size=0)] == [60_000, 0]


def test_each_process_is_given_its_share(data_dir: Path) -> None:
    module = MNISTDataModule(str(data_dir))
    progress = SimpleNamespace(
        batch_progress=SimpleNamespace(current=SimpleNamespace(ready=5))
    )
    trainer: Any = SimpleNamespace(
        global_rank=1,
        world_size=2,
        overfit_batches=0,
        current_epoch=7,
        limit_val_batches=1.0,
        lightning_module=MLPClassifier(),
        fit_loop=SimpleNamespace(epoch_loop=progress),
    )
    module.trainer = trainer
    module.setup("fit")
    train, val = module.train_dataloader(), module.val_dataloader()
    assert (train.rank, train.world_size, train.position()) == (1, 2, (7, 5))
    assert (val.rank, val.world_size) == (1, 2)
    module.setup("test")
    test, predict = module.test_dataloader(), module.predict_dataloader()
    assert isinstance(predict, TensorBatches)
    assert (test.rank, test.world_size) == (1, 2)
    assert (predict.rank, predict.world_size) == (0, 1)  # all, as nobody gathers


def test_only_the_first_process_reads_pictures(tmp_path: Path) -> None:
    (tmp_path / "5.png").touch()
    for rank in (0, 1):
        module = MNISTDataModule(images=str(tmp_path))
        trainer: Any = SimpleNamespace(
            global_rank=rank, world_size=2, lightning_module=MLPClassifier()
        )
        module.trainer = trainer
        module.setup("predict")
        assert len(module.predict_dataloader()) == 1 - rank
        # Else Lightning refuses a process that has nothing to do.
        assert module.allow_zero_length_dataloader_with_multiple_devices


def test_a_home_folder_may_be_written_as_a_tilde(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    places = {"~/data": "/home/somebody/data", "~nobody here/data": "~nobody here/data"}
    for data_dir, place in places.items():
        source = MNISTDataModule(data_dir).source
        assert isinstance(source, DownloadedImages)
        assert source.raw_dir == Path(place, "MNIST", "raw")


@pytest.mark.parametrize(
    ("stage", "has_training_images"),
    [("fit", True), ("validate", True), ("test", False), ("predict", False)],
)
def test_only_test_and_predict_read_the_test_images(
    stage: str, has_training_images: bool, data_dir: Path
) -> None:
    module = MNISTDataModule(str(data_dir))
    module.setup(stage)
    assert ("training_set" in vars(module)) is has_training_images
    assert hasattr(module, "test_set") is not has_training_images


def test_a_second_stage_leaves_the_first_as_it_was(data_dir: Path) -> None:
    module = MNISTDataModule(str(data_dir))
    for stage in ("fit", "test", "predict"):
        module.setup(stage)
    images, labels = next(iter(module.train_dataloader()))
    rows = module.train_dataloader().order_rows(0)[:64]
    assert torch.equal(images, read_mnist(data_dir, "train")[0][rows])
    assert torch.equal(labels, read_mnist(data_dir, "train")[1][rows])
    images, _ = next(iter(module.test_dataloader()))
    assert torch.equal(images, read_mnist(data_dir, "t10k")[0][:1_000])


def fit(data_dir: Path, **settings: Any) -> BatchRecorder:
    recorder = BatchRecorder()
    trainer = lightning.Trainer(
        **QUIET_TRAINER,
        max_epochs=2,
        limit_val_batches=0,
        callbacks=[recorder],
        **settings,
    )
    model = MLPClassifier(hidden_sizes=[])
    trainer.fit(model, MNISTDataModule(str(data_dir), val_size=50_000))
    return recorder


def test_training_takes_a_new_order_each_epoch(data_dir: Path) -> None:
    recorder = fit(data_dir)
    first, second = (torch.cat(recorder.get_labels(epoch)) for epoch in (0, 1))
    labels = MNISTDataModule(str(data_dir), val_size=50_000)
    labels.setup("fit")
    every = labels.training_set.tensors[1][labels.train_rows]
    assert torch.equal(first.bincount(), every.bincount())
    assert torch.equal(second.bincount(), every.bincount())
    assert not torch.equal(first, second)


def test_overfit_batches_repeats_the_order_of_the_first_epoch(data_dir: Path) -> None:
    usual = fit(data_dir).get_labels(epoch=0)
    recorder = fit(data_dir, overfit_batches=3)
    for epoch in (0, 1):
        repeated = recorder.get_labels(epoch)
        assert len(repeated) == 3
        assert torch.equal(torch.cat(repeated), torch.cat(usual[:3]))


MakeLoader = Callable[[TensorDataset], Any]


def fit_own_loader(
    make: MakeLoader, data_dir: Path, **settings: Any
) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
    """Train two epochs with a loader of the user's own; return the batches."""

    class OwnLoaders(MNISTDataModule):
        def train_dataloader(self) -> Any:
            images, labels = self.training_set.tensors
            return make(TensorDataset(images[:90], labels[:90]))

        def val_dataloader(self) -> Any:
            return self.train_dataloader()

    recorder = BatchRecorder()
    trainer = lightning.Trainer(**QUIET_TRAINER, max_epochs=2, callbacks=[recorder])
    trainer.fit(MLPClassifier([]), OwnLoaders(str(data_dir), **settings))
    # What is validated is not distorted.
    first = torch.cat([images for images, _ in recorder.validated[:3]])
    assert torch.equal(first, normalise(read_mnist(data_dir, "train")[0][:90]))
    return recorder.trained


@pytest.mark.parametrize(
    "make",
    [
        partial(DataLoader, batch_size=30),
        partial(DataLoader, batch_size=30, num_workers=1, persistent_workers=True),
        lambda dataset: zip(*(part.split(30) for part in dataset.tensors), strict=True),
    ],
    ids=["of torch", "with a worker", "an iterator"],
)
@pytest.mark.filterwarnings("ignore:.*(does not have many|one or more) workers")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
def test_a_loader_of_the_users_own_trains_with_augmentation(
    make: MakeLoader, data_dir: Path
) -> None:
    plain = fit_own_loader(make, data_dir)
    rotation = Augmentation(rotation=15)
    distorted = fit_own_loader(make, data_dir, augmentation=rotation)
    expected = rotation(read_mnist(data_dir, "train")[0][30:60], (42, 0, 1), 30)
    assert torch.equal(distorted[0, 1][0], normalise(expected))
    for batch, (images, labels) in distorted.items():
        assert torch.equal(labels, plain[batch][1])
        assert not torch.equal(images, plain[batch][0])
    if (1, 0) in distorted:  # an iterator has one epoch
        assert not torch.equal(distorted[1, 0][0], distorted[0, 0][0])


@pytest.mark.parametrize(
    ("convert", "found"),
    [
        (lambda image: image / 255, "torch.float32, (30, 28, 28)"),
        (lambda image: image[:, :20], "torch.uint8, (30, 28, 20)"),
        (lambda image: {"image": image}, "dict"),
    ],
)
def test_another_batch_than_mnists_is_refused(
    convert: Callable[[Tensor], Any], found: str, data_dir: Path
) -> None:
    def make(dataset: TensorDataset) -> Any:
        images, labels = dataset.tensors
        pairs = zip(images, labels, strict=True)
        rows = [(convert(image), label) for image, label in pairs]
        rows_typed: Any = rows
        return DataLoader(rows_typed, batch_size=30)

    text = f"^dataloader: a batch must be .*, got {re.escape(found)}$"
    with pytest.raises(SettingError, match=text):
        fit_own_loader(make, data_dir)


def test_images_may_have_a_channel(data_dir: Path) -> None:
    def make(dataset: TensorDataset) -> Any:
        images, labels = dataset.tensors
        return DataLoader(TensorDataset(images[:, None], labels), batch_size=30)

    fit_own_loader(make, data_dir, augmentation=Augmentation(shift=1))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("batch_size", 0), ("batch_size", -1), ("val_size", -1), ("val_size", 60_000)],
)
def test_a_wrong_setting_is_named(setting: str, value: int, data_dir: Path) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(SettingError, match=rf"^{setting}: must be .*, got {value}$"):
        MNISTDataModule(str(data_dir), **settings).setup("fit")


def test_validation_needs_images(data_dir: Path) -> None:
    with pytest.raises(SettingError, match=r"^val_size: must be at least 1 to val"):
        MNISTDataModule(str(data_dir), val_size=0).setup("validate")
