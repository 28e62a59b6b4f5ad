"""visualize.py as people call it."""

import re
import shlex
from pathlib import Path

import pytest

import visualize
from network import get_model

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


def test_the_first_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    visualize.main(["--network=half", "--depth=26", "--widen-factor=1"])
    names = [f"half_d26.{suffix}" for suffix in ("gv", "png", "svg")]
    assert sorted(file.name for file in (tmp_path / "visualize").iterdir()) == names
    assert "visualize/half_d26.png" in capsys.readouterr().out
    text = (tmp_path / "visualize" / "half_d26.gv").read_text("utf-8")
    for fact in ("half, depth 26", "longest path 14 layers", "346,650 parameters", "52.6M"):
        assert fact in text


@pytest.mark.parametrize("depth,same", [(14, None), (17, 14)])
def test_a_picture_says_that_its_depth_was_rounded_down(depth, same, tmp_path):
    visualize.main(["--network", "half", "--depth", str(depth), "--out", str(tmp_path)])
    text = (tmp_path / f"half_d{depth}.gv").read_text("utf-8")
    assert re.findall(r"the same network as depth (\d+)", text) == [str(same)] * bool(same)


@pytest.mark.parametrize(
    "argv,stem,said",
    [
        (["--network", "fractal", "--depth", "10", "--column", "1"], "fractal_d10_column1", "11"),
        (["--network", "half", "--depth", "14", "--path", "1,2"], "half_d14_path1-2", "7 layers"),
        (
            ["--network", "cross", "--depth", "56", "--fold", "--detail"],
            "cross_d56_fold_detail",
            "",
        ),
        (["--network", "plain", "--depth", "5", "--widen-factor", "2"], "plain_d5w2", "width 2"),
        (["--network", "gluoncv:cifar_resnet20_v1"], "gluoncv_cifar_resnet20_v1", "20 layers"),
        (
            ["--network", "gluoncv:resnet18_v1", "--fold"],
            "gluoncv_resnet18_v1_fold",
            "112\u00d7112",
        ),
        (
            ["--network", "cross_imagenet", "--fold"],
            "cross_imagenet_d50_fold",
            "46,395,048 parameters",  # the published figure, with 1000 classes
        ),
    ],
)
def test_options_have_files_of_their_own(argv, stem, said, tmp_path):
    visualize.main([*argv, "--out", str(tmp_path)])
    assert {file.stem for file in tmp_path.iterdir()} == {stem}
    assert said in (tmp_path / f"{stem}.gv").read_text("utf-8")


@pytest.mark.parametrize(
    "argv,message",
    [
        (["--network", "halv"], "did you mean half?"),
        (["--network", "half", "--depth", "3"], "depth must be at least 14"),
        (["--network", "fractal", "--depth", "21"], "depth 21 is not possible"),
        (["--network", "half", "--widen-factor", "0"], "error: --widen-factor must be"),
        (["--network", "half", "--depth", "0"], "error: --depth must be"),
        (["--network", "half", "--column", "1"], "half has no columns"),
        (["--network", "fractal", "--column", "3"], "there is no column 3"),
        (["--network", "half", "--path", "left"], "longest, shortest or numbers"),
        (["--column", "1", "--path", "1"], "not allowed with"),
        (["--detial"], "did you mean --detail?"),
    ],
)
def test_bad_input_is_one_line(argv, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        visualize.main([*argv, "--out", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert (caught.value.code, err.count("\n")) == (2, 1) and message in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        visualize.main(["--network", "half", "--depth", "14", "--out", str(tmp_path / "file")])
    err = capsys.readouterr().err
    assert (caught.value.code, err.count("\n")) == (2, 1) and "file is a file: name a folder" in err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as caught:
        visualize.main(["--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0
    assert "--network=half --depth=26 --widen-factor=1" in said and "--path 1,2 alternates" in said


@pytest.mark.parametrize("line", re.findall(r"python visualize\.py (.*?)(?: {2,}|`)", PAGE))
def test_commands_of_the_page_parse_and_their_networks_exist(line):
    if "--help" not in line:
        args = visualize.make_parser().parse_args(shlex.split(line))
        assert get_model(args.network, args.depth, widen_factor=args.widen_factor)


def test_the_gallery_is_small_and_shown():
    pictures = sorted((ROOT / "docs" / "gallery").iterdir())
    assert pictures and all(file.suffix == ".png" for file in pictures)
    for file in pictures:
        assert file.stat().st_size < 100_000 and f"gallery/{file.name}" in PAGE
