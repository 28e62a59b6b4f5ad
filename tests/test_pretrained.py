"""Pretrained networks: written from a run, read by name, refused where they are altered."""

import json
import shutil
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

import evaluate
import export
import predict
import train_cifar
from command import InputError
from data.spec import default_folder
from network import get_model, list_pretrained, read_card
from network.pretrained import cards
from results.aggregate import median_run
from tests.record_files import encoded, random_pixels, write_random_rec
from tests.test_scripts import refused
from tools import publish
from training.evaluation import restore
from training.recipe import Recipe
from training.run_folder import find_runs, is_published, read_config, write_config
from training.run_log import read_log
from training.run_record import read_run

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "cifar10"
CLOSE_TO_MEDIAN = ("half26-cifar10", "resnet26-cifar10")  # the median runs' parameters were lost

medium = pytest.mark.medium


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A folder of runs: three seeds of a plain network, one of a FractalNet."""
    top = tmp_path_factory.mktemp("runs")
    flags = ["--num-epochs", "1", "--quiet", "--data-dir", str(data), "--log-dir", str(top)]
    train_cifar.main(["--network", "plain", "--depth", "5", "--runs", "3", *flags])
    train_cifar.main(["--network", "fractal", "--depth", "10", "--batch-size", "30", *flags])
    return top


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of pretrained networks."""
    monkeypatch.setattr(cards, "FOLDER", tmp_path / "pretrained")
    cards.FOLDER.mkdir()
    return cards.FOLDER


