"""Small archives in the true formats of the data sets, and a host that has them.

The images are MNIST's; the labels are of the classes of each data set.
"""

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import NamedTuple

import numpy
import pytest
from numpy.typing import NDArray
from torchvision.datasets import EMNIST, QMNIST

from mlp_lightning import datasets
from mlp_lightning.downloads import BUNDLED_DIR, Download

DOWNLOADED = [name for name in datasets.DATASETS if name != "MNIST"]
# One for each way in which archives are made.
KINDS = ["FashionMNIST", "KMNIST", "QMNIST", "EMNIST-letters"]

# The third byte of an IDX file, by the type of what it holds.
TYPE_CODES = {"uint8": 8, "int32": 12}
IMAGE_BYTES = 28 * 28
IMAGE_HEADER_BYTES = 16
QMNIST_COLUMNS = 8

Archives = dict[str, bytes]  # by their names


class Part(NamedTuple):
    """The training images, or the test images, of a data set."""

    images: NDArray[numpy.uint8]  # (n, 28, 28), upright
    labels: NDArray[numpy.int64]  # (n,), from 0


class Parts(NamedTuple):
    """What is in the archives of a data set."""

    train: Part
    test: Part


def choose_parts(name: str, train_size: int = 300, test_size: int = 60) -> Parts:
    """Return MNIST's first test images, labelled with the classes of a data set."""
    size = train_size + test_size
    with gzip.open(BUNDLED_DIR / "t10k-images-idx3-ubyte.gz") as file:
        content = file.read(IMAGE_HEADER_BYTES + size * IMAGE_BYTES)
    pixels = numpy.frombuffer(content, numpy.uint8, offset=IMAGE_HEADER_BYTES)
    images = pixels.reshape(size, 28, 28)
    labels = numpy.arange(size) * 7 % len(datasets.DATASETS[name].classes)
    return Parts(
        Part(images[:train_size], labels[:train_size]),
        Part(images[train_size:], labels[train_size:]),
    )


def encode_idx(array: NDArray[numpy.generic]) -> bytes:
    """Return an array in the format IDX: the highest byte of each number first."""
    header = struct.pack(">HBB", 0, TYPE_CODES[array.dtype.name], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    numbers = array.astype(array.dtype.newbyteorder(">"))
    return header + sizes + numbers.tobytes()


def encode_files(name: str, parts: Parts) -> dict[str, bytes]:
    """Return the four files as they are unpacked, by their names."""
    download = datasets.DATASETS[name]
    files = {}
    for pair, part in zip((download.train, download.test), parts, strict=True):
        images = part.images
        labels = part.labels
        if download.dataset_class is EMNIST:
            images = images.transpose(0, 2, 1)
        if name == "EMNIST-letters":
            labels = labels + 1
        if download.dataset_class is QMNIST:
            # Beside the class, who wrote the digit and where: other numbers.
            columns = numpy.arange(QMNIST_COLUMNS, dtype=numpy.int32) * 70_000
            table = labels[:, None].astype(numpy.int32) + columns
            files[pair.labels] = encode_idx(table)
        else:
            files[pair.labels] = encode_idx(labels.astype(numpy.uint8))
        files[pair.images] = encode_idx(images)
    return files


def pack_archives(name: str, files: dict[str, bytes]) -> Archives:
    """Return the archives that a host has of these files."""
    packed = {
        f"{file}.gz": gzip.compress(content, mtime=0) for file, content in files.items()
    }
    if datasets.DATASETS[name].dataset_class is not EMNIST:
        return packed
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in packed.items():
            archive.writestr(f"gzip/{file}", content)
        other = gzip.compress(b"of another split", mtime=0)
        archive.writestr("gzip/emnist-mnist-test-labels-idx1-ubyte.gz", other)
    return {os.path.basename(EMNIST.url): buffer.getvalue()}


def compute_md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def expect_archives(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: dict[str, bytes],
    archives: Archives,
    address: str,
) -> None:
    """Have torchvision, and this package, know the small files in place of theirs."""
    download = datasets.DATASETS[name]
    source = download.dataset_class
    sums = {file: compute_md5(content) for file, content in archives.items()}
    if source is EMNIST:
        ((archive, md5),) = sums.items()
        monkeypatch.setattr(source, "url", address + archive)
        monkeypatch.setattr(source, "md5", md5)
    elif source is QMNIST:
        resources: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
        for call, pair in zip(resources, (download.train, download.test), strict=True):
            names = [f"{file}.gz" for file in pair]
            resources[call] = [(address + file, sums[file]) for file in names]
        monkeypatch.setattr(source, "resources", resources)
    else:
        monkeypatch.setattr(source, "resources", list(sums.items()))
        monkeypatch.setattr(source, "mirrors", [address])
    if download.md5:
        md5s = {file: compute_md5(content) for file, content in files.items()}
        known: Download = dataclasses.replace(download, md5=md5s)
        monkeypatch.setitem(datasets.DATASETS, name, known)


class Host(ThreadingHTTPServer):
    """A server on this machine that has archives, and may fail to give them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.archives: Archives = {}
        self.asked: list[str] = []
        self.failure = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    """What the host says to one request."""

    server: Host

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.server.asked.append(name)
        content = self.server.archives.get(name)
        if content is None or self.server.failure == "404":
            self.send_error(404)
            return
        if self.server.failure == "says nothing":
            return
        if self.server.failure == "another file":
            content = b"<html>Log in to the network of the hotel</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.failure == "breaks off":
            content = content[: len(content) // 2]
        if self.server.failure == "resets":
            # Closes the connection with RST in place of FIN.
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            return
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


FAILURES = ["404", "says nothing", "another file", "breaks off", "resets"]


@contextmanager
def run_host() -> Iterator[Host]:
    """Run a host, until the block ends."""
    with Host() as host:
        thread = threading.Thread(target=host.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield host
        host.shutdown()


def offer(
    monkeypatch: pytest.MonkeyPatch, host: Host, name: str, *sizes: int
) -> tuple[Parts, dict[str, bytes]]:
    """Have a host offer a small data set; return its images and its unpacked files."""
    parts = choose_parts(name, *sizes)
    files = encode_files(name, parts)
    archives = pack_archives(name, files)
    host.archives.update(archives)
    expect_archives(monkeypatch, name, files, archives, host.address)
    return parts, files


def list_files(folder: Path) -> list[str]:
    """Return all that a folder holds."""
    paths = sorted(folder.rglob("*"))
    return [path.relative_to(folder).as_posix() for path in paths]
