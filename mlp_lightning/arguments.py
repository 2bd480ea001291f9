"""What the command line's parser says: short help, and errors in one line."""

import difflib
import re
import warnings
from argparse import HelpFormatter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    OnExceptionCheckpoint,
    Timer,
)
from lightning.pytorch.cli import LightningArgumentParser, ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LRScheduler,
    SequentialLR,
)

from mlp_lightning.errors import REFUSED, SettingError
from mlp_lightning.schedules import DEFAULT_MONITOR

MIN_SIMILARITY = 0.75  # of a misspelt option to the one that is suggested
UNWRITTEN = "Unable to serialize instance "  # how jsonargparse begins to say it
MISSING = "the following arguments are required: "  # how jsonargparse begins to say it
NEEDS = "needs "  # how we say it
# Defaults that classes lack, or have of another type than they say.
DEFAULTS: dict[type, dict[str, str]] = {
    ReduceLROnPlateau: {"monitor": DEFAULT_MONITOR},
    Timer: {"interval": "step"},
    # The folder of the run, which there is only when all is parsed.
    CSVLogger: {"save_dir": ""},
    TensorBoardLogger: {"save_dir": ""},
}
MUON = getattr(torch.optim, "Muon", None)  # torch has it since 2.9
MADE_OF_OTHERS = (
    "is made of other schedules: name a function of yours instead, such as "
    "my_schedules.warm_up, that takes the optimizer and returns the schedule"
)
# Classes that the command line cannot build, and why.
UNSUITED = {
    ChainedScheduler: MADE_OF_OTHERS,
    SequentialLR: MADE_OF_OTHERS,
    LRScheduler: "is what all schedules have in common: name one of them",
    BackboneFinetuning: "trains the `backbone` of a network, and this one has none",
    BaseFinetuning: "is for subclasses, which say what to train: name one of them",
    OnExceptionCheckpoint: "would let the next run begin with what it has left; "
    "--checkpoint.every_n_train_steps keeps what this one can go on from",
    Optimizer: "is what all optimizers have in common: name one of them",
    MUON: "trains the weight matrices of hidden layers alone; the biases need another "
    "optimizer, and two need manual optimization, in a LightningModule of yours",
}


class ArgumentRefusal(SystemExit):
    """A parser refuses its arguments.

    It is an exit, as argparse prescribes, because the parser of a class, such as an
    optimizer, is called by jsonargparse, which makes a paragraph of any other error.
    """

    def __init__(self, message: str, class_name: str = "") -> None:
        super().__init__(REFUSED)
        self.message = message
        self.class_name = class_name  # of what the user has named, if that is refused


