"""Kill, damage and disturb training as failing machines do, and check that nothing is lost.

Processes are killed, disks fill up (small tmpfs mounts, which need root), and files are damaged
byte by byte. A resumed run must equal the uninterrupted one, bit for bit. Bad input must end with
one line on stderr and exit status 2, never with a traceback, an abort or a hang. A damaged file may
only be accepted if the values that are read are those that were written, or if its format cannot
show the damage (see tests/damage.py). The table at the end has the number of cases and the outcome
of each fault.
"""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import count
from pathlib import Path

import compat  # noqa: F401

import numpy as np
from hypothesis import HealthCheck, given, settings

import train_cifar
from command import InputError, Parser, command, nearest
from plotting.tables import aligned
from tests import damage
from tests.photo_files import write_photographs
from tests.test_resume import ROOT, _heed_interrupts, result
from training import checkpoint, run_folder, run_log

EXAMPLES = """examples:
  python -m tests.chaos                        everything: about half an hour on one core
  python -m tests.chaos kill --kills 10        one fault, fewer cases
  python -m tests.chaos bytes forgery --cases 10000

faults:
"""
SMALL = ["--network", "plain", "--depth", "5", "--dataset", "digits"]
HANG = 3600  # seconds after which a program that was to end is said to hang
MIB = 1 << 20


class Skip(Exception):
    """This machine does not permit the fault; the message says what is missing."""


class Fault:
    """The faults by name: functions of (options, folder) that yield (what, cases, outcome)."""

    known = {}

    def __init__(self, function):
        self.known[function.__name__.strip("_")] = function


