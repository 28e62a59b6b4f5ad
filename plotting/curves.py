"""Draw a run's learning curves."""

from itertools import cycle
from pathlib import Path
from typing import Mapping, Sequence, Union

from plotting.figure import BLACK, COLOURS, add_title, new_figure, save_figure, use_whole_ticks

QUANTITIES = {"error": "error (%)", "loss": "loss"}
SUBNETWORKS = ("column", "member")
STYLES = ("-", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (3, 1, 1, 1, 1, 1)))  # with 6 colours: 36
FEW, COLUMNS = 8, 6  # with more sub-networks, the legend is below, in so many columns
LINEAR = 20  # nats: beside higher losses, usual ones can only be seen on a logarithmic axis


def draw_curves(
    rows: Sequence[Mapping], path: Union[str, Path], title: str, tested_on: str = "test"
) -> None:
    """Draw error (%), loss and learning rate over epochs into the PNG at ``path``.

    Training curves are dashed, test curves solid. If the loss exploded, its axis is logarithmic.

    Args:
        rows: rows of a run's log, see training.run_folder.
        tested_on: name of the test images in the legend.
    """
    figure = new_figure((11.5, 3.6))
    *panels, rates = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1, 1, 0.6)})
    for axes, quantity in zip(panels, QUANTITIES):
        lines = [
            ([row[f"{split}_{quantity}"] for row in rows], style, COLOURS[0], name)
            for split, style, name in (("train", "--", "train"), ("test", "-", tested_on))
        ]
        _draw_panel(axes, rows, lines, quantity)
    _draw_rates(rates, rows)
    add_title(figure, title)
    save_figure(figure, path)


def draw_subnetworks(
    rows: Sequence[Mapping], kind: str, path: Union[str, Path], title: str, tested_on: str = "test"
) -> None:
    """Draw error and loss of a network and its sub-networks into the PNG at ``path``.

    For columns, this is figure 3 of the FractalNet paper.

    Args:
        rows: rows of a run's log, with ``<kind>_errors`` and ``<kind>_losses``.
        kind: one of SUBNETWORKS.
        tested_on: name of the test images in the title.
    """
    names = {"error": f"{kind}_errors", "loss": f"{kind}_losses"}
    count = len(rows[0][names["error"]])
    figure = new_figure((9, 3.6 + (0.2 * (count // COLUMNS + 1) if count > FEW else 0)))
    for axes, quantity in zip(figure.subplots(1, 2), QUANTITIES):
        looks = cycle((style, colour) for style in STYLES for colour in COLOURS)
        lines = [
            (list(values), *look, f"{kind} {index}")
            for index, (values, look) in enumerate(
                zip(zip(*(row[names[quantity]] for row in rows)), looks)
            )
        ]
        lines.append(([row[f"test_{quantity}"] for row in rows], "--", BLACK, "whole"))
        _draw_panel(axes, rows, lines, quantity)
    if count > FEW:
        place = {"loc": "outside lower center", "ncols": COLUMNS, "fontsize": "small"}
        figure.legend(handles=axes.get_lines(), **place)
    add_title(figure, f"{title}, {tested_on} images")
    save_figure(figure, path)


def _draw_panel(axes, rows, lines, quantity):
    """Draw the lines (values, style, colour, name) of a quantity over the epochs of ``rows``."""
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 3 else ""  # a line of one point would be invisible
    for values, style, colour, name in lines:
        look = {"marker": marker, "markerfacecolor": "none" if style == "--" else colour}
        axes.plot(epochs, values, linestyle=style, color=colour, label=name, **look)
    _finish(axes, QUANTITIES[quantity])
    highest = max(max(values) for values, *_ in lines)
    if quantity == "loss" and highest > LINEAR:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 * highest or 1)
    if len(lines) <= FEW + 1:  # with the whole network
        axes.legend()


def _draw_rates(axes, rows):
    """Draw the learning rate, from each epoch's beginning to its end.

    A row has the first rate, ``lr``, if the last one differs, ``lr_last``, and if the highest is
    between them, ``lr_max`` and its place ``lr_max_at`` in epochs. Rates that fall in steps have a
    logarithmic axis, so that each step can be seen.
    """
    points = []
    for row in rows:
        points.append((row["epoch"] - 1, row["lr"]))
        points += [(row["lr_max_at"], row["lr_max"])] if "lr_max" in row else []
        points.append((row["epoch"], row.get("lr_last", row["lr"])))
    places, rates = zip(*points)
    axes.plot(places, rates, color=BLACK)
    _finish(axes, "learning rate")
    in_steps = not any({"lr_last", "lr_max"} & row.keys() for row in rows)
    if in_steps and 0 < 10 * min(rates) <= max(rates):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 * max(rates) or 1)


def _finish(axes, label):
    """Label the axes; ticks of epochs are whole numbers."""
    axes.set(xlabel="epoch", ylabel=label)
    use_whole_ticks(axes)
    axes.grid(alpha=0.3)
