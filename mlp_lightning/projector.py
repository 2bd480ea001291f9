"""The callback that fills TensorBoard's PROJECTOR with validation images."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from tensorboard.plugins import projector
from torch import Tensor, nn

from mlp_lightning.classifier import Batch, get_logits
from mlp_lightning.drawing import IMAGE_SIDE, denormalise, draw_sprites
from mlp_lightning.info import get_info
from mlp_lightning.names import get_names
from mlp_lightning.tensorboard import find_board_logger

MAX_IMAGES = 1_000  # A browser turns so many around without a jerk.
MIN_WIDTH = 3  # The page shows three dimensions, and nothing if there are fewer.
NUMBER_FORMAT = "%.4g"  # With all digits, the file would be three times as large.
FOLDER = "projector"  # in that of the run


class Projector(Callback):
    """Shows what the last hidden layer makes of validation images.

    At the end of a training, the first images of the last validation go through the
    network once more, with the weights that the training has ended with. Of several
    processes, the first shows those that it has validated.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []  # the first ones of the last validation

    def on_validation_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.batches = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        model: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch, as long as there are too few images."""
        if get_logits(outputs) is None:
            return
        count = sum(len(labels) for _, labels in self.batches)
        if count < MAX_IMAGES:
            self.batches.append(batch)

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        """Write the activations of the last hidden layer, if there is one."""
        output_layer = find_output_layer(model)
        logger = find_board_logger(trainer)
        shows = logger is not None or not trainer.is_global_zero
        has_images = bool(self.batches)
        # All evaluate, or none: a strategy may have shared out the weights among them.
        all_show = trainer.strategy.reduce_boolean_decision(shows and has_images)
        if output_layer is None or not all_show:
            return
        columns = zip(*self.batches, strict=True)
        images, labels = map(torch.cat, columns)
        images = images[:MAX_IMAGES]
        labels = labels[:MAX_IMAGES]
        activations = record_inputs(output_layer, model, images)
        # A fork has the logger of the first process, too.
        if logger is not None and trainer.is_global_zero:
            info = get_info(model)
            names = get_names(model)
            pixels = denormalise(images, info.mean, info.std)
            shown = [names[label] for label in labels.tolist()]
            write_projection(Path(logger.log_dir), activations, pixels, shown)


def find_output_layer(model: LightningModule) -> nn.Linear | None:
    """Return the layer after the last hidden one, None if that cannot be told."""
    network = model.get_submodule("network")
    if not isinstance(network, nn.Sequential):
        return None
    layers = list(network)
    while layers:
        layer = layers.pop()
        if isinstance(layer, nn.Linear):
            before = nn.Sequential(*layers)
            has_hidden_layer = any(True for _ in before.parameters())
            return layer if has_hidden_layer else None
    return None


@torch.no_grad()
def record_inputs(layer: nn.Module, model: LightningModule, images: Tensor) -> Tensor:
    """Return what reaches a layer, (n, width), when the model evaluates n images."""
    inputs: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: inputs.extend(given))
    was_training = model.training
    model.eval()
    model(images)
    model.train(was_training)
    hook.remove()
    return torch.cat(inputs).flatten(1)


def write_projection(
    run: Path, activations: Tensor, images: Tensor, names: Sequence[str]
) -> None:
    """Write what the page PROJECTOR shows of a run, in place of what it has shown.

    Args:
        run: The folder that TensorBoard reads.
        activations: Floats, (n, width): the place of each image.
        images: uint8, (n, 28, 28).
        names: What each of the images shows.
    """
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    missing = max(0, MIN_WIDTH - activations.shape[1])
    places = nn.functional.pad(activations, (0, missing))  # zeros move no image
    places = places.float().cpu()
    numpy.savetxt(folder / "activations.tsv", places, NUMBER_FORMAT, delimiter="\t")
    lines = "".join(f"{name}\n" for name in names)
    (folder / "labels.tsv").write_text(lines, encoding="utf-8")
    draw_sprites(images).save(folder / "images.png")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "last hidden layer"
    embedding.tensor_path = f"{FOLDER}/activations.tsv"
    embedding.metadata_path = f"{FOLDER}/labels.tsv"
    embedding.sprite.image_path = f"{FOLDER}/images.png"
    embedding.sprite.single_image_dim.extend([IMAGE_SIDE, IMAGE_SIDE])
    projector.visualize_embeddings(str(run), config)
