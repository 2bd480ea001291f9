"""A network without Lightning: as .onnx, as torch.export's .pt2, or as a page to draw on, .html."""

import base64
import json
import os
import warnings
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from mlp_lightning.mlp import ACTIVATIONS, MEAN, STD, normalise

TOLERANCE = 1e-5  # of a probability
INPUT = "images: uint8, (batch, 28, 28), 0 paper to 255 ink; normalised inside"


class Reader(nn.Module):
    """From images as MNIST has them, uint8, (batch, 28, 28), to probabilities, (batch, 10)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.cpu().float().eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.network(normalise(images)), dim=1)


class ExportTrainer(Trainer):
    """Lightning's, with one more subcommand."""

    def export(
        self, model: Any, datamodule: Any, output: str, ckpt_path: str = ""
    ) -> None:
        """Write the network of a checkpoint to a file that needs no Lightning.

        What was written is run on 1,000 test images, and compared with the checkpoint. Raises
        MisconfigurationException if the network has no such form, FloatingPointError if the answers
        differ; then no file is left, and an older one not touched.

        Args:
            output: File to write; .onnx, .pt2 for torch.export.load, or .html, a page to draw on.
            ckpt_path: Checkpoint or run; default: the best of the newest run.
        """
        path = Path(os.path.expanduser(output))
        writers = {".onnx": _write_onnx, ".pt2": _write_pt2, ".html": _write_html}
        if path.suffix not in writers:
            raise MisconfigurationException(
                f"--output: must end in {', '.join(writers)}, got {path}"
            )
        datamodule.prepare_data()
        datamodule.setup("test")
        batch = next(iter(datamodule.test_dataloader()))
        reader, about = Reader(model.network), _describe(Path(ckpt_path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=path.parent) as scratch:
                part = Path(scratch, path.name)
                run = _write(writers[path.suffix], reader, part, about, batch)
                away = (run(batch[0]) - reader(batch[0])).abs().max().item()
                if not away <= TOLERANCE:
                    raise FloatingPointError(f"{path}: its answers are {away:g} off")
                os.replace(part, path)
        except OSError as error:
            text = f"cannot be written, {error.strerror}: {path}"
            raise MisconfigurationException(f"--output: {text}") from error
        print(f"Wrote {path} ({path.stat().st_size:,} bytes)")


def _write(writer: Any, reader: Reader, path: Path, *data: Any) -> Any:
    """Write the file, and return what answers like it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporters warn of themselves
            return writer(reader, path, *data)
    except ModuleNotFoundError as error:
        text = f"{path.suffix} needs {error.name}: pip install 'mlp-lightning[onnx]'"
        raise MisconfigurationException(f"--output: {text}") from error
    except (RuntimeError, TypeError, ValueError) as error:
        text = f"{path.suffix} cannot hold this network: {error}".splitlines()[0]
        raise MisconfigurationException(f"--output: {text}") from error


def _describe(checkpoint: Path) -> dict[str, str]:
    """Return what the input is, which run the network is of, and its test accuracy, if known."""
    run = checkpoint.absolute().parent.parent
    about = {
        "input": INPUT,
        "run": f"{run.name}/{checkpoint.parent.name}/{checkpoint.name}",
    }
    with suppress(
        OSError, ValueError, LookupError, TypeError
    ):  # not tested, or not this one
        report = json.loads((run / "test.json").read_text())
        newer = (run / "test.json").stat().st_mtime >= checkpoint.stat().st_mtime
        if newer and run / report["checkpoint"] == checkpoint.absolute():
            about["test_acc"] = f"{report['test/acc']:.4f}"
    return about


def _trace(reader: Reader) -> Any:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    sizes = {"images": {0: torch.export.Dim("batch")}}
    return torch.export.export(reader, (images,), dynamic_shapes=sizes)


def _write_pt2(reader: Reader, path: Path, about: dict[str, str], _: Any) -> Any:
    torch.export.save(
        _trace(reader), path, extra_files={"about.json": json.dumps(about)}
    )
    return torch.export.load(path).module()


def _write_onnx(reader: Reader, path: Path, about: dict[str, str], _: Any) -> Any:
    import onnxruntime

    traced = _trace(reader)
    program: Any = torch.onnx.export(
        traced,
        input_names=["images"],
        output_names=["probabilities"],
        dynamo=True,
        verbose=False,
    )
    program.model.metadata_props.update(about)
    program.save(path)
    if len(os.listdir(path.parent)) > 1:  # the weights, in a file besides
        raise ValueError("its weights are more than one file can hold")
    session = onnxruntime.InferenceSession(path.read_bytes())
    return lambda images: torch.from_numpy(
        session.run(None, {"images": images.numpy()})[0]
    )


def _write_html(
    reader: Reader, path: Path, about: dict[str, str], batch: Any
) -> Reader:
    layers: Any = list(reader.network.children())
    names = {cls: name for name, cls in ACTIVATIONS.items()}
    (activation, *others) = {type(layer) for layer in layers[2::3]} or {nn.Identity}
    hidden = [nn.Linear, activation, nn.Dropout] * (len(layers) // 3)
    expected = [nn.Flatten, *hidden, nn.Linear]
    if (
        others
        or activation not in names
        or [type(layer) for layer in layers] != expected
    ):
        raise TypeError(f"between its layers must be one of {', '.join(ACTIVATIONS)}")
    images, labels = batch
    shown = torch.cat(
        [(labels == digit).nonzero()[:2] for digit in range(10)]
    ).flatten()
    weights = torch.cat([weight.flatten() for weight in reader.parameters()])
    text = f"Run {about['run']}"
    if "test_acc" in about:
        text += f": {float(about['test_acc']):.2%} of the test images right"
    model = {
        "about": text,
        "sizes": [28 * 28, *(layer.out_features for layer in layers[1::3])],
        "activation": names[activation],
        "mean": MEAN,
        "std": STD,
        "weights": base64.b64encode(weights.numpy().astype("<f4").tobytes()).decode(),
        "images": base64.b64encode(images[shown].numpy().tobytes()).decode(),
        "labels": labels[shown].tolist(),
    }
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    data = json.dumps(model).replace(
        "<", "\\u003c"
    )  # of no run's name may end the script
    path.write_text(page.replace("MODEL", data), encoding="utf-8")
    return reader  # a browser would be needed: the tests have one
