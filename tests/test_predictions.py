import csv
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import TWO_FORKS, RunCommand, get_error_line, read_mnist

from mlp_lightning import MLPClassifier
from mlp_lightning.handwriting import read_digit
from mlp_lightning.locks import take_lock
from mlp_lightning.pictures import open_picture
from mlp_lightning.predictions import Answer, Source

RUN = Path("lightning_logs/version_0")
HEADER = ["file", "digit", *(f"p{digit}" for digit in range(10)), "error"]


@pytest.fixture
def run(short_run: Path, data_dir: Path) -> None:
    """A run, and three pictures of digits in a folder."""
    images, _ = read_mnist(data_dir, "t10k")
    Path("digits").mkdir()
    for number in range(3):
        picture = Image.fromarray(255 - images[number].numpy()).resize((140, 140), 3)
        picture.save(f"digits/{number}.png")


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    return rows


@pytest.mark.usefixtures("run")
def test_pictures_are_read_and_the_answers_written(cli: RunCommand) -> None:
    outcome = cli("predict", "--data.images=digits")
    assert outcome.code == 0, outcome.err
    rows = table(RUN / "predictions.csv")
    model = MLPClassifier.load_from_checkpoint(RUN / "checkpoints/best.ckpt", "cpu")
    for number, (file, digit, *cells, error) in enumerate(rows):
        assert (file, error) == (f"digits/{number}.png", "")
        answer = model.probabilities(read_digit(file)[None])[0]
        assert torch.allclose(
            torch.tensor([float(cell) for cell in cells]), answer, atol=1e-5
        )
        assert int(digit) == answer.argmax()
        first, second = answer.topk(2).indices.tolist()
        (line,) = [line for line in outcome.out.splitlines() if file in line]
        words = line.split()
        best = [str(first), f"{answer[first]:.2%}"]
        runner_up = [str(second), f"{answer[second]:.2%}"]
        doubt = [] if answer[first] >= 0.9 else ["doubtful"]
        assert words == [file, *best, *runner_up, *doubt]
    sheet = Image.open(RUN / "predictions.png")
    assert sheet.size == (10 * 88, 84 + 32)  # each beside what the network saw
    least = min(
        range(3), key=lambda number: max(float(cell) for cell in rows[number][2:12])
    )
    seen = (
        read_digit(f"digits/{least}.png")
        .repeat_interleave(3, 0)
        .repeat_interleave(3, 1)
    )
    shown = torch.tensor(
        list(sheet.crop((88, 0, 172, 84)).convert("L").tobytes()), dtype=torch.uint8
    )
    assert torch.equal(shown.view(84, 84), seen)


@pytest.mark.usefixtures("run")
def test_each_printed_line_stands_alone(cli: RunCommand, shell: RunCommand) -> None:
    outcome = shell("predict", "--data.images=digits")
    assert outcome.code == 0, outcome.err
    using, *lines, wrote = outcome.out.splitlines()
    assert using.startswith("Using ")
    assert [line.split()[0] for line in lines] == [f"digits/{n}.png" for n in range(3)]
    csv_path = RUN / "predictions.csv"
    assert wrote == f"Wrote {csv_path} and {csv_path.with_suffix('.png')}"
    outcome = cli("predict")
    assert outcome.code == 0, outcome.err
    assert "Predicting" in outcome.out  # of the test set, there is a progress bar
    assert outcome.out.splitlines()[-1] == wrote


def test_a_line_says_which_answer_is_doubtful() -> None:
    source = Source("a.png", "a.png")
    image = torch.zeros(28, 28, dtype=torch.uint8)
    rest = [0.0] * 8
    sure = Answer(source, image, [0.1, 0.9, *rest]).printed_line()
    doubtful = Answer(source, image, [0.11, 0.89, *rest]).printed_line()
    assert sure.split() == ["a.png", "1", "90.00%", "0", "10.00%"]
    assert doubtful.split() == ["a.png", "1", "89.00%", "0", "11.00%", "doubtful"]


@pytest.mark.usefixtures("run")
def test_of_two_processes_one_writes(shell: RunCommand) -> None:
    Path("digits/empty.png").touch()
    outcome = shell("predict", "--data.images=digits", *TWO_FORKS)
    assert get_error_line(outcome, 1) == "1 file was not read: see the table"
    rows = table(RUN / "predictions.csv")
    files = [f"digits/{number}" for number in ("0.png", "1.png", "2.png", "empty.png")]
    assert [row[0] for row in rows] == files
    for file in [*files, "Wrote"]:
        assert sum(line.startswith(file) for line in outcome.out.splitlines()) == 1


@pytest.mark.usefixtures("run")
def test_two_processes_do_not_write_one_table(cli: RunCommand) -> None:
    words = ("predict", "--data.images=digits/0.png", "--output=answers")
    assert cli(*words).code == 0
    path = Path("answers/predictions.csv")
    before = path.read_bytes()
    with path.open("a") as file:
        take_lock(file)
        line = get_error_line(cli("predict", "--data.images=digits", words[-1]))
    assert line == f"--output: {path} is being written by another process"
    assert path.read_bytes() == before
    assert cli(*words).code == 0
    assert path.read_bytes() == before


