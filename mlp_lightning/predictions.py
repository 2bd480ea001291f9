"""What the network reads in each picture: a table, predictions.csv and predictions.png."""

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from PIL import ImageOps

from mlp_lightning.figures import SIDE, pixels, sheet
from mlp_lightning.handwriting import open_picture

MOST_PICTURES = 100  # on the sheet


class Predictions(Callback):
    """Writes predictions.csv as the answers come, and predictions.png, the least certain first."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(os.path.expanduser(folder), "predictions.csv")
        self.count, self.errors = 0, 0
        self.least_certain: list[Any] = []

    def on_predict_start(self, trainer: Trainer, model: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path if trainer.is_global_zero else Path(os.devnull)
        self.file = path.open("w", newline="", encoding="utf-8", buffering=1)
        self.csv = csv.writer(self.file)
        self.csv.writerow(
            ["file", "digit", *(f"p{digit}" for digit in range(10)), "error"]
        )

    def on_predict_batch_end(
        self, trainer: Any, _: Any, answers: Any, batch: Any, *__: Any
    ) -> None:
        own = len(batch) == 3  # else of the test set
        for i, (image, answer) in enumerate(
            zip(pixels(batch[0]), answers.tolist(), strict=True)
        ):
            file, error = (
                (batch[1][i], batch[2][i]) if own else (f"test/{self.count}", "")
            )
            name = os.fsencode(file).decode(errors="replace")
            (p, first), (q, second) = sorted(zip(answer, range(10), strict=True))[
                :-3:-1
            ]
            cells = [""] * 11 if error else [first, *(f"{x:.6g}" for x in answer)]
            self.csv.writerow([name, *cells, error])
            if own:
                line = error or f"{first}  {p:7.2%}  {second} {q:7.2%}"
                trainer.print(f"{' '.join(name.split()):40}  {line}")
            if not error:
                title = f"{first}  {p:.1%}\n{Path(name).name[-12:]}"
                self.least_certain.append((p, title, image, file))
            self.count, self.errors = self.count + 1, self.errors + bool(error)
        self.least_certain = sorted(self.least_certain, key=lambda row: row[0])[
            :MOST_PICTURES
        ]

    def on_predict_end(self, trainer: Trainer, model: Any) -> None:
        self.file.close()
        if not trainer.is_global_zero:
            return
        cells: list[Any] = []
        for _, title, image, file in self.least_certain:
            with suppress(
                ValueError
            ):  # the test set has no files, and others may have gone
                picture = open_picture(file).convert("L")
                cells.append((ImageOps.pad(picture, (SIDE, SIDE), color=255), ""))
            cells.append((image, title))
        sheet(cells).save(self.path.with_suffix(".png"))
        print(f"Wrote {self.path} and {self.path.with_suffix('.png')}")
