"""MNIST: fetched, verified, split, fed to the trainer as uint8 and normalised on its device."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from glob import escape, glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity

from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import TensorBatches
from mlp_lightning.handwriting import Pictures
from mlp_lightning.mlp import normalise

SHIPPED = Path(__file__).parent / "mnist"
MD5 = {  # of the unpacked files; torchvision knows those of the .gz files only
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TRAINING_SIZE, TEST_SIZE = 60_000, 10_000
SPLIT_SEED = 0  # its own, so that another training seed moves no image between the sets
UNCHANGED = Augmentation()
EVAL_BATCH_SIZE = 1_000  # without gradients, larger batches are faster


class MNISTDataModule(LightningDataModule):
    """MNIST: 60,000 training images, some of them kept for validation, and 10,000 test images."""

    def __init__(
        self,
        data_dir: str = "data",
        batch_size: int = 64,
        val_size: int = 5_000,
        augmentation: Augmentation = UNCHANGED,
        images: Sequence[str] | str = (),
    ) -> None:
        """Check the settings; nothing is read yet.

        Args:
            data_dir: Folder that holds MNIST/raw/ with the four files, or will hold them.
            batch_size: Training images per step over all devices, a multiple of their number.
            val_size: Training images kept for validation; 0: train on all 60,000, without any.
            augmentation: How far training images are distorted, anew in each epoch.
            images: For predict: pictures of your own, as a file, a folder, a quoted glob such as
                'digits/*.png', or several as '[a.png, b.png]'; none: the test images.
        """
        super().__init__()
        data_dir = str(
            data_dir
        )  # a Path in a checkpoint could not be loaded with weights_only
        if batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {batch_size}")
        if not 0 <= val_size < TRAINING_SIZE:
            raise ValueError(
                f"val_size: must be from 0 to {TRAINING_SIZE - 1}, got {val_size}"
            )
        # a checkpoint holds plain data alone
        settings: Any = (
            augmentation if isinstance(augmentation, dict) else asdict(augmentation)
        )
        self.augmentation, augmentation = Augmentation(**settings), settings
        self.save_hyperparameters(ignore="images", logger=False)
        self.images = [images] if isinstance(images, str) else images
        self.raw_dir = Path(os.path.expanduser(data_dir), "MNIST", "raw")

    def prepare_data(self) -> None:
        """Make sure that the four files are there, undamaged; raises an error if they cannot be."""
        needed = () if self.images and self.trainer and self.trainer.predicting else MD5
        bad = [
            name
            for name in needed
            if not check_integrity(self.raw_dir / name, MD5[name])
        ]
        if not bad:
            return
        try:
            self.raw_dir.mkdir(parents=True, exist_ok=True)
            # torchvision trusts any file of the right name, so it unpacks into an empty folder,
            # from verified archives; moved in one step, no other process ever meets half a file.
            with TemporaryDirectory(dir=self.raw_dir) as scratch:
                os.makedirs(unpacked := Path(scratch, "MNIST", "raw"))
                for file, md5 in MNIST.resources:
                    if check_integrity(SHIPPED / file, md5):
                        shutil.copy(SHIPPED / file, unpacked)
                    else:
                        print(
                            f"{SHIPPED / file} is missing or damaged: asking {MNIST.mirrors[0]}"
                        )
                MNIST(scratch, download=True)
                for name in bad:
                    os.replace(unpacked / name, self.raw_dir / name)
        except RuntimeError as error:  # torchvision's: no mirror answers
            raise ConnectionError(
                f"{error}: connect, or install the package again"
            ) from error
        except OSError as error:
            if not error.filename:
                raise  # of the network
            text = f"{error.strerror}: {error.filename2 or error.filename}"
            raise MisconfigurationException(
                f"data_dir: cannot be written, {text}"
            ) from error

    def setup(self, stage: str) -> None:
        batch_size, val_size = self.hparams["batch_size"], self.hparams["val_size"]
        trainer: Any = self.trainer
        rank, world_size = (
            (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        )
        if stage == "fit" and batch_size % world_size:
            text = f"must be a multiple of the {world_size} processes, got {batch_size}"
            raise MisconfigurationException(f"batch_size: {text}")
        if stage == "validate" and not val_size:
            raise MisconfigurationException(
                "val_size: must be at least 1 to validate, got 0"
            )
        if stage == "fit" and not val_size and trainer:
            trainer.limit_val_batches = 0  # or Lightning warns of an empty loader
        if stage == "predict" and self.images:
            self.pictures = Pictures(
                [file for path in self.images for file in _files(path)]
            )
            return
        part = "train" if stage in ("fit", "validate") else "t10k"
        images = read_image_file(str(self.raw_dir / f"{part}-images-idx3-ubyte"))
        labels = read_label_file(str(self.raw_dir / f"{part}-labels-idx1-ubyte"))
        self.batches = partial(
            TensorBatches, images, labels, rank=rank, world_size=world_size
        )
        rows = torch.randperm(
            TRAINING_SIZE, generator=torch.Generator().manual_seed(SPLIT_SEED)
        )
        self.val_rows, self.train_rows = rows[:val_size], rows[val_size:]

    def train_dataloader(self) -> TensorBatches:
        seed = int(
            os.environ.get("PL_GLOBAL_SEED", "42")
        )  # what lightning.seed_everything set
        loader = self.batches(self.train_rows, self.hparams["batch_size"], seed=seed)
        trainer: Any = self.trainer
        if trainer:
            batches = (
                trainer.fit_loop.epoch_loop.batch_progress.current
            )  # not 0 in a resumed epoch
            vary = not trainer.overfit_batches
            loader.position = lambda: (trainer.current_epoch * vary, batches.ready)
        return loader

    def val_dataloader(self) -> TensorBatches:
        return self.batches(self.val_rows, EVAL_BATCH_SIZE)

    def test_dataloader(self, **share: Any) -> TensorBatches:
        return self.batches(torch.arange(TEST_SIZE), EVAL_BATCH_SIZE, **share)

    def predict_dataloader(self) -> Any:  # each process all: nobody gathers
        return (
            self.pictures if self.images else self.test_dataloader(rank=0, world_size=1)
        )

    def on_after_batch_transfer(
        self, batch: Any, dataloader_idx: int
    ) -> tuple[Tensor, Any]:
        images, *labels = batch
        trainer: Any = self.trainer
        if self.augmentation and trainer and trainer.training:
            loader = trainer.train_dataloader
            epoch, number = (
                loader.position()
            )  # of this batch: Lightning has not counted it yet
            count = min(
                loader.batch_size, len(loader.rows) - number * loader.batch_size
            )
            drawn_by = (loader.seed, epoch, number)
            images = self.augmentation(images, drawn_by, count, loader.share(count))
        return normalise(images), *labels


def _files(path: str) -> list[str]:
    place = os.path.expanduser(path)
    if os.path.isfile(place):
        return [place]
    pattern = os.path.join(escape(place), "*") if os.path.isdir(place) else place
    found = filter(os.path.isfile, sorted(glob(pattern, recursive=True)))
    answers = ("predictions.csv", "predictions.png")  # to an earlier predict
    if not (files := [file for file in found if os.path.basename(file) not in answers]):
        raise MisconfigurationException(
            f"images: no file, or folder with files, at {path}"
        )
    return files
