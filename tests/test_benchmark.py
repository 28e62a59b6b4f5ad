"""The benchmark times what it says it times. How fast anything is, is not tested."""

import json
import os
import sys
import tempfile
from dataclasses import replace
from itertools import islice

import pytest
from PIL import Image

import benchmark
from command import CommandError, InputError
from network import get_model
from network.complexity import complexity, operator_costs
from plotting.figure import new_figure
from plotting.scaling import _label_values, draw_scaling, series, varying_axes
from tests.test_scripts import refused
from tools import profiling
from tools.contestants import list_cases
from tools.profiling import operator_table
from tools.pytorch_steps import PLAIN
from tools.timing import Case, Contestant, Timing, _find_steps, table, time_cases
from tools.workload import mixed

QUICK = ["--rounds", "2", "--seconds", "0.01", "--batch-size", "4", "--threads", "1"]


def run(capfd, *words):
    assert not benchmark.main([*QUICK, *words])
    return capfd.readouterr().out


def rows_of(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.slow
def test_libraries_train_by_turns(capfd, tmp_path):
    pytest.importorskip("torch")
    libraries = ["mxnet", "torch", "pytorch", "pytorch-channels-last"]
    file = tmp_path / "figures.json"
    words = ["--network", "cross:14", "--library", *libraries, "--json", str(file)]
    head, *rows = rows_of(run(capfd, *words))
    assert [row[4] for row in rows] == libraries
    assert rows[0][head.index("ratio")] == "1.00"
    found = json.loads(file.read_text())["timings"]
    assert [timing["case"]["library"] for timing in found] == libraries
    for timing in found:
        assert len(timing["rates"]) == 2
        assert min(timing["rates"]) > 0
        assert timing["first"] > 0
        assert 50 < timing["memory"] < 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "words,libraries",
    [
        (["--task", "train", "--network", "fractal:10"], ["mxnet", "torch", "pytorch"]),
        (["--task", "train", "--network", "ensemble:14"], ["mxnet", "torch"]),
        (
            ["--task", "predict", "--network", "fractal:10"],
            ["mxnet", "pytorch", "onnxruntime-plain", "onnxruntime-int8"],
        ),
        (["--task", "predict", "--network", "gluoncv:cifar_resnet20_v1"], ["mxnet", "onnxruntime"]),
        (["--task", "data"], ["mxnet", "pytorch"]),
    ],
)
def test_every_task_can_be_done(capfd, words, libraries):
    pytest.importorskip("torch")
    rows = rows_of(run(capfd, *words, "--library", *libraries))
    assert [row[4] for row in rows[1:]] == libraries


def test_what_a_library_cannot_do_is_left_out():
    flags = ["--network", "side:14", "cross:14:2", "--library", "mxnet", "pytorch", "onnxruntime"]
    args = benchmark.make_parser().parse_args(flags)
    cases = list_cases(args)
    found = [(case.network, case.depth, case.widen_factor, case.library) for case in cases]
    expected = [("side", 14, 1, "mxnet"), ("cross", 14, 2, "mxnet"), ("cross", 14, 2, "pytorch")]
    assert found == expected


def test_files_of_float32_are_not_timed_as_another_type():
    libraries = ["mxnet", "mxnet-exported", "onnxruntime", "onnxruntime-plain", "onnxruntime-int8"]
    flags = ["--task", "predict", "--library", *libraries, "--dtype", "float32", "bfloat16"]
    cases = list_cases(benchmark.make_parser().parse_args(flags))
    found = [case.library for case in cases if case.dtype == "bfloat16"]
    assert (len(cases), found) == (len(libraries) + 1, ["mxnet"])


@pytest.mark.parametrize("network", ["cross:x", "cross:14:2:3", "cross:0", "cross:14:0"])
def test_networks_are_names_and_numbers(network):
    with pytest.raises(InputError, match="NAME:DEPTH"):
        list_cases(benchmark.make_parser().parse_args(["--network", network]))


@pytest.mark.slow
def test_a_contestant_that_fails_is_an_error_of_one_line(capfd):
    with pytest.raises(SystemExit):
        benchmark.main([*QUICK, "--network", "cross:13"])
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:")
    assert "depth 13" in error


@pytest.mark.parametrize(
    "name,depth", [("cross", 14), ("cross", 56), ("fractal", 20), ("half", 18), ("resnet", 14)]
)
def test_plain_networks_have_as_many_parameters(name, depth):
    pytest.importorskip("torch")
    from tools.torch_reference import PLAIN_NETWORKS

    assert sorted(PLAIN_NETWORKS) == sorted(PLAIN)
    net = PLAIN_NETWORKS[name](depth, 10, 2)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == complexity(get_model(name, depth, widen_factor=2)).parameters


