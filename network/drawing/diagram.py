"""A network's picture as DOT text: nodes, lines, frames, stage names, caption and legend.

``network.drawing.layout`` gives every position. The text is ordinary DOT, so commands such as
``dot -Tpdf FILE.gv`` work on it.
"""

import math

from network.drawing.architecture import find_components
from network.drawing.dot import (
    TEXT,
    estimate_width,
    format_graph,
    make_arrow,
    make_statement,
    make_text,
    place,
)

FILLS = ("#cfe2f3", "#d9ead3", "#fff2cc", "#f4cccc", "#d9d2e9", "#d0e0e3")  # fill colours of stages
LINES = ("#3d78b5", "#5b8f45", "#b08400", "#b5524e", "#6f5aa8", "#3f8791")
PALE, IDENTITY, MARK = "#777777", "#e08214", "#d7191c"
MARKED = {"color": MARK, "penwidth": 2.2}
SYMBOLS = {"sum": "+", "elemwise_mul": "\u00d7", "broadcast_mul": "\u00d7"}  # of merges


def draw_diagram(graph, layout, title, facts, detail=False, marked=(), meaning=None):
    """Return the picture as DOT text.

    Args:
        layout: the Layout of ``graph``.
        title, facts: the caption; ``facts`` are written in one line if there is room.
        detail: as for ``visualize``.
        marked: positions of the nodes on a path, which is drawn on top.
        meaning: the text of the marked path in the legend.
    """
    identities = find_identities(graph, layout)
    lines = [
        *draw_frames(graph, layout),
        *draw_stage_names(graph, layout),
        *draw_nodes(graph, layout, detail, marked),
        *draw_lines(layout, identities, marked),
        *draw_caption(layout, title, facts),
        *draw_legend(graph, layout, bool(identities), meaning),
    ]
    return format_graph(title, lines)


def format_lengths(lengths):
    """Return lengths as text, such as 3x3 for (3, 3)."""
    return "\u00d7".join(str(length) for length in lengths)


def make_label(node, detail):
    """Return the lines of text in a node."""
    dense = "dense" if node.role == "hidden" else "classifier"
    if not detail or node.kind not in ("conv", "dense", "pool", "input"):
        return {
            "conv": [f"conv {node.number}" if node.role == "branch" else str(node.number)],
            "dense": [dense],
            "input": ["image"],
            "layer": [", ".join(node.layers)],
        }.get(node.kind, [SYMBOLS.get(node.kind, node.kind)])
    step = f" /{node.stride[0]}" if max(node.stride, default=1) > 1 else ""
    widths = f"{node.in_channels} \u2192 {node.shape[0]}"
    lines = {
        "conv": [f"conv {node.number}", f"{format_lengths(node.kernel)}{step}, {widths}"],
        "dense": [", ".join(node.before), f"{dense} {widths}"],
        "pool": [" ".join([*node.layers, format_lengths(node.kernel) + step])],
        "input": [f"image {format_lengths(node.shape)}"],
    }[node.kind]
    if node.kind in ("conv", "dense"):
        lines.append(", ".join(node.layers))
    if node.kind == "conv":
        lines.append(format_lengths(node.shape))
    return [line for line in lines if line]


def measure_node(node, detail):
    """Return (width, height) of a node in points; a join's width is a minimum."""
    if node.kind == "join":
        return 0, 11
    if node.is_merge:
        return (20, 20) if node.kind in SYMBOLS else (max(34, estimate_width(node.kind) + 10), 20)
    lines = make_label(node, detail)
    width = max(map(estimate_width, lines))
    if detail:
        return max(104, width - 8), 8 + 11 * len(lines)  # widths are upper estimates
    if node.kind == "conv":
        return (50, 20) if node.role == "branch" else (34, 16)
    return {"pool": (50, 9), "input": (50, 14)}.get(node.kind, (max(64, width + 8), 20))


