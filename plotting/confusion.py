"""The confusion matrix as a picture."""

import numpy as np

from plotting.figure import new_figure, save_figure

MOST_NUMBERED = 20  # classes whose counts can still be read in their cells


def draw_confusion(counts, names, path, title):
    """Draw ``counts`` (classes, classes), rows labels and columns predictions, into a PNG.

    Colours are percent of a row; what is right, on the diagonal, is left white so that the errors
    show.
    """
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = 100 * counts / totals
    np.fill_diagonal(wrong, 0)
    side = max(5, 0.16 * len(names) + 2)
    figure = new_figure((side + 1.2, side))
    axes = figure.subplots()
    image = axes.imshow(wrong, cmap="Blues")
    figure.colorbar(image, label="percent of the label's images", shrink=0.8)
    small = len(names) > MOST_NUMBERED
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(range(len(names)), names, fontsize=5 if small else 9)
    axes.tick_params(axis="x", rotation=90)
    if not small:
        for (row, column), count in np.ndenumerate(counts):
            dark = wrong[row, column] > wrong.max() / 2
            colour = "white" if dark else "black"
            axes.text(column, row, count, ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="predicted", ylabel="label")
    figure.suptitle(title)
    save_figure(figure, path)
