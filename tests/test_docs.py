"""The docs say what is true: links, commands, figures and examples."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy
import pytest
from PIL import Image, ImageDraw
from report import read_figures

from mlp_lightning.__main__ import main
from mlp_lightning.cli import MLPCLI

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*.ipynb")),  # links in JSON look the same
]
# tests/test_translations.py compares the others with them.
ENGLISH_PAGES = [page for page in PAGES if not page.name.endswith(".zh-CN.md")]
CONFIGS = sorted(ROOT.glob("configs/*.yaml"))
MAX_README_LINES = 100
MARKERS = re.compile(r"<!-- (/?)((\w+\.py):[\w-]+) -->")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ROW = re.compile(r"\| (?:\[(\w+)\]\(\S+?/(\w+)\.yaml\)|(the defaults)) \| (.+) \|")
HEADER = re.compile(
    r"# test/acc (.+ seeds?\)), (\S+ s) of training on .+, (\S+) parameters, torch .+"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"(?:python -m mlp_lightning|mlp-lightning) +([\w-]+)")
COMMAND = re.compile(r"^ {4}python -m mlp_lightning (.+)$", re.MULTILINE)
QUICK = {  # a Trainer that takes a few steps and writes nothing
    "accelerator": "cpu",
    "limit_train_batches": 2,
    "limit_val_batches": 1,
    "limit_test_batches": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "max_epochs": 1,
}


def read_page(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def find_anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", read_page(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return [heading.replace(" ", "-") for heading in words]


def read_rows(page: Path) -> dict[str, str]:
    """Return the results in a page's tables, by config; each has to be the same."""
    rows: dict[str, str] = {}
    for line in read_page(page).splitlines():
        found = ROW.fullmatch(line)
        if not found:
            continue
        title, stem, defaults, result = found.groups()
        assert title == stem
        name = stem or defaults
        assert rows.setdefault(name, result) == result
    return rows


def find_python_blocks() -> list[Any]:
    blocks = []
    for page in PAGES:
        fences = FENCE.findall(read_page(page))
        codes = [code for language, code in fences if language == "python"]
        for number, code in enumerate(codes):
            name = f"{page.stem}-{number}"
            blocks.append(pytest.param(code, id=name))
    return blocks


def find_commands(needs_run: bool) -> list[Any]:
    """Return the commands of the docs that need a run, or those that do not."""
    commands = []
    for page in PAGES:
        for text in COMMAND.findall(read_page(page)):
            words = tuple(shlex.split(text))
            if words[0] == "search":
                continue  # takes minutes; tests/test_search.py tries its study
            is_new_run = words[0] == "fit" and "--ckpt_path" not in words
            if is_new_run != needs_run and words not in commands:
                commands.append(words)
    return [pytest.param(words, id=" ".join(words)) for words in commands]


def test_the_readme_is_short() -> None:
    assert len(read_page(README).splitlines()) <= MAX_README_LINES


def test_the_readme_has_the_two_commands_that_ci_runs() -> None:
    lines = read_page(README).splitlines()
    commands = [line for line in lines if re.match(r"    .*\.venv", line)]
    assert len(commands) == 2
    assert commands[0].endswith("python -m mlp_lightning fit")
    assert commands[1].endswith("pytest")


