"""What is read off a compiled graph, against the graph itself and against what is known."""

import json
from collections import Counter

import mxnet as mx
import pytest
from mxnet.gluon import HybridBlock, nn

from network import get_model, image_shape, list_models
from network.complexity import complexity
from network.drawing.architecture import (
    count_layers,
    find_extreme_path,
    find_path_through,
    group_by_weight,
)
from network.drawing.diagram import make_label
from network.drawing.reader import read_graph, trace
from network.drawing.repetition import fold

pytestmark = pytest.mark.medium

DEPTHS = {
    "cross_imagenet": 26,
    "fractal": 20,
    "fractal_imagenet": 18,
    "fractal_plain": 20,
    "fractal_square": 20,
    "fractal_tapered": 40,
    "resnet_imagenet": 26,
}


def graph_of(name, depth=None, **kwargs):
    return read_graph(get_model(name, depth or DEPTHS.get(name, 26), **kwargs), image_shape(name))


def kinds(graph):
    return Counter(node.kind for node in graph.nodes)


def roles(graph):
    return Counter(node.role for node in graph.nodes if node.kind == "conv")


@pytest.mark.parametrize("name", list_models())
def test_every_convolution_of_the_symbol_is_there_once(name):
    net = get_model(name, DEPTHS.get(name, 26))
    symbol = json.loads(net(mx.sym.var("data")).tojson())
    convolutions = [node for node in symbol["nodes"] if node["op"] == "Convolution"]
    found = [node for node in read_graph(net, image_shape(name)).nodes if node.kind == "conv"]
    assert len(found) == len(convolutions) >= 20
    weights = Counter(symbol["nodes"][node["inputs"][1][0]]["name"] for node in convolutions)
    assert Counter(node.weight for node in found) == weights
    numbers = {node.weight: node.number for node in found}
    assert sorted(numbers.values()) == list(range(1, len(weights) + 1))


@pytest.mark.parametrize("name", list_models())
def test_longest_path_has_the_layers_of_complexity(name):
    net = get_model(name, DEPTHS.get(name, 26))
    graph = read_graph(net, image_shape(name))
    path = find_extreme_path(graph)
    assert count_layers(graph, path) == complexity(net, image_shape(name)).layers
    assert graph.nodes[path[0]].kind == "input"
    for source, position in zip(path, path[1:]):
        assert source in graph.nodes[position].inputs


@pytest.mark.parametrize("name", list_models())
def test_nodes_come_after_what_they_take(name):
    graph = graph_of(name)
    assert [node.kind for node in graph.nodes].index("input") == 0
    for position, node in enumerate(graph.nodes):
        assert all(source < position for source in node.inputs)
        assert bool(node.inputs) == (position > 0)


@pytest.mark.parametrize(
    "name,depth,merges",
    [
        ("plain", 26, {}),
        ("resnet", 26, {"sum": 12}),
        ("half", 26, {"sum": 6}),
        ("side", 26, {"sum": 6}),
        ("cross", 26, {"mean": 6, "sum": 11}),
        ("fuse3", 26, {"sum": 3}),
        ("fuse6", 26, {"sum": 6}),
        ("fractal", 5, {}),
        ("fractal", 20, {"join": 2 * 5}),
        ("fractal", 40, {"join": 4 * 5}),
    ],
)
def test_merges(name, depth, merges):
    graph = graph_of(name, depth)
    assert Counter(node.kind for node in graph.nodes if node.is_merge) == merges


def test_a_sum_of_three_is_one_sum():
    inputs = [len(node.inputs) for node in graph_of("half").nodes if node.kind == "sum"]
    assert inputs == [3] * 6


def test_layers_belong_to_the_convolution_before_them():
    layers = [node.layers for node in graph_of("cross", 14).nodes if node.kind == "conv"]
    assert layers[:5] == [("BN", "ReLU")] * 3 + [("BN",)] * 2
    dropped = graph_of("fractal", 10, dropout=0.1).nodes
    assert [node.layers for node in dropped if node.kind == "conv"][3:] == [
        ("dropout", "BN", "ReLU")
    ] * 12
    sums = [node for node in graph_of("resnet", 14).nodes if node.kind == "sum"]
    assert {node.layers for node in sums} == {("ReLU",)}
    (classifier,) = [node for node in graph_of("resnet", 14).nodes if node.kind == "dense"]
    assert (classifier.before, classifier.in_channels) == (("average",), 64)


@pytest.mark.parametrize(
    "name,expected",
    [
        ("plain", {}),
        ("resnet", {"shortcut": 2}),
        ("half", {"shortcut": 2}),
        ("cross", {"shortcut": 4}),
        ("fuse3", {"shortcut": 3}),  # lines of 3x3
        ("fractal", {}),  # column 0 is none
        ("fractal_square", {"projection": 4}),
        ("fractal_tapered", {"projection": 5 * 7}),
    ],
)
def test_shortcuts_and_projections_are_told_from_branches(name, expected):
    assert {role: n for role, n in roles(graph_of(name)).items() if role != "branch"} == expected


