"""Pictures from plain values: what is drawn is read from the figure."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from plotting import (
    aligned,
    claims,
    confusion,
    curves,
    draw_claims,
    draw_confusion,
    draw_curves,
    draw_subnetworks,
    markdown,
    studies,
)
from plotting.figure import (
    literal_text,
    new_figure,
    order_letters,
    save_figure,
    use_whole_ticks,
)
from plotting.studies import draw_members

ROW = {"lr": 0.1, "train_error": 50.0, "test_error": 60.0, "train_loss": 1.0, "test_loss": 2.0}
NAMES = ["$\\frac", "a$b$", "_hidden", "\u65e5\u672c", "\u05d0\u05d1", "tab\t", "\udcff", r"a\$b"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved during a test."""
    figures = []

    def keep(figure, *args):
        save_figure(figure, *args)
        figures.append(figure)

    for module in (claims, confusion, curves, studies):
        monkeypatch.setattr(module, "save_figure", keep)
    return figures


def rows(rates, **more):
    return [{**ROW, "epoch": epoch, "lr": rate, **more} for epoch, rate in enumerate(rates, 1)]


@pytest.mark.filterwarnings("error")  # a missing glyph is a warning
def test_names_are_drawn_letter_by_letter(tmp_path):
    figure = new_figure()
    axes = figure.subplots()
    for name in NAMES:
        axes.plot([0, 1], label=literal_text(name))
    axes.set_xticks(range(len(NAMES)), map(literal_text, NAMES))
    assert len(axes.legend().get_texts()) == len(NAMES)  # none is hidden
    save_figure(figure, tmp_path / "names.svg")
    assert literal_text("a$b$") == r"a\$b\$"  # matplotlib's way to write a dollar sign
    assert literal_text("tab\t\udcff") == r"tab\t\udcff"


def test_right_to_left_is_ordered_for_versions_that_do_not():
    text = "ab \u05d0\u05d1 \u05d2 cd"
    assert order_letters(text, (3, 8)) == "ab \u05d2 \u05d1\u05d0 cd"
    assert order_letters(text, (3, 11)) == text
    assert order_letters("plain", (3, 7)) == "plain"


def test_every_study_takes_hostile_names(tmp_path):
    point = type("Point", (), {"name": "$\\frac", "error": 5.0, "seconds": {1: 0.01, 2: 0.02}})
    studies.draw_anytime([point, point], tmp_path / "a.png", "$\\frac")
    studies.draw_lengths({"$\\frac": {"$\\frac": ({1: 0.5, 2: 0.5}, None)}}, tmp_path / "b.png")
    study = type("Study", (), {"single": {"$\\frac": 5.0}, "random": {1: [5.0]}, "whole": 4.0})
    studies.draw_lesions(study, tmp_path / "c.png", "$\\frac")
    draw_curves(rows([0.1]), tmp_path / "d.png", "$\\frac")
    draw_confusion(np.eye(2, dtype=int), ["$\\frac", "b"], tmp_path / "e.png", "$\\frac")
    assert len(list(tmp_path.glob("?.png"))) == 5


def test_error_over_latency_starts_at_zero_and_shows_the_names_whole(tmp_path, drawn):
    made = [("column 0", 5.0, 17.0), ("column 1", 4.5, 44.0), ("whole", 4.0, 171.0)]
    keys = ("name", "error", "seconds")
    points = [type("Point", (), dict(zip(keys, (n, e, {1: ms / 1e3, 9: ms})))) for n, e, ms in made]
    studies.draw_anytime(points, tmp_path / "a.png", "title")
    for axes in drawn[0].axes:
        assert axes.get_xlim()[0] == 0  # there is no negative time
        panel, *names = (each.get_window_extent() for each in (axes, *axes.texts))
        assert len(names) == 3 and all(name.x1 < panel.x1 for name in names)


@pytest.mark.parametrize("count", [1, 6, 25, 100])
def test_names_of_lesions_are_legible_and_do_not_overlap(tmp_path, drawn, count):
    single = {f"block{i} branch1": 50.0 for i in range(count)}
    study = type("Study", (), {"single": single, "random": {1: [5.0], 2: [6.0]}, "whole": 4.0})
    studies.draw_lesions(study, tmp_path / "l.png", "title")
    names = drawn[0].axes[0].get_xticklabels()
    assert len(names) == count and all(name.get_fontsize() >= 8 for name in names)
    places = [name.get_window_extent() for name in names]
    assert all(left.x1 <= right.x0 for left, right in zip(places, places[1:]))


