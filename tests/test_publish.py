"""What is published counts as the run does, and holds nothing of the machine."""

import errno
import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import evaluate
import export
import show_results
import train_cifar
from command import InputError
from results import collect
from tests.test_scripts import refused
from tools import publish
from training.run_folder import find_runs, read_config, write_config
from training.run_record import read_run

pytestmark = pytest.mark.medium

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run that was resumed."""
    folder = tmp_path_factory.mktemp("machine")
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "2", "--quiet"]
    flags += ["--checkpoint-epochs", "1", "--lr-steps", "1/2,3/4", "--batch-size", "20"]
    train_cifar.main([*flags, "--data-dir", str(data), "--log-dir", str(folder / "snapshot")])
    run = folder / "snapshot" / "cifar10" / "plain_d5w1" / "run1"
    newest = run / "checkpoints" / "epoch0002"
    newest.rename(folder / "lost")
    rows = (run / "log.jsonl").read_text().splitlines(True)
    (run / "log.jsonl").write_text(rows[0])
    train_cifar.main(["--resume", str(run), "--quiet"])
    return run


def test_a_published_run_gives_the_same_results(run, tmp_path, capsys):
    copy = tmp_path / "cifar10" / "plain_d5w1" / "published1"
    for _ in range(2):  # a run that is published again keeps its folder
        publish.main([str(run), "--out", str(tmp_path)])
        assert capsys.readouterr().out == f"{copy}\n"
    assert list(copy.parent.iterdir()) == [copy]
    assert {path.name for path in copy.iterdir()} == {"config.json", "log.jsonl", "curves.png"}
    assert read_run(copy).rows == read_run(run).rows and not read_run(copy).problem
    tables = []
    for folder in (run.parents[2], tmp_path):
        show_results.main([str(folder)])
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


def test_published_runs_stand_beside_the_runs_themselves(run, tmp_path, capsys):
    top = tmp_path / "snapshot"
    shutil.copytree(run.parents[2], top)
    other = top / "cifar10" / "plain_d5w1" / "run2"
    shutil.copytree(run, other)
    write_config(other, {**read_config(other), "seed": 1})
    for _ in range(2):  # what is published already is not published from its copy
        publish.main([str(top), "--out", str(top)])
        names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
        assert names == ["published1", "published2"]
    (result,), left_out = collect(top)
    assert (result.runs, len(left_out)) == (2, 2)
    assert {read_config(p)["seed"] for p in other.parent.glob("published*")} == {0, 1}


def test_a_published_run_is_not_called_unfinished(run, tmp_path, capsys):
    copy = publish.publish(run, tmp_path)
    for path in (copy, tmp_path):
        with pytest.raises(SystemExit):
            publish.main([str(path), "--out", str(tmp_path)])
        assert "besides runs that are published already" in capsys.readouterr().err


def test_nothing_of_the_machine_is_left(run, data):
    config = publish.clean_config(read_config(run))
    text = json.dumps(config)
    assert str(data) not in text and "/tmp" not in text
    assert config["resumed"] and config["data_dir"] == "data/cifar10"
    assert {"versions", "processor", "threads", "commit"} <= set(config)
    assert read_config(run)["data_dir"] == str(data)  # the run itself is as it was
    written = {**read_config(run), "command": ["a/train.py", "--log-dir=/a/b", "--lr-steps", "1/2"]}
    words = ["train.py", "--log-dir=b", "--lr-steps", "1/2"]
    assert publish.clean_config(written)["command"] == words
    for word, cleaned in (
        ("1/2,300", "1/2,300"),  # steps of the learning rate
        ("--lr-steps=0.5, 3/4", "--lr-steps=0.5, 3/4"),
        ("--data-dir=/sets/date=2024/a=b", "--data-dir=a=b"),
        ("/sets/date=2024/train.rec", "train.rec"),
    ):
        found = publish.clean_config({**read_config(run), "command": [word]})["command"]
        assert found == [cleaned]
    with pytest.raises(InputError, match="contain facts of this machine"):
        publish.clean_config({**read_config(run), "processor": platform.node() + " CPU"})


@pytest.mark.parametrize(
    "host,text,named",
    [
        ("box", "box CPU", True),
        ("box", "at box.local", True),
        ("box", "boxes in a sandbox", False),
        ("b.x", "a box", False),
        ("device", "--device-type", False),
        ("c++", "in c++ here", True),
        ("", "words", False),
    ],
)
def test_the_name_of_the_machine_is_a_word(run, monkeypatch, host, text, named):
    monkeypatch.setattr(platform, "node", lambda: host)
    config = {**read_config(run), "processor": text}
    if named:
        with pytest.raises(InputError, match="contain facts of this machine"):
            publish.clean_config(config)
    else:
        assert publish.clean_config(config)["processor"] == text


def test_words_of_options_do_not_name_the_machine(run, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "device")  # which is --kv-store's default
    assert publish.clean_config(read_config(run))["machine"]["kv_store"] == "device"


@pytest.mark.parametrize(
    "source,kept",
    [
        ("/home/me/snapshot/cifar10/cross_d26w1/run1", "cifar10/cross_d26w1/run1"),
        (
            "/x/cifar10/a_d5w1/run1/checkpoints/epoch0001",
            "cifar10/a_d5w1/run1/checkpoints/epoch0001",
        ),
        ("/home/me/net.params", "net.params"),
        ("cross26-cifar10", "cross26-cifar10"),
    ],
)
def test_a_run_that_started_from_another_is_published_without_folders(run, tmp_path, source, kept):
    top = tmp_path / "snapshot"
    shutil.copytree(run.parents[2], top)
    own = top / "cifar10" / "plain_d5w1" / "run1"
    write_config(own, {**read_config(own), "init_from": source})
    copy = publish.publish(own, top)
    assert read_config(copy)["init_from"] == kept
    (first, *more), left_out = collect(top)
    if "_d" in source:  # the copy repeats the run; for other files, they may be different ones
        assert (first.runs, more, len(left_out)) == (1, [], 1)


def test_only_a_run_on_the_same_images_and_devices_is_replaced(run, tmp_path):
    own, out = tmp_path / "plain_d5w1" / "run1", tmp_path / "out"
    shutil.copytree(run, own)
    config = read_config(own)
    data = {**config["data"], "train": {**config["data"]["train"], "crc32": 7}}
    changed = [{}, {"data": data}, {"devices": 2}, {"workers": 2}]
    for _ in range(2):
        for number, changes in enumerate(changed, 1):
            write_config(own, {**config, **changes})
            assert publish.publish(own, out).name == f"published{number}"


def test_of_runs_that_repeat_a_seed_the_newest_is_published_alone(run, tmp_path, capsys):
    """Also if its name comes first; nothing of the other run stays in the folder of the copy."""
    top, out = tmp_path / "snapshot", tmp_path / "out"
    shutil.copytree(run.parents[2], top)
    old = top / "cifar10" / "plain_d5w1" / "run1"
    (old / "members.json").write_text('{"without": [1.0, 2.0]}')
    publish.main([str(top), "--out", str(out)])
    new = shutil.copytree(run, old.with_name("again1"))
    rows = [{**row, "test_error": 12.5} for row in read_run(run).rows]
    (new / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    publish.main([str(top), "--out", str(out)])
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    (copy,) = find_runs(out)
    assert read_run(copy).rows == read_run(new).rows
    assert not (copy / "members.json").exists()


def test_a_full_disk_leaves_no_part_of_a_copy(run, tmp_path, monkeypatch):
    def fail(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(publish, "write_text", fail)  # of the last file
    with pytest.raises(OSError, match="No space left"):
        publish.publish(run, tmp_path / "out")
    assert find_runs(tmp_path / "out") == []


def test_a_diverged_run_is_published_beside_a_finished_one(run, tmp_path):
    """The claims count both."""
    own, out = tmp_path / "plain_d5w1" / "run1", tmp_path / "out"
    shutil.copytree(run, own)
    publish.publish(own, out)
    last = {**read_run(own).rows[-1], "diverged": True}
    rows = [*read_run(own).rows[:-1], last]
    (own / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        assert publish.publish(own, out).name == "published2"
    assert [read_run(folder).diverged for folder in find_runs(out)] == [False, True]


@pytest.mark.parametrize("changes", [{"machine": None}, {"command": 3}, {"versions": []}])
def test_a_damaged_config_is_named(run, tmp_path, changes):
    own = tmp_path / "plain_d5w1" / "run1"
    shutil.copytree(run, own)
    write_config(own, {**read_config(own), **changes})
    with pytest.raises(InputError, match="config.json is damaged"):
        publish.publish(own, tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [{"dataset": ".."}, {"dataset": "a/../../b"}, {"dataset": ""}, {"network": "../../plain"}],
)
def test_no_name_in_a_config_leads_out_of_the_folder(run, tmp_path, changes):
    own = tmp_path / "plain_d5w1" / "run1"
    shutil.copytree(run, own)
    write_config(own, {**read_config(own), **changes})
    with pytest.raises(InputError, match=f"{[*changes][0]} must be a plain name"):
        publish.publish(own, tmp_path / "out" / "snapshot")
    assert list(tmp_path.iterdir()) == [own.parent]


def test_a_run_that_cannot_be_published_does_not_hinder_others(run, tmp_path, capsys):
    top = tmp_path / "snapshot"
    shutil.copytree(run.parents[2], top)
    other = top / "cifar10" / "plain_d5w1" / "run2"
    shutil.copytree(run, other)
    write_config(other, {**read_config(other), "processor": "/home/me", "seed": 1})
    third = shutil.copytree(run, other.with_name("run3"))
    write_config(third, {**read_config(third), "seed": 2})
    damaged, unfinished = (shutil.copytree(run, other.with_name(f"run{k}")) for k in (4, 5))
    (damaged / "log.jsonl").write_text("x\n")
    (unfinished / "log.jsonl").write_text("")
    with pytest.raises(SystemExit) as ended:
        publish.main([str(top), "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and len(out.splitlines()) == 2
    assert f"left out: {other}: the settings" in err and "2 of 4 runs" in err
    assert f"left out: {damaged}: damaged" in err
    assert f"left out: {unfinished}: unfinished" in err


def test_a_diverged_run_is_published_as_one(run, tmp_path):
    """Otherwise the published runs alone would hide it from the claims."""
    own = tmp_path / "plain_d5w1" / "run1"
    shutil.copytree(run, own)
    (own / "log.jsonl").write_text("")
    with open(own / "log.txt", "a") as file:
        file.write("epoch 1: the loss exploded to 1.0e+09 at step 3\n")
    copy = publish.publish(own, tmp_path / "out")
    assert read_run(copy).diverged and read_run(copy).problem == read_run(own).problem
    assert not (copy / "log.txt").exists()


def test_what_cannot_be_pretrained_is_not_published_either(run, tmp_path, capsys):
    own = tmp_path / "plain_d5w1" / "run1"
    shutil.copytree(run, own)
    write_config(own, {**read_config(own), "val_split": 10})
    words = [own, "--pretrained", "--out", tmp_path / "out"]
    status, err = refused(capsys, *words, main=publish.main)
    assert status == 2 and "cannot become a pretrained network" in err
    words = [run, "--images", "JPEG copies", "--out", tmp_path / "out"]
    status, err = refused(capsys, *words, main=publish.main)
    assert status == 2 and "--images is for --pretrained" in err
    assert not (tmp_path / "out").exists()


def test_published_files_are_committed_and_no_others():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    places = {
        "published1": ["config.json", "log.jsonl", "curves.png", "columns.png", "members.json"],
        "run1": ["config.json", "log.jsonl", "curves.png", "log.txt"],
    }
    paths = [f"snapshot/cifar10/cross_d26w1/{run}/{n}" for run in places for n in places[run]]
    paths += [f"snapshot/cifar10/cross_d26w1/published1/{n}" for n in ("log.txt", "x/net.params")]
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", *paths]
    ignored = subprocess.run(command, capture_output=True, text=True).stdout.split()
    assert ignored == paths[5:]


def test_a_published_run_has_nothing_to_evaluate_or_to_resume(run, data, tmp_path, capsys):
    copy = publish.publish(run, tmp_path)
    out = ["--format", "symbol", "--out", str(tmp_path / "out")]
    for main, words in (
        (evaluate.main, [copy]),
        (export.main, [copy, *out]),
        (train_cifar.main, ["--resume", copy]),
        (train_cifar.main, ["--init-from", copy, "--data-dir", data]),
    ):
        status, err = refused(capsys, *words, main=main)
        assert status == 2 and f"{copy} is a published run without checkpoints" in err


def test_an_unfinished_run_is_refused(run, tmp_path):
    rows = (run / "log.jsonl").read_text()
    try:
        (run / "log.jsonl").write_text(rows.splitlines(True)[0])
        with pytest.raises(InputError, match="unfinished"):
            publish.publish(run, tmp_path)
        with pytest.raises(SystemExit):
            publish.main([str(run), "--out", str(tmp_path)])
    finally:
        (run / "log.jsonl").write_text(rows)
    assert list(tmp_path.iterdir()) == []
