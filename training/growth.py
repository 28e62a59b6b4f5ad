"""Speed and memory of networks over depth, width and batch, as a picture."""

from training.curves import COLOURS, new_figure, save_figure

AXES = {"depth": "depth", "widen_factor": "width", "batch_size": "batch"}


def draw_growth(timings, path):
    """Draw images a second, and peak memory, over whatever varies, into the picture at ``path``.

    A line joins timings that differ in one of AXES alone; there is a panel an axis that has such.
    """
    lines = {axis: series(timings, axis) for axis in AXES}
    lines = {axis: found for axis, found in lines.items() if found}
    figure = new_figure((3.4 * max(len(lines), 1), 5.4))
    panels = figure.subplots(2, max(len(lines), 1), squeeze=False)
    for column, (axis, found) in enumerate(lines.items()):
        for colour, (label, line) in zip(COLOURS, found.items()):
            places = [getattr(timing.case, axis) for timing in line]
            speed, memory = panels[:, column]
            rates = [timing.rate for timing in line]
            spread = [[rate - min(t.rates) for rate, t in zip(rates, line)]]
            spread.append([max(t.rates) - rate for rate, t in zip(rates, line)])
            speed.errorbar(places, rates, spread, marker="o", color=colour, label=label, capsize=2)
            memory.plot(places, [timing.memory for timing in line], "o-", color=colour, label=label)
        for panel, what in zip(panels[:, column], ("images/s", "peak memory (MiB)")):
            panel.set(xlabel=AXES[axis], ylabel=what, xscale="log", yscale="log")
            places = sorted({getattr(t.case, axis) for line in found.values() for t in line})
            panel.set_xticks(places, [str(place) for place in places])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.legend(fontsize="small")
    save_figure(figure, path)


def series(timings, axis):
    """{label: three or more timings that differ in ``axis`` alone, by its value}."""
    others = [name for name in AXES if name != axis]
    found = {}
    for timing in sorted(timings, key=lambda timing: getattr(timing.case, axis)):
        case = timing.case
        label = ", ".join(f"{AXES[name]} {getattr(case, name)}" for name in others)
        label = f"{case.network}, {label}, {case.library} {case.dtype}, {case.threads} threads"
        found.setdefault((case.task, label), []).append(timing)
    return {label: line for (_, label), line in found.items() if len(line) >= 3}