def test_what_is_right_has_a_colour_of_its_own_by_its_share(tmp_path, drawn):
    counts = np.array([[9, 1, 0], [6, 4, 0], [0, 0, 0]])
    draw_confusion(counts, ["a", "b", "c"], tmp_path / "c.png", "title")
    axes = drawn[0].axes[0]
    wrong, right = axes.get_images()
    assert right.get_array().compressed().tolist() == [90.0, 40.0]  # not that without images
    assert right.get_clim() == (0, 100)
    assert wrong.get_array().compressed().tolist() == [10.0, 0.0, 60.0, 0.0]
    assert wrong.get_clim() == (0, 60)
    look = [to_hex(right.cmap(right.norm(share))) for share in (90, 40)]
    assert len({*look, "#ffffff"}) == 3
    assert wrong.cmap.name != right.cmap.name
    assert [text.get_text() for text in axes.texts] == [*"910640", "-", "-", "-"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c (no images)"]


def test_many_classes_have_numbers_for_names(tmp_path, drawn):
    draw_confusion(np.eye(201, dtype=int), ["name"] * 201, tmp_path / "c.png", "title")
    assert not [t for t in drawn[0].axes[0].get_xticklabels() if t.get_text() == "name"]
    assert drawn[0].get_size_inches().max() < 20


@pytest.mark.filterwarnings("error")  # matplotlib warns if the names leave no room
def test_long_names_and_titles_are_not_cut_off(tmp_path, drawn):
    names = [f"class {number}, with a rather long name of many words" for number in range(12)]
    title = "a_long_name_of_a_run_" * 5 + "on a data set"
    draw_confusion(np.eye(12, dtype=int), names, tmp_path / "c.png", title)
    draw_curves(rows([0.1]), tmp_path / "d.png", title + title)
    for figure in drawn:
        figure.draw_without_rendering()  # at the figure's own resolution
        picture = figure.bbox.get_points()
        texts = [figure._suptitle, *figure.axes[0].get_yticklabels()]
        for place in (text.get_window_extent() for text in texts):
            assert picture[0, 0] <= place.x0 < place.x1 <= picture[1, 0]
    for label in drawn[0].axes[0].get_xticklabels():
        assert label.get_window_extent().y0 >= 0
    assert drawn[0].axes[0].bbox.height > 3 * drawn[0].dpi


def test_an_exploded_loss_leaves_the_others_visible(tmp_path, drawn):
    exploded = [
        {**row, "train_loss": 1e28 if row["epoch"] == 2 else 1.0} for row in rows([1, 1, 1])
    ]
    for made in (exploded, rows([1, 1, 1])):
        draw_curves(made, tmp_path / "c.png", "title")
    assert [figure.axes[1].get_yscale() for figure in drawn] == ["log", "linear"]
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["linear", "linear"]


def test_the_rate_is_a_panel_logarithmic_over_decades(tmp_path, drawn):
    draw_curves(rows([0.1, 0.1, 0.01]), tmp_path / "c.png", "title", "held-out")
    error, loss, rate = drawn[0].axes
    assert [text.get_text() for text in error.get_legend().get_texts()] == ["train", "held-out"]
    (line,) = rate.get_lines()
    assert line.get_xdata().tolist() == [0, 1, 1, 2, 2, 3]
    assert line.get_ydata().tolist() == [0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
    assert (rate.get_yscale(), rate.get_ylabel()) == ("log", "learning rate")
    draw_curves(rows([0.1, 0.05]), tmp_path / "c.png", "title")
    assert drawn[1].axes[2].get_yscale() == "linear"
    slope = [{**ROW, "epoch": 1, "lr": 0.1, "lr_last": 0.0}]
    draw_curves(slope, tmp_path / "c.png", "title")
    assert drawn[2].axes[2].get_lines()[0].get_ydata().tolist() == [0.1, 0.0]
    assert drawn[2].axes[2].get_yscale() == "linear"  # 0 has no place on the other
    peak = [{**ROW, "epoch": 1, "lr": 0.01, "lr_max": 0.1, "lr_max_at": 0.25}]
    draw_curves(peak, tmp_path / "peak.png", "title")
    (line,) = drawn[3].axes[2].get_lines()
    assert list(zip(*line.get_data())) == [(0, 0.01), (0.25, 0.1), (1, 0.01)]
    assert drawn[3].axes[2].get_yscale() == "linear"
    line = [{**ROW, "epoch": 1, "lr": 0.1, "lr_last": 0.0001}]
    draw_curves(line, tmp_path / "line.png", "a line")
    assert drawn[4].axes[2].get_yscale() == "linear"


@pytest.mark.parametrize("first,last", [(1, 1), (1, 2), (5, 5), (1, 400)])
def test_epochs_are_whole_numbers(first, last):
    axes = new_figure().subplots()
    axes.plot([first, last], [60.0, 50.0], "o")
    use_whole_ticks(axes)
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown and all(tick == int(tick) for tick in shown)


def test_subnetworks_are_of_the_images_that_the_title_says(tmp_path, drawn):
    tested = rows([0.1, 0.1], column_errors=[3.0, 2.0], column_losses=[0.3, 0.2])
    draw_subnetworks(tested, "column", tmp_path / "c.png", "a run", "held-out")
    assert drawn[0].get_suptitle() == "a run, held-out images"


def test_the_legend_of_many_subnetworks_is_below_and_names_each_look(tmp_path, drawn):
    tested = rows([0.1, 0.1], member_errors=[3.0] * 32, member_losses=[0.3] * 32)
    draw_subnetworks(tested, "member", tmp_path / "m.png", "a run")
    (legend,) = drawn[0].legends
    assert len(legend.get_texts()) == 33
    assert not any(axes.get_legend() for axes in drawn[0].axes)
    looks = {
        (line.get_linestyle(), line.get_color(), str(line._dash_pattern))
        for line in drawn[0].axes[0].get_lines()
    }
    assert len(looks) == 33


def test_a_bar_in_a_cell_does_not_end_it():
    assert markdown([["a", "b"], ["x|y", "z"]]) == "| a | b |\n|---|---|\n| x\\|y | z |"


def test_a_line_break_in_a_cell_does_not_end_the_row():
    rows = [["a", "b"], ["x\ny", "z"]]
    assert markdown(rows).splitlines()[2:] == [r"| x\ny | z |"]
    assert aligned(rows).splitlines()[1:] == [r"x\ny  z"]


def test_columns_stay_aligned_beside_wide_characters_and_separate_accents():
    rows = [["class", "error"], ["\u72d7", "5"], ["cafe\u0301", "6"]]
    assert aligned(rows).splitlines()[1:] == ["\u72d7     5", "cafe\u0301   6"]


@pytest.mark.parametrize("lengths", [[26], [5] * 8, [2, 3, 4]])
def test_members_and_their_layers_are_whole_numbers(tmp_path, drawn, lengths):
    values = {"alone": 9.0, "without": 8.0, "up_to": 9.0, "from_on": 8.0}
    found = [SimpleNamespace(length=length, **values) for length in lengths]
    study = SimpleNamespace(whole=7.0, ensemble=8.0, contributions=found)
    draw_members(study, tmp_path / "members.png", "a run")
    for axes in drawn[0].axes:
        assert all(tick == int(tick) for tick in axes.get_xticks())


def judgement(verdict, effect, low, high, bound=0.0, paper=()):
    quotes = [SimpleNamespace(value=value) for value in paper]
    claim = SimpleNamespace(sentence="One is better than two.", bound=bound, paper=quotes)
    values = {"verdict": verdict, "effect": effect, "low": low, "high": high, "claim": claim}
    return SimpleNamespace(**values, describe_effect=lambda: f"{effect:+.2f}")


@pytest.mark.parametrize("name", ["claims.png", "claims.svg"])
def test_claims_are_drawn_beside_their_sides(tmp_path, drawn, name):
    found = [
        judgement("supported", -43.0, -44.0, -42.0, bound=-10.0),
        judgement("undecided", None, None, None),
        judgement("undecided", 1.0, None, None, paper=(-0.1, -7.5)),
        judgement("contradicted", 3.0, 2.5, 3.5, bound=2.0),
    ]
    draw_claims(found, tmp_path / name, "in words")
    assert b"in words" in (tmp_path / name).read_bytes()
    (figure,) = drawn
    axes, beside = figure.axes
    sides = [patch.get_x() + patch.get_width() for patch in axes.patches]
    assert sides[:3] == pytest.approx([-10, 0, 2])  # and an empty one for the legend
    low, high = axes.get_xlim()
    assert low < -44 and high > 3.5 and axes.patches[0].get_x() == low
    lines = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xydata())]
    assert lines == [
        [[-44, 0], [-42, 0]],
        [[-43, 0]],
        [[1, 1]],
        [[-0.1, 1], [-7.5, 1]],
        [[2.5, 2], [3.5, 2]],
        [[3, 2]],
    ]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"{number}. One is better than two." for number in (1, 2, 3)]
    labels = beside.get_yticklabels()
    assert [label.get_text().split("\n") for label in labels] == [
        ["-43.00", "supported"],
        ["+1.00", "undecided"],
        ["+3.00", "contradicted"],
    ]
    assert len({label.get_color() for label in labels}) == 3
    assert axes.yaxis_inverted() and beside.yaxis_inverted()  # the first is on top
