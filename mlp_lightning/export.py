"""Turn a checkpoint into one file that needs neither Lightning nor this package.

The ending of the file chooses its format: .onnx for any ONNX runtime, .pt2 for
`torch.export.load`, .html for a page to draw on, which computes the network in the
browser. Each holds an `ExportedClassifier` and the name of the run that it comes from.
"""

import importlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import SettingError
from mlp_lightning.info import DatasetInfo
from mlp_lightning.mlp import normalise
from mlp_lightning.webpage import fill_page

# By how much a probability of the file may differ from the checkpoint's. Runtimes add
# float32 numbers in different orders, which changes a probability by about 1e-6.
TOLERANCE = 1e-5
# Weights that one .onnx file holds: torch.onnx moves more into a second file, because
# protobuf, the format beneath, ends at 2 GiB.
MAX_ONNX_BYTES = 1536 * 2**20
COLOURS = re.compile(r"\x1b\[[\d;]*m")  # as terminals take them
INPUT_DESCRIPTION = (
    "images: uint8, (batch, 28, 28), 0 paper to 255 ink; normalised inside"
)


class ExportedClassifier(nn.Module):
    """The network with all that belongs around it, so that a file can hold both.

    Takes images as the data set has them, uint8 (batch, 28, 28), of MNIST from 0 for
    paper to 255 for ink. Returns probabilities, float32 (batch, classes), each row with
    a sum of 1.
    """

    def __init__(self, network: nn.Module, mean: float, std: float) -> None:
        """Move the network to the CPU, in float32, without dropout or gradients."""
        super().__init__()
        self.mean = mean
        self.std = std
        self.network = network.cpu().float().eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        inputs = normalise(images, self.mean, self.std)  # (batch, 1, 28, 28)
        logits = self.network(inputs)  # (batch, classes)
        return torch.softmax(logits, dim=1)


class ExportSource(NamedTuple):
    """What a file is made of."""

    classifier: ExportedClassifier
    metadata: dict[str, str]  # of `describe_checkpoint`
    info: DatasetInfo
    test_set: tuple[Tensor, Tensor]  # images uint8 (n, 28, 28), labels int64 (n,)


class ExportFormat(NamedTuple):
    """How a file of this format is made, and how it answers."""

    encode: Callable[[ExportSource], bytes]
    # From a file and images, uint8 (n, 28, 28), to probabilities, (n, classes).
    run: Callable[[bytes, Tensor], Tensor] | None


def export_checkpoint(
    model: MLPClassifier, datamodule: MNISTDataModule, output: str, ckpt_path: str
) -> None:
    """Write the network of a checkpoint to a file.

    Before anything is written, the file's answers to 1,000 test images are compared
    with the checkpoint's. An older file stays as it is unless the new one is complete.

    Args:
        model: The network, with the weights of the checkpoint.
        datamodule: Has the test images.
        output: File to write; its ending is a key of FORMATS.
        ckpt_path: Checkpoint that the weights came from; the file names it.

    Raises:
        SettingError: The format is unknown or cannot hold this network, or the file
            cannot be written.
        FloatingPointError: The file's answers differ from the checkpoint's.
    """
    path = Path(os.path.expanduser(output))
    if path.suffix not in FORMATS:
        raise output_error(f"must end in {', '.join(FORMATS)}, got {path}")
    encode, run = FORMATS[path.suffix]
    datamodule.prepare_data()
    datamodule.setup("test")
    images, labels, *_ = zip(*datamodule.test_dataloader(), strict=True)  # by batch
    model.float()  # a checkpoint of 64-true has weights of 64 bits
    info = model.info
    classifier = ExportedClassifier(model.network, info.mean, info.std)
    # The exporters call our code as well. It runs here first, so that an error of its
    # own is not taken for theirs.
    expected = classifier(images[0])  # (1000, classes)
    metadata = describe_checkpoint(Path(ckpt_path), info)
    test_set = (torch.cat(images), torch.cat(labels))
    file = encode(ExportSource(classifier, metadata, info, test_set))
    # Only a browser can run a page, and the tests do so.
    answers = run(file, images[0]) if run else expected
    difference = (answers - expected).abs().max().item()
    if not difference <= TOLERANCE:  # NaN, too, is not within the tolerance
        raise FloatingPointError(f"{path}: its answers are {difference:g} off")
    replace_file(path, file)
    print(f"Wrote {path} ({len(file):,} bytes)")


def describe_checkpoint(checkpoint: Path, info: DatasetInfo) -> dict[str, str]:
    """Return what a file says of itself.

    It has `input`, `dataset`, `classes` as a list in JSON, `run` and, if it is known,
    `test_acc`.
    """
    run = checkpoint.absolute().parent.parent
    metadata = {
        "input": INPUT_DESCRIPTION,
        "dataset": info.title,
        "classes": json.dumps(info.classes, ensure_ascii=False),
        "run": f"{run.name}/{checkpoint.parent.name}/{checkpoint.name}",
    }
    accuracy = read_test_accuracy(run, checkpoint)
    if accuracy is not None:
        metadata["test_acc"] = f"{accuracy:.4f}"
    return metadata


