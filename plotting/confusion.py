"""Draw the confusion matrix as a picture."""

from pathlib import Path
from typing import Any, Sequence, Union

from plotting.figure import add_title, estimate_width, literal_text, new_figure, save_figure

MOST_NUMBERED = 20  # classes whose counts can still be read in their cells
MOST_NAMED = 200  # classes whose names can still be read beside the cells
LABELS = {kind: f"{kind}: percent of the label's images" for kind in ("wrong", "right")}
COLOUR_MAPS = {"wrong": "Oranges", "right": "Blues"}


def draw_confusion(counts: Any, names: Sequence[str], path: Union[str, Path], title: str) -> None:
    """Draw how often each class is predicted as each other, into the picture at ``path``.

    Colours show percentages of a row. The diagonal, the correct predictions, has its own colour and
    scale (blue, 0 to 100), so that the errors (orange, from 0 to the highest) remain visible. The
    row of a class without images is grey. With more than MOST_NAMED classes, the axes show numbers
    instead of names.

    Args:
        counts: integers (classes, classes); rows are labels, columns are predictions.
        names: names of the classes.
    """
    import numpy as np

    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * counts / np.maximum(totals, 1)
    diagonal = np.eye(len(names), dtype=bool)
    wrong, right = np.where(diagonal, 0, percent), np.where(diagonal, percent, 0)
    without = np.broadcast_to(totals == 0, counts.shape)
    figure = new_figure(_measure_figure(names))
    axes = figure.subplots()
    axes.set_facecolor("0.85")
    for kind, values, hidden, top in (
        ("wrong", wrong, diagonal | without, wrong.max() or 1),
        ("right", right, ~diagonal | without, 100),
    ):
        image = axes.imshow(
            np.ma.masked_array(values, hidden), cmap=COLOUR_MAPS[kind], vmin=0, vmax=top
        )
        figure.colorbar(image, label=LABELS[kind], shrink=0.8, pad=0.02, aspect=40)
    if len(names) <= MOST_NUMBERED:
        _write_counts(axes, counts, wrong / (wrong.max() or 1) + right / 100)
    axes.set(xlabel="predicted", ylabel="label")
    if len(names) <= MOST_NAMED:
        _name_classes(axes, names, totals[:, 0])
    add_title(figure, title)
    save_figure(figure, path)


def _measure_figure(names):
    """Return the (width, height) of the figure in inches, with room for the names."""
    side = 14
    if len(names) <= MOST_NAMED:
        longest = max(estimate_width(literal_text(name), _font_size(names)) for name in names)
        side = max(5, 0.16 * len(names) + 2) + longest
    return side + 2.4, side


def _font_size(names):
    return 5 if len(names) > MOST_NUMBERED else 9


def _write_counts(axes, counts, darkness):
    """Write each count in its cell, in white if the cell's ``darkness`` (0 to 1) is high."""
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            text = count if line.sum() else "-"
            colour = "white" if darkness[row, column] > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _name_classes(axes, names, totals):
    """Write the names of the classes along both axes, and mark those without images."""
    size = _font_size(names)
    names = [literal_text(name) for name in names]
    labels = [name if total else f"{name} (no images)" for name, total in zip(names, totals)]
    axes.set_xticks(range(len(names)), names, fontsize=size, rotation=90)
    axes.set_yticks(range(len(names)), labels, fontsize=size)
