"""What the command line's parser says: short help, and errors in one line."""

import difflib
import re
import warnings
from argparse import HelpFormatter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from mlp_lightning.errors import REFUSED, SettingError

MIN_SIMILARITY = 0.75  # of a misspelt option to the one that is suggested
# How jsonargparse says that a value is not of one of the types of its option.
OTHER_TYPE = re.compile("Expected an? |Import path .* not correspond|Not a valid sub")

UNWRITTEN = "Unable to serialize instance "


class ArgumentRefusal(SystemExit):
    """A parser refuses its arguments.

    It is an exit, as argparse prescribes, because the parser of a class, such as an
    optimizer, is called by jsonargparse, which makes a paragraph of any other error.
    """

    def __init__(self, message: str) -> None:
        super().__init__(REFUSED)
        self.message = message


class ShortParser(LightningArgumentParser):
    """Leaves out of help and errors what nobody reads, such as all classes of torch."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ArgumentRefusal with what is wrong."""
        raise ArgumentRefusal(message) from ex

    def format_help(self, *args: HelpFormatter | None) -> str:
        """Return the help, without the names of all known subclasses."""
        program = self.prog.replace(" [options]", "")
        self.usage = f"{program} [options]"
        whole = super().format_help(*args)
        return re.sub(r",\s+known\s+subclasses:[^)]*", "", whole)

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
    name = find_refused_name(message)
    # The parser of a class knows the last part of an option's name alone.
    for option in find_options_ending_with(name, words):
        message = f"{option}: {message}"
    if not any(name in word for word in words):
        files = list_config_files(words)
        if files:
            message += f" (in {' or '.join(files)})"
    return message + suggest_option(f"--{name}", options)


def shorten_refusal(message: str) -> str:
    """Return why a class refuses its settings, out of all that jsonargparse says.

    It lists one reason for each type that the option could have had, and most of them
    say that the value is not of this type.

    Args:
        message: What jsonargparse says, in lines.
    """
    reasons = re.findall(r"^  - (.*(?:\n {4,}.*)*)", message, re.MULTILINE)
    for reason in reasons:
        if not OTHER_TYPE.match(reason):
            return re.sub(r"^Problem with given class_path '.*':\s+", "", reason)
    return message


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


def list_config_files(words: Sequence[str]) -> list[str]:
    """Return the files that the command line gives as --config."""
    pairs = "\n".join(words)  # the file is the next word, or stands behind an =
    return re.findall(r"(?m)^(?:-c|--config)[=\n]([^{\n]+)$", pairs)
