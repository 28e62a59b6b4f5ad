"""What is published counts as the run does, and holds nothing of the machine."""

import json

import pytest

import show_results
import train_cifar
from command import InputError
from tests.record_files import write_random_rec
from tools import publish
from training.run_folder import read_config, read_run

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was resumed."""
    folder = tmp_path_factory.mktemp("machine")
    for name in ("train.rec", "test.rec"):
        write_random_rec(folder / name, 40, classes=10)
    flags = ["--network", "plain", "--depth", "5", "--num-epochs", "2", "--quiet"]
    flags += ["--checkpoint-epochs", "1", "--lr-steps", "1/2,3/4", "--batch-size", "20"]
    train_cifar.main([*flags, "--data-dir", str(folder), "--log-dir", str(folder / "snapshot")])
    run = folder / "snapshot" / "cifar10" / "plain_d5w1" / "run1"
    newest = run / "checkpoints" / "epoch0002"
    newest.rename(folder / "lost")
    rows = (run / "log.jsonl").read_text().splitlines(True)
    (run / "log.jsonl").write_text(rows[0])
    train_cifar.main(["--resume", str(run), "--quiet"])
    return run


def test_a_published_run_gives_the_same_results(run, tmp_path, capsys):
    publish.main([str(run), "--out", str(tmp_path)])
    copy = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    assert capsys.readouterr().out == f"{copy}\n"
    assert {path.name for path in copy.iterdir()} == {"config.json", "log.jsonl", "curves.png"}
    assert read_run(copy).rows == read_run(run).rows and not read_run(copy).problem
    tables = []
    for folder in (run.parents[2], tmp_path):
        show_results.main([str(folder)])
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


def test_nothing_of_the_machine_is_left(run, tmp_path):
    config = publish.clean_config(read_config(run))
    text = json.dumps(config)
    assert str(run.parents[3]) not in text and "/tmp" not in text
    assert config["resumed"] and config["data_dir"] == "data/cifar10"
    assert {"versions", "processor", "threads", "commit"} <= set(config)
    assert read_config(run)["data_dir"] == str(run.parents[3])  # the run itself is as it was


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
