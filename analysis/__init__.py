"""Studies of the papers: path lengths, ensemble members, lesions, anytime property, claims."""

import compat  # noqa: F401  (before anything imports mxnet)

from analysis.anytime import anytime_table, measure_columns
from analysis.claims import CLAIMS, Claim, Setting
from analysis.early_exit import early_exit_table, match_costs, measure_exit
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
    "early_exit_table",
    "judge_claims",
    "match_costs",
    "mean_and_deviation",
    "measure_columns",
    "measure_exit",
    "measure_lesions",
    "measure_members",
    "study_members",
    "walk_lengths",
]
