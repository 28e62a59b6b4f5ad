"""A run's learning curves as a picture."""

import os
from pathlib import Path


def draw_curves(rows, path, title):
    """Draw error (%) and loss over epochs, train dashed and test solid, into the PNG at ``path``.

    Args:
        rows: of a run's log, see training.log.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 3 else ""  # a line of one point would not be seen
    for axes, kind, label in zip(figure.subplots(1, 2), ("error", "loss"), ("error (%)", "loss")):
        for part, style in (("train", "--"), ("test", "-")):
            values = [row[f"{part}_{kind}"] for row in rows]
            axes.plot(epochs, values, style, marker=marker, color="#0072b2", label=part)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    path = Path(path)
    aside = path.with_name(f".{path.name}")
    figure.savefig(aside, format="png", dpi=120)
    os.replace(aside, path)
