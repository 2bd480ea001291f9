"""The settings that tell runs apart."""

import re
from collections.abc import Mapping
from typing import Any

SettingsSummary = dict[str, int | float | str]

IRRELEVANT = ("data_dir", "images")  # Where files lie changes no result.
# What a setting with a class path holds besides the class and what was chosen.
CLUTTER = re.compile(
    r"'(class_path|init_args)': |torch\.optim\.(lr_scheduler\.)?"
    r"|, '\w+': (None|False|0|0\.0)(?=[,}])|[{}']"
)


def summarise_settings(config: Mapping[str, Any]) -> SettingsSummary:
    """Return the settings that tell runs apart, each as a number or a short text.

    Args:
        config: The whole config of a run as plain data, as config.yaml holds it.
    """
    seed = config["seed_everything"]
    trainer = config["trainer"]
    values = {
        "seed": int(seed),
        **config["model"],
        **config["data"],
        "max_epochs": trainer["max_epochs"],
        "precision": trainer["precision"],
    }
    for name in IRRELEVANT:
        del values[name]
    augmentation = values.get("augmentation", {})
    if not distorts(augmentation):
        values["augmentation"] = "none"
    return {name: shorten(value) for name, value in values.items()}


def distorts(augmentation: Mapping[str, float]) -> bool:
    """Tell whether any distortion has a strength; smoothing alone is none."""
    strengths = {**augmentation, "smoothing": 0}
    return any(strengths.values())


def shorten(value: object) -> int | float | str:
    """Return a number or text as it is, and anything else as a text without clutter."""
    if isinstance(value, (int, float, str)):
        return value
    text = str(value)
    return CLUTTER.sub("", text)
