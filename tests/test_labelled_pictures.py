"""The benchmark of handwriting measures pictures of anybody's, and shows failures."""

import sys
from pathlib import Path

import pytest
import torch
from handwriting import main
from PIL import Image
from support import Outcome, RunCommand, get_error_line, read_mnist

from mlp_lightning import MLPClassifier
from mlp_lightning.handwriting import read_digit

FOLDER = Path("mine")
NETWORK = Path("lightning_logs/version_0/checkpoints/best.ckpt")
SURE_NETWORK = Path("sure.ckpt")


@pytest.fixture
def networks(short_run: Path) -> None:
    """A network after 25 steps, and one that answers the same, and is always sure."""
    checkpoint = torch.load(NETWORK, weights_only=True)
    weights = checkpoint["state_dict"]
    *_, last_weight, last_bias = weights
    weights[last_weight] *= 1000
    weights[last_bias] *= 1000
    torch.save(checkpoint, SURE_NETWORK)


@pytest.fixture
def pictures(networks: None, data_dir: Path) -> None:
    """A folder with three digits, of which one is read correctly, and a blank page."""
    images, _ = read_mnist(data_dir, "t10k")
    model = MLPClassifier.load_from_checkpoint(NETWORK, "cpu")
    FOLDER.mkdir()
    answers = []
    for number in range(3):
        path = FOLDER / f"{number}.png"
        Image.fromarray(255 - images[number].numpy()).resize((140, 140)).save(path)
        answers.append(model.probabilities(read_digit(path)[None]).argmax().item())
    Image.new("L", (140, 140), "white").save(FOLDER / "blank.png")
    right, other, third = answers
    lines = [
        "file,label,source",
        f"0.png,{right},ann",
        f"1.png,{9 - other},ann",
        f"2.png,{9 - third},bob",
        "blank.png,4,bob",
    ]
    (FOLDER / "labels.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def measure(
    pictures: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunCommand:
    """Run the benchmark with the two networks and these words."""

    def run(*words: str) -> Outcome:
        code: int | str | None = 0
        networks = [str(NETWORK), str(SURE_NETWORK)]
        monkeypatch.setattr(sys, "argv", ["handwriting.py", *networks, *words])
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        assert isinstance(code, int)
        return Outcome(code, *capsys.readouterr())

    return run


def test_what_is_read_is_printed_and_what_fails_is_drawn(measure: RunCommand) -> None:
    outcome = measure(f"--pictures={FOLDER}", "--sheet=failures.png")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    for row in [
        "| ann | 2 | 50.00 | 50.00 | 50.00 |",
        "| bob | 2 | 0.00 | 0.00 | 0.00 |",
        "| all | 4 | 25.00 | 25.00 | 25.00 |",
        "| refused: shows no ink | 1 | 1 | 1.00 |",
        "| wrong, above 90 percent sure | 0 | 2 | 1.00 |",
        "| wrong, less sure | 2 | 0 | 1.00 |",
    ]:
        assert row in lines
    assert lines[-1] == "Wrote failures.png, which shows 3 failures"
    with Image.open("failures.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (10 * 88, 84 + 32)  # three pairs in a row


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (None, "cannot read mine/labels.csv: No such file or directory"),
        ("", "mine/labels.csv has no column 'file'"),
        ("file;label\n0.png;7\n", "mine/labels.csv has no column 'file'"),
        ("file,digit\n0.png,7\n", "mine/labels.csv has no column 'label'"),
        ("file,label\n", "mine/labels.csv lists no pictures"),
        ("file,label\n9.png,7\n", "labels.csv lists mine/9.png, which is no file"),
        ("file,label\n0.png,ten\n", "labels.csv: the label of mine/0.png is no digit"),
        ("file,label\n0.png\n", "labels.csv: the label of mine/0.png is no digit"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    table: str | None, error: str, measure: RunCommand
) -> None:
    if table is None:
        (FOLDER / "labels.csv").unlink()
    else:
        (FOLDER / "labels.csv").write_text(table, encoding="utf-8")
    line = get_error_line(measure(f"--pictures={FOLDER}"))
    assert line == f"handwriting.py: error: --pictures: {error}"
