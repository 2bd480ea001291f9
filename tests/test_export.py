import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from support import (
    ANSWER,
    HARD_KINDS,
    ROOT,
    RunCommand,
    compare_page,
    drop_picture,
    get_error_line,
    paint_digit,
    read_complaints,
    read_mnist,
    write_hard_pictures,
    write_page_pictures,
    write_several_digits,
)
from torch import nn

from mlp_lightning import MLPClassifier, MNISTDataModule, export, webpage
from mlp_lightning.__main__ import main
from mlp_lightning.errors import SettingError
from mlp_lightning.handwriting import read_digit
from mlp_lightning.info import MNIST_INFO
from mlp_lightning.mlp import MLP

CONFIGS = ROOT / "configs"
NETWORKS = {
    "linear": [f"--config={CONFIGS / 'linear.yaml'}"],
    "fast": [f"--config={CONFIGS / 'fast.yaml'}"],  # with the layers of the defaults
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
        (given,) = session.get_inputs()
        assert (given.name, given.type) == ("images", "tensor(uint8)")
        assert given.shape == ["batch", 28, 28]
        (wanted,) = session.get_outputs()
        assert (wanted.name, wanted.type) == ("probabilities", "tensor(float)")
        assert wanted.shape == ["batch", 10]
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
# Of a unit in the first layer, from the diagram's centre
PLACE_OF_UNIT = """
const {clientWidth, clientHeight} = $("diagram");
const {xs, ys} = placeLayers($("diagram"), network)[1];
const unit = arguments[0];
return [xs[unit] - clientWidth / 2, ys[unit] - clientHeight / 2];
"""
DRIFTING = """
import torch

class Drifting(torch.nn.Module):
    def forward(self, x):
        return 2 * x if torch.compiler.is_compiling() else x
"""


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def images(data_dir: Path) -> NDArray[numpy.uint8]:
    """The test images, (10000, 28, 28)."""
    array: NDArray[numpy.uint8] = read_mnist(data_dir, "t10k")[0].numpy()
    return array


@pytest.fixture(scope="session")
def pictures(
    images: NDArray[numpy.uint8], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, Path]]:
    return write_page_pictures(images, 20, tmp_path_factory.mktemp("pictures"))


def load(path: Path) -> MLPClassifier:
    return MLPClassifier.load_from_checkpoint(path, "cpu")


def export_page(cli: RunCommand, checkpoint: Path) -> str:
    """Export the page of a checkpoint, and return its address."""
    outcome = cli("export", f"--ckpt_path={checkpoint}", "--output=page.html")
    assert outcome.code == 0, outcome.err
    return Path("page.html").resolve().as_uri()


