"""Small images of one's own, from folders or an .npz file, become a data set for every program."""

import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import analyze
import evaluate
import export
import predict
import train_cifar
from command import InputError
from data import prepare, prepare_dataset, prepare_own, records, spec
from data.own import describe, read_own
from data.spec import get_spec, locate, read_spec, write_spec
from tests.photo_files import file_of, picture
from tests.record_files import random_pixels
from tests.test_scripts import refused
from training.classification import load_exported, load_run


def tree(folder, parts=("train", "test"), classes=("ant", "bee"), count=5):
    """Photographs of several sizes and kinds in folders of classes."""
    for part in parts:
        for label, name in enumerate(classes):
            (folder / part / name / "more").mkdir(parents=True)
            for number in range(count):
                image = picture(50 + number, 40, seed=10 * label + number)
                place = folder / part / name / ("more" if number % 2 else ".")
                kind = ("JPEG", "PNG")[number % 2]
                (place / f"{number}.jpg").write_bytes(file_of(image, kind))
    return folder


def test_folders_become_a_data_set(tmp_path, capsys):
    source = tree(tmp_path / "source")
    (source / "train" / "ant" / "broken.jpg").write_bytes(b"no image")
    (source / "train" / "ant" / "notes.txt").write_bytes(b"ants")
    out = tmp_path / "data" / "insects"
    argv = ["folder", "--source", source, "--out", out, "--size", "48", "--jobs", "1"]
    prepare.main(list(map(str, argv)))
    said = capsys.readouterr().out
    assert "insects: 10 training and 10 test images of 48 x 48 pixels, 2 classes" in said
    assert "left out: train/ant/broken.jpg: it is not a PNG, JPEG, BMP or WebP" in said
    assert "train/ant/notes.txt" in said and f"--dataset {out}" in said
    assert "copies of training images among the test images: 10;" in said
    values = json.loads((out / "dataset.json").read_text())
    assert values["classes"] == ["ant", "bee"] and values["size"] == 48
    train = records.load(out / "train.rec", 2, 48)
    assert (len(train), train.pixels.shape[1:]) == (10, (3, 48, 48))
    pixels = train.pixels.astype(np.float64)
    np.testing.assert_allclose(values["mean"], pixels.mean((0, 2, 3)), atol=0.001)
    np.testing.assert_allclose(values["std"], pixels.std((0, 2, 3)), atol=0.001)
    spec, folder = locate(str(out))
    assert (spec, folder) == (get_spec("insects", out), out)
    assert spec.class_names == ("ant", "bee") and spec.mean == tuple(values["mean"])


def test_folders_without_a_test_set_are_split_by_class_and_seed(tmp_path):
    source = tree(tmp_path, parts=(".",))
    one, same, other = (read_own(source, split_seed=seed) for seed in (0, 0, 3))
    for own in (one, same, other):
        assert np.bincount(own.train.labels).tolist() == [4, 4]
        assert np.bincount(own.test.labels).tolist() == [1, 1]
    np.testing.assert_array_equal(one.test.images, same.test.images)
    assert (one.test.images != other.test.images).any()
    assert len(read_own(source, test_share=0.5).test) == 5


def test_names_of_parts_may_have_capital_letters(tmp_path):
    source = tree(tmp_path, parts=("Train", "TEST"))
    (tmp_path / "__MACOSX").mkdir()
    own = read_own(source)
    assert own.class_names == ("ant", "bee") and (len(own.train), len(own.test)) == (10, 10)


@pytest.mark.parametrize("parts", [("training", "testing"), ("Training", "Testing")])
def test_parts_may_be_called_training_and_testing(tmp_path, parts):
    own = read_own(tree(tmp_path, parts=parts))
    assert own.class_names == ("ant", "bee") and (len(own.train), len(own.test)) == (10, 10)


def test_classes_of_test_images_alone_are_not_trained_on(tmp_path):
    with pytest.raises(InputError, match="has a folder val, but no folder train"):
        read_own(tree(tmp_path, parts=("val",)))


