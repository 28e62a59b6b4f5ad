import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from command import InputError
from training import run_folder, run_log, run_record
from training.recipe import get_recipe

ROW = {
    "lr": 0.1,
    "train_loss": 1.0,
    "train_error": 50.0,
    "test_loss": 2.0,
    "test_error": 60.0,
    "seconds": 3.0,
    "images_per_second": 4.0,
}


def make_config(recipe, **changes):
    """What ``config.json`` holds of a run of DFN-MR1 on CIFAR-10."""
    return {
        "network": "cross",
        "depth": 110,
        "widen_factor": 1,
        "dataset": "cifar10",
        "data_dir": "data/cifar10",
        "train_file": "train.rec",
        "test_file": "test.rec",
        "val_split": 0,
        "recipe_name": "deep-fusion",
        "recipe": recipe.to_json(),
        "seed": 0,
        "recipe_changes": {},
        "parameters": 12345,
        "multiply_adds": 251052672,
        "layers": 56,
        "devices": 1,
        "data": {},
        **changes,
    }


def write_rows(folder, epochs):
    log = run_log.RunLog(folder, print)
    for epoch in epochs:
        log.write(epoch=epoch, **ROW)
    return log


def test_rows_come_back(tmp_path):
    write_rows(tmp_path, (1, 2))
    assert run_log.read_log(tmp_path) == [{"epoch": 1, **ROW}, {"epoch": 2, **ROW}]
    assert run_log.read_log(tmp_path / "nothing") == []


def test_a_line_cut_by_a_kill_is_passed_over_and_dropped_on_resume(tmp_path):
    log = write_rows(tmp_path, (1, 2, 3))
    rows = run_log.read_log(tmp_path)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"epoch": 4, "lr": 0.')
    assert len(run_log.read_log(tmp_path)) == 3
    log.rewrite(rows[:2])
    assert run_log.read_log(tmp_path) == rows[:2]
    write_rows(tmp_path, (3,))
    assert [row["epoch"] for row in run_log.read_log(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"\n", b"\n\n"),
    ],
    ids=["mark and line ends of Windows", "no line end at the end", "empty lines"],
)
def test_what_editors_do_to_files_changes_nothing(tmp_path, edit):
    write_rows(tmp_path, (1, 2))
    run_folder.write_config(tmp_path, {"seed": 3})
    for name in ("log.jsonl", "config.json"):
        path = tmp_path / name
        path.write_bytes(edit(path.read_bytes()))
    assert [row["epoch"] for row in run_log.read_log(tmp_path)] == [1, 2]
    assert run_folder.read_config(tmp_path) == {"seed": 3}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "3",
        "[" * 100_000,
        '{"epoch": 3}',
        json.dumps({"epoch": 3, **ROW, "lr": "x"}),
        json.dumps({"epoch": 3, **ROW}).replace("0.1", "1" * 400),
    ],
    ids=range(7),
)
def test_a_damaged_line_is_named(tmp_path, line):
    write_rows(tmp_path, (1, 2))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match="log.jsonl: line 3 is damaged"):
        run_log.read_log(tmp_path)


def test_a_missing_or_doubled_epoch_is_named(tmp_path):
    write_rows(tmp_path, (1, 3))
    with pytest.raises(InputError, match="line 2 is of epoch 3"):
        run_log.read_log(tmp_path)


def test_words_go_to_the_file_and_the_screen(tmp_path, capsys):
    log = run_log.RunLog(tmp_path, print)
    log.info("both")
    log.debug("file")
    assert (tmp_path / "log.txt").read_text() == "both\nfile\n"
    assert capsys.readouterr().out == "both\n"


def _claim(parent, queue):
    queue.put(str(run_folder.create_run_dir(parent, "run")))


