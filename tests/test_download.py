"""Downloads from a server that breaks off, knows no ranges, or sends something else."""

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command import InputError
from data.download import ATTEMPTS, fetch
from data.spec import Archive
from tests.archive_server import serve

CONTENT = np.random.RandomState(0).bytes(1_000_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serve({"set.tar.gz": CONTENT}) as site:
        yield site


def refused(archive, folder):
    with pytest.raises(InputError) as error:
        fetch(archive, folder)
    assert archive.url in str(error.value) and "--source" in str(error.value)
    return str(error.value)


def test_a_whole_file(site, tmp_path):
    path = fetch(site.archive("set.tar.gz"), tmp_path)
    assert path == tmp_path / "set.tar.gz" and path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert site.asked == [("set.tar.gz", None)]


def test_a_file_that_is_there_is_not_asked_for_again(site, tmp_path):
    for _ in range(2):
        fetch(site.archive("set.tar.gz"), tmp_path)
    assert len(site.asked) == 1


def test_a_part_is_completed(site, tmp_path):
    (tmp_path / "set.tar.gz.part").write_bytes(CONTENT[:123_456])
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT
    assert site.asked == [("set.tar.gz", 123_456)]


def test_a_part_that_is_whole_is_taken(site, tmp_path):
    (tmp_path / "set.tar.gz.part").write_bytes(CONTENT)
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(site, tmp_path):
    site.ranges = False
    (tmp_path / "set.tar.gz.part").write_bytes(b"old" * 1000)
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT


def test_a_server_that_cuts_is_asked_for_the_rest(site, tmp_path):
    site.cut = 300_000
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT
    assert [first for _, first in site.asked] == [None, 300_000, 600_000, 900_000]


def test_a_server_that_cuts_too_often_is_left_for_another_time(site, tmp_path):
    site.cut = 100_000
    message = refused(site.archive("set.tar.gz"), tmp_path)
    assert f"the connection ended at {ATTEMPTS * 100_000} of 1000000 bytes" in message
    assert "run the command again to resume" in message
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar.gz.part"]
    site.cut = None
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT
    assert site.asked[-1] == ("set.tar.gz", ATTEMPTS * 100_000)


def test_a_server_that_cuts_and_knows_no_ranges(site, tmp_path):
    site.cut, site.ranges = 300_000, False
    refused(site.archive("set.tar.gz"), tmp_path)
    assert len(site.asked) <= ATTEMPTS


def test_a_body_of_untold_length(site, tmp_path):
    site.lengths = False
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT


def test_a_cut_body_of_untold_length_has_the_wrong_checksum(site, tmp_path):
    site.lengths, site.cut = False, 1000
    assert "wrong size or checksum" in refused(site.archive("set.tar.gz"), tmp_path)


def test_wrong_checksum(site, tmp_path):
    archive = replace(site.archive("set.tar.gz"), md5="0" * 32)
    assert "wrong size or checksum" in refused(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", [b"something else", CONTENT + b"more"])
def test_a_part_of_something_else_is_deleted(site, tmp_path, part):
    (tmp_path / "set.tar.gz.part").write_bytes(part)
    assert "wrong size or checksum" in refused(site.archive("set.tar.gz"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(site.archive("set.tar.gz"), tmp_path).read_bytes() == CONTENT


def test_not_found(site, tmp_path):
    assert "404" in refused(Archive(f"{site.url}/none.tar.gz", 1, "0" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_server(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        archive = Archive(f"http://127.0.0.1:{unused.getsockname()[1]}/set.tar.gz", 1, "0" * 32)
        assert "refused" in refused(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lengths", [True, False])
def test_a_server_that_sends_too_much_is_not_heard_out(site, tmp_path, monkeypatch, lengths):
    archive, sizes = site.archive("set.tar.gz"), []
    site.files["set.tar.gz"], site.lengths = CONTENT * 20, lengths
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda p: (sizes.append(p.stat().st_size), unlink(p)))
    assert "wrong size" in refused(archive, tmp_path)
    assert sizes == [len(CONTENT) + 1]
    assert list(tmp_path.iterdir()) == []
