"""Find the validation images that several networks of the record all misread.

    python benchmarks/misread.py CHECKPOINT CHECKPOINT --write

takes networks that were trained without the validation images, as those of
benchmarks/record.py are. It counts the images that each of them misreads, that all of
them do, and that their ensemble does, which averages their probabilities: what even the
ensemble misreads is not due to the chances of one training. `--write` puts this into
docs/record.md, and draws the images that all misread as docs/misread.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from record import PAGE, VAL_SIZE, Images, read_images
from report import DOCS, describe_setup, replace_figures
from torch import Tensor

from mlp_lightning import MLPClassifier
from mlp_lightning.drawing import draw_mistakes

PICTURE = DOCS / "misread.png"


class Misread(NamedTuple):
    """Which images several networks misread."""

    by_each: Tensor  # bool, (networks, images)
    probabilities: Tensor  # float32, (images, 10), by the ensemble
    by_ensemble: Tensor  # bool, (images,)

    @property
    def by_all(self) -> Tensor:
        """Return which images all networks misread, bool, (images,)."""
        return self.by_each.all(dim=0)


def find_wrong_val_size(checkpoints: Sequence[Path]) -> str:
    """Return what is wrong with a checkpoint that saw validation images, or ""."""
    for path in checkpoints:
        content = torch.load(path, map_location="cpu", weights_only=True)
        val_size = content["datamodule_hyper_parameters"]["val_size"]
        if val_size != VAL_SIZE:
            return f"{path}: trained with val_size {val_size}, must be {VAL_SIZE}"
    return ""


def find_misread(checkpoints: Sequence[Path], images: Images) -> Misread:
    """Ask each network, and their ensemble, about images."""
    answers = []
    for path in checkpoints:
        network = MLPClassifier.load_from_checkpoint(path, map_location="cpu")
        answers.append(network.probabilities(images.pixels))
    by_network = torch.stack(answers)  # (networks, images, 10)
    probabilities = by_network.mean(dim=0)
    return Misread(
        by_each=by_network.argmax(dim=2) != images.labels,
        probabilities=probabilities,
        by_ensemble=probabilities.argmax(dim=1) != images.labels,
    )


def describe_counts(misread: Misread) -> str:
    """Return how many images are misread by whom, and on which machine."""
    counts = misread.by_each.sum(dim=1).tolist()
    each = ", ".join(map(str, counts[:-1])) + f" and {counts[-1]}"
    networks, images = misread.by_each.shape
    return (
        f"{networks} networks misread {each} of the {images:,} validation images: "
        f"{int(misread.by_all.sum())} are misread by all of them, "
        f"{int(misread.by_each.any(dim=0).sum())} by at least one. "
        f"Their ensemble misreads {int(misread.by_ensemble.sum())}.\n\n"
        f"Measured on {describe_setup()}."
    )


def draw_misread(misread: Misread, images: Images) -> None:
    """Draw what all networks and the ensemble misread, its surest answers first."""
    rows = misread.by_all & misread.by_ensemble
    probabilities, answers = misread.probabilities[rows].max(dim=1)
    order = probabilities.argsort(descending=True)
    picture = draw_mistakes(
        images.pixels[rows][order],
        images.labels[rows][order],
        answers[order],
        probabilities[order],
    )
    picture.save(PICTURE, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--write", action="store_true", help="into docs/")
    options = parser.parse_args()
    if len(options.checkpoints) < 2:
        parser.error("needs at least 2 checkpoints, got 1")
    problem = find_wrong_val_size(options.checkpoints)
    if problem:
        parser.error(problem)
    val_images, _ = read_images()
    misread = find_misread(options.checkpoints, val_images)
    text = describe_counts(misread)
    print(text)
    if options.write:
        replace_figures(PAGE, "misread.py:counts", text)
        draw_misread(misread, val_images)


if __name__ == "__main__":
    main()
