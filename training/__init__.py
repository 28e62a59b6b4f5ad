"""Train and evaluate runs: recipe, training, checkpoints, the run's folder, evaluation."""

import compat  # noqa: F401  (before anything imports mxnet)

from training.classification import Classifier, classify, load_exported, load_run
from training.evaluation import TrainedRun, restore
from training.fitting import fit
from training.metrics import Predictions, probabilities
from training.recipe import RECIPES, Recipe, default_recipe, get_recipe
from training.run import Run, RunInfo, RuntimeConfig
from training.run_data import RunData
from training.run_folder import find_runs, read_config
from training.run_log import read_log
from training.run_record import RunRecord, read_run

__all__ = [
    "Classifier",
    "Predictions",
    "RECIPES",
    "Recipe",
    "Run",
    "RunData",
    "RunInfo",
    "RunRecord",
    "RuntimeConfig",
    "TrainedRun",
    "classify",
    "default_recipe",
    "find_runs",
    "fit",
    "get_recipe",
    "load_exported",
    "load_run",
    "probabilities",
    "read_config",
    "read_log",
    "read_run",
    "restore",
]
