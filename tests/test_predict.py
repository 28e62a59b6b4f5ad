"""predict.py: pictures of any size meet the network as test images do."""

import csv
import errno
import io
import json
import os
import shutil
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
import export
import predict
import train_cifar
import train_imagenet
from command import InputError
from data import stream
from data.class_folders import SUFFIXES
from data.images import EXTENSIONS
from data.metadata import ORIENTATION
from data.photographs import prepare
from data.sources import Photographs, SmallImages
from data.spec import get_spec
from tests.photo_files import file_of, make_tree, picture, write_photographs
from tests.record_files import encoded, random_pixels
from tests.test_scripts import refused
from training import classification, evaluation
from training.exporting import EXPORT_FORMATS
from training.metrics import probabilities
from training.run_folder import read_config, write_config

pytestmark = pytest.mark.medium

CIFAR10 = SmallImages(get_spec("cifar10"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Folder of a short run."""
    top = tmp_path_factory.mktemp("run")
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "1", "--quiet"]
    train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(top)])
    return top / "cifar10" / "plain_d5w1" / "run1"


def pictures(folder, count=2):
    """The first images that ``write_random_rec`` writes, each in a file."""
    paths = [folder / f"{index}.png" for index in range(count)]
    for path, pixels in zip(paths, random_pixels(53)):
        path.write_bytes(encoded(pixels))
    return paths


def test_probabilities_are_those_of_the_test_image(run, tmp_path, capsys):
    paths = pictures(tmp_path)
    predict.main([*map(str, paths), "--run", str(run), "--top", "3", "--format", "markdown"])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if not line.startswith("|---")]
    assert cells[0] == ["picture", "class", "probability %"]
    trained = evaluation.restore(run, "cpu")
    engine = trained.engine
    batch = next(iter(CIFAR10.test_batches(trained.data.test_set, 2)))
    expected = probabilities(engine.to_numpy(engine.predict(batch.images)))
    for index, path in enumerate(paths):
        rows = cells[1 + 3 * index : 4 + 3 * index]
        best = np.argsort(-expected[index])[:3]
        assert [row[0] for row in rows] == [str(path)] * 3
        assert [row[1] for row in rows] == [CIFAR10.class_names[label] for label in best]
        for row, label in zip(rows, best):
            assert float(row[2]) == pytest.approx(100 * expected[index, label], abs=0.01)
    assert len(cells) == 7


def classified(run, paths):
    """(probabilities, names of the classes) of pictures."""
    classifier = classification.load_run(run, "cpu")
    logits = [row for _, row in classification.classify(classifier, paths)]
    return probabilities(np.stack(logits)), classifier.names


def test_a_run_of_a_data_type_that_the_machine_lacks_is_used(run, tmp_path, capsys):
    """float16 is for GPUs."""
    half = shutil.copytree(run, tmp_path / "half1")
    write_config(half, {**read_config(half), "dtype": "float16"})
    (path,) = pictures(tmp_path, 1)
    shown = []
    for folder in (run, half):
        predict.main([str(path), "--run", str(folder), "--gpus", "cpu"])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_probabilities_add_up_to_one(run, tmp_path):
    found, names = classified(run, pictures(tmp_path))
    assert found.shape == (2, 10)
    assert found.sum(axis=1) == pytest.approx(1)
    assert tuple(names) == CIFAR10.class_names


@pytest.mark.parametrize("across", [True, False])
def test_the_centre_of_a_long_picture_is_taken(tmp_path, across):
    pixels = random_pixels(1)[0]
    beside = np.zeros((32, 20, 3), np.uint8)
    wide = np.concatenate([beside, pixels, beside], axis=1)
    path = tmp_path / "long.png"
    path.write_bytes(encoded(wide if across else wide.transpose(1, 0, 2)))
    (tmp_path / "plain.png").write_bytes(encoded(pixels if across else pixels.transpose(1, 0, 2)))
    assert (CIFAR10.picture(path) == CIFAR10.picture(tmp_path / "plain.png")).all()


def test_a_large_picture_is_made_smaller(tmp_path):
    """Every pixel counts: noise becomes grey, where picking a few pixels would leave it noise."""
    path = tmp_path / "large.png"
    path.write_bytes(encoded(random_pixels(1, size=640)[0]))
    image = CIFAR10.picture(path)
    assert image.shape == (3, 32, 32) and image.dtype == np.float32
    spec = get_spec("cifar10")
    pixels = image * np.reshape(spec.std, (3, 1, 1)) + np.reshape(spec.mean, (3, 1, 1))
    assert np.abs(pixels - 127.5).max() < 30


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    image = picture(64, 64, seed=3)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned clockwise
    (tmp_path / "turned.png").write_bytes(file_of(image, "PNG", exif=exif))
    (tmp_path / "straight.png").write_bytes(file_of(image.rotate(-90), "PNG"))
    turned, straight = (CIFAR10.picture(tmp_path / f"{n}.png") for n in ("turned", "straight"))
    assert (turned == straight).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode):
    (tmp_path / "x.png").write_bytes(file_of(picture(50, 40).convert(mode), "PNG"))
    assert CIFAR10.picture(tmp_path / "x.png").shape == (3, 32, 32)


@pytest.mark.parametrize("size, shorter_side", [(32, 480), (64, 480), (64, 128)])
def test_a_photograph_is_what_it_is_in_a_test_set(tmp_path, size, shorter_side):
    """Prepared, stored, decoded by ImageRecordIter, and cropped."""
    source = make_tree(tmp_path / "tree", train=2, val=3)
    large = picture(700, 900, seed=5)  # prepare makes it smaller
    (source / "val" / "ant" / "large.jpg").write_bytes(file_of(large))
    prepare(source, tmp_path / "data", size=shorter_side, jobs=1)
    stored = stream.load(tmp_path / "data" / "val.rec", 2, size)
    images = np.concatenate([batch.images for batch in stream.test_batches(stored, 4)])
    photographs = Photographs(tmp_path / "data", 2, size)
    paths = [source / path for path in listed(tmp_path / "data" / "val.lst")]
    assert len(paths) == len(images) == 7
    described = Photographs(None, 2, size, shorter_side)  # as in a run or an exported file
    for path, image in zip(paths, images):
        assert np.abs(photographs.picture(path) - image).max() < 1e-5
        assert (described.picture(path) == photographs.picture(path)).all()


def listed(path):
    """The files of a list, in the order of their records."""
    return [line.split("\t")[-1] for line in path.read_text().splitlines()]


def test_classes_without_a_list_have_numbers(tmp_path, capsys):
    data = write_photographs(tmp_path / "data", classes=3)
    flags = ["--network", "gluoncv:mobilenet0.25", "--data-shape", "32", "--num-epochs", "1"]
    flags += ["--data-dir", str(data), "--log-dir", str(tmp_path), "--dataset", "photos"]
    train_imagenet.main([*flags, "--batch-size", "32", "--lr", "0.001", "--quiet"])
    (run,) = (tmp_path / "photos").glob("*/run1")
    (tmp_path / "x.jpg").write_bytes(file_of(picture(60, 50)))
    assert classified(run, [tmp_path / "x.jpg"])[1] == ["class0", "class1", "class2"]
    moved = shutil.copytree(data, tmp_path / "moved")
    other = shutil.copytree(data, tmp_path / "other")
    (other / "classes.txt").write_text("class0\nclass1\nzebra\n")
    predict.main([str(tmp_path / "x.jpg"), "--run", str(run), "--data-dir", str(other)])
    note = f"note: {other / 'classes.txt'} has other names than when the run was trained\n"
    assert capsys.readouterr().err == note
    for spoil, why in (
        (lambda path: path.write_text("two\nnames\n"), "names 2 classes, but the run has 3"),
        (Path.unlink, "there is no"),
    ):
        spoil(data / "classes.txt")
        found, names = classified(run, [tmp_path / "x.jpg"])
        assert names == ["0", "1", "2"]
        assert found.shape == (1, 3)
        assert predict.main([str(tmp_path / "x.jpg"), "--run", str(run)]) == 0
        assert why in capsys.readouterr().err
        words = [str(tmp_path / "x.jpg"), "--run", str(run), "--data-dir", str(moved)]
        assert predict.main(words) == 0
        out, err = capsys.readouterr()
        assert "class0" in out and not err
        evaluate.main([str(run), "--classes", "--confusion", str(tmp_path / "confusion.png")])
        out, err = capsys.readouterr()
        assert why in err
        assert [line.split()[0] for line in out.splitlines()[-4:-1]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "content,message",
    [
        (None, "bad.png cannot be read: No such file"),
        (b"words", "not a PNG, JPEG, BMP or WebP"),
        ("cut", "cut short"),
    ],
)
def test_a_wrong_file_is_one_line_and_the_rest_is_classified(
    run, tmp_path, capsys, content, message
):
    bad, good = tmp_path / "bad.png", *pictures(tmp_path, 1)
    if content == "cut":
        content = good.read_bytes()[:-20]
    if content is not None:
        bad.write_bytes(content)
    assert predict.main([str(bad), str(good), "--run", str(run), "--top", "1"]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert message in err and "bad.png" in err
    assert len(out.splitlines()) == 2 and out.splitlines()[1].startswith(str(good))


def test_folders_and_lists_are_their_pictures(run, tmp_path, capsys, monkeypatch):
    below = tmp_path / "all" / "below"
    below.mkdir(parents=True)
    first, second = pictures(tmp_path / "all")
    second = second.rename(below / "1.PNG")
    (below / "notes.txt").write_text("no picture")
    give_list(monkeypatch, f"{first}\r\n\n{second}\n")
    shown = []
    for name in ("-", tmp_path / "all"):
        flags = ["--run", str(run), "--format", "csv", "--batch-size", "1"]
        assert predict.main([str(name), *flags]) == 0
        shown.append(list(csv.DictReader(io.StringIO(capsys.readouterr().out))))
    assert shown[0] == shown[1]
    assert [row["picture"] for row in shown[0]] == [str(first)] * 5 + [str(second)] * 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_may_have_a_byte_order_mark(encoding):
    assert predict.read_list("é/1.png\r\n2.png\r\n".encode(encoding)) == ["é/1.png", "2.png"]


def give_list(monkeypatch, text):
    """Make ``text`` what standard input gives."""
    data = io.BytesIO(os.fsencode(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8"))


@pytest.mark.parametrize("apart", ["\0", "\n"])
def test_impossible_names_of_a_list_are_named_and_the_rest_is_classified(
    run, tmp_path, capsys, monkeypatch, apart
):
    (good,) = pictures(tmp_path, 1)
    latin = good.rename(tmp_path / os.fsdecode(b"\xe9.png"))  # not UTF-8
    bad = ["x" * 5000 + ".png", f"{tmp_path}/none.png"]
    give_list(monkeypatch, apart.join([bad[0], str(latin), bad[1], ""]))
    assert predict.main(["-", "--run", str(run), "--top", "1", "--format", "jsonl"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["picture"] for line in out.splitlines()] == [str(latin)]
    assert [line.split(" ")[0] for line in err.splitlines()] == bad


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x" * 5000, "x" * 300 + "/y.png"])
def test_impossible_names_are_unreadable_pictures(run, tmp_path, capsys, name):
    (good,) = pictures(tmp_path, 1)
    said = []
    classifier = classification.load_run(run, "cpu")
    found = list(classification.classify(classifier, [name, good], on_problem=said.append))
    assert [path for path, _ in found] == [good]
    assert len(said) == 1 and "cannot be read" in said[0]


def test_a_folder_is_its_images_by_the_rule_of_preparation(tmp_path, capsys):
    """System files are left out, links are followed, names may lack an ending."""
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    for folder in (top / "dir.png", top / "__MACOSX", elsewhere):
        folder.mkdir(parents=True)
    image = picture(20, 20)
    names = [f"{index}{end}" for index, end in enumerate(chain.from_iterable(EXTENSIONS.values()))]
    for name in names:
        (top / "dir.png" / name).write_bytes(b"x")
    (top / "named").write_bytes(file_of(image, "PNG"))
    for name in ("._a.png", "__MACOSX/b.png", "Thumbs.db", "notes.txt"):
        (top / name).write_bytes(b"x")
    (elsewhere / "c.webp").write_bytes(file_of(image, "WEBP"))
    (top / "linked").symlink_to(elsewhere)
    (top / "circle").symlink_to(top)
    (top / "lost.png").symlink_to(tmp_path / "nowhere")
    expected = [*(f"dir.png/{name}" for name in sorted(names)), "linked/c.webp", "named"]
    assert predict.list_pictures([str(top)]) == [str(top / name) for name in expected]
    left = {line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()}
    assert left == {str(top / "circle"), str(top / "lost.png")}
    assert predict.list_pictures(["x" * 5000]) == ["x" * 5000]


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_classified(
    tmp_path, capsys, monkeypatch
):
    """Of root, nothing is kept secret: the system's answer is imitated."""
    (tmp_path / "private").mkdir()
    (tmp_path / "a.png").write_bytes(file_of(picture(20, 20), "PNG"))
    scan = os.scandir

    def closed(folder):
        if Path(folder).name == "private":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", closed)
    assert predict.list_pictures([str(tmp_path)]) == [str(tmp_path / "a.png")]
    assert str(tmp_path / "private") in capsys.readouterr().err
    with pytest.raises(PermissionError):
        predict.list_pictures([str(tmp_path / "private")])


def test_a_picture_in_a_folder_that_cannot_be_read_changes_the_status(run, tmp_path, capsys):
    pictures(tmp_path, 1)
    assert predict.main([str(tmp_path), "--run", str(run)]) == 0
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    assert predict.main([str(tmp_path), "--run", str(run)]) == 1
    assert str(tmp_path / "lost.png") in capsys.readouterr().err


def test_rows_of_features_are_lines(run, tmp_path, capsys):
    shutil.copy(pictures(tmp_path, 1)[0], tmp_path / "line\nbreak.png")
    predict.main([str(tmp_path), "--run", str(run), "--features", str(tmp_path / "f.npy")])
    assert len(np.load(tmp_path / "f.npy")) == len(capsys.readouterr().out.splitlines()) == 2


def test_an_empty_name_and_a_closed_input_are_refused_in_a_line(run, capsys, monkeypatch):
    status, err = refused(capsys, "x.png", "--network", "", main=predict.main)
    assert status == 2 and "no pretrained network" in err
    monkeypatch.setattr(sys, "stdin", None)
    status, err = refused(capsys, "-", "--run", run, main=predict.main)
    assert status == 2 and "standard input, which is closed" in err


def test_every_format_of_the_list_is_read(tmp_path):
    for name, endings in EXTENSIONS.items():
        path = tmp_path / f"picture{endings[0]}"
        path.write_bytes(file_of(picture(20, 20), name))
        assert CIFAR10.picture(path).shape == (3, 32, 32)
        assert path.suffix in SUFFIXES
    assert "PNG, JPEG, BMP or WebP" in predict.EXAMPLES


def test_logits_that_are_not_finite_are_refused():
    """JSON has no such numbers."""
    classifier = classification.Classifier(None, None, ["a", "b"])
    with pytest.raises(InputError, match="not finite"):
        classification.rank_classes(classifier, np.array([0, np.nan]), 1)


def test_lines_of_json_have_whole_probabilities(run, tmp_path, capsys):
    paths = pictures(tmp_path)
    predict.main([*map(str, paths), "--run", str(run), "--format", "jsonl", "--top", "10"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected, names = classified(run, paths)
    assert [line["picture"] for line in lines] == [str(path) for path in paths]
    for line, shares in zip(lines, expected):
        found = {each["class"]: each["probability"] for each in line["classes"]}
        assert found == pytest.approx(dict(zip(names, shares)))


@pytest.mark.parametrize("kind", EXPORT_FORMATS)
@pytest.mark.parametrize("pixels", [False, True])
def test_exported_files_classify_as_the_run(run, tmp_path, capsys, kind, pixels):
    """In a folder whose name is not UTF-8."""
    for package in EXPORT_FORMATS[kind].packages:
        pytest.importorskip(package)
    out = tmp_path / os.fsdecode(b"\xff\xfe")
    flags = ["--format", kind, "--out", str(out)]
    export.main([str(run), *flags, *(["--from-pixels"] if pixels else [])])
    paths = pictures(tmp_path)
    expected, names = classified(run, paths)
    found = []
    for ending in EXPORT_FORMATS[kind].endings:
        classifier = classification.load_exported(out / f"network{ending}")
        logits = np.stack([row for _, row in classification.classify(classifier, paths)])
        assert np.abs(probabilities(logits) - expected).max() < (0.02 if pixels else 1e-4)
        assert classifier.names == names
        found.append(logits)
    capsys.readouterr()
    file = str(out / f"network.{kind}.json")
    assert predict.main([str(paths[0]), "--exported", file, "--top", "1"]) == 0
    best = names[probabilities(found[0])[0].argmax()]
    assert capsys.readouterr().out.splitlines()[1].split()[1] == best


def test_exported_files_that_changed_are_refused(run, tmp_path, capsys):
    """MXNet takes damaged weights without an error."""
    export.main([str(run), "--format", "symbol", "--out", str(tmp_path)])
    file = tmp_path / "network-0000.params"
    written = file.read_bytes()
    file.write_bytes(written[:-500] + bytes([written[-500] ^ 64]) + written[-499:])
    status, err = refused(capsys, "x.png", "--exported", file, main=predict.main)
    assert status == 2 and f"{file} is damaged, or of another export" in err
    file.write_bytes(written)
    classification.load_exported(file)
    file.unlink()
    status, err = refused(
        capsys, "x.png", "--exported", tmp_path / "network-symbol.json", main=predict.main
    )
    assert status == 2 and f"there is no file {file}" in err


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"output": {"shape": ["batch", 4]}, "classes": None}, "the outputs are (1, 10)"),
        ({"input": {"shape": ["batch", 3, 1 << 40, 1]}}, "cannot be loaded"),
    ],
)
def test_a_description_of_another_network_is_refused(run, tmp_path, capsys, changes, message):
    export.main([str(run), "--format", "symbol", "--out", str(tmp_path)])
    file = tmp_path / "network.symbol.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    status, err = refused(capsys, "x.png", "--exported", file, main=predict.main)
    assert status == 2 and message in err