def read_test_accuracy(run: Path, checkpoint: Path) -> float | None:
    """Return the accuracy that `test` measured for this checkpoint, from 0 to 1.

    Returns None if the run's test.json does not tell it: there is no such file, it is
    of another checkpoint or older than this one, or somebody has edited it.
    """
    report_path = run / "test.json"
    try:
        report = json.loads(report_path.read_text())
        is_newer = report_path.stat().st_mtime >= checkpoint.stat().st_mtime
    except (OSError, ValueError):  # ValueError: this is not JSON, or not text
        return None
    name = f"{checkpoint.parent.name}/{checkpoint.name}"
    if not isinstance(report, dict) or report.get("checkpoint") != name:
        return None
    accuracy = report.get("test/acc")
    return accuracy if is_newer and isinstance(accuracy, float) else None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: nobody ever meets half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            complete = Path(folder, path.name)
            complete.write_bytes(content)
            os.replace(complete, path)
    except OSError as error:
        problem = f"cannot be written, {error.strerror}: {path}"
        raise output_error(problem) from error


def output_error(problem: str) -> SettingError:
    """Return the error to raise when the user's `--output` cannot be had."""
    return SettingError(f"--output: {problem}")


@contextmanager
def convert_exporter_errors(suffix: str) -> Iterator[None]:
    """Turn what a library raises about the user's network into a SettingError.

    Only calls of the library belong in here. What the machine lacks, memory or room on
    the disk, stays the failure that it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters warn about their own code
            yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # no narrower class holds all that onnxruntime raises
        # torch raises a plain RuntimeError when the CPU's memory is too small.
        if "allocate memory" in str(error):
            raise
        problem = f"{suffix} cannot hold this network: {explain_cause(error)}"
        raise output_error(problem) from error


def explain_cause(error: BaseException) -> str:
    """Return the first line of the error that led to this one.

    torch.onnx wraps it, for example "No ONNX function found for ...", in general advice
    that is coloured for a terminal, as may be the error itself.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    first_line = COLOURS.sub("", str(error)).partition("\n")[0]
    return first_line or type(error).__name__


def trace(classifier: ExportedClassifier, suffix: str) -> torch.export.ExportedProgram:
    """Record what the classifier computes, for batches of any size."""
    # Two images, because torch.export would take a batch of one for a fixed size.
    example = torch.zeros(2, 28, 28, dtype=torch.uint8)
    dynamic_shapes = {"images": {0: torch.export.Dim("batch")}}
    with convert_exporter_errors(suffix):
        return torch.export.export(
            classifier, (example,), dynamic_shapes=dynamic_shapes
        )


def encode_pt2(source: ExportSource) -> bytes:
    """Return a file for `torch.export.load`; its about.json holds the metadata."""
    traced = trace(source.classifier, ".pt2")
    extra_files = {"about.json": json.dumps(source.metadata)}
    file = io.BytesIO()
    with convert_exporter_errors(".pt2"):
        torch.export.save(traced, file, extra_files=extra_files)
    return file.getvalue()


def run_pt2(file: bytes, images: Tensor) -> Tensor:
    with convert_exporter_errors(".pt2"):
        module = torch.export.load(io.BytesIO(file)).module()
        return cast(Tensor, module(images))


def encode_onnx(source: ExportSource) -> bytes:
    """Return an ONNX model; its metadata_props hold the metadata.

    Its input is `images`, its output `probabilities`; the first axis of both is named
    `batch`.
    """
    import_onnx_packages()
    weights = source.classifier.parameters()
    if sum(weight.nbytes for weight in weights) > MAX_ONNX_BYTES:
        problem = "its weights are more than one file can hold"
        raise output_error(f".onnx cannot hold this network: {problem}")
    traced = trace(source.classifier, ".onnx")
    with convert_exporter_errors(".onnx"):
        exported = torch.onnx.export(
            traced,
            input_names=["images"],
            output_names=["probabilities"],
            # A traced program numbers its axes, so the name has to be given again.
            dynamic_shapes={"images": {0: "batch"}},
            dynamo=True,
            verbose=False,
        )
        program = cast(torch.onnx.ONNXProgram, exported)  # as dynamo=True promises
    program.model.metadata_props.update(source.metadata)
    with convert_exporter_errors(".onnx"):
        file: bytes = program.model_proto.SerializeToString()
    return file


def import_onnx_packages() -> None:
    """Raise SettingError, with the command that installs them, if any is missing."""
    try:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            importlib.import_module(package)
    except ModuleNotFoundError as error:
        install = "pip install 'mlp-lightning[onnx]'"
        raise output_error(f".onnx needs {error.name}: {install}") from error


def run_onnx(file: bytes, images: Tensor) -> Tensor:
    import onnxruntime

    inputs = {"images": images.numpy()}
    with convert_exporter_errors(".onnx"):
        session = onnxruntime.InferenceSession(file)
        (probabilities,) = session.run(["probabilities"], inputs)
    return torch.from_numpy(probabilities)


def encode_html(source: ExportSource) -> bytes:
    """Return a page to draw on, with the network in it."""
    network = source.classifier.network
    page = fill_page(network, source.metadata, source.info, *source.test_set)
    return page.encode("utf-8")


FORMATS = {
    ".onnx": ExportFormat(encode_onnx, run_onnx),
    ".pt2": ExportFormat(encode_pt2, run_pt2),
    ".html": ExportFormat(encode_html, None),
}
