from dataclasses import replace

import pytest

import show_results
from plotting.figure import new_figure, start_at_zero
from results import compare_settings, plot_paths, read_settings, static_plots
from results.comparison import cost_ticks, curve_limit
from tests.test_results import make_paper_run, make_run
from tests.test_scripts import refused
from training.recipe import get_recipe
from training.run_log import RunLog, read_log

pytestmark = pytest.mark.medium


def compared(curve_limit):
    return compare_settings(read_settings(curve_limit)[0])


def test_a_setting_is_its_median_run_and_the_range_over_all(tmp_path):
    make_run(tmp_path, 1, [90.0, 5.0])
    make_run(tmp_path, 2, [70.0, 8.0])
    make_run(tmp_path, 3, [80.0, 6.0])
    (setting,) = compared(tmp_path)["cifar10"]
    assert setting.label == "cross 110 widen 1 (3 runs)"
    assert setting.test.median == (80.0, 6.0)  # the run of the median at the end, all of it
    assert setting.test.lowest == (70.0, 5.0)
    assert setting.test.highest == (90.0, 8.0)
    assert setting.train.median == (40.0, 3.0)
    assert (setting.parameters, setting.multiply_adds) == (12345, 251052672)
    assert setting.paper is None  # of 400 epochs


def test_runs_that_stopped_early_keep_their_last_error(tmp_path, capsys):
    recipe = get_recipe("deep-fusion", epochs=9, early_stop=1)
    for seed, errors in enumerate(([50.0, 60.0], [40.0, 30.0, 20.0, 70.0], [10.0, 30.0, 80.0])):
        folder = make_run(tmp_path, seed, errors, recipe=recipe, val_split=100)
        *rows, last = read_log(folder)
        RunLog(folder, print).rewrite([*rows, {**last, "stopped_early": True}])
    (setting,) = compared(tmp_path)["cifar10 held-out"]
    assert setting.test.median == (40.0, 30.0, 20.0, 70.0)
    assert setting.test.lowest == (10.0, 30.0, 20.0, 60.0)
    assert setting.test.highest == (50.0, 60.0, 80.0, 80.0)
    files = [tmp_path / "x.png", tmp_path / "x.html"]
    show_results.main([str(tmp_path), "--plot", str(files[0]), "--html", str(files[1])])
    assert all(file.exists() for file in files)
    assert "--early-stop ended runs after epoch 2, 3, 4" in capsys.readouterr().out


def test_the_papers_mark_stands_beside_its_recipe_alone(tmp_path):
    make_paper_run(tmp_path, 1, 5.0)
    (setting,) = compared(tmp_path)["cifar10"]
    assert setting.paper == 4.94


def test_settings_are_told_apart_by_name_and_look(tmp_path):
    for seed in range(20):
        make_run(tmp_path, seed, [5.0], depth=14 + 6 * seed)
    slow = get_recipe("deep-fusion", epochs=1, lr=0.05)
    make_run(tmp_path, 20, [5.0], recipe=slow, recipe_changes={"lr": 0.05}, depth=14)
    make_run(tmp_path, 21, [5.0, 4.0], depth=20)
    settings = compared(tmp_path)["cifar10"]
    labels = {setting.label for setting in settings}
    assert len(labels) == len({(s.colour, s.marker) for s in settings}) == len(settings) == 22
    name = "cross 14 widen 1, deep-fusion"
    assert {f"{name}, 1 epochs", f"{name}, lr 0.05, 1 epochs"} < labels
    assert {f"cross 20 widen 1, deep-fusion, {epochs} epochs" for epochs in (1, 2)} < labels


def test_labels_name_recipes_and_epochs_only_where_they_differ(tmp_path):
    make_run(tmp_path, 0, [5.0], depth=14)
    make_run(tmp_path, 1, [5.0, 4.0], depth=20)
    labels = {setting.label for setting in compared(tmp_path)["cifar10"]}
    assert labels == {"cross 14 widen 1, 1 epochs", "cross 20 widen 1, 2 epochs"}


def test_a_diverged_run_is_marked_in_the_legend(tmp_path):
    make_run(tmp_path, 0, [5.0])
    folder = make_run(tmp_path, 3, [90.0])
    (row,) = read_log(folder)
    RunLog(folder, print).rewrite([{**row, "diverged": True}])
    (setting,) = compared(tmp_path)["cifar10"]
    assert setting.legend == "90.00%  cross 110 widen 1 (2 runs), diverged: seed 3"


def drawn_legend(settings, monkeypatch):
    """Return (figure, texts of its legend) of a comparison, without writing it."""
    drawn = []
    monkeypatch.setattr(static_plots, "save_figure", lambda figure, path: drawn.append(figure))
    static_plots.draw_comparison("cifar10", settings, ["any"])
    return drawn[0], [text.get_text() for text in drawn[0].legends[0].get_texts()]


def test_the_legend_begins_with_the_best_setting(tmp_path, monkeypatch):
    for depth, error in ((14, 9.0), (20, 5.0), (26, 7.0)):
        make_run(tmp_path, depth, [99.0, error], depth=depth)
    names = ["5.00%  cross 20 widen 1", "7.00%  cross 26 widen 1", "9.00%  cross 14 widen 1"]
    figure, texts = drawn_legend(compared(tmp_path)["cifar10"], monkeypatch)
    assert texts == ["train", "test", *names]
    assert figure.legends[0].get_title().get_text() == "test error, last epoch, median run"


