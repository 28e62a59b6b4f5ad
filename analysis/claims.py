"""List the papers' claims, each with its source, the runs it needs and the rule of its verdict.

The rules were written before the runs were made. At the scale "paper", a claim is tested with the
papers' recipes; at the scale "cpu", with short recipes on CIFAR-10, which test the claim but cannot
reproduce the papers' results. These train by SGD, as the papers do.

Errors are of the last epoch, in percent; an effect is a mean over seeds, in percentage points, or
in nats if it is one of training losses. Its 95% interval is Student's (Welch's for two groups of
runs), and a claim is

- supported if the whole interval is on the claim's side,
- contradicted if the whole interval is on the other side,
- undecided otherwise, in particular with fewer than two runs of each setting, and always if the
  loss of one of its runs diverged: the mean of the others would favour their setting.
"""

from dataclasses import dataclass
from decimal import Decimal
from statistics import mean
from typing import Any, Callable, Dict, Tuple

from command import InputError
from training.recipe import Recipe, get_recipe, show_value

SCALES = ("cpu", "paper")
SEEDS = {"cpu": 3, "paper": 5}
TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000  # of CIFAR-10 and CIFAR-100
IMAGENET_TRAIN_IMAGES, IMAGENET_TEST_IMAGES = 1_281_167, 50_000


@dataclass(frozen=True)
class Setting:
    """Settings of runs that differ only in their seed."""

    network: str
    depth: int
    recipe_name: str
    changes: Tuple[Tuple[str, Any], ...] = ()  # (name, value) of the recipe
    dataset: str = "cifar10"
    widen_factor: int = 1

    @property
    def recipe(self) -> Recipe:
        """Return the named recipe with ``changes``."""
        return get_recipe(self.recipe_name, **dict(self.changes))

    def __str__(self):
        changes = "".join(f", {name} {show_value(value)}" for name, value in self.changes)
        width = f" w{self.widen_factor}" if self.widen_factor != 1 else ""
        return f"{self.network} {self.depth}{width} on {self.dataset}, {self.recipe_name}{changes}"


def _fusion(network):
    """Return {scale: Setting} of a deeply-fused network."""
    return {
        "cpu": Setting(network, 26, "fast-sgd"),
        "paper": Setting(network, 110, "deep-fusion"),
    }


def _fractal(drop_path="mixed", augmentation="+", dropout=0.1):
    """Return {scale: Setting} of a FractalNet of 20 layers, at the scale "paper" that of table 1.

    Args:
        dropout: at the scale "paper"; the short recipes have none.
    """
    changes = {"drop_path": drop_path, "augmentation": augmentation}
    short = (*changes.items(), ("dropout", 0.0))
    long = (*changes.items(), ("dropout", dropout))
    return {
        "cpu": Setting("fractal", 20, "fractal-fast-sgd", short),
        "paper": Setting("fractal_square", 20, "fractal", long, "cifar100", widen_factor=4),
    }


def _narrow(depth, drop_path):
    """Return {scale: Setting} of a FractalNet as in the paper's tables 3 and 4, on CIFAR-100++.

    These have a quarter of table 1's widths, batches of 50 images and, as far as is known, no
    dropout.

    Args:
        drop_path: at the scale "paper"; the short recipes have mixed drop-path.
    """
    short = (("drop_path", "mixed"), ("augmentation", "+"), ("dropout", 0.0))
    long = (("drop_path", drop_path), ("augmentation", "++"), ("dropout", 0.0), ("batch_size", 50))
    return {
        "cpu": Setting("fractal", depth, "fractal-fast-sgd", short),
        "paper": Setting("fractal", depth, "fractal", long, "cifar100"),
    }


def _plain(depth):
    """Return {scale: Setting} of a plain network as in the paper's table 4, on CIFAR-100++."""
    long = (("augmentation", "++"), ("batch_size", 50))
    return {
        "cpu": Setting("fractal_plain", depth, "fractal-plain-fast-sgd", (("augmentation", "+"),)),
        "paper": Setting("fractal_plain", depth, "fractal-plain", long, "cifar100"),
    }


