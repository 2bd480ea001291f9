"""What a run has reached: printed, and kept in its folder."""

import json
import shlex
from contextlib import nullcontext
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mlp_lightning.confusion import most_confused
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import PROGRAM
from mlp_lightning.figures import Figures
from mlp_lightning.locks import RunInUseError, lock_run
from mlp_lightning.names import get_names
from mlp_lightning.settings import SettingsSummary
from mlp_lightning.start import Start
from mlp_lightning.tensorboard import Pictures


def write_hparams(run: Path, settings: SettingsSummary) -> None:
    """Write the settings of the run, as they are now, into its hparams.yaml.

    Lightning's logger would write those that the model tells it, which are none, and
    keep them when the run goes on with others.
    """
    path = run / TensorBoardLogger.NAME_HPARAMS_FILE
    save_hparams_to_yaml(path, settings)


@rank_zero_only
def print_result(run: Path, best_score: float, has_curves: bool) -> None:
    """Print what a training has reached, and what to do with it.

    Args:
        run: The folder of the run.
        best_score: Its best val/acc; negative if it was never validated.
        has_curves: Whether TensorBoard has something to show.
    """
    name = "last.ckpt"
    if best_score >= 0:
        name = "best.ckpt"
        print(f"val/acc {best_score:.4f}")
    path = run / "checkpoints" / name
    print(f"Saved {path}")
    print(f"Next: {PROGRAM} test --ckpt_path {shlex.quote(str(path))}")
    if has_curves:
        print(f"      tensorboard --logdir {shlex.quote(str(run.parent))}")


def save_test(
    run: Path, path: Path, step: int, metrics: dict[str, float], pictures: Pictures
) -> None:
    """Write what a test has found into its run.

    Args:
        run: The folder of the run; it gets test.json, test_wrong.png and so on, and
            points in its curves.
        path: The checkpoint that was tested.
        step: The optimizer steps that it has behind it.
        metrics: What the test has measured.
        pictures: What it has drawn, by name.
    """
    if any(run.glob("events.out.tfevents.*")):
        logger = TensorBoardLogger(run.parent, "", run.name)
        logger.log_metrics(metrics, step - 1)  # where val/acc of these is
        logger.finalize("success")
    report = {**metrics, "checkpoint": f"checkpoints/{path.name}"}
    text = json.dumps(report, indent=2)
    (run / "test.json").write_text(f"{text}\n")
    for name, picture in pictures.items():
        picture.save(run / f"test_{name}.png")


class Results(Callback):
    """Tells what a test has found, and notes it in the run.

    It is a callback because a process that Lightning starts, as for ddp_fork, hands
    back little more than the metrics.
    """

    def __init__(self, start: Start, figures: Figures | None) -> None:
        """Say what is tested, and what draws its pictures, if anything."""
        self.run = start.run
        self.path = start.path
        self.step = start.step
        self.is_locked = start.is_locked
        self.figures = figures

    def on_test_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Leave the curves of the run to `save_test`, which knows the step."""
        run = self.run
        if run is not None and is_whole_test(trainer):
            loggers = trainer.loggers
            trainer.loggers = [one for one in loggers if not draws_curves(one, run)]

    def teardown(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        """Tell it, and note it unless only some of the images were counted."""
        if stage != "test" or not trainer.is_global_zero:
            return
        matrix = getattr(model, "confusion_matrix", None)
        if matrix is not None:
            mistakes = most_confused(matrix, get_names(model))
            print(f"Most often taken for another: {mistakes}")
        if self.run is None or self.path is None or not is_whole_test(trainer):
            return
        found = trainer.callback_metrics
        metrics = {name: value.item() for name, value in found.items()}
        figures = self.figures
        pictures = {} if figures is None else figures.draw_evaluation(model)
        run = self.run
        # TensorBoard would show no more of a training once the test has added a file.
        lock = nullcontext() if self.is_locked else lock_run(run)
        try:
            with lock:
                save_test(run, self.path, self.step, metrics, pictures)
        except RunInUseError:
            print(f"{run} is in use by another process: it does not keep this result")


def draws_curves(logger: Logger, run: Path) -> bool:
    """Return whether a logger writes into the curves of a run."""
    if not isinstance(logger, TensorBoardLogger):
        return False
    return Path(logger.log_dir).resolve() == run.resolve()


def is_whole_test(trainer: Trainer) -> bool:
    """Return whether a test has counted all of the images."""
    # Lightning sets it where mypy does not look.
    data: MNISTDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return trainer.num_test_batches == [len(data.test_dataloader())]
