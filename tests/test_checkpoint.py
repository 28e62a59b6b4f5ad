import json
import os
import shutil

import mxnet as mx
import numpy as np
import pytest

from command import InputError
from training import checkpoint

VALUES = {"conv0_weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([1])}
MOMENTA = {"b": np.float32([0.5])}
ROWS = [{"epoch": 1, "lr": 0.1}]
SAVED = (VALUES, MOMENTA, ROWS)


def test_arrays_come_back_as_they_were(tmp_path):
    path = checkpoint.save(tmp_path, 7, *SAVED)
    assert path.name == "epoch0007"
    assert sorted(p.name for p in path.iterdir()) == [
        "net.params",
        "optimizer.params",
        "state.json",
    ]
    *arrays, rows = checkpoint.load(path)
    assert rows == ROWS
    for ours, theirs in zip(arrays, (VALUES, MOMENTA)):
        assert ours.keys() == theirs.keys()
        assert all((ours[k] == theirs[k]).all() and ours[k].dtype == "f" for k in theirs)


def test_no_momenta_is_a_state_too(tmp_path):
    assert checkpoint.load(checkpoint.save(tmp_path, 1, VALUES, {}, []))[1] == {}


def test_newest_is_the_highest_epoch(tmp_path):
    for epoch in (9, 10000, 200):
        checkpoint.save(tmp_path, epoch, *SAVED)
    assert checkpoint.parse_epoch(checkpoint.latest(tmp_path)) == 10000
    assert checkpoint.latest(tmp_path / "nothing") is None


@pytest.mark.parametrize("name", ["net.params", "optimizer.params", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "longer"])
def test_a_damaged_checkpoint_is_passed_over_and_never_read(tmp_path, capsys, name, damage):
    good = checkpoint.save(tmp_path, 1, *SAVED)
    file = checkpoint.save(tmp_path, 2, *SAVED) / name
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 0x81
        file.write_bytes(content)
    else:
        new = {"empty": b"", "cut": content[:-3], "longer": content + b"}x"}[damage]
        file.write_bytes(new)
    with pytest.raises(InputError, match=name):
        checkpoint.load(file.parent)
    assert checkpoint.latest(tmp_path) == good
    note = f"note: {file} is missing or damaged: epoch0001 is used instead\n"
    assert capsys.readouterr().err == note
    shutil.rmtree(good)
    with pytest.raises(InputError, match="no checkpoint can be used .*: start a new run"):
        checkpoint.latest(tmp_path)


def test_a_renamed_checkpoint_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 1, *SAVED)
    path.rename(tmp_path / "epoch0002")
    with pytest.raises(InputError, match="is of epoch 1"):
        checkpoint.load(tmp_path / "epoch0002")


def test_what_cannot_be_written_leaves_the_others_alone(tmp_path, monkeypatch):
    good = checkpoint.save(tmp_path, 1, *SAVED)

    def full(path, arrays):
        raise mx.MXNetError("Check failed: FileStream.Write incomplete")

    monkeypatch.setattr(mx.nd, "save", full)
    with pytest.raises(OSError, match="is the disk full"):
        checkpoint.save(tmp_path, 2, *SAVED)
    assert sorted(os.listdir(tmp_path)) == ["epoch0001"]
    assert checkpoint.latest(tmp_path) == good


def test_a_damaged_checkpoint_of_the_same_epoch_is_replaced(tmp_path):
    path = checkpoint.save(tmp_path, 3, *SAVED)
    (path / "net.params").write_bytes(b"")
    checkpoint.save(tmp_path, 3, *SAVED)
    assert checkpoint.latest(tmp_path) == path


def test_one_checkpoint_is_removed_and_nothing_else(tmp_path):
    for epoch in (1, 2):
        checkpoint.save(tmp_path, epoch, *SAVED)
    (tmp_path / "epoch0001-best").mkdir()  # somebody's own
    checkpoint.remove(tmp_path, 1)
    checkpoint.remove(tmp_path, 7)
    assert sorted(os.listdir(tmp_path)) == ["epoch0001-best", "epoch0002"]
    assert checkpoint.latest(tmp_path).name == "epoch0002"


def test_what_a_killed_process_left_is_swept(tmp_path):
    checkpoint.save(tmp_path, 1, *SAVED)
    (tmp_path / ".epoch0002-123").mkdir()
    checkpoint.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["epoch0001"]


@pytest.mark.parametrize("change", [{"epoch": 1.5}, {"rows": []}, {"sha256": {}}, {"sha256": 3}])
def test_a_changed_state_is_refused(tmp_path, change):
    file = checkpoint.save(tmp_path, 1, *SAVED) / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InputError, match="state.json"):
        checkpoint.check(file.parent)


def test_the_folder_of_a_run_that_vanished_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoints"):
        checkpoint.save(tmp_path / "run1" / checkpoint.FOLDER, 1, *SAVED)
    assert os.listdir(tmp_path) == []