def test_train_beside_test_is_no_class(tmp_path):
    """As the German traffic signs are distributed: Meta, Test and Train."""
    own = read_own(tree(tmp_path, parts=("Train", "Test", "Meta")))
    assert own.class_names == ("ant", "bee") and (len(own.train), len(own.test)) == (10, 10)
    assert own.ignored == {"folders besides train and test": ["Meta"]}
    tree(tmp_path, parts=("train",), count=2)
    own = read_own(tmp_path)
    assert own.ignored == {"folders besides train and test": ["Meta", "Train"]}
    assert len(own.train) == 4


@pytest.mark.parametrize("parts", [("flowers",), ("flowers/train", "flowers/test")])
def test_the_top_folder_of_an_archive_is_no_class(tmp_path, parts):
    source = tree(tmp_path, parts=parts)
    with pytest.raises(InputError, match="has one folder, 'flowers', .*: name the folder that"):
        read_own(source)
    assert read_own(source / "flowers").class_names == ("ant", "bee")


@pytest.mark.parametrize("test_part", ["seg_test/seg_test", "Test-Images"])
def test_folders_of_parts_are_no_classes(tmp_path, test_part):
    """As Intel's images of natural scenes are distributed: seg_train/seg_train/CLASS."""
    source = tree(tmp_path, parts=("seg_train/seg_train", test_part))
    (source / "seg_pred").mkdir()
    (source / "seg_pred" / "0.jpg").write_bytes(file_of(picture(40, 40)))
    message = f"has folders seg_train and {test_part.split('/')[0]}: name them train and test"
    with pytest.raises(InputError, match=message):
        read_own(source)


def test_a_single_class_is_named(tmp_path, capsys):
    source = tree(tmp_path / "source", parts=(".",), classes=("jpg",))
    prepare.main(["folder", "--source", str(source), "--out", str(tmp_path / "x"), "--jobs", "1"])
    said = capsys.readouterr().out
    assert "1 class (jpg), in" in said and "there is only one class: --source takes" in said
    arrays = save(tmp_path / "a.npz", images=PIXELS, labels=0 * LABELS)
    prepare.main(["folder", "--source", str(arrays), "--out", str(tmp_path / "y"), "--jobs", "1"])
    assert "there is only one class\n" in capsys.readouterr().out


def test_a_test_folder_without_classes_is_refused_with_a_way_out(tmp_path):
    source = tree(tmp_path, parts=("train",))
    (source / "test").mkdir()
    (source / "test" / "0.jpg").write_bytes(file_of(picture(40, 40)))
    with pytest.raises(InputError, match="no images in folders of classes; without .* test, other"):
        read_own(source)


def test_a_single_class_may_have_folders(tmp_path):
    assert read_own(tree(tmp_path, classes=("ant",))).class_names == ("ant",)


def test_a_class_may_be_called_training(tmp_path):
    source = tree(tmp_path, parts=(".",), classes=("running", "testing", "training"))
    assert read_own(source).class_names == ("running", "testing", "training")


