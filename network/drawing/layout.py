"""Where everything of a network's picture stands: straight columns, aligned rows, square lines.

Points (1/72 inch), x to the right, y downwards. A column is what follows one after the other; where
as many columns leave a merge as came to it, each goes straight on. What has room along its column
stands in the middle of it.
"""

from dataclasses import dataclass
from typing import Dict, List, Tuple

from network.drawing.architecture import groups

GAP = 14  # between what follows one another
FORK = 8  # more of it below what several take, for lines to part
LANE = 24  # between neighbouring columns
SIDE = 16  # from a column to a line that passes it

Point = Tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Centres and sizes of a Graph's nodes, and lines between them."""

    at: List[Point]
    sizes: List[Point]  # (width, height)
    lines: Dict[Tuple[int, int], List[Point]]  # (from, to) -> corners, both ends included

    def box(self, positions):
        """(left, top, right, bottom) of some nodes."""
        edges = [
            (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            for (x, y), (w, h) in ((self.at[p], self.sizes[p]) for p in positions)
        ]
        left, top, right, bottom = zip(*edges)
        return min(left), min(top), max(right), max(bottom)


def lay_out(graph, sizes):
    """The Layout of ``graph``, whose nodes are of ``sizes`` (width, height).

    A join's width is the least: it becomes a bar across the columns it joins.
    """
    taken = graph.consumers()
    xs, sizes = columns(graph, taken, sizes)
    ys = rows(graph, taken, sizes)
    at = list(zip(xs, ys))
    at = [
        (shortcut_x(graph, taken, at, sizes, position), y) if node.role == "shortcut" else (x, y)
        for position, (node, (x, y)) in enumerate(zip(graph.nodes, at))
    ]
    lines = {
        (source, position): line(graph, at, sizes, source, position)
        for position, node in enumerate(graph.nodes)
        for source in dict.fromkeys(node.inputs)
    }
    return Layout(at, sizes, lines)


def goes_on(node):
    """Whether a node stands in a column: neither a merge nor a shortcut does."""
    return not node.merges and node.role != "shortcut"


def widest(graph, sizes):
    """Width of the widest node that stands in a column."""
    return max(width for node, (width, _) in zip(graph.nodes, sizes) if goes_on(node))


def columns(graph, taken, sizes):
    """x of each node, with the sizes in which joins have become bars."""
    nodes, sizes = graph.nodes, list(sizes)
    broad = widest(graph, sizes)
    circle = max((w for node, (w, _) in zip(nodes, sizes) if node.merges), default=0)
    shortcut = max((w for node, (w, _) in zip(nodes, sizes) if node.role == "shortcut"), default=0)
    between = [  # merges that run on to others stand between columns
        sizes[position][0]
        for position, node in enumerate(nodes)
        if node.merges
        and node.kind != "join"
        and any(nodes[user].merges for user in taken[position])
    ]
    narrow = broad + LANE + max(between, default=0)
    wide = broad + circle + 2 * (shortcut + LANE)  # a merge between, and a shortcut on each side
    xs = [0.0] * len(nodes)
    for position, node in enumerate(nodes):
        arriving = [xs[position]]
        if node.merges:
            ends = [s for s in node.inputs if goes_on(nodes[s]) and len(taken[s]) == 1]
            if ends:
                arriving = [xs[source] for source in ends]
            else:  # only shortcuts and identities meet here
                arriving = [
                    xs[nodes[s].inputs[0]] if nodes[s].role == "shortcut" else xs[s]
                    for s in node.inputs
                ]
            xs[position] = sum(arriving) / len(arriving)
            if not ends:
                arriving = [xs[position]]
        leaving = [user for user in taken[position] if goes_on(nodes[user])]
        if len(leaving) == len(arriving):
            places = arriving
        else:
            step = narrow if len(leaving) == len(taken[position]) else wide
            places = [
                xs[position] + step * (index - (len(leaving) - 1) / 2)
                for index in range(len(leaving))
            ]
        for user, x in zip(leaving, places):
            xs[user] = x
        if node.kind == "join":
            spanned = arriving + (places if len(places) > 1 else [])
            width, height = sizes[position]
            sizes[position] = (max(spanned) - min(spanned) + max(width, broad), height)
            xs[position] = (max(spanned) + min(spanned)) / 2
    return xs, sizes


def rows(graph, taken, sizes):
    """y of each node: halfway between as early and as late as can be, one for a shared weight.

    Pooling stands right above what takes it, classifiers last.
    """
    nodes, order = graph.nodes, groups(graph)
    early, late, ys = ([0.0] * len(nodes) for _ in range(3))

    def apart(source, position):
        parts = len(taken[source]) > 1 and nodes[source].kind != "join"
        return (sizes[source][1] + sizes[position][1]) / 2 + GAP + FORK * parts

    for alike in order:
        y = max((early[s] + apart(s, p) for p in alike for s in nodes[p].inputs), default=0.0)
        for position in alike:
            early[position] = y
    bottom = max(early)
    for alike in reversed(order):
        ends = [(position, user) for position in alike for user in taken[position]]
        latest = min(
            (late[user] - apart(position, user) for position, user in ends), default=bottom
        )
        above = min((ys[user] - apart(position, user) for position, user in ends), default=bottom)
        for position in alike:
            late[position] = latest
            last = nodes[position].kind in ("pool", "dense")
            ys[position] = above if last else (early[position] + latest) / 2
    return ys


def blocked(graph, at, sizes, x, top, bottom):
    """Whether a vertical line would run through a node, or close by."""
    return any(
        abs(nx - x) < w / 2 + 3 and ny - h / 2 < bottom - 1 and ny + h / 2 > top + 1
        for node, (nx, ny), (w, h) in zip(graph.nodes, at, sizes)
        if node.role != "shortcut"
    )


def shortcut_x(graph, taken, at, sizes, position):
    """x of a shortcut convolution: between its ends where there is room, else to the right."""
    (source,), (end,) = graph.nodes[position].inputs, taken[position]
    (x, top), (to, bottom) = at[source], at[end]
    width = sizes[position][0]
    if x != to:
        return x + (to - x) * 0.6
    if not blocked(graph, at, sizes, x, top + sizes[source][1] / 2, bottom - sizes[end][1] / 2):
        return x
    return x + widest(graph, sizes) / 2 + LANE + width


def line(graph, at, sizes, source, position):
    """Corners of the line from one node to the next, from edge to edge."""
    node = graph.nodes[position]
    (x, y), (to, end) = at[source], at[position]
    (width, height), (to_width, to_height) = sizes[source], sizes[position]
    if graph.nodes[source].kind == "join" and abs(to - x) < width / 2:
        x = to
    if node.kind == "join" and abs(to - x) < to_width / 2:
        to = x
    top, bottom = y + height / 2, end - to_height / 2
    part = top + (GAP + FORK) / 2

    def free(x, top, bottom):
        return not blocked(graph, at, sizes, x, top, bottom)

    circle = node.merges and node.kind != "join"
    if x == to and free(x, top, bottom):
        return [(x, top), (x, bottom)]
    if circle and x != to and free(x, top, end):
        side = to + to_width / 2 * (1 if x > to else -1)
        return [(x, top), (x, end), (side, end)]
    if x != to and free(to, part, bottom):
        return [(x, top), (x, part), (to, part), (to, bottom)]
    aside = max(x, to) + widest(graph, sizes) / 2 + SIDE
    while not free(aside, part, end):
        aside += SIDE
    if circle:
        return [(x, top), (x, part), (aside, part), (aside, end), (to + to_width / 2, end)]
    above = bottom - (GAP + FORK) / 2
    return [(x, top), (x, part), (aside, part), (aside, above), (to, above), (to, bottom)]