def test_growth_is_drawn_where_three_differ_in_one_thing(tmp_path):
    def timing(depth, widen, batch, library="mxnet"):
        case = Case("train", "cross", depth, widen, batch, "float32", library, 2)
        return Timing(case, [1000 / (depth or 9), 1100 / (depth or 9)], 1.0, 10.0 * (depth or 9))

    timings = [timing(56, 1, 64), timing(26, 1, 64), timing(110, 1, 64), timing(26, 2, 64)]
    timings += [timing(26, 1, 16), timing(26, 1, 64, "torch")]
    (line,) = series(timings, "depth").values()
    assert [each.case.depth for each in line] == [26, 56, 110]
    assert series(timings, "widen_factor") == series(timings, "batch_size") == {}
    nameless = [timing(None, 1, batch) for batch in (1, 2, 4)]  # depth is in the network's name
    (line,) = series([*timings, *nameless], "batch_size").values()
    assert [each.case.batch_size for each in line] == [1, 2, 4]
    assert varying_axes([each.case for each in timings]) == ["depth"]
    threads = [replace(each.case, threads=n) for n in (1, 2) for each in timings[:3]]
    lines = series([replace(timings[0], case=case) for case in threads], "depth")
    assert {label[-9:] for label in lines} == {"threads 1", "threads 2"}
    draw_scaling(timings, tmp_path / "growth.png")
    assert Image.open(tmp_path / "growth.png").size[0] > 300


@pytest.mark.parametrize("lowest,highest", [(116, 202), (571, 1953), (19, 210), (1, 2000)])
def test_every_panel_of_a_plot_has_several_values_on_its_axis(lowest, highest):
    axes = new_figure().subplots()
    axes.plot([1, 2], [lowest, highest])
    axes.set(xscale="log", yscale="log")
    _label_values(axes)
    low, high = axes.get_ylim()
    assert 3 <= sum(low <= tick <= high for tick in axes.get_yticks()) <= 12


def test_a_plot_of_what_does_not_vary_is_refused_before_the_timing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "time_cases", None)
    for words in ([], ["--network", "cross:26", "cross:56"], ["--network", "gluoncv:resnet18_v1b"]):
        file = tmp_path / "growth.png"
        status, err = refused(capsys, *words, "--plot", file, main=benchmark.main)
        assert (status, "give three or more" in err) == (2, True)
        assert not file.exists()


@pytest.mark.parametrize(
    "words,message",
    [
        (["--rounds", "0"], "--rounds must be a whole number of at least 1, not 0"),
        (["--batch-size", "64", "0"], "--batch-size must be"),
        (["--threads", "-1"], "--threads must be"),
        (["--seconds", "nan"], "--seconds must be above 0, not nan"),
        (["--seconds", "inf"], "--seconds must be above 0, not inf"),
        (["--operators", "--library", "pytorch"], "--operators needs --library mxnet or torch"),
        (["--operators", "--json", "x.json"], "leave out --task, --threads, --rounds, --seconds"),
        (["--operators", "--task", "data"], "leave out --task, --threads, --rounds, --seconds"),
        (["--operators", "--threads", "1"], "with OMP_NUM_THREADS threads"),
        (["--operators", "--rounds", "7"], "with OMP_NUM_THREADS threads"),
        (["--network", "cross:3"], "leaves a stage without blocks"),
        (["--network", "fractal:21", "--library", "pytorch"], "21"),
        (["--json", "no/where.json"], "name a file in an existing folder"),
        (["--json", "/dev/null"], "name a file in an existing folder"),
        (["--plot", "speed.pdf"], "speed.pdf: a picture's name ends in .png or .svg"),
    ],
)
def test_impossible_flags_are_refused_before_the_timing(words, message, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "time_cases", None)
    status, err = refused(capsys, *words, main=benchmark.main)
    assert (status, message in err) == (2, True)


@pytest.mark.parametrize("depth,columns", [(5, 1), (10, 2), (20, 3), (40, 4)])
def test_turns_are_whole_cycles_of_mixed_drop_path(depth, columns, monkeypatch):
    """Else the turns of some contestants have more steps of the deepest column than others'."""
    taken = []

    class Pretended:
        first = 1.0

        def __init__(self, case, command):
            self.case = case

        def take(self, steps):
            taken.append(steps)
            return 0.25 * steps, 100.0

        def close(self):
            pass

    monkeypatch.setattr("tools.timing.Contestant", Pretended)
    case = Case("train", "fractal", depth, 1, 64, "float32", "mxnet", 1)
    time_cases([case], [], rounds=3, seconds=4.0)
    cycle = list(islice(mixed(columns), 2 * columns))
    assert len(set(taken[-3:])) == 1 and cycle.count(None) == columns
    assert all(steps % len(cycle) == 0 for steps in taken)


