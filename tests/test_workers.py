"""Work shared by processes: in order, and ended by whatever ends one of them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count, islice
from pathlib import Path

from compat import WITHOUT_MXNET

import pytest

from command import CommandError
from data.workers import open_workers

pytestmark = pytest.mark.medium

ROOT = Path(__file__).resolve().parent.parent


def double(number):
    return 2 * number


def die(at, number):
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_in_order_and_items_taken_as_needed(jobs):
    with open_workers(jobs) as mapping:
        assert list(mapping(double, range(100))) == list(range(0, 200, 2))
        assert list(islice(mapping(double, count()), 50)) == list(range(0, 100, 2))


def test_a_killed_process_ends_the_work():
    with pytest.raises(CommandError, match="fewer jobs"), open_workers(2) as mapping:
        list(mapping(partial(die, 20), range(1000)))


PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
sys.modules["mxnet"] = time  # stands for it: its import takes seconds
from command import command
from data.workers import open_workers

def slow(number):
    time.sleep(0.01)
    return number

@command
def main(argv=None):
    with open_workers(2) as mapping:
        for number in mapping(slow, range(100_000)):
            print(number, flush=True)

if __name__ == "__main__":
    main()
"""


def start(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format(root=str(ROOT)))
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def members(group):
    """Processes of a session that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at /proc")
@pytest.mark.parametrize("when", ["first", "later"])
def test_ctrl_c_is_one_line_at_any_time(tmp_path, when):
    process = start(tmp_path)
    if when == "later":
        process.stdout.readline()
    while len(members(process.pid)) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: interrupted\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at /proc")
def test_processes_end_when_their_parent_is_killed(tmp_path):
    process = start(tmp_path)
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(2000):  # a process that is just starting may take long
        if not members(process.pid):
            break
        time.sleep(0.05)
    assert members(process.pid) == []
    process.communicate()


def knows_mxnet(item):
    return "mxnet" in sys.modules


def test_processes_do_without_mxnet():
    """It takes 300 MB and seconds in each of them."""
    with open_workers(2) as mapping:
        assert set(mapping(knows_mxnet, range(40))) == {False}
    assert WITHOUT_MXNET not in os.environ
