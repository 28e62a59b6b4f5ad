"""What a file system lacks is done without, and said once."""

import errno
import mmap
import os

import numpy as np
import pytest

import filesystem
import train_cifar
from command import InputError
from data import packing
from data.archives import Part
from data.images import read_file
from data.recordio import read_records
from tests.record_files import write_random_rec
from training import checkpoint, evaluation, run_folder, run_log


def lacking(number):
    """A system call that the file system does not know."""

    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture(autouse=True)
def nothing_said():
    filesystem._say.cache_clear()


def notes(capfd):
    return capfd.readouterr().err.splitlines()


def test_a_lock_is_held_by_one(tmp_path):
    path = tmp_path / "lock"
    with filesystem.locked(path, "it"):
        assert filesystem.is_locked(path)
        with pytest.raises(InputError, match="it is in use by another process"):
            filesystem.locked(path, "it").__enter__()
    assert path.exists() and not filesystem.is_locked(path)
    with filesystem.locked(path, "it", remove=True):
        pass
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_locks_a_run_is_written_all_the_same(tmp_path, monkeypatch, capfd, number):
    monkeypatch.setattr(filesystem.fcntl, "flock", lacking(number))
    for _ in range(2):
        with run_folder.locked(tmp_path):
            assert not run_folder.is_locked(tmp_path)
    (note,) = notes(capfd)
    assert note.startswith(f"note: the file system of {tmp_path} has no locks")


def test_another_fault_of_locking_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem.fcntl, "flock", lacking(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), run_folder.locked(tmp_path):
        pass


@pytest.mark.parametrize("private", [True, False])
def test_without_shared_maps_a_file_is_read(tmp_path, monkeypatch, capfd, private):
    write_random_rec(tmp_path / "a.rec", 5)
    expected = list(read_records(tmp_path / "a.rec"))
    real = mmap.mmap

    def mapping(number, length, access):
        if access == mmap.ACCESS_READ or not private:
            raise OSError(errno.ENODEV, "No such device")
        return real(number, length, access=access)

    monkeypatch.setattr(filesystem.mmap, "mmap", mapping)
    assert list(read_records(tmp_path / "a.rec")) == expected
    assert list(read_records(tmp_path / "a.rec")) == expected
    assert len(notes(capfd)) == (0 if private else 1)


def test_without_flushing_and_renaming_of_folders_checkpoints_are_whole(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(os, "fsync", lacking(errno.EINVAL))
    monkeypatch.setattr(os, "rename", lacking(errno.ENOTSUP))
    rows = [{"epoch": 1}]
    path = checkpoint.save(tmp_path / "checkpoints", 1, {}, {}, rows)
    assert checkpoint.load(path) == ({}, {}, rows)
    assert os.listdir(tmp_path / "checkpoints") == ["epoch0001"]
    filesystem.write_text(tmp_path / "x", "whole")
    assert (tmp_path / "x").read_text() == "whole"
    said = notes(capfd)
    assert len(said) == len(set(said)) and any("renaming of folders" in line for line in said)


def test_a_full_disk_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lacking(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        filesystem.write_text(tmp_path / "x", "text")
    assert not (tmp_path / "x").exists()


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    filesystem.write_text(path, '{"a": 1}')
    with pytest.raises(UnicodeEncodeError):
        filesystem.write_text(path, "\ud800")
    assert path.read_text() == '{"a": 1}'
    assert os.listdir(tmp_path) == ["x.json"]


def test_errors_of_the_system_name_the_file(tmp_path, monkeypatch):
    for path in ("/dev/full", "/proc/self/mem"):
        if not os.path.exists(path):
            pytest.skip("the system has no files that cannot be written or read")
    with pytest.raises(OSError, match="Input/output error: '/proc/self/mem'"):
        read_file("/proc/self/mem")
    (tmp_path / f".x-{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/x'"):
        filesystem.write_bytes(tmp_path / "x", b"text")
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    part = Part(pixels, np.zeros(1, np.int64))
    (tmp_path / "train.rec").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/train.rec'"):
        packing._write(tmp_path / "train.rec", [part], [0], 1)


def test_names_that_are_not_utf_8_are_written_and_read(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    run_folder.write_config(folder, {"data_dir": str(folder)})
    assert run_folder.read_config(folder) == {"data_dir": str(folder)}
    log = run_log.RunLog(folder, lambda text: None)
    log.info(f"in {folder}")
    assert os.fsencode(folder) in (folder / "log.txt").read_bytes()
    (folder / "config.json").write_text('{"data_dir": "\\ud83d"}')  # half a character
    with pytest.raises(InputError, match="is damaged"):
        run_folder.read_config(folder)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a#b", b"a?b", b"\xe6\x97\xa5 1"])
def test_a_run_in_folders_of_any_name_is_trained_and_resumed(tmp_path, name):
    data, logs = tmp_path / os.fsdecode(b"data-" + name), tmp_path / os.fsdecode(b"logs-" + name)
    data.mkdir()
    (tmp_path / "made").mkdir()
    for file in ("train.rec", "test.rec"):
        write_random_rec(tmp_path / "made" / file, 8, classes=10)
    for file in (tmp_path / "made").iterdir():
        file.rename(data / file.name)
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "1", "--batch-size", "8"]
    flags += ["--data-dir", str(data), "--log-dir", str(logs), "--quiet", "--gpus", "cpu"]
    train_cifar.main(flags)
    (run,) = logs.glob("*/*/run1")
    assert run_folder.read_config(run)["data_dir"] == str(data)
    assert evaluation.restore(run, "cpu").row["epoch"] == 1
    train_cifar.main([*flags, "--resume"])
    assert len(list(logs.glob("*/*/run*"))) == 1
