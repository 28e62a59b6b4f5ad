"""From official files to .rec files: lossless, in a fixed order, whole or not at all."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

import train_cifar
from command import InputError
from data import packing as module
from data import prepare_dataset as prepare
from data.checks import check
from data.packing import FILES
from data.prepare import main
from data.recordio import read_records
from data.records import load
from data.spec import SVHN, get_spec
from tests.archive_server import serve
from tests.record_files import random_pixels, write_random_rec
from tests.test_archives import (
    cifar10_binary,
    cifar10_python,
    cifar100_binary,
    cifar100_python,
    labels_of,
    svhn,
    write_files,
    write_tar,
)

pytestmark = pytest.mark.medium

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def refused(out, *arguments):
    """The message with which ``prepare`` refuses; ``out`` must be as it was."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        prepare(*arguments, out=out)
    assert sorted(out.parent.rglob("*")) == before
    return str(error.value)


def ids(path):
    """The id of each record, its image's place in the original files."""
    reader = mx.recordio.MXRecordIO(str(path), "r")
    found = []
    while True:
        record = reader.read()
        if record is None:
            return found
        found.append(mx.recordio.unpack(record)[0].id)


@pytest.mark.parametrize(
    "dataset, make, counts",
    [
        ("cifar10", cifar10_python, (20, 4)),
        ("cifar10", cifar10_binary, (20, 4)),
        ("cifar100", cifar100_python, (9, 4)),
        ("cifar100", cifar100_binary, (9, 4)),
    ],
)
def test_cifar_comes_out_as_it_went_in(tmp_path, dataset, make, counts):
    source = write_tar(tmp_path / "a.tar.gz", make())
    assert prepare(dataset, source, tmp_path / "out", partial=True) == counts
    assert sorted(os.listdir(tmp_path / "out")) == sorted(FILES)
    classes = get_spec(dataset).classes
    sizes = [4, 3, 5, 2, 6, 4] if dataset == "cifar10" else [9, 4]
    pixels = [random_pixels(size, seed=seed) for seed, size in enumerate(sizes)]
    labels = [labels_of(size, classes, seed) for seed, size in enumerate(sizes)]
    test = load(tmp_path / "out" / "test.rec", classes)
    np.testing.assert_array_equal(test.pixels.transpose(0, 2, 3, 1), pixels[-1])
    assert test.labels.tolist() == labels[-1]
    train = load(tmp_path / "out" / "train.rec", classes)
    order = ids(tmp_path / "out" / "train.rec")
    assert sorted(order) == list(range(counts[0])) and order != sorted(order)
    np.testing.assert_array_equal(
        train.pixels.transpose(0, 2, 3, 1), np.concatenate(pixels[:-1])[order]
    )
    assert train.labels.tolist() == np.concatenate(labels[:-1])[order].tolist()


def test_svhn_trains_on_train_and_extra(tmp_path):
    source = write_files(tmp_path / "in", svhn())
    assert prepare("svhn", source, tmp_path / "out", partial=True) == (20, 11)
    train = load(tmp_path / "out" / "train.rec", 10)
    pixels = np.concatenate([random_pixels(12, seed=0), random_pixels(8, seed=1)])
    labels = np.concatenate([1 + np.arange(12), 1 + np.arange(8)]) % 10
    order = ids(tmp_path / "out" / "train.rec")
    np.testing.assert_array_equal(train.pixels.transpose(0, 2, 3, 1), pixels[order])
    assert train.labels.tolist() == labels[order].tolist()


def test_python_and_binary_version_make_the_same_files(tmp_path):
    for name, make in (("python", cifar10_python), ("binary", cifar10_binary)):
        source = write_files(tmp_path / name, make())
        prepare("cifar10", source, tmp_path / f"{name}_out", partial=True)
    for name in FILES:
        first, second = (tmp_path / f"{kind}_out" / name for kind in ("python", "binary"))
        assert first.read_bytes() == second.read_bytes()


