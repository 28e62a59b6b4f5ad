"""Results of finished runs: statistics over runs, next to the papers' errors."""

import compat  # noqa: F401  (before anything imports mxnet)

from results.aggregate import Result, Statistics, collect, read_settings, statistics, tabulate
from results.comparison import Setting, compare_settings
from results.formats import REPORT_FORMATS
from results.html_report import Section, write_report
from results.papers import PAPER_ERRORS, PaperError, explain_difference, paper_error
from results.static_plots import draw_comparison, plot_paths

__all__ = [
    "PAPER_ERRORS",
    "PaperError",
    "REPORT_FORMATS",
    "Result",
    "Section",
    "Setting",
    "Statistics",
    "collect",
    "compare_settings",
    "draw_comparison",
    "explain_difference",
    "paper_error",
    "plot_paths",
    "read_settings",
    "statistics",
    "tabulate",
    "write_report",
]