def test_features_are_what_the_classifier_takes(run, tmp_path, capsys):
    paths, file = pictures(tmp_path), tmp_path / "features.npy"
    predict.main([*map(str, paths), "--run", str(run), "--features", str(file), "--gpus", "cpu"])
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    found = np.load(file)
    values, _ = evaluation.restore(run, "cpu").engine.state_dict()
    logits = found @ values["classifier_weight"].T + values["classifier_bias"]
    assert probabilities(logits) == pytest.approx(classified(run, paths)[0], abs=1e-5)


@pytest.mark.parametrize(
    "kind,others", [("onnx", ["torch", "onnx", "onnxscript"]), ("torch", ["safetensors"])]
)
def test_exported_files_run_without_the_packages_that_wrote_them(
    run, tmp_path, capsys, monkeypatch, kind, others
):
    pytest.importorskip("onnxscript")
    export.main([str(run), "--format", kind, "--out", str(tmp_path)])
    for package in others:
        monkeypatch.setitem(sys.modules, package, None)
    (picture,) = pictures(tmp_path, 1)
    (file,) = [path for path in tmp_path.iterdir() if path.suffix in (".onnx", ".pt2")]
    capsys.readouterr()
    predict.main([str(picture), "--exported", str(file)])
    assert "0.png" in capsys.readouterr().out


