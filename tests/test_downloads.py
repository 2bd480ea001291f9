"""The data sets that are downloaded: read as they are, or refused in one line."""

import gc
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from small_datasets import (
    DOWNLOADED,
    FAILURES,
    KINDS,
    Host,
    Parts,
    list_files,
    offer,
    run_host,
)
from torchvision.datasets import utils

from mlp_lightning import datasets, downloads
from mlp_lightning.downloads import DownloadedImages
from mlp_lightning.errors import SettingError

FEW = (8, 5)  # training and test images
# One by one, so that the file is never whole for the others either.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "a bit flipped": lambda content: flip_bit(content, len(content) // 2),
    "a wrong header": lambda content: flip_bit(content, 3),
    "longer": lambda content: content + b"\0",
}
KINDS_OF_DAMAGE = ["missing", *DAMAGES]


class Offer(NamedTuple):
    """A data set that a host on this machine offers."""

    host: Host
    name: str
    parts: Parts
    files: dict[str, bytes]  # as they are unpacked

    def open(self) -> DownloadedImages:
        """Return what reads it from the folder `data`."""
        source = datasets.open_dataset(self.name, "data")
        assert isinstance(source, DownloadedImages)
        return source

    def check(self) -> None:
        """Check that all is there, verified and read, and nothing else."""
        source = self.check_images()
        kept = {} if datasets.DATASETS[self.name].md5 else self.host.archives
        assert set(os.listdir(source.raw_dir)) == {*self.files, *kept}

    def check_images(self) -> DownloadedImages:
        source = self.open()
        source.prepare()
        for file, content in self.files.items():
            assert (source.raw_dir / file).read_bytes() == content
        for name, part in self.parts._asdict().items():
            images, labels = source.read(name)
            assert torch.equal(images, torch.tensor(part.images))
            assert torch.equal(labels, torch.tensor(part.labels))
        return source


