"""All that Lightning brings to plug in, and what the command line makes of it.

`find_stock` looks into Lightning's modules; `ROWS` has at least one row for each name
that it finds. tests/test_stock.py runs them.
"""

import inspect
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import torch
from lightning.fabric.loggers.logger import Logger
from lightning.pytorch import Callback, Trainer, callbacks, loggers, profilers
from lightning.pytorch import accelerators as accelerators_module
from lightning.pytorch import plugins as plugins_module
from lightning.pytorch import strategies as strategies_module
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.plugins import CheckpointIO, LayerSync, Precision, environments
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy, StrategyRegistry

# Group of names, as it is called here, to a module and the base of its classes.
PLACES: list[tuple[str, ModuleType, type | tuple[type, ...]]] = [
    ("callbacks", callbacks, Callback),
    ("loggers", loggers, Logger),
    ("profilers", profilers, Profiler),
    ("strategies", strategies_module, Strategy),
    ("accelerators", accelerators_module, Accelerator),
    ("plugins", plugins_module, (Precision, CheckpointIO, LayerSync)),
    ("environments", environments, ClusterEnvironment),
]
# Lightning keeps the names of classes that it has removed or renamed here.
GRAVEYARD = "lightning.pytorch._graveyard"


def find_stock() -> set[str]:
    """Return the names of all that Lightning's users may plug in.

    A class is `callbacks.EarlyStopping`, a name that an option knows is
    `precision=16-mixed`, an option of the Trainer is `trainer.max_epochs`.
    """
    found = set()
    for group, module, base in PLACES:
        for name, value in vars(module).items():
            is_stock = inspect.isclass(value) and issubclass(value, base)
            if is_stock and not value.__module__.startswith(GRAVEYARD):
                found.add(f"{group}.{name}")
    found |= {f"strategy={name}" for name in StrategyRegistry.available_strategies()}
    names = AcceleratorRegistry.available_accelerators()
    found |= {f"accelerator={name}" for name in names}
    options = inspect.signature(Trainer.__init__).parameters
    precisions = list_literals(options["precision"].annotation)
    found |= {f"precision={value}" for value in precisions}
    found |= {f"trainer.{name}" for name in options if name != "self"}
    return found


def list_literals(annotation: object) -> Iterator[object]:
    """Yield the values that a union of Literals allows."""
    for part in typing.get_args(annotation):
        if typing.get_origin(part) is typing.Literal:
            yield from typing.get_args(part)


class Row(NamedTuple):
    """What is plugged in, how, and what has to come of it."""

    name: str  # as find_stock has it
    words: str = ""  # of the command line, besides those of every row
    refused: str = ""  # a part of the one line that refuses it; empty: it works
    skipped: str = ""  # the reason
    warning: str = ""  # how a warning begins that Lightning gives
    # Training batches, those of a search among them, until it is killed; 0: never.
    stop_at: int = 6
    keeps_run: bool = True  # and a checkpoint, so that it can be tested

    def describe(self) -> str:
        """Return the name of its test."""
        return f"{self.name} {self.words}".strip()


def callback(name: str, words: str = "", **row: typing.Any) -> Row:
    """Return the row of a callback, with its arguments as `name=value`."""
    added = [f"--trainer.callbacks.{word}" for word in words.split()]
    command = " ".join([f"--trainer.callbacks+={name}", *added])
    return Row(f"callbacks.{name}", command, **row)


def plugin(
    name: str, words: str = "", group: str = "plugins", **row: typing.Any
) -> Row:
    """Return the row of a plugin, with its arguments as `name=value`."""
    added = [f"--trainer.plugins.{word}" for word in words.split()]
    command = " ".join([f"--trainer.plugins={name}", *added])
    return Row(f"{group}.{name}", command, **row)


def strategy_class(name: str, arguments: str = "", **row: typing.Any) -> Row:
    """Return the row of a strategy's class; its arguments are those of YAML."""
    value = f"{{class_path: {name}, init_args: {{{arguments}}}}}"
    return Row(f"strategies.{name}", f"'--trainer.strategy={value}'", **row)


def strategy(name: str, **row: typing.Any) -> Row:
    """Return the row of a strategy that Lightning knows by name."""
    return Row(f"strategy={name}", f"--trainer.strategy={name}", **row)


