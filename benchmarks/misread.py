"""Find the validation images that several networks of the record misread alike.

    python benchmarks/misread.py CHECKPOINT CHECKPOINT --write

takes networks that have been trained with validation images left out, such as those of
benchmarks/record.py. It says how many images each of them misreads, all of them, and
their ensemble, which averages their probabilities: what an ensemble misreads, too, is
not due to the chances of one training. `--write` puts this into docs/record.md, and
draws the images that all misread as docs/misread.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from record import PAGE, Images, read_images
from report import DOCS, describe_setup, format_count, replace_figures
from torch import Tensor

from mlp_lightning import MLPClassifier
from mlp_lightning.drawing import draw_mistakes

PICTURE = DOCS / "misread.png"


class Misread(NamedTuple):
    """Which of the images networks misread."""

    by_each: Tensor  # bool, (networks, images)
    ensemble: Tensor  # float32, (images, 10): mean probabilities
    by_ensemble: Tensor  # bool, (images,)

    @property
    def by_all(self) -> Tensor:
        """Return which images all networks misread, bool, (images,)."""
        return self.by_each.all(dim=0)


def find_misread(checkpoints: Sequence[Path], images: Images) -> Misread:
    """Ask all networks, and their ensemble."""
    networks = [MLPClassifier.load_from_checkpoint(path) for path in checkpoints]
    answers = [network.probabilities(images.pixels) for network in networks]
    probabilities = torch.stack(answers)  # (networks, images, 10)
    ensemble = probabilities.mean(dim=0)
    return Misread(
        by_each=probabilities.argmax(dim=2) != images.labels,
        ensemble=ensemble,
        by_ensemble=ensemble.argmax(dim=1) != images.labels,
    )


def describe(misread: Misread) -> str:
    """Return one sentence, and where it comes from."""
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
    """Draw what all networks misread, with the surest answer of the ensemble."""
    rows = misread.by_all
    probabilities, answers = misread.ensemble[rows].max(dim=1)
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
    parser.add_argument("--write", action="store_true", help="into docs/record.md")
    options = parser.parse_args()
    if len(options.checkpoints) < 2:
        parser.error(f"at least 2 networks, got {format_count(1, 'checkpoint')}")
    val_images, _ = read_images()
    misread = find_misread(options.checkpoints, val_images)
    text = describe(misread)
    print(text)
    if options.write:
        replace_figures(PAGE, "misread.py:counts", text)
        draw_misread(misread, val_images)


if __name__ == "__main__":
    main()