def style_node(node):
    """Return the Graphviz attributes of a node, except its text, position and size."""
    fill, line = (colors[node.stage % len(colors)] for colors in (FILLS, LINES))
    if node.kind == "conv" and node.role == "branch":
        return {"shape": "box", "style": "filled,rounded", "fillcolor": fill, "color": line}
    if node.kind == "conv":
        style = "filled,rounded,dashed"
        return {"shape": "box", "style": style, "fillcolor": "white", "color": line}
    if node.kind == "join":
        style = {"fillcolor": "#555555", "fontcolor": "white", "fontsize": TEXT - 1}
        return {"shape": "box", "style": "filled", **style}
    if node.is_merge:
        fill = "white" if node.kind in SYMBOLS else "#fce5cd"
        return {"shape": "ellipse", "style": "filled", "fillcolor": fill}
    if node.kind == "pool":
        style = {"fillcolor": "#dddddd", "color": PALE, "fontsize": TEXT - 2}
        return {"shape": "box", "style": "filled", **style}
    if node.kind == "input":
        return {"shape": "plaintext"}
    return {"shape": "box", "style": "filled", "fillcolor": "#eeeeee"}


def draw_nodes(graph, layout, detail, marked):
    """Yield the statements of all nodes, and with ``detail`` of the layers behind merges."""
    for position, node in enumerate(graph.nodes):
        style = {**style_node(node), **(MARKED if position in marked else {})}
        text = "\\n".join(make_label(node, detail))
        where = place(*layout.at[position], *layout.sizes[position])
        yield make_statement(f"n{position}", label=text, **where, **style)
        if detail and node.is_merge and node.layers:
            (x, y), (w, h) = layout.at[position], layout.sizes[position]
            text = ", ".join(node.layers)
            yield make_text(f"after{position}", text, x + w / 2 + 2, y + h / 2 + 1)


def find_identities(graph, layout):
    """Return the lines (from, to) that are identities: from a fork or a merge to a sum or mean."""
    consumers, nodes = graph.consumers(), graph.nodes
    return {
        (source, position)
        for source, position in layout.lines
        if nodes[position].kind in ("sum", "mean")
        and (nodes[source].is_merge or len(consumers[source]) > 1)
    }


def draw_lines(layout, identities, marked):
    """Yield the statements of all lines; those of the marked path are drawn last, on top."""
    steps = set(zip(marked, marked[1:]))
    for ends, corners in sorted(layout.lines.items(), key=lambda item: item[0] in steps):
        style = {"color": IDENTITY} if ends in identities else {}
        style = MARKED if ends in steps else style
        yield make_statement(f"n{ends[0]} -> n{ends[1]}", pos=make_arrow(corners), **style)


def find_extent(graph, layout):
    """Return (left, right) of everything except texts."""
    left, _, right, _ = layout.box(range(len(graph.nodes)))
    xs = [x for corners in layout.lines.values() for x, _ in corners]
    return min(left, *xs), max(right, *xs)


def draw_frames(graph, layout):
    """Yield the statements of the frames around repeated blocks, with the number of repetitions."""
    _, right = find_extent(graph, layout)
    for index, fold in enumerate(graph.folds):
        components = find_components(graph, range(fold.first, fold.last + 1))
        boxes = [measure_frame(layout, component) for component in components]
        for number, (left, top, side, bottom) in enumerate(boxes):
            middle = ((left + side) / 2, (top + bottom) / 2)
            where = place(*middle, side - left, bottom - top + 12)
            style = {"shape": "box", "style": "rounded,filled", "color": "#bbbbbb"}
            style["fillcolor"] = "#f4f4f4"
            yield make_statement(f"fold{index}_{number}", label="", **where, **style)
        _, top, side, bottom = boxes[-1]
        x, y = side + 6, (top + bottom) / 2
        if not is_free(layout, (x, y - 8, x + 26, y + 8)):
            x = right + 14
        yield make_text(f"times{index}", f"\u00d7 {fold.count}", x, y, 13)
        if len(set(fold.channels)) > 1:
            text = ", ".join(map(str, fold.channels))
            yield make_text(f"widths{index}", text, x, y + 14)
            yield make_text(f"of{index}", "channels", x, y + 25)


