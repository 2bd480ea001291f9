"""The loggers of a run: in its folder, and in one history however often it goes on.

Lightning's loggers choose a place of their own, and begin anew whenever they are built.
Here, what a logger writes lies in the folder of the run, unless the user names another
place; and a run that goes on is told to its loggers as the one that they know.
"""

import csv
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mlp_lightning.checks import build_trainer_parts, list_parts
from mlp_lightning.curves import CurveLogger
from mlp_lightning.errors import SettingError, is_first_process
from mlp_lightning.runs import RUN_NAME, run_number
from mlp_lightning.settings import SettingsSummary

DEFAULT_NAME = "lightning_logs"  # of an experiment, to Lightning's loggers
MLFLOW_DIR = "./mlruns"  # where MLFlowLogger writes by default
FILE_LOGGERS = ("CurveLogger", "TensorBoardLogger", "CSVLogger")
VERSIONS_FILE = "loggers.json"  # in the folder of the run
# Of the loggers of a run, by the names of their classes; None if the run's folder is
# all that there is to know.
Versions = dict[str, list[Any]]
NO_SETTINGS: SettingsSummary = {}


def open_loggers(
    options: Namespace,
    run: Path | None,
    step: int | None = None,
    settings: SettingsSummary = NO_SETTINGS,
) -> list[Logger]:
    """Build the loggers that the options name, and have them begin.

    Args:
        options: Of the Trainer. No logger means TensorBoard's.
        run: The folder of the run; None: the loggers choose their own places.
        step: The run goes on after so many optimizer steps, and what was logged later
            is dropped where the logger can; None: nothing is dropped.
        settings: To log with the run. None if it goes on, and has them already.

    Raises:
        SettingError: If a logger refuses its settings, or lacks a package, or if its
            service does.
    """
    loggers = build_loggers(options, run, step)
    begin_logging(loggers, settings)
    if run is not None:
        write_versions(run, loggers)
    return loggers


def build_loggers(
    options: Namespace, run: Path | None, step: int | None
) -> list[Logger]:
    """Build the loggers, each in its place."""
    if options.logger is False:
        return []
    if not is_first_process(options.num_nodes):
        return [DummyLogger()]  # the first process logs for all
    if options.logger in (None, True):
        return [make_default_logger(run, step)]
    specs = [spec.clone() for spec in list_parts(options.logger)]
    if run is not None:
        place_loggers(specs, run, step)
    loggers: list[Logger] = build_trainer_parts({"logger": specs})["logger"]
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            continue_csv(logger, step)
    return loggers


def make_default_logger(run: Path | None, step: int | None) -> CurveLogger:
    """Return TensorBoard's logger, which writes into the folder of the run."""
    if run is None:
        return CurveLogger("")
    return CurveLogger(run.parent, "", find_version(run), purge_step=step)


def find_version(run: Path) -> int | str:
    """Return N for version_N, as Lightning shows it, and any other name as it is."""
    return run_number(run) if RUN_NAME.fullmatch(run.name) else run.name


def place_loggers(specs: list[Namespace], run: Path, step: int | None) -> None:
    """Fill in where each logger writes, and which history it goes on with."""
    versions = read_versions(run)
    for spec in specs:
        name = spec.class_path.rpartition(".")[2]
        known = versions.get(name)
        version = known.pop(0) if known else None
        if name in FILE_LOGGERS:
            place_files(spec.init_args, run, version)
        elif name == "WandbLogger":
            place_wandb(spec.init_args, run, version)
        elif name == "MLFlowLogger":
            place_mlflow(spec.init_args, run, version)
        if name == "TensorBoardLogger":
            spec.init_args.purge_step = step


def place_files(settings: Namespace, run: Path, version: str | int | None) -> None:
    """Fill in the place of a TensorBoardLogger or a CSVLogger.

    Args:
        settings: Those of the logger: its files lie in save_dir/name/version.
        run: The folder of the run.
        version: The logger's, before the run went on.
    """
    has_name = settings.name not in (None, DEFAULT_NAME)
    if settings.save_dir:
        if settings.version is None:
            settings.version = version
    elif has_name or settings.version is not None:
        settings.save_dir = str(run)
        settings.name = settings.name if has_name else ""
        settings.version = "" if settings.version is None else settings.version
    else:
        settings.save_dir = str(run.parent)
        settings.name = ""
        settings.version = find_version(run)


