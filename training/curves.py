"""A run's learning curves as pictures."""

import os
from itertools import cycle
from pathlib import Path

from command import InputError

KINDS = {"error": "error (%)", "loss": "loss"}
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # for all eyes
BLACK = "#000000"
PARTS = ("column", "member")
STYLES = ("-", ":")


def draw_curves(rows, path, title):
    """Draw error (%) and loss over epochs, train dashed and test solid, into the PNG at ``path``.

    Args:
        rows: of a run's log, see training.log.
    """
    styles = {"train": "--", "test": "-"}
    lines = {
        kind: [
            ([row[f"{part}_{kind}"] for row in rows], style, COLOURS[0], part)
            for part, style in styles.items()
        ]
        for kind in KINDS
    }
    _draw(rows, lines, path, title)


def draw_parts(rows, part, path, title):
    """Draw test error and loss of a network's parts and of the whole.

    Of columns it is the FractalNet paper's figure 3.

    Args:
        rows: of a run's log, with ``<part>_errors`` and ``<part>_losses``.
        part: one of PARTS.
    """
    lines = {}
    for kind, name in (("error", f"{part}_errors"), ("loss", f"{part}_losses")):
        looks = cycle((style, colour) for style in STYLES for colour in COLOURS)
        lines[kind] = [
            (values, *look, f"{part} {index}")
            for index, (values, look) in enumerate(zip(zip(*(row[name] for row in rows)), looks))
        ]
        lines[kind].append(([row[f"test_{kind}"] for row in rows], "--", BLACK, "whole"))
    _draw(rows, lines, path, f"{title}, test images")


def _draw(rows, lines, path, title):
    """A panel of each kind, with its lines (values, style, colour, label)."""
    figure = new_figure()
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 3 else ""  # a line of one point would not be seen
    for axes, (kind, label) in zip(figure.subplots(1, 2), KINDS.items()):
        for values, style, colour, name in lines[kind]:
            axes.plot(epochs, values, style, marker=marker, color=colour, label=name)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    save_figure(figure, path)


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


def require_place(path):
    """Refuse a picture's path before the work that leads to it.

    Raises:
        InputError: its folder is not there, or it is one itself.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be a picture: name a file in a folder that is there")