@pytest.mark.subprocess
def test_onnx_and_pt2_answer_like_the_checkpoint_without_this_package(
    cli: RunCommand,
    checkpoints: dict[str, Path],
    images: NDArray[numpy.uint8],
    tmp_path: Path,
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
    paths = [tmp_path / "images.npy", *files]
    command = [sys.executable, "-I", "-c", RUN_WITHOUT_US, *map(str, paths)]
    subprocess.run(command, check=True, cwd=tmp_path)
    for file in files:
        expected = (
            load(checkpoints[file.stem]).probabilities(torch.from_numpy(images)).numpy()
        )
        answers = numpy.load(f"{file}.npy")
        assert answers.shape == (10_000, 10)
        assert answers.dtype == numpy.float32
        numpy.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


def export_all(cli: RunCommand) -> tuple[dict[str, str], dict[str, str], str]:
    """Export the best checkpoint to all formats; return what the files say of it."""
    import onnx

    for ending in ("onnx", "pt2", "html"):
        outcome = cli("export", "--ckpt_path=best", f"--output=new/it.{ending}")
        assert outcome.code == 0, outcome.err
    properties = onnx.load("new/it.onnx").metadata_props
    text = Path("new/it.html").read_text(encoding="utf-8")
    return {p.key: p.value for p in properties}, read_pt2_metadata(), text


def read_pt2_metadata() -> dict[str, str]:
    extra = {"about.json": ""}
    torch.export.load("new/it.pt2", extra_files=extra)
    return dict(json.loads(extra["about.json"]))


def test_a_file_names_its_run_and_the_accuracy_if_it_is_known(cli: RunCommand) -> None:
    assert cli("fit", *QUICK).code == 0
    onnx_metadata, pt2_metadata, html = export_all(cli)
    assert onnx_metadata == pt2_metadata
    assert onnx_metadata["run"] == "version_0/checkpoints/best.ckpt"
    assert onnx_metadata["input"].startswith("images: uint8, (batch, 28, 28)")
    assert "test_acc" not in onnx_metadata
    assert '"accuracy": null' in html
    assert cli("test").code == 0
    accuracy = json.loads(Path("lightning_logs/version_0/test.json").read_text())[
        "test/acc"
    ]
    onnx_metadata, pt2_metadata, html = export_all(cli)
    assert onnx_metadata["test_acc"] == pt2_metadata["test_acc"] == f"{accuracy:.4f}"
    assert f'"accuracy": {accuracy:.4f}' in html
    os.utime("lightning_logs/version_0/checkpoints/best.ckpt")  # written after the test
    for untested in ("last", "best"):
        assert cli("export", f"--ckpt_path={untested}", "--output=new/it.pt2").code == 0
        metadata = read_pt2_metadata()
        assert f"checkpoints/{untested}.ckpt" in metadata["run"]
        assert "test_acc" not in metadata
    assert Path("new/it.html").stat().st_size < 1_000_000
    # and no scratch folder
    assert sorted(os.listdir("new")) == ["it.html", "it.onnx", "it.pt2"]


@pytest.mark.browser
@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_answers_as_predict_does(
    name: str,
    cli: RunCommand,
    checkpoints: dict[str, Path],
    images: NDArray[numpy.uint8],
    pictures: list[tuple[int, Path]],
    driver: Any,
) -> None:
    driver.get(export_page(cli, checkpoints[name]))
    model = load(checkpoints[name])
    answers = numpy.array(
        driver.execute_script(
            "return arguments[0].map(pixels => [...forward(network, pixels).at(-1)])",
            images[:100].reshape(100, 784).tolist(),
        )
    )
    expected = model.probabilities(torch.from_numpy(images[:100])).numpy()
    numpy.testing.assert_allclose(answers, expected, rtol=0, atol=1e-4)
    count = 20 if name == "fast" else 10  # benchmarks/page.py takes 100 for all
    comparisons = compare_page(driver, model, images, pictures[:count])
    for way in ("painted", "dropped"):
        assert len(comparisons[way]) == count
        assert sum(one.same for one in comparisons[way]) >= 0.99 * count
        off = [one.probability_off for one in comparisons[way]]
        assert max(number for number in off if number is not None) < 1e-4
    painted = [one.pixels_off for one in comparisons["painted"]]
    assert max(share for share in painted if share is not None) == 0
    dropped_png = [
        one.pixels_off
        for one, (_, path) in zip(comparisons["dropped"], pictures, strict=False)
        # browsers read JPEG with decoders of their own
        if path.suffix == ".png" and one.pixels_off is not None
    ]
    assert len(dropped_png) > 0.8 * count
    assert max(dropped_png) < 0.01
    assert read_complaints(driver) == []


@pytest.fixture
def fast_page(
    cli: RunCommand, checkpoints: dict[str, Path], driver: Any
) -> Iterator[Any]:
    """The page of a network of 128 and 64 units, opened; it must not complain."""
    read_complaints(driver)  # of the test before
    driver.get(export_page(cli, checkpoints["fast"]))
    yield driver
    assert read_complaints(driver) == []


def read_page_data(page: str) -> Any:
    """Return the data in a page, which its scripts read as JSON."""
    element = '<script type="application/json" id="model">'
    return json.loads(page.partition(element)[2].partition("</script>")[0])


def read_text(driver: Any, selector: str) -> str:
    return str(driver.find_element("css selector", selector).text)


@pytest.mark.browser
def test_the_page_offers_samples_of_mnist(
    fast_page: Any, images: NDArray[numpy.uint8], data_dir: Path
) -> None:
    _, labels = read_mnist(data_dir, "t10k")
    samples = fast_page.find_elements("css selector", "#samples button")
    names = [sample.get_attribute("aria-label") for sample in samples]
    digits = [str(digit) for digit in range(10) for _ in range(2)]
    assert [name[-1] for name in names] == digits
    first_three = int((labels == 3).nonzero()[0])
    samples[6].click()
    pixels = fast_page.execute_script(ANSWER)["pixels"]
    assert pixels == images[first_three].flatten().tolist()
    assert "it is a " in read_text(fast_page, "#answer").lower()
    headings = [h2.text for h2 in fast_page.find_elements("css selector", "h2")]
    assert headings == [
        "Draw a digit",
        "A digit goes through the network",
        "784 pixels go in",
        "128 hidden units, layer 1",
        "64 hidden units, layer 2",
        "10 probabilities come out",
    ]
    fast_page.find_element("id", "clear").click()
    assert read_text(fast_page, "#answer") == "Draw a digit."


@pytest.mark.browser
def test_the_page_is_drawn_on_by_mouse_and_keys(fast_page: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    paper = fast_page.find_element("id", "paper")
    stroke = ActionChains(fast_page, duration=0)  # from top to bottom
    stroke.move_to_element_with_offset(paper, 0, -90).click_and_hold()
    stroke.move_by_offset(0, 90).move_by_offset(0, 90).release().perform()
    assert "it is a 1: " in read_text(fast_page, "#answer").lower()
    fast_page.find_element("id", "clear").click()
    keys = [Keys.ARROW_UP] * 9 + [" "] + [Keys.ARROW_DOWN] * 18 + [" ", Keys.ARROW_LEFT]
    paper.send_keys(*keys)
    assert "it is a 1: " in read_text(fast_page, "#answer").lower()
    paper.send_keys(Keys.ESCAPE)
    assert read_text(fast_page, "#answer") == "Draw a digit."
    diagram = fast_page.find_element("id", "diagram")
    # from its centre to the first layer's 73rd unit
    away = fast_page.execute_script(PLACE_OF_UNIT, 72)
    pointer = ActionChains(fast_page)
    pointer.move_to_element_with_offset(diagram, *map(round, away)).perform()
    assert read_text(fast_page, "#words").startswith("Unit 73 of 128: its 784 weights")
    diagram.send_keys(Keys.ARROW_DOWN)
    assert read_text(fast_page, "#words").startswith("Unit 74 of 128")


@pytest.mark.browser
def test_the_page_says_when_it_is_not_sure(fast_page: Any) -> None:
    show_mixture = """
    const [first, second, share] = arguments, images = decodeBase64(model.images);
    const image = i => images.subarray(784 * i);
    showImage(images.slice(0, 784).map((_, i) =>
      share * image(first)[i] + (1 - share) * image(second)[i]));
    """
    words = {True: "It is a ", False: "Perhaps it is a "}
    found = set()
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        fast_page.execute_script(show_mixture, 0, 2, share)  # a 0 and a 1
        answer = fast_page.execute_script(ANSWER)
        is_sure = max(answer["probabilities"]) >= 0.9
        found.add(is_sure)
        digit = answer["digit"]
        text = read_text(fast_page, "#answer")
        assert text.startswith(f"{words[is_sure]}{digit}: ")
    assert found == {True, False}


@pytest.mark.browser
def test_the_page_reads_files(
    fast_page: Any, images: NDArray[numpy.uint8], tmp_path: Path
) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    drop_picture(fast_page, tmp_path / "no.png")
    assert read_text(fast_page, "#answer").startswith("no.png cannot be read")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    drop_picture(fast_page, tmp_path / "blank.png")
    assert read_text(fast_page, "#answer") == "blank.png shows no ink."
    ruled = Image.new("L", (180, 140), 255)
    for row in (40, 75, 110):
        ImageDraw.Draw(ruled).line((0, row, 180, row), fill=90, width=2)
    ruled.save(tmp_path / "ruled.png")
    drop_picture(fast_page, tmp_path / "ruled.png")
    assert read_text(fast_page, "#answer") == "ruled.png shows no ink."
    picture = Image.fromarray(255 - images[0]).resize((140, 140), 3)
    picture.save(tmp_path / "digit.png")
    fast_page.find_element("id", "file").send_keys(str(tmp_path / "digit.png"))
    fast_page.execute_async_script("setTimeout(arguments[0], 300)")
    assert "it is a " in read_text(fast_page, "#answer").lower()


@pytest.mark.pages
@pytest.mark.browser
@pytest.mark.parametrize("kind", HARD_KINDS)
def test_the_page_reads_hard_pictures_as_python_does(
    kind: str,
    fast_page: Any,
    images: NDArray[numpy.uint8],
    data_dir: Path,
    tmp_path: Path,
) -> None:
    labels = read_mnist(data_dir, "t10k")[1].numpy()
    for path, _ in write_hard_pictures(images, labels, tmp_path, kind, 5, seed=0):
        assert_read_alike(fast_page, path)


def assert_read_alike(driver: Any, path: Path) -> None:
    """Check that a dropped picture, a PNG, is read to the bit as Python reads it."""
    answer = drop_picture(driver, path)
    assert answer.get("pixels") == read_digit(path).flatten().tolist(), path


@pytest.mark.browser
@pytest.mark.parametrize("inverted", [False, True])
def test_the_page_takes_mnists_own_images_as_they_are(
    inverted: bool, fast_page: Any, images: NDArray[numpy.uint8], tmp_path: Path
) -> None:
    for number, image in enumerate(images[:5]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(255 - image if inverted else image).save(path)
        answer = drop_picture(fast_page, path)
        assert answer["pixels"] == image.flatten().tolist()


@pytest.mark.browser
def test_the_page_tells_several_digits(
    fast_page: Any, images: NDArray[numpy.uint8], tmp_path: Path
) -> None:
    for path in write_several_digits(images, tmp_path, 5, seed=0):
        drop_picture(fast_page, path)
        expected = f"{path.name} shows more than one digit."
        assert read_text(fast_page, "#answer") == expected
    # Two strokes side by side, on the page's own paper
    rows, columns = numpy.mgrid[6:22, 6:28:14]
    strokes = numpy.zeros((28, 28), numpy.uint8)
    strokes[rows, columns] = 255
    answer, _ = paint_digit(fast_page, strokes)
    assert answer == {"refusal": "More than one digit found."}


@pytest.mark.browser
def test_a_painted_digit_is_normalised_to_the_bit(
    cli: RunCommand,
    checkpoints: dict[str, Path],
    images: NDArray[numpy.uint8],
    driver: Any,
) -> None:
    driver.get(export_page(cli, checkpoints["linear"]))
    for image in images[:10]:
        answer, picture = paint_digit(driver, image)
        Path("painted.png").write_bytes(picture.getvalue())
        assert answer["pixels"] == read_digit("painted.png").flatten().tolist()


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
    words: list[str], message: str, cli: RunCommand, checkpoints: dict[str, Path]
) -> None:
    given = f"--ckpt_path={checkpoints['linear']}"
    Path("no.html").mkdir()
    Path("data/raw.html").touch()
    assert message in get_error_line(cli("export", given, *words))
    assert not list(Path().glob("it*"))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"checkpoint": null}',
        '{"checkpoint": "checkpoints/best.ckpt"}',
        '{"checkpoint": "checkpoints/best.ckpt", "test/acc": "good"}',
        "{",
    ],
)
def test_a_strange_test_json_tells_no_accuracy(text: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").touch()
    (tmp_path / "test.json").write_text(text)
    path = tmp_path / "checkpoints/best.ckpt"
    metadata = export.describe_checkpoint(path, MNIST_INFO)
    assert metadata["run"] == f"{tmp_path.name}/checkpoints/best.ckpt"
    assert "test_acc" not in metadata
    at_the_root = export.describe_checkpoint(Path("/best.ckpt"), MNIST_INFO)
    assert "test_acc" not in at_the_root


def test_an_onnx_file_of_more_than_one_part_is_refused(
    cli: RunCommand, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = 4 * 109_386  # bytes: layers of 784, 128, 64 and 10 units, in float32
    monkeypatch.setattr(export, "MAX_ONNX_BYTES", weights - 1)
    words = (f"--ckpt_path={checkpoints['linear']}", "--output=it.onnx")
    message = get_error_line(cli("export", *words))
    assert message == (
        "--output: .onnx cannot hold this network: "
        "its weights are more than one file can hold"
    )
    assert not list(Path().glob("it*"))
    monkeypatch.setattr(export, "MAX_ONNX_BYTES", weights)
    assert cli("export", *words).code == 0


def test_the_page_in_docs_is_of_this_code() -> None:
    exported = (ROOT / "docs/demo/index.html").read_text(encoding="utf-8")
    assert webpage.assemble_page("demo.html", read_page_data(exported)) == exported


def test_a_page_holds_the_named_activations_alone(cli: RunCommand) -> None:
    Path("it.html").write_text("older")
    assert cli("fit", *QUICK, "--model.activation=torch.nn.GELU").code == 0
    message = get_error_line(cli("export", "--output=it.html"))
    assert message.startswith("--output: .html cannot hold this network: ")
    assert "relu, sigmoid, tanh, identity" in message
    assert Path("it.html").read_text() == "older"
    assert cli("export", "--output=it.onnx").code == 0


@pytest.mark.parametrize(
    ("network", "activation", "sizes"),
    [
        (MLP([]), "identity", [784, 10]),
        (MLP([5]), "relu", [784, 5, 10]),
        (MLP([5, 4], "tanh", dropout=0.5), "tanh", [784, 5, 4, 10]),
        (MLP([5], "torch.nn.Sigmoid"), "sigmoid", [784, 5, 10]),
    ],
)
def test_a_page_says_how_to_compute_the_network(
    network: MLP, activation: str, sizes: list[int]
) -> None:
    assert webpage.find_activation(network) == activation
    assert webpage.list_layer_sizes(network) == sizes


def mix_activations() -> MLP:
    network = MLP([5, 4], "relu")
    network[5] = nn.Tanh()  # after the second hidden layer
    return network


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(),
        nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.ReLU(), nn.Linear(5, 10)),
        nn.Sequential(*MLP([5]), nn.Softmax(dim=1)),
        nn.Sequential(*MLP([5]), *MLP([5], "tanh")),
        mix_activations(),
    ],
)
def test_a_page_holds_no_other_kind_of_network(network: nn.Module) -> None:
    with pytest.raises(SettingError, match=r"^--output: \.html cannot hold"):
        webpage.find_activation(network)