def flip_bit(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if kind != "missing":
        path.write_bytes(DAMAGES[kind](content))


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    with run_host() as host:
        yield host


@pytest.fixture
def host(shared_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that has nothing yet, and a folder to work in."""
    monkeypatch.chdir(tmp_path)
    shared_host.archives = {}
    shared_host.asked = []
    shared_host.failure = ""
    return shared_host


@pytest.fixture
def offered(
    request: pytest.FixtureRequest, host: Host, monkeypatch: pytest.MonkeyPatch
) -> Offer:
    """A data set, KMNIST unless the test names others."""
    name = getattr(request, "param", "KMNIST")
    return Offer(host, name, *offer(monkeypatch, host, name, *FEW))


each_dataset = pytest.mark.parametrize("offered", DOWNLOADED, indirect=True)
each_kind = pytest.mark.parametrize("offered", KINDS, indirect=True)


@each_dataset
def test_it_is_downloaded_verified_and_read(
    offered: Offer, capfd: pytest.CaptureFixture[str]
) -> None:
    offered.check()
    assert set(offered.host.asked) == set(offered.host.archives)
    place = datasets.DATASETS[offered.name].find_host()
    assert place.startswith(offered.host.address.rstrip("/"))
    said = f"Downloading {offered.name} from {place}\n"
    assert capfd.readouterr().out == said
    source = offered.open()
    images, labels = source.read("train")
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert images.is_contiguous()
    assert set(labels.tolist()) <= set(range(len(source.classes)))


@each_dataset
def test_torchvision_reads_the_same_classes(offered: Offer) -> None:
    """The labels mean the classes that torchvision names."""
    download = datasets.DATASETS[offered.name]
    dataset = download.dataset_class("data", download=True, **download.calls[0])
    classes = [str(name) for name in dataset.classes]
    if offered.name == "EMNIST-letters":
        assert classes.pop(0) == "N/A"
    assert [name[0] for name in classes] == [name[0] for name in download.classes]
    asked = list(offered.host.asked)
    offered.check_images()  # QMNIST has had its training images alone.
    if offered.name != "QMNIST" and not download.md5:
        assert offered.host.asked == asked


@each_kind
def test_good_files_are_only_read(
    offered: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered.check()
    held = {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")}
    offered.host.failure = "404"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError  # as a read-only file system; chmod does not stop root

    with monkeypatch.context() as patch:
        for name in ("mkdir", "replace", "rename", "unlink"):
            patch.setattr(f"os.{name}", refuse)
        offered.check()
    assert {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")} == held


@pytest.mark.parametrize("kind", KINDS_OF_DAMAGE)
@each_kind
def test_damaged_files_are_made_anew(offered: Offer, kind: str) -> None:
    offered.check()
    raw_dir = offered.open().raw_dir
    names = os.listdir(raw_dir)
    for name in names:  # of files and of archives
        damage(raw_dir / name, kind)
        offered.check()
    for name in names:
        damage(raw_dir / name, kind)
    offered.check()


@each_kind
def test_a_damaged_file_needs_no_network_if_its_archive_is_good(offered: Offer) -> None:
    offered.check()
    raw_dir = offered.open().raw_dir
    for name, content in offered.host.archives.items():
        (raw_dir / name).write_bytes(content)  # which FashionMNIST does without
    for name in offered.files:
        damage(raw_dir / name, "a bit flipped")
    offered.host.asked.clear()
    source = offered.open()
    source.prepare()
    assert offered.host.asked == []
    assert not source.find_bad_files()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("failure", [*FAILURES, "is not there"])
@each_kind
def test_a_host_that_fails_is_named(
    offered: Offer, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = datasets.DATASETS[offered.name]
    if failure == "is not there":
        nobody = "http://127.0.0.1:9/"
        for name in ("mirrors", "url", "resources"):
            if hasattr(download.dataset_class, name):
                known = repr(getattr(download.dataset_class, name))
                moved = known.replace(offered.host.address, nobody)
                monkeypatch.setattr(download.dataset_class, name, eval(moved))
    place = download.find_host()
    offered.host.failure = failure
    source = offered.open()
    with pytest.raises(ConnectionError) as caught:
        source.prepare()
    message = str(caught.value)
    assert message.startswith(f"{offered.name} cannot be downloaded from {place}: ")
    assert message.endswith(": connect, or try again later")
    if failure == "404" and hasattr(download.dataset_class, "mirrors"):
        del caught
        gc.collect()  # torchvision keeps an answer, and its socket, in its error
    assert list_files(Path("data")) == [
        source.raw_dir.parent.name,
        f"{source.raw_dir.parent.name}/.lock",
        f"{source.raw_dir.parent.name}/raw",
    ]


def test_a_later_host_that_fails_leaves_what_is_there(offered: Offer) -> None:
    offered.check()
    raw_dir = offered.open().raw_dir
    gone = "t10k-labels-idx1-ubyte.gz"
    damage(raw_dir / gone, "missing")
    held = list_files(raw_dir)
    offered.host.failure = "breaks off"
    with pytest.raises(ConnectionError, match=gone):
        offered.open().prepare()
    assert list_files(raw_dir) == held
    offered.host.failure = ""
    offered.host.asked.clear()
    offered.check()
    assert set(offered.host.asked) == {gone}  # alone


@each_kind
def test_a_folder_in_the_place_of_a_file_is_named(offered: Offer) -> None:
    offered.check()
    raw_dir = offered.open().raw_dir
    held = set(os.listdir(raw_dir))
    for name in held:
        content = (raw_dir / name).read_bytes()
        (raw_dir / name).unlink()
        (raw_dir / name).mkdir()
        text = f"^data_dir: cannot be written, Is a directory: .*{name}$"
        with pytest.raises(SettingError, match=text):
            offered.open().prepare()
        assert set(os.listdir(raw_dir)) == held
        (raw_dir / name).rmdir()
        (raw_dir / name).write_bytes(content)


def test_a_full_disk_is_named(offered: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(utils, "_urlretrieve", fill)
    text = "^data.KMNIST.raw cannot be written, No space left on device: make room"
    with pytest.raises(OSError, match=text):
        offered.open().prepare()
    assert os.listdir("data/KMNIST/raw") == []


def test_a_full_disk_is_named_while_archives_are_copied(
    offered: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered.check()
    (offered.open().raw_dir / "train-labels-idx1-ubyte").unlink()

    def fill(source: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr("shutil.copy", fill)
    with pytest.raises(OSError, match=r"^data.KMNIST.raw cannot be written, No space"):
        offered.open().prepare()


def test_good_archives_of_another_data_set_are_not_taken(
    offered: Offer, data_dir: Path
) -> None:
    """MNIST's files have the names of KMNIST's."""
    raw_dir = offered.open().raw_dir
    shutil.copytree(data_dir / "MNIST" / "raw", raw_dir)
    for archive in downloads.BUNDLED_DIR.glob("*.gz"):
        shutil.copy(archive, raw_dir)
    assert len(offered.open().find_bad_files()) == 4
    offered.check()


@each_kind
@pytest.mark.subprocess
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its processes by fork")
def test_several_processes_at_once(offered: Offer) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=offered.check_images) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    offered.check()
    assert len(offered.host.asked) == 2 * len(offered.host.archives)  # one of the four


def prepare_until_killed(prepare: Callable[[], None], calls: int) -> None:
    """Die when so many files have been put in their places."""
    replace = os.replace
    done: list[object] = []

    def count(*arguments: Path) -> None:
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(arguments)
        replace(*arguments)

    os.replace = count  # type: ignore[assignment]
    prepare()


@each_kind
@pytest.mark.kill
@pytest.mark.subprocess
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its processes by fork")
def test_killed_while_unpacking(offered: Offer) -> None:
    context = multiprocessing.get_context("fork")
    for calls in (0, 1, 3):
        shutil.rmtree("data", ignore_errors=True)
        arguments = (offered.open().prepare, calls)
        process = context.Process(target=prepare_until_killed, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        raw_dir = offered.open().raw_dir
        files = [path for path in raw_dir.iterdir() if path.is_file()]
        assert len(files) == calls
        offered.check()
