"""What a run has reached: printed, and kept in its folder."""

import json
import shlex
from pathlib import Path

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from PIL.Image import Image

from mlp_lightning.errors import PROGRAM, SettingError
from mlp_lightning.locks import lock_run
from mlp_lightning.settings import SettingsSummary
from mlp_lightning.start import Start


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
    run: Path, start: Start, metrics: dict[str, float], pictures: dict[str, Image]
) -> None:
    """Write what a test has found into its run, unless that is being trained.

    Args:
        run: The folder of the run; it gets test.json, test_wrong.png and so on, and
            points in its curves.
        start: The checkpoint that was tested.
        metrics: What the test has measured.
        pictures: What it has drawn, by name.
    """
    assert start.path is not None
    try:
        # TensorBoard would show no more of a training once the test has added a file.
        with lock_run(run):
            logger = TensorBoardLogger(run.parent, "", run.name)
            logger.log_metrics(metrics, start.step - 1)  # where val/acc of these is
            logger.finalize("success")
    except SettingError:
        print(f"{run} is in use by another process: it does not keep this result")
        return
    report = {**metrics, "checkpoint": f"checkpoints/{start.path.name}"}
    text = json.dumps(report, indent=2)
    (run / "test.json").write_text(f"{text}\n")
    for name, picture in pictures.items():
        picture.save(run / f"test_{name}.png")