def accelerator_class(name: str, **row: typing.Any) -> Row:
    """Return the row of an accelerator's class."""
    value = f"{{class_path: {name}}}"
    return Row(f"accelerators.{name}", f"'--trainer.accelerator={value}'", **row)


def accelerator(name: str, **row: typing.Any) -> Row:
    """Return the row of an accelerator that Lightning knows by name."""
    return Row(f"accelerator={name}", f"--trainer.accelerator={name}", **row)


def precision(value: str, **row: typing.Any) -> Row:
    """Return the row of a precision."""
    return Row(f"precision={value}", f"--trainer.precision={value}", **row)


def option(name: str, value: object, words: str = "", **row: typing.Any) -> Row:
    """Return the row of an option of the Trainer."""
    return Row(f"trainer.{name}", f"'--trainer.{name}={value}' {words}", **row)


NO_CUDA = "" if torch.cuda.is_available() else "`CUDAAccelerator` can not run"
NO_MPS = "" if torch.backends.mps.is_available() else "`MPSAccelerator` can not run"
NO_XLA = "Requirement 'torch_xla>=1.13' not met. HINT: Try running `pip install"
NO_DEEPSPEED = "Install it by running `pip install -U deepspeed`"
ABSTRACT = "Expected an instantiatable class, but is abstract"
NO_DEVICE = "missing 1 required positional argument: 'device'"
NO_GPU = "requires a GPU accelerator"
HISTORIC = "`precision=.*` is supported for historical reasons"
NO_AMP_16 = "You passed `Trainer.accelerator='cpu', precision='16-mixed'"
NOT_EMPTY = "Checkpoint directory .* exists and is not empty"
BAR = " --trainer.enable_progress_bar=true"

