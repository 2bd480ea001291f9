"""Train a multilayer perceptron on MNIST, and test it.

`search STUDY.yaml` searches for the best settings: see `search --help`.
"""

import shlex
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from jsonargparse.typing import restricted_number_type
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from mlp_lightning import errors, hardware, locks, runs, tuning
from mlp_lightning.arguments import ShortParser, find_option, parse_words
from mlp_lightning.batches import DEFAULT_SEED
from mlp_lightning.checkpoints import RunCheckpoint, place_checkpoints
from mlp_lightning.checks import (
    build_trainer_parts,
    check_settings,
    check_training,
    load_weights,
)
from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import PROGRAM, SettingError
from mlp_lightning.figures import Figures
from mlp_lightning.loggers import open_loggers
from mlp_lightning.predictions import Predictions
from mlp_lightning.projector import Projector
from mlp_lightning.results import Results, print_result, write_hparams
from mlp_lightning.settings import summarise_settings
from mlp_lightning.start import find_start
from mlp_lightning.tensorboard import find_board_logger
from mlp_lightning.trainer import IdleProfiler, MLPTrainer

MAX_EPOCHS = 5  # as in the tutorial
BAR_REFRESH_RATE = 50  # steps: to draw the bar takes longer than a step
Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])  # as numpy has it
# What Lightning raises, besides its own MisconfigurationException, for values that it
# does not know, and for packages that are missing.
UNUSABLE = (ImportError, RuntimeError, TypeError, ValueError)