@pytest.mark.parametrize("described", [False, True])
def test_missing_exported_files_are_found_before_libraries_are_loaded(
    tmp_path, capsys, monkeypatch, described
):
    monkeypatch.setitem(sys.modules, "torch", None)  # its import would fail
    if described:
        (tmp_path / "x.torch.json").write_text("{}")
    flags = ["x.png", "--exported", tmp_path / "x.pt2"]
    status, err = refused(capsys, *flags, main=predict.main)
    assert status == 2
    assert f"there is no {'file ' if described else ''}{tmp_path}" in err


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["cat", "dog"]},
        {"classes": 3},
        {"mean": None},
        {"std": [1.0, 2.0]},
        {"mean": ["a", "b", "c"]},
        {"output": {"shape": ["batch", 3.5]}},
        {"output": {"shape": ["batch", 0]}},
        {"input": {"shape": ["batch", 3, -1, -1]}},
        {"sha256": 3},
    ],
)
def test_a_damaged_description_is_refused_in_a_line(tmp_path, capsys, changes):
    described = {
        "classes": ["cat", "dog", "frog"],
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
        "dataset": "pets",
        "normalized_inside": False,
        "input": {"shape": ["batch", 3, 32, 32]},
        "output": {"shape": ["batch", 3]},
    }
    (tmp_path / "x-symbol.json").touch()
    (tmp_path / "x-0000.params").touch()
    messages = []
    for each in (described, {**described, **changes}):
        (tmp_path / "x.symbol.json").write_text(json.dumps(each))
        flags = ["x.png", "--exported", tmp_path / "x-symbol.json"]
        status, err = refused(capsys, *flags, main=predict.main)
        assert status == 2
        messages.append("is not a description that export.py wrote" in err)
    assert messages == [False, True]  # the symbol is damaged, too, but that is found later


