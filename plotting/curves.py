"""A run's learning curves as pictures."""

from itertools import cycle

from plotting.figure import BLACK, COLOURS, new_figure, save_figure

KINDS = {"error": "error (%)", "loss": "loss"}
SUBNETWORKS = ("column", "member")
STYLES = ("-", ":")


def draw_curves(rows, path, title):
    """Draw error (%) and loss over epochs, train dashed and test solid, into the PNG at ``path``.

    Args:
        rows: of a run's log, see training.run_folder.
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


def draw_subnetworks(rows, kind, path, title):
    """Draw test error and loss of a network's sub-networks and of the whole.

    Of columns it is the FractalNet paper's figure 3.

    Args:
        rows: of a run's log, with ``<kind>_errors`` and ``<kind>_losses``.
        kind: one of SUBNETWORKS.
    """
    lines = {}
    for figure in KINDS:
        looks = cycle((style, colour) for style in STYLES for colour in COLOURS)
        name = {"error": f"{kind}_errors", "loss": f"{kind}_losses"}[figure]
        lines[figure] = [
            (values, *look, f"{kind} {index}")
            for index, (values, look) in enumerate(zip(zip(*(row[name] for row in rows)), looks))
        ]
        lines[figure].append(([row[f"test_{figure}"] for row in rows], "--", BLACK, "whole"))
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
