"""Settings side by side as figures to zoom, point at and switch: Bokeh's, in a page."""

import json

from command import InputError
from results.comparison import SPLITS, curve_limit

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
TOOLS = "pan,box_zoom,wheel_zoom,reset,save"


def library():
    """Bokeh's JavaScript, for a page that needs no network.

    Raises:
        InputError: Bokeh is not installed.
    """
    try:
        from bokeh.resources import Resources
    except ImportError:
        raise InputError("--html needs Bokeh, which is not there: pip install bokeh") from None
    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def figure_json(dataset, settings):
    """What Bokeh.embed.embed_item draws: curves, and errors against parameters and multiply-adds.

    Args:
        settings: of results.comparison.
    """
    from bokeh.embed import json_item
    from bokeh.layouts import column, row

    sizes = [_sizes(settings, name, label) for name, label in SIZES.items()]
    page = column(
        _curves(dataset, settings),
        row(*sizes, sizing_mode="stretch_width"),
        sizing_mode="stretch_width",
    )
    return json.dumps(json_item(page))


def _curves(dataset, settings):
    """Error over epochs: the median run, and the range over all."""
    from bokeh.models import ColumnDataSource, HoverTool, Legend
    from bokeh.plotting import figure

    axes = figure(
        title=f"{dataset}: train dashed, test solid; median run, band over all runs",
        x_axis_label="epoch",
        y_axis_label="error (%)",
        y_range=(0, curve_limit(settings) or 1),
        height=420,
        tools=TOOLS,
        sizing_mode="stretch_width",
    )
    items, lines = [], []
    for setting in settings:
        data = {"epoch": list(range(1, len(setting.test.median) + 1))}
        for part in SPLITS:
            line = getattr(setting, part)
            data[part] = _short(line.median)
            data[f"{part}_lowest"], data[f"{part}_highest"] = map(
                _short, (line.lowest, line.highest)
            )
        source = ColumnDataSource(data)
        drawn = []
        for part, dash in DASHES.items():
            band = {"y1": f"{part}_lowest", "y2": f"{part}_highest", "source": source}
            look = {"color": setting.colour, "name": setting.label, "source": source}
            line = axes.line("epoch", part, line_dash=dash, line_width=2, **look)
            ends = axes.scatter(
                data["epoch"][-1:],
                data[part][-1:],
                marker=MARKERS[setting.marker],
                color=setting.colour,
                size=9,
            )
            area = axes.varea("epoch", fill_color=setting.colour, fill_alpha=0.15, **band)
            drawn += [line, ends, area]
            lines.append(line)
        items.append((setting.label, drawn))
    tips = [("", "$name"), ("epoch", "@epoch")]
    tips += [(f"{part} error", f"@{part}{{0.00}}%") for part in SPLITS]
    axes.add_tools(HoverTool(renderers=lines, tooltips=tips))
    axes.add_layout(Legend(items=items, click_policy="hide"), "right")
    return axes


def _sizes(settings, name, label):
    """The last epoch's error, from best to worst run, against what a network costs."""
    from bokeh.models import HoverTool, NumeralTickFormatter
    from bokeh.plotting import figure

    costs = [getattr(setting, name) / 1e6 for setting in settings]
    axes = figure(
        title="median, from best to worst run; hollow: the paper's",
        x_axis_type="log",
        x_axis_label=label,
        x_range=(min(costs) / 1.6, max(costs) * 1.6),
        y_axis_label="test error (%), last epoch",
        height=360,
        tools=TOOLS,
        sizing_mode="stretch_width",
    )
    axes.y_range.start = 0
    axes.xaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
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


def _short(errors):
    """With as many digits as a page needs."""
    return [round(error, 3) for error in errors]
