import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import page
import pytest
import torch
from conftest import Outcome, refused
from page import compare, complaints, drop, paint
from PIL import Image
from torchvision.datasets.mnist import read_image_file, read_label_file

from mlp_lightning import MLPClassifier
from mlp_lightning.__main__ import main

CLI = Callable[..., Outcome]
CONFIGS = Path(__file__).parents[1] / "configs"
NETWORKS = {
    "default": ["--model.hidden_sizes=[128,64]"],
    "linear": [f"--config={CONFIGS / 'linear.yaml'}"],
    "fast": [f"--config={CONFIGS / 'fast.yaml'}"],
    "sigmoid": ["--model.hidden_sizes=[60,50,40,30]", "--model.activation=sigmoid"],
}
QUICK = [
    "--figures=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=300",
]
RUN_WITHOUT_US = """
import json, sys
import numpy, onnxruntime, torch
images = numpy.load(sys.argv[1])
for path in sys.argv[2:]:
    if path.endswith(".onnx"):
        session = onnxruntime.InferenceSession(path)
        (given,), (wanted,) = session.get_inputs(), session.get_outputs()
        assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", [28, 28])
        assert (wanted.name, wanted.type) == ("probabilities", "tensor(float)")
        run = lambda images: session.run(None, {"images": images})[0]
    else:
        run = lambda images, module=torch.export.load(path).module(): (
            module(torch.from_numpy(images)).numpy()
        )
    answers = run(images)
    for few in (1, 3):
        numpy.testing.assert_allclose(run(images[:few]), answers[:few], atol=1e-6)
    numpy.save(path + ".npy", answers)
assert not {"mlp_lightning", "lightning"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def checkpoints(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path
) -> dict[str, Path]:
    """Networks of each kind, trained for a second."""
    root, found = tmp_path_factory.mktemp("networks"), {}
    for name, words in NETWORKS.items():
        where = [
            f"--trainer.default_root_dir={root / name}",
            f"--data.data_dir={data_dir}",
        ]
        main(["fit", *words, *QUICK, *where, "--trainer.enable_progress_bar=false"])
        found[name] = root / name / "lightning_logs/version_0/checkpoints/best.ckpt"
    return found


@pytest.fixture(scope="module")
def images(data_dir: Path) -> numpy.ndarray:
    path = data_dir / "MNIST/raw/t10k-images-idx3-ubyte"
    return read_image_file(str(path)).numpy()


@pytest.fixture(scope="module")
def pictures(
    images: numpy.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, Path]]:
    return page.write(images, 100, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    if not page.is_there():
        pytest.skip("there is no Chromium with its chromedriver")
    with page.browser() as driver:
        yield driver


def load(path: Path) -> MLPClassifier:
    return MLPClassifier.load_from_checkpoint(path, "cpu")


def test_onnx_and_pt2_answer_like_the_checkpoint_without_this_package(
    cli: CLI, checkpoints: dict[str, Path], images: numpy.ndarray, tmp_path: Path
) -> None:
    files = []
    for name, checkpoint in checkpoints.items():
        for ending in ("onnx", "pt2"):
            files.append(tmp_path / f"{name}.{ending}")
            outcome = cli(
                "export", f"--ckpt_path={checkpoint}", f"--output={files[-1]}"
            )
            assert outcome.code == 0, outcome.err
            assert f"Wrote {files[-1]} (" in outcome.out
            assert outcome.err == ""
    numpy.save(tmp_path / "images.npy", images)
    command = [
        sys.executable,
        "-I",
        "-c",
        RUN_WITHOUT_US,
        tmp_path / "images.npy",
        *files,
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    for file in files:
        expected = (
            load(checkpoints[file.stem]).probabilities(torch.from_numpy(images)).numpy()
        )
        answers = numpy.load(f"{file}.npy")
        assert answers.shape == (10_000, 10)
        assert answers.dtype == numpy.float32
        numpy.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


def test_a_file_names_its_run_and_the_accuracy_if_it_is_known(cli: CLI) -> None:
    import onnx

    def about(ckpt_path: str) -> tuple[dict[str, str], dict[str, str], str]:
        for ending in ("onnx", "pt2", "html"):
            outcome = cli(
                "export", f"--ckpt_path={ckpt_path}", f"--output=new/it.{ending}"
            )
            assert outcome.code == 0, outcome.err
        properties = onnx.load("new/it.onnx").metadata_props
        extra = {"about.json": ""}
        torch.export.load("new/it.pt2", extra_files=extra)
        text = Path("new/it.html").read_text(encoding="utf-8")
        return (
            {p.key: p.value for p in properties},
            json.loads(extra["about.json"]),
            text,
        )

    assert cli("fit", *QUICK).code == 0
    onnx_about, pt2_about, html = about("best")
    assert onnx_about == pt2_about
    assert onnx_about["run"] == "version_0/checkpoints/best.ckpt"
    assert onnx_about["input"].startswith("images: uint8, (batch, 28, 28)")
    assert "test_acc" not in onnx_about
    assert "of the test images right" not in html
    assert cli("test").code == 0
    accuracy = json.loads(Path("lightning_logs/version_0/test.json").read_text())[
        "test/acc"
    ]
    onnx_about, pt2_about, html = about("best")
    assert onnx_about["test_acc"] == pt2_about["test_acc"] == f"{accuracy:.4f}"
    assert f"{accuracy:.2%} of the test images right" in html
    os.utime("lightning_logs/version_0/checkpoints/best.ckpt")  # written after the test
    for untested in ("last", "best"):
        assert cli("export", f"--ckpt_path={untested}", "--output=new/it.pt2").code == 0
        extra = {"about.json": ""}
        torch.export.load("new/it.pt2", extra_files=extra)
        assert f"checkpoints/{untested}.ckpt" in extra["about.json"]
        assert "test_acc" not in extra["about.json"]
    assert Path("new/it.html").stat().st_size < 1_000_000
    assert sorted(os.listdir("new")) == [
        "it.html",
        "it.onnx",
        "it.pt2",
    ]  # no scratch folder


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_answers_as_predict_does(
    name: str,
    cli: CLI,
    checkpoints: dict[str, Path],
    images: numpy.ndarray,
    pictures: list[tuple[int, Path]],
    driver: Any,
) -> None:
    assert (
        cli("export", f"--ckpt_path={checkpoints[name]}", "--output=page.html").code
        == 0
    )
    driver.get(Path("page.html").resolve().as_uri())
    model = load(checkpoints[name])
    answers = numpy.array(
        driver.execute_script(
            "return arguments[0].map(pixels => [...forward(pixels)[last + 1]])",
            images[:100].reshape(100, 784).tolist(),
        )
    )
    expected = model.probabilities(torch.from_numpy(images[:100])).numpy()
    numpy.testing.assert_allclose(answers, expected, rtol=0, atol=1e-4)
    count = 100 if name == "default" else 25  # benchmarks/page.py takes 100 for all
    found = compare(driver, model, images, pictures[:count])
    for way in ("painted", "dropped"):
        assert len(found[way]) == count
        assert sum(found[way]) >= 0.99 * count
    assert max(found["away"]) < 1e-4
    assert max(found["painted off"]) == 0
    png = [
        share
        for share, (_, path) in zip(found["dropped off"], pictures, strict=False)
        if path.suffix == ".png"  # browsers read JPEG with decoders of their own
    ]
    assert len(png) > 0.8 * count
    assert max(png) < 0.01
    assert complaints(driver) == []


def test_the_page_is_used_by_mouse_keys_and_files(
    cli: CLI,
    checkpoints: dict[str, Path],
    images: numpy.ndarray,
    driver: Any,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    from selenium.webdriver import ActionChains, Keys

    assert (
        cli("export", f"--ckpt_path={checkpoints['fast']}", "--output=page.html").code
        == 0
    )
    driver.get(Path("page.html").resolve().as_uri())

    def text(selector: str) -> str:
        return driver.find_element("css selector", selector).text

    labels = read_label_file(str(data_dir / "MNIST/raw/t10k-labels-idx1-ubyte"))
    samples = driver.find_elements("css selector", "#samples button")
    names = [sample.get_attribute("aria-label") for sample in samples]
    assert [name[-1] for name in names] == [
        str(digit) for digit in range(10) for _ in range(2)
    ]
    first = (labels == 3).nonzero()[0].item()
    samples[6].click()
    shown = images[first]
    pixels = driver.execute_script(page.ANSWER)["pixels"]
    assert pixels == shown.flatten().tolist()
    assert text("#answer").startswith("It is a ")
    headings = [h2.text for h2 in driver.find_elements("css selector", "h2")]
    assert headings == [
        *("Draw a digit", "784 pixels go in", "128 hidden units, layer 1"),
        *("64 hidden units, layer 2", "10 probabilities come out"),
    ]
    driver.find_element("id", "clear").click()
    assert text("#answer") == "Draw a digit."
    paper = driver.find_element("id", "paper")
    strokes = ActionChains(driver, duration=0).move_to_element_with_offset(
        paper, 0, -90
    )
    strokes.click_and_hold().move_by_offset(0, 90).move_by_offset(
        0, 90
    ).release().perform()
    assert text("#answer").startswith("It is a 1")  # a stroke from top to bottom
    driver.find_element("id", "clear").click()
    keys = [Keys.ARROW_UP] * 9 + [" "] + [Keys.ARROW_DOWN] * 18 + [" ", Keys.ARROW_LEFT]
    paper.send_keys(*keys)
    assert text("#answer").startswith("It is a 1")
    paper.send_keys(Keys.ESCAPE)
    assert text("#answer") == "Draw a digit."
    units = driver.find_element("css selector", ".units")
    ActionChains(driver).move_to_element_with_offset(units, 5, 5).perform()
    before = text(".unit")
    assert before.startswith(
        "Unit 73 of 128: its 784 weights"
    )  # of 8 rows of 16, in the middle
    units.send_keys(Keys.ARROW_RIGHT)
    assert text(".unit").startswith("Unit 74 of 128")
    (tmp_path / "no.png").write_bytes(b"no picture")
    drop(driver, tmp_path / "no.png")
    assert text("#answer").startswith("no.png cannot be read")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    drop(driver, tmp_path / "blank.png")
    assert text("#answer") == "blank.png shows no ink."
    picture = Image.fromarray(255 - shown).resize((140, 140), 3)
    picture.save(tmp_path / "three.png")
    driver.find_element("id", "file").send_keys(str(tmp_path / "three.png"))
    driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert text("#answer").startswith("It is a ")
    assert complaints(driver) == []


def test_a_painted_digit_is_normalised_to_the_bit(
    cli: CLI, checkpoints: dict[str, Path], images: numpy.ndarray, driver: Any
) -> None:
    from mlp_lightning.handwriting import read_digit

    assert (
        cli("export", f"--ckpt_path={checkpoints['linear']}", "--output=page.html").code
        == 0
    )
    driver.get(Path("page.html").resolve().as_uri())
    for image in images[:10]:
        answer, picture = paint(driver, image)
        assert answer["pixels"] == read_digit(picture).flatten().tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output=it.txt"], "--output: must end in .onnx, .pt2, .html, got it.txt"),
        (["--output=no.html"], "--output: cannot be written, "),
        (["--output=data/raw.html/it.onnx"], "--output: cannot be written, "),
        (["--output=it"], "--output: must end in .onnx, .pt2, .html, got it"),
        ([], "export.output"),
        (
            ["--output=it.onnx", "--ckpt_path=none"],
            "--ckpt_path: no checkpoint in none",
        ),
        (
            ["--output=it.onnx", "--model.hidden_sizes=[3]"],
            "--model.hidden_sizes: [3], but",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(
    words: list[str], message: str, cli: CLI, checkpoints: dict[str, Path]
) -> None:
    given = f"--ckpt_path={checkpoints['linear']}"
    Path("no.html").mkdir()
    Path("data/raw.html").touch()
    assert message in refused(cli("export", given, *words))
    assert not list(Path().glob("it*"))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"checkpoint": null}',
        '{"checkpoint": "checkpoints/best.ckpt"}',
        "{",
    ],
)
def test_a_strange_test_json_tells_no_accuracy(text: str, tmp_path: Path) -> None:
    from mlp_lightning.export import _describe

    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").touch()
    (tmp_path / "test.json").write_text(text)
    about = _describe(tmp_path / "checkpoints/best.ckpt")
    assert about["run"] == f"{tmp_path.name}/checkpoints/best.ckpt"
    assert "test_acc" not in about
    assert "test_acc" not in _describe(Path("/best.ckpt"))


def test_an_onnx_file_of_more_than_one_part_is_refused(
    cli: CLI, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.onnx._internal.exporter import _onnx_program

    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 1_000)
    words = (f"--ckpt_path={checkpoints['linear']}", "--output=it.onnx")
    message = refused(cli("export", *words))
    assert message.endswith("its weights are more than one file can hold")
    assert not list(Path().glob("it*"))


def test_the_page_in_docs_is_of_this_code() -> None:
    root = CONFIGS.parent
    before, after = (
        (root / "mlp_lightning/page.html").read_text(encoding="utf-8").split("MODEL")
    )
    exported = (root / "docs/index.html").read_text(encoding="utf-8")
    assert exported.startswith(before)
    assert exported.endswith(after)


def test_a_page_holds_the_named_activations_alone(cli: CLI) -> None:
    Path("it.html").write_text("older")
    assert cli("fit", *QUICK, "--model.activation=torch.nn.GELU").code == 0
    message = refused(cli("export", "--output=it.html"))
    assert message.startswith("--output: .html cannot hold this network: ")
    assert "relu, sigmoid, tanh, identity" in message
    assert Path("it.html").read_text() == "older"
    assert cli("export", "--output=it.onnx").code == 0


def test_without_onnxruntime_the_extra_is_named(
    cli: CLI, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = (f"--ckpt_path={checkpoints['linear']}", "--output=it.onnx")
    message = refused(cli("export", *words))
    assert message == (
        "--output: .onnx needs onnxruntime: pip install 'mlp-lightning[onnx]'"
    )


def test_other_answers_than_the_checkpoints_are_not_kept(
    cli: CLI, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlp_lightning import export

    def write(reader: Any, path: Path, *_: Any) -> Any:
        path.write_text("wrong")
        return lambda images: reader(images) + 0.01

    monkeypatch.setattr(export, "_write_pt2", write)
    words = (f"--ckpt_path={checkpoints['linear']}", "--output=it.pt2")
    message = refused(cli("export", *words), code=1)
    assert message.startswith("it.pt2: its answers are 0.0")
    assert not Path("it.pt2").exists()