def test_the_design_names_each_module() -> None:
    links = set(LINK.findall(read_page(ROOT / "docs" / "design.md")))
    modules = [*ROOT.glob("mlp_lightning/*.py"), *ROOT.glob("mlp_lightning/*/[!_]*.py")]
    assert {f"../{module.relative_to(ROOT)}" for module in modules} <= links


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(read_page(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in find_anchors(target), link


def test_each_page_and_picture_is_linked() -> None:
    linked = set()
    for page in PAGES:
        for link in LINK.findall(read_page(page)):
            linked.add((page.parent / link.partition("#")[0]).resolve())
    shown = [path for path in ROOT.glob("docs/*") if path.is_file()]
    assert not [path.name for path in shown if path.resolve() not in linked]


def test_all_tables_repeat_the_headers_of_the_configs() -> None:
    results = read_rows(ROOT / "docs/results.md")
    assert set(results) == {"the defaults", *(config.stem for config in CONFIGS)}
    for config in CONFIGS:
        question, header, command = read_page(config).splitlines()[:3]
        figures = HEADER.fullmatch(header)
        assert figures
        cells = [*figures.groups(), question.removeprefix("# ")]
        assert results[config.stem] == " | ".join(cells)
        name = f"configs/{config.name}"
        assert command == f"# python -m mlp_lightning fit --config {name}"
    for page in ENGLISH_PAGES:
        rows = read_rows(page)
        assert rows.items() <= results.items(), page


def test_the_readme_shows_six_results() -> None:
    shown = ["the defaults", "linear", "wide", "augmentation", "fast", "record"]
    assert list(read_rows(README)) == shown


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_figures_stand_between_the_markers_of_a_benchmark(page: Path) -> None:
    markers = MARKERS.findall(read_page(page))
    starts = markers[::2]
    ends = markers[1::2]
    assert [name for _, name, _ in starts] == [name for _, name, _ in ends]
    assert len({name for _, name, _ in starts}) == len(starts)
    for slash, name, script in starts:
        assert not slash
        code = (ROOT / "benchmarks" / script).read_text(encoding="utf-8")
        assert '"--write"' in code
        if script != "accuracy.py":  # whose rows may stand in any table
            assert f'"{name}"' in code
    assert all(slash for slash, _, _ in ends)
    for _, name, _ in starts:
        assert read_figures(page, name)


def test_no_benchmark_writes_where_there_are_no_markers() -> None:
    named = set()
    for script in ROOT.glob("benchmarks/*.py"):
        named |= set(re.findall(r'"(\w+\.py:[\w-]+)"', script.read_text("utf-8")))
    text = "".join(read_page(page) for page in PAGES)
    assert named
    assert not [name for name in named if f"<!-- {name} -->" not in text]


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_each_command_names_a_subcommand(page: Path) -> None:
    names = set(PROGRAM.findall(read_page(page)))
    assert names <= {*MLPCLI.subcommands(), "search"}


@pytest.mark.usefixtures("garments")
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("words", find_commands(needs_run=False))
def test_each_fit_starts(
    words: tuple[str, ...], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "WandbLogger" in words:
        pytest.importorskip("wandb")
    monkeypatch.chdir(finished_run)
    monkeypatch.syspath_prepend(finished_run)  # as `python -m` does
    full = [word.replace("configs/", f"{ROOT}/configs/") for word in words]
    assert run_program([*full, "--trainer.fast_dev_run=true"]) == 0


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("words", find_commands(needs_run=True))
def test_each_command_on_a_run_works(
    words: tuple[str, ...], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run)
    assert run_program(words) == 0


def run_program(words: Sequence[str]) -> int | str | None:
    """Run the command line in this process, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        # LightningCLI warns if it gets words and finds pytest's.
        patch.setattr("sys.argv", ["mlp_lightning"])
        try:
            main(list(words))
        except SystemExit as stop:
            return stop.code
    return 0


def write_examples(folder: Path) -> None:
    """Write the files that the docs speak of: a YAML file, modules, and pictures."""
    for _, code in FENCE.findall(read_page(ROOT / "docs/customise.md")):
        if "# my.yaml" in code:
            (folder / "my.yaml").write_text(code, encoding="utf-8")
        if "class SquaredReLU" in code:
            (folder / "my_layers.py").write_text(code, encoding="utf-8")
        if "class Announcer" in code:
            (folder / "my_callbacks.py").write_text(code, encoding="utf-8")
        if "def warm_up" in code:
            (folder / "my_schedules.py").write_text(code, encoding="utf-8")
    picture = Image.new("L", (200, 200), "white")
    ImageDraw.Draw(picture).line([(100, 40), (95, 160)], "black", width=14)
    picture.save(folder / "photo.jpg")
    write_pets(folder / "pets")


def write_pets(folder: Path) -> None:
    """Write just more pictures than docs/data.md keeps for validation."""
    for name in ("cat", "dog"):
        pictures = folder / "train" / name
        pictures.mkdir(parents=True)
        for shade in range(255):
            picture = Image.new("L", (28, 28), shade)
            picture.save(pictures / f"{shade}.png")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what commands and examples need: a run, its exports, a photo."""
    folder = tmp_path_factory.mktemp("docs")
    write_examples(folder)
    few = ["--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    few += ["--trainer.log_every_n_steps=1", "--trainer.max_epochs=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_program(["fit", *few, "--figures=false"]) == 0
        assert run_program(["export", "--output=digits.onnx"]) == 0
        assert run_program(["export", "--output=digits.pt2"]) == 0
    return folder


@pytest.mark.usefixtures("garments")
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("code", find_python_blocks())
def test_each_example_runs(
    code: str, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run)
    trainer: Callable[..., lightning.Trainer] = lightning.Trainer

    def make_quick_trainer(**options: Any) -> lightning.Trainer:
        return trainer(**{**options, **QUICK})

    monkeypatch.setattr(lightning, "Trainer", make_quick_trainer)
    images = numpy.zeros((3, 28, 28), numpy.uint8)
    names: dict[str, Any] = {"images": images, "__name__": "example"}
    exec(compile(code, "an example in the docs", "exec"), names)
    if "probabilities" in names:
        probabilities = numpy.asarray(names["probabilities"])
        assert probabilities.shape[1:] == (10,)
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
