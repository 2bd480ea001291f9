"""What the network reads in each picture: a table, predictions.csv and predictions.png."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy
from lightning.pytorch import Callback, Trainer
from PIL import ImageOps
from torch import Tensor

from mlp_lightning.figures import SIDE, pixels, sheet
from mlp_lightning.handwriting import open_picture

MOST_PICTURES = 100  # on the sheet


class Predictions(Callback):
    """Writes predictions.csv as the answers come, and predictions.png, the least certain first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.errors = folder, 0, 0
        self.least_certain: list[Any] = []

    def on_predict_start(self, trainer: Trainer, model: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "predictions.csv" if trainer.is_global_zero else os.devnull
        # closed when the predictions end
        self.file = open(path, "w", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.csv = csv.writer(self.file)
        self.csv.writerow(["file", "digit", *(f"p{digit}" for digit in range(10)), "error"])

    def on_predict_batch_end(
        self, trainer: Any, _: Any, outputs: Any, batch: Any, *__: Any
    ) -> None:
        own = len(batch) == 3  # else of the test set
        for i, (image, answer) in enumerate(zip(pixels(batch[0]), outputs.tolist(), strict=True)):
            path, error = (batch[1][i], batch[2][i]) if own else (f"test/{self.count}", "")
            name = os.fsencode(path).decode(errors="replace")
            first, second = sorted(range(10), key=lambda digit: -answer[digit])[:2]
            cells = [first, *(f"{p:.6g}" for p in answer)]
            self.csv.writerow([name, *([""] * 11 if error else cells), error])
            if own:
                line = f"{first}  {answer[first]:7.2%}  {second} {answer[second]:7.2%}"
                trainer.print(f"{' '.join(name.split()):40}  {error or line}")
            if not error:
                title = f"{first}  {answer[first]:.1%}\n{Path(name).name[-22:]}"
                self.least_certain.append((answer[first], image, title, path if own else None))
            self.count, self.errors = self.count + 1, self.errors + bool(error)
        self.least_certain = sorted(self.least_certain, key=lambda row: row[0])[:MOST_PICTURES]

    def on_predict_end(self, trainer: Trainer, model: Any) -> None:
        self.file.close()
        if trainer.is_global_zero and self.least_certain:
            cells = ((_beside(x, path) if path else x, t) for _, x, t, path in self.least_certain)
            sheet(cells).save(self.folder / "predictions.png")
            print(f"Wrote {self.folder / 'predictions.csv'} and {self.folder / 'predictions.png'}")


def _beside(image: Tensor, path: str) -> Any:
    """Put a small copy of the picture to the left of what the network saw of it."""
    small: Any = ImageOps.pad(open_picture(path).convert("L"), (SIDE, SIDE), color=255)
    return numpy.hstack([small, image.repeat_interleave(3, 0).repeat_interleave(3, 1)])
