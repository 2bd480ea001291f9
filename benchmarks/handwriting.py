"""Measure how well pictures of digits are read, compared with MNIST's own images.

    python benchmarks/handwriting.py CHECKPOINT CHECKPOINT CHECKPOINT --write

Pictures of the six kinds of benchmarks/pictures.py and of those of
benchmarks/hard_pictures.py are drawn from digits of the test set, and so are pictures
of several digits (benchmarks/several_digits.py), which are to be refused. MNIST's own
images are read as files. With scikit-learn, its 1,797 digits of 8 x 8 pixels are read
as well: handwriting that has nothing to do with MNIST. `--write` puts the figures into
docs/handwriting.md.

    python benchmarks/handwriting.py CHECKPOINT --pictures FOLDER --sheet failures.png

measures pictures of your own instead, and writes nothing into docs/. The folder has
them and labels.csv, a table with the columns `file` and `label` and, if you like,
`source`: the accuracy is printed for each source. The sheet shows each picture that a
network fails on, and beside it what the network saw.
"""

import argparse
import statistics
from importlib.util import find_spec
from pathlib import Path

from answers import Answers, join_answers, summarise_accuracies, tabulate_reliability
from drawn_digits import (
    COUNT,
    HARD_COUNT,
    KindResult,
    measure_hard_kinds,
    measure_kinds,
    measure_scikit_digits,
    measure_several_digits,
    read_test_set,
    tabulate_mnist_files,
)
from labelled_pictures import measure_labelled_pictures, read_labels
from report import DOCS, describe_setup, format_count, format_table, replace_figures

from mlp_lightning import MLPClassifier
from mlp_lightning.errors import SettingError

PAGE = DOCS / "handwriting.md"
TITLES = {
    "paper": "paper",
    "board": "board",
    "scan": "scan",
    "transparent": "transparent ink",
    "corner": "small, in a corner",
    "turned": "turned by EXIF",
    "frame": "in a printed frame",
    "lines": "between two printed lines",
    "ruled": "on ruled paper",
    "squared": "on squared paper",
    "cell": "in a cell of a form",
    "thin": "thin pen",
    "faint": "faint and tightly cropped",
    "tight": "a 1 or a 7, tightly cropped",
    "form": "in a box of a form, away from the edge",
}


def tabulate_kinds(results: dict[str, KindResult]) -> str:
    rows = []
    for kind, result in results.items():
        rows.append(
            [
                TITLES[kind],
                summarise_accuracies(result.answers.accuracies),
                summarise_accuracies(result.own_answers.accuracies),
                f"{result.lost:.2f}",
            ]
        )
    header = [
        "kind of picture",
        "accuracy, percent",
        "of the same digits as MNIST has them",
        "points lost",
    ]
    return format_table(header, rows)


def tabulate_hard_kinds(results: dict[str, KindResult]) -> str:
    rows = []
    for kind, result in results.items():
        errors = result.answers.errors
        refused = sum(error != "" for error in errors)
        accuracy = summarise_accuracies(result.answers.accuracies)
        rows.append([TITLES[kind], accuracy, f"{refused} of {len(errors)}"])
    header = ["kind of picture", "accuracy, percent", "refused"]
    return format_table(header, rows)


def join_kinds(results: dict[str, KindResult]) -> Answers:
    """Return the answers to the pictures of all kinds."""
    return join_answers([result.answers for result in results.values()])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--count",
        type=int,
        help=f"of each kind (default: {COUNT}, and {HARD_COUNT} that are hard to read)",
    )
    parser.add_argument(
        "--single-digits",
        type=int,
        default=1000,
        metavar="COUNT",
        help="drawn enlarged, and as MNIST's own files (default: 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the pictures (default: 0)"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--write", action="store_true", help="the figures into docs/handwriting.md"
    )
    either.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="of your own, with labels.csv"
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        default=Path("handwriting-failures.png"),
        metavar="FILE",
        help="shows your own pictures that fail (default: handwriting-failures.png)",
    )
    options = parser.parse_args()
    if options.write and not find_spec("sklearn"):
        parser.error("--write needs scikit-learn: pip install scikit-learn")
    if options.pictures:
        try:
            options.labelled = read_labels(options.pictures)
        except SettingError as error:
            parser.error(str(error))
    return options


def measure_test_digits(
    models: list[MLPClassifier], options: argparse.Namespace
) -> None:
    """Print all figures of docs/handwriting.md, and write them if asked to."""
    test_set = read_test_set()
    results = measure_kinds(models, test_set, options)
    hard_results = measure_hard_kinds(models, test_set, options)
    answers = {
        "of the six kinds": join_kinds(results),
        "hard to read": join_kinds(hard_results),
    }
    setup = (
        f"{options.count or COUNT} pictures of each kind, "
        f"{options.count or HARD_COUNT} of each that is hard to read, drawn with seed "
        f"{options.seed}; {format_count(len(models), 'network')}. Measured on "
        f"{describe_setup()}."
    )
    figures = {
        "handwriting.py:table": tabulate_kinds(results),
        "handwriting.py:hard": tabulate_hard_kinds(hard_results),
        "handwriting.py:several": measure_several_digits(test_set, options),
        "handwriting.py:mnist": tabulate_mnist_files(models, test_set, options),
        "handwriting.py:reliability": tabulate_reliability(answers),
        "handwriting.py:setup": setup,
    }
    if find_spec("sklearn"):
        figures["handwriting.py:scikit-learn"] = measure_scikit_digits(models)
    for name, text in figures.items():
        print(text, end="\n\n")
        if options.write:
            replace_figures(PAGE, name, text)
    seconds = statistics.median(result.seconds for result in results.values())
    lost = [result.lost for result in results.values()]
    print(
        f"lost: {statistics.mean(lost):.2f} points on average, {max(lost):.2f} at most"
    )
    print(f"reading takes {seconds:.3f} seconds a picture")


def main() -> None:
    options = parse_options()
    models = [
        MLPClassifier.load_from_checkpoint(path, "cpu") for path in options.checkpoints
    ]
    if options.pictures:
        measure_labelled_pictures(models, options.labelled, options.sheet)
    else:
        measure_test_digits(models, options)


if __name__ == "__main__":
    main()
