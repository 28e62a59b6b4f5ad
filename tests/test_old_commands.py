"""Commands that had another name once still work, and say what they are called now."""

import runpy
import sys

import pytest


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "old,new",
    [
        ("training.doctor", "python -m tools.doctor"),
        ("training.launch", "python -m tools.launch"),
        ("training.predict", "python predict.py"),
    ],
)
def test_an_old_command_runs_the_new_one(capsys, monkeypatch, old, new):
    monkeypatch.setattr(sys, "argv", [old, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(old, run_name="__main__")
    said = capsys.readouterr()
    assert ended.value.code in (None, 0)
    assert said.err == f"python -m {old} has a new name: {new}\n"
    assert "usage: " in said.out
