"""Lightning's Trainer as the command line shows it, with two more subcommands.

LightningCLI makes a subcommand of each method here. The first line of its docstring is
the help, and each argument but model, dataloaders and datamodule is an option, with its
line below `Args` as help. Lightning's docstrings are written for its website: their
first lines end in mid-sentence, and they offer checkpoints that do not exist here.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.types import EVAL_DATALOADERS

from mlp_lightning.classifier import MLPClassifier
from mlp_lightning.data import MNISTDataModule
from mlp_lightning.errors import silence_libraries
from mlp_lightning.export import export_checkpoint
from mlp_lightning.lesson import write_lesson

IDLE: nullcontext[None] = nullcontext()


class IdleProfiler(PassThroughProfiler):
    """Lightning's profiler that does nothing, and takes less time to do it.

    Lightning enters it for each hook of each step, and makes a generator each time: of
    a step as short as the tutorial's, that is a part worth having.
    """

    # Lightning's type is that of the generator, which is to be spared.
    def profile(self, action_name: str) -> nullcontext[None]:  # type: ignore[override]
        """Return a context manager that does nothing."""
        return IDLE


class MLPTrainer(Trainer):
    """Lightning's Trainer, which can also export a checkpoint and write the lesson."""

    def __init__(
        self,
        *,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        **options: Any,
    ) -> None:
        """Take the options of Lightning's Trainer.

        The types of these four are Lightning's, but written anew. typing gives the same
        object for `Optional[Union[int, float]]` and for `Optional[Union[float, int]]`,
        so that whoever is imported first decides whether 1 on the command line means
        one batch or 1.0, which is all of them.

        Args:
            limit_train_batches: How much of the training set an epoch has: a number of
                batches, or a fraction of them as a float; default: 1.0.
            limit_val_batches: The same of the validation set.
            limit_test_batches: The same of the test set.
            limit_predict_batches: The same of the images to predict.
            options: All others, as for Lightning's Trainer.
        """
        super().__init__(
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            **options,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set up a process that ddp_spawn starts: the trainer is all that it gets."""
        silence_libraries()
        vars(self).update(state)

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: EVAL_DATALOADERS = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[Mapping[str, float]]:
        """Measure a checkpoint on the validation images.

        Args:
            model: As for Lightning's Trainer.validate.
            dataloaders: As for Lightning's Trainer.validate.
            ckpt_path: Checkpoint or run; default: the best of the newest run.
            verbose: Print the results.
            datamodule: As for Lightning's Trainer.validate.
            weights_only: No effect on the command line: it reads checkpoints as data.
        """
        return super().validate(
            model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: EVAL_DATALOADERS = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[Mapping[str, float]]:
        """Measure a checkpoint on the 10,000 test images.

        Args:
            model: As for Lightning's Trainer.test.
            dataloaders: As for Lightning's Trainer.test.
            ckpt_path: Checkpoint or run; default: the best of the newest run.
            verbose: Print the results.
            datamodule: As for Lightning's Trainer.test.
            weights_only: No effect on the command line: it reads checkpoints as data.
        """
        return super().test(
            model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: EVAL_DATALOADERS = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        output: str = "",
    ) -> list[Any] | list[list[Any]] | None:
        """Write the class and the probabilities of pictures, or of the test images.

        Args:
            model: As for Lightning's Trainer.predict.
            dataloaders: As for Lightning's Trainer.predict.
            datamodule: As for Lightning's Trainer.predict.
            return_predictions: No effect on the command line: it writes them to files.
            ckpt_path: Checkpoint or run; default: the best of the newest run.
            weights_only: No effect on the command line: it reads checkpoints as data.
            output: Folder for predictions.csv and predictions.png; default: the run's.
                The command line alone writes them.
        """
        # `output` is an argument so that the command line has the option. cli.py reads
        # it and gives it to the callback that writes the files.
        return super().predict(
            model, dataloaders, datamodule, return_predictions, ckpt_path, weights_only
        )

    def export(
        self,
        model: MLPClassifier,
        datamodule: MNISTDataModule,
        output: str,
        ckpt_path: str = "",
    ) -> None:
        """Write the network of a checkpoint to a file that needs no Lightning.

        The file's answers to 1,000 test images are compared with the checkpoint's.

        Args:
            model: The network, with the weights of the checkpoint.
            datamodule: Has the test images.
            output: File to write; .onnx, .pt2 for torch.export.load, or .html, a page
                to draw on.
            ckpt_path: Checkpoint or run; default: the best of the newest run.

        Raises:
            SettingError: The format is unknown or cannot hold this network, or the file
                cannot be written.
            FloatingPointError: The file's answers differ from the checkpoint's.
        """
        export_checkpoint(model, datamodule, output, ckpt_path)

    def lesson(
        self,
        model: MLPClassifier,
        datamodule: MNISTDataModule,
        output: str = "lesson.html",
    ) -> None:
        """Write a page on which the network learns before your eyes, in any browser.

        It begins with the layers, the activation, the seed and the batch size that are
        set, and with the learning rate and the momentum of SGD.

        Args:
            model: The network; its weights are drawn anew, by the page.
            datamodule: Has the images.
            output: File to write; .html.

        Raises:
            SettingError: The page cannot train this network, or not by this optimizer,
                or the file cannot be written.
        """
        write_lesson(model, datamodule, output)