def test_a_page_offers_the_first_two_images_of_each_digit() -> None:
    labels = torch.tensor([3, 0, 3, 3, *range(10), *range(10)])
    rows = webpage.choose_samples(labels)
    assert rows.tolist() == [
        *(1, 4, 5, 15, 6, 16, 0, 2, 8, 18),
        *(9, 19, 10, 20, 11, 21, 12, 22, 13, 23),
    ]


@pytest.mark.parametrize(
    ("classes", "samples"), [(3, 6), (30, 60), (31, 31), (47, 47), (100, 60)]
)
def test_a_page_offers_fewer_images_of_each_of_many_classes(
    classes: int, samples: int
) -> None:
    labels = torch.arange(classes).repeat(3)
    rows = webpage.choose_samples(labels, classes)
    assert len(rows) == samples
    shown = labels[rows].tolist()
    assert shown == sorted(shown)


def test_without_onnxruntime_the_extra_is_named(
    cli: RunCommand, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = (f"--ckpt_path={checkpoints['linear']}", "--output=it.onnx")
    message = get_error_line(cli("export", *words))
    assert message == (
        "--output: .onnx needs onnxruntime: pip install 'mlp-lightning[onnx]'"
    )


def test_an_operator_that_onnx_lacks_is_named_without_colours(cli: RunCommand) -> None:
    assert cli("fit", *QUICK, "--model.activation=torch.nn.RReLU").code == 0
    outcome = cli("export", "--output=it.onnx")
    message = get_error_line(outcome)
    assert message.startswith(
        "--output: .onnx cannot hold this network: No ONNX function found for"
    )
    assert "aten.rrelu" in message
    assert "\x1b" not in outcome.err
    assert not Path("it.onnx").exists()


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_other_answers_than_the_checkpoints_are_not_kept(
    ending: str, cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("drifting.py").write_text(DRIFTING)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "drifting", raising=False)
    assert cli("fit", *QUICK, "--model.activation=drifting.Drifting").code == 0
    Path(f"it.{ending}").write_text("older")
    message = get_error_line(cli("export", f"--output=it.{ending}"), code=1)
    assert message.startswith(f"it.{ending}: its answers are 0.")
    assert message.endswith(" off")
    assert Path(f"it.{ending}").read_text() == "older"


@pytest.fixture
def untrained(data_dir: Path) -> tuple[MLPClassifier, MNISTDataModule]:
    return MLPClassifier(hidden_sizes=[3]), MNISTDataModule(str(data_dir))


@pytest.mark.parametrize("ending", export.FORMATS)
def test_weights_that_are_not_finite_are_not_exported(
    ending: str, untrained: tuple[MLPClassifier, MNISTDataModule], tmp_path: Path
) -> None:
    model, datamodule = untrained
    model.get_parameter("network.1.bias").data[0] = float("nan")
    output = tmp_path / f"it{ending}"
    with pytest.raises(FloatingPointError, match="its answers are nan off"):
        export.export_checkpoint(model, datamodule, str(output), "best.ckpt")
    assert not output.exists()


@pytest.mark.parametrize("ending", export.FORMATS)
@pytest.mark.parametrize("function", ["describe_checkpoint", "normalise"])
def test_a_bug_of_ours_is_not_taken_for_the_networks(
    function: str,
    ending: str,
    untrained: tuple[MLPClassifier, MNISTDataModule],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(export, function, fail)
    with pytest.raises(ValueError, match=r"^a bug$") as caught:
        export.export_checkpoint(*untrained, str(tmp_path / f"it{ending}"), "best.ckpt")
    assert caught.type is ValueError
    assert list(tmp_path.glob("it*")) == []


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        OSError(28, "No space left on device"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_the_machine_lacks_is_not_taken_for_the_networks(
    failure: Exception,
) -> None:
    with (
        pytest.raises(type(failure)) as caught,
        export.convert_exporter_errors(".onnx"),
    ):
        raise failure
    assert caught.value is failure


def test_an_exporters_refusal_carries_no_colours() -> None:
    with pytest.raises(SettingError) as caught, export.convert_exporter_errors(".onnx"):
        raise Exception("\x1b[96mNo \x1b[1;31mONNX function\x1b[0m found\nsee there")
    text = "--output: .onnx cannot hold this network: No ONNX function found"
    assert str(caught.value) == text


def test_an_exporters_refusal_gives_the_first_cause_in_one_line() -> None:
    def refuse() -> None:
        try:
            raise KeyError("aten.sort\nsee the manual")
        except KeyError as error:
            raise Exception("\x1b[96mStep 3\x1b[0m has failed") from error

    with pytest.raises(SettingError) as caught, export.convert_exporter_errors(".onnx"):
        refuse()
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert str(caught.value).startswith("--output: .onnx cannot hold this network: ")
    assert "aten.sort" in str(caught.value)