def test_digits(tmp_path):
    from sklearn.datasets import load_digits

    assert prepare("digits", out=tmp_path / "a") == (1437, 360)
    train, test = load(tmp_path / "a" / "train.rec", 10), load(tmp_path / "a" / "test.rec", 10)
    total = np.bincount(train.labels) + np.bincount(test.labels)
    assert total.tolist() == np.bincount(load_digits().target).tolist()
    assert (abs(np.bincount(test.labels) - total / 5) < 1).all()
    assert (train.pixels[:, 0] == train.pixels[:, 1]).all()
    assert len(np.unique(np.concatenate([train.pixels, test.pixels]), axis=0)) > 1790
    # The same on every machine: the first labels, and a sum of the pixels.
    assert train.labels[:8].tolist() == [4, 8, 3, 7, 8, 9, 7, 3]
    assert test.labels[:8].tolist() == [3, 7, 3, 9, 0, 8, 7, 0]
    assert int(train.pixels.sum(dtype=np.int64)) == 224_971_134
    prepare("digits", out=tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_mxnet_reads_what_was_written(tmp_path):
    prepare("cifar10", write_files(tmp_path / "in", cifar10_python()), tmp_path, partial=True)
    images = load(tmp_path / "train.rec", 10)
    rec, idx = str(tmp_path / "train.rec"), str(tmp_path / "train.idx")
    iterator = mx.io.ImageRecordIter(
        path_imgrec=rec, path_imgidx=idx, data_shape=(3, 32, 32), batch_size=20, shuffle=False
    )
    batch = next(iterator)
    np.testing.assert_array_equal(batch.data[0].asnumpy(), images.pixels)
    np.testing.assert_array_equal(batch.label[0].asnumpy(), images.labels)
    reader = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    header, _ = mx.recordio.unpack(reader.read_idx(7))
    assert header.label == images.labels[7]


# Counts


def test_other_counts_need_partial(tmp_path):
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    message = refused(tmp_path / "out", "cifar10", source)
    assert f"{source} has 20 training and 4 test images, but cifar10 has 50000 and 10000" in message
    assert "accept this part with partial" in message


def test_official_counts_do_not(tmp_path, monkeypatch):
    small = replace(get_spec("cifar10"), train_count=20, test_count=4)
    monkeypatch.setattr(module, "get_spec", lambda name: small)
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    assert prepare("cifar10", source, tmp_path / "out") == (20, 4)
    fewer = write_tar(tmp_path / "b.tar.gz", cifar10_python((4, 3, 5, 2, 6, 3)))
    assert "20 training and 3 test images" in refused(tmp_path / "other", "cifar10", fewer)


def test_a_set_without_images(tmp_path):
    source = write_tar(tmp_path / "a.tar.gz", cifar10_binary((0, 0, 0, 0, 0, 4)))
    with pytest.raises(InputError, match="0 training and 4 test images: at least one of each"):
        prepare("cifar10", source, tmp_path / "out", partial=True)
    assert not (tmp_path / "out").exists()


# Nothing half-written


def test_bad_sources_leave_nothing_behind(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    out = tmp_path / "several" / "new" / "folders"
    assert "does not exist" in refused(out, "cifar10", tmp_path / "none")
    assert "holds cifar10, not cifar100" in refused(out, "cifar100", path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "truncated" in refused(out, "cifar10", path)
    message = "must not be mnist, the name of another data set"
    assert message in refused(tmp_path / "mnist", "fashion-mnist", tmp_path)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("No space left"), MemoryError])
def test_failures_while_writing_leave_nothing_behind(tmp_path, monkeypatch, error, existing):
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    out = tmp_path / "new" / "out"
    if existing:
        prepare("cifar10", source, out, partial=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    encode, calls = module.encode, []

    def failing(pixels):
        calls.append(1)
        if len(calls) == 22:  # in the test set
            raise error
        return encode(pixels)

    monkeypatch.setattr(module, "encode", failing)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        prepare("cifar10", source, out, partial=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert out.exists() == (tmp_path / "new").exists() == existing


def test_a_file_that_is_not_whole_is_not_kept(tmp_path, monkeypatch):
    def shortened(path, classes):
        path.write_bytes(path.read_bytes()[:-100])
        return check(path, classes)

    monkeypatch.setattr(module, "check", shortened)
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    with pytest.raises(InputError, match="cut short"):
        prepare("cifar10", source, tmp_path / "out", partial=True)
    assert not (tmp_path / "out").exists()


def test_preparing_again_replaces_the_files(tmp_path):
    first = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    second = write_tar(tmp_path / "b.tar.gz", cifar10_python((1, 1, 1, 1, 1, 1)))
    prepare("cifar10", first, tmp_path / "out", partial=True)
    (tmp_path / "out" / ".preparing-killed").mkdir()
    (tmp_path / "out" / ".preparing-killed" / "train.rec").write_bytes(b"half of it")
    prepare("cifar10", second, tmp_path / "out", partial=True)
    assert len(check(tmp_path / "out" / "train.rec")) == 5
    assert sorted(os.listdir(tmp_path / "out")) == sorted(FILES)


def test_outputs_that_cannot_be(tmp_path):
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    with pytest.raises(InputError, match="is a file"):
        prepare("cifar10", source, source, partial=True)
    (tmp_path / "out" / "test.idx").mkdir(parents=True)
    with pytest.raises(InputError, match="test.idx is a folder"):
        prepare("cifar10", source, tmp_path / "out", partial=True)
    assert os.listdir(tmp_path / "out") == ["test.idx"]


# Without a source


@pytest.fixture
def online(monkeypatch):
    """A site with a small CIFAR-10 and SVHN in place of the official ones."""
    files = {**svhn(), "cifar-10-python.tar.gz": b""}
    with serve(files) as site:
        yield site, monkeypatch


def official(online, dataset, names, counts):
    site, monkeypatch = online
    spec = replace(
        get_spec(dataset),
        archives=tuple(site.archive(name) for name in names),
        train_count=counts[0],
        test_count=counts[1],
    )
    monkeypatch.setattr(module, "get_spec", lambda name: spec)


def test_download_and_prepare(tmp_path, online):
    site, _ = online
    archive = write_tar(tmp_path / "cifar.tar.gz", cifar10_python())
    site.files["cifar-10-python.tar.gz"] = archive.read_bytes()
    official(online, "cifar10", ["cifar-10-python.tar.gz"], (20, 4))
    assert prepare("cifar10", out=tmp_path / "out") == (20, 4)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(FILES)  # the archive is gone


def test_a_source_is_kept_wherever_it_lies(tmp_path):
    (tmp_path / "download").mkdir()
    source = write_tar(tmp_path / "download" / "cifar-10-python.tar.gz", cifar10_python())
    prepare("cifar10", source, tmp_path, partial=True)
    assert source.exists()


def test_download_of_several_files_that_breaks_off_goes_on(tmp_path, online):
    site, _ = online
    names = [archive.name for archive in SVHN.archives]
    official(online, "svhn", names, (20, 11))
    out = tmp_path / "new" / "out"
    content = site.files.pop("test_32x32.mat")
    with pytest.raises(InputError, match="404"):
        prepare("svhn", out=out)
    assert sorted(os.listdir(out / "download")) == ["extra_32x32.mat", "train_32x32.mat"]
    site.files["test_32x32.mat"] = content
    site.asked.clear()
    assert prepare("svhn", out=out) == (20, 11)
    assert site.asked == [("test_32x32.mat", None)]
    assert sorted(os.listdir(out)) == sorted(FILES)


def test_a_download_that_brings_nothing_leaves_nothing(tmp_path, online):
    site, _ = online
    official(online, "cifar10", ["cifar-10-python.tar.gz"], (20, 4))
    site.files.clear()
    assert "404" in refused(tmp_path / "new" / "out", "cifar10")


# By the training program


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Data sets are looked for in a folder of the test's."""
    monkeypatch.setattr("data.spec.project_folder", lambda: tmp_path)
    return tmp_path / "data"


def test_training_prepares_a_data_set_that_is_not_there(elsewhere, tmp_path, capsys):
    flags = ["--dataset", "digits", "--network", "plain", "--depth", "5", "--num-epochs", "1"]
    flags += ["--log-dir", str(tmp_path / "snapshot"), "--gpus", "cpu", "--batch-size", "250"]
    train_cifar.main(flags)
    said = capsys.readouterr().out
    assert f"digits is not prepared yet: preparing it in {elsewhere / 'digits'}" in said
    assert "digits: 1,437 training and 360 test images" in said
    assert sorted(os.listdir(elsewhere / "digits")) == sorted(FILES)
    assert os.listdir(elsewhere) == ["digits"]
    train_cifar.main([*flags, "--quiet"])
    assert capsys.readouterr().out == ""


def test_records_of_ones_own_without_an_index_are_kept(elsewhere, tmp_path, capsys):
    folder = elsewhere / "digits"
    folder.mkdir(parents=True)
    for name, count in (("train", 20), ("test", 5)):
        write_random_rec(folder / f"{name}.rec", count, classes=10)
        (folder / f"{name}.idx").unlink(missing_ok=True)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flags = ["--dataset", "digits", "--network", "plain", "--depth", "5", "--num-epochs", "1"]
    train_cifar.main([*flags, "--log-dir", str(tmp_path / "s"), "--gpus", "cpu"])
    assert "digits: 20 training images, 5 test images" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_prepared_data_set_may_be_read_only(elsewhere, monkeypatch):
    folder = elsewhere / "digits"
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        write_random_rec(folder / f"{name}.rec", 2, classes=10)

    def read_only(path, *arguments, **how):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "locked", read_only)
    module.ensure_prepared("digits", pytest.fail)
    (folder / "test.rec").unlink()
    with pytest.raises(PermissionError):
        module.ensure_prepared("digits", pytest.fail)


def test_without_a_network_training_says_how_to_prepare_by_hand(
    elsewhere, tmp_path, online, capsys
):
    site, _ = online
    site.files["cifar-10-python.tar.gz"] = bytes(3_000_000)
    official(online, "cifar10", ["cifar-10-python.tar.gz"], (20, 4))
    site.files.clear()
    with pytest.raises(SystemExit) as stop:
        train_cifar.main(["--network", "cross", "--depth", "56", "--log-dir", str(tmp_path / "s")])
    said = capsys.readouterr()
    assert stop.value.code == 2 and said.err.count("\n") == 1
    assert "could not be downloaded" in said.err
    assert "python -m data.prepare cifar10 --source FOLDER" in said.err
    assert f"preparing it in {elsewhere / 'cifar10'}, a download of 3 MB" in said.out
    assert not (tmp_path / "s").exists() and os.listdir(elsewhere) == []


def test_a_named_folder_is_left_as_it_is(elsewhere, tmp_path, capsys):
    where = ["--data-dir", str(tmp_path / "none"), "--log-dir", str(tmp_path / "s")]
    with pytest.raises(SystemExit):
        train_cifar.main(["--dataset", "digits", *where])
    assert "there is no" in capsys.readouterr().err
    assert not elsewhere.exists()


# The command


def test_the_command(tmp_path, capsys):
    source = write_files(tmp_path / "in", cifar100_binary())
    out = tmp_path / "out"
    arguments = ["cifar100", "--source", str(source), "--out", str(out)]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "accept this part with --partial\n" in capsys.readouterr().err
    assert main([*arguments, "--partial"]) == 0
    printed = capsys.readouterr().out
    assert f"cifar100: 9 training and 4 test images, in {out}" in printed
    assert all(name in printed for name in FILES)
    assert all(len(list(read_records(out / name))) for name in ("train.rec", "test.rec"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["cifar1O"], "did you mean cifar10?"),
        (["cifar10", "--partial"], "--partial is for files of your own"),
        (["digits", "--source", "."], "leave --source out"),
        (["cifar10", "--source", "no/such/file"], "no/such/file does not exist"),
        (["cifar10", "--sauce", "x"], "did you mean --source?"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments + ["--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_as_a_program(tmp_path):
    source = write_tar(tmp_path / "a.tar.gz", cifar10_python())
    source.write_bytes(source.read_bytes()[:1000])
    result = subprocess.run(
        [sys.executable, "-m", "data.prepare", "cifar10", "--source", str(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith(f"error: {source} is damaged")
    assert result.stderr.count("\n") == 1
