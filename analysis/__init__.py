"""The papers' study: path lengths, ensemble members, lesions, the anytime property, claims."""

import compat  # noqa: F401  (before anything imports mxnet)

from analysis.anytime import anytime_table, measure_columns
from analysis.claims import CLAIMS, Claim, Setting
from analysis.ensembling import measure_members, study_members
from analysis.lesions import measure_lesions
from analysis.paths import binomial_lengths, count_lengths, mean_and_deviation, walk_lengths
from analysis.reproduction import Judgement, judge_claims

__all__ = [
    "CLAIMS",
    "Claim",
    "Judgement",
    "Setting",
    "anytime_table",
    "binomial_lengths",
    "count_lengths",
    "judge_claims",
    "mean_and_deviation",
    "measure_columns",
    "measure_lesions",
    "measure_members",
    "study_members",
    "walk_lengths",
]