def start(words, **options):
    """A program of the project, started in a process of its own."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    words = [sys.executable, *map(str, words)]
    return subprocess.Popen(words, cwd=ROOT, text=True, preexec_fn=_heed_interrupts, **options)


def end(process):
    """(exit status, what it wrote on stderr) of a program that is to end by itself."""
    try:
        _, err = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"hangs: {process.args}") from None
    return process.returncode, "".join(
        line
        for line in err.splitlines(True)
        if not line.startswith("Corrupt JPEG")  # libjpeg's
    )


def refused(words, statuses=(2,)):
    """The one line with which a program refuses its input."""
    status, err = end(start(words))
    assert status in statuses and err.count("\n") == 1 and err.startswith("error: "), (status, err)
    return err


def finished(words):
    """Run a program that must come to its end."""
    status, err = end(start(words))
    assert status == 0, (status, err)


@contextlib.contextmanager
def started(words, times):
    """The same program ``times`` times at once; what is left of it is killed."""
    many = [start(words) for _ in range(times)]
    try:
        yield many
    finally:
        for process in many:
            process.kill()


def training(data, snapshot, epochs, *more):
    """The words of a small training on digits."""
    words = ["train_cifar.py", *SMALL, "--data-dir", data, "--log-dir", snapshot, "--num-epochs"]
    return [*words, epochs, "--quiet", *more]


def run_of(snapshot):
    return Path(snapshot) / "digits" / "plain_d5w1" / "run1"


def digits(folder):
    """Where the digits are prepared."""
    data = folder.parent / "digits"
    if not data.exists():
        finished(["-m", "data.prepare", "digits", "--out", data])
    return data


def uninterrupted(folder, epochs):
    """The result of a training that nothing disturbed."""
    data, snapshot = digits(folder), folder.parent / f"uninterrupted{epochs}"
    if not snapshot.exists():
        finished(training(data, snapshot, epochs))
    return data, result(run_of(snapshot))


@contextlib.contextmanager
def small_disk(folder, size):
    """A disk of ``size`` bytes at ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        raise Skip("a disk may not be mounted here: be root, with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, free):
    """Leave ``free`` bytes of the disk at ``folder``: its ballast, which may be removed."""
    space = os.statvfs(folder)
    ballast = folder / "ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(max(space.f_bavail * space.f_bsize - free, 0)))
    return ballast


@Fault
def kill(options, folder):
    """kill -9 at random moments, then --resume, until the run is finished"""
    epochs, rng, kills, runs = 12, random.Random(options.seed), 0, 0
    data, expected = uninterrupted(folder, epochs)
    startup = 3.0
    while kills < options.kills or runs == 0:
        snapshot = folder / f"snapshot{runs}"
        while True:
            started, process = time.monotonic(), start(training(data, snapshot, epochs, "--resume"))
            before = _rows(run_of(snapshot))
            # Half of them while the program starts, half in the epochs after.
            wait = rng.uniform(0, startup) if rng.random() < 0.3 else None
            if wait is None:
                while process.poll() is None and _rows(run_of(snapshot)) == before:
                    time.sleep(0.005)
                startup = time.monotonic() - started
                wait = rng.uniform(0, 1.5)
            with contextlib.suppress(subprocess.TimeoutExpired):
                if kills < options.kills:
                    process.wait(wait)
                else:
                    process.wait(HANG)
            ended = process.poll() is not None
            process.kill()
            _, err = process.communicate()
            if ended:
                assert process.returncode == 0, err
                break
            kills += 1
        runs += 1
        assert result(run_of(snapshot)) == expected, f"run {runs} differs"
        assert os.listdir(run_of(snapshot).parent) == ["run1"]
    yield "kill", kills, f"{runs} runs of {epochs} epochs, each equal to the uninterrupted one"


def _rows(folder):
    """How many whole lines a log has, which may be written at this moment."""
    with contextlib.suppress(OSError):
        return (folder / run_folder.ROWS).read_bytes().count(b"\n")
    return 0


@Fault
def full_checkpoint(options, folder):
    """a disk with 0, 1, 2, ... free pages while a checkpoint is saved, until it fits"""
    values = {f"array{i}": np.full((40, i + 1), i, np.float32) for i in range(60)}
    content = (values, values, [{"epoch": 1}])
    found = Counter()
    with small_disk(folder, 4 * MIB):
        good = checkpoint.save(folder, 1, *content)
        for pages in count():
            ballast = fill(folder, 4096 * pages)
            try:
                saved = checkpoint.save(folder, 2, *content)
                checkpoint.load(saved)
                found["saved"] += 1
                shutil.rmtree(saved)
            except OSError as error:
                assert "\n" not in str(error)
                found["refused"] += 1
            ballast.unlink()
            assert checkpoint.latest(folder) == good
            checkpoint.load(good)
            assert sorted(os.listdir(folder)) == ["epoch0001"], os.listdir(folder)
            if found["saved"] > 20:
                break
    assert min(found["saved"], found["refused"]) > 10, found
    outcome = f"{found['refused']} refused, the last one intact; {found['saved']} whole"
    yield "full_checkpoint", sum(found.values()), outcome


@Fault
def full_disk(options, folder):
    """a disk that fills up in training; --resume when there is room again"""
    epochs = 3
    data, expected = uninterrupted(folder, epochs)
    stopped = Counter()
    for room in (0, 4, 60, 160, 260, 330, 400):  # KiB: from the first file to the last
        with small_disk(folder / "disk", 8 * MIB) as disk:
            ballast = fill(disk, room << 10)
            status, err = end(start(training(data, disk, epochs)))
            ballast.unlink()
            if status:
                assert status == 2 and err.count("\n") == 1 and err.startswith("error: "), err
                newest = checkpoint.latest(run_of(disk) / checkpoint.FOLDER)
                stopped[checkpoint.parse_epoch(newest) if newest else 0] += 1
                finished(training(data, disk, epochs, "--resume"))
            (run,) = run_folder.find_runs(disk)
            assert result(run) == expected, room
    after = ", ".join(f"{times} after epoch {epoch}" for epoch, times in sorted(stopped.items()))
    outcome = f"one line each ({after}); resumed, each equal to the uninterrupted one"
    yield "full_disk", sum(stopped.values()), outcome


@Fault
def folders(options, folder):
    """folders that are read-only or missing"""
    epochs, cases = 3, 0
    data, _ = uninterrupted(folder, epochs)
    with small_disk(folder / "disk", 8 * MIB) as disk:
        finished(training(data, disk, epochs))
        run = run_of(disk)
        shutil.copytree(data, disk / "data")
        remount = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True)
        for words in (
            training(data, disk, epochs),
            training(data, disk / "new", epochs),
            ["show_results.py", disk, "--html", disk / "report.html"],
            ["show_results.py", disk, "--plot"],
            ["evaluate.py", run, "--confusion", disk / "confusion.png"],
            ["-m", "data.prepare", "digits", "--out", disk / "data"],
        ):
            assert "Read-only" in refused(words)
            cases += 1
        for words in (
            ["evaluate.py", run, "--data-dir", disk / "data"],
            ["show_results.py", disk],
            ["-m", "data.verify", disk / "data" / "train.rec"],
            training(data, disk, epochs, "--resume", run),  # it is finished
        ):
            finished(words)
            cases += 1
    for vanishing in ("run", "log-dir", "checkpoints"):
        snapshot = folder / vanishing
        process = start(training(data, snapshot, 1000))
        while process.poll() is None and _rows(run_of(snapshot)) < 2:
            time.sleep(0.01)
        run = run_of(snapshot)
        gone = {"run": run, "log-dir": snapshot, "checkpoints": run / checkpoint.FOLDER}[vanishing]
        while gone.exists():  # a file may be made in it at this moment
            shutil.rmtree(gone, ignore_errors=True)
        if vanishing == "checkpoints":  # are made again: all that a run needs is in the newest
            rows = _rows(run)
            while process.poll() is None and _rows(run) < rows + 3:
                time.sleep(0.01)
            process.terminate()
            status, err = end(process)
            assert status == 130 and err.count("\n") == 1, err
            checkpoint.load(checkpoint.latest(gone))
        else:
            status, err = end(process)
            assert status == 2 and err.count("\n") == 1 and err.startswith("error: "), err
            assert not gone.exists()
        cases += 1
    yield "folders", cases, "each as it should: one line, or nothing that needs to be written"


