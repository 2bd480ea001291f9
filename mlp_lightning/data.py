"""The images: prepared, split, fed as uint8, normalised on the trainer's device."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import TensorDataset

from mlp_lightning.augment import Augmentation
from mlp_lightning.batches import (
    BatchOrigin,
    RawBatch,
    TensorBatches,
    check_images,
    get_seed,
)
from mlp_lightning.datasets import (
    DATASETS,
    check_same_images,
    measure_images,
    open_dataset,
)
from mlp_lightning.errors import SettingError, print_rank_zero
from mlp_lightning.folders import read_picture
from mlp_lightning.handwriting import PictureLoader, read_digit
from mlp_lightning.info import MNIST_INFO, DatasetInfo
from mlp_lightning.mlp import normalise
from mlp_lightning.pictures import find_pictures

SPLIT_SEED = 0  # its own, so that another training seed moves no image between the sets
EVAL_BATCH_SIZE = 1_000  # without gradients, larger batches are faster
NO_AUGMENTATION = Augmentation()
PICTURES_AS_THEY_ARE = (
    "Pictures are made grey and 28 x 28, with black beside what is not square, and "
    "else taken as they are: they should look like the images of "
)


class MNISTDataModule(LightningDataModule):
    """MNIST: 60,000 images to train and to validate on, and 10,000 test images.

    Other data sets of such images take its place by their names.
    """

    # Images, uint8, (n, 28, 28), and labels, int64, (n,).
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
        dataset: str | DatasetInfo = "MNIST",
    ) -> None:
        """Check the settings; nothing is read yet.

        Args:
            data_dir: Folder of downloads: it holds MNIST/raw/ with the four files, or
                will hold them.
            batch_size: Training images per step over all devices, a multiple of their
                number.
            val_size: Training images kept for validation; 0: train on all, without
                any.
            augmentation: How far training images are distorted, anew in each epoch.
            images: For predict: pictures of your own, as a file, a folder, a quoted
                glob such as 'digits/*.png', or several as '[a.png, b.png]'; none: the
                test images.
            dataset: MNIST, which comes with the package; FashionMNIST, KMNIST, QMNIST,
                EMNIST-digits, EMNIST-letters or EMNIST-balanced, which are downloaded;
                or a folder with pictures as train/CLASS/PICTURE and test/CLASS/PICTURE.
                From Python also a network's `info`.

        Raises:
            SettingError: If a setting is out of its range.
        """
        super().__init__()
        if batch_size < 1:
            raise SettingError(f"batch_size: must be at least 1, got {batch_size}")
        if val_size < 0:
            raise SettingError(f"val_size: must be at least 0, got {val_size}")
        if isinstance(augmentation, dict):  # from a checkpoint
            augmentation = Augmentation(**augmentation)
        self.augmentation = augmentation
        self.images = [images] if isinstance(images, str) else images
        if dataset == MNIST_INFO.name:
            dataset = MNIST_INFO
        self.known_info: DatasetInfo | None = None
        if isinstance(dataset, DatasetInfo):
            self.known_info = dataset
            self.source = open_dataset(dataset.name, data_dir, dataset.classes)
            dataset = dataset.name
        else:
            self.source = open_dataset(dataset, data_dir)
        settings = {  # as plain data: a checkpoint holds nothing else
            "data_dir": str(data_dir),
            "batch_size": batch_size,
            "val_size": val_size,
            "augmentation": asdict(augmentation),
            "dataset": dataset,
        }
        self.save_hyperparameters(settings, logger=False)

    @cached_property
    def info(self) -> DatasetInfo:
        """Return what a network has to know of the images.

        Unless the data set is MNIST, or comes from a checkpoint, this fetches and reads
        the training images.

        Raises:
            SettingError: If they cannot be read.
            OSError: If they cannot be downloaded.
        """
        if self.known_info is not None:
            return self.known_info
        self.source.prepare()
        images, _ = self.training_set.tensors
        mean, std = measure_images(images)
        return DatasetInfo(self.hparams["dataset"], self.source.classes, mean, std)

    @cached_property
    def training_set(self) -> TensorDataset:
        """Return the training images and their labels, which are read once."""
        return TensorDataset(*self.source.read("train"))

    def prepare_data(self) -> None:
        """Make sure that the files of the data set are there, undamaged.

        Raises:
            SettingError: If `data_dir` cannot be written.
            OSError: If a file is missing or damaged, and no mirror can be asked.
        """
        if self.images and self.trainer is not None and self.trainer.predicting:
            return  # pictures of the user's own
        self.source.prepare()

    def setup(self, stage: str) -> None:
        """Read the images of the stage: fit, validate, test or predict.

        Raises:
            SettingError: If they cannot be read, or do not suit the settings or the
                network.
        """
        self.check_model()
        if stage == "predict" and self.images:
            self.pictures = self.open_pictures()
            return
        self.check_stage(stage)
        if stage not in ("fit", "validate"):
            self.test_set = TensorDataset(*self.source.read("test"))
            return
        val_size = self.hparams["val_size"]
        size = len(self.training_set)
        if val_size >= size:
            text = f"must be below {size}, the number of training images"
            raise SettingError(f"val_size: {text}, got {val_size}")
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        rows = torch.randperm(size, generator=generator)
        self.val_rows = rows[:val_size]
        self.train_rows = rows[val_size:]

    def open_pictures(self) -> PictureLoader:
        """Return a loader of the user's own pictures."""
        files = [file for path in self.images for file in find_pictures(path)]
        if self.info.shows_handwriting:
            return PictureLoader(files, read_digit)
        name = self.info.title
        look = f"{name}, bright on black" if name in DATASETS else name
        print_rank_zero(PICTURES_AS_THEY_ARE + look)
        return PictureLoader(files, read_picture)

    def check_model(self) -> None:
        """Raise SettingError if the network is for other images than these."""
        if self.trainer is None:
            return
        info = getattr(self.trainer.lightning_module, "info", None)
        if isinstance(info, DatasetInfo):
            check_same_images(info, self.info)

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
            return replace(self.pictures, files=[]) if rank else self.pictures
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
        return normalise(images, self.info.mean, self.info.std), *rest

    def count_batch(self, batch_size: int) -> BatchOrigin:
        """Return the origin of a batch whose loader, a subclass's own, tells none."""
        rank, world_size = self.process
        epoch, batch = self.training_position()
        # The loaders of several processes may know nothing of one another.
        number = batch * world_size + rank
        return BatchOrigin((get_seed(), epoch, number), batch_size, slice(None))
