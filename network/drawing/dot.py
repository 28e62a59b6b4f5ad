"""Write statements of DOT, Graphviz's language, for elements whose positions are known.

Graphviz's own layouts keep neither columns straight nor rows aligned. With ``layout=nop2``, it
draws nodes, lines and texts at the positions given here. Coordinates are points (1/72 inch), with
y downwards as in ``network.drawing.layout``.
"""

import math

FONT = "DejaVu Sans"
INK = "#333333"  # colour of lines and texts
TEXT = 9  # size of texts, points
CORNER = 6  # radius of a line's corners, points
HEAD = 5  # length of an arrow's head, points


def format_graph(title, statements):
    """Return the DOT text of a graph of ``statements``."""
    return "\n".join(
        [
            f"digraph {quote(title)} {{",
            "  graph [layout=nop2, pad=0.1]",
            f'  node [fontname="{FONT}", fontsize={TEXT}, fixedsize=true, margin=0, '
            f'color="{INK}", fontcolor="{INK}"]',
            f'  edge [arrowsize=0.5, color="{INK}"]',
            *(f"  {line}" for line in statements),
            "}\n",
        ]
    )


def quote(value):
    """Return ``value`` as a DOT string."""
    return '"' + str(value).replace('"', '\\"') + '"'


def make_statement(name, **attributes):
    """Return the statement of a node or an edge."""
    inside = ", ".join(f"{key}={quote(value)}" for key, value in attributes.items())
    return f"{name} [{inside}]"


def place(x, y, width, height):
    """Return the attributes that put a node's centre at (x, y)."""
    pos = f"{x:.1f},{-y:.1f}"
    return {"pos": pos, "width": f"{width / 72:.4f}", "height": f"{height / 72:.4f}"}


def estimate_width(text, points=TEXT):
    """Return the approximate width of a line of text."""
    return 0.62 * points * len(text)


def make_text(name, text, x, y, points=TEXT, side="l", **attributes):
    """Return the statement of a line of text that starts, ends or is centred at x.

    Args:
        side: "l" if the text starts at x, "r" if it ends there, "n" if x is its middle.
    """
    width = estimate_width(text, points) + points / 2  # dot warns if a text is wider
    x += {"l": width / 2, "r": -width / 2, "n": 0}[side]
    return make_statement(
        name,
        label=text + "\\" + side,
        shape="plaintext",
        fontsize=points,
        **place(x, y, width, points + 3),
        **attributes,
    )


def make_arrow(corners):
    """Return ``pos`` of an edge along ``corners``: straight lines, round corners, an arrowhead."""

    def towards(start, end, distance):
        share = min(distance / max(math.dist(start, end), 1e-9), 0.5)
        return tuple(a + (b - a) * share for a, b in zip(start, end))

    tip = corners[-1]
    ends = [*corners[:-1], towards(tip, corners[-2], HEAD)]
    points = [ends[0]]
    for before, corner, after in zip(ends, ends[1:], ends[2:]):
        enter, leave = towards(corner, before, CORNER), towards(corner, after, CORNER)
        points += [points[-1], enter, enter, corner, corner, leave]
    points += [points[-1], ends[-1], ends[-1]]
    return " ".join([f"e,{tip[0]:.1f},{-tip[1]:.1f}", *(f"{x:.1f},{-y:.1f}" for x, y in points)])