class MLPCLI(LightningCLI):
    """LightningCLI whose runs can be continued, and whose errors are one line."""

    trainer: MLPTrainer
    model: MLPClassifier
    datamodule: MNISTDataModule

    def __init__(self, args: list[str] | None = None) -> None:
        """Run the command line with these words, else with those of the shell."""
        self.parsers: list[LightningArgumentParser] = []  # one for each subcommand
        self.command = ""
        self.keeps_checkpoints = False
        self.run_checkpoint = RunCheckpoint()  # until the options are known
        self.run_folder: Path | None = None  # of the run that is made, or gone on with
        errors.silence_libraries()
        name_option = partial(find_option, parsers=self.parsers)
        report = errors.report_errors(name_option, self.describe_resumption)
        with report, ExitStack() as self.locks:
            super().__init__(
                MLPClassifier,
                MNISTDataModule,
                trainer_class=MLPTrainer,
                save_config_callback=None,  # RunCheckpoint keeps the run's config.yaml
                parser_class=ShortParser,
                parser_kwargs={"prog": PROGRAM, "description": __doc__},
                args=args,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    # The options

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return Lightning's subcommands, `export` and `lesson`."""
        subcommands = LightningCLI.subcommands()
        # The options that a subcommand does not have.
        subcommands["export"] = {"model", "datamodule"}
        subcommands["lesson"] = {"model", "datamodule"}
        return subcommands

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add --seed_everything."""
        help_text = "Of all random number generators."
        parser.add_argument(
            "--seed_everything", type=Seed, default=DEFAULT_SEED, help=help_text
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of model, data and trainer, ours first."""
        parser.add_lightning_class_args(MLPClassifier, "model")
        parser.add_lightning_class_args(MNISTDataModule, "data")
        parser.add_lightning_class_args(MLPTrainer, "trainer")
        defaults = {"trainer.max_epochs": MAX_EPOCHS, "trainer.num_sanity_val_steps": 0}
        parser.set_defaults(defaults)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is neither model, nor data, nor trainer."""
        parser.add_class_arguments(RunCheckpoint, "checkpoint")
        parser.add_argument("--figures", type=bool, default=True, help="Draw pictures.")
        parser.link_arguments("data.info", "model.info", apply_on="instantiate")
        self.parsers.append(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Set the config, and find the run or the checkpoint to begin with."""
        words = list(sys.argv[1:] if args is None else args)
        parse = partial(parse_words, parser, subparsers=self.parsers)
        self.start = find_start(words, parse, self.locks)
        self.run_folder = self.start.run
        self.config = self.start.config
        self.command = self.config.subcommand
        self.options = self.config[self.command]
        # Else Lightning lets the settings in the checkpoint override the command line.
        self.options.ckpt_path = None

    # Model, data and trainer

    def before_instantiate_classes(self) -> None:
        """Refuse what the types of the options let pass."""
        check_settings(self.options)
        trainer = self.options.trainer
        is_trial = trainer.fast_dev_run or trainer.barebones
        keeps_run = self.command == "fit" and not is_trial
        self.logs_to_run = keeps_run and trainer.logger is not False
        self.keeps_checkpoints = keeps_run and trainer.enable_checkpointing is not False
        self.draws = self.options.figures and (keeps_run or self.command == "test")

    def instantiate_classes(self) -> None:
        """Build the trainer's parts, then model, data and trainer.

        Lightning would build all at once. What the user's callbacks and loggers refuse
        could then not be told from a bug in model or data.
        """
        trainer_options = self.options.trainer.clone()
        if self.logs_to_run:
            trainer_options.logger = False  # until there is a run
        elif self.command != "fit":
            trainer_options.logger = None
        self.trainer_options = build_trainer_parts(trainer_options)
        whole = self.config
        self.config = whole.clone()
        del self.config[self.command]["trainer"]
        super().instantiate_classes()
        self.config = whole

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        """Add checkpoints, pictures and a bar, and no logger until there is a run."""
        options = {**self.trainer_options, **kwargs}
        user_callbacks = tuning.remove_finders(options["callbacks"])
        has_finders = len(user_callbacks) < len(options["callbacks"])
        self.searches = has_finders and not options["fast_dev_run"]
        own_callbacks = self.make_callbacks(user_callbacks)
        options["callbacks"] = [*user_callbacks, *own_callbacks]
        if self.command != "fit":
            options["logger"] = open_loggers(self.options.trainer, self.run_folder)
        if options["profiler"] is None and not options["barebones"]:
            options["profiler"] = IdleProfiler()
        try:
            return super().instantiate_trainer(**options)
        except UNUSABLE as error:
            raise SettingError(f"--trainer: {error}") from error

    def make_callbacks(self, user_callbacks: list[Callback]) -> list[Callback]:
        """Return what this project adds to the callbacks of the user."""
        self.run_checkpoint = self.config_init[self.command].checkpoint
        self.figures = Figures()
        callbacks: list[Callback] = []
        if self.keeps_checkpoints:
            callbacks.append(self.run_checkpoint)
        if self.draws:
            callbacks += [self.figures, Projector()]
        if self.command == "test":
            callbacks.append(Results(self.start, self.figures if self.draws else None))
        if self.command == "predict":
            folder = self.options.output or self.run_folder or ""
            self.predictions = Predictions(Path(folder))
            callbacks.append(self.predictions)
        trainer = self.options.trainer
        wants_bar = trainer.enable_progress_bar is not False and not trainer.barebones
        has_bar = any(isinstance(one, ProgressBar) for one in user_callbacks)
        if wants_bar and not has_bar:
            callbacks.append(TQDMProgressBar(BAR_REFRESH_RATE))
        return callbacks

    def after_instantiate_classes(self) -> None:
        """Try what can be tried before anything is written."""
        strategy = self.trainer.strategy
        device = strategy.root_device
        with hardware.use_forkable_threads(strategy):
            if self.start.path:
                load_weights(self.model, self.start.checkpoint, self.trainer.precision)
            if self.command == "fit":
                check_training(self.model, self.datamodule, self.trainer)
        if self.command not in ("export", "lesson") and device.type == "cpu":
            hardware.warn_of_slow_precision(self.trainer.precision)

    # The subcommands: what this project does before and after Lightning's own

    def fit(
        self, model: LightningModule, datamodule: LightningDataModule, **_: object
    ) -> None:
        """Train in the folder of a run, and say what to do next."""
        is_new = self.run_folder is None
        path = self.start.path
        hardware.keep_freed_memory()
        if is_new and self.searches:
            with hardware.use_threads(self.count_threads()):
                tuning.search_settings(self.options, self.model, self.datamodule)
        try:
            self.open_run()
            threads = self.count_threads()
            hardware.announce_threads(threads)
            signals = errors.forward_signals(self.trainer.strategy)
            with hardware.use_threads(threads), signals:
                self.trainer.fit(model, None, None, datamodule, path, weights_only=True)
        except Exception as error:
            if is_new and self.run_folder and self.trainer.global_step == 0:
                self.locks.close()  # some systems remove no open file
                runs.remove_if_refused(self.run_folder, error)
            raise
        if self.run_folder and self.keeps_checkpoints:
            self.run_checkpoint.read_back()
            has_curves = find_board_logger(self.trainer) is not None
            print_result(self.run_folder, self.run_checkpoint.best_score, has_curves)

    def count_threads(self) -> int:
        """Return how many threads train; Lightning's number if it starts processes."""
        strategy = self.trainer.strategy
        if strategy.root_device.type == "cpu" and strategy.launcher is None:
            batch_size = self.datamodule.hparams["batch_size"]
            return hardware.choose_threads(self.model, batch_size)
        return torch.get_num_threads()

    def open_run(self) -> None:
        """Make the folder of the run if it is new, and have all written there."""
        parsers = dict(zip(self.subcommands(), self.parsers, strict=True))
        parser = parsers[self.command]
        config_text = parser.dump(self.options, "yaml", False)  # nulls included
        settings = summarise_settings(self.options.as_dict())
        is_new = self.run_folder is None
        keeps_files = self.keeps_checkpoints or self.logs_to_run
        if is_new and keeps_files and self.trainer.is_global_zero:
            root = self.options.trainer.default_root_dir
            self.run_folder = runs.make_run(config_text, root)
            self.locks.enter_context(locks.lock_run(self.run_folder))
        run = self.run_folder or Path()  # the other processes write nothing
        self.run_checkpoint.use_run(run, config_text)
        self.figures.use_run(self.run_folder, config_text, settings)
        if self.logs_to_run:
            to_log = settings if is_new else {}
            step = self.start.step
            trainer = self.options.trainer
            self.trainer.loggers = open_loggers(trainer, self.run_folder, step, to_log)
            if self.trainer.is_global_zero:
                write_hparams(run, settings)
        if self.run_folder is not None:
            place_checkpoints(self.trainer, self.run_folder)

    def predict(
        self, model: LightningModule, datamodule: LightningDataModule, **_: object
    ) -> None:
        """Write the class and all probabilities of each picture, or test image."""
        self.trainer.predict(model, None, datamodule, return_predictions=False)
        if not self.trainer.is_global_zero:
            return
        count = self.predictions.count_errors()
        if count:
            files = "1 file was" if count == 1 else f"{count} files were"
            errors.exit_with_error(errors.FAILED, f"{files} not read: see the table")

    def export(
        self,
        model: MLPClassifier,
        datamodule: MNISTDataModule,
        output: str,
        **_: object,
    ) -> None:
        """Write the network to a file that needs no Lightning."""
        self.trainer.export(model, datamodule, output, str(self.start.path))

    def describe_resumption(self) -> str:
        """Return how to go on with the run that was stopped, if there is one."""
        if self.run_folder is None or not self.keeps_checkpoints:
            return ""
        if self.run_checkpoint.finished:
            return "; the run is finished"
        run = shlex.quote(str(self.run_folder))
        return f"; to go on: {PROGRAM} fit --ckpt_path {run}"
