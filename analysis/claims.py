"""List the papers' claims, each with its source, the runs it needs and the rule of its verdict.

The rules were written before the runs were made. At the scale "paper", a claim is tested with the
papers' recipes; at the scale "cpu", with short recipes on CIFAR-10, which test the claim but cannot
reproduce the papers' figures.

Errors are of the last epoch, in percent; an effect is a mean over seeds, in points. Its 95%
interval is Student's (Welch's for two groups of runs), and a claim is

- supported if the whole interval is on the claim's side,
- contradicted if the whole interval is on the other side,
- undecided otherwise, in particular with fewer than two runs of each setting.
"""

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Optional, Tuple

from command import InputError
from training.recipe import Recipe, get_recipe

SCALES = ("cpu", "paper")
SEEDS = {"cpu": 3, "paper": 5}
TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000  # of CIFAR-10 and CIFAR-100


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
        changes = "".join(f", {name} {value}" for name, value in self.changes)
        width = f" w{self.widen_factor}" if self.widen_factor != 1 else ""
        return f"{self.network} {self.depth}{width} on {self.dataset}, {self.recipe_name}{changes}"


def _fusion(network, depth=26, **changes):
    """Return {scale: Setting} of a deeply-fused network."""
    paper = {26: 110}.get(depth, depth)
    return {
        "cpu": Setting(network, depth, "fast", tuple(changes.items())),
        "paper": Setting(network, paper, "deep-fusion", tuple(changes.items())),
    }


def _fractal(depth=20, drop_path="mixed", augmentation="+", dropout=0.0, network="fractal"):
    """Return {scale: Setting} of a FractalNet; widths are the paper's of each table."""
    changes = {"drop_path": drop_path, "augmentation": augmentation, "dropout": dropout}
    if network == "fractal_plain":
        changes = {"augmentation": augmentation}
    plain = "-plain" if network == "fractal_plain" else ""
    short = Setting(network, depth, f"fractal{plain}-fast", tuple(changes.items()))
    long = replace(short, recipe_name=f"fractal{plain}", dataset="cifar100")
    return {"cpu": short, "paper": replace(long, widen_factor=4 if depth == 20 else 1)}


CROSS, RESNET, HALF = _fusion("cross"), _fusion("resnet"), _fusion("half")
SIDE, PLAIN, FUSE3, FUSE6 = (_fusion(name) for name in ("side", "plain", "fuse3", "fuse6"))
ENSEMBLE = _fusion("ensemble")
MIXED, LOCAL = _fractal(), _fractal(drop_path="local")
UNREGULARIZED = _fractal(drop_path="none")
MIXED_BARE = _fractal(augmentation="none")
LOCAL_BARE = _fractal(drop_path="local", augmentation="none")
UNREGULARIZED_BARE = _fractal(drop_path="none", augmentation="none")
FRACTAL40 = _fractal(depth=40)
PLAIN20, PLAIN40 = (_fractal(depth=depth, network="fractal_plain") for depth in (20, 40))


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
    paper: Optional[str] = None  # the effect that the paper prints, if any


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
    """Return the error without the deepest member minus the largest error without another."""
    differences = []
    for row in rows:
        *others, deepest = row["members_without"]  # errors, from shallow to deep
        differences.append(deepest - max(others))
    return [differences]


FUSION, FRACTAL = "Zhao et al., arXiv 1611.07718", "Larsson et al., ICLR 2017"

