"""Speed and memory of networks over depth, width and batch, as a picture."""

from plotting.figure import COLOURS, new_figure, save_figure

AXES = {"depth": "depth", "widen_factor": "width", "batch_size": "batch"}


def draw_scaling(timings, path):
    """Draw images a second, and peak memory, over whatever varies, into the picture at ``path``.

    A line joins timings that differ in one of AXES alone; there is a panel an axis that has such.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    lines = {axis: series(timings, axis) for axis in AXES}
    lines = {axis: found for axis, found in lines.items() if found}
    count = max(len(lines), 1)
    figure = new_figure((4 * count, 6))
    panels = figure.subplots(2, count, squeeze=False)
    for (speed, memory), (axis, found) in zip(panels.T, lines.items()):
        for colour, (label, line) in zip(COLOURS, found.items()):
            places, rates = [getattr(t.case, axis) for t in line], [t.rate for t in line]
            below = [t.rate - min(t.rates) for t in line]
            above = [max(t.rates) - t.rate for t in line]
            look = {"marker": "o", "color": colour}
            speed.errorbar(places, rates, [below, above], capsize=3, label=label, **look)
            memory.plot(places, [t.memory for t in line], **look)
        for panel, what in ((speed, "images/s"), (memory, "peak memory (MiB)")):
            panel.set(xlabel=AXES[axis], ylabel=what, xscale="log", yscale="log")
            panel.set_xticks(places, [str(place) for place in places])
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_minor_locator(NullLocator())
            panel.grid(alpha=0.3)
        speed.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
    save_figure(figure, path)


def series(timings, axis):
    """{label: three or more timings that differ in ``axis`` alone, by its value}."""
    others = [name for name in AXES if name != axis]
    found = {}
    for timing in sorted(timings, key=lambda timing: getattr(timing.case, axis)):
        case = timing.case
        label = ", ".join(f"{AXES[name]} {getattr(case, name)}" for name in others)
        label = f"{case.network}, {label}, {case.library}"
        found.setdefault((case.task, case.dtype, case.threads, label), []).append(timing)
    return {key[-1]: line for key, line in found.items() if len(line) >= 3}
