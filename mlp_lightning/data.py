"""MNIST: fetched, verified, split, fed as uint8, normalised on the trainer's device."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from glob import escape, glob
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import TensorDataset
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity

from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import (
    BatchOrigin,
    RawBatch,
    TensorBatches,
    check_images,
    get_seed,
)
from mlp_lightning.errors import SettingError
from mlp_lightning.handwriting import PictureLoader
from mlp_lightning.locks import make_scratch
from mlp_lightning.mlp import normalise

BUNDLED_DIR = Path(__file__).parent / "mnist"
# Of the unpacked files; torchvision knows those of the .gz files alone.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TRAINING_SIZE = 60_000
SPLIT_SEED = 0  # its own, so that another training seed moves no image between the sets
EVAL_BATCH_SIZE = 1_000  # without gradients, larger batches are faster
NO_AUGMENTATION = Augmentation()
PREDICTION_FILES = ("predictions.csv", "predictions.png")  # of an earlier `predict`


class MNISTDataModule(LightningDataModule):
    """MNIST: 60,000 images to train and to validate on, and 10,000 test images."""

    # Images, uint8, (n, 28, 28), and labels, int64, (n,).
    training_set: TensorDataset
    test_set: TensorDataset
    train_rows: Tensor  # int64, those of the training images to train on
    val_rows: Tensor  # int64, those kept for validation

    def __init__(
        self,
        data_dir: str = "data",
        batch_size: int = 64,
        val_size: int = 5_000,
        augmentation: Augmentation = NO_AUGMENTATION,
        images: Sequence[str] | str = (),
    ) -> None:
        """Check the settings; nothing is read yet.

        Args:
            data_dir: Folder that holds MNIST/raw/ with the four files, or will hold
                them.
            batch_size: Training images per step over all devices, a multiple of their
                number.
            val_size: Training images kept for validation; 0: train on all 60,000,
                without any.
            augmentation: How far training images are distorted, anew in each epoch.
            images: For predict: pictures of your own, as a file, a folder, a quoted
                glob such as 'digits/*.png', or several as '[a.png, b.png]'; none: the
                test images.

        Raises:
            SettingError: If a setting is out of its range.
        """
        super().__init__()
        if batch_size < 1:
            raise SettingError(f"batch_size: must be at least 1, got {batch_size}")
        if not 0 <= val_size < TRAINING_SIZE:
            raise SettingError(
                f"val_size: must be from 0 to {TRAINING_SIZE - 1}, got {val_size}"
            )
        if isinstance(augmentation, dict):  # from a checkpoint
            augmentation = Augmentation(**augmentation)
        self.augmentation = augmentation
        self.images = [images] if isinstance(images, str) else images
        self.raw_dir = Path(os.path.expanduser(data_dir), "MNIST", "raw")
        settings = {  # as plain data: a checkpoint holds nothing else
            "data_dir": str(data_dir),
            "batch_size": batch_size,
            "val_size": val_size,
            "augmentation": asdict(augmentation),
        }
        self.save_hyperparameters(settings, logger=False)

    def prepare_data(self) -> None:
        """Make sure that the four files are there, undamaged.

        Raises:
            SettingError: If `data_dir` cannot be written.
            OSError: If a bundled file is damaged, and no mirror can be asked.
        """
        if self.images and self.trainer is not None and self.trainer.predicting:
            return  # pictures of the user's own
        if not self.find_bad_files():
            return
        try:
            self.raw_dir.mkdir(parents=True, exist_ok=True)
            self.unpack()
        except OSError as error:
            if not error.filename:
                raise  # of the network
            path = error.filename2 or error.filename
            text = f"cannot be written, {error.strerror}: {path}"
            raise SettingError(f"data_dir: {text}") from error

    def find_bad_files(self) -> list[str]:
        """Return which of the four files are missing or damaged."""
        return [
            name
            for name, md5 in MD5.items()
            if not check_integrity(self.raw_dir / name, md5)
        ]

    def unpack(self) -> None:
        """Put bad files into `raw_dir` anew, from the package, else the network."""
        # torchvision trusts any file of the right name, so it unpacks into an empty
        # folder, from verified archives. Moved in one step, a file is never seen half.
        with make_scratch(self.raw_dir) as scratch:
            names = self.find_bad_files()
            if not names:
                return  # another process has unpacked them meanwhile
            unpacked = Path(scratch, "MNIST", "raw")
            unpacked.mkdir(parents=True)
            for archive, md5 in MNIST.resources:
                bundled = BUNDLED_DIR / archive
                if check_integrity(bundled, md5):
                    shutil.copy(bundled, unpacked)
                else:
                    mirror = MNIST.mirrors[0]
                    print(f"{bundled} is missing or damaged: asking {mirror}")
            try:
                MNIST(scratch, download=True)
            except RuntimeError as error:  # no mirror answers
                advice = "connect, or install the package again"
                raise ConnectionError(f"{error}: {advice}") from error
            for name in names:
                os.replace(unpacked / name, self.raw_dir / name)

    def setup(self, stage: str) -> None:
        """Read the images of the stage: fit, validate, test or predict."""
        if stage == "predict" and self.images:
            files = [file for path in self.images for file in find_pictures(path)]
            self.pictures = PictureLoader(files)
            return
        self.check_stage(stage)
        if stage not in ("fit", "validate"):
            self.test_set = self.read_images("t10k")
            return
        self.training_set = self.read_images("train")
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        rows = torch.randperm(TRAINING_SIZE, generator=generator)
        self.val_rows = rows[: self.hparams["val_size"]]
        self.train_rows = rows[self.hparams["val_size"] :]

    def read_images(self, part: str) -> TensorDataset:
        """Return the images and labels of a part: train or t10k."""
        images = read_image_file(str(self.raw_dir / f"{part}-images-idx3-ubyte"))
        labels = read_label_file(str(self.raw_dir / f"{part}-labels-idx1-ubyte"))
        return TensorDataset(images, labels)

    def check_stage(self, stage: str) -> None:
        """Raise SettingError if the settings do not fit the stage, or the trainer."""
        batch_size = self.hparams["batch_size"]
        val_size = self.hparams["val_size"]
        _, world_size = self.process
        if stage == "fit" and batch_size % world_size:
            raise SettingError(
                f"batch_size: must be a multiple of the {world_size} processes, "
                f"got {batch_size}"
            )
        if stage == "validate" and val_size == 0:
            raise SettingError("val_size: must be at least 1 to validate, got 0")
        if stage == "fit" and val_size == 0 and self.trainer is not None:
            self.trainer.limit_val_batches = 0  # or Lightning warns of an empty loader

    @property
    def process(self) -> tuple[int, int]:
        """Return the number of this process, and how many there are."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def train_dataloader(self) -> TensorBatches:
        """Return batches in an order of their own for each epoch."""
        rank, world_size = self.process
        return TensorBatches(
            self.training_set,
            self.train_rows,
            self.hparams["batch_size"],
            rank,
            world_size,
            seed=get_seed(),
            with_origin=bool(self.augmentation),
            position=self.training_position,
        )

    def training_position(self) -> tuple[int, int]:
        """Return the epoch that begins, and its first batch: not 0 if it is resumed."""
        trainer = self.trainer
        if trainer is None:
            return 0, 0
        progress = trainer.fit_loop.epoch_loop.batch_progress
        # To overfit some batches, they have to stay the same ones. (Lightning sets the
        # attribute where mypy does not look.)
        overfits: float = trainer.overfit_batches  # type: ignore[attr-defined]
        epoch = 0 if overfits else trainer.current_epoch
        return epoch, progress.current.ready

    def val_dataloader(self) -> TensorBatches:
        """Return the images kept for validation, as they stand."""
        return TensorBatches(
            self.training_set, self.val_rows, EVAL_BATCH_SIZE, *self.process
        )

    def test_dataloader(self) -> TensorBatches:
        """Return the test images, as they stand."""
        rows = torch.arange(len(self.test_set))
        return TensorBatches(self.test_set, rows, EVAL_BATCH_SIZE, *self.process)

    def predict_dataloader(self) -> TensorBatches | PictureLoader:
        """Return test images, all to each process, or pictures, all to the first."""
        if self.images:
            rank, _ = self.process
            # Only the first process writes answers, and pictures take long to read.
            self.allow_zero_length_dataloader_with_multiple_devices = True
            return PictureLoader([]) if rank else self.pictures
        rows = torch.arange(len(self.test_set))
        return TensorBatches(self.test_set, rows, EVAL_BATCH_SIZE)

    def transfer_batch_to_device(
        self, batch: RawBatch, device: torch.device, dataloader_idx: int
    ) -> RawBatch:
        """Move the tensors of a batch, without Lightning's search for more of them."""
        return tuple(
            part.to(device) if isinstance(part, Tensor) else part for part in batch
        )

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int) -> RawBatch:
        """Distort training images if that is asked for, and normalise all images.

        Returns:
            Images, float32, (batch, 1, 28, 28), and labels, int64, (batch,); for
            pictures of the user's own, file names and errors in the labels' place.

        Raises:
            SettingError: If a loader of a subclass yields anything else than images as
                MNIST has them.
        """
        images, *rest = batch
        images = check_images(images)
        if rest and isinstance(rest[-1], BatchOrigin):
            origin = rest.pop()
            images = self.augmentation(images, *origin)
        elif self.augmentation and self.trainer is not None and self.trainer.training:
            origin = self.count_batch(len(images))
            images = self.augmentation(images, *origin)
        return normalise(images), *rest

    def count_batch(self, batch_size: int) -> BatchOrigin:
        """Return the origin of a batch whose loader, a subclass's own, tells none."""
        rank, world_size = self.process
        epoch, batch = self.training_position()
        # The loaders of several processes may know nothing of one another.
        number = batch * world_size + rank
        return BatchOrigin((get_seed(), epoch, number), batch_size, slice(None))


def find_pictures(path: str) -> list[str]:
    """Return the files that a path means: a file, a folder, or a glob.

    Raises:
        SettingError: If there are none.
    """
    place = os.path.expanduser(path)
    if os.path.isfile(place):
        return [place]
    pattern = os.path.join(escape(place), "*") if os.path.isdir(place) else place
    files = [
        file
        for file in sorted(glob(pattern, recursive=True))
        if os.path.isfile(file) and os.path.basename(file) not in PREDICTION_FILES
    ]
    if not files:
        raise SettingError(f"images: no file, or folder with files, at {path}")
    return files