def place_wandb(settings: Namespace, run: Path, version: str | None) -> None:
    """Fill in the place and the id of a WandbLogger's run."""
    if settings.save_dir == "." and settings.dir is None:
        settings.save_dir = str(run)
    settings.name = settings.name or run.name
    if not settings.version and not settings.id:
        settings.version = version or uuid4().hex[:8]


def place_mlflow(settings: Namespace, run: Path, version: str | None) -> None:
    """Fill in the place and the id of an MLFlowLogger's run."""
    if not settings.tracking_uri and settings.save_dir == MLFLOW_DIR:
        folder = run.absolute()
        settings.tracking_uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        artifacts = (folder / "mlartifacts").as_uri()
        settings.artifact_location = settings.artifact_location or artifacts
    settings.run_name = settings.run_name or run.name
    settings.run_id = settings.run_id or version


def read_versions(run: Path) -> Versions:
    """Return the versions that the loggers of a run have had so far."""
    path = run / VERSIONS_FILE
    if not path.exists():
        return {}
    versions: Versions = json.loads(path.read_text(encoding="utf-8"))
    return versions


@rank_zero_only
def write_versions(run: Path, loggers: Iterable[Logger]) -> None:
    """Keep the versions of those loggers that write outside the folder of the run.

    Those of other loggers, which the run has had before, stay.
    """
    now: Versions = {}
    for logger in loggers:
        name = type(logger).__name__
        is_within = name in FILE_LOGGERS and is_in_run(logger, run)
        now.setdefault(name, []).append(None if is_within else logger.version)
    versions = read_versions(run)
    for name, known in now.items():
        later = versions.get(name, [])[len(known) :]
        versions[name] = known + later
    if any(version is not None for known in versions.values() for version in known):
        part = run / f"{VERSIONS_FILE}.part"
        part.write_text(f"{json.dumps(versions, indent=2)}\n", encoding="utf-8")
        os.replace(part, run / VERSIONS_FILE)


def is_in_run(logger: Logger, run: Path) -> bool:
    """Return whether the files of a logger lie in the folder of the run."""
    return Path(logger.log_dir or "").is_relative_to(run)


@rank_zero_only
def begin_logging(loggers: Iterable[Logger], settings: SettingsSummary) -> None:
    """Open the loggers that need a service, and tell them the settings of the run."""
    # Otherwise W&B keeps what it is told in memory for 15 s, and a kill loses it.
    os.environ.setdefault("WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "0.1")  # seconds
    for logger in loggers:
        if type(logger).__name__ in FILE_LOGGERS:
            continue
        try:
            getattr(logger, "experiment", None)
        except OSError:
            raise
        except Exception as error:  # each service has types of its own
            name = type(logger).__name__
            raise SettingError(f"logger: {name} cannot begin, {error}") from error
        logger.log_hyperparams(settings)


@rank_zero_only
def continue_csv(logger: CSVLogger, step: int | None) -> None:
    """Have a CSVLogger go on with the metrics.csv that is there.

    Lightning would delete it.

    Args:
        logger: Not yet used.
        step: Rows of this step and later ones are dropped; None: none is.
    """
    path = Path(logger.log_dir, "metrics.csv")
    kept = path.with_suffix(".csv.old")  # there if a process was killed in here
    if path.exists() and not kept.exists():
        os.replace(path, kept)
    rows = read_rows(kept, step)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Experiment logs directory .* exists")
        writer = logger.experiment
    writer.metrics.extend(rows)
    writer.save()
    kept.unlink(missing_ok=True)


def read_rows(path: Path, step: int | None) -> list[dict[str, str]]:
    """Return the rows of a metrics.csv that are whole, and before this step."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if step is None:
        return rows
    # A process that was killed may have left the last row unfinished.
    whole = [row for row in rows if (row["step"] or "").isdigit()]
    return [row for row in whole if int(row["step"]) < step]
