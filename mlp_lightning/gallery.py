"""Where pictures are shown: by the loggers that take images, or as files of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.loggers import (
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from mlp_lightning.tensorboard import Pictures, add_pictures

FOLDER = "images"  # in that of the run
TAKERS = (MLFlowLogger, TensorBoardLogger, WandbLogger)


@dataclass
class Gallery:
    """Shows pictures by name and step.

    Without a logger that takes images, the last picture of each name is a file.
    """

    loggers: Sequence[Logger]
    run: Path | None  # None: keep no files

    def show(self, pictures: Pictures, step: int) -> None:
        """Show pictures, as they are after this step."""
        takers = [logger for logger in self.loggers if isinstance(logger, TAKERS)]
        for logger in takers:
            hand_over(logger, pictures, step)
        if not takers and self.run is not None:
            folder = self.run / FOLDER
            folder.mkdir(exist_ok=True)
            for name, picture in pictures.items():
                picture.save(folder / f"{name}.png")


def hand_over(logger: Logger, pictures: Pictures, step: int) -> None:
    """Give pictures to a logger that takes images."""
    if isinstance(logger, TensorBoardLogger):
        add_pictures(logger.experiment, pictures, step)
        return
    for name, picture in pictures.items():
        tag = f"{FOLDER}/{name}"
        if isinstance(logger, WandbLogger):
            logger.log_image(tag, [picture], step)
        elif isinstance(logger, MLFlowLogger):
            client = logger.experiment
            client.log_image(logger.run_id, picture, key=tag, step=step)