class Branches(HybridBlock):
    """A 3x3 and a 1x1 convolution and a chain of two between a fork and a sum; or an identity."""

    def __init__(self, identity):
        super().__init__()
        self.stem, self.one, self.point, self.first, self.second = (
            nn.Conv2D(4, size, padding=size // 2, in_channels=channels)
            for size, channels in ((3, 3), (3, 4), (1, 4), (3, 4), (3, 4))
        )
        self.shortcut = (lambda x: x) if identity else self.point

    def hybrid_forward(self, F, x):
        x = self.stem(x)
        return self.one(x) + self.second(self.first(x)) + self.shortcut(x)


@pytest.mark.parametrize("identity", [False, True])
def test_a_branch_of_one_convolution_is_no_shortcut_beside_one(identity):
    graph = read_graph(Branches(identity))
    found = {node.role: node.kernel for node in graph.nodes if node.role != "branch"}
    assert found == ({} if identity else {"shortcut": (1, 1)})
    assert roles(graph)["branch"] == 4


def test_stages_are_resolutions():
    stages = {}
    for node in graph_of("cross", 56).nodes:
        if node.kind == "conv":
            stages.setdefault(node.stage, set()).add(node.shape)
    assert stages == {0: {(16, 32, 32)}, 1: {(32, 16, 16)}, 2: {(64, 8, 8)}}


def test_columns_are_pooled_and_pool_counts_for_no_layer():
    graph = graph_of("fractal", 20)
    pools = [node for node in graph.nodes if node.kind == "pool"]
    assert [node.shape[1] for node in pools] == [16] * 3 + [8] * 3 + [4] * 3 + [2] * 3 + [1] * 3
    assert all(graph.nodes[node.inputs[0]].kind == "conv" for node in pools)


def test_shortest_paths():
    for name, layers in [("plain", 26), ("resnet", 4), ("half", 4), ("side", 14), ("fuse3", 5)]:
        graph = graph_of(name)
        assert count_layers(graph, find_extreme_path(graph, min)) == layers


@pytest.mark.parametrize("column", range(4))
def test_a_column_is_a_path_of_its_own_convolutions(column):
    net = get_model("fractal", 40)
    graph = read_graph(net)
    path = find_path_through(graph, set(net.column(column).collect_params()))
    convolutions = [graph.nodes[p].weight for p in path if graph.nodes[p].kind == "conv"]
    assert len(convolutions) == 5 * 2**column
    assert all(f"_column{column}_" in weight for weight in convolutions)


class Shared(HybridBlock):
    """Two branches of the same convolution, or the same twice in a row."""

    def __init__(self, row, **kwargs):
        super().__init__(**kwargs)
        self.row = row
        self.stem = nn.Conv2D(4, 3, padding=1, in_channels=3)
        self.conv = nn.Conv2D(4, 3, padding=1, in_channels=4)
        self.other = nn.Conv2D(4, 3, padding=1, in_channels=4)

    def hybrid_forward(self, F, x):
        x = self.stem(x)
        if self.row:
            return self.conv(self.conv(x))
        return self.conv(x) + self.conv(self.other(x))


def test_a_shared_weight_has_one_number_and_as_many_boxes_as_uses():
    graph = read_graph(Shared(row=False))
    convolutions = [node for node in graph.nodes if node.kind == "conv"]
    assert sorted(node.number for node in convolutions) == [1, 2, 3, 3]
    together = [group for group in group_by_weight(graph) if len(group) > 1]
    assert [{graph.nodes[p].number for p in group} for group in together] == [{3}]


def test_a_weight_used_twice_in_a_row_is_in_two_places():
    graph = read_graph(Shared(row=True))
    assert [node.number for node in graph.nodes if node.kind == "conv"] == [1, 2, 2]
    assert group_by_weight(graph) == [[0], [1], [2], [3]]
    assert count_layers(graph, find_extreme_path(graph)) == 3


class Ensemble(HybridBlock):
    """Logarithm of the mean of the probabilities of networks, or each one's logits."""

    def __init__(self, mean, **kwargs):
        super().__init__(**kwargs)
        self.mean = mean
        self.nets = [get_model("plain", depth, prefix=f"plain{depth}_") for depth in (5, 6)]
        for net in self.nets:
            self.register_child(net)

    def hybrid_forward(self, F, x):
        logits = [net(x) for net in self.nets]
        if not self.mean:
            return logits
        return F.log(F.mean(F.softmax(F.stack(*logits, axis=0), axis=-1), axis=0))


def test_what_follows_the_classifiers_is_one_mean():
    graph = read_graph(Ensemble(mean=True))
    assert kinds(graph) == {"input": 1, "conv": 4 + 5, "dense": 2, "mean": 1}
    assert [graph.nodes[source].kind for source in graph.nodes[-1].inputs] == ["dense", "dense"]


def test_a_network_of_several_outputs():
    net = Ensemble(mean=False)
    graph = read_graph(net)
    assert kinds(graph) == {"input": 1, "conv": 4 + 5, "dense": 2}
    assert count_layers(graph, find_extreme_path(graph)) == complexity(net).layers == 6
    assert count_layers(graph, find_extreme_path(graph, min)) == 5


def test_only_dense_layers_that_lead_to_no_other_are_classifiers():
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="relu", in_units=3 * 32 * 32), nn.Dense(5, in_units=8))
    *_, hidden, classifier = read_graph(net).nodes
    assert make_label(hidden, detail=False) == ["dense"]
    assert make_label(classifier, detail=False) == ["classifier"]
    for node in read_graph(Ensemble(mean=True)).nodes:
        assert node.kind != "dense" or make_label(node, detail=False) == ["classifier"]


