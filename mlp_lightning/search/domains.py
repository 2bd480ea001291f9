"""The values that a setting may have: numbers, choices, or layers."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlp_lightning.errors import SettingError

if TYPE_CHECKING:
    from optuna import Trial  # the package is an extra

PLAIN_TYPES = (bool, int, float, str, type(None))  # of Optuna's choices
BOUNDS = ("low", "high")
MAX_INTEGER = 2**63 - 1  # of torch and of databases
FORMS = "low and high, choices, or layers and units"


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included: integers if both bounds are."""

    low: float
    high: float
    log: bool = False  # drawn evenly on a logarithmic scale
    step: float | None = None

    def suggest(self, trial: "Trial", name: str) -> float:
        """Have a trial choose a number."""
        low = self.low
        high = self.high
        if isinstance(low, int) and isinstance(high, int):
            step = int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return trial.suggest_float(name, low, high, step=self.step, log=self.log)

    def list_ends(self) -> list[float]:
        """Return the values to try before the first trial."""
        return [self.low, self.high]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choices:
    """One of several values, whatever they are in YAML."""

    values: list[Any]

    def suggest(self, trial: "Trial", name: str) -> Any:
        """Have a trial choose a value; Optuna knows a list by its text."""
        labels = [name_choice(value) for value in self.values]
        label = trial.suggest_categorical(name, labels)
        return self.values[labels.index(label)]

    def list_ends(self) -> list[Any]:
        """Return the values to try before the first trial."""
        return self.values

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Layers:
    """A list of layers: how many there are, and the units of each."""

    count: Range
    units: Range

    def suggest(self, trial: "Trial", name: str) -> list[float]:
        """Have a trial choose the number of layers, and then the units of each."""
        count = int(self.count.suggest(trial, f"{name}.layers"))
        names = [f"{name}.{number}" for number in range(1, count + 1)]
        return [self.units.suggest(trial, layer) for layer in names]

    def list_ends(self) -> list[list[float]]:
        """Return the values to try before the first trial."""
        smallest = [self.units.low] * int(self.count.low)
        largest = [self.units.high] * int(self.count.high)
        return [smallest, largest]

    def __contains__(self, value: object) -> bool:
        return False


Domain = Range | Choices | Layers


def name_choice(value: Any) -> bool | int | float | str | None:
    """Return what Optuna knows a choice by."""
    if isinstance(value, PLAIN_TYPES):
        return value
    return json.dumps(value, default=str)


def read_domain(name: str, values: dict[str, Any]) -> Domain:
    """Read the values of a setting, in one of the three forms."""
    if values.keys() == {"choices"}:
        return read_choices(name, values["choices"])
    if values.keys() == {"layers", "units"}:
        return read_layers(name, values["layers"], values["units"])
    return read_range(name, values)


def read_layers(name: str, layers: object, units: object) -> Layers:
    """Read how many layers there may be, and of how many units."""
    count = read_range(f"{name}.layers", layers)
    if not isinstance(count.low, int) or count.low < 0:
        raise SettingError(f"{name}.layers: must be integers of at least 0")
    return Layers(count, read_range(f"{name}.units", units))


def read_choices(name: str, values: object) -> Choices:
    """Read a list of choices."""
    if not isinstance(values, list) or not values:
        raise SettingError(f"{name}: choices must be a list of values, got {values}")
    labels = [name_choice(value) for value in values]
    if len(set(labels)) < len(labels):
        raise SettingError(f"{name}: choices must differ, got {values}")
    for value in values:
        check_size(name, value)
    return Choices(values)


def read_range(name: str, values: object) -> Range:
    """Read a range of numbers."""
    if not isinstance(values, dict) or not values.keys() >= set(BOUNDS):
        raise SettingError(f"{name}: must say {FORMS}, got {values}")
    unknown = values.keys() - {*BOUNDS, "log", "step"}
    if unknown:
        text = ", ".join(sorted(str(key) for key in unknown))
        raise SettingError(f"{name}: takes low, high, log and step, but no {text}")
    low, high = read_bounds(name, values)
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise SettingError(f"{name}: log must be true or false, got {log}")
    step = None
    if "step" in values:
        step = read_number(f"{name}: step", values["step"])
    found = Range(low, high, log, step)
    check_bounds(name, found)
    check_step(name, found)
    return found


def read_bounds(name: str, values: Mapping[str, Any]) -> list[float]:
    """Return the lowest and the highest number: two integers, or two of type float.

    A text, which PyYAML takes 1e1 for, is an integer where the other bound is one.
    """
    bounds = [read_number(f"{name}: {key}", values[key]) for key in BOUNDS]
    if not any(isinstance(number, int) for number in bounds):
        return bounds
    for key, number in zip(BOUNDS, bounds, strict=True):
        is_text = isinstance(values[key], str)
        if isinstance(number, float) and not (is_text and number.is_integer()):
            return [float(one) for one in bounds]
    return [int(one) for one in bounds]


def read_number(name: str, value: object) -> float:
    """Return a number; PyYAML takes 1e-3, without a dot, for a text."""
    check_size(name, value)
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise SettingError(f"{name} must be a number, got {value}")


def check_size(name: str, value: object) -> None:
    """Raise SettingError for an integer that is too large."""
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise SettingError(f"{name}: must be below 2**63, got {value}")


def check_bounds(name: str, values: Range) -> None:
    """Raise SettingError if a range is empty, or not one that can be drawn from."""
    low = values.low
    high = values.high
    if not low <= high:
        raise SettingError(f"{name}: from {low} to {high} is empty")
    if math.isinf(low) or math.isinf(high):
        raise SettingError(f"{name}: must be between finite numbers")
    if values.log and low <= 0:
        raise SettingError(f"{name}: low must be above 0 with log, got {low}")


def check_step(name: str, values: Range) -> None:
    """Raise SettingError if a step cannot be taken."""
    step = values.step
    if step is None:
        return
    if values.log:
        raise SettingError(f"{name}: takes either log or step")
    if not 0 < step < math.inf:
        raise SettingError(f"{name}: step must be above 0, and finite, got {step}")
    if isinstance(values.low, int) and not isinstance(step, int):
        raise SettingError(f"{name}: step must be an integer, got {step}")
