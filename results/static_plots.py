"""Settings side by side as a picture, for print: a figure a data set."""

import re
from pathlib import Path

from command import InputError
from plotting.figure import BLACK, new_figure, save_figure
from results.comparison import curve_limit

PICTURE_SUFFIXES = (".png", ".svg")
STYLES = {"train": "--", "test": "-"}
SIZES = {"parameters": "parameters", "multiply_adds": "multiply-adds of an image"}
MARKS = 8  # on a curve


def plot_paths(datasets, folder, file=None):
    """{data set: paths of its pictures}.

    Args:
        folder: where <data set>.png and .svg go when no ``file`` is named.
        file: the one picture to draw, or, of several data sets, <name>-<data set> beside it.

    Raises:
        InputError: ``file`` has another ending, or its folder is not there.
    """
    names = {dataset: re.sub(r"[^\w.-]", "-", dataset) for dataset in datasets}
    if file is None:
        return {
            d: [Path(folder) / f"{name}{end}" for end in PICTURE_SUFFIXES]
            for d, name in names.items()
        }
    file = Path(file)
    if file.suffix not in PICTURE_SUFFIXES:
        raise InputError(f"{file}: a picture's name ends in {' or '.join(PICTURE_SUFFIXES)}")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    if len(names) == 1:
        return {dataset: [file] for dataset in names}
    return {d: [file.with_name(f"{file.stem}-{name}{file.suffix}")] for d, name in names.items()}


def draw_comparison(dataset, settings, paths):
    """Draw error (%) over epochs, and last against parameters and against multiply-adds.

    Args:
        settings: of results.comparison.
        paths: the pictures to write, PNG or SVG.
    """
    columns = 2 if len(settings) > 1 else 1
    rows = -(-(len(settings) + len(STYLES) + 1) // columns)
    figure = new_figure((15, 4.6 + 0.22 * rows))
    curves, *sizes = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1.7, 1, 1)})
    for index, setting in enumerate(settings):
        _draw_curves(curves, setting, index / len(settings))
    parts = [curves.plot([], s, color=BLACK, label=part)[0] for part, s in STYLES.items()]
    curves.set(xlabel="epoch", ylabel="error (%)", ylim=(0, curve_limit(settings)))
    curves.set_title("median run, band over all runs")
    curves.xaxis.get_major_locator().set_params(integer=True)
    for axes, (name, label) in zip(sizes, SIZES.items()):
        shown = _draw_sizes(axes, settings, name)
        axes.set(xlabel=label, title="median, from best to worst run")
    for axes in (curves, *sizes):
        axes.grid(alpha=0.3)
    figure.legend(handles=[*parts, *shown], loc="outside lower center", ncols=columns)
    figure.suptitle(_plain(dataset))
    for path in paths:
        save_figure(figure, path)


def _draw_curves(axes, setting, shift):
    """Of one setting, with marks at places of its own; ``shift`` is from 0 to 1."""
    epochs = range(1, len(setting.test.median) + 1)
    every = max(len(epochs) // MARKS, 1)
    look = {"color": setting.colour, "marker": setting.marker, "markersize": 5}
    for part, style in STYLES.items():
        line = getattr(setting, part)
        axes.plot(epochs, line.median, style, markevery=(int(shift * every), every), **look)
        axes.fill_between(
            epochs, line.lowest, line.highest, color=setting.colour, alpha=0.2, linewidth=0
        )


def _draw_sizes(axes, settings, name):
    """The last epoch's error against what a network costs, the paper's hollow; for the legend."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    shown = []
    costs = [getattr(setting, name) for setting in settings]
    for setting, cost in zip(settings, costs):
        line = setting.test
        last = line.median[-1]
        bar = ([last - line.lowest[-1]], [line.highest[-1] - last])
        look = {"color": setting.colour, "marker": setting.marker, "linestyle": "", "markersize": 8}
        label = _plain(setting.label)
        shown.append(axes.errorbar(cost, last, yerr=bar, capsize=4, label=label, **look))
        if setting.paper is not None:
            axes.plot(cost, setting.paper, markerfacecolor="none", **look)
    if any(setting.paper is not None for setting in settings):
        look = {"linestyle": "", "marker": "o", "markerfacecolor": "none"}
        shown += axes.plot([], color=BLACK, label="hollow: the paper's", **look)
    axes.set(ylabel="test error (%), last epoch", ylim=(0, None), xscale="log")
    axes.set_xlim(min(costs) / 1.6, max(costs) * 1.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return shown


def _plain(text):
    """``text`` with nothing that matplotlib takes for a formula or a line of no name."""
    return text.replace("$", r"\$").lstrip("_")