def test_a_layer_that_is_called_twice_has_the_shape_of_each_call():
    ops, outputs = trace(get_model("fractal", 20))
    joins = [op.shape for op in ops if op.op == "add_n"]  # one inside the block, one of the pooled
    assert joins[:4] == [(1, 16, 32, 32), (1, 16, 16, 16), (1, 32, 16, 16), (1, 32, 8, 8)]
    assert [ops[position].shape for position in outputs] == [(1, 10)]


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("deep", [False, True])
def test_folding_keeps_counts_and_lengths(name, deep):
    depth = 40 if name.startswith("fractal") else 56 if deep else 26
    if name.endswith("_imagenet"):
        depth = {"cross_imagenet": (26, 50), "resnet_imagenet": (26, 98)}.get(name, (18, 34))[deep]
    graph = graph_of(name, depth)
    folded = fold(graph)
    assert len(folded.nodes) < len(graph.nodes) or not deep  # two blocks a stage may all differ
    for wanted in (kinds, roles):
        counts = Counter()
        for node in folded.nodes:
            if wanted is kinds or node.kind == "conv":
                counts[node.kind if wanted is kinds else node.role] += node.count
        assert counts == wanted(graph)
    for best in (max, min):
        lengths = [count_layers(g, find_extreme_path(g, best)) for g in (graph, folded)]
        assert lengths[0] == lengths[1]


@pytest.mark.parametrize(
    "name,depth,expected",
    [
        ("plain", 56, [(1, 18), (1, 17), (1, 17)]),
        ("resnet", 56, [(3, 9), (3, 8), (3, 8)]),
        ("half", 56, [(5, 4), (5, 3), (5, 4)]),
        ("cross", 56, [(7, 3), (7, 3), (7, 3)]),  # first block: one stream; last: one output
        ("fuse3", 56, [(1, 16), (1, 16), (1, 16)]),
        ("fractal", 40, [(15 + 4 + 4, 5)]),  # convolutions, pools, joins of a block
    ],
)
def test_whole_blocks_are_folded(name, depth, expected):
    folds = fold(graph_of(name, depth)).folds
    assert [(f.last - f.first + 1, f.count) for f in folds] == expected


def test_blocks_of_other_widths_are_folded_where_no_equal_ones_are():
    (only,) = fold(graph_of("fractal", 40)).folds
    assert only.channels == (16, 32, 64, 128, 128)


def test_parallel_branches_are_no_repetition():
    graph = graph_of("side", 26)
    pairs = [n.number for n in fold(graph).nodes if n.kind == "conv" and n.count == 1]
    assert pairs == [1, *range(10, 26)]  # two blocks of the first stage folded, all others whole


@pytest.mark.parametrize("depth,counts", [(14, [3, 2, 2]), (29, [8, 7, 7])])
def test_each_parallel_stream_is_folded_into_itself(depth, counts):
    """A block of one node more would let one stream of the ensemble take two places in it."""
    graph = graph_of("ensemble", depth)
    folded = fold(graph)
    assert [each.count for each in folded.folds] == counts
    assert count_layers(folded, find_extreme_path(folded)) == depth


class ConvolutionalClassifier(HybridBlock):
    """A network whose classifier is a 1x1 convolution of the averaged maps, as MobileNetV2's is."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(4, 3, padding=1, in_channels=3)
        self.classifier = nn.Conv2D(10, 1, in_channels=4)

    def hybrid_forward(self, F, x):
        x = F.mean(self.conv(x), axis=(2, 3), keepdims=True)
        return F.Flatten(self.classifier(x))


def test_a_convolution_before_flatten_keeps_its_shape():
    first, last = (node for node in read_graph(ConvolutionalClassifier()).nodes if node.weight)
    assert first.layers == ("average",) and first.shape == (4, 32, 32)
    assert last.layers == ("flatten",) and last.shape == (10, 1, 1)
    assert (first.stage, last.stage) == (0, 1)
