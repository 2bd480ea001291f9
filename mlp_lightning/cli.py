"""Train a multilayer perceptron on MNIST, and test it."""

import json
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import restricted_number_type
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import DOUBTFUL, PROG, Parser, leave, say, told
from mlp_lightning.export import ExportTrainer
from mlp_lightning.figures import Figures, confusions
from mlp_lightning.predictions import Predictions
from mlp_lightning.runs import Checkpoints, find, is_finished, save_config

Seed = restricted_number_type(
    "Seed", int, [(">=", 0), ("<", 2**32)]
)  # what numpy accepts
IDLE = (
    nullcontext()
)  # Lightning enters its profiler fifty times a step, even if there is none


class CLI(LightningCLI):
    """LightningCLI whose runs can be continued, and whose errors are one line."""

    run: Path | None = None  # the run that fit makes or continues
    new: Path | None = None  # it, if it was made by this process
    path: Any = None  # the checkpoint to begin with

    def __init__(self, args: list[str] | None = None) -> None:
        with told(self):
            super().__init__(
                MLPClassifier,
                MNISTDataModule,
                trainer_class=ExportTrainer,
                save_config_callback=None,
                parser_class=Parser,
                parser_kwargs={"prog": PROG, "description": __doc__},
                args=args,
                load_from_checkpoint_support=False,
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        Parser.words = sys.argv[1:] if args is None else args
        try:
            self.config = parser.parse_args(Parser.words)
        except ValueError as error:
            parser.error(str(error))

    def _add_arguments(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed_everything", type=Seed, default=42, help="Of all randomness."
        )
        for cls, key in (
            (MLPClassifier, "model"),
            (MNISTDataModule, "data"),
            (Trainer, "trainer"),
        ):
            parser.add_lightning_class_args(cls, key)  # ours first
        parser.add_class_arguments(Checkpoints, "checkpoint")
        parser.set_defaults(
            {"trainer.max_epochs": 5, "trainer.num_sanity_val_steps": 0}
        )
        parser.add_argument("--figures", type=bool, default=True, help="Draw pictures.")
        Parser.options = parser._option_string_actions

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {**LightningCLI.subcommands(), "export": {"model", "datamodule"}}

    def _prepare_subcommand_parser(
        self, klass: Any, subcommand: str, **kwargs: Any
    ) -> Any:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            text = "Folder for predictions.csv and predictions.png; default: the run's."
            parser.add_argument("--output", default="", help=text)
        return parser

    def _parse_ckpt_path(self) -> None:
        """Parse again, first the settings of the run or in the checkpoint: the words given win."""
        command, words = self.config.subcommand, Parser.words
        given, root = (
            self.config[command].ckpt_path,
            self.config[command].trainer.default_root_dir,
        )
        self.checkpoint: dict[str, Any] = {}  # what it holds
        if given or command != "fit":
            self.run, self.path = find(given, root or "", command == "fit")
        if self.path:
            try:
                self.checkpoint = dict(torch.load(self.path, "cpu", weights_only=True))
                model = dict(self.checkpoint["hyper_parameters"])
                _ = command != "fit" or self.checkpoint["callbacks"]["Checkpoints"]
            except (
                UnpicklingError,
                EOFError,
                LookupError,
                OSError,
                *DOUBTFUL,
            ) as error:
                text = f"{self.path} is damaged, or another program's"
                raise MisconfigurationException(f"--ckpt_path: {text}") from error
        if command != "fit":
            made = {
                "model": model,
                "data": self.checkpoint.get("datamodule_hyper_parameters", {}),
            }
            settings = json.dumps({command: made}, ensure_ascii=False, default=str)
            self.parse_arguments(self.parser, ["--config", settings, *words])
            self.config[command].trainer.logger = (
                self.config[command].trainer.logger or False
            )
            now, had = (
                self.config[command].model.hidden_sizes,
                model.get("hidden_sizes"),
            )
            if now != had:
                raise MisconfigurationException(
                    f"hidden_sizes: {now}, but {self.path} holds {had}"
                )
            say(f"Using {self.path}")
        elif self.run:
            at, config = words.index("fit") + 1, f"--config={self.run / 'config.yaml'}"
            self.parse_arguments(self.parser, ["fit", config])
            before = vars(self.config.fit.as_flat())
            self.parse_arguments(self.parser, [*words[:at], config, *words[at:]])
            if is_finished(before, vars(self.config.fit.as_flat()), self.checkpoint):
                say(f"{self.run} is finished: --trainer.max_epochs N prolongs it")
                sys.exit(0)
            say(
                f"Continuing {self.run} after step {self.checkpoint.get('global_step', 0)}"
            )
        self.config[command].ckpt_path = str(self.path) if command == "export" else None

    def before_instantiate_classes(self) -> None:
        for group in ("model", "data", "data.augmentation", "checkpoint"):
            settings = self._get(self.config, group)
            if not isinstance(settings, Namespace):
                text = f"{group.split('.')[-1]}: must name its settings, got {settings}"
                raise MisconfigurationException(text)
            for key, value in vars(settings).items():
                if (
                    value is None and key != "lr_scheduler"
                ):  # as YAML may say of any option
                    raise MisconfigurationException(
                        f"{key}: must have a value, got null"
                    )
        trainer = self._get(self.config, "trainer")
        for key in (
            "accumulate_grad_batches",
            "check_val_every_n_epoch",
            "val_check_interval",
        ):
            if isinstance(trainer[key], (int, float)) and trainer[key] <= 0:
                raise MisconfigurationException(
                    f"{key}: must be above 0, got {trainer[key]}"
                )

    def after_instantiate_classes(self) -> None:
        if self.path:  # what can be tried before anything is written
            self.model.load_state_dict(self.checkpoint.get("state_dict", {}))
        if self.subcommand == "fit":
            self.model.configure_optimizers()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add checkpoints, progress bar and profiler, unless the user wants none or another."""
        command, options = (
            self.config[self.subcommand],
            self._get(self.config_init, "trainer"),
        )
        theirs = (
            options.callbacks
            if isinstance(options.callbacks, list)
            else [options.callbacks]
        )
        keeps = (
            self.subcommand == "fit"
            and not options.fast_dev_run
            and not options.barebones
        )
        checkpoints = keeps and options.enable_checkpointing is not False
        self.checkpoints = (
            [self._get(self.config_init, "checkpoint")] if checkpoints else []
        )
        self.logs = keeps and options.logger in (None, True)
        if self.logs:
            kwargs["logger"] = False  # until there is a run
        if options.profiler is None and not options.barebones:
            kwargs["profiler"] = idle = PassThroughProfiler()
            vars(idle)["profile"] = lambda action_name: IDLE
        self.text = self._parser(self.subcommand).dump(
            command, "yaml", False
        )  # with nulls
        drawn = command.figures and (keeps or self.subcommand == "test")
        self.figures = [Figures(self.text, command.as_dict())] if drawn else []
        self.trainer_defaults["callbacks"] = own = [*self.checkpoints, *self.figures]
        if self.subcommand == "predict":
            self.predictions = Predictions(Path(command.output or self.run or ""))
            own.append(self.predictions)
        bar = (
            any(isinstance(callback, ProgressBar) for callback in theirs)
            or options.barebones
        )
        if options.enable_progress_bar is not False and not bar:
            own.append(TQDMProgressBar(refresh_rate=50))
        return super().instantiate_trainer(**kwargs)

    def fit(self, **kwargs: Any) -> None:
        """Train in the folder of a run, and say what to do next."""
        if (
            not self.run
            and (self.checkpoints or self.logs)
            and self.trainer.is_global_zero
        ):
            root = self.config.fit.trainer.default_root_dir
            self.run = self.new = save_config(self.text, None, root or "")
        run = self.run or Path()  # the other processes write nothing
        if self.logs:
            step = self.checkpoint.get("global_step", 0)
            self.trainer.logger = TensorBoardLogger(
                run.parent, "", run.name, purge_step=step
            )
        for checkpoints in self.checkpoints:
            checkpoints.run, checkpoints.config = run, self.text
        self.trainer.fit(**{**kwargs, "ckpt_path": self.path, "weights_only": True})
        if self.checkpoints and self.trainer.is_global_zero:
            best = self.checkpoints[0].best_score
            path = run / "checkpoints" / ("best.ckpt" if best >= 0 else "last.ckpt")
            lines = [f"val/acc {best:.4f}"] * (best >= 0) + [f"Saved {path}"]
            lines += [f"Next: {PROG} test --ckpt_path {shlex.quote(str(path))}"]
            lines += [
                f"      tensorboard --logdir {shlex.quote(str(run.parent))}"
            ] * self.logs
            print(*lines, sep="\n")

    def test(self, **kwargs: Any) -> None:
        """Note the result in the run, unless only some of the images were counted."""
        metrics = self.trainer.test(**kwargs)
        if self.trainer.is_global_zero and hasattr(self.model, "matrix"):
            print(f"Most often taken for another: {confusions(self.model.matrix)}")
        run = self.run if self.trainer.is_global_zero else None
        if run and self.trainer.num_test_batches == [
            len(self.datamodule.test_dataloader())
        ]:
            report = {**metrics[0], "checkpoint": f"checkpoints/{self.path.name}"}
            (run / "test.json").write_text(json.dumps(report, indent=2) + "\n")
            logger = TensorBoardLogger(run.parent, name="", version=run.name)
            logger.log_metrics(
                metrics[0], self.checkpoint["global_step"] - 1
            )  # as of val/acc
            logger.finalize("success")
            for figures in self.figures:
                for name, picture in figures.pictures(self.model).items():
                    picture.save(run / f"test_{name}.png")

    def predict(self, **kwargs: Any) -> None:
        """Write the digit and the ten probabilities of each picture, or each test image."""
        self.trainer.predict(**{**kwargs, "return_predictions": False})
        if self.trainer.is_global_zero and self.predictions.errors:
            leave(1, f"{self.predictions.errors} files show no digit, as said above")
