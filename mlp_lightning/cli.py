"""Train a multilayer perceptron on MNIST, and test it."""

import json
import logging
import os
import re
import sys
import warnings
from contextlib import nullcontext
from functools import cached_property
from pickle import UnpicklingError
from typing import Any, NoReturn

import numpy
import torch
from jsonargparse.typing import restricted_number_type
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.runs import find_checkpoint, run_of

PROG = "python -m mlp_lightning"
Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])  # what numpy accepts
REFUSED = (ValueError, TypeError, ImportError, RuntimeError, UnpicklingError, EOFError)


def _exit(code: int, message: str) -> NoReturn:
    rank_zero_only(print)(f"{PROG}: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


class NoProfiler(PassThroughProfiler):
    """Costs nothing: Lightning enters its profiler fifty times a step, even with none to fill."""

    idle = nullcontext()

    def profile(self, action_name: str) -> Any:
        return self.idle


class EpochCheckpoint(ModelCheckpoint):
    """Saves after validations or epochs, so at each step there is nothing to ask or to format."""

    @cached_property
    def state_key(self) -> str:
        return super().state_key

    def on_train_batch_end(self, *args: Any) -> None:
        pass


class Parser(LightningArgumentParser):
    """Says in one line what is wrong, and helps without naming all the classes of torch."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        _exit(2, re.sub(r'Parser key "([\w.]+)"', r"--\1", message))

    def format_help(self, *args: Any) -> str:
        self.usage = self.prog.replace(" [options]", "") + " [options]"
        return re.sub(r",\s+known\s+subclasses:[^)]*", "", super().format_help(*args))


class CLI(LightningCLI):
    """Exits with 2 for what is refused, or fails, before the first step, 1 for what fails later."""

    def __init__(self, args: list[str] | None = None) -> None:
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")  # torch's
        for module in ("pytorch.utilities.rank_zero", "fabric"):  # advertisements too
            logging.getLogger(f"lightning.{module}").setLevel(logging.WARNING)
        try:
            super().__init__(
                MLPClassifier,
                MNISTDataModule,
                parser_class=Parser,
                parser_kwargs={"prog": PROG, "description": __doc__},
                args=args,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        except (MisconfigurationException, OSError, *REFUSED) as error:
            loop = hasattr(self, "trainer") and getattr(self.trainer, f"{self.subcommand}_loop")
            started = loop and getattr(loop, "epoch_loop", loop).batch_progress.total.ready
            if started and isinstance(error, REFUSED):
                raise  # a batch was taken, so no option is to blame any more: a bug
            _exit(1 if started else 2, str(error))
        except (KeyboardInterrupt, SystemExit) as error:  # Lightning turns one into the other
            if isinstance(error.__context__ or error, KeyboardInterrupt):
                _exit(130, "interrupted")
            raise

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--seed_everything", type=Seed, default=42, help="Of all randomness.")

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for cls, key in ((MLPClassifier, "model"), (MNISTDataModule, "data"), (Trainer, "trainer")):
            parser.add_lightning_class_args(cls, key)  # ours first
        parser.set_defaults({"trainer.max_epochs": 5, "trainer.num_sanity_val_steps": 0})

    def _parse_ckpt_path(self) -> None:
        """Parse again, the settings in the checkpoint first, so that the words given win."""
        command = self.config.subcommand
        if command == "fit":
            return super()._parse_ckpt_path()
        options = self.config[command]
        self.path = find_checkpoint(options.ckpt_path, options.trainer.default_root_dir or "")
        try:
            self.checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
            model = self.checkpoint["hyper_parameters"]
        except (OSError, LookupError, *REFUSED) as error:
            raise ValueError(f"--ckpt_path: {self.path} is damaged or another program's") from error
        data = self.checkpoint.get("datamodule_hyper_parameters", {})
        settings = json.dumps({command: {"model": model, "data": data}}, ensure_ascii=False)
        self.config = self.parser.parse_args(["--config", settings, *self.parser.args])
        options = self.config[command]
        options.ckpt_path = None  # the weights are loaded below, without callbacks and the like
        options.trainer.logger = options.trainer.logger or False  # no new run
        if (given := options.model.hidden_sizes) != (held := model.get("hidden_sizes")):
            raise ValueError(f"--model.hidden_sizes: {given}, but {self.path} holds {held}")
        rank_zero_only(print)(f"Using {self.path}")

    def after_instantiate_classes(self) -> None:
        if self.subcommand != "fit":
            self.model.load_state_dict(self.checkpoint.get("state_dict", {}))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add checkpoints, progress bar and profiler, unless the user wants none or another."""
        options = self._get(self.config_init, "trainer")
        theirs = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        best = EpochCheckpoint(None, "best", "val/acc", mode="max", save_on_train_epoch_end=False)
        last = EpochCheckpoint(None, "last", save_on_train_epoch_end=True)
        wanted = options.enable_checkpointing is not False and not options.barebones
        self.checkpoints = [best, last] if wanted else []
        wanted = options.enable_progress_bar is not False and not options.barebones
        if wanted and not any(isinstance(callback, ProgressBar) for callback in theirs):
            theirs += [TQDMProgressBar(refresh_rate=50)]
        if options.logger is False or options.barebones:
            self.save_config_callback = None  # there is no run's folder for config.yaml
        if options.profiler is None and not options.barebones:
            kwargs["profiler"] = NoProfiler()
        return super().instantiate_trainer(
            callbacks=self.checkpoints + [c for c in theirs if c], **kwargs
        )

    def after_fit(self) -> None:
        saved = [callback for callback in self.checkpoints if callback.best_model_path]
        if saved and self.trainer.is_global_zero:
            path = os.path.relpath(saved[0].best_model_path)
            if saved[0].best_model_score is not None:
                print(f"val/acc {saved[0].best_model_score:.4f}")
            print(f"Saved {path}\nNext: {PROG} test --ckpt_path {path}")
            if isinstance(self.trainer.logger, TensorBoardLogger):
                print(f"      tensorboard --logdir {os.path.relpath(self.trainer.logger.root_dir)}")

    def test(self, **kwargs: Any) -> None:
        """Note the result in the run, unless only some of the images were counted."""
        metrics = self.trainer.test(**kwargs)
        run = run_of(self.path) if self.trainer.is_global_zero else None
        if run and self.trainer.num_test_batches == [len(self.datamodule.test_dataloader())]:
            report = {**metrics[0], "checkpoint": f"checkpoints/{self.path.name}"}
            (run / "test.json").write_text(json.dumps(report, indent=2) + "\n")
            logger = TensorBoardLogger(run.parent, name="", version=run.name)
            logger.log_metrics(metrics[0], self.checkpoint["global_step"])
            logger.finalize("success")

    def predict(self, **kwargs: Any) -> None:
        """Write the digit and the ten probabilities of each test image."""
        predictions: Any = self.trainer.predict(**{**kwargs, "return_predictions": True})
        if self.trainer.is_global_zero:
            table = torch.cat(predictions)
            table = torch.column_stack([table.argmax(dim=1), table])
            path = f"{run_of(self.path) or '.'}/predictions.csv"
            header = "digit,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
            numpy.savetxt(path, table, "%g", ",", header=header, comments="")
            print(f"Wrote {path}")
