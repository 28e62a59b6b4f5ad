"""Test errors (%) that the papers print, to stand beside ours."""


def _paper_errors():
    """{(data set, network, depth, widen factor, augmentation, drop-path, dropout, column): error}.

    ``column`` None is the whole network.
    """
    errors = {}

    def add(dataset, network, depth, widen, augmentation, drop_path, dropout, values):
        for column, error in values.items():
            key = (dataset, network, depth, widen, augmentation, drop_path, dropout, column)
            errors[key] = error

    # Zhao et al., arXiv 1611.07718, and the deep fusion project's page: DFN-MR1, DFN-MR2, DFN-MR3
    for depth, widen, cifar10, cifar100, svhn in (
        (110, 1, 4.94, 24.46, 1.66),
        (62, 4, 3.94, 19.25, 1.51),
        (98, 4, 3.57, 19.00, 1.55),
    ):
        add("cifar10", "cross", depth, widen, "+", "none", False, {None: cifar10})
        add("cifar100", "cross", depth, widen, "+", "none", False, {None: cifar100})
        add("svhn", "cross", depth, widen, "none", "none", False, {None: svhn})

    # the same; validation, one crop. Their top-5 errors: 6.61 and 6.79
    add("imagenet", "cross_imagenet", 50, 1, "imagenet", "none", False, {None: 23.16})
    add("imagenet", "resnet_imagenet", 98, 1, "imagenet", "none", False, {None: 23.38})

    # Larsson et al., table 1: 20 layers plain; with drop-path and dropout; its last column alone.
    # The 38.6M parameters printed there are those of square convolutions.
    for dataset, augmentation, plain, regular, deepest in (
        ("cifar100", "none", 35.34, 28.20, 29.05),
        ("cifar100", "+", 23.30, 23.73, 24.32),
        ("cifar100", "++", 22.85, 23.36, 23.60),
        ("cifar10", "none", 10.18, 7.33, 7.27),
        ("cifar10", "+", 5.22, 4.60, 4.68),
        ("cifar10", "++", 5.11, 4.59, 4.63),
        ("svhn", "none", 2.01, 1.87, 1.89),
    ):
        for network in ("fractal", "fractal_square"):
            key = (dataset, network, 20, 4, augmentation)
            add(*key, "none", False, {None: plain})
            add(*key, "mixed", True, {None: regular, 2: deepest})
    for dataset, augmentation, error in (
        ("cifar100", "+", 22.49),
        ("cifar100", "++", 21.49),
        ("cifar10", "+", 5.24),
        ("cifar10", "++", 5.21),
    ):
        add(dataset, "fractal_tapered", 40, 4, augmentation, "none", False, {None: error})

    # Tables 3 and 4, CIFAR-100++. Table 3 names no drop-path, table 4 mixed; neither names dropout,
    # with which the training losses of table 4 (0.015) could hardly be.
    for depth, error in zip((5, 10, 20, 40, 80, 160), (37.32, 30.71, 27.69, 27.38, 26.46, 27.38)):
        add("cifar100", "fractal", depth, 1, "++", "none", False, {None: error})
    for depth, error in zip((5, 10, 20, 40), (36.62, 32.47, 31.31, 38.84)):
        add("cifar100", "fractal_plain", depth, 1, "++", "none", False, {None: error})
    columns = {None: 27.40, 0: 37.23, 1: 32.85, 2: 31.31, 3: 31.75}
    add("cifar100", "fractal", 40, 1, "++", "mixed", False, columns)
    return errors


PAPER_ERRORS = _paper_errors()


def paper_error(run, column=None):
    """The paper's error for a run's setting, or for a column of it; None where there is none."""
    recipe = run.recipe
    how = (recipe.augmentation, recipe.drop_path, recipe.dropout > 0)
    what = (run.dataset, run.network, run.depth, run.widen_factor)
    return None if run.val_split else PAPER_ERRORS.get((*what, *how, column))
