"""Compare settings in pictures for print: one figure for each table of results."""

import re
from itertools import chain, count
from pathlib import Path
from typing import Dict, List, Sequence, Union

from command import PICTURE_SUFFIXES, require_picture_path
from plotting.figure import (
    BLACK,
    add_title,
    estimate_width,
    literal_text,
    new_figure,
    save_figure,
    start_at_zero,
    use_whole_ticks,
)
from results.comparison import COST_MARGIN, Setting, cost_ticks, curve_limit, legend_title

STYLES = {"train": "--", "test": "-"}
SIZES = {"parameters": "parameters", "multiply_adds": "multiply-adds of an image"}
MARKS = 8  # on a curve
FEW = 6  # settings whose curves of training are drawn, too
WIDTH = 15  # inches
LETTERS, LINE = 10, 0.6  # of the legend: size in points; width of a line and of gaps, in inches


def plot_paths(
    tables: Sequence[str], folder: Union[str, Path], file: Union[str, Path, None] = None
) -> Dict[str, List[Path]]:
    """Return ``{table: paths of its pictures}``.

    Args:
        tables: the names of the tables of results, see results.aggregate.table_name.
        folder: folder of <table>.png and .svg, used without ``file``.
        file: the only picture to draw; with several tables, they become <name>-<table> beside it.

    Raises:
        InputError: a picture has an unknown ending, or cannot be written.
    """
    names = _name_pictures(tables)
    if file is None:
        found = {
            table: [Path(folder) / f"{name}{end}" for end in PICTURE_SUFFIXES]
            for table, name in names.items()
        }
    else:
        file = Path(file)
        require_picture_path(file)
        ends = {table: f"-{name}" if len(names) > 1 else "" for table, name in names.items()}
        found = {t: [file.with_name(file.stem + end + file.suffix)] for t, end in ends.items()}
    for picture in chain(*found.values()):
        require_picture_path(picture)
    return found


def _name_pictures(tables):
    """Return {table: a file's name for it}, which no other table has, not even in other case."""
    plain = {table: re.sub(r"[^\w.-]", "-", table) for table in tables}
    names, taken = {}, set()
    for table in sorted(tables, key=lambda table: plain[table] != table):  # unchanged names first
        numbers = (f"-{number}" for number in count(2))
        names[table] = next(
            plain[table] + end
            for end in chain([""], numbers)
            if (plain[table] + end).casefold() not in taken
        )
        taken.add(names[table].casefold())
    return names


def draw_comparison(name: str, settings: Sequence[Setting], paths: Sequence) -> None:
    """Draw error (%) over epochs, and the last error against parameters and multiply-adds.

    The curves of training are left out if there are more than FEW settings.

    Args:
        name: name of the settings' table.
        settings: Settings of results.comparison.
        paths: the pictures to write, PNG or SVG.
    """
    styles = STYLES if len(settings) <= FEW else {"test": STYLES["test"]}
    columns, points = _arrange_legend([literal_text(setting.legend) for setting in settings])
    rows = 2 + (len(settings) + len(styles)) // columns  # with a title and the paper's mark
    figure = new_figure((WIDTH, 4.6 + 0.22 * rows))
    curves, *sizes = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1.7, 1, 1)})
    for index, setting in enumerate(settings):
        _draw_curves(curves, setting, styles, index / len(settings))
    names = {"train": "train", "test": settings[0].tested_on}
    legend = [curves.plot([], s, color=BLACK, label=names[k])[0] for k, s in styles.items()]
    curves.set(xlabel="epoch", ylabel="error (%)", ylim=(0, curve_limit(settings)))
    curves.set_title("median run, band over all runs")
    use_whole_ticks(curves)
    for axes, (size, label) in zip(sizes, SIZES.items()):
        shown = _draw_sizes(axes, settings, size)
        axes.set(xlabel=label, title="median, from best to worst run")
    for axes in (curves, *sizes):
        axes.grid(alpha=0.3)
    look = {"loc": "outside lower center", "ncols": columns, "fontsize": points}
    figure.legend(handles=[*legend, *shown], title=legend_title(settings), **look)
    add_title(figure, name)
    for path in paths:
        save_figure(figure, path)


def _arrange_legend(labels):
    """Return (columns, size of letters in points) of a legend that is no wider than the figure."""
    *_, second, first = sorted([0, *(LINE + estimate_width(label, LETTERS) for label in labels)])
    columns = 2 if len(labels) > 1 and first + second <= WIDTH else 1
    return columns, LETTERS * min(WIDTH / first, 1)


def _draw_curves(axes, setting, styles, shift):
    """Draw a setting's curves in ``styles``, with marks shifted by ``shift``, from 0 to 1."""
    epochs = range(1, len(setting.test.median) + 1)
    every = max(len(epochs) // MARKS, 1)
    look = {"color": setting.colour, "marker": setting.marker, "markersize": 5}
    for split, style in styles.items():
        line = getattr(setting, split)
        face = "none" if split == "train" else setting.colour  # single epochs have no line
        place = (int(shift * every), every)
        axes.plot(epochs, line.median, style, markevery=place, markerfacecolor=face, **look)
        axes.fill_between(
            epochs, line.lowest, line.highest, color=setting.colour, alpha=0.2, linewidth=0
        )


def _draw_sizes(axes, settings, size):
    """Draw the last errors against the networks' costs; return the artists of the legend."""
    from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

    shown = []
    costs = [getattr(setting, size) for setting in settings]
    for setting, cost in zip(settings, costs):
        line = setting.test
        last = line.median[-1]
        below, above = last - line.lowest[-1], line.highest[-1] - last
        bar = ([below], [above]) if below or above else None
        look = {"color": setting.colour, "marker": setting.marker, "linestyle": "", "markersize": 8}
        label = literal_text(setting.legend)
        shown.append(axes.errorbar(cost, last, yerr=bar, capsize=4, label=label, **look))
        if setting.paper is not None:
            axes.plot(cost, setting.paper, markerfacecolor="none", **look)
    if any(setting.paper is not None for setting in settings):
        look = {"linestyle": "", "marker": "o", "markerfacecolor": "none"}
        shown += axes.plot([], color=BLACK, label="hollow: the paper's", **look)
    axes.set(ylabel=f"{settings[0].tested_on} error (%), last epoch")
    start_at_zero(axes)
    axes.set(xscale="log", xlim=(min(costs) / COST_MARGIN, max(costs) * COST_MARGIN))
    axes.xaxis.set_major_locator(FixedLocator(cost_ticks(costs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return shown
