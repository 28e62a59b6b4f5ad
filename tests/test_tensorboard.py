import struct
import sys

import pytest

import train_cifar
from command import InputError
from tests.test_run_folder import ROW
from tests.test_scripts import refused, train
from training import tensorboard
from training.run_folder import read_config
from training.run_log import read_log

pytestmark = pytest.mark.medium


def events(folder):
    """``[(tag, step, value)]`` of every event file in a run's folder."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in (folder / "tensorboard").iterdir():
        content, place = path.read_bytes(), 0
        while place < len(content):  # length, its checksum, the event, its checksum
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            place += 12 + length + 4
    return found


def test_every_figure_of_an_epoch_is_there_once(tmp_path):
    parts = {"column_errors": [30.0, 20.0], "column_losses": [3.0, 2.0], "member_errors": [9.0]}
    first = {"epoch": 1, **ROW, **parts, "test_top5_error": 40.0}
    board = tensorboard.Board(tmp_path, [first])
    board.write({"epoch": 2, **ROW})
    found = events(tmp_path)  # before it is closed, as of a run that is killed
    for row in (first, {"epoch": 2, **ROW}):
        expected = {tag: pytest.approx(value) for tag, value in tensorboard.scalars(row).items()}
        assert {tag: value for tag, step, value in found if step == row["epoch"]} == expected
    assert len(found) == len(tensorboard.scalars(first)) + len(tensorboard.scalars(ROW))
    assert tensorboard.scalars(first) == {
        "loss/train": 1.0,
        "loss/test": 2.0,
        "error/train": 50.0,
        "error/test": 60.0,
        "top5_error/test": 40.0,
        "lr": 0.1,
        "images_per_second": 4.0,
        "column_error/0": 30.0,
        "column_error/1": 20.0,
        "column_loss/0": 3.0,
        "column_loss/1": 2.0,
        "member_error/0": 9.0,
    }
    held_out = tensorboard.scalars(ROW, "held-out")
    assert (held_out["error/held-out"], held_out["loss/held-out"]) == (60.0, 2.0)
    assert not [tag for tag in held_out if "test" in tag]
    board.close()
    tensorboard.Board(tmp_path, [first]).close()
    assert {step for _, step, _ in events(tmp_path)} == {1}
    assert len(events(tmp_path)) == len(tensorboard.scalars(first))


def test_a_run_writes_its_log_and_a_resumed_one_no_epoch_twice(data, tmp_path, capsys):
    train(data, tmp_path, "--num-epochs", "2", "--tensorboard")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    assert str(folder / "tensorboard") in capsys.readouterr().out
    assert read_config(folder)["machine"]["tensorboard"] is True

    def check():
        rows, found = read_log(folder), events(folder)
        for tag, name in (("loss/train", "train_loss"), ("error/test", "test_error"), ("lr", "lr")):
            expected = [(row["epoch"], pytest.approx(row[name])) for row in rows]
            assert [(step, value) for t, step, value in found if t == tag] == expected

    check()
    (folder / "log.jsonl").write_text("")  # as if killed before the row was written
    train_cifar.main(["--resume", str(folder)])
    assert len(read_log(folder)) == 2
    check()


def test_without_the_library_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match="pip install tensorboardX"):
        tensorboard.require()
    flags = ["--network", "plain", "--depth", "5", "--tensorboard", "--data-dir", tmp_path]
    status, err = refused(capsys, *flags, "--log-dir", tmp_path / "snapshot")
    assert (status, "pip install tensorboardX" in err) == (2, True)
    assert not (tmp_path / "snapshot").exists()