@pytest.mark.usefixtures("run")
def test_what_is_no_digit_is_said_and_the_others_are_predicted(cli: RunCommand) -> None:
    Path("digits/empty.png").touch()
    Path("digits/a line\nmore.jpg").write_text("hello")
    Path("digits/.hidden").touch()
    Image.new("L", (50, 50), 255).save("digits/white.png")
    outcome = cli("predict", "--data.images=digits", "--output=answers/here")
    assert get_error_line(outcome, 1) == "3 files were not read: see the table"
    rows = {row[0]: row for row in table(Path("answers/here/predictions.csv"))}
    assert rows.pop("digits/empty.png") == ["digits/empty.png", *[""] * 11, "is empty"]
    assert rows.pop("digits/white.png")[-1] == "shows no ink"
    assert rows.pop("digits/a line\nmore.jpg")[-1] == "is no picture"
    assert list(rows) == ["digits/0.png", "digits/1.png", "digits/2.png"]
    assert all(row[1] for row in rows.values())
    for words in (
        ["digits/empty.png", "is empty"],
        ["digits/a line more.jpg", "is no picture"],
    ):
        (line,) = [line for line in outcome.out.splitlines() if words[0] in line]
        assert line.endswith(words[1])
    assert {path.name for path in Path("answers/here").iterdir()} == {
        *("predictions.csv", "predictions.png")
    }
    assert not (RUN / "predictions.csv").exists()


@pytest.mark.usefixtures("run")
def test_answers_are_not_taken_for_pictures(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("USERPROFILE", str(Path.cwd()))
    for _ in range(2):
        outcome = cli("predict", "--data.images=digits", "--output=~/digits")
        assert outcome.code == 0
        assert len(table(Path("digits/predictions.csv"))) == 3


@pytest.mark.usefixtures("run")
def test_a_picture_that_has_gone_is_left_out(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: str) -> Image.Image:
        return open_picture(f"{path}.moved")

    monkeypatch.setattr("mlp_lightning.predictions.open_picture", gone)
    assert cli("predict", "--data.images=digits").code == 0
    with Image.open(RUN / "predictions.png") as sheet:
        assert sheet.crop((3 * 88, 0, 880, 84)).convert("L").getextrema() == (255, 255)


@pytest.mark.usefixtures("run")
def test_without_a_digit_no_older_answers_are_left(cli: RunCommand) -> None:
    assert cli("predict", "--data.images=digits").code == 0
    Path("empty.png").touch()
    outcome = cli("predict", "--data.images=empty.png")
    assert outcome.code == 1
    assert f"Wrote {RUN / 'predictions.csv'}" in outcome.out
    with Image.open(RUN / "predictions.png") as sheet:
        assert sheet.convert("L").getextrema() == (255, 255)


@pytest.mark.usefixtures("run")
def test_no_data_is_needed_to_read_pictures(cli: RunCommand) -> None:
    shutil.rmtree("data")
    assert cli("predict", "--data.images=digits/1.png").code == 0
    assert not Path("data").exists()


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("given", "files"),
    [
        ("digits/1.png", ["digits/1.png"]),
        ("digits/[02].png", ["digits/0.png", "digits/2.png"]),
        ("[digits/2.png, digits/0.png]", ["digits/2.png", "digits/0.png"]),
        ("**/1.png", ["digits/1.png"]),
    ],
)
def test_pictures_can_be_named_in_many_ways(
    given: str, files: list[str], cli: RunCommand
) -> None:
    assert cli("predict", f"--data.images={given}").code == 0
    assert [row[0] for row in table(RUN / "predictions.csv")] == files


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "given",
    ["nothing.png", "~nobody/a.png", "*.jpeg", "empty", "[digits/0.png, nothing.png]"],
)
def test_pictures_that_are_not_there_are_refused(given: str, cli: RunCommand) -> None:
    Path("empty").mkdir()
    line = get_error_line(cli("predict", f"--data.images={given}"))
    name = given.strip("[]").split(", ")[-1]
    assert line == f"--data.images: no file, or folder with files, at {name}"
    assert not (RUN / "predictions.csv").exists()


@pytest.mark.usefixtures("run")
def test_without_pictures_the_test_set_is_predicted(cli: RunCommand) -> None:
    outcome = cli("predict")
    assert outcome.code == 0
    assert "test/0 " not in outcome.out  # ten thousand lines would help nobody
    rows = table(RUN / "predictions.csv")
    assert [row[0] for row in rows] == [f"test/{number}" for number in range(10_000)]
    with Image.open(RUN / "predictions.png") as sheet:
        assert sheet.size == (10 * 88, 10 * (84 + 4 + 28))