def test_wrong_flags_are_one_line(run, tmp_path, capsys):
    (path,) = pictures(tmp_path, 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    for flags, message in (
        (["--run", run, "--top", "0"], "--top must be a whole number of at least 1"),
        (["--run", run, "--batch-size", "0"], "--batch-size must be a whole number of at least 1"),
        (["--run", tmp_path], "is not a run's folder"),
        (["--run", run, "--epoch", "5"], "there are: [1]"),
        (["--exported", tmp_path / "x.zip"], "is not an exported file"),
        (["--exported", tmp_path / "x-symbol.json"], "there is no"),
        (["--exported", tmp_path / "x.onnx", "--gpus", "cpu"], "are for --run and --network"),
        (["--run", run, "--features", "nowhere/x.npy"], "in an existing folder"),
        (["--run", run, "--features", tmp_path], "in an existing folder"),
        (["--run", run, "--features", "x.npy", "--top", "5"], "--top is for classes"),
        (["--run", run, "--features", "x.npy", "--format", "text"], "--format is for classes"),
        (["--run", run, "--early-exit", "0.5"], "--early-exit: plain has no columns"),
    ):
        status, err = refused(capsys, path, *flags, main=predict.main)
        assert status == 2 and message in err
    status, err = refused(capsys, empty, "--run", run, main=predict.main)
    assert status == 2 and "there is no picture in" in err
