"""Draw speed and memory of networks over depth, widen factor and batch size."""

from pathlib import Path
from typing import Dict, List, Sequence, Union

from plotting.figure import COLOURS, MARKERS, literal_text, new_figure, save_figure

AXES = {"depth": "depth", "widen_factor": "widen factor", "batch_size": "batch size"}
RARE = {"task": "task", "dtype": "type", "threads": "threads"}  # in a label only if they vary
FEWEST = 3  # points that make a line


def draw_scaling(timings: Sequence, path: Union[str, Path]) -> None:
    """Draw images per second, and peak memory, over what varies, into the picture at ``path``.

    A line joins timings that differ only in one of AXES; each axis with a line has a panel.

    Args:
        timings: the results of benchmark.py, see tools.timing.

    Raises:
        ValueError: nothing varies; see ``varying_axes``.
    """
    axes = varying_axes([timing.case for timing in timings])
    if not axes:
        raise ValueError(
            f"nothing varies: a line needs {FEWEST} depths, widen factors or batch sizes"
        )
    figure = new_figure((4 * len(axes), 6))
    for (speed, memory), axis in zip(figure.subplots(2, len(axes), squeeze=False).T, axes):
        lines = series(timings, axis)
        for index, (label, line) in enumerate(lines.items()):
            places, rates = [getattr(t.case, axis) for t in line], [t.rate for t in line]
            below = [t.rate - min(t.rates) for t in line]
            above = [max(t.rates) - t.rate for t in line]
            marker = MARKERS[index // len(COLOURS) % len(MARKERS)]
            look = {"marker": marker, "color": COLOURS[index % len(COLOURS)]}
            label = literal_text(label)
            speed.errorbar(places, rates, [below, above], capsize=3, label=label, **look)
            memory.plot(places, [t.memory for t in line], **look)
        ticks = sorted({getattr(t.case, axis) for line in lines.values() for t in line})
        for panel, what in ((speed, "images/s"), (memory, "peak memory (MiB)")):
            panel.set(xlabel=AXES[axis], ylabel=what, xscale="log", yscale="log")
            panel.set_xticks(ticks, list(map(str, ticks)))
            _label_values(panel)
        speed.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
    save_figure(figure, path)


def _label_values(panel):
    """Write plain numbers at round values; over a decade or more, at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    lowest, highest = panel.get_ylim()
    short = highest < 10 * lowest
    panel.yaxis.set_major_locator(MaxNLocator(6) if short else LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_minor_locator(NullLocator())
    panel.grid(alpha=0.3)


def varying_axes(cases: Sequence) -> List[str]:
    """Return those of AXES in which at least three cases differ and agree in everything else."""
    return [axis for axis in AXES if _lines(cases, axis)]


def series(timings: Sequence, axis: str) -> Dict[str, list]:
    """Return {label: at least three timings that differ only in ``axis``, sorted by it}."""
    by_case = {timing.case: timing for timing in timings}
    lines = _lines(by_case, axis)
    return {label: [by_case[case] for case in line] for label, line in lines.items()}


def _lines(cases, axis):
    """Return {label: at least three cases that differ only in ``axis``, sorted by it}."""
    others, found = [name for name in AXES if name != axis], {}
    varying = [name for name in RARE if len({getattr(case, name) for case in cases}) > 1]
    for case in cases:
        if getattr(case, axis) is not None:  # None: the depth is part of the network's name
            words = [f"{AXES[name]} {getattr(case, name)}" for name in others]
            words += [case.library, *(f"{RARE[name]} {getattr(case, name)}" for name in varying)]
            label = ", ".join([case.network, *words])
            found.setdefault(label, {})[getattr(case, axis)] = case
    return {
        label: [line[value] for value in sorted(line)]
        for label, line in found.items()
        if len(line) >= FEWEST
    }
