"""A checkpoint's network, without Lightning: as .onnx, as .pt2, or as a page to draw on, .html."""

import base64
import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from mlp_lightning.mlp import ACTIVATIONS, MEAN, STD, normalise

PAGE = Path(__file__).parent / "page.html"
TOLERANCE = 1e-5  # of a probability
SAMPLES = 2  # test images of each digit on the page


class ExportTrainer(Trainer):
    """Trainer with one more subcommand."""

    def export(self, model: Any, datamodule: Any, output: str, ckpt_path: str | None = None) -> None:
        """Write the network of a checkpoint to a file that needs no Lightning.

        Args:
            output: File to write: .onnx, .pt2 (for torch.export.load), or .html, a page to draw on.
            ckpt_path: Checkpoint or run; default: the best of the newest run.
        """


class Reader(nn.Module):
    """From images as MNIST has them, uint8, (batch, 28, 28), to float32 (batch, 10)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.network(normalise(images)), dim=1)


def export(network: Any, path: Path, batch: tuple[Tensor, Tensor], about: dict[str, str]) -> None:
    """Write a network to a file of the kind that the ending tells, and compare its answers.

    The batch has test images, uint8, (batch, 28, 28), and labels; `about` goes into the file.
    Raises MisconfigurationException if the network has no such form, FloatingPointError if what was
    written answers otherwise; then no file is left, nor an older one touched.
    """
    kinds = {".onnx": _write_onnx, ".pt2": _write_pt2, ".html": _write_html}
    if path.suffix not in kinds:
        raise MisconfigurationException(f"output: must end in {', '.join(kinds)}, got {path}")
    reader = Reader(network.cpu().float()).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporters, about torch
        part = Path(scratch, path.name)
        try:
            run = kinds[path.suffix](reader, part, batch, about)
        except ModuleNotFoundError as error:
            text = f"{path.suffix} needs {error.name}: pip install 'mlp-lightning[onnx]'"
            raise MisconfigurationException(f"output: {text}") from error
        except (RuntimeError, TypeError, ValueError) as error:
            text = f"cannot hold this network: {str(error).strip().splitlines()[0]}"
            raise MisconfigurationException(f"output: {path.suffix} {text}") from error
        with torch.no_grad():
            away = (run(batch[0]) - reader(batch[0])).abs().max().item()
        if not away <= TOLERANCE:
            raise FloatingPointError(f"{path}: its answers are {away:g} off the checkpoint's")
        os.replace(part, path)


def _trace(reader: Reader) -> Any:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    free = {"images": {0: torch.export.Dim("batch")}}
    return torch.export.export(reader, (images,), dynamic_shapes=free)


def _write_pt2(reader: Reader, path: Path, batch: Any, about: dict[str, str]) -> Any:
    torch.export.save(_trace(reader), path, extra_files={"about.json": json.dumps(about)})
    return torch.export.load(path).module()


def _write_onnx(reader: Reader, path: Path, batch: Any, about: dict[str, str]) -> Any:
    import onnxruntime
    import onnxscript  # noqa: F401

    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    program = torch.onnx.export(
        _trace(reader), input_names=["images"], output_names=["probabilities"], dynamo=True, verbose=False
    )
    program.model.metadata_props.update(about)
    program.save(path)
    session = onnxruntime.InferenceSession(path)
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _write_html(reader: Reader, path: Path, batch: Any, about: dict[str, str]) -> Any:
    layers, linear = list(reader.network.children()), nn.Linear
    names = {cls: name for name, cls in ACTIVATIONS.items()}
    between = {type(layer) for layer in layers[2::3]} or {nn.Identity}
    hidden = [linear, *between, nn.Dropout] * (len(layers) // 3)
    if not between <= names.keys() or [type(x) for x in layers] != [nn.Flatten, *hidden, linear]:
        raise TypeError(f"its activation must be one of {', '.join(ACTIVATIONS)}")
    images, labels = batch
    rows = [(labels == digit).nonzero()[i] for i in range(SAMPLES) for digit in range(10)]
    weights = torch.cat([weight.detach().flatten() for weight in reader.parameters()])
    sizes = [28 * 28, *(layer.out_features for layer in layers if isinstance(layer, linear))]
    text = ", ".join(f"{key}: {value}" for key, value in about.items() if key != "input")
    model = {
        "sizes": sizes,
        "activation": names[between.pop()],
        "mean": MEAN,
        "std": STD,
        "weights": base64.b64encode(weights.numpy().astype("<f4").tobytes()).decode(),
        "images": base64.b64encode(images[torch.cat(rows)].numpy().tobytes()).decode(),
        "labels": labels[torch.cat(rows)].tolist(),
        "about": text,
    }
    page = PAGE.read_text(encoding="utf-8")
    path.write_text(page.replace("MODEL", json.dumps(model).replace("<", r"\u003c")), "utf-8")
    return reader
