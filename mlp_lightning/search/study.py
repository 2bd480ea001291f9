"""A study: what STUDY.yaml says, checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse.typing import PositiveFloat, PositiveInt, restricted_number_type

from mlp_lightning.errors import SettingError
from mlp_lightning.search.space import Settings, Space, read_space

Pruner = Literal["median", "hyperband", "none"]
Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])


@dataclass(frozen=True)
class Study:
    """What STUDY.yaml says."""

    path: Path  # of the file
    text: str  # of the file
    config: str  # what all trials have in common: a file, its content, or "" for none
    description: dict[str, Any]  # of the space, as the file has it
    space: Space
    trials: int
    minutes: float | None
    seed: int
    pruner: Pruner
    storage: str  # URL of a database; "": a file in the study's folder

    @property
    def name(self) -> str:
        """Return the name of the study in its database."""
        return self.path.stem

    def list_words(self, settings: Settings) -> list[str]:
        """Return the command line that trains with these settings."""
        words = ["fit"]
        if self.config:
            words.append(f"--config={self.config}")
        words += [f"--{name}={write_line(value)}" for name, value in settings.items()]
        return words


def write_line(value: object) -> str:
    """Return a value as one line of YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, sort_keys=False
    )
    return text.strip().removesuffix("...").strip()


def read_study(path: Path) -> Study:
    """Read STUDY.yaml.

    Raises:
        SettingError: If it cannot be read, or says what cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: cannot be read: {error}") from error
    study = parse_study(path, text)
    if study.config and not Path(study.config).is_file():
        raise SettingError(f"{path}: config: there is no file {study.config}")
    return study


def parse_study(path: Path, text: str) -> Study:
    """Return the study that STUDY.yaml describes.

    Args:
        path: The file.
        text: Its content.

    Raises:
        SettingError: If it says what cannot be.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{path}: must name space and trials")
    parser = make_parser()
    try:
        values = parser.parse_object(content)
        space = read_space(values.space)
    except (ArgumentError, TypeError, ValueError) as error:  # SettingError is one
        raise SettingError(f"{path}: {describe(error)}") from error
    return Study(
        path=path,
        text=text,
        config=str(path.parent / values.config) if values.config else "",
        description=values.space,
        space=space,
        trials=values.trials,
        minutes=values.minutes,
        seed=values.seed,
        pruner=values.pruner,
        storage=values.storage,
    )


def make_parser() -> ArgumentParser:
    """Return the parser of STUDY.yaml."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", type=str | None)
    parser.add_argument("--space", type=dict[str, Any], required=True)
    parser.add_argument("--trials", type=PositiveInt, required=True)
    parser.add_argument("--minutes", type=PositiveFloat | None)
    parser.add_argument("--seed", type=Seed, default=0)
    parser.add_argument("--pruner", type=Pruner, default="median")
    parser.add_argument("--storage", type=str, default="")
    return parser


def describe(error: Exception) -> str:
    """Return what is wrong, without the words of a command line."""
    text = " ".join(str(error).split())
    return text.replace('Parser key "', '"').replace("--", "")
