"""Fold consecutive equal blocks into one block with its count."""

from collections import Counter
from dataclasses import replace

from network.drawing.architecture import Fold, Graph, find_components


def fold(graph):
    """Return the Graph with each run of equal blocks as one block and its count.

    Two blocks are equal if their nodes have the same kinds, shapes, layers and connections. If no
    two blocks are equal, as in FractalNet, blocks that differ only in shapes count as equal.
    """
    runs = find_all_runs(graph, exact=True) or find_all_runs(graph, exact=False)
    source = list(range(len(graph.nodes)))  # of each node, the one that is drawn in its place
    for start, period, count in runs:
        for position in range(start + period, start + period * count):
            source[position] = start + (position - start) % period
    counts = Counter(source)
    index = {position: i for i, position in enumerate(sorted(counts))}
    nodes = [
        replace(
            graph.nodes[position],
            inputs=tuple(index[source[i]] for i in graph.nodes[position].inputs),
            count=counts[position],
        )
        for position in index
    ]
    return Graph(nodes, tuple(make_fold(graph, index, *run) for run in runs))


def find_all_runs(graph, exact):
    """Return all runs (start, period, count) of equal blocks; ``exact`` compares shapes, too."""
    signatures = [sign(graph.nodes, position, exact) for position in range(len(graph.nodes))]
    return sorted(find_runs(graph, graph.consumers(), signatures, 1, len(signatures)))


def make_fold(graph, index, start, period, count):
    """Return the Fold of a run; ``index`` maps positions to those in the folded graph."""
    channels = tuple(
        max(graph.nodes[p].shape[0] for p in range(first, first + period))
        for first in range(start, start + period * count, period)
    )
    return Fold(index[start], index[start + period - 1], count, channels)


def sign(nodes, position, exact):
    """Return what a node must share with its counterpart in an equal block."""
    node = nodes[position]
    inputs = tuple(position - source for source in node.inputs)
    shapes = (node.shape, node.in_channels, node.stride) if exact else ()
    return (node.kind, node.role, node.kernel, node.layers, inputs, shapes)


def find_runs(graph, consumers, signatures, begin, end):
    """Return runs (start, period, count) of equal blocks in ``graph.nodes[begin:end]``.

    The first run has the period that saves the most nodes; the runs before and after it follow.
    """
    best, saved = None, 0
    for period in range(1, (end - begin) // 2 + 1):
        run = find_run(graph, consumers, signatures, range(begin, end), period, saved)
        if run and (run[2] - 1) * period > saved:
            best, saved = run, (run[2] - 1) * period
    if best is None:
        return []
    start, period, count = best
    return [
        best,
        *find_runs(graph, consumers, signatures, begin, start),
        *find_runs(graph, consumers, signatures, start + period * count, end),
    ]


def find_run(graph, consumers, signatures, positions, period, saved):
    """Return the run (start, period, count) of ``period`` within ``positions``, or None.

    Of several runs, the one whose blocks have the fewest connections to the outside is chosen,
    because its blocks are complete. If no run could save more than ``saved`` nodes, none is sought.
    """
    length, counts = 0, {}
    for start in range(positions[-1] - period, positions[0] - 1, -1):
        length = length + 1 if signatures[start] == signatures[start + period] else 0
        counts[start] = 1 + length // period
    if (max(counts.values()) - 1) * period <= saved:
        return None
    runs = [
        (measure_openness(graph, consumers, start, period), -count, start)
        for start, count in counts.items()
        if count > 1 and is_chain(graph, consumers, start, period, count)
    ]
    if not runs:
        return None
    _, negative_count, start = min(runs)
    return start, period, -negative_count


def is_chain(graph, consumers, start, period, count):
    """Return whether each block has one stage and is connected only to its neighbours.

    A block of two stages would split the parallel streams of a network. Each stream must lead to
    itself in the next block, or a path would pass one stream more often than another.
    """
    first, last = range(start, start + period), start + period * (count - 1)
    for begin in range(start, start + period * count, period):
        nodes = graph.nodes[begin : begin + period]
        if len({node.shape[-1] for node in nodes if node.kind == "conv"}) > 1:
            return False
    for stream in find_components(graph, first):
        fed_by = {source for p in stream for source in graph.nodes[p + period].inputs}
        if not fed_by.intersection(first) <= stream:
            return False
    return all(
        source >= start - period for position in first for source in graph.nodes[position].inputs
    ) and all(
        user < position - (position - start) % period + 2 * period
        for position in range(start, last)
        for user in consumers[position]
    )


def measure_openness(graph, consumers, start, period):
    """Return the number of a block's inputs, plus its outputs, plus its distinct weights."""
    inside = range(start, start + period)
    outer = {source for p in inside for source in graph.nodes[p].inputs if source not in inside}
    giving = sum(any(user not in inside for user in consumers[p]) for p in inside)
    return len(outer) + giving + len({graph.nodes[p].weight for p in inside})