CROSS, RESNET, HALF = _fusion("cross"), _fusion("resnet"), _fusion("half")
SIDE, PLAIN, FUSE3, FUSE6 = (_fusion(name) for name in ("side", "plain", "fuse3", "fuse6"))
ENSEMBLE = _fusion("ensemble")
# Both settings of a claim have the same dropout, except where the paper compares them so.
MIXED, LOCAL, UNDROPPED = _fractal(), _fractal("local"), _fractal("none")
MIXED_BARE, LOCAL_BARE = _fractal(augmentation="none"), _fractal("local", "none")
UNREGULARIZED_BARE = _fractal("none", "none", dropout=0.0)
# Table 3 mentions no drop-path. At the scale "cpu", its networks have it, as those of table 4 do.
TABLE3_20, TABLE3_40 = _narrow(20, "none"), _narrow(40, "none")
TABLE4_40, PLAIN20, PLAIN40 = _narrow(40, "mixed"), _plain(20), _plain(40)
# Only table 4 has the errors of all columns. At the scale "cpu", runs with three columns are used.
EVERY_COLUMN = {"cpu": MIXED["cpu"], "paper": TABLE4_40["paper"]}


@dataclass(frozen=True)
class PaperEffect:
    """The difference of two results that a paper prints, with their decimals."""

    dataset: str  # as the paper names it
    first: str
    second: str

    @property
    def value(self) -> Decimal:
        """Return the first result minus the second."""
        return Decimal(self.first) - Decimal(self.second)

    def __str__(self):
        return f"{self.dataset}: {self.first} - {self.second} = {self.value}"


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, and the test of it by runs.

    ``effect`` takes, for each of ``settings``, the last log rows of its runs. It returns one list
    of numbers, whose mean is the effect, or two lists, whose difference of means (first less
    second) is the effect. The claim says that the effect is below ``bound``.
    """

    name: str
    sentence: str
    source: str
    settings: Tuple[Dict[str, Setting], ...]
    effect: Callable  # (list of rows of each setting) -> list of one or two samples
    statistic: str  # description of the effect
    bound: float = 0.0
    paper: Tuple[PaperEffect, ...] = ()  # the effects that the paper prints
    needs: Tuple[str, ...] = ("test_error", "test_error")

    @property
    def quotes(self) -> str:
        """Return the effects that the paper prints in words, or ""."""
        return "; ".join(map(str, self.paper))


def _errors(rows):
    return [row["test_error"] for row in rows]


def _difference(first, second):
    return [_errors(first), _errors(second)]


def _deepest_less_whole(rows):
    return [[row["column_errors"][-1] - row["test_error"] for row in rows]]


def _usable_or_not(with_drop_path, without):
    return [
        [max(row["column_errors"]) for row in with_drop_path],
        [min(row["column_errors"]) for row in without],
    ]


def _columns(first, second):
    return [
        [max(row["column_errors"]) - row["test_error"] for row in rows] for rows in (first, second)
    ]


def _column_against_plain(fractal40, plain40):
    return [[row["column_errors"][-1] for row in fractal40], _errors(plain40)]


def _anytime(rows):
    """Return the largest rise of the error from a column to the next deeper one."""
    steps = []
    for row in rows:
        errors = row["column_errors"]
        steps.append(max(after - before for before, after in zip(errors, errors[1:])))
    return [steps]


def _deepest_contribution(rows):
    """Return the error without the deepest member minus that without its strongest rival.

    The rival in a run is the other member whose removal costs most in the other runs, on average.
    The largest error of the run itself would be the rival's by chance, among many members.
    """
    errors = [row["members_without"] for row in rows]  # of each run, from shallow to deep
    differences = []
    for index, (*_, deepest) in enumerate(errors):
        others = errors[:index] + errors[index + 1 :]
        means = [mean(each) for each in zip(*others)][:-1]
        if means:
            differences.append(deepest - errors[index][means.index(max(means))])
    return [differences]


DEEPEST = (
    "error without the deepest member minus that without its strongest rival: the other member "
    "whose removal costs most in the runs of the other seeds"
)
FUSION, FRACTAL = "Zhao et al., arXiv 1611.07718", "Larsson et al., ICLR 2017"
NAMED = f"{FUSION}; only its project page was read; it prints no errors of these networks"

CLAIMS = (
    Claim(
        "merge-and-run-below-resnet",
        "DFN-MR has a lower error than ResNet of the same depth, with about as many parameters.",
        f"{FUSION}, project page: consistent improvements over the ResNet; other networks, on "
        "ImageNet: 23.16 - 23.38 = -0.22",
        (CROSS, RESNET),
        _difference,
        "test error of cross minus that of resnet",
    ),
    Claim(
        "merge-and-run-below-inception-like",
        "DFN-MR has a lower error than DFN-IL.",
        NAMED,
        (CROSS, HALF),
        _difference,
        "test error of cross minus that of half",
    ),
    Claim(
        "inception-like-below-resnet",
        "DFN-IL has a lower error than ResNet.",
        NAMED,
        (HALF, RESNET),
        _difference,
        "test error of half minus that of resnet",
    ),
    Claim(
        "more-fusions-help",
        "More fusions help: six have a lower error than three.",
        NAMED,
        (FUSE6, FUSE3),
        _difference,
        "test error of fuse6 minus that of fuse3",
    ),
    Claim(
        "fusions-help",
        "Fusions help: three have a lower error than a plain network.",
        NAMED,
        (FUSE3, PLAIN),
        _difference,
        "test error of fuse3 minus that of plain",
    ),
    Claim(
        "identities-help",
        "Identities help: DFN-IL has a lower error than side.",
        NAMED,
        (HALF, SIDE),
        _difference,
        "test error of half minus that of side",
    ),
    Claim(
        "deepest-member-coupled",
        "The deepest member of three deep fusions does not contribute most.",
        f"{FUSION}, project page: the deepest network does not contribute the most",
        (FUSE3,),
        _deepest_contribution,
        DEEPEST,
        needs=("members_without",),
    ),
    Claim(
        "deepest-member-uncoupled",
        "The deepest member of the weight-sharing ensemble does not contribute most.",
        f"{FUSION}, project page: the deepest network does not contribute the most",
        (ENSEMBLE,),
        _deepest_contribution,
        DEEPEST,
        needs=("members_without",),
    ),
    Claim(
        "drop-path-helps-without-augmentation",
        "Without augmentation, drop-path lowers the error.",
        f"{FRACTAL}, table 1 and section 4.2; there, and at the scale paper, together with dropout",
        (MIXED_BARE, UNREGULARIZED_BARE),
        _difference,
        "test error with mixed drop-path minus that without",
        paper=(
            PaperEffect("CIFAR-100", "28.20", "35.34"),
            PaperEffect("CIFAR-10", "7.33", "10.18"),
        ),
    ),
    Claim(
        "deepest-column-as-good",
        "The deepest column alone is about as good as the whole network: within 2 points.",
        f"{FRACTAL}, section 4.2 and table 1, rows of the deepest column alone and above it",
        (MIXED,),
        _deepest_less_whole,
        "test error of the deepest column minus that of the whole",
        bound=2.0,
        paper=(
            PaperEffect("CIFAR-100+", "24.32", "23.73"),
            PaperEffect("CIFAR-10+", "4.68", "4.60"),
        ),
        needs=("column_errors",),
    ),
    Claim(
        "depth-degrades-plain-networks",
        "Plain networks of 40 layers have a higher training loss than those of 20.",
        f"{FRACTAL}, section 4.2, figure 3 and table 4",
        (PLAIN20, PLAIN40),
        lambda shallow, deep: [[row["train_loss"] for row in rows] for rows in (shallow, deep)],
        "training loss of fractal_plain 20 minus that of fractal_plain 40",
        paper=(PaperEffect("CIFAR-100++, training loss", "0.037", "0.580"),),
        needs=("train_loss", "train_loss"),
    ),
    Claim(
        "fractal-trains-deep-columns",
        "A column of 40 layers that is trained in a FractalNet has a lower error than a plain "
        "network of 40 layers.",
        f"{FRACTAL}, table 4",
        (TABLE4_40, PLAIN40),
        _column_against_plain,
        "test error of the fractal's deepest column minus that of fractal_plain 40",
        paper=(PaperEffect("CIFAR-100++", "31.75", "38.84"),),
        needs=("column_errors", "test_error"),
    ),
    Claim(
        "more-columns-do-not-hurt",
        "More columns and more depth do not hurt: the error with 40 layers is less than 1 point "
        "above that with 20.",
        f"{FRACTAL}, table 3; at the scale paper, without drop-path",
        (TABLE3_40, TABLE3_20),
        _difference,
        "test error of fractal 40 minus that of fractal 20",
        bound=1.0,
        paper=(PaperEffect("CIFAR-100++", "27.38", "27.69"),),
    ),
    Claim(
        "drop-path-makes-columns-usable",
        "Drop-path makes columns usable on their own: the error of the worst column with it is at "
        "least 10 points below that of the best one without.",
        f"{FRACTAL}, sections 3.1 and 4.2",
        (MIXED, UNDROPPED),
        _usable_or_not,
        "error of the worst column with mixed drop-path minus that of the best column without",
        bound=-10.0,
        needs=("column_errors", "column_errors"),
    ),
    Claim(
        "anytime",
        "Each deeper column is better than the one before: accuracy grows with time.",
        f"{FRACTAL}, abstract and section 5; its table 4 has a rise from 20 to 40 layers",
        (EVERY_COLUMN,),
        _anytime,
        "the largest rise of the error from a column to the next deeper one",
        paper=(PaperEffect("CIFAR-100++", "31.75", "31.31"),),
        needs=("column_errors",),
    ),
    Claim(
        "mixed-columns-better-than-local",
        "Columns alone are worse after local drop-path than after mixed drop-path.",
        "a question of FractalNet's users; section 3.1 gives the reason",
        (MIXED, LOCAL),
        _columns,
        "worst column minus whole, after mixed minus after local drop-path",
        needs=("column_errors", "column_errors"),
    ),
    Claim(
        "mixed-columns-better-than-local-without-augmentation",
        "Without augmentation, too, columns alone are worse after local drop-path than after mixed "
        "drop-path.",
        "a question of FractalNet's users; section 3.1 gives the reason",
        (MIXED_BARE, LOCAL_BARE),
        _columns,
        "worst column minus whole, after mixed minus after local drop-path",
        needs=("column_errors", "column_errors"),
    ),
)


def require_scale(scale):
    """Check that ``scale`` is one of SCALES.

    Raises:
        InputError: it is not.
    """
    if scale not in SCALES:
        raise InputError(f"scale must be {' or '.join(SCALES)}, not {scale!r}", argument="scale")


def list_queue(scale):
    """Return (Setting, seed) of every run that the claims need, the most informative first.

    Raises:
        InputError: ``scale`` is not one of SCALES.
    """
    require_scale(scale)
    pairs = [(setting[scale], seed) for seed in range(SEEDS[scale]) for setting in (CROSS, RESNET)]
    drop_paths = (MIXED, UNDROPPED, LOCAL, MIXED_BARE, UNREGULARIZED_BARE, LOCAL_BARE)
    fusions = (HALF, SIDE, PLAIN, FUSE3, FUSE6)
    tables = (PLAIN20, PLAIN40, TABLE4_40, TABLE3_20, TABLE3_40)
    once = [*drop_paths, *fusions, *tables, ENSEMBLE]
    pairs += [(setting[scale], seed) for seed in range(SEEDS[scale]) for setting in once]
    return list(dict.fromkeys(pairs))  # at the scale "cpu", some settings are the same
