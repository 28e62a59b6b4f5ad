"""Define the settings of a run and of the machine that trains it, as stored in ``config.json``."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional

from command import InputError
from engine.distributed import DISTRIBUTED
from engine.precision import DTYPES
from filesystem import is_path
from training.options import check_options, option
from training.recipe import Recipe
from training.serialization import from_plain

FIXED = ("log_dir", "exp_name")  # settings of a RuntimeConfig that a resumed run keeps

ENGINES = ("mxnet", "torch")
CONFIG_FORMAT = 2  # version of config.json; format 1 did not contain this number


@dataclass(frozen=True)
class Run:
    """Everything that determines a result: network, data set, recipe and seed."""

    network: str = option(metavar="NAME", help="the network")
    depth: Optional[int] = option(help="weight layers of the corresponding plain network")
    dataset: str = option(help="the data set")
    data_dir: str = option(metavar="DIR", help="folder of the .rec files; default: data/<dataset>")
    recipe_name: str
    recipe: Recipe
    widen_factor: int = option(1, help="multiplies the network's widths", low=1)
    train_file: str = option("train.rec", metavar="FILE", help="training images")
    test_file: str = option("test.rec", metavar="FILE", help="test images")
    val_split: int = option(
        0,
        metavar="N",
        help="hold out N training images and test on them instead of on the test set",
        low=0,
    )
    seed: int = option(0, help="seed of the (first) run", low=0)
    data_shape: int = option(32, help="height and width of the network's input", low=1)
    classes: Optional[int] = None  # for photographs; None: those of the data set
    dtype: str = option(
        "float32",
        choices=DTYPES,
        help="data type of convolutions; bfloat16 is for CPUs that support it and, with --engine "
        "torch, for GPUs; tf32 is for GPUs, with --engine torch; float16 is for GPUs, without "
        "--engine torch",
    )
    init_from: Optional[str] = option(
        None,
        metavar="RUN|FILE|NAME",
        help="start from the parameters of a run, of a .params or .safetensors file, or of a "
        "pretrained network; a classifier with another number of classes is initialized randomly",
    )

    def __post_init__(self):
        check_options(self)
        if self.recipe.early_stop and not self.val_split:
            raise InputError(
                "early_stop needs held-out images: give val_split, too",
                argument=("early_stop", "val_split"),
            )

    @property
    def tested_on(self) -> str:
        """Return the name of the images for the log's test errors: "test" or "held-out"."""
        return "held-out" if self.val_split else "test"

    def to_json(self) -> Dict[str, Any]:
        """Return plain values for ``config.json``."""
        return {"format": CONFIG_FORMAT, **asdict(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, config: Dict[str, Any]) -> "Run":
        """Return the run of a ``config.json``.

        Raises:
            InputError: a setting is missing or not allowed, or a later version wrote the file.
        """
        version = config.get("format", 1)
        if type(version) is not int or not 1 <= version <= CONFIG_FORMAT:
            raise InputError(
                f"its format is {version!r}, but this version reads formats up to {CONFIG_FORMAT}: "
                "use a later version of the project"
            )
        return from_plain(cls, {**config, "recipe": Recipe.from_json(config.get("recipe"))})


@dataclass(frozen=True)
class RuntimeConfig:
    """Where a run is trained and which files it writes.

    Of these settings, only the devices, the engine and ``compile`` change a result (apart from
    rounding): each device computes its own batch statistics, and random numbers for dropout and
    drop-path differ between engines, between CPUs and GPUs, and in compiled steps.
    """

    engine: str = option(
        ENGINES[0],
        choices=ENGINES,
        help="library that computes: MXNet, or PyTorch running the network that MXNet compiled, "
        "also on GPUs that MXNet has no code for. Each can resume runs of the other",
    )
    gpus: Optional[str] = option(
        None,
        help="such as 0,1, or cpu; default: every GPU that the engine sees, else the CPU. Each "
        "gets a share of the batch and has its own batch statistics. With --engine torch, a "
        "process uses one GPU; torchrun starts a process for each",
    )
    kv_store: str = option(
        "device",
        choices=("device", "local", "nccl", DISTRIBUTED),
        help="how gradients of several devices are summed; dist_sync: also of several machines, in "
        "a job that python -m tools.launch starts",
    )
    wait_limit: int = option(
        600,
        metavar="SECONDS",
        help="with dist_sync or torchrun, stop after waiting this long for the other workers; "
        "choose more than the time of a step",
        low=1,
    )
    test_batch_size: int = option(250, help="number of images tested at once", low=1)
    log_dir: str = option("snapshot", metavar="DIR", help="folder of the runs' folders")
    exp_name: str = option("run", metavar="NAME", help="the run's folder is <exp-name><k>")
    log_iters: int = option(
        100, metavar="N", help="number of steps between lines of the log", low=1
    )
    checkpoint_epochs: Optional[int] = option(
        None,
        metavar="N",
        help="number of epochs between checkpoints that are kept; default: an eighth of all "
        "epochs. The newest is always kept",
        low=1,
    )
    log_columns: bool = option(
        False,
        help="test every column of FractalNet after each epoch, not only after the last, and draw "
        "columns.png",
    )
    tensorboard: bool = option(
        False,
        help="also write the metrics of each epoch to the run's folder tensorboard; view them with "
        "tensorboard --logdir snapshot (needs tensorboardX)",
    )
    compile: bool = option(
        False,
        help="with --engine torch, compile the training steps (torch.compile): on a CPU, the first "
        "takes 20 to 100 seconds longer, so only long runs can gain; not measured on GPUs",
    )
    on_divergence: str = option(
        "stop",
        choices=("stop", "continue"),
        help="what to do if the mean loss of a step or test exceeds 10,000 nats; one that is not "
        "finite always stops a run",
    )
    quiet: bool = option(False, help="show only errors")

    def __post_init__(self):
        check_options(self)
        if is_path(self.exp_name):
            raise InputError(
                f"exp_name must be a plain name, not {self.exp_name!r}", argument="exp_name"
            )
        if self.compile and self.engine != "torch":
            raise InputError(
                "compile needs engine torch; with another engine, turn it off",
                argument=("compile", "engine"),
            )
        if self.engine == "torch" and self.kv_store == DISTRIBUTED:
            raise InputError(
                f"kv_store {DISTRIBUTED} needs engine mxnet, not torch",
                argument=("kv_store", "engine"),
            )

    @classmethod
    def from_json(cls, config: Dict[str, Any]) -> "RuntimeConfig":
        """Return the settings of a ``config.json``.

        Raises:
            InputError: a setting is missing or not allowed.
        """
        return from_plain(cls, config.get("machine"))


@dataclass(frozen=True)
class RunInfo:
    """Facts that follow from a run's settings, as stored in ``config.json``."""

    recipe_changes: dict  # values that differ from the named recipe's
    parameters: int
    multiply_adds: int
    layers: int  # on the longest path
    devices: int  # the largest number, if the run was resumed with another; so are ``workers``
    data: dict  # number and checksum of the images
    workers: int = 1  # processes that train together, with ``devices`` each
    built_depth: Optional[int] = None  # the smallest depth that gives the same network
    described: Optional[dict] = None  # photographs or own data set; see ``to_json`` in data.spec

    def __post_init__(self):
        for name in ("parameters", "multiply_adds", "layers", "devices", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")

    @classmethod
    def from_json(cls, config: Dict[str, Any]) -> "RunInfo":
        """Return the facts of a ``config.json``.

        Raises:
            InputError: a fact is missing or not allowed.
        """
        return from_plain(cls, config)

    def images(self, part: str) -> Dict[str, Any]:
        """Return the facts on the "train" or "test" images; {} if ``data`` does not have them."""
        facts = self.data.get(part)
        return facts if isinstance(facts, dict) else {}
