"""Lay out a network's picture: straight columns, aligned rows, lines with right angles.

Coordinates are points (1/72 inch), x to the right, y downwards. A column holds nodes that follow
one another. If as many columns leave a merge as enter it, each continues straight. A branch with
forks of its own has room for their columns. A node that can move along its column stands in the
middle of the free space.
"""

from dataclasses import dataclass
from typing import Dict, List, Tuple

from network.drawing.architecture import group_by_weight

GAP = 14  # between a node and the next one below
FORK = 8  # added to the gap below a node with several consumers, where their lines separate
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
        """Return (left, top, right, bottom) around the nodes at ``positions``."""
        edges = [
            (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            for (x, y), (w, h) in ((self.at[p], self.sizes[p]) for p in positions)
        ]
        left, top, right, bottom = zip(*edges)
        return min(left), min(top), max(right), max(bottom)


def lay_out(graph, sizes):
    """Return the Layout of ``graph``, whose nodes have ``sizes`` (width, height).

    A join's width is a minimum: it becomes a bar across the columns that it joins.
    """
    consumers = graph.consumers()
    xs, sizes = Columns(graph, consumers, sizes).place()
    ys = find_ys(graph, consumers, sizes)
    at = list(zip(xs, ys))
    at = [
        (find_shortcut_x(graph, consumers, at, sizes, position), y)
        if node.role == "shortcut"
        else (x, y)
        for position, (node, (x, y)) in enumerate(zip(graph.nodes, at))
    ]
    lines = {
        (source, position): route_line(graph, at, sizes, source, position)
        for position, node in enumerate(graph.nodes)
        for source in dict.fromkeys(node.inputs)
    }
    return Layout(at, sizes, lines)


def stands_in_column(node):
    """Return whether a node stands in a column: all nodes do, except merges and shortcuts."""
    return not node.is_merge and node.role != "shortcut"


def find_widest(graph, sizes):
    """Return the width of the widest node that stands in a column."""
    return max(width for node, (width, _) in zip(graph.nodes, sizes) if stands_in_column(node))


class Columns:
    """Finds x of each node, from the input downwards.

    Attributes:
        sizes: (width, height) of each node; ``place`` makes joins bars.
        columns: the number of columns that each node needs for itself and the branch below it,
            which may have forks of its own.
        narrow, wide: distances between columns that leave a fork; ``wide`` is used if shortcuts or
            identities leave the fork, too.
    """

    def __init__(self, graph, consumers, sizes):
        self.nodes, self.consumers, self.sizes = graph.nodes, consumers, list(sizes)
        self.widest = find_widest(graph, sizes)
        self.xs = [0.0] * len(self.nodes)
        self.columns = self._count_columns()
        merge = self._max_width(lambda position, node: node.is_merge)
        between = self._max_width(self._stands_between_columns)
        shortcut = self._max_width(lambda position, node: node.role == "shortcut")
        self.narrow = self.widest + LANE + between
        self.wide = self.widest + merge + 2 * (shortcut + LANE)  # a shortcut on each side of it

    def _count_columns(self):
        columns = [1] * len(self.nodes)
        for position in reversed(range(len(self.nodes))):
            leaving = (columns[user] for user in self._find_leaving(position))
            columns[position] = max(sum(leaving), 1)
        return columns

    def _find_leaving(self, position):
        """Return the nodes that continue below a node in columns."""
        return [user for user in self.consumers[position] if stands_in_column(self.nodes[user])]

    def _max_width(self, belongs):
        """Return the width of the widest node for which ``belongs(position, node)``, or 0."""
        widths = (
            self.sizes[position][0]
            for position, node in enumerate(self.nodes)
            if belongs(position, node)
        )
        return max(widths, default=0)

    def _stands_between_columns(self, position, node):
        """Return whether a node is a merge, other than a join, that leads to other merges."""
        leads_on = any(self.nodes[user].is_merge for user in self.consumers[position])
        return node.is_merge and node.kind != "join" and leads_on

    def place(self):
        """Return x of each node, and the sizes with joins as bars."""
        for position, node in enumerate(self.nodes):
            arriving = self._place_merge(position) if node.is_merge else [self.xs[position]]
            leaving = self._place_consumers(position, arriving)
            if node.kind == "join":
                self._span(position, arriving + (leaving if len(leaving) > 1 else []))
        return self.xs, self.sizes

    def _place_merge(self, position):
        """Place a merge in the middle of its inputs; return x of the columns that end there.

        If only shortcuts and identities end there, they determine the place, but are no columns.
        """
        inputs = self.nodes[position].inputs
        ends = [
            self.xs[source]
            for source in inputs
            if stands_in_column(self.nodes[source]) and len(self.consumers[source]) == 1
        ]
        xs = ends or [self._x_above_shortcut(source) for source in inputs]
        self.xs[position] = sum(xs) / len(xs)
        return ends or [self.xs[position]]

    def _x_above_shortcut(self, position):
        """Return x of a node; for a shortcut, which has no position yet, x of its input."""
        node = self.nodes[position]
        return self.xs[node.inputs[0] if node.role == "shortcut" else position]

    def _place_consumers(self, position, arriving):
        """Place the nodes that continue below a node in columns; return x of these columns."""
        leaving, places = self._find_leaving(position), arriving
        needed = [self.columns[user] for user in leaving]
        if needed != [1] * len(arriving):
            step = self.narrow if len(leaving) == len(self.consumers[position]) else self.wide
            middles = [sum(needed[:i]) + (needed[i] - sum(needed)) / 2 for i in range(len(leaving))]
            places = [self.xs[position] + step * middle for middle in middles]
        for user, x in zip(leaving, places):
            self.xs[user] = x
        return places

    def _span(self, position, xs):
        """Widen a join to a bar across the columns at ``xs``."""
        width, height = self.sizes[position]
        left, right = min(xs), max(xs)
        self.sizes[position] = (right - left + max(width, self.widest), height)
        self.xs[position] = (right + left) / 2


def find_ys(graph, consumers, sizes):
    """Return y of each node: halfway between its earliest and its latest possible position.

    Nodes that share a weight have the same y. A pooling layer stands directly above its consumers,
    and classifiers stand last.
    """
    nodes, order = graph.nodes, group_by_weight(graph)
    early, late, ys = ([0.0] * len(nodes) for _ in range(3))

    def distance(source, position):
        forks = len(consumers[source]) > 1 and nodes[source].kind != "join"
        return (sizes[source][1] + sizes[position][1]) / 2 + GAP + FORK * forks

    for group in order:
        y = max((early[s] + distance(s, p) for p in group for s in nodes[p].inputs), default=0.0)
        for position in group:
            early[position] = y
    bottom = max(early)
    for group in reversed(order):
        ends = [(position, user) for position in group for user in consumers[position]]
        latest = min((late[user] - distance(p, user) for p, user in ends), default=bottom)
        above = min((ys[user] - distance(p, user) for p, user in ends), default=bottom)
        for position in group:
            late[position] = latest
            stands_last = nodes[position].kind in ("pool", "dense")
            ys[position] = above if stands_last else (early[position] + latest) / 2
    return ys


def is_blocked(graph, at, sizes, x, top, bottom):
    """Return whether a vertical line at x would run through a node, or close to one."""
    return any(
        abs(nx - x) < w / 2 + 3 and ny - h / 2 < bottom - 1 and ny + h / 2 > top + 1
        for node, (nx, ny), (w, h) in zip(graph.nodes, at, sizes)
        if node.role != "shortcut"
    )


def find_shortcut_x(graph, consumers, at, sizes, position):
    """Return x of a shortcut: between its ends where there is room, otherwise to the right."""
    (source,), (end,) = graph.nodes[position].inputs, consumers[position]
    (x, top), (to, bottom) = at[source], at[end]
    width = sizes[position][0]
    if x != to:
        return x + (to - x) * 0.6
    if not is_blocked(graph, at, sizes, x, top + sizes[source][1] / 2, bottom - sizes[end][1] / 2):
        return x
    return x + find_widest(graph, sizes) / 2 + LANE + width


def route_line(graph, at, sizes, source, position):
    """Return the corners of the line from one node to the next, from edge to edge."""
    node = graph.nodes[position]
    (x, y), (to, end) = at[source], at[position]
    (width, height), (to_width, to_height) = sizes[source], sizes[position]
    if graph.nodes[source].kind == "join" and abs(to - x) < width / 2:
        x = to
    if node.kind == "join" and abs(to - x) < to_width / 2:
        to = x
    top, bottom = y + height / 2, end - to_height / 2
    turn = top + (GAP + FORK) / 2  # where lines of a fork separate
    is_circle = node.is_merge and node.kind != "join"

    def free(x, top, bottom):
        return not is_blocked(graph, at, sizes, x, top, bottom)

    if x == to and free(x, top, bottom):
        return [(x, top), (x, bottom)]
    if is_circle and x != to and free(x, top, end):
        side = to + to_width / 2 * (1 if x > to else -1)
        return [(x, top), (x, end), (side, end)]
    if x != to and free(to, turn, bottom):
        return [(x, top), (x, turn), (to, turn), (to, bottom)]
    aside = max(x, to) + find_widest(graph, sizes) / 2 + SIDE
    while not free(aside, turn, end):
        aside += SIDE
    if is_circle:
        return [(x, top), (x, turn), (aside, turn), (aside, end), (to + to_width / 2, end)]
    above = bottom - (GAP + FORK) / 2
    return [(x, top), (x, turn), (aside, turn), (aside, above), (to, above), (to, bottom)]
