"""What all tests share: NumPy prepared for MXNet, random records, and runs made quick."""

import signal

import compat  # noqa: F401  (before any test module imports MXNet)

import pytest

from analysis import anytime
from tests.record_files import write_random_rec
from training import evaluation, trainer

LONGEST = ("test_export.py", "test_resume.py", "test_scripts.py", "test_torch_engine.py")

# A shell's background jobs ignore Ctrl-C, and so would the tests of it and what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Put the longest files first and quick ones last, so that all processes end together."""
    items.sort(key=_turn)


def _turn(item):
    if item.path.name in LONGEST:
        return LONGEST.index(item.path.name)
    return len(LONGEST) + (item.get_closest_marker("medium") is None)


@pytest.fixture(scope="session", autouse=True)
def quick_runs():
    """In this process runs draw no curves, precise BN takes 3 batches, and latency 1 round.

    What the fixture gives is the number of batches outside tests.
    """

    def leave_out(rows, *arguments):
        path = next(each for each in arguments if hasattr(each, "write_bytes"))
        path.write_bytes(b"\x89PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "draw_curves", leave_out)
        patch.setattr(trainer, "draw_subnetworks", leave_out)
        patch.setattr(anytime, "ROUNDS", 1)
        batches = evaluation.BN_BATCHES
        patch.setattr(evaluation, "BN_BATCHES", 3)
        yield batches


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder of 130 training and 53 test images, random, of 10 classes. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("data")
    write_random_rec(folder / "train.rec", 130, classes=10)
    write_random_rec(folder / "test.rec", 53, classes=10)
    return folder
