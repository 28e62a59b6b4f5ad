"""The style that all pictures share, and how a picture is written: whole or not at all."""

import os
from pathlib import Path

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # for all eyes
BLACK = "#000000"
MARKERS = "osD^vP"


def new_figure(size=(9, 3.6)):
    """A matplotlib Figure of ``size`` inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path):
    """Write the PNG at ``path``, or an SVG where it is named so; whole or not at all."""
    path = Path(path)
    aside = path.with_name(f".{path.name}")
    try:
        figure.savefig(aside, format="svg" if path.suffix == ".svg" else "png", dpi=120)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