CLAIMS = (
    Claim(
        "merge-and-run-below-resnet",
        "DFN-MR has a lower error than ResNet of the same depth and parameters.",
        f"{FUSION}, project page: consistent improvements over the ResNet",
        (CROSS, RESNET),
        _difference,
        "test error of cross minus that of resnet",
        paper="ImageNet, top-1: 23.16 - 23.38 = -0.22",
    ),
    Claim(
        "merge-and-run-below-inception-like",
        "DFN-MR has a lower error than DFN-IL.",
        f"{FUSION}, section on merge-and-run fusion",
        (CROSS, HALF),
        _difference,
        "test error of cross minus that of half",
    ),
    Claim(
        "inception-like-below-resnet",
        "DFN-IL has a lower error than ResNet.",
        f"{FUSION}, section on the average depth",
        (HALF, RESNET),
        _difference,
        "test error of half minus that of resnet",
    ),
    Claim(
        "more-fusions-help",
        "More fusions help: six have a lower error than three.",
        f"{FUSION}, section on the number of fusions",
        (FUSE6, FUSE3),
        _difference,
        "test error of fuse6 minus that of fuse3",
    ),
    Claim(
        "fusions-help",
        "Fusions help: three have a lower error than a plain network.",
        f"{FUSION}, section on the number of fusions",
        (FUSE3, PLAIN),
        _difference,
        "test error of fuse3 minus that of plain",
    ),
    Claim(
        "identities-help",
        "Identities help: DFN-IL has a lower error than side.",
        f"{FUSION}, project page: side is DFN-IL without identities",
        (HALF, SIDE),
        _difference,
        "test error of half minus that of side",
    ),
    Claim(
        "deepest-member-coupled",
        "The deepest member of three deep fusions does not contribute most (coupled).",
        f"{FUSION}, project page: the deepest network does not contribute the most",
        (FUSE3,),
        _deepest_contribution,
        "error without the deepest member minus the largest error without another",
    ),
    Claim(
        "deepest-member-uncoupled",
        "The deepest member of the weight-sharing ensemble does not contribute most (uncoupled).",
        f"{FUSION}, project page: the deepest network does not contribute the most",
        (ENSEMBLE,),
        _deepest_contribution,
        "error without the deepest member minus the largest error without another",
    ),
    Claim(
        "drop-path-helps-without-augmentation",
        "Drop-path lowers the error without augmentation and without dropout.",
        f"{FRACTAL}, table 1 and section 4.1",
        (MIXED_BARE, UNREGULARIZED_BARE),
        _difference,
        "test error with mixed drop-path minus that without",
        paper="CIFAR-100: 28.20 - 35.34 = -7.14; CIFAR-10: 7.33 - 10.18 = -2.85 (with dropout)",
    ),
    Claim(
        "deepest-column-as-good",
        "The deepest column alone is about as good as the whole network: within 2 points.",
        f"{FRACTAL}, table 1, last two rows",
        (MIXED,),
        _deepest_less_whole,
        "test error of the deepest column minus that of the whole",
        bound=2.0,
        paper="CIFAR-10+: 4.68 - 4.60 = 0.08; CIFAR-100+: 24.32 - 23.73 = 0.59",
    ),
    Claim(
        "depth-degrades-plain-networks",
        "Plain networks of 40 layers train worse than those of 20.",
        f"{FRACTAL}, section 4.3, figure 3 and table 4",
        (PLAIN20, PLAIN40),
        lambda shallow, deep: [[row["train_loss"] for row in rows] for rows in (shallow, deep)],
        "training loss of plain 20 minus that of plain 40",
        paper="CIFAR-100++, test error: 31.31 - 38.84 = -7.53",
    ),
    Claim(
        "fractal-trains-deep-columns",
        "A column of 40 layers trained within a fractal does not degrade as a plain network does.",
        f"{FRACTAL}, table 4",
        (FRACTAL40, PLAIN40),
        _column_against_plain,
        "test error of the fractal's deepest column minus that of plain 40",
        paper="CIFAR-100++: 31.75 - 38.84 = -7.09",
    ),
    Claim(
        "more-columns-do-not-hurt",
        "More columns, and depth, do not hurt: 40 layers lose less than 1 point against 20.",
        f"{FRACTAL}, table 3",
        (FRACTAL40, MIXED),
        _difference,
        "test error of fractal 40 minus that of fractal 20",
        bound=1.0,
        paper="CIFAR-100++: 27.38 - 27.69 = -0.31",
    ),
    Claim(
        "drop-path-makes-columns-usable",
        "With drop-path every column is usable on its own, without it none is.",
        f"{FRACTAL}, sections 3.1 and 4.2",
        (MIXED, UNREGULARIZED),
        _usable_or_not,
        "error of the worst column with mixed drop-path minus that of the best column without",
    ),
    Claim(
        "anytime",
        "Each deeper column is better than the one before: accuracy grows with time.",
        f"{FRACTAL}, section 4.2",
        (MIXED,),
        _anytime,
        "the largest rise of the error from a column to the next deeper one",
    ),
    Claim(
        "mixed-columns-better-than-local",
        "Columns alone are worse after local drop-path than after mixed drop-path.",
        "a question of FractalNet's users; section 3.1 gives the reason",
        (MIXED, LOCAL),
        _columns,
        "worst column minus whole, after mixed minus after local drop-path",
    ),
    Claim(
        "mixed-columns-better-than-local-without-augmentation",
        "Without augmentation, too, columns alone are worse after local drop-path.",
        "a question of FractalNet's users; section 3.1 gives the reason",
        (MIXED_BARE, LOCAL_BARE),
        _columns,
        "worst column minus whole, after mixed minus after local drop-path",
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
    drop_paths = (MIXED, UNREGULARIZED, LOCAL, MIXED_BARE, UNREGULARIZED_BARE, LOCAL_BARE)
    fusions = (HALF, SIDE, PLAIN, FUSE3, FUSE6)
    once = [*drop_paths, *fusions, PLAIN20, PLAIN40, FRACTAL40, ENSEMBLE]
    pairs += [(setting[scale], seed) for seed in range(SEEDS[scale]) for setting in once]
    return pairs
