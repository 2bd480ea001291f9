"""The space of a study: which settings are searched, and among which values.

Each setting is a range of numbers, a list of choices, or a list of layers; with `when`,
it is searched only together with certain values of settings before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlp_lightning.errors import SettingError
from mlp_lightning.search.domains import FORMS, Domain, Layers, read_domain

if TYPE_CHECKING:
    from optuna import Trial  # the package is an extra

# What is a setting of a training, and not of where and on what it runs.
GROUPS = ("model.", "data.", "trainer.", "checkpoint.")
FIXED_SETTINGS = (
    "data.data_dir",
    "data.images",
    "trainer.accelerator",
    "trainer.default_root_dir",
    "trainer.devices",
    "trainer.logger",
    "trainer.num_nodes",
    "trainer.strategy",
)
Settings = dict[str, Any]  # of a trial: option name, such as model.dropout, to value


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched."""

    name: str
    domain: Domain
    # Settings before this one, each with the values that this one is searched with.
    when: Mapping[str, list[Any]] = field(default_factory=dict)

    def applies(self, settings: Settings) -> bool:
        """Return whether it is searched together with these settings before it."""
        return all(
            name in settings and settings[name] in values
            for name, values in self.when.items()
        )


Space = list[Parameter]


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
        check_name(str(name))
        space.append(read_parameter(str(name), values, space))
    return space


def check_name(name: str) -> None:
    """Raise SettingError if this is no setting of a training."""
    if name == "seed_everything":
        return
    parents = [f"{fixed}." for fixed in FIXED_SETTINGS]
    is_fixed = name in FIXED_SETTINGS or name.startswith(tuple(parents))
    if is_fixed or not name.startswith(GROUPS):
        raise SettingError(f"{name or repr(name)}: is no setting to search")


def read_parameter(name: str, description: object, before: Space) -> Parameter:
    """Read one setting, after those before it."""
    if not isinstance(description, dict):
        raise SettingError(f"{name}: must say {FORMS}, got {description}")
    values = dict(description)
    when = values.pop("when", {})
    domain = read_domain(name, values)
    return Parameter(name, domain, read_conditions(name, when, before))


def read_conditions(name: str, when: object, before: Space) -> dict[str, list[Any]]:
    """Read what a setting depends on."""
    if not isinstance(when, dict):
        raise SettingError(f"{name}: when must name settings and values, got {when}")
    conditions = {}
    for other, needed in when.items():
        values = needed if isinstance(needed, list) else [needed]
        check_condition(name, other, values, before)
        conditions[other] = values
    return conditions


def check_condition(name: str, other: str, needed: list[Any], before: Space) -> None:
    """Raise SettingError unless another setting can have the values that are needed."""
    domains = {parameter.name: parameter.domain for parameter in before}
    domain = domains.get(other)
    if domain is None:
        raise SettingError(f"{name}: when must name settings before it, got {other}")
    if isinstance(domain, Layers):
        raise SettingError(f"{name}: no setting may depend on layers, got {other}")
    if not needed:
        raise SettingError(f"{name}: when must name values of {other}")
    for value in needed:
        if value not in domain:
            raise SettingError(f"{name}: {other} is never {value}")