class ShortParser(LightningArgumentParser):
    """Leaves out of help and errors what nobody reads, such as all classes of torch."""

    class_name = ""  # of the class that this is the parser of, if it is of one

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ArgumentRefusal with what is wrong."""
        if self.class_name and message.startswith(MISSING):
            names = message.removeprefix(MISSING)
            raise ArgumentRefusal(NEEDS + names, self.class_name) from ex
        raise ArgumentRefusal(message) from ex

    def add_class_arguments(
        self, class_type: type, nested_key: str | None = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """Add the arguments of a class, with defaults where it has none of use here.

        jsonargparse makes a parser of this type for each class that the user names.

        Raises:
            ArgumentRefusal: If the command line cannot build the class.
        """
        prefix = f"{nested_key}." if nested_key else ""
        if not nested_key:
            self.class_name = class_type.__name__
            if class_type in UNSUITED:
                raise ArgumentRefusal(UNSUITED[class_type], self.class_name)
        is_cosine = class_type is CosineAnnealingLR
        if is_cosine:
            kwargs["skip"] = {"T_max", *kwargs.get("skip", ())}
        names: list[str] = super().add_class_arguments(
            class_type, nested_key, *args, **kwargs
        )
        if is_cosine:
            text = "Epochs of half a period; the whole training if it is not given."
            self.add_argument(f"--{prefix}T_max", type=int | None, help=text)
        for name, value in DEFAULTS.get(class_type, {}).items():
            self.set_defaults({prefix + name: value})
        return names

    def format_help(self, *args: HelpFormatter | None) -> str:
        """Return the help, without the names of all known subclasses.

        jsonargparse offers help for the class that an option may also be, which is for
        Python and for checkpoints.
        """
        program = self.prog.replace(" [options]", "")
        self.usage = f"{program} [options]"
        whole = super().format_help(*args)
        whole = re.sub(r",\s+known\s+subclasses:[^)]*", "", whole)
        return re.sub(r"\n  --\S+\.help +Show the help for DatasetInfo .*", "", whole)

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Return settings as text that can be parsed again.

        Of a setting that may be an object or its name, jsonargparse writes that it
        cannot write the object, and then the name.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", rf"\s*{UNWRITTEN}")
            text: str = super().dump(*args, **kwargs)
        return text.replace(UNWRITTEN, "")


def parse_words(
    parser: LightningArgumentParser,
    words: list[str],
    subparsers: list[LightningArgumentParser],
) -> Namespace:
    """Parse a command line.

    Args:
        parser: The parser of the program.
        words: The command line.
        subparsers: The parsers of the subcommands, whose options may be misspelt.

    Raises:
        SettingError: If the parser refuses it.
    """
    try:
        return parser.parse_args(words)
    except ArgumentRefusal as refusal:
        message = refusal.message
        if refusal.class_name:
            raise SettingError(describe_class_refusal(refusal, words)) from None
    except ValueError as error:  # of a value that a type does not take
        message = str(error)
    options = list_options(subparsers)
    raise SettingError(describe_refusal(message, words, options))


def find_option(setting: str, parsers: list[LightningArgumentParser]) -> str:
    """Return the option of a setting, --data.batch_size for batch_size, or the name."""
    for option in list_options(parsers):
        if option.endswith(f".{setting}"):
            return option
    return setting


def list_options(parsers: list[LightningArgumentParser]) -> list[str]:
    """Return the options and groups of the subcommands, which have them in common."""
    if not parsers:
        return []
    defaults = parsers[0].get_defaults()
    options: set[str] = set()
    for name in vars(defaults.as_flat()):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            options.add("--" + ".".join(parts[:count]))
    return sorted(options)


def describe_refusal(message: str, words: Sequence[str], options: Iterable[str]) -> str:
    """Say in one line what is wrong with the command line, and what was meant.

    Args:
        message: What jsonargparse says.
        words: The command line.
        options: Those that there are.
    """
    message = " ".join(message.split())
    message = re.sub(r'Parser key "([\w.]+)"', r"--\1", message)
    details = r"(- Expected a path|Does not validate against) .*? Errors: "
    message = re.sub(details, "", message)
    # Of several types for one option, two may say the same.
    message = re.sub(r"(- .+?)(?: \1)+", r"\1", message)
    name = find_refused_name(message)
    # The parser of a class knows the last part of an option's name alone.
    for option in find_options_ending_with(name, words):
        message = f"{option}: {message}"
    if not any(name in word for word in words):
        message += name_config_files(words)
    return message + suggest_option(f"--{name}", options)


def describe_class_refusal(refusal: ArgumentRefusal, words: Sequence[str]) -> str:
    """Say in one line what is wrong with a class that the user has named."""
    name = refusal.class_name
    # The name is the next word, or stands behind an =; += adds to a list.
    pattern = rf"(?m)^(--[\w.]+)\+?[=\n](?:[\w.]+\.)?{name}$"
    found = re.search(pattern, "\n".join(words))
    if found is None:
        return f"{name} {refusal.message}{name_config_files(words)}"
    option = found[1]
    message = refusal.message
    if message.startswith(NEEDS):
        message = re.sub(r"\w+(?=,|$)", rf"{option}.\g<0>", message)
    return f"{option}: {name} {message}"


def suggest_option(given: str, options: Iterable[str]) -> str:
    """Return a question after the option that was meant, if one is much like it."""
    similar = difflib.get_close_matches(given, options, 1, MIN_SIMILARITY)
    if not similar or similar[0] == given:
        return ""
    return f"; did you mean {similar[0]}?"


def find_refused_name(message: str) -> str:
    """Return the name of the option that a message is about, without dashes."""
    named = r"(?i)(?:d arguments: |option ')-*([\w.]+)|^--([\w.]+)"
    found = re.search(named, message)
    if found is None:
        return "?"
    return found[1] or found[2]


def find_options_ending_with(name: str, words: Sequence[str]) -> list[str]:
    """Return the options on the command line whose last part is this name."""
    pattern = re.compile(rf"(--.*\.{re.escape(name)})\b")
    matches = (pattern.match(word) for word in words)
    return [match[1] for match in matches if match]


def name_config_files(words: Sequence[str]) -> str:
    """Return where else to look: the files that the command line gives as --config."""
    pairs = "\n".join(words)  # the file is the next word, or stands behind an =
    files = re.findall(r"(?m)^(?:-c|--config)[=\n]([^{\n]+)$", pairs)
    return f" (in {' or '.join(files)})" if files else ""
