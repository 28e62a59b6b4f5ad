"""What is published counts as the run does, and holds nothing of the machine."""

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
from training.run_folder import read_config, read_run, write_config

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
    for name, value in (("init_from", "/home/me/run1"), ("processor", platform.node() + " CPU")):
        with pytest.raises(InputError, match="contain facts of this machine"):
            publish.clean_config({**read_config(run), name: value})


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
