"""The data sets that torchvision downloads: fetched, verified, read."""

import errno
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from typing import IO, Any, NamedTuple
from urllib.error import URLError
from zipfile import ZipFile

from torch import Tensor
from torchvision.datasets import EMNIST, MNIST, QMNIST
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor
from torchvision.datasets.utils import check_integrity

from mlp_lightning.errors import SettingError
from mlp_lightning.locks import make_scratch

BUNDLED_DIR = Path(__file__).parent / "mnist"
EMNIST_FOLDER = "gzip"  # of the archives within EMNIST's archive
# A gzip archive ends in the CRC-32 of what it holds, and its size in bytes, each as
# four bytes, the lowest first (RFC 1952, section 2.3.1).
TRAILER_SIZE = 8
# What torchvision raises if a host does not answer, or with something else.
NO_DOWNLOAD = (
    ConnectionError,
    HTTPException,
    RuntimeError,
    SSLError,
    TimeoutError,
    URLError,
)

Images = Tensor  # uint8, (n, 28, 28)
Labels = Tensor  # int64, (n,)
Arrange = Callable[[Images, Tensor], tuple[Images, Labels]]


class FilePair(NamedTuple):
    """The names of two unpacked files in the format IDX."""

    images: str
    labels: str


def keep_order(images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Return images and labels as they are in MNIST's files."""
    return images, labels


def transpose_images(images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Return images upright: in EMNIST's files, rows and columns are exchanged."""
    return images.transpose(1, 2).contiguous(), labels


def shift_letters(images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Return EMNIST's letters upright, and labelled from 0: the files begin with 1."""
    upright, _ = transpose_images(images, labels)
    return upright, labels - 1


def take_first_column(images: Images, labels: Tensor) -> tuple[Images, Labels]:
    """Return QMNIST's classes; seven more columns tell who wrote each digit."""
    return images, labels[:, 0].contiguous()


@dataclass(frozen=True)
class Download:
    """A data set that torchvision downloads.

    Attributes:
        dataset_class: Of torchvision.datasets.
        classes: What the images show.
        train: The files of the training images.
        test: The files of the test images.
        md5: Of the unpacked files. Where it is not known, the archives are kept, which
            hold a CRC-32 of each.
        calls: The arguments of `dataset_class` for each download.
        arrange: Makes images and labels of what the files hold.
    """

    dataset_class: type[MNIST]
    classes: tuple[str, ...]
    train: FilePair
    test: FilePair
    md5: Mapping[str, str] = field(default_factory=dict)
    calls: Sequence[Mapping[str, Any]] = ({},)
    arrange: Arrange = keep_order

    def list_archives(self) -> dict[str, str]:
        """Return the names of the archives, each with its MD5 by torchvision."""
        dataset_class = self.dataset_class
        if dataset_class is EMNIST:
            resources = [(dataset_class.url, dataset_class.md5)]
        elif dataset_class is QMNIST:
            resources = (
                dataset_class.resources["train"] + dataset_class.resources["test"]
            )
        else:
            resources = dataset_class.resources
        return {os.path.basename(url): md5 for url, md5 in resources}

    def find_host(self) -> str:
        """Return where torchvision asks first."""
        dataset_class = self.dataset_class
        if dataset_class is EMNIST:
            return str(dataset_class.url)
        if dataset_class is QMNIST:
            (url, _), _ = dataset_class.resources["train"]
            return str(os.path.dirname(url))
        return str(dataset_class.mirrors[0])


class DownloadedImages:
    """The images of a data set that torchvision downloads."""

    def __init__(self, name: str, download: Download, data_dir: str) -> None:
        """Say which data set this is; nothing is read yet.

        Args:
            name: Of the data set.
            download: What there is to know of it.
            data_dir: The folder that torchvision calls `root`.
        """
        self.name = name
        self.download = download
        self.classes = download.classes
        folder = download.dataset_class.__name__
        self.raw_dir = Path(os.path.expanduser(data_dir), folder, "raw")
        self.is_verified = False

    def prepare(self) -> None:
        """Make sure that the files are there, undamaged; once is enough.

        Raises:
            SettingError: If `data_dir` cannot be written.
            OSError: If the disk is full, or a file is missing or damaged, and no mirror
                can be asked.
        """
        if self.is_verified or not self.find_bad_files():
            self.is_verified = True
            return
        try:
            self.raw_dir.mkdir(parents=True, exist_ok=True)
            self.unpack()
        except ConnectionError:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:  # a failure, and no wrong setting
                text = f"{self.raw_dir} cannot be written, {error.strerror}"
                raise OSError(f"{text}: make room, or name another data_dir") from error
            if not error.filename:
                raise
            path = error.filename2 or error.filename
            text = f"cannot be written, {error.strerror}: {path}"
            raise SettingError(f"data_dir: {text}") from error

    def read(self, part: str) -> tuple[Images, Labels]:
        """Return the images and labels of a part: train or test."""
        files = self.download.train if part == "train" else self.download.test
        images = read_sn3_pascalvincent_tensor(str(self.raw_dir / files.images))
        labels = read_sn3_pascalvincent_tensor(str(self.raw_dir / files.labels))
        return self.download.arrange(images, labels.long())

    def find_bad_files(self) -> list[str]:
        """Return which of the four files are missing or damaged."""
        names = [*self.download.train, *self.download.test]
        if not self.download.md5 and not self.has_archives():
            return names
        return [name for name in names if not self.is_good(name)]

    def has_archives(self) -> bool:
        """Tell whether all archives are here, and are those that torchvision knows."""
        archives = self.download.list_archives()
        return all(
            check_integrity(self.raw_dir / name, md5) for name, md5 in archives.items()
        )

    def is_good(self, name: str) -> bool:
        """Tell whether an unpacked file is what its archive holds."""
        path = self.raw_dir / name
        md5 = self.download.md5.get(name)
        if md5 is not None:
            return bool(check_integrity(path, md5))
        return compute_trailer(path) == self.read_trailer(name)

    def read_trailer(self, name: str) -> bytes:
        """Return the end of the gzip archive that holds a file."""
        if self.download.dataset_class is EMNIST:
            archive = self.raw_dir / os.path.basename(EMNIST.url)
            member = f"{EMNIST_FOLDER}/{name}.gz"
            with ZipFile(archive) as outer, outer.open(member) as inner:
                return read_end(inner)
        with open(self.raw_dir / f"{name}.gz", "rb") as file:
            return read_end(file)

    def unpack(self) -> None:
        """Put bad files into `raw_dir` anew, from archives here, else the network."""
        # torchvision trusts any file of the right name, so it unpacks into an empty
        # folder, from verified archives. Moved in one step, a file is never seen half.
        with make_scratch(self.raw_dir) as scratch:
            names = self.find_bad_files()
            if not names:
                return  # another process has unpacked them meanwhile
            unpacked = Path(scratch, self.raw_dir.parent.name, "raw")
            unpacked.mkdir(parents=True)
            archives = self.download.list_archives()
            self.copy_archives(archives, unpacked)
            for arguments in self.download.calls:
                self.call_torchvision(scratch, arguments)
            if not self.download.md5:
                names = [*archives, *names]
            for name in names:
                os.replace(unpacked / name, self.raw_dir / name)

    def copy_archives(self, archives: Mapping[str, str], folder: Path) -> None:
        """Copy the archives that are here, and say from where the others will come.

        Args:
            archives: Their names, each with its MD5.
            folder: Where torchvision looks for them before it downloads any.
        """
        is_bundled = self.download.dataset_class is MNIST
        place = BUNDLED_DIR if is_bundled else self.raw_dir
        host = self.download.find_host()
        lacks_some = False
        for name, md5 in archives.items():
            path = place / name
            if check_integrity(path, md5):
                shutil.copy(path, folder)
                continue
            lacks_some = True
            if is_bundled:
                print(f"{path} is missing or damaged: asking {host}")
        if lacks_some and not is_bundled:
            print(f"Downloading {self.name} from {host}")

    def call_torchvision(self, scratch: str, arguments: Mapping[str, Any]) -> None:
        """Have torchvision download what is missing, and unpack it.

        Raises:
            ConnectionError: If no mirror answers, or not with the archive.
        """
        try:
            self.download.dataset_class(scratch, download=True, **arguments)
        except NO_DOWNLOAD as error:
            advice = "connect, or try again later"
            if self.download.dataset_class is MNIST:
                advice = "connect, or install the package again"
            text = f"{self.name} cannot be downloaded from {self.download.find_host()}"
            raise ConnectionError(f"{text}: {error}: {advice}") from error


def read_end(file: IO[bytes]) -> bytes:
    """Return the last TRAILER_SIZE bytes of a file that may not be sought in."""
    end = b""
    while chunk := file.read(2**20):
        end = (end + chunk)[-TRAILER_SIZE:]
    return end


def compute_trailer(path: Path) -> bytes | None:
    """Return how a gzip archive of this file would end, None if there is no file."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    numbers = (zlib.crc32(content), len(content))
    return b"".join(number.to_bytes(4, "little") for number in numbers)