CALLBACKS = [
    callback("BackboneFinetuning", refused="and this one has none"),
    callback("BaseFinetuning", refused="BaseFinetuning is for subclasses"),
    callback("BasePredictionWriter"),
    callback("BatchSizeFinder", "max_trials=2 steps_per_trial=1", stop_at=4),
    callback("Callback"),
    callback("Checkpoint"),
    callback("DeviceStatsMonitor"),
    callback("EMAWeightAveraging", "decay=0.9"),
    callback("EarlyStopping", "monitor=val/loss"),
    Row(
        "callbacks.GradientAccumulationScheduler",
        "'--trainer.callbacks+={class_path: GradientAccumulationScheduler, "
        "init_args: {scheduling: {0: 1, 1: 2}}}'",
    ),
    callback("LambdaCallback"),
    callback("LearningRateFinder", "num_training_steps=30", stop_at=36),
    callback("LearningRateMonitor"),
    callback("ModelCheckpoint", warning=NOT_EMPTY),
    callback(
        "ModelCheckpoint",
        "every_n_train_steps=3 save_top_k=-1 save_last=true",
        warning=NOT_EMPTY,
    ),
    callback("ModelCheckpoint", "filename=best", refused="choose another filename"),
    # Its masks are in no checkpoint: see docs/resume.md.
    callback("ModelPruning", "pruning_fn=l1_unstructured amount=0.5", stop_at=0),
    callback("ModelSummary"),
    callback(
        "OnExceptionCheckpoint",
        "dirpath=failed",
        refused="would let the next run begin with what it has left",
    ),
    callback("ProgressBar", refused="enable_progress_bar=False"),
    Row("callbacks.ProgressBar", "--trainer.callbacks+=ProgressBar" + BAR),
    callback("RichModelSummary"),
    Row("callbacks.RichProgressBar", "--trainer.callbacks+=RichProgressBar" + BAR),
    callback("SpikeDetection"),
    callback("StochasticWeightAveraging", "swa_lrs=0.01 swa_epoch_start=1"),
    Row("callbacks.TQDMProgressBar", "--trainer.callbacks+=TQDMProgressBar" + BAR),
    callback(
        "ThroughputMonitor",
        "batch_size_fn=stock.count_images window_size=3",
        warning="When using the `ThroughputMonitor`, you need to define a `flops_per",
    ),
    callback("Timer", "duration=00:01:00:00"),
    callback("Timer"),
    callback("WeightAveraging"),
]
LOGGERS = [
    Row("loggers.CSVLogger", "--trainer.logger=CSVLogger"),
    Row(
        "loggers.CometLogger",
        "--trainer.logger=CometLogger",
        refused="Requirement 'comet-ml>=3.44.4' not met. HINT: Try running `pip ins",
    ),
    Row(
        "loggers.LitLogger",
        "--trainer.logger=LitLogger",
        refused="LitLogger",  # it is none of Lightning's own Logger classes
    ),
    Row("loggers.Logger", "--trainer.logger=Logger", refused=ABSTRACT),
    Row(
        "loggers.MLFlowLogger",
        "--trainer.logger=MLFlowLogger "
        "--trainer.logger.tracking_uri=sqlite:///mlflow.db",
        warning="The ``noload`` loader strategy is deprecated",
    ),
    Row(
        "loggers.TensorBoardLogger",
        "--trainer.logger=TensorBoardLogger --trainer.logger.save_dir=curves "
        "--trainer.logger.name=mine",
    ),
    Row(
        "loggers.WandbLogger",
        "--trainer.logger=WandbLogger --trainer.logger.offline=true",
        warning="There is a wandb run already in progress",  # the killed one
    ),
]
PROFILERS = [
    Row("profilers.AdvancedProfiler", "--trainer.profiler=AdvancedProfiler"),
    Row("profilers.PassThroughProfiler", "--trainer.profiler=PassThroughProfiler"),
    Row(
        "profilers.Profiler",
        "--trainer.profiler=Profiler",
        refused="it can only be one of ['simple', 'advanced', 'pytorch', 'xla']",
    ),
    Row(
        "profilers.PyTorchProfiler",
        "--trainer.profiler=PyTorchProfiler",
        warning="The PyTorch Profiler default schedule will be overridden",
        # What is killed in this process ends when it is deleted, while another one
        # runs. torch does not survive that.
        stop_at=0,
    ),
    Row("profilers.SimpleProfiler", "--trainer.profiler=SimpleProfiler"),
    Row(
        "profilers.XLAProfiler",
        "--trainer.profiler=XLAProfiler",
        refused="--trainer.profiler: is for TPUs, and needs `pip install torch_xla`",
    ),
]
# With one process: tests/test_hardware.py has them with two.
STRATEGIES = [
    strategy_class("DDPStrategy", "find_unused_parameters: false"),
    strategy_class("DeepSpeedStrategy", refused=NO_DEEPSPEED),
    strategy_class("FSDPStrategy", refused=NO_GPU),
    strategy_class("ModelParallelStrategy", refused="configure_model"),
    strategy_class("ParallelStrategy", refused="You selected an invalid strategy"),
    strategy_class("SingleDeviceStrategy", "device: cpu"),
    strategy_class("SingleDeviceXLAStrategy", "device: 0", refused=NO_XLA),
    strategy_class("Strategy", refused="You selected an invalid strategy"),
    strategy_class("XLAStrategy", refused=NO_XLA),
    strategy("ddp"),
    strategy("ddp_find_unused_parameters_false"),
    strategy(
        "ddp_find_unused_parameters_true",
        warning="find_unused_parameters=True was specified",
    ),
    strategy("ddp_fork"),
    strategy("ddp_fork_find_unused_parameters_false"),
    strategy("ddp_fork_find_unused_parameters_true"),
    strategy("ddp_notebook"),
    strategy("ddp_notebook_find_unused_parameters_false"),
    strategy("ddp_notebook_find_unused_parameters_true"),
    strategy("ddp_spawn", stop_at=0),
    strategy("ddp_spawn_find_unused_parameters_false", stop_at=0),
    strategy("ddp_spawn_find_unused_parameters_true", stop_at=0),
    strategy("deepspeed", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_1", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_2", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_2_offload", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_3", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_3_offload", refused=NO_DEEPSPEED),
    strategy("deepspeed_stage_3_offload_nvme", refused=NO_DEEPSPEED),
    strategy("fsdp", refused=NO_GPU),
    strategy("fsdp_cpu_offload", refused=NO_GPU),
    strategy("single_device"),
    strategy(
        "single_tpu",
        refused=NO_DEVICE,
        warning="The 'single_tpu' strategy is deprecated",
    ),
    strategy("single_xla", refused=NO_DEVICE),
    strategy("xla", refused=NO_XLA),
    strategy("xla_debug", refused=NO_XLA),
]
ACCELERATORS = [
    accelerator("cpu"),
    accelerator("cuda", refused=NO_CUDA),
    accelerator("mps", refused=NO_MPS),
    accelerator("tpu", refused=NO_XLA),
    accelerator_class("Accelerator", refused="You selected an invalid accelerator"),
    accelerator_class("CPUAccelerator"),
    accelerator_class("CUDAAccelerator", refused=NO_CUDA),
    accelerator_class("MPSAccelerator", refused=NO_MPS),
    accelerator_class("XLAAccelerator", refused=NO_XLA),
]
PLUGINS = [
    plugin("AsyncCheckpointIO"),
    plugin(
        "BitsandbytesPrecision",
        "mode=nf4",
        refused="Requirement 'bitsandbytes' not met. HINT: Try running `pip install",
    ),
    plugin("CheckpointIO", refused=ABSTRACT),
    plugin(
        "DeepSpeedPrecision",
        "precision=32-true",
        refused="DeepSpeedPrecision works with --trainer.strategy=deepspeed",
    ),
    plugin("DoublePrecision"),
    plugin("FSDPPrecision", "precision=32-true"),
    plugin("HalfPrecision", "precision=bf16-true"),
    plugin("LayerSync", refused=ABSTRACT),
    plugin("MixedPrecision", "precision=bf16-mixed device=cpu"),
    plugin("Precision"),
    plugin("TorchCheckpointIO"),
    plugin("TorchSyncBatchNorm"),
    plugin(
        "TransformerEnginePrecision",
        "weights_dtype=torch.float32",
        refused="Requirement 'transformer_engine>=0.11.0' not met. HINT: Try running",
    ),
    plugin("XLACheckpointIO", refused=NO_XLA),
    plugin("XLAPrecision", refused=NO_XLA),
    plugin("ClusterEnvironment", group="environments", refused=ABSTRACT),
    plugin("KubeflowEnvironment", group="environments"),
    plugin("LSFEnvironment", group="environments", refused="`LSB_DJOB_RANKFILE`"),
    plugin("LightningEnvironment", group="environments"),
    plugin("MPIEnvironment", group="environments", refused="'mpi4py' not met. HINT"),
    plugin("SLURMEnvironment", group="environments"),
    plugin("TorchElasticEnvironment", group="environments"),
    plugin("XLAEnvironment", group="environments", refused=NO_XLA),
]
NO_ENGINE = "Requirement 'transformer_engine>=0.11.0' not met. HINT: Try running `pip"
PRECISIONS = [
    precision("16", warning=f"{HISTORIC}|{NO_AMP_16}"),
    precision("16-mixed", warning=NO_AMP_16),
    precision("16-true"),
    precision("32"),
    precision("32-true"),
    precision("64"),
    precision("64-true"),
    precision("bf16", warning=HISTORIC),
    precision("bf16-mixed"),
    precision("bf16-true"),
    precision("transformer-engine", refused=NO_ENGINE),
    precision("transformer-engine-float16", refused=NO_ENGINE),
]
BARE = "enable_progress_bar enable_model_summary log_every_n_steps"
SWITCHED_OFF = " ".join(f"--trainer.{name}=null" for name in BARE.split())
OPTIONS = [
    option("accelerator", "auto"),
    option("strategy", "auto"),
    option("devices", 1),
    option("devices", "[0]", refused="`devices`"),
    option("devices", "auto"),
    option(
        "num_nodes", 2, skipped="waits for another machine: see the tests with torchrun"
    ),
    option("precision", "null"),
    option("logger", "true"),
    option("logger", "false"),
    option("logger", "[CSVLogger, TensorBoardLogger]"),
    option("callbacks", "null"),
    option("callbacks", "LambdaCallback"),
    option("fast_dev_run", "true", keeps_run=False),
    option("fast_dev_run", 2, keeps_run=False),
    option("max_epochs", 1, stop_at=2),
    option("min_epochs", 1),
    option("max_steps", 6),
    option("min_steps", 3),
    option("max_time", "00:01:00:00"),
    option("max_time", "{hours: 1}"),
    option("limit_train_batches", 0, keeps_run=False),
    option("limit_train_batches", 1, stop_at=2),
    option("limit_train_batches", 0.5, stop_at=3),
    option("limit_val_batches", 0),
    option("limit_test_batches", 0.1),
    option("limit_predict_batches", 1),
    option("overfit_batches", 1, stop_at=2),
    option("overfit_batches", 0.5, stop_at=3),
    option("val_check_interval", 3),
    option("val_check_interval", 0.5),
    option("val_check_interval", "00:01:00:00"),
    option("check_val_every_n_epoch", 2),
    option("check_val_every_n_epoch", "null", "--trainer.val_check_interval=3"),
    option("num_sanity_val_steps", 1),
    option("log_every_n_steps", 3),
    option("enable_checkpointing", "false", keeps_run=False),
    option("enable_progress_bar", "true"),
    option("enable_model_summary", "true"),
    option("accumulate_grad_batches", 3),
    option("gradient_clip_val", 0.5),
    option("gradient_clip_algorithm", "value", "--trainer.gradient_clip_val=0.5"),
    option("gradient_clip_algorithm", "half", refused="half is invalid. Allowed algo"),
    option("deterministic", "true"),
    option("deterministic", "warn"),
    option("benchmark", "true"),
    option("inference_mode", "false"),
    option("use_distributed_sampler", "false"),
    option("profiler", "simple"),
    option("profiler", "xla", refused="--trainer.profiler: is for TPUs"),
    option("detect_anomaly", "true"),
    option(
        "barebones",
        "true",
        SWITCHED_OFF,
        keeps_run=False,
        warning="You are trying to `self.log",
    ),
    option("barebones", "true", refused="so it is disabled in barebones mode"),
    option("plugins", "[TorchCheckpointIO, Precision]"),
    option("plugins", "[TorchCheckpointIO, TorchCheckpointIO]", refused="multiple val"),
    option("sync_batchnorm", "true"),
    option("reload_dataloaders_every_n_epochs", 1),
    option("default_root_dir", "."),
    option("enable_autolog_hparams", "false"),
    option("model_registry", "mine/mlp"),
]
# What the table has besides: torch's own, through the model's options.
SCHEDULES = [
    Row("model.lr_scheduler", "--model.lr_scheduler=ReduceLROnPlateau"),
    Row("model.lr_scheduler", "--model.lr_scheduler=CosineAnnealingLR"),
    Row(
        "model.lr_scheduler",
        "--model.lr_scheduler=CosineAnnealingWarmRestarts",
        refused="T_0",
    ),
    Row("model.optimizer", "--model.optimizer=Muon", refused="matri"),
]
ROWS = [
    *CALLBACKS,
    *LOGGERS,
    *PROFILERS,
    *STRATEGIES,
    *ACCELERATORS,
    *PLUGINS,
    *PRECISIONS,
    *OPTIONS,
    *SCHEDULES,
]
# These run in every pytest, the others with `pytest -m stock`: a part of each row's
# name and words.
PLAIN = [
    "+=BackboneFinetuning",
    "+=BatchSizeFinder",
    "+=LearningRateFinder",
    "+=ModelCheckpoint --trainer.callbacks.filename=best",
    "+=OnExceptionCheckpoint",
    "callbacks.Timer --trainer.callbacks+=Timer --trainer.callbacks.duration",
    "loggers.CSVLogger",
    "loggers.TensorBoardLogger",
    "'--trainer.logger=[CSVLogger",
    "plugins=AsyncCheckpointIO",
    "plugins=DeepSpeedPrecision",
    "'--trainer.profiler=xla'",
    "precision=64-true",
    "lr_scheduler=CosineAnnealingLR",
    "lr_scheduler=CosineAnnealingWarmRestarts",
    "lr_scheduler=ReduceLROnPlateau",
    "optimizer=Muon",
]


def count_images(batch: tuple[torch.Tensor, torch.Tensor]) -> int:
    """Return the size of a batch, for ThroughputMonitor."""
    return len(batch[0])