def measure_frame(layout, positions):
    """Return (left, top, right, bottom) around nodes and the lines that lead to them."""
    left, top, right, bottom = layout.box(positions)
    lines = [corners for (_, to), corners in layout.lines.items() if to in positions]
    xs = [x for corners in lines for x, _ in corners]
    return min(left, *xs) - 6, top, max(right, *xs) + 6, bottom


def is_free(layout, box):
    """Return whether no node and no line lies in ``box`` (left, top, right, bottom)."""
    boxes = [layout.box([position]) for position in range(len(layout.at))]
    for corners in layout.lines.values():
        for (x, y), (to_x, to_y) in zip(corners, corners[1:]):
            boxes.append((min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
    left, top, right, bottom = box
    return not any(
        start < right and end > left and upper < bottom and lower > top
        for start, upper, end, lower in boxes
    )


def draw_stage_names(graph, layout):
    """Yield the statements of each stage's size and width, to the left of its first node.

    Blocks in a frame with several widths get no stage name.
    """
    left, _ = find_extent(graph, layout)
    framed = {
        position
        for fold in graph.folds
        if len(set(fold.channels)) > 1
        for position in range(fold.first, fold.last + 1)
    }
    stages = {}
    for position, node in enumerate(graph.nodes):
        if node.kind == "conv" and position not in framed:
            stages.setdefault(node.stage, []).append(position)
    lowest = -math.inf
    for stage, positions in sorted(stages.items()):
        nodes = [graph.nodes[position] for position in positions]
        widths = sorted({node.shape[0] for node in nodes})
        channels = str(widths[0]) if len(widths) == 1 else f"{widths[0]}\u2013{widths[-1]}"
        y = max(min(layout.at[position][1] for position in positions), lowest + 28)
        lowest = y
        for line, text in enumerate((format_lengths(nodes[0].shape[1:]), f"{channels} channels")):
            style = {"side": "r", "fontcolor": LINES[stage % len(LINES)]}
            yield make_text(f"stage{stage}_{line}", text, left - 12, y + 11 * line - 5, **style)


def draw_caption(layout, title, facts):
    """Yield the statements of the lines above the picture."""
    x, _ = layout.at[0]
    left, top, right, _ = layout.box(range(len(layout.at)))
    row = " \u00b7 ".join(facts)
    lines = [row] if estimate_width(row) <= right - left else facts
    y = top - 16 - 12 * len(lines)
    yield make_text("title", title, x, y, 13, "n")
    for index, text in enumerate(lines):
        yield make_text(f"fact{index}", text, x, y + 16 + 12 * index, side="n")


def draw_legend(graph, layout, identities, meaning):
    """Yield the statements of the legend below the picture."""
    rows = list_legend_rows(graph, identities, meaning)
    _, _, _, y = layout.box(range(len(layout.at)))
    width = max((estimate_width(text) + 34 for text, _ in rows), default=0)
    left = layout.at[0][0] - width / 2
    for index, (text, style) in enumerate(rows):
        y += 18
        yield make_text(f"legend{index}", text, left + 34, y)
        if style and "style" in style:
            where = place(left + 14, y, 26, 12)
            yield make_statement(f"sample{index}", label="", shape="box", **where, **style)
        elif style:
            for end, x in (("a", left + 1), ("b", left + 27)):
                point = {"label": "", "shape": "point", "style": "invis"}
                yield make_statement(f"sample{index}{end}", **point, **place(x, y, 0.1, 0.1))
            pos = make_arrow([(left + 1, y), (left + 27, y)])
            yield make_statement(f"sample{index}a -> sample{index}b", pos=pos, **style)


def list_legend_rows(graph, identities, meaning):
    """Return the legend's rows: (text, style of the box or line beside it, or None)."""
    convolutions = [node for node in graph.nodes if node.kind == "conv"]
    roles = {node.role for node in convolutions}
    dashed = [role for role in ("shortcut", "projection") if role in roles]
    rows = [(f"{role} convolution", {"style": "rounded,dashed"}) for role in dashed[:1]]
    if len({node.number for node in convolutions}) < len(convolutions):
        rows.append(("same number: same weights", None))
    if identities:
        rows.append(("identity", {"color": IDENTITY}))
    if meaning:
        rows.append((meaning, MARKED))
    return rows
