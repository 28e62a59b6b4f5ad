"""The launcher: who gets which role, and that all end together. The jobs here train nothing."""

import errno
import io
import os
import re
import stat
import sys
import time
from unittest import mock

import pytest

from command import InputError
from tools import launch

SAY = "echo $DMLC_ROLE ${DMLC_WORKER_ID-} $DMLC_NODE_HOST $DMLC_NUM_WORKER $DMLC_NUM_SERVER"


def run(*words):
    return launch.main([str(word) for word in words])


def meet(folder):
    """Shell words that print the process id, and wait until all three of a job have done so."""
    there = f"$(ls {folder} | wc -l)"
    return f"echo $$; : > {folder}/$DMLC_ROLE; while [ {there} -lt 3 ]; do sleep 0.1; done"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_process_knows_its_role(capsys):
    assert run("-n", 2, "-s", 1, "--", "sh", "-c", SAY) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "[scheduler] scheduler 127.0.0.1 2 1",
        "[server 0] server 127.0.0.1 2 1",
        "[worker 0] worker 0 127.0.0.1 2 1",
        "[worker 1] worker 1 127.0.0.1 2 1",
    ]


@pytest.mark.parametrize("failing", ["worker", "server"])
def test_when_one_fails_all_end(capsys, tmp_path, failing):
    script = f"{meet(tmp_path)}; if [ $DMLC_ROLE = {failing} ]; then exit 7; fi; exec sleep 600"
    assert run("-n", 1, "-s", 1, "--", "sh", "-c", script) == 7
    said = capsys.readouterr()
    assert f"{failing} 0 ended with status 7" in said.err
    pids = [int(pid) for pid in re.findall(r"\] (\d+)", said.out)]
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("error", [BrokenPipeError, OSError(errno.ENOSPC, "No space left")])
def test_all_end_when_their_output_cannot_be_shown(monkeypatch, tmp_path, error):
    """As with ``| head``, or on a full disk."""
    output = io.StringIO()
    output.write = mock.Mock(side_effect=error)
    output.fileno = lambda: os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", output)
    script = f"echo $$ > {tmp_path}/$DMLC_ROLE; echo a line; exec sleep 600"
    with pytest.raises(SystemExit) as caught:
        run("-n", 1, "-s", 1, "--", "sh", "-c", script)
    assert caught.value.code == (1 if error is BrokenPipeError else 2)
    pids = [int(file.read_text()) for file in tmp_path.iterdir() if file.stat().st_size]
    assert pids and not any(map(is_alive, pids))


def test_a_process_that_is_killed_fails(capsys):
    assert run("-n", 1, "-s", 1, "--", "sh", "-c", "kill -9 $$") == 128 + 9
    assert "ended with status 137" in capsys.readouterr().err


def test_servers_that_no_worker_came_to_are_ended(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "PATIENCE", 1)
    script = f"{meet(tmp_path)}; [ $DMLC_ROLE = worker ] || exec sleep 600"
    assert run("-n", 1, "-s", 1, "--", "sh", "-c", script) == 0
    pids = [int(pid) for pid in re.findall(r"\] (\d+)", capsys.readouterr().out)]
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


def test_what_ignores_being_told_is_killed(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "PATIENCE", 1)
    end = "[ $DMLC_ROLE = worker ] && exit 3; while :; do sleep 1; done"
    script = f"trap '' TERM; {meet(tmp_path)}; {end}"
    assert run("-n", 1, "-s", 1, "--", "sh", "-c", script) == 3
    pids = [int(pid) for pid in re.findall(r"\] (\d+)", capsys.readouterr().out)]
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


def test_other_machines_are_reached_by_ssh(capsys, monkeypatch, tmp_path):
    """By an ssh that says where it went and runs the command here."""
    fake = tmp_path / "ssh"
    fake.write_text('#!/bin/sh\necho "ssh to $3"\nexec sh -c "$4"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "hosts").write_text("# two machines\nme@localhost\n127.0.0.1\n")
    assert run("-n", 2, "-s", 1, "--hosts", tmp_path / "hosts", "--", "sh", "-c", SAY) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "[scheduler] scheduler 127.0.0.1 2 1",
        "[server 0] server 127.0.0.1 2 1",
        "[server 0] ssh to me@localhost",
        "[worker 0] ssh to me@localhost",
        "[worker 0] worker 0 127.0.0.1 2 1",
        "[worker 1] ssh to 127.0.0.1",
        "[worker 1] worker 1 127.0.0.1 2 1",
    ]


def test_this_machine_among_the_hosts_has_an_address_that_the_others_reach(monkeypatch):
    addresses = {"here": "127.0.1.1", "me@there": "192.0.2.7"}
    monkeypatch.setattr(launch, "find_address", addresses.get)
    sources = {"127.0.1.1": "127.0.0.1", "192.0.2.7": "192.0.2.1"}
    monkeypatch.setattr(launch, "source_address", sources.get)
    root = launch.own_address(["here", "me@there"])
    assert root == "192.0.2.1"
    assert launch.own_address(["here"]) == "127.0.0.1"
    scripts = []
    monkeypatch.setattr(launch.subprocess, "Popen", lambda words, **how: scripts.append(words[-1]))
    for host in addresses:
        member = launch.Process("server 0", "server", 0, host)
        launch.start(member, {"DMLC_PS_ROOT_URI": root}, ["true"])
    assert "DMLC_NODE_HOST=192.0.2.1 " in scripts[0] and "DMLC_NODE_HOST=192.0.2.7 " in scripts[1]


def test_a_command_ends_when_the_launcher_is_gone():
    """Without a word from it: its end of the pipe closes, here or at the other end of ssh."""
    member = launch.Process("worker 0", "worker", 0, "")
    job = {"DMLC_PS_ROOT_URI": "127.0.0.1"}
    process = launch.start(member, job, ["sh", "-c", "echo $$; exec sleep 600"])
    pid = int(process.stdout.readline())
    assert is_alive(pid)
    process.stdin.close()
    assert process.wait() == 128 + 15
    for _ in range(1000):
        if not is_alive(pid):
            break
        time.sleep(0.01)
    assert not is_alive(pid)
    process.stdout.close()


@pytest.mark.parametrize(
    "words,message",
    [
        (["-n", 0, "-s", 1, "--", "true"], "at least one worker"),
        (["-n", 1, "-s", 0, "--", "true"], "at least one worker"),
        (["-n", 1, "-s", 1, "--port", 0, "--", "true"], "--port must be 1 to 65535, not 0"),
        (["-n", 1, "-s", 1, "--port", 70000, "--", "true"], "--port must be 1 to 65535"),
        (["-n", 1, "--", "true"], "required: -s"),
        (["-n", 1, "-s", 1], "required: COMMAND"),
        (["-n", 1, "-s", 1, "--hosts", "/nowhere", "--", "true"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line(capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    err = capsys.readouterr().err
    assert (caught.value.code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_list_of_machines_may_come_from_windows(tmp_path):
    (tmp_path / "hosts").write_bytes("\ufefflocalhost\r\n127.0.0.1\r\n".encode())
    assert launch.read_hosts(tmp_path / "hosts") == ["localhost", "127.0.0.1"]


def test_a_list_of_no_machines_is_refused(tmp_path):
    (tmp_path / "hosts").write_bytes(b"# none\n\n  # caf\xe9\n")
    with pytest.raises(InputError, match="names no machine"):
        launch.read_hosts(tmp_path / "hosts")
    with pytest.raises(InputError, match="no address of the machine"):
        launch.find_address("no.such.machine.invalid")
