"""analyze.py as people call it."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import analyze
import train_cifar
from analysis.lesions import LesionStudy
from engine.distributed import Alone
from training import evaluation
from training.run import Run
from training.run_data import RunData
from training.run_folder import read_config, write_config
from training.run_log import read_log

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A folder of small runs, by network."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, depth in {"fuse3": 5, "ensemble": 5, "fractal": 10}.items():
        flags = ["--network", name, "--depth", str(depth), "--num-epochs", "1", "--quiet"]
        flags += ["--batch-size", "26"]
        train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(folder)])
        found[name] = folder / "cifar10" / f"{name}_d{depth}w1" / "run1"
    return found


def said(capsys, *argv):
    analyze.main([str(word) for word in argv])
    return capsys.readouterr().out


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        analyze.main([str(word) for word in argv])
    err = capsys.readouterr().err
    assert caught.value.code == 2 and err.count("\n") == 1
    return err


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_paths_of_a_network_beside_the_formula(tmp_path, capsys):
    picture = tmp_path / "paths.png"
    out = said(capsys, "paths", "--network", "cross", "--depth", "38", "--output", picture)
    assert "cross depth 38: 26,244 paths" in out
    assert "random: 8.33 +- 2.85 layers" in out
    assert "paper: 8.00 +- 2.83 layers" in out
    assert re.search(r"^2 +512 +1\.951 +1\.951 +2\.601$", out, re.M)  # 512 / 26,244; (2 / 3)^9
    assert is_picture(picture)


def test_paths_of_several_networks_in_one_picture(tmp_path, capsys):
    words = ["--network", "half", "plain", "half", "--depth", "14", "20", "14"]  # printed once each
    words += ["--output", tmp_path / "paths.png"]
    out = said(capsys, "paths", *words)
    assert re.findall(r"^(\w+) depth (\d+):", out, re.M) == [
        (name, depth) for depth in ("14", "20") for name in ("half", "plain")
    ]
    assert is_picture(tmp_path / "paths.png")
    more = said(capsys, "paths", *words, "--projections")
    assert "random: 6.00 +- 1.63" in out  # 2 / 3 of the routes are branches of two layers
    assert "random: 6.67 +- 1.15" in more  # and shortcuts of the last two blocks have one


def test_paths_of_gluoncvs_networks_cannot_be_counted(capsys):
    err = refused(capsys, "paths", "--network", "gluoncv:cifar_resnet20_v1")
    assert "gluoncv:cifar_resnet20_v1: paths can be counted only in" in err


def test_paths_of_a_depth_that_is_rounded_down(tmp_path, capsys):
    words = ["--network", "resnet", "cross", "--depth", "40", "--output", tmp_path / "paths.png"]
    out = said(capsys, "paths", *words)
    assert "cross depth 40: 26,244 paths\ndepth 40 builds the same network as depth 38" in out
    assert out.count("builds the same network") == 1  # resnet has blocks of two layers


def test_members_of_a_fused_network(runs, capsys):
    out = said(capsys, "members", runs["fuse3"])
    assert is_picture(runs["fuse3"] / "contributions.png")
    (row,) = read_log(runs["fuse3"])
    assert f"the whole network                {row['test_error']:.2f}%" in out
    table = re.findall(r"^(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +(.*)$", out, re.M)
    assert [line[0] for line in table] == ["5"] * 8  # a line is as long as a deep of one layer
    assert {line[-1] for line in table} == {
        f"{a} {b} {c}" for a in ("line", "deep") for b in ("line", "deep") for c in ("line", "deep")
    }
    errors = np.array([[float(figure) for figure in line[1:5]] for line in table])
    assert (np.abs(errors / 100 * 53 - np.round(errors / 100 * 53)) < 0.01).all()  # of 53 images
    ensemble = float(re.search(r"ensemble of its members +([\d.]+)%", out).group(1))
    assert errors[0, 0] == errors[0, 2] and errors[-1, 0] == errors[-1, 3]
    assert errors[-1, 2] == errors[0, 3] == ensemble
    assert f"own errors  {errors[:, 0].mean():.2f}%, all 8" in out


def test_members_of_the_ensemble_are_as_they_were_trained(runs, capsys):
    drawn_in_training = (runs["ensemble"] / "members.png").read_bytes()
    out = said(capsys, "members", runs["ensemble"])
    assert (runs["ensemble"] / "members.png").read_bytes() == drawn_in_training
    (row,) = read_log(runs["ensemble"])
    shown = re.findall(r"^5 +([\d.]+)", out, re.M)
    assert shown == [f"{error:.2f}" for error in row["member_errors"]]
    assert re.search(rf"ensemble of its members +{row['test_error']:.2f}%", out)


def test_some_members_of_the_ensemble(runs, tmp_path, capsys):
    words = ["--members", "3", "--seed", "1", "--output", tmp_path / "some.png"]
    out = said(capsys, "members", runs["ensemble"], *words)
    (row,) = read_log(runs["ensemble"])
    shown = re.findall(r"^5 +([\d.]+)", out, re.M)
    assert len(shown) == 3
    assert set(shown) <= {f"{error:.2f}" for error in row["member_errors"]}
    assert "3 drawn of 8" in out


def test_members_of_the_ensemble_need_no_training_images(runs, data, tmp_path, capsys):
    shutil.copy(data / "test.rec", tmp_path)
    words = ["--output", tmp_path / "members.png"]
    alone = ["--data-dir", tmp_path, *words]
    shown = said(capsys, "members", runs["ensemble"], *words)
    assert said(capsys, "members", runs["ensemble"], *alone) == shown
    assert "train.rec" in refused(capsys, "members", runs["fuse3"], *alone)


def test_moving_averages_are_of_50_batches_however_few_an_epoch_has(runs, quick_runs, monkeypatch):
    monkeypatch.setattr(evaluation, "BN_BATCHES", quick_runs)
    run, seen = Run.from_json(read_config(runs["fuse3"])), []
    engine = SimpleNamespace(
        workers=Alone(), recompute_bn_statistics=lambda batches, index: seen.extend(batches)
    )
    evaluation.recompute_bn_statistics(RunData(run), engine)
    assert [len(batch.labels) for batch in seen] == [26] * 50  # an epoch has 5
    first, again = seen[0].images, seen[5].images
    assert not np.array_equal(first, again)


def test_some_of_the_members(runs, tmp_path, capsys):
    words = ["members", runs["fuse3"], "--members", "3", "--output", tmp_path / "some.png"]
    out = said(capsys, *words, "--seed", "2")
    assert re.search(r"own errors  [\d.]+% \+- [\d.]+, 3 drawn of 8", out)
    assert re.search(r"ensemble of its members +[\d.]+%, 3 drawn of 8", out)
    assert out == said(capsys, *words, "--seed", "2")
    assert is_picture(tmp_path / "some.png")
    words[words.index("3")] = "1"  # of which there is no interval
    assert re.search(r"own errors  [\d.]+%, 1 drawn of 8\n", said(capsys, *words))


def test_a_pretrained_network_can_be_studied(data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = LesionStudy(10.0, {"block1 branch1": 20.0}, {1: (20.0, 30.0)})
    monkeypatch.setattr(analyze, "measure_lesions", lambda *_: study)
    out = said(capsys, "lesion", "cross26-cifar10", "--data-dir", data)
    picture = "cross26-cifar10_lesions.png"
    assert f"picture  {picture}" in out and is_picture(tmp_path / picture)


def test_a_run_of_a_data_type_that_the_machine_lacks_is_studied(runs, tmp_path):
    """float16 is for GPUs."""
    half = shutil.copytree(runs["fuse3"], tmp_path / "half1")
    write_config(half, {**read_config(half), "dtype": "float16"})
    args = analyze.make_parser().parse_args(["lesion", str(half), "--gpus", "cpu"])
    assert analyze.prepare(args)[0].run.dtype == "float32"


def test_a_picture_that_cannot_be_written_is_refused_before_the_study(
    runs, tmp_path, capsys, monkeypatch
):
    copy = shutil.copytree(runs["fuse3"], tmp_path / "run1")
    for command, study, picture in (
        ("lesion", "measure_lesions", "lesions.png"),
        ("members", "measure_members", "contributions.png"),
    ):
        monkeypatch.setattr(analyze, study, None)
        (copy / picture).unlink(missing_ok=True)
        (copy / picture).mkdir()
        assert f"{picture} cannot be written" in refused(capsys, command, copy)


@pytest.mark.slow
def test_lesions(runs, capsys):
    for name, parts in (("fuse3", 6), ("fractal", 10)):
        out = said(capsys, "lesion", runs[name], "--draws", "2")
        (row,) = read_log(runs[name])
        assert re.search(rf"^nothing +{row['test_error']:.2f}$", out, re.M)
        assert len(re.findall(r"^block", out, re.M)) == parts
        assert re.findall(r"^(\d) ", out, re.M) == (["1", "2"] if name == "fuse3" else list("124"))
        assert is_picture(runs[name] / "lesions.png")


def test_what_cannot_be_is_refused_in_a_line(runs, tmp_path, capsys):
    assert "did you mean cross" in refused(capsys, "paths", "--network", "croos")
    assert "leaves a stage without blocks" in refused(capsys, "paths", "--depth", "3")
    assert "is not a run's folder" in refused(capsys, "members", tmp_path)
    nowhere = ["--output", tmp_path / "nowhere" / "x.png"]
    for words in (["members", "none"], ["lesion", "none"], ["paths", "--depth", "3"]):  # first
        assert "name a file in an existing folder" in refused(capsys, *words, *nowhere)
        assert "ends in .png or .svg" in refused(capsys, *words, "--output", tmp_path / "x.pdf")
    assert "fractal has no members" in refused(capsys, "members", runs["fractal"])
    assert "ensemble has no fusion" in refused(capsys, "lesion", runs["ensemble"])
    assert "at least 1" in refused(capsys, "members", runs["fuse3"], "--members", "0")
    assert "at least 1" in refused(capsys, "lesion", runs["fuse3"], "--draws", "0")
    refused(capsys)