def test_ten_processes_get_ten_folders(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    args = (tmp_path / "new" / "parent", queue)
    processes = [context.Process(target=_claim, args=args) for _ in range(10)]
    for process in processes:
        process.start()
    folders = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert {os.path.basename(f) for f in folders} == {f"run{k}" for k in range(1, 11)}


def test_folders_count_up_and_names_do_not_mix(tmp_path):
    (tmp_path / "run7").mkdir()
    (tmp_path / "runs9").mkdir()
    (tmp_path / "run").mkdir()
    assert run_folder.create_run_dir(tmp_path, "run").name == "run8"
    assert run_folder.create_run_dir(tmp_path, "runs").name == "runs10"
    assert run_folder.create_run_dir(tmp_path, "a.b").name == "a.b1"


def test_a_folder_is_held_by_one(tmp_path):
    assert not run_folder.is_locked(tmp_path)
    with run_folder.locked(tmp_path):
        assert run_folder.is_locked(tmp_path)
        with pytest.raises(InputError, match="in use by another process"):
            run_folder.locked(tmp_path).__enter__()
    assert not run_folder.is_locked(tmp_path)
    with run_folder.locked(tmp_path):
        pass


def finished(folder, epochs=2):
    folder.mkdir(parents=True)
    run_folder.write_config(folder, make_config(get_recipe("quick", epochs=epochs)))
    write_rows(folder, range(1, epochs + 1))
    return folder


def test_runs_say_what_is_wrong_with_them(tmp_path):
    good = finished(tmp_path / "a" / "run1")
    assert run_record.read_run(good).problem == ""
    stopped = finished(tmp_path / "a" / "run2")
    run_log.RunLog(stopped, print).rewrite(run_log.read_log(stopped)[:1])
    assert run_record.read_run(stopped).problem == "unfinished: stopped after epoch 1 of 2"
    with run_folder.locked(stopped):
        assert run_record.read_run(stopped).problem == "unfinished: running after epoch 1 of 2"
    log = run_log.RunLog(stopped, print)
    log.debug("epoch 2: the loss stopped being finite at step 7")
    problem = "diverged: epoch 2: the loss stopped being finite at step 7"
    assert run_record.read_run(stopped).problem == problem
    log.info("resumed after epoch 1")
    assert run_record.read_run(stopped).problem == "unfinished: stopped after epoch 1 of 2"
    whole = (good / "config.json").read_text()
    damaged = ("", "{", "[]", "{}", whole.replace("12345", '"x"'), "[" * 100_000)
    for k, text in enumerate(damaged, 3):
        folder = finished(tmp_path / "a" / f"run{k}")
        (folder / "config.json").write_text(text)
        problem = run_record.read_run(folder).problem
        assert (
            problem.startswith(f"damaged: {folder / 'config.json'}") and "lr_steps" not in problem
        )
    finished(tmp_path / "a" / "run9")
    lost = finished(tmp_path / "a" / "run10")
    (lost / "config.json").unlink()
    assert "there is no config.json" in run_record.read_run(lost).problem
    (tmp_path / "a" / "run11" / "checkpoints").mkdir(parents=True)  # all else was lost
    assert run_folder.find_runs(tmp_path)[-1].name == "run11"
    assert "damaged" in run_record.read_run(tmp_path / "a" / "run11").problem
    shutil.rmtree(tmp_path / "a" / "run11")
    names = [path.name for path in run_folder.find_runs(tmp_path)]
    assert names == [f"run{k}" for k in range(1, 11)]  # run10 after run9
    assert run_folder.find_runs(good) == [good]
    with pytest.raises(InputError, match="there is no folder"):
        run_folder.find_runs(tmp_path / "nothing")


def test_folders_that_vanish_and_hidden_ones_are_passed_over(tmp_path, monkeypatch):
    (tmp_path / "net" / "run1" / "checkpoints" / ".epoch0001-7").mkdir(parents=True)
    (tmp_path / "net" / "gone").mkdir()
    (tmp_path / ".queue" / "a-run").mkdir(parents=True)
    (tmp_path / ".queue" / "a-run" / ".lock").touch()
    scan = os.scandir

    def vanish(path):
        if os.path.basename(path) in ("gone", ".epoch0001-7"):
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert run_folder.find_runs(tmp_path) == [tmp_path / "net" / "run1"]


def test_links_to_folders_are_followed_and_each_run_is_found_once(tmp_path):
    """Such as a data set's runs on a larger disk, and a name for the best run."""
    top, disk = tmp_path / "snapshot", tmp_path / "disk"
    for folder in (top / "digits" / "net" / "run1", disk / "net" / "run1"):
        (folder / "checkpoints").mkdir(parents=True)
    (top / "cifar10").symlink_to(disk)
    (top / "best").symlink_to(top / "digits" / "net" / "run1")  # sorted before it
    (disk / "circle").symlink_to(disk)
    (top / "itself").symlink_to("itself")
    (top / "lost").symlink_to(tmp_path / "nothing")
    expected = [top / "cifar10" / "net" / "run1", top / "digits" / "net" / "run1"]
    assert run_folder.find_runs(top) == expected
    assert run_folder.find_runs(top / "cifar10") == expected[:1]
    assert run_folder.find_runs(top / "best") == [top / "best"]


def test_a_number_that_the_disk_has_under_another_name_is_skipped(tmp_path, monkeypatch):
    """On a disk that ignores case, Run1 is run1, but does not look like it."""
    real, taken = Path.mkdir, tmp_path / "run1"

    def mkdir(path, *args, **kwargs):
        if path == taken:
            raise FileExistsError(str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert run_folder.create_run_dir(tmp_path, "run").name == "run2"
