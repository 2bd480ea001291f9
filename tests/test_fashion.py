"""Fashion-MNIST itself, where Debian's package dataset-fashion-mnist has it."""

import gzip
import os
import struct
from pathlib import Path

import pytest
import torch
from small_datasets import run_host
from torchvision.datasets import FashionMNIST

from mlp_lightning import MNISTDataModule

DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")
# When Zalando packed the files: seconds since 1970.
PACKED_AT = {"train": 1504176606, "t10k": 1504176627}
HEADER_BYTES = 10  # of a gzip file whose header holds no name


def rebuild_archive(archive: str) -> bytes:
    """Return an archive as Zalando published it, which has torchvision's MD5.

    Debian's build has changed the header alone: it took out the name of the file inside
    and set the time anew.
    """
    content = (DEBIAN_DIR / archive).read_bytes()[HEADER_BYTES:]
    packed_at = PACKED_AT[archive.partition("-")[0]]
    # RFC 1952: magic, deflate, a name follows, time, no extra flags, made on Unix.
    header = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, 8, packed_at, 0, 3)
    name = archive.removesuffix(".gz").encode() + b"\0"
    return header + name + content


@pytest.mark.datasets
@pytest.mark.skipif(not DEBIAN_DIR.exists(), reason="dataset-fashion-mnist is missing")
def test_what_the_mirror_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_host() as host:
        monkeypatch.setattr(FashionMNIST, "mirrors", [host.address])
        names = [name for name, _ in FashionMNIST.resources]
        host.archives = {name: rebuild_archive(name) for name in names}
        module = MNISTDataModule(dataset="FashionMNIST")
        info = module.info
        assert info.classes[9] == "Ankle boot"
        assert (info.mean, info.std) == pytest.approx((0.2860405970, 0.3530242445))
        assert set(host.asked) == set(names)
        for part, file in (("train", "train"), ("test", "t10k")):
            images, labels = module.source.read(part)
            kinds = (("images-idx3", images, 16), ("labels-idx1", labels, 8))
            for kind, found, start in kinds:
                with gzip.open(DEBIAN_DIR / f"{file}-{kind}-ubyte.gz") as archive:
                    content = archive.read()[start:]
                assert found.to(torch.uint8).numpy().tobytes() == content
        assert labels.bincount().tolist() == [1000] * 10
        host.asked.clear()
        MNISTDataModule(dataset="FashionMNIST").prepare_data()
        assert host.asked == []
        assert sorted(os.listdir("data/FashionMNIST/raw")) == sorted(
            name.removesuffix(".gz") for name in names
        )