@pytest.mark.parametrize("count, splits", [(6, ["train", "test"]), (7, ["test"])])
def test_curves_of_many_settings_are_those_of_the_test(tmp_path, monkeypatch, count, splits):
    for seed in range(count):
        make_run(tmp_path, seed, [60.0, 5.0], depth=14 + 6 * seed)
    figure, texts = drawn_legend(compared(tmp_path)["cifar10"], monkeypatch)
    assert texts[:-count] == splits
    shown = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    assert len(shown) == count * len(splits)


def test_pictures_of_similar_names_are_separate_files(tmp_path):
    for seed, dataset in enumerate(("my flowers", "my-flowers", "My flowers")):
        make_run(tmp_path, seed, [5.0], dataset=dataset)
    show_results.main([str(tmp_path), "--plot"])
    names = {"my-flowers.png", "My-flowers-2.png", "my-flowers-3.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == names
    paths = plot_paths(["my flowers", "my-flowers"], tmp_path)
    assert paths["my-flowers"][0] == tmp_path / "my-flowers.png"  # it needs no other name


@pytest.mark.parametrize("changes", [1, 12, 40])
def test_long_names_stay_inside_the_picture(tmp_path, monkeypatch, changes):
    for seed, network in enumerate(("cross", "resnet")):
        recipe = get_recipe("deep-fusion", epochs=1, lr=0.01)
        source = "/".join(["cifar10/cross_d26w1", *["checkpoints"] * changes])
        for batch_size in (32, 64):
            values = {"recipe": replace(recipe, batch_size=batch_size), "init_from": source}
            make_run(tmp_path / str(batch_size), seed, [5.0], network=network, **values)
    figure, _ = drawn_legend(compared(tmp_path)["cifar10"], monkeypatch)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


def test_high_errors_at_the_start_do_not_squash_the_curves(tmp_path):
    make_run(tmp_path, 1, [90.0, *[10.0] * 9, 5.0, 0.0])
    assert curve_limit(compared(tmp_path)["cifar10"]) == 10.5
    make_run(tmp_path, 1, [0.0], dataset="digits")
    assert curve_limit(compared(tmp_path)["digits"]) is None


def test_each_data_set_has_pictures(tmp_path, capsys):
    make_run(tmp_path, 1, [60.0, 5.0])
    make_run(tmp_path, 2, [50.0, 6.0])
    hostile = r"$\frac</text><script>alert(1)</script>"
    make_run(tmp_path, 1, [70.0], dataset="x/y z", network=hostile, depth=None)
    show_results.main([str(tmp_path), "--plot"])
    said = capsys.readouterr().err
    for name in ("cifar10.png", "cifar10.svg", "x-y-z.png", "x-y-z.svg"):
        assert str(tmp_path / name) in said
    assert (tmp_path / "cifar10.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "cifar10.svg").read_text()
    assert "stroke-dasharray" in drawn  # the training curve
    assert "#0072b2" in drawn
    assert "<script" not in (tmp_path / "x-y-z.svg").read_text()


def test_a_picture_where_it_is_named(tmp_path, capsys):
    make_run(tmp_path, 1, [60.0, 5.0])
    show_results.main([str(tmp_path), "--plot", str(tmp_path / "a.svg")])
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    make_run(tmp_path, 1, [70.0], dataset="digits")
    show_results.main([str(tmp_path), "--plot", str(tmp_path / "b.png")])
    assert {path.name for path in tmp_path.glob("*.*")} == {
        "a.svg",
        "b-cifar10.png",
        "b-digits.png",
    }
    capsys.readouterr()
    for name, message in (("c.gif", "ends in .png or .svg"), ("no/c.png", "in an existing folder")):
        flags = [tmp_path, "--plot", tmp_path / name]
        status, err = refused(capsys, *flags, main=show_results.main)
        assert (status, message in err) == (2, True)


def test_pictures_that_cannot_be_written_are_refused_before_the_tables(tmp_path, capsys):
    make_run(tmp_path, 1, [60.0, 5.0])
    make_run(tmp_path, 1, [70.0], dataset="digits")
    for flags, path in (([], "digits.svg"), (["--plot", tmp_path / "a.png"], "a-digits.png")):
        (tmp_path / path).mkdir()
        flags = flags or ["--plot"]
        status, err = refused(capsys, tmp_path, *flags, main=show_results.main)
        assert (status, f"{path} cannot be written" in err) == (2, True)
    assert not [*tmp_path.glob("*cifar10.*")]


def test_ticks_of_costs_show_the_scale_and_stay_apart():
    assert cost_ticks([1e6]) == [700e3, 1e6, 1.5e6]
    assert cost_ticks([20e3, 1e6]) == [20e3, 50e3, 100e3, 200e3, 500e3, 1e6]
    for low in (1.0, 3e3, 47e6, 7e8):
        for ratio in (1, 1.3, 2, 30, 1e3, 1e5, 1e9):
            ticks = cost_ticks([low, low * ratio])
            assert 2 <= len(ticks) <= 7
            assert ticks == sorted(ticks)


def test_held_out_errors_are_labelled_so(tmp_path):
    make_run(tmp_path, 1, [60.0, 5.0])
    make_run(tmp_path, 2, [50.0, 6.0], val_split=100)
    figures = compared(tmp_path)
    assert {name: [s.tested_on for s in found] for name, found in figures.items()} == {
        "cifar10": ["test"],
        "cifar10 held-out": ["held-out"],
    }
    show_results.main([str(tmp_path), "--plot"])
    drawn = (tmp_path / "cifar10-held-out.svg").read_text()
    assert "<!-- held-out error (%), last epoch -->" in drawn
    assert "<!-- test -->" not in drawn


def test_the_highest_marker_is_whole():
    axes = new_figure().subplots()
    axes.plot([1, 2], [45.0, 55.0], "o")
    start_at_zero(axes)
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 1.05 * 55