def test_a_class_of_damaged_files_names_them(tmp_path):
    source = tree(tmp_path, parts=(".",), count=1)
    (source / "bee" / "0.jpg").write_bytes(b"no image")
    message = r"class 'bee' has no images to train on \(left out: bee/0.jpg: it is not a PNG"
    with pytest.raises(InputError, match=message):
        read_own(source)
    source = tree(tmp_path / "single", parts=(".",), count=1)
    with pytest.raises(InputError, match="has no images to train on beside its test images"):
        read_own(source)
    source = tree(tmp_path / "parts", count=1)
    for name in ("ant", "bee"):
        (source / "test" / name / "0.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"has no images to test on \(left out: test/ant/0.jpg"):
        read_own(source)


@pytest.mark.parametrize("how", [{"test_share": 0.2}, {"split_seed": 0}])
def test_a_share_beside_test_images_is_refused(tmp_path, how):
    source = tree(tmp_path, count=1)
    with pytest.raises(InputError, match="has test images: leave test_share and split_seed out"):
        read_own(source, **how)


def test_a_class_that_is_not_among_the_training_images_names_their_folder(tmp_path):
    source = tree(tmp_path, parts=("Training", "Testing"), count=1)
    (source / "Testing" / "ant").rename(source / "Testing" / "cat")
    message = f"{source}/Testing/cat: {source}/Training has no such class"
    with pytest.raises(InputError, match=message):
        read_own(source)


@pytest.mark.parametrize("count, share", [(1, 0.2), (4, 0.99)])
def test_a_share_of_all_images_is_refused(tmp_path, count, share):
    source = tree(tmp_path, parts=(".",), classes=("ant",), count=count)
    with pytest.raises(InputError, match=rf"all of its images \({count}\) would be test images"):
        read_own(source, test_share=share)


def test_errors_of_the_library_name_arguments(tmp_path):
    """Those of the program name flags; see test_other_sources_are_refused."""
    out = tmp_path / "x"
    for argument, value in (("size", 20), ("test_share", 1), ("jobs", 0)):
        with pytest.raises(InputError, match=f"^{argument} must"):
            prepare_own(tmp_path, out, **{argument: value})
    with pytest.raises(InputError, match="^out must not be cifar10"):
        prepare_own(tmp_path, tmp_path / "cifar10")
    with pytest.raises(InputError, match="^partial is for files of your own: name .* with source"):
        prepare_dataset("cifar10", out=out, partial=True)


def test_a_class_may_be_called_train(tmp_path):
    source = tree(tmp_path, parts=(".",), classes=("Bus", "Train"))
    assert read_own(source).class_names == ("Bus", "Train")


@pytest.mark.parametrize("test_folder", ["val", "valid"])
def test_a_test_set_may_have_other_names(tmp_path, test_folder):
    source = tree(tmp_path, parts=("train", test_folder))
    own = read_own(source)
    assert len(own.test) == 10 and own.ignored == {}


def test_folders_and_arrays_that_are_not_used_are_named(tmp_path, capsys):
    source = tree(tmp_path / "source", parts=("train", "val", "test", "extra"), count=2)
    (source / ".git").mkdir()
    prepare.main(["folder", "--source", str(source), "--out", str(tmp_path / "x"), "--jobs", "1"])
    assert "ignored folders besides train and test (2): extra, val\n" in capsys.readouterr().out
    parts = {f"{part}_{kind}" for part in ("train", "val", "test") for kind in ("images", "labels")}
    arrays = {name: PIXELS if name.endswith("images") else LABELS for name in sorted(parts)}
    own = read_own(save(tmp_path / "a.npz", **arrays, class_names=np.array(["a", "b", "c"])))
    assert own.ignored == {"arrays that are not used": ["val_images", "val_labels"]}
    assert own.class_names == ("a", "b", "c") and len(own.test) == len(LABELS)
    names = np.array([f"{number}.png" for number in range(12)], object)  # pickled
    own = read_own(save(tmp_path / "b.npz", images=PIXELS, labels=LABELS, files=names))
    assert own.ignored == {"arrays that are not used": ["files"]}


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


PIXELS = random_pixels(12, size=40)
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    "images, labels",
    [
        (PIXELS, LABELS),
        (PIXELS, LABELS.astype(np.uint8)[:, None]),
        (PIXELS.transpose(0, 3, 1, 2), LABELS),
        (PIXELS.astype(np.uint16) << 8, LABELS),
        (np.concatenate([PIXELS, np.full_like(PIXELS[..., :1], 255)], axis=3), LABELS),
    ],
)
def test_arrays_become_a_data_set(tmp_path, images, labels):
    own = read_own(save(tmp_path / "a.npz", images=images, labels=labels), test_share=0.25)
    assert own.class_names == ("0", "1", "2")
    assert (len(own.train), len(own.test)) == (9, 3)
    found = {image.tobytes() for part in (own.train, own.test) for image in part.images}
    assert found == {image.tobytes() for image in PIXELS}
    for part in (own.train, own.test):
        for image, label in zip(part.images, part.labels):
            assert (PIXELS[label == LABELS] == image).all((1, 2, 3)).any()


def test_arrays_of_two_sets_grey_and_named(tmp_path):
    grey = PIXELS[..., 0]
    names = np.array(["a", "b", "c"])
    own = read_own(
        save(
            tmp_path / "a.npz",
            x_train=grey,
            y_train=LABELS,
            x_test=grey[:3, ..., None],
            y_test=LABELS[:3],
            class_names=names,
        )
    )
    assert own.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(own.train.images, np.repeat(grey[..., None], 3, 3))
    assert len(own.test) == 3
    words = read_own(save(tmp_path / "b.npz", images=grey, labels=names[LABELS]), size=28)
    assert words.class_names == ("a", "b", "c") and words.train.images.shape[1:] == (28, 28, 3)


def test_names_and_labels_may_be_bytes(tmp_path):
    names = np.array(["ä", "b", "c"])
    code = np.char.encode(names, "utf-8")
    for number, arrays in enumerate(
        (
            {"labels": LABELS, "class_names": code},
            {"labels": code[LABELS]},
            {"labels": names[LABELS]},
        )
    ):
        own = read_own(save(tmp_path / f"{number}.npz", images=PIXELS, **arrays))
        assert sorted(own.class_names) == sorted(names)
        assert own.class_names[own.train.labels[0]] in names


@pytest.mark.parametrize(
    "names, message",
    [
        (np.array(["a", "b", "a"]), "class_names has 'a' more than once"),
        (np.array(["a", "b", " "]), "a class has an empty name"),
        (np.array("abc"), r"class_names has the shape \(\)"),
        (np.array([["a", "b", "c"]]), r"class_names has the shape \(1, 3\)"),
        (np.array([b"a", b"b", b"\xff"]), "class_names has bytes that are not UTF-8"),
    ],
)
def test_impossible_names_of_classes_are_refused(tmp_path, names, message):
    arrays = {"images": PIXELS, "labels": LABELS, "class_names": names}
    with pytest.raises(InputError, match=message):
        read_own(save(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": PIXELS}, "has arrays images, not images and labels"),
        ({"images": PIXELS / 255, "labels": LABELS}, "images must be uint8"),
        ({"images": PIXELS.astype(np.uint16), "labels": LABELS}, r"no value is above \d+: scale"),
        ({"images": PIXELS.astype(np.uint16) << 4, "labels": LABELS}, r"no value is above 4\d{3}:"),
        ({"images": PIXELS, "labels": LABELS[:5]}, "12 images and 5 labels"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, "has x_test, but not y_test"),
        ({"x_train": PIXELS, "y_train": LABELS, "y_test": LABELS}, "has y_test, but not x_test"),
        (
            {
                "images": PIXELS,
                "labels": np.array(["ant", "bee", "cow"])[LABELS],
                "classes": np.array(["ant", "bee", "crow"]),
            },
            "labels has 'cow', which is not a class; did you mean crow?",
        ),
        ({"images": PIXELS, "labels": LABELS - 1}, "labels outside 0 to"),
        ({"images": PIXELS, "labels": LABELS + 1}, "labels counts the classes from 1: subtract 1"),
        (
            {"images": PIXELS, "labels": LABELS + 1, "classes": np.array(["ant", "bee", "cow"])},
            "labels counts the classes from 1: subtract 1",
        ),
        ({"images": PIXELS, "labels": np.eye(12)}, "not whole numbers"),
        ({"images": PIXELS, "labels": LABELS * 2}, "class '1' has no images to train on"),
        ({"images": PIXELS, "labels": LABELS + 10**9}, "has 100000000. among 12 labels"),
        ({"images": PIXELS, "labels": np.array([{}] * 12)}, "labels: it has Python objects: save"),
        ({"images": PIXELS, "labels": np.array(["a", "", "b"] * 4)}, "a class has an empty name"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_own(save(tmp_path / "a.npz", **arrays))


def write_npz(path, encrypted=False, method=0, shape=(12,)):
    """An .npz whose first file says so of itself; its files have no contents."""
    header = io.BytesIO()
    form = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, form)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", header.getvalue())
        file.writestr("labels.npy", header.getvalue())
    data = bytearray(path.read_bytes())
    for start, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # flags, then the compression
        data[data.find(start) + place] |= encrypted
        data[data.find(start) + place + 2] = method
    path.write_bytes(data)


@pytest.mark.parametrize(
    "how", [{"encrypted": True}, {"method": 9}, {"shape": (10**17,)}, {"shape": (10**20,)}, {}]
)
def test_an_npz_that_cannot_be_read_is_refused(tmp_path, how):
    write_npz(tmp_path / "a.npz", **how)
    with pytest.raises(InputError, match="is not an .npz file of arrays"):
        read_own(tmp_path / "a.npz")


def test_other_sources_are_refused(tmp_path, capsys):
    source = tree(tmp_path / "source", parts=(".",), count=2)
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 nothing")
    out = tmp_path / "data" / "x"
    for flags, message in (
        (["--source", tmp_path / "none"], "does not exist"),
        (["--source", tmp_path / "x.npz"], "not an .npz file of arrays"),
        (["--source", source, "--size", "20"], "--size must be 28 to 96"),
        (["--source", source, "--test-share", "1"], "--test-share must lie between"),
        (["--source", source, "--jobs", "0"], "--jobs must be a whole number of at least 1"),
        (["--source", source, "--split-seed", "-1"], "--split-seed must be 0 to 4294967295"),
        (["--source", source, "--split-seed", "4294967296"], "--split-seed must be 0 to"),
        ([], "folder needs --source"),
    ):
        status, err = refused(capsys, "folder", *flags, "--out", out, main=prepare.main)
        assert (status, message in err) == (2, True), err
        assert not out.exists()
    status, err = refused(capsys, "folder", "--source", source, main=prepare.main)
    assert "needs --out data/NAME" in err
    for nameless in ("/", f"{tmp_path}/x/.."):
        bad = ["folder", "--source", source, "--out", nameless]
        assert "ends without a name" in refused(capsys, *bad, main=prepare.main)[1]
    bad = ["folder", "--source", source, "--out", tmp_path / "cifar10"]
    assert "name of another data set" in refused(capsys, *bad, main=prepare.main)[1]
    assert (
        "--test-share is for folder"
        in refused(capsys, "digits", "--test-share", "0.1", main=prepare.main)[1]
    )


def test_the_command_that_trains_is_quoted_and_finds_the_folder(tmp_path, capsys, monkeypatch):
    source, out = tree(tmp_path / "source"), tmp_path / "my flowers"
    prepare.main(["folder", "--source", str(source), "--out", str(out), "--jobs", "1"])
    assert f"--dataset '{out}'\n" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    prepare.main(["folder", "--source", str(source), "--out", "flowers", "--jobs", "1"])
    assert "--dataset ./flowers\n" in capsys.readouterr().out
    assert locate("./flowers")[0].name == "flowers"


def test_a_damaged_description_is_refused(tmp_path):
    spec = describe(read_own(save(tmp_path / "a.npz", images=PIXELS, labels=LABELS)), "mine")
    write_spec(spec, tmp_path)
    assert read_spec(tmp_path) == spec
    path = tmp_path / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # the byte order mark of an editor
    assert read_spec(tmp_path) == spec
    assert read_spec(tmp_path / "none") is None
    for changes in (
        {"size": 5},
        {"std": (1.0, 0.0, 1.0)},
        {"class_names": ("a", "a")},
        {"mean": (float("nan"),) * 3},
        {"name": "a/b"},
    ):
        write_spec(replace(spec, **changes), tmp_path)
        with pytest.raises(InputError, match=r"dataset.json is damaged .*prepare the data set"):
            read_spec(tmp_path)
    for changes in (
        {"format": 2},
        {"classes": "ab"},
        {"size": 32.0},
        {"train_count": "4"},
        {"mean": "123"},
    ):
        path.write_text(json.dumps({**json.loads(json.dumps(spec.to_json())), **changes}))
        with pytest.raises(InputError, match="is damaged"):
            read_spec(tmp_path)
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is damaged"):
        read_spec(tmp_path)


def test_a_set_of_one_colour_can_be_normalised(tmp_path):
    path = save(
        tmp_path / "a.npz", images=np.full((8, 30, 30), 7, np.uint8), labels=np.zeros(8, int)
    )
    assert describe(read_own(path), "x").std == (1.0, 1.0, 1.0)


def answers(classifier, image):
    """The picture as the network sees it, and its logits."""
    picture = classifier.read(image)
    return picture, classifier.predict(picture[None])


def test_every_program_takes_it(tmp_path, capsys, monkeypatch):
    source = tree(tmp_path / "source")
    out = tmp_path / "data" / "insects"
    prepare.prepare_own(source, out, size=28, jobs=1)
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "1", "--batch-size", "5"]
    machine = ["--log-dir", str(tmp_path), "--gpus", "cpu", "--quiet"]
    train_cifar.main([*flags, "--dataset", str(out), *machine])
    run = tmp_path / "insects" / "plain_d5w1" / "run1"
    config = json.loads((run / "config.json").read_text())
    assert (config["dataset"], config["data_dir"]) == ("insects", str(out))
    assert config["data_shape"] == 28
    evaluate.main([str(run), "--classes", "--gpus", "cpu"])
    assert "ant" in capsys.readouterr().out
    image = source / "test" / "bee" / "0.jpg"
    predict.main([str(image), "--run", str(run), "--gpus", "cpu"])
    assert "bee" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    export.main([str(run), "--format", "symbol", "--out", str(tmp_path / "exported")])
    facts = json.loads((tmp_path / "exported" / "network.symbol.json").read_text())
    assert facts["input"]["shape"] == ["batch", 3, 28, 28]
    assert facts["classes"] == ["ant", "bee"]
    exported = load_exported(tmp_path / "exported" / "network-symbol.json")
    for ours, theirs in zip(*(answers(which, image) for which in (exported, load_run(run, "cpu")))):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    prepare.prepare_own(source, tmp_path / "data" / "others", size=28, jobs=1)
    other = ["--resume", run, "--dataset", tmp_path / "data" / "others"]
    status, err = refused(capsys, *other, main=train_cifar.main)
    assert status == 2 and "was started with another --dataset" in err
    train_cifar.main(["--resume", str(run), "--dataset", str(out), "--gpus", "cpu"])
    moved = tmp_path / "elsewhere"
    os.rename(out, moved)
    train_cifar.main(["--resume", str(run), "--data-dir", str(moved), "--gpus", "cpu"])
    status, err = refused(
        capsys, *flags, "--data-dir", moved, "--log-dir", tmp_path, main=train_cifar.main
    )
    assert (status, "--dataset must be insects, not cifar10" in err) == (2, True), err


def test_a_run_knows_its_classes_whatever_becomes_of_the_images(tmp_path, capsys):
    source, out = tree(tmp_path / "source"), tmp_path / "insects"
    prepare.prepare_own(source, out, size=28, jobs=1)
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "1", "--batch-size", "5"]
    train_cifar.main([*flags, "--dataset", str(out), "--log-dir", str(tmp_path / "s")])
    run, moved = tmp_path / "s" / "insects" / "plain_d5w1" / "run1", tmp_path / "elsewhere"
    os.rename(out, moved)
    capsys.readouterr()
    picture = [str(source / "test" / "bee" / "0.jpg"), "--run", str(run), "--gpus", "cpu"]
    predict.main(picture)
    said = capsys.readouterr().out
    assert "ant" in said and "bee" in said
    status, err = refused(capsys, run, "--gpus", "cpu", main=evaluate.main)
    assert status == 2 and "test.rec: make it with" in err and "with --data-dir" in err
    evaluate.main([str(run), "--gpus", "cpu", "--data-dir", str(moved)])
    assert "on insects" in capsys.readouterr().out
    prepare.prepare_own(tree(tmp_path / "new", classes=("bee", "wasp")), out, size=28, jobs=1)
    status, err = refused(capsys, run, "--gpus", "cpu", main=evaluate.main)
    assert status == 2 and "has images of other classes than the run" in err
    predict.main(picture)
    assert "wasp" not in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    described = config.pop("described")
    (run / "config.json").write_text(json.dumps(config))  # as of earlier versions
    predict.main(picture)
    assert "wasp" in capsys.readouterr().out
    config["described"] = {**described, "std": [0, 0, 0]}
    (run / "config.json").write_text(json.dumps(config))
    err = refused(capsys, *picture, main=predict.main)[1]
    assert "config.json is damaged: described: its std is not above 0" in err


def test_images_that_were_prepared_again_are_noticed(tmp_path, capsys):
    """Training images may be among the new test images."""
    source, out = tree(tmp_path / "source", parts=(".",)), tmp_path / "insects"
    prepare.prepare_own(source, out, size=28, jobs=1)
    flags = ["--network", "resnet", "--depth", "8", "--num-epochs", "1", "--batch-size", "5"]
    train_cifar.main([*flags, "--dataset", str(out), "--log-dir", str(tmp_path / "s")])
    evaluated = [str(tmp_path / "s" / "insects" / "resnet_d8w1" / "run1"), "--gpus", "cpu"]
    evaluate.main(evaluated)
    assert "note" not in capsys.readouterr().err
    prepare.prepare_own(source, out, size=28, split_seed=3, jobs=1)
    for which in ("test", "train"):
        evaluate.main([*evaluated, "--images", which])
        assert f"note: the {which} images in {out} are not those of" in capsys.readouterr().err
    analyze.main(["lesion", *evaluated, "--draws", "1"])
    assert f"note: the test images in {out} are not those of" in capsys.readouterr().err
    prepare.prepare_own(source, out, size=30, jobs=1)
    status, err = refused(capsys, *evaluated, main=evaluate.main)
    assert status == 2 and "has images of other sizes than the run" in err


def test_a_renamed_folder_is_found_by_its_new_name(tmp_path, monkeypatch):
    monkeypatch.setattr(spec, "project_folder", lambda: tmp_path)
    source = save(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    _, made = prepare.prepare_own(source, tmp_path / "data" / "insects", jobs=1)
    os.rename(tmp_path / "data" / "insects", tmp_path / "data" / "beetles")
    assert locate("beetles") == (made, tmp_path / "data" / "beetles")
    with pytest.raises(InputError, match="there is no data set 'insects'"):
        locate("insects")


def test_an_unknown_data_set_is_one_line(tmp_path, capsys):
    status, err = refused(capsys, "--dataset", "cifar1O", main=train_cifar.main)
    assert status == 2 and "did you mean cifar10" in err and "data.prepare folder" in err


def test_an_image_larger_than_the_size_is_averaged(tmp_path):
    big = random_pixels(4, size=320)
    own = read_own(save(tmp_path / "a.npz", images=big, labels=np.arange(4) % 2))
    assert own.train.images.shape[1:] == (32, 32, 3)
    assert np.abs(own.train.images.astype(float) - 127.5).max() < 60
    assert Image.fromarray(own.train.images[0]).size == (32, 32)


@pytest.mark.parametrize("network, depth", [("fractal", 10), ("cross_imagenet", 26)])
def test_images_that_are_too_small_for_a_network_name_the_size(tmp_path, capsys, network, depth):
    out = tmp_path / "data" / "insects"
    prepare.prepare_own(tree(tmp_path / "source"), out, size=28, jobs=1)
    flags = ["--dataset", out, "--network", network, "--depth", depth, "--log-dir", tmp_path]
    status, err = refused(capsys, *flags, "--gpus", "cpu", main=train_cifar.main)
    assert status == 2 and f"images of 28 pixels are too small for {network}" in err
    assert "data.prepare folder --size 32 makes" in err
