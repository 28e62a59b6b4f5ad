"""Draw the effects of the papers' claims, with their intervals and verdicts."""

import textwrap
from pathlib import Path
from typing import Any, Sequence, Union

from plotting.figure import BLACK, COLOURS, new_figure, save_figure

GREY = "#767676"
LOOKS = {"supported": COLOURS[2], "contradicted": COLOURS[5], "undecided": GREY}
HOLLOW = {"marker": "D", "linestyle": "", "color": BLACK, "fillstyle": "none"}
SIDE = {"color": COLOURS[4], "alpha": 0.2}
ROW, REST, LETTERS = 0.4, 1.1, 78  # height of a row, of all else (inches); length of a line
LINEAR = 1  # the scale is linear up to this size of an effect, and logarithmic from there on
TICKS = [0, *(sign * size for size in (1, 2, 5, 10, 20, 50, 100) for sign in (-1, 1))]


def draw_claims(judgements: Sequence[Any], path: Union[str, Path], description: str) -> None:
    """Draw the Judgements that have an effect into the PNG or SVG at ``path``.

    A claim says that its effect is in the shaded part of its row. It is supported if its whole
    interval is there.

    Args:
        judgements: Judgements of analysis.reproduction.
        description: text for the file's metadata.
    """
    shown = [each for each in judgements if each.effect is not None]
    figure = new_figure((12, REST + ROW * len(shown)))
    axes = figure.subplots()
    _set_scale(axes, shown)
    for place, each in enumerate(shown):
        _draw_row(axes, place, each)
    names = (f"{number}. {each.claim.sentence}" for number, each in enumerate(shown, 1))
    found = axes.twinx()  # its labels are on the right
    for side, labels in (
        (axes, [textwrap.fill(name, LETTERS, break_on_hyphens=False) for name in names]),
        (found, [f"{each.describe_effect()}\n{each.verdict}" for each in shown]),
    ):
        side.set_ylim(len(shown) - 0.5, -0.5)
        side.set_yticks(range(len(shown)), labels, fontsize=9)
        side.tick_params(axis="y", length=0)
    for label, each in zip(found.get_yticklabels(), shown):
        label.set_color(LOOKS[each.verdict])
    _add_legend(figure, axes)
    save_figure(figure, path, description)


def _set_scale(axes, judgements):
    """Set limits and ticks of the horizontal axis, so that all effects are inside."""
    drawn = [0.0]
    for each in judgements:
        values = (each.effect, each.low, each.high, each.claim.bound)
        drawn += [value for value in values if value is not None]
        drawn += [float(quote.value) for quote in each.claim.paper]
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.7)
    low, high = 1.4 * min(drawn) - 0.4, 1.4 * max(drawn) + 0.4
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.set_xticks([], minor=True)
    axes.tick_params(axis="x", labelsize=9)
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:+.0f}" if tick else "0")
    axes.set_xlabel("effect in percentage points (of training losses: in nats)")
    axes.grid(axis="x", alpha=0.3)


def _draw_row(axes, place, judgement):
    """Draw one claim: its side, the effect with its interval, and the paper's effects."""
    colour, claim = LOOKS[judgement.verdict], judgement.claim
    lowest, _ = axes.get_xlim()
    axes.barh(place, claim.bound - lowest, height=0.8, left=lowest, **SIDE)
    if judgement.low is not None:
        axes.plot((judgement.low, judgement.high), (place, place), color=colour, linewidth=2)
    axes.plot(judgement.effect, place, "o", color=colour)
    axes.plot([float(each.value) for each in claim.paper], [place] * len(claim.paper), **HOLLOW)


def _add_legend(figure, axes):
    for verdict, colour in LOOKS.items():
        axes.plot([], "o-", color=colour, label=verdict)
    axes.plot([], label="printed by the paper, for its own recipe", **HOLLOW)
    axes.barh(0, 0, **SIDE, label="where the claim says the effect is")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncol=5, fontsize=9)
