"""Train and test configs with several seeds: the results in the README and the configs' headers.

    python benchmarks/accuracy.py configs/*.yaml --seeds 5

Without a config, the defaults of `fit` are measured. For each, one line: mean and standard
deviation of the accuracy on the 10,000 test images, median seconds of training (validation
included, start-up not), machine and versions.
"""

import argparse
import contextlib
import io
import json
import platform
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Timer

from mlp_lightning.cli import CLI


def measure(config: str | None, seed: int) -> tuple[float, float, str]:
    """Return the test accuracy in [0, 1], the seconds of training, and the device."""
    with TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        quiet = [f"--trainer.enable_{part}=false" for part in ("progress_bar", "model_summary")]
        words = [*quiet, f"--trainer.default_root_dir={root}"]
        experiment = [*([f"--config={config}"] if config else []), f"--seed_everything={seed}"]
        timing = ["--trainer.callbacks+=Timer", "--trainer.callbacks.interval=step"]
        fit: Any = CLI(["fit", *experiment, *timing, *words])
        CLI(["test", *words])
        (result,) = Path(root).glob("lightning_logs/version_*/test.json")
        accuracy = json.loads(result.read_text())["test/acc"]
    (timer,) = (callback for callback in fit.trainer.callbacks if isinstance(callback, Timer))
    device = fit.trainer.strategy.root_device
    name = f"{torch.get_num_threads()} CPU cores"
    if device.type != "cpu":
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return accuracy, timer.time_elapsed("train"), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help="none: the defaults of fit")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="0 to N-1 (default: 5)")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # LightningCLI warns if it is given words and so was Python
    versions = f"lightning {lightning.__version__}, Python {platform.python_version()}"
    print(f"{versions}, {platform.system()} {platform.machine()}")
    for config in options.configs or [None]:
        results = [measure(config, seed) for seed in range(options.seeds)]
        accuracies, seconds, (device, *_) = zip(*results, strict=True)
        spread = statistics.stdev(accuracies) if len(results) > 1 else 0.0
        accuracy = f"test/acc {statistics.mean(accuracies):.4f} ± {spread:.4f}"
        time = f"{statistics.median(seconds):.1f} s of training on {device}"
        print(config or "the defaults")
        print(f"# {accuracy} ({len(results)} seeds), {time}, torch {torch.__version__}", flush=True)


if __name__ == "__main__":
    main()
