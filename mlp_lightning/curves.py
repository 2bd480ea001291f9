"""The curves of a run in TensorBoard, and which of them it opens with."""

from collections.abc import Mapping

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

# Both on TIME SERIES, the page that it begins with, and on SCALARS, TensorBoard opens
# the first two groups by the alphabet. "train" and "val" are never both among them once
# a run has the group "test". (See zD and _shouldOpen in the index.js of TensorBoard.)
FIRST_GROUP = "at_a_glance"
FIRST_CURVES = ("train/loss", "val/loss")


class CurveLogger(TensorBoardLogger):
    """TensorBoardLogger that shows the losses first, and no curve of the epoch."""

    @rank_zero_only
    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None
    ) -> None:
        """Log all but the epoch, and the losses once more, in the first group."""
        curves = dict(metrics)
        curves.pop("epoch", None)  # Lightning adds it to whatever is logged.
        for name in FIRST_CURVES:
            if name in metrics:
                curves[f"{FIRST_GROUP}/{name}"] = metrics[name]
        super().log_metrics(curves, step)