def test_a_library_may_print_more_than_a_pipe_holds():
    program = """import itertools, sys
for line in itertools.chain([""], sys.stdin):
    sys.stderr.write("x" * 10**6)
    print([1.0, 2.0], flush=True)"""
    case = Case("train", "cross", 14, 1, 64, "float32", "mxnet", 1)
    contestant = Contestant(case, [sys.executable, "-c", program])
    try:
        assert contestant.take(1) == [1.0, 2.0]
    finally:
        contestant.close()
    with pytest.raises(CommandError, match="failed: ValueError: no such kernel"):
        Contestant(case, [sys.executable, "-c", "raise ValueError('no such kernel')"])


def test_a_process_that_ended_between_two_turns_is_an_error():
    """As one that the system stopped because another needed its memory."""
    program = "import sys; print([1.0], flush=True); sys.exit('no memory')"
    case = Case("train", "cross", 14, 1, 64, "float32", "mxnet", 1)
    contestant = Contestant(case, [sys.executable, "-c", program])
    contestant._process.wait()
    with pytest.raises(CommandError, match="failed: no memory"):
        contestant.take(1)


def test_slow_first_steps_do_not_count_when_the_steps_of_a_round_are_found():
    done = []

    def take(steps):
        before = sum(done)
        done.append(steps)
        return sum(1.0 if before + step < 6 else 0.01 for step in range(steps)), 100.0

    assert _find_steps(take, 6, 2.0) == 198  # 2 s at 0.01 s each, in whole cycles of 6
    assert done[:3] == [6, 6, 12]


def test_ratios_are_medians_over_rounds_to_the_first_of_a_task():
    case = Case("train", "cross", 56, 1, 64, "float32", "mxnet", 2)
    other = Case("train", "cross", 56, 1, 64, "float32", "torch", 2)
    text = table([Timing(case, [10, 20, 40], 1.0, 100.0), Timing(other, [5, 30, 40], 1.0, 100.0)])
    head, first, second = rows_of(text)
    assert first[head.index("ratio")] == "1.00"
    assert second[head.index("ratio")] == "1.00"  # of 0.5, 1.5 and 1
    assert second[head.index("images/s, median")] == "30"


def test_work_adds_up():
    net = get_model("plain", 5)
    costs = operator_costs(net)
    multiply_adds = sum(each for each, _, _ in costs.values())
    assert multiply_adds == complexity(net).multiply_adds
    assert costs["Activation"][:1] == (0,)
    assert costs["Activation"][1] == costs["Activation"][2] > 0


def test_operators_take_their_time_and_have_a_least(capfd):
    words = ["--operators", "--network", "plain:5:2", "--library", "mxnet", "--batch-size", "4"]
    assert not benchmark.main(words)
    text = capfd.readouterr().out
    assert text.startswith("plain 5 w2, batch 4, float32, mxnet, ")
    rows = rows_of(text)
    assert {"Convolution", "_backward_Convolution"} <= {row[0] for row in rows}
    assert not [row[0] for row in rows if "," in row[0]]  # several operators started as one


def test_least_is_what_operations_or_bytes_take():
    found = {"Convolution": (2, 8.0), "_backward_Convolution": (2, 30.0), "nag": (1, 1.0)}
    work_of = {"Convolution": (1000, 10, 30)}
    rows = operator_table(found, work_of, batch_size=1, speed=1e6, bandwidth=4e6)
    least = {row[0]: row[4] for row in rows}
    assert least["Convolution"] == "1.0"
    assert least["_backward_Convolution"] == "2.0"
    assert least["nag"] == ""
    rows = operator_table(found, work_of, batch_size=1, speed=1e9, bandwidth=4e3)
    assert {row[0]: row[4] for row in rows}["Convolution"] == "40.0"


def test_profiling_removes_nothing_but_its_own_file(monkeypatch):
    """MXNet removes the file that it is told to write: os.devnull is a file, too."""
    files = []
    monkeypatch.setattr(profiling.profiler, "set_config", lambda **how: files.append(how))
    monkeypatch.setattr(profiling.profiler, "set_state", lambda state: None)
    dumped = '{"Time": {"operator": {}}}'
    monkeypatch.setattr(profiling.profiler, "dumps", lambda **how: dumped)
    assert profiling.profile_mxnet(lambda: None, 1) == {}
    folder = os.path.dirname(files[0]["filename"])
    assert folder.startswith(tempfile.gettempdir()) and not os.path.exists(folder)


def test_the_flag_of_timed_processes_is_not_in_the_help():
    assert "--case" not in benchmark.make_parser().format_help()
