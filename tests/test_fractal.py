"""FractalNet: its blocks are the formula, its columns plain networks."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from command import InputError
from network import get_model
from network.complexity import complexity
from network.fractal import FractalBlock, find_columns_ending
from network.initializer import XavierInit

pytestmark = pytest.mark.medium

# FACTS of the paper's table 3: parameters with BN, 100 classes, by depth
COUNTS = {5: 258292, 10: 847716, 20: 2125204, 40: 4778820, 80: 10184692, 160: 21095076}
FORMS = [{"active": True}, {"static_alloc": True, "static_shape": True}]


def make(name="fractal", depth=20, **options):
    net = get_model(name, depth, **options)
    net.initialize(XavierInit(0))
    return net


def images(count=4, seed=0):
    return mx.nd.array(np.random.default_rng(seed).normal(size=(count, 3, 32, 32)))


def settle(net):
    """Give every moving average and every gamma and beta a value of its own."""
    rng = np.random.default_rng(1)
    for name, parameter in net.collect_params().items():
        if not name.endswith("weight"):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))


@pytest.mark.parametrize("depth", COUNTS)
def test_counts_and_layers(depth):
    cost = complexity(get_model("fractal", depth, classes=100))
    assert cost.parameters == COUNTS[depth]
    assert cost.layers == depth + 1  # and the classifier


def test_counts_of_the_wide_networks():
    assert complexity(get_model("fractal", 20, widen_factor=4)).parameters == 33_724_618
    square = get_model("fractal_square", 20, widen_factor=4)
    convolutions = [p.shape for p in square.collect_params().values() if len(p.shape) == 4]
    assert sum(np.prod(shape) for shape in convolutions) == 38_621_376
    assert complexity(square).parameters == 38_647_114
    tapered = get_model("fractal_tapered", 40, classes=100, widen_factor=4)
    assert complexity(tapered).parameters == 22_925_108
    widths = [
        [unit[0].weight.shape[0] for unit in (column[0] for column in block.columns)]
        for block in tapered.blocks
    ]
    assert widths[0] == [128, 64, 32, 16]
    assert [row[0] for row in widths] == [128, 256, 512, 1024, 1024]


def test_which_columns_join():
    assert [find_columns_ending(step, 4) for step in range(1, 9)] == [
        [3],
        [2, 3],
        [3],
        [1, 2, 3],
        [3],
        [2, 3],
        [3],
        [0, 1, 2, 3],
    ]


def test_a_block_is_the_recursion():
    """f_3(z) = join of all that end: expand the formula by hand, in predict mode."""
    block = FractalBlock(3, 8, 3, 0, 0, prefix="b_")
    block.initialize(XavierInit(0))
    settle(block)
    z = images()
    (a,), (b1, b2), (c1, c2, c3, c4) = block.columns
    mean = lambda *xs: sum(xs) / len(xs)  # noqa: E731
    middle = mean(b1(z), c2(c1(z)))
    ends = [a(z), b2(middle), c4(c3(middle))]
    expected = mean(*(mx.nd.Pooling(y, kernel=(2, 2), stride=(2, 2)) for y in ends))
    assert np.allclose(block(z).asnumpy(), expected.asnumpy(), atol=1e-5)


@pytest.mark.parametrize("depth", [7, 15, 56, 320])
@pytest.mark.parametrize("name", ["fractal", "fractal_plain", "fractal_square"])
def test_another_depth_is_answered_with_those_there_are(name, depth):
    with pytest.raises(InputError, match=f"{depth} .*5, 10, 20, 40, 80 or 160"):
        get_model(name, depth)


def test_the_tapered_network_has_one_depth():
    with pytest.raises(InputError, match="depth 20 is not possible.*40"):
        get_model("fractal_tapered", 20)


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"dropout": -0.1}, {"drop_path": 1.0}])
def test_impossible_rates_are_refused(options):
    with pytest.raises(InputError):
        get_model("fractal", 10, **options)


def test_dropout_grows_by_block():
    net = get_model("fractal", 10, dropout=0.1)
    rates = [getattr(block.columns[0][0][1], "_rate", 0) for block in net.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_column_is_the_plain_network_of_its_depth(column, tmp_path):
    """Outputs in both modes, gradients and new moving averages, given its parameters."""
    net = make()
    settle(net)
    view = net.column(column)
    plain = get_model("fractal_plain", 5 * 2**column)
    view.save_parameters(str(tmp_path / "column.params"))
    plain.load_parameters(str(tmp_path / "column.params"))
    assert complexity(view) == complexity(plain)
    x = images()
    assert (view(x) == plain(x)).asnumpy().all()
    for each in (view, plain):
        with autograd.record():
            logits = each(x)
        logits.backward()
    mx.nd.waitall()
    ours, theirs = view._collect_params_with_prefix(), plain._collect_params_with_prefix()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert (ours[name].data() == theirs[name].data()).asnumpy().all(), name
        if ours[name].grad_req != "null":
            assert (ours[name].grad() == theirs[name].grad()).asnumpy().all(), name
    assert (view(x) == plain(x)).asnumpy().all()


@pytest.mark.parametrize("name,depth", [("fractal", 20), ("fractal_square", 10)])
def test_columns_share_weights_and_have_averages_of_their_own(name, depth):
    net = make(name, depth)
    x = images()
    whole = net(x).asnumpy()
    for column in range(len(net.subnetworks)):
        view = net.column(column)
        assert set(view.collect_params()) <= set(net.collect_params())
        before = view(x).asnumpy()
        with autograd.train_mode():
            view(x)
        with autograd.record():
            logits = view(x)
        logits.backward()
        mx.nd.waitall()
        assert (view(x).asnumpy() != before).any()
    assert (net(x).asnumpy() == whole).all()
    net.classifier.bias.set_data(mx.nd.ones(10))
    assert np.allclose(net(x).asnumpy(), whole + 1, atol=1e-5)
    assert np.allclose(view.classifier.bias.data().asnumpy(), 1)


def test_a_column_equals_the_network_with_all_other_paths_dropped():
    """Training mode: forward, and the gradient of what the column uses."""
    net, other = make(), make()
    for column in range(3):

        def only(F, *inputs, column=column):
            """The join's input of ``column``, which is the last that ends where fewer do."""
            return inputs[column - 3 + len(inputs)] if len(inputs) + column >= 3 else inputs[-1]

        for block in other.blocks:
            block.join.hybrid_forward = only
        x = images()
        results = []
        for each in (net.column(column), other):
            with autograd.record():
                logits = each(x)
            logits.backward()
            results.append(logits.asnumpy())
        assert np.allclose(*results, atol=1e-5)
        shared = net.column(column).collect_params()
        for name in shared:
            if shared[name].grad_req != "null":
                ours = shared[name].grad().asnumpy()
                theirs = other.collect_params()[name].grad().asnumpy()
                assert np.allclose(ours, theirs, atol=1e-4 * max(1, np.abs(theirs).max())), name


