"""List the test errors that the papers print, and decide whether a run is comparable."""

from dataclasses import dataclass
from typing import Optional

from training.recipe import get_recipe, show_value
from training.run import Run, RunInfo

TRAINING_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "svhn": 604_388, "imagenet": 1_281_167}
TEST_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "svhn": 26_032, "imagenet": 50_000}
IMAGENET_SIZE = 224  # pixels


@dataclass(frozen=True)
class PaperError:
    """A test error (%) that a paper prints, with its network and training.

    ``recipe`` names the recipe; the row's augmentation, drop-path, dropout and batch size replace
    the recipe's.
    """

    recipe: str
    dataset: str
    network: str
    depth: int
    widen_factor: int
    augmentation: str
    error: float
    drop_path: str = "none"
    dropout: float = 0.0
    column: Optional[int] = None  # None: the whole network
    batch_size: Optional[int] = None  # None: the recipe's


def _deep_fusion_errors():
    """Return the rows of Zhao et al., arXiv 1611.07718, and the deep fusion project's page.

    On CIFAR and SVHN these are DFN-MR1, DFN-MR2 and DFN-MR3. On ImageNet they are one-crop
    validation errors; the top-5 errors printed beside them are 6.61 and 6.79.
    """
    rows = []
    for depth, widen, cifar10, cifar100, svhn in (
        (110, 1, 4.94, 24.46, 1.66),
        (62, 4, 3.94, 19.25, 1.51),
        (98, 4, 3.57, 19.00, 1.55),
    ):
        rows += [
            PaperError("deep-fusion", "cifar10", "cross", depth, widen, "+", cifar10),
            PaperError("deep-fusion", "cifar100", "cross", depth, widen, "+", cifar100),
            PaperError("deep-fusion-svhn", "svhn", "cross", depth, widen, "none", svhn),
        ]
    for network, depth, error in (("cross_imagenet", 50, 23.16), ("resnet_imagenet", 98, 23.38)):
        recipe = "deep-fusion-imagenet"
        rows.append(PaperError(recipe, "imagenet", network, depth, 1, "imagenet", error))
    return rows


def _fractal_table_1():
    """Return the rows of Larsson et al., arXiv 1605.07648, table 1.

    For 20 layers it has three errors: without regularization, with drop-path and dropout, and of
    the deepest column alone after the latter. The 38.6M parameters printed there are those of
    square convolutions, so the errors are compared with both forms.
    """
    rows = []
    for dataset, augmentation, unregularized, regularized, deepest in (
        ("cifar100", "none", 35.34, 28.20, 29.05),
        ("cifar100", "+", 23.30, 23.73, 24.32),
        ("cifar100", "++", 22.85, 23.36, 23.60),
        ("cifar10", "none", 10.18, 7.33, 7.27),
        ("cifar10", "+", 5.22, 4.60, 4.68),
        ("cifar10", "++", 5.11, 4.59, 4.63),
        ("svhn", "none", 2.01, 1.87, 1.89),
    ):
        recipe = "fractal-svhn" if dataset == "svhn" else "fractal"
        for network in ("fractal", "fractal_square"):
            setting = (recipe, dataset, network, 20, 4, augmentation)
            rows += [
                PaperError(*setting, unregularized),
                PaperError(*setting, regularized, "mixed", 0.1),
                PaperError(*setting, deepest, "mixed", 0.1, column=2),
            ]
    for dataset, augmentation, error in (
        ("cifar100", "+", 22.49),
        ("cifar100", "++", 21.49),
        ("cifar10", "+", 5.24),
        ("cifar10", "++", 5.21),
    ):
        rows.append(PaperError("fractal", dataset, "fractal_tapered", 40, 4, augmentation, error))
    return rows


def _fractal_tables_3_and_4():
    """Return the rows of Larsson et al., tables 3 and 4, on CIFAR-100++.

    Table 3 does not mention drop-path, and table 4 mentions mixed drop-path. Neither mentions
    dropout, with which the training losses of table 4 (0.015) would hardly be possible. Their
    batches have 50 images.
    """
    fractal = {5: 37.32, 10: 30.71, 20: 27.69, 40: 27.38, 80: 26.46, 160: 27.38}
    plain = {5: 36.62, 10: 32.47, 20: 31.31, 40: 38.84}
    columns = {None: 27.40, 0: 37.23, 1: 32.85, 2: 31.31, 3: 31.75}
    rows = []
    for network, errors in (("fractal", fractal), ("fractal_plain", plain)):
        for depth, error in errors.items():
            setting = ("fractal", "cifar100", network, depth, 1, "++")
            rows.append(PaperError(*setting, error, batch_size=50))
    for column, error in columns.items():
        setting = ("fractal", "cifar100", "fractal", 40, 1, "++")
        rows.append(PaperError(*setting, error, "mixed", column=column, batch_size=50))
    return rows


PAPER_ERRORS = (*_deep_fusion_errors(), *_fractal_table_1(), *_fractal_tables_3_and_4())


def _find_row(run, column):
    """Return the PaperError of a run's network, data set and regularization, or None."""
    if run.val_split:
        return None
    recipe = run.recipe
    wanted = (run.dataset, run.network, run.depth, run.widen_factor, recipe.augmentation)
    wanted += (recipe.drop_path, recipe.dropout > 0, column)
    for row in PAPER_ERRORS:
        found = (row.dataset, row.network, row.depth, row.widen_factor, row.augmentation)
        if (*found, row.drop_path, row.dropout > 0, row.column) == wanted:
            return row
    return None


def paper_error(run: Run, column: Optional[int] = None) -> Optional[float]:
    """Return the test error (%) that a paper prints for a run's network, or for a column of it.

    It is looked up only by network, data set, augmentation, drop-path and dropout; see
    ``explain_difference`` for the rest of the recipe. None if no paper prints one.
    """
    row = _find_row(run, column)
    return row and row.error


def explain_difference(run: Run, info: RunInfo) -> str:
    """Return why a run is not comparable with ``paper_error``, or "" if it is.

    It is comparable if every value of the recipe is the paper's, and if the run was trained, in
    float32, and tested on as many images as the official data set has, of the same size. The number
    of devices may differ: the papers do not print it, and commands on the deep fusion project's
    page use two and four.
    """
    row = _find_row(run, None)
    if row is None:
        return ""
    theirs = get_recipe(
        row.recipe,
        augmentation=row.augmentation,
        drop_path=row.drop_path,
        dropout=row.dropout,
        batch_size=row.batch_size,
    ).to_json()
    reasons = [
        f"{name} {show_value(value)} instead of {show_value(theirs[name])}"
        for name, value in run.recipe.to_json().items()
        if value != theirs[name]
    ]
    if run.init_from:
        reasons.append("started from trained parameters")
    if run.dtype != Run.dtype:
        reasons.append(f"{run.dtype} instead of {Run.dtype}")
    examples = info.images("train").get("examples")
    if examples != TRAINING_IMAGES[row.dataset]:
        found = f"{examples:,}" if isinstance(examples, int) else "an unknown number of"
        reasons.append(f"{found} training images instead of {TRAINING_IMAGES[row.dataset]:,}")
    tested = info.images("test").get("examples")
    if isinstance(tested, int) and tested != TEST_IMAGES[row.dataset]:
        reasons.append(f"{tested:,} test images instead of {TEST_IMAGES[row.dataset]:,}")
    if row.dataset == "imagenet" and run.data_shape != IMAGENET_SIZE:
        reasons.append(f"images of {run.data_shape} pixels instead of {IMAGENET_SIZE}")
    return "; ".join(reasons)
