"""The folder of a run, `lightning_logs/version_N`: which is newest, and its checkpoints."""

from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only


def find_checkpoint(given: str | None, root: str) -> Path:
    """Return the checkpoint that is meant: the file given, or the best, else the last, of a run.

    The run is the folder given, else the newest in `root/lightning_logs` that has a checkpoint.
    Raises FileNotFoundError if there is none.
    """
    runs = Path(root, "lightning_logs").expanduser().glob("version_*")
    numbered = {int(run.name[8:]): run for run in runs if run.name[8:].isdecimal()}
    for run in [Path(given)] if given else [numbered[n] for n in sorted(numbered, reverse=True)]:
        for path in (run, run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt"):
            if path.is_file():
                return path
        rank_zero_only(print)(f"Skipping {run}: it has no best.ckpt or last.ckpt")
    raise FileNotFoundError(f"--ckpt_path: no checkpoint in {given or root or '.'}: run fit first")


def run_of(checkpoint: Path) -> Path | None:
    """Return the run that a checkpoint lies in, None if it lies in none."""
    run = checkpoint.absolute().parent.parent
    return run if (run / "config.yaml").is_file() else None