@pytest.mark.parametrize("how", FORMS, ids=["hybrid", "static"])
def test_columns_compiled_equal_imperative(how):
    eager, compiled = make(), make()
    compiled.hybridize(**how)
    for column in range(3):
        for count in (4, 3, 4):
            x = images(count, count)
            results = []
            for net in (eager, compiled):
                with autograd.record():
                    logits = net.column(column)(x)
                logits.backward()
                results.append((logits.asnumpy(), net.column(column)(x).asnumpy()))
            for ours, theirs in zip(*results):
                assert np.abs(ours - theirs).max() < 1e-4 * max(1, np.abs(theirs).max())
    for ours, theirs in zip(eager.collect_params().values(), compiled.collect_params().values()):
        assert np.allclose(ours.data().asnumpy(), theirs.data().asnumpy(), atol=1e-4), ours.name


def test_local_drop_path_draws_anew_in_the_compiled_network():
    net = make(drop_path=0.5)
    net.hybridize(static_alloc=True, static_shape=True)
    x = images(2)

    def train(count):
        with autograd.record():
            return [net(x).asnumpy() for _ in range(count)]

    mx.random.seed(3)
    first = train(6)
    assert any((first[0] != each).any() for each in first[1:])
    mx.random.seed(3)
    again = train(6)
    assert all((a == b).all() for a, b in zip(first, again))
    assert (net(x) == net(x)).asnumpy().all()


def test_compiling_says_nothing_of_the_columns_averages(recwarn):
    net = make()
    net.hybridize()
    net(images(1))
    assert not [w for w in recwarn if "is not used by any computation" in str(w.message)]


def test_there_is_no_other_column():
    net = get_model("fractal", 10)
    for column in (-1, 2):
        with pytest.raises(InputError, match="they are 0 to 1"):
            net.column(column)


@pytest.mark.parametrize("column", [0, 3])
def test_columns_of_the_tapered_network_run(column):
    net = make("fractal_tapered", 40)
    assert net.column(column)(images(2)).shape == (2, 10)