@Fault
def processes(options, folder):
    """ten programs at once on one snapshot folder"""
    epochs, ten = 2, 10
    data, expected = uninterrupted(folder, epochs)
    with started(training(data, folder, epochs), ten) as many:
        for process in many:
            status, err = end(process)
            assert status == 0, err
    runs = sorted(run_of(folder).parent.iterdir())
    assert {run.name for run in runs} == {f"run{k}" for k in range(1, ten + 1)}
    assert all(result(run) == expected for run in runs)
    epochs = 12
    data, expected = uninterrupted(folder, epochs)
    snapshot = folder / "resumed"
    process = start(training(data, snapshot, epochs))
    while process.poll() is None and _rows(run_of(snapshot)) < 2:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    statuses = Counter()
    with started(training(data, snapshot, epochs, "--resume"), ten) as many:
        for process in many:
            status, err = end(process)
            statuses[status] += 1
            assert status == 0 or (status == 2 and "in use by another process" in err), err
    assert statuses[0] >= 1
    assert result(run_of(snapshot)) == expected
    assert os.listdir(run_of(snapshot).parent) == ["run1"]
    outcome = f"ten new runs, ten folders; one run resumed: {statuses[0]} ended well, "
    yield "processes", 2 * ten, f"{outcome}{statuses[2]} were told that it is in use"


@Fault
def clock(options, folder):
    """a clock that stops, runs backwards, or jumps a day ahead and back"""
    epochs = 2
    data, expected = uninterrupted(folder, epochs)
    ticks = iter(range(1 << 62))
    clocks = {
        "stands still": lambda: 1e9,
        "runs backwards": lambda: 1e9 - 60 * next(ticks),
        "jumps": lambda: 1e9 + 86400 * (next(ticks) % 2),
    }
    for name, tells in clocks.items():
        kept = time.time, time.perf_counter
        time.time = time.perf_counter = tells
        try:
            train_cifar.main(
                list(map(str, training(data, folder / name, epochs, "--tensorboard")[1:]))
            )
        finally:
            time.time, time.perf_counter = kept
        assert result(run_of(folder / name)) == expected, name
        rows = run_log.read_log(run_of(folder / name))
        assert all(row["seconds"] > 0 and row["images_per_second"] > 0 for row in rows)
    yield "clock", len(clocks), "the same results; seconds and speeds stay positive"


