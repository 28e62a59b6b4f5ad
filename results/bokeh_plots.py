"""Compare settings in interactive figures of a page, drawn by Bokeh."""

from command import InputError
from results.comparison import COST_MARGIN, SPLITS, cost_ticks, curve_limit, legend_title

DASHES = {"train": "dashed", "test": "solid"}
MARKERS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle",
    "v": "inverted_triangle",
    "P": "plus",
}
SIZES = {
    "parameters": "parameters (millions)",
    "multiply_adds": "multiply-adds of an image (millions)",
}
LEGEND_LINE = 23  # pixels for each setting in the legend below the curves
LOOK = {
    "tools": "pan,box_zoom,wheel_zoom,reset,save",
    "active_scroll": None,  # so that the wheel scrolls the page over a figure
    "sizing_mode": "stretch_width",
}


def library() -> str:
    """Return Bokeh's JavaScript, so that a page needs no network access.

    Raises:
        InputError: Bokeh is not installed.
    """
    try:
        from bokeh.resources import Resources
    except ImportError:
        raise InputError("a page needs Bokeh, which is not installed: pip install bokeh") from None
    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def figure_items(settings):
    """Return items for Bokeh.embed.embed_item, one for each figure.

    The figures are error over epochs, and the last error against parameters and multiply-adds.

    Args:
        settings: Settings of results.comparison, all of one table.
    """
    from bokeh.embed import json_item

    figures = [_curves(settings)]
    figures += [_sizes(settings, name, label) for name, label in SIZES.items()]
    return [json_item(figure) for figure in figures]


def _curves(settings):
    """Return the figure of error over epochs: the median run, and the range over all."""
    from bokeh.models import BasicTicker, HoverTool, Legend
    from bokeh.plotting import figure

    axes = figure(
        title="median run, band over all; train dashed",
        x_axis_label="epoch",
        y_axis_label="error (%)",
        y_range=(0, curve_limit(settings) or 1),
        height=400 + LEGEND_LINE * (len(settings) + 1),
        **LOOK,
    )
    axes.xaxis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
    items, lines = [], []
    for setting in settings:
        drawn = _draw_setting(axes, setting)
        items.append((setting.legend, [each for group in drawn for each in group]))
        lines += [line for line, *_ in drawn]
    tips = [("", "$name"), ("epoch", "@epoch")]
    names = {"train": "train", "test": settings[0].tested_on}
    tips += [(f"{names[split]} error", f"@{split}{{0.00}}%") for split in SPLITS]
    axes.add_tools(HoverTool(renderers=lines, tooltips=tips))
    look = {"title": legend_title(settings), "click_policy": "hide", "location": "left"}
    axes.add_layout(Legend(items=items, **look), "below")
    return axes


def _draw_setting(axes, setting):
    """Draw the curves of one setting; return (line, mark at its end, band) of each split."""
    from bokeh.models import ColumnDataSource

    data = {"epoch": list(range(1, len(setting.test.median) + 1))}
    for split in SPLITS:
        line = getattr(setting, split)
        data[split] = _round(line.median)
        data[f"{split}_lowest"], data[f"{split}_highest"] = map(_round, (line.lowest, line.highest))
    source, drawn = ColumnDataSource(data), []
    end = {"marker": MARKERS[setting.marker], "color": setting.colour, "size": 9}
    for split, dash in DASHES.items():
        band = {"y1": f"{split}_lowest", "y2": f"{split}_highest", "source": source}
        look = {"color": setting.colour, "name": setting.label, "source": source}
        line = axes.line("epoch", split, line_dash=dash, line_width=2, **look)
        mark = axes.scatter(data["epoch"][-1:], data[split][-1:], **end)
        area = axes.varea("epoch", fill_color=setting.colour, fill_alpha=0.15, **band)
        drawn.append((line, mark, area))
    return drawn


def _sizes(settings, name, label):
    """Return the figure of the last error, from best to worst run, against a network's cost."""
    from bokeh.models import FixedTicker, HoverTool, NumeralTickFormatter
    from bokeh.plotting import figure

    costs = [getattr(setting, name) / 1e6 for setting in settings]
    hollow = "; hollow: paper" if any(s.paper is not None for s in settings) else ""
    axes = figure(
        title=f"median, best to worst{hollow}",
        x_axis_type="log",
        x_axis_label=label,
        x_range=(min(costs) / COST_MARGIN, max(costs) * COST_MARGIN),
        y_axis_label=f"{settings[0].tested_on} error (%), last epoch",
        height=360,
        **LOOK,
    )
    axes.y_range.start = 0
    axes.xaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    axes.xaxis.ticker = FixedTicker(ticks=cost_ticks(costs))
    marks = []
    for setting, cost in zip(settings, costs):
        cost, test = [cost], setting.test
        look = {"marker": MARKERS[setting.marker], "size": 11, "name": setting.label}
        look.update(line_color=setting.colour, line_width=2)
        axes.segment(cost, test.lowest[-1:], cost, test.highest[-1:], color=setting.colour)
        marks.append(axes.scatter(cost, test.median[-1:], fill_color=setting.colour, **look))
        if setting.paper is not None:
            marks.append(axes.scatter(cost, [setting.paper], fill_color=None, **look))
    tips = [("", "$name"), (label, "@x{0,0.[000]}"), ("error", "@y{0.00}%")]
    axes.add_tools(HoverTool(renderers=marks, tooltips=tips))
    return axes


def _round(errors):
    """Round errors (%) to the digits that a page needs."""
    return [round(error, 3) for error in errors]