def runs_of(runs, name):
    """Return the folders of runs, the one with the median error first."""
    found = sorted((runs / "cifar10" / name).glob("run*"))
    found.sort(key=lambda run: read_log(run)[-1]["test_error"])
    middle = found.pop(len(found) // 2)
    return [middle, *found]


def publish_pretrained(runs, name, out):
    (run, *_) = runs_of(runs, name)
    words = ["--pretrained", "--images", "random pixels"]
    publish.main([str(run), "--out", str(out), *words])
    return run


@medium
def test_a_network_is_what_its_run_was_and_its_card_says_so(data, runs, folder, tmp_path, capsys):
    run = publish_pretrained(runs, "plain_d5w1", tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "plain5-cifar10.json")
    assert list_pretrained() == ["plain5-cifar10"]
    card, trained = read_card("plain5-cifar10"), restore(run, "cpu")
    config = read_config(run)
    assert (card.network, card.depth, card.widen_factor, card.epochs) == ("plain", 5, 1, 1)
    assert (card.seed, card.seeds, card.engine) == (config["seed"], [0, 1, 2], "mxnet")
    assert (card.images, card.image_size, card.classes[3]) == ("random pixels", 32, "cat")
    assert (card.recipe, card.commit) == (config["recipe"], config["commit"])
    assert str(data.parent) not in (folder / "plain5-cifar10.json").read_text()
    net = get_model("plain", 5, pretrained="cifar10")
    images = trained.data.test_set.pixels[:8].astype(np.float32)
    found = net(mx.nd.array(images)).asnumpy()
    expected = trained.engine.to_numpy(trained.engine.predict(images))
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
    assert np.abs(found - expected).max() > 0  # float16
    assert card.test_error == pytest.approx(card.run_error, abs=2)
    values, _ = trained.engine.state_dict()
    for name, value in cards.read_pretrained("plain5-cifar10")[1].items():
        assert value.dtype == np.float32
        if "running" in name:
            assert (value == values[name]).all()


@medium
def test_programs_take_its_name(data, runs, folder, tmp_path, capsys, monkeypatch):
    publish_pretrained(runs, "plain_d5w1", tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    card = read_card("plain5-cifar10")
    evaluate.main(["plain5-cifar10", "--data-dir", str(data)])
    out = capsys.readouterr().out
    assert out.startswith("plain5-cifar10 on cifar10, epoch 1, test\n")
    assert f"top-1 error {card.test_error:.2f}%" in out
    picture = tmp_path / "x.png"
    picture.write_bytes(encoded(random_pixels(1)[0]))
    predict.main([str(picture), "--network", "plain5-cifar10", "--top", "10"])
    out = capsys.readouterr().out
    assert all(name in out for name in card.classes)  # without any images of the data set
    flags = ["--format", "symbol", "--data-dir", str(data), "--out", "out"]
    export.main(["plain5-cifar10", *flags])
    assert json.loads(Path("out/network.symbol.json").read_text())["run"] == "plain5-cifar10"
    capsys.readouterr()
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "1", "--lr", "0"]
    flags += ["--data-dir", str(data), "--log-dir", "snapshot", "--init-from", "plain5-cifar10"]
    train_cifar.main(flags)
    assert "started from plain5-cifar10: " in capsys.readouterr().out
    run = Path("snapshot/cifar10/plain_d5w1/run1")
    assert read_config(run)["init_from"] == "plain5-cifar10"
    weights = restore(run, "cpu").engine.state_dict()[0]["classifier_weight"]
    assert (weights == cards.read_pretrained("plain5-cifar10")[1]["classifier_weight"]).all()


@medium
def test_columns_of_a_fractal_come_along(data, runs, folder, tmp_path, capsys, monkeypatch):
    publish_pretrained(runs, "fractal_d10w1", tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    card = read_card("fractal10-cifar10")
    assert len(card.column_errors) == 2
    evaluate.main(["fractal10-cifar10", "--data-dir", str(data), "--columns"])
    out = capsys.readouterr().out
    assert all(f"{error:.2f}" in out for error in (*card.column_errors, card.test_error))
    assert Path("fractal10-cifar10_anytime_test_epoch0001.png").exists()


@medium
def test_the_median_of_the_seeds_is_published_and_nothing_too_large(
    runs, folder, tmp_path, capsys, monkeypatch
):
    median, *others = runs_of(runs, "plain_d5w1")
    words = ["--out", tmp_path, "--pretrained"]
    for other in others:
        status, err = refused(capsys, other, *words, main=publish.main)
        assert status == 2 and f"{median} has the error closest to the median of 3 seeds" in err
    status, err = refused(capsys, median.parent, *words, main=publish.main)
    assert status == 2 and "--pretrained needs a single run: there are 3" in err
    monkeypatch.chdir(others[0])
    status, err = refused(capsys, ".", *words, main=publish.main)
    assert status == 2 and f"{median} has the error closest to the median of 3 seeds" in err
    monkeypatch.setattr(cards, "MOST_BYTES", 1000)
    status, err = refused(capsys, median, *words, main=publish.main)
    assert status == 2 and "plain5-cifar10 has 0.1 MB" in err
    assert list(folder.iterdir()) == []


@medium
def test_without_the_medians_checkpoint_the_closest_run_is_published(
    runs, folder, tmp_path, capsys
):
    own = tmp_path / "cifar10" / "plain_d5w1"
    shutil.copytree(runs / "cifar10" / "plain_d5w1", own)
    closest, median, farthest = sorted(own.glob("run*"))
    for run, error in ((closest, 50.0), (median, 60.0), (farthest, 80.0)):
        (row,) = read_log(run)
        (run / "log.jsonl").write_text(json.dumps({**row, "test_error": error}) + "\n")
    shutil.rmtree(median / "checkpoints")
    words = ["--out", tmp_path / "published", "--pretrained"]
    for other in (median, farthest):
        status, err = refused(capsys, other, *words, main=publish.main)
        assert status == 2 and f"{closest} has the error closest to the median of 3 seeds" in err
    publish.main([*map(str, (closest, *words))])
    assert read_card("plain5-cifar10").seed == read_config(closest)["seed"]
    for run in (closest, farthest):
        shutil.rmtree(run / "checkpoints")
    status, err = refused(capsys, median, *words, main=publish.main)
    assert status == 2 and f"{median} has no checkpoint" in err


@medium
def test_the_images_may_be_elsewhere(data, runs, folder, tmp_path, capsys):
    own = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    shutil.copytree(runs_of(runs, "plain_d5w1")[0], own)
    write_config(own, {**read_config(own), "data_dir": str(tmp_path / "gone")})
    words = [own, "--out", tmp_path / "out", "--pretrained"]
    status, err = refused(capsys, *words, main=publish.main)
    assert status == 2 and "--data-dir" in err
    publish.main([*map(str, words), "--data-dir", str(data)])
    assert list_pretrained() == ["plain5-cifar10"]


@medium
def test_a_card_has_no_errors_of_other_images(runs, folder, tmp_path, capsys):
    own = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    shutil.copytree(runs_of(runs, "plain_d5w1")[0], own)
    data = read_config(own)["data"]
    others = {**data, "test": {**data["test"], "crc32": 7}}
    write_config(own, {**read_config(own), "data": others})
    words = [own, "--out", tmp_path / "out", "--pretrained"]
    status, err = refused(capsys, *words, main=publish.main)
    assert status == 2 and f"the images are not those of the run in {own}" in err
    assert list(folder.iterdir()) == []


@medium
def test_other_images_of_the_data_set_are_used_with_a_note(
    runs, folder, tmp_path, capsys, monkeypatch
):
    """People have the original images, not the copies on which a network was trained."""
    publish_pretrained(runs, "fractal_d10w1", tmp_path)
    monkeypatch.chdir(tmp_path)  # for the pictures
    for name in ("train.rec", "test.rec"):
        write_random_rec(tmp_path / name, 60, classes=10)
    capsys.readouterr()
    evaluate.main(["fractal10-cifar10", "--early-exit", "--data-dir", str(tmp_path)])
    err = capsys.readouterr().err
    for which in ("train", "test"):
        note = f"note: the {which} images in {tmp_path} are not those of fractal10-cifar10\n"
        assert err.count(note) == 1
    assert (tmp_path / "fractal10-cifar10_early_exit_test_epoch0001.json").exists()


@medium
def test_an_altered_file_is_refused(runs, folder, tmp_path, capsys):
    publish_pretrained(runs, "plain_d5w1", tmp_path)
    capsys.readouterr()
    file = folder / "plain5-cifar10.params"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for damaged in (bytes(content), bytes(content[:100]), b"", None):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        status, err = refused(capsys, "plain5-cifar10", main=evaluate.main)
        assert status == 2 and f"{file} is damaged or altered" in err
        with pytest.raises(InputError, match="damaged or altered"):
            get_model("plain", 5, pretrained="cifar10")
    card = folder / "plain5-cifar10.json"
    card.write_text("{}")
    status, err = refused(capsys, "plain5-cifar10", main=evaluate.main)
    assert status == 2 and f"{card} is damaged" in err


@medium
def test_an_unknown_name_lists_what_there_is(data, runs, folder, tmp_path, capsys):
    for names, known in (((), "there is none yet"), (("plain_d5w1",), "there are plain5-cifar10")):
        for name in names:
            publish_pretrained(runs, name, tmp_path)
        capsys.readouterr()
        with pytest.raises(InputError, match=known):
            get_model("plain", 8, pretrained="cifar10")
        for main, words in (
            (evaluate.main, ["plain5-cifar1"]),
            (predict.main, ["x.png", "--network", "plain5-cifar1"]),
        ):
            status, err = refused(capsys, *words, main=main)
            assert status == 2 and known in err
            assert ("did you mean plain5-cifar10" in err) is bool(names)
    words = ["--init-from", "plain5-cifar1", "--data-dir", data]
    status, err = refused(capsys, *words)
    assert status == 2 and "(plain5-cifar10)" in err
    with pytest.raises(InputError, match="give .* classes and no other options"):
        get_model("plain", 5, classes=3, pretrained="cifar10")
    with pytest.raises(InputError, match="not for gluoncv's"):
        get_model("gluoncv:cifar_resnet20_v1", pretrained="cifar10")
    status, err = refused(capsys, "plain5-cifar10", "--epoch", "1", main=evaluate.main)
    assert status == 2 and "leave --epoch out" in err


def test_values_survive_float16():
    values = {
        "weight": np.array([1 / 3, -2.0, 1e-9], np.float32),
        "large_weight": np.array([1e6, 1.0], np.float32),
        "norm_running_var": np.array([3e-7, 2e5], np.float32),
    }
    rounded = cards.round_values(values)
    assert rounded["weight"].dtype == np.float16
    assert np.abs(rounded["weight"] - values["weight"]).max() < 1e-3
    for name in ("large_weight", "norm_running_var"):
        assert (rounded[name] == values[name]).all()
    with pytest.raises(InputError, match="weight has values that are not finite"):
        cards.round_values({"weight": np.array([np.inf], np.float32)})


def test_all_files_together_are_small_and_belong_together():
    files = cards.list_files()
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.stem for path in files if path.suffix == ".params"} == set(list_pretrained())


@pytest.mark.parametrize("name", list_pretrained())
def test_a_card_has_the_seeds_of_all_published_runs_and_the_median_of_them(name):
    card, group = read_card(name), []
    published = map(read_run, filter(is_published, find_runs(ROOT / "snapshot")))
    for record in (each for each in published if not each.problem):
        run = record.run
        size = (run.network, run.depth, run.widen_factor, run.dataset)
        same = size == (card.network, card.depth, card.widen_factor, card.dataset)
        if same and (run.recipe, record.info.data) == (Recipe.from_json(card.recipe), card.data):
            group.append(record)
    assert sorted(record.run.seed for record in group) == card.seeds
    errors = {record.run.seed: record.rows[-1]["test_error"] for record in group}
    assert errors[card.seed] == card.run_error
    assert (median_run(group).run.seed == card.seed) == (name not in CLOSE_TO_MEDIAN)


@pytest.mark.parametrize("name", list_pretrained() or [None])
def test_a_pretrained_network_is_as_good_as_its_card_says(name):
    if name is None:
        pytest.skip("there is no pretrained network yet")
    card = read_card(name)
    place = REAL if card.dataset == "cifar10" else default_folder(card.dataset)
    if not (place / "test.rec").exists():
        pytest.skip(f"there is no {place}")
    trained = restore(name, "cpu", data_dir=str(place))
    images = trained.data.test_set
    count = min(1000, len(images))
    _, few = trained.data.source.split(images, count)
    share = card.test_error / 100
    margin = 100 * 4 * np.sqrt(share * (1 - share) / count) + 0.1
    assert abs(trained.predictions(few).error() - card.test_error) < margin