@Fault
def memory(options, folder):
    """memory leaks in a long training"""
    data, batch = digits(folder), 16
    epochs = -(-options.steps // -(-1437 // batch))
    process = start(
        training(data, folder, epochs, "--batch-size", batch, "--checkpoint-epochs", epochs)
    )
    sizes, rows = {}, 0
    while process.poll() is None:
        time.sleep(0.02)
        if _rows(run_of(folder)) > rows:
            rows = _rows(run_of(folder))
            with contextlib.suppress(OSError, AttributeError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                sizes[rows] = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024
    assert process.returncode == 0, process.communicate()
    early = [size for epoch, size in sizes.items() if epochs / 4 <= epoch < epochs / 2]
    late = [size for epoch, size in sizes.items() if epoch >= 3 * epochs / 4]
    growth = np.median(late) - np.median(early)
    assert growth < 0.02 * np.median(early), sizes
    steps = epochs * -(-1437 // batch)
    quarters = f"{np.median(early):.1f} MiB in the second quarter, {growth:+.1f} MiB in the last"
    yield "memory", steps, f"steps; {quarters}"


def _generated(count, strategy, check):
    """Run ``check`` on ``count`` values of a strategy, the same each time."""
    how = settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    how(given(strategy)(check))()


@Fault
def bytes_(options, folder):
    """bytes cut, flipped, zeroed, deleted, inserted or swapped in each kind of file"""
    for name, case in damage.CASES.items():
        found = Counter()
        path, written, content = damage.fresh(case, folder)

        def check(changes):
            found[damage.outcome(case, path, written, damage.damaged(content, changes))] += 1  # noqa: B023

        with _quiet_libraries():
            _generated(options.cases, damage.DAMAGE, check)
        outcome = f"{found['refused']:,} refused, {found['accepted']:,} correctly accepted"
        yield name, sum(found.values()), outcome


@Fault
def forgery(options, folder):
    """values forged in the files of a run"""
    for name in damage.FORGED:
        found, run = Counter(), damage.forgeable(folder / name)

        def check(changes):
            found[damage.show_forged(run, name, changes)] += 1  # noqa: B023

        _generated(options.cases, damage.FORGERY, check)
        outcome = f"{found['left out']:,} left out, {found['shown']:,} shown"
        yield f"forged {name}", sum(found.values()), outcome


@contextlib.contextmanager
def _quiet_libraries():
    """Without what C libraries say of damaged images."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@Fault
def programs(options, folder):
    """programs started on files damaged like this"""
    rng, found = random.Random(0), Counter()
    data, _ = uninterrupted(folder, 2)
    (folder / "photographs").mkdir()
    photographs = write_photographs(folder / "photographs", classes=2)
    for number in range(options.programs):
        snapshot, copy = folder / f"snapshot{number}", folder / f"data{number}"
        shutil.copytree(folder.parent / "uninterrupted2", snapshot)
        run = run_of(snapshot)
        newest = checkpoint.latest(run / checkpoint.FOLDER)
        files = [newest / name for name in (*checkpoint.FILES, "state.json")]
        files += [run / run_folder.CONFIG, run / run_folder.ROWS]
        readers = [
            training(data, snapshot, 2, "--resume", run),
            ["evaluate.py", run, "--data-dir", data],
            ["show_results.py", snapshot],
        ]
        kind = number % 3
        if kind:
            shutil.copytree((data, photographs)[kind - 1], copy)
            files = [copy / "train.rec", copy / "train.idx"]
            verify = ["-m", "data.verify", files[0]]
            readers = [training(copy, snapshot, 1), verify]
        if kind == 2:
            flags = ["--network", "resnet", "--depth", "26", "--data-shape", "32", "--num-epochs"]
            flags += ["1", "--batch-size", "8", "--data-dir", copy, "--log-dir", snapshot]
            readers = [["train_imagenet.py", *flags, "--lr", "1e-4", "--quiet"], verify]
        path, words = rng.choice(files), rng.choice(readers)
        if path.name != run_folder.ROWS:  # a run that was stopped after its first epoch
            rows = run / run_folder.ROWS
            rows.write_bytes(rows.read_bytes().splitlines(True)[0])
        how = [damage.random_change(rng) for _ in range(rng.choice((1, 1, 2)))]
        path.write_bytes(damage.damaged(path.read_bytes(), how))
        status, err = end(start(words))
        err = re.sub("^note: .*\n", "", err, flags=re.M)  # names a damaged checkpoint
        told = status in (1, 2) and err.count("\n") == 1 and err.startswith("error: ")
        listed = "data.verify" in words and status == 1 and not err
        assert (status == 0 and not err) or told or listed, (words, path, how, status, err)
        found["refused" if status else "accepted"] += 1
        shutil.rmtree(snapshot)
        shutil.rmtree(copy, ignore_errors=True)
    outcome = f"{found['refused']} refused with a line, {found['accepted']} went on"
    yield "programs", options.programs, outcome


def make_parser():
    """The command line."""
    lines = [f"  {name:16} {fault.__doc__}" for name, fault in Fault.known.items()]
    parser = Parser(
        prog="python -m tests.chaos", description=__doc__, epilog=EXAMPLES + "\n".join(lines)
    )
    parser.add_argument(
        "faults", nargs="*", metavar="FAULT", help="names of faults, listed below; default: all"
    )
    add = parser.add_argument
    add("--kills", type=int, default=50, help="number of times that a run is killed; default: 50")
    add("--seed", type=int, default=0, help="seed of the moments of kills; default: 0")
    add("--cases", type=int, default=2000, help="damaged files of each kind; default: 2000")
    add("--programs", type=int, default=60, help="damaged files given to programs; default: 60")
    add("--steps", type=int, default=3000, help="steps of the long training; default: 3000")
    return parser


@command
def main(argv=None):
    """Do the faults, print the table; status 1 if anything was lost."""
    options = make_parser().parse_args(argv)
    for name in options.faults:
        if name not in Fault.known:
            raise InputError(f"there is no fault {name!r}{nearest(name, Fault.known)}")
    table, failed = [["fault", "cases", "outcome"]], False
    with tempfile.TemporaryDirectory(prefix="chaos-") as top:
        for name in options.faults or Fault.known:
            sys.stderr.write(f"{name}: {Fault.known[name].__doc__}\n")
            (Path(top) / name).mkdir()
            try:
                for what, cases, outcome in Fault.known[name](options, Path(top) / name):
                    table.append([what, f"{cases:,}", outcome])
            except Skip as reason:
                table.append([name, "0", f"left out: {reason}"])
            except Exception:
                traceback.print_exc()
                table.append([name, "", "FAILED, see above"])
                failed = True
    print(aligned(table))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
