"""The space of a study: which settings are searched, and among which values.

Each setting is a range of numbers, a list of choices, or a list of layers; with `when`,
it is searched only together with certain values of settings before it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlp_lightning.errors import SettingError

if TYPE_CHECKING:
    from optuna import Trial  # the package is an extra

PLAIN_TYPES = (bool, int, float, str, type(None))  # of Optuna's choices
FORMS = "low and high, choices, or layers and units"
Settings = dict[str, Any]  # of a trial: option name, such as model.dropout, to value


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included: integers if both bounds are."""

    low: float
    high: float
    log: bool = False  # drawn evenly on a logarithmic scale
    step: float | None = None

    def suggest(self, trial: "Trial", name: str) -> float:
        """Have a trial choose a number."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(name, self.low, self.high, step=step, log=self.log)
        return trial.suggest_float(
            name, self.low, self.high, step=self.step, log=self.log
        )

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
        return False  # no setting depends on a whole list


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched."""

    name: str
    domain: Range | Choices | Layers
    # Settings before this one, each with the values that this one is searched with.
    when: Mapping[str, list[Any]] = field(default_factory=dict)

    def applies(self, settings: Settings) -> bool:
        """Return whether it is searched together with these settings before it."""
        return all(
            name in settings and settings[name] in values
            for name, values in self.when.items()
        )


Space = list[Parameter]


def name_choice(value: Any) -> bool | int | float | str | None:
    """Return what Optuna knows a choice by."""
    return value if isinstance(value, PLAIN_TYPES) else json.dumps(value)


def suggest_settings(space: Space, trial: "Trial") -> Settings:
    """Have a trial choose its settings."""
    settings: Settings = {}
    for parameter in space:
        if parameter.applies(settings):
            name = parameter.name
            settings[name] = parameter.domain.suggest(trial, name)
    return settings


def list_examples(space: Space) -> Iterator[Settings]:
    """Return settings that have each end of each range and each choice once."""
    for parameter in space:
        for value in parameter.domain.list_ends():
            yield complete_example(space, {parameter.name: value})


def complete_example(space: Space, example: Settings) -> Settings:
    """Return settings that these are part of, with what they depend on."""
    for parameter in reversed(space):
        if parameter.name in example:
            for name, values in parameter.when.items():
                example.setdefault(name, values[0])
    settings: Settings = {}
    for parameter in space:
        if parameter.applies(settings):
            first = parameter.domain.list_ends()[0]
            settings[parameter.name] = example.get(parameter.name, first)
    return settings


def read_space(description: Mapping[str, Any]) -> Space:
    """Read the space as a study describes it.

    Raises:
        SettingError: If a setting has no values, or what it depends on is not there.
    """
    if not description:
        raise SettingError("space: must name the settings to search, got none")
    space: Space = []
    for name, values in description.items():
        space.append(read_parameter(str(name), values, space))
    return space


def read_parameter(name: str, description: object, before: Space) -> Parameter:
    """Read one setting, after those before it."""
    if not isinstance(description, dict):
        raise SettingError(f"{name}: must say {FORMS}, got {description}")
    values = dict(description)
    when = values.pop("when", {})
    if not isinstance(when, dict):
        raise SettingError(f"{name}: when must name settings and values, got {when}")
    lists = {key: as_list(value) for key, value in when.items()}
    for other, needed in lists.items():
        check_condition(name, other, needed, before)
    return Parameter(name, read_domain(name, values), lists)


def as_list(value: Any) -> list[Any]:
    """Return the values of a condition, which may be one alone."""
    return value if isinstance(value, list) else [value]


def check_condition(name: str, other: str, needed: list[Any], before: Space) -> None:
    """Raise SettingError unless another setting can have the values that are needed."""
    domains = [parameter.domain for parameter in before if parameter.name == other]
    if not domains:
        raise SettingError(f"{name}: when must name settings before it, got {other}")
    if not needed:
        raise SettingError(f"{name}: when must name values of {other}")
    for value in needed:
        if value not in domains[0]:
            raise SettingError(f"{name}: {other} is never {value}")


def read_domain(name: str, values: dict[str, Any]) -> Range | Choices | Layers:
    """Read the values of a setting, in one of the three forms."""
    if values.keys() == {"choices"}:
        return read_choices(name, values["choices"])
    if values.keys() == {"layers", "units"}:
        count = read_range(f"{name}.layers", values["layers"])
        units = read_range(f"{name}.units", values["units"])
        if not isinstance(count.low, int) or count.low < 0:
            raise SettingError(f"{name}.layers: must be integers of at least 0")
        return Layers(count, units)
    return read_range(name, values)


def read_choices(name: str, values: object) -> Choices:
    """Read a list of choices."""
    if not isinstance(values, list) or not values:
        raise SettingError(f"{name}: choices must be a list of values, got {values}")
    labels = [name_choice(value) for value in values]
    if len(set(labels)) < len(labels):
        raise SettingError(f"{name}: choices must differ, got {values}")
    return Choices(values)


def read_range(name: str, values: object) -> Range:
    """Read a range of numbers."""
    if not isinstance(values, dict) or not {"low", "high"} <= values.keys():
        raise SettingError(f"{name}: must say {FORMS}, got {values}")
    unknown = values.keys() - {"low", "high", "log", "step"}
    if unknown:
        text = ", ".join(sorted(str(key) for key in unknown))
        raise SettingError(f"{name}: has low, high, log, step and when, but no {text}")
    low = read_number(f"{name}: low", values["low"])
    high = read_number(f"{name}: high", values["high"])
    if isinstance(low, float) or isinstance(high, float):
        low = float(low)
        high = float(high)
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise SettingError(f"{name}: log must be true or false, got {log}")
    step = None
    if "step" in values:
        step = read_number(f"{name}: step", values["step"])
    found = Range(low, high, log, step)
    check_range(name, found)
    return found


def read_number(name: str, value: object) -> float:
    """Return a number; PyYAML takes 1e-3, without a dot, for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise SettingError(f"{name} must be a number, got {value}")


def check_range(name: str, values: Range) -> None:
    """Raise SettingError if a range is empty, or not one that can be drawn from."""
    if not values.low <= values.high:
        raise SettingError(f"{name}: from {values.low} to {values.high} is empty")
    if max(abs(values.low), abs(values.high)) == float("inf"):
        raise SettingError(f"{name}: must be between finite numbers")
    if values.log and values.low <= 0:
        raise SettingError(f"{name}: low must be above 0 with log, got {values.low}")
    if values.step is None:
        return
    if values.log:
        raise SettingError(f"{name}: takes either log or step")
    if not values.step > 0:
        raise SettingError(f"{name}: step must be above 0, got {values.step}")
    if isinstance(values.low, int) and not isinstance(values.step, int):
        raise SettingError(f"{name}: step must be an integer, got {values.step}")
