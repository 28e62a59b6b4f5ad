"""Draw the studies: lengths of paths, ensemble members, lesions, error over latency."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from plotting.figure import (
    BLACK,
    COLOURS,
    MARKERS,
    add_title,
    literal_text,
    new_figure,
    save_figure,
    start_at_zero,
    use_whole_ticks,
)

Shares = Dict[int, float]  # length of a path in weight layers -> probability


def draw_lengths(
    panels: Dict[str, Dict[str, Tuple[Shares, Optional[Shares]]]], path: Union[str, Path]
) -> None:
    """Draw the probability of each path length into the PNG at ``path``.

    Args:
        panels: ``{title: {label: (measured shares, shares by a formula or None)}}``; each title has
            a panel, in which measured shares are a line and those of the formula are rings.
    """
    figure = new_figure((5 * len(panels), 3.6))
    rings = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "linestyle": ""}
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
    ):
        for index, (label, (found, formula)) in enumerate(lines.items()):
            colour = COLOURS[index % len(COLOURS)]
            marker = MARKERS[index // len(COLOURS) % len(MARKERS)]
            look = {"color": colour, "marker": marker, "markersize": 3}
            axes.plot(*_points(found), label=literal_text(label), **look)
            if formula:
                axes.plot(*_points(formula), color=colour, **rings)
        if any(formula for _, formula in lines.values()):
            axes.plot([], color=BLACK, label="the paper's formula", **rings)
        axes.set_title(literal_text(title))
        axes.set(xlabel="weight layers", ylabel="share of paths (%)")
        start_at_zero(axes)
        use_whole_ticks(axes)
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)


def _points(shares):
    """Return (lengths, percentages)."""
    return list(shares), [100 * float(share) for share in shares.values()]


def draw_members(study: Any, path: Union[str, Path], title: str) -> None:
    """Draw single members, ensembles without one member and growing ensembles to ``path``.

    Args:
        study: a Study of analysis.ensembling.
    """
    figure = new_figure((13, 3.8))
    alone, without, growing = figure.subplots(1, 3)
    found = study.contributions
    lengths = [contribution.length for contribution in found]
    blue, orange, green, *_ = COLOURS
    alone.plot(lengths, [c.alone for c in found], "o", color=blue, label="a single member")
    alone.axhline(study.ensemble, color=orange, linestyle="--", label="ensemble of the members")
    alone.axhline(study.whole, color=BLACK, label="the whole network")
    alone.set(xlabel="weight layers of the member")
    start_at_zero(alone)
    if len(found) > 1:
        losses = [c.without - study.ensemble for c in found]
        without.plot(lengths, losses, "o", color=blue)
    without.axhline(0, color=orange, linestyle="--")
    without.set(xlabel="weight layers of the member left out")
    sizes = range(1, len(found) + 1)
    growing.plot(sizes, [c.up_to for c in found], "o-", color=blue, label="shallowest first")
    deep_first = [c.from_on for c in reversed(found)]
    growing.plot(sizes, deep_first, "s-", color=green, label="deepest first")
    growing.axhline(study.whole, color=BLACK, label="the whole network")
    growing.set(xlabel="members in the ensemble")
    start_at_zero(growing)
    titles = ("each member alone", "ensemble without one member", "growing ensembles")
    for axes, name in zip((alone, without, growing), titles):
        ylabel = "change of error (points)" if axes is without else "error (%)"
        axes.set(ylabel=ylabel, title=name)
        use_whole_ticks(axes)
        axes.grid(alpha=0.3)
    for axes in (alone, growing):
        axes.legend()
    add_title(figure, title)
    save_figure(figure, path)


def draw_lesions(study: Any, path: Union[str, Path], title: str) -> None:
    """Draw the error of a network without some summands into the PNG at ``path``.

    One panel shows the error without each summand, the other that without several random ones: the
    mean over the draws, and a band from the lowest to the highest error.

    Args:
        study: a LesionStudy of analysis.lesions.
    """
    labels, places = list(map(literal_text, study.single)), range(len(study.single))
    figure = new_figure((max(9, 4 + 0.16 * len(labels)), 4.5))
    ratios = {"width_ratios": (max(1, len(labels) / 25), 1)}
    alone, several = figure.subplots(1, 2, gridspec_kw=ratios)
    alone.bar(places, list(study.single.values()), color=COLOURS[0])
    alone.set_xticks(places, labels, rotation=90, fontsize=8)  # a label has 10 points
    alone.set_xlabel("summand removed")
    sizes = list(study.random)
    means = [sum(errors) / len(errors) for errors in study.random.values()]
    several.plot(sizes, means, "o-", color=COLOURS[0], label="mean of the draws")
    lowest, highest = zip(*[(min(errors), max(errors)) for errors in study.random.values()])
    several.fill_between(sizes, lowest, highest, color=COLOURS[0], alpha=0.2, label="all draws")
    several.set_xscale("log", base=2)
    several.set_xticks(sizes, [str(size) for size in sizes])
    several.set_xlabel("number of summands removed at random")
    for axes in (alone, several):
        axes.axhline(study.whole, color=BLACK, label="the whole network")
        axes.set(ylabel="error (%)")
        start_at_zero(axes)
        axes.set_axisbelow(True)
        axes.grid(alpha=0.3)
    several.legend()
    add_title(figure, title)
    save_figure(figure, path)


def draw_anytime(points: Sequence, path: Union[str, Path], title: str) -> None:
    """Draw error over latency into the PNG at ``path``, with a panel for each batch size.

    Args:
        points: Points of analysis.anytime: the columns, shallowest first, then the whole network.
    """
    figure, sizes = new_figure(), list(points[0].seconds)
    for axes, size in zip(figure.subplots(1, len(sizes)), sizes):
        places = [(1000 * point.seconds[size], point.error) for point in points]
        axes.plot(*zip(*places[:-1]), "-o", color=COLOURS[0])
        axes.plot(*places[-1], "s", color=BLACK)
        axes.set(xlabel=f"latency (ms), batch {size}", ylabel="error (%)")
        _name_points(axes, points, places)
    add_title(figure, title)
    save_figure(figure, path)


def draw_early_exit(
    points: Sequence, curves: Sequence, matched: Sequence, path: Union[str, Path], title: str
) -> None:
    """Draw error over mean latency and over multiply-adds of an image, into the PNG at ``path``.

    Args:
        points: Points of the columns, shallowest first, then of the whole network.
        curves: for each chain of networks, its exits at every threshold, in order.
        matched: the exits whose thresholds were chosen on other images, or None for each missing.
    """
    figure, labels = new_figure(), ("columns", "columns, then the whole network")
    singles = [(1000 * each.seconds[1], each.multiply_adds / 1e6, each.error) for each in points]
    lines = [_exit_costs(exits) for exits in curves]
    picks = _exit_costs([each for each in matched if each])
    words = ("mean latency of an image (ms)", "mean multiply-adds of an image (millions)")
    for cost, axes in enumerate(figure.subplots(1, 2)):
        for colour, label, places in zip(COLOURS, labels, lines):
            axes.plot(*_pick(places, cost), color=colour, label=label)
        label, style = "threshold chosen on other images", {"linestyle": "", "color": COLOURS[2]}
        axes.plot(*_pick(picks, cost), label=label, marker=MARKERS[2], markersize=5, **style)
        square = {"marker": "s", "markersize": 9, "fillstyle": "none", "linestyle": ""}
        axes.plot(*_pick(singles, cost), label="one network", color=BLACK, **square)
        axes.set(xlabel=words[cost], ylabel="error (%)")
        _name_points(axes, points, [(single[cost], single[2]) for single in singles])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncol=4, fontsize=8)
    add_title(figure, title)
    save_figure(figure, path)


def _name_points(axes, points, places):
    """Write each Point's name beside its place, above the lines; start the horizontal axis at 0."""
    from matplotlib.patheffects import withStroke

    for point, place in zip(points, places):
        axes.annotate(
            literal_text(point.name),
            place,
            xytext=(7, 4),
            textcoords="offset points",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    axes.margins(y=0.15)
    axes.set_xlim(0, 1.2 * axes.dataLim.x1)  # room for the name of the last point
    axes.grid(alpha=0.3)


def _exit_costs(exits):
    return [(1000 * each.seconds, each.multiply_adds / 1e6, each.error) for each in exits]


def _pick(places, cost):
    """Return x and y of places that are (latency, multiply-adds, error)."""
    return [place[cost] for place in places], [place[2] for place in places]
