import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command import (
    CommandError,
    InputError,
    Interrupted,
    Parser,
    StorageError,
    command,
    nearest,
    require_file_path,
)

ROOT = Path(__file__).resolve().parents[1]


def parser():
    parser = Parser(prog="train")
    parser.add_argument("--network", choices=["cross", "fuse3", "resnet"])
    parser.add_argument("--batch-size", type=int)
    return parser


def error_line(capsys):
    """The one line of stderr, where nothing else was written."""
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and output.err.endswith("\n")
    assert "Traceback" not in output.err
    return output.err.rstrip("\n")


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(arguments)
    assert end.value.code == 2
    return error_line(capsys)


def ended(error, capsys):
    """Status and line of a command in which ``error`` is raised."""

    @command
    def main(argv=None):
        raise error

    with pytest.raises(SystemExit) as end:
        main([])
    return end.value.code, error_line(capsys)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("crosss", "; did you mean cross?"), ("zzzz", ""), ("", ""), (101, "; did you mean 10?")],
)
def test_nearest(word, hint):
    assert nearest(word, ["cross", "resnet", 10]) == hint


def test_flags_are_parsed():
    args = parser().parse_args(["--network", "cross", "--batch-size=64"])
    assert (args.network, args.batch_size) == ("cross", 64)


@pytest.mark.parametrize("flag", ["--batchsize", "--batch_size", "--batchsize=64"])
def test_unknown_flag_suggests_the_nearest(capsys, flag):
    line = refused([flag, "64"], capsys)
    assert flag.split("=")[0] in line and "did you mean --batch-size?" in line and "--help" in line


def test_abbreviated_flag_is_not_guessed(capsys):
    assert "did you mean --batch-size?" in refused(["--batch-siz", "64"], capsys)


def test_unknown_flag_like_no_other_suggests_nothing(capsys):
    assert "did you mean" not in refused(["--xyzzy", "64"], capsys)


def test_unknown_value_suggests_the_nearest_and_lists_all(capsys):
    line = refused(["--network", "resnt"], capsys)
    assert "did you mean resnet?" in line
    assert all(name in line for name in ["cross", "fuse3", "resnet"])


def test_value_of_the_wrong_type_names_flag_and_value(capsys):
    line = refused(["--batch-size", "many"], capsys)
    assert "--batch-size" in line and "many" in line


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("depth 3 is too small:\n  take 8"), 2, "error: depth 3 is too small: take 8"),
        (
            FileNotFoundError(2, "No such file", "a.rec"),
            2,
            "error: No such file: 'a.rec'",
        ),
        (OSError(28, "No space left on device"), 2, "error: No space left on device"),
        (
            StorageError("[Errno 30] Read-only file system; mend it"),
            2,
            "error: Read-only file system; mend it",
        ),
        (CommandError("two runs failed"), 1, "error: two runs failed"),
        (Interrupted("go on with --resume"), 130, "error: go on with --resume"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_foreseen_error_ends_with_one_line(capsys, error, status, line):
    assert ended(error, capsys) == (status, line)


@pytest.mark.parametrize("path", ["lr/run1", "runs/lr", "runs-lr/run1", "lr.old/run1", "./lr"])
def test_a_flag_replaces_the_argument_but_no_part_of_a_path(capsys, path):
    error = InputError(f"{path} diverged: try a smaller lr", argument="lr")
    assert ended(error, capsys) == (2, f"error: {path} diverged: try a smaller --lr")


@pytest.mark.parametrize("fault", [OSError("libx.so: cannot open"), TypeError("of a user's block")])
def test_a_fault_that_is_not_the_systems_keeps_its_traceback(fault):
    @command
    def main(argv=None):
        raise fault

    with pytest.raises(type(fault)) as caught:
        main([])
    assert caught.value is fault


def test_a_required_package_that_is_missing_is_named(capsys, monkeypatch):
    @command
    def main(argv=None):
        import matplotlib  # noqa: F401

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert error_line(capsys) == "error: matplotlib is not installed: run pip install -e ."


def test_mistake_of_the_program_keeps_its_traceback():
    @command
    def main(argv=None):
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        main([])


STOPPED = """import signal
from command import command
@command
def main(argv=None):
    exec("signal.raise_signal(signal.{})")
main([])
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_status_is_130_also_if_the_signal_arrives_within_exec_of_a_string(name, tmp_path):
    (tmp_path / "stopped.py").write_text(STOPPED.format(name))
    words = [sys.executable, "-m", "stopped"]  # only with -m does Python end otherwise
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"error: interrupted\n")


PROGRAM = """from command import command
@command
def main(argv=None):
    print("a table")
main()"""


def test_a_full_disk_below_what_is_printed_is_one_line():
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_closed_outputs_do_not_end_a_command():
    """As in cron jobs that close them; Python then has None in their place."""
    program = PROGRAM.replace("print(", "sys.stderr.write('a note'); print(")
    words = f"{shlex.quote(sys.executable)} -c {shlex.quote('import sys;' + program)} >&- 2>&-"
    assert subprocess.run(["sh", "-c", words], cwd=ROOT).returncode == 0


def test_command_passes_arguments_and_result_on():
    @command
    def main(argv=None):
        """What it does."""
        return argv

    assert main(["--lr", "1"]) == ["--lr", "1"] and main() is None
    assert main.__doc__ == "What it does."


def test_names_that_the_output_cannot_encode_are_shown_by_their_codes():
    code = (
        "import sys; sys.path.insert(0, '.'); from command import command\n"
        "main = command(lambda argv: print('caf\\udce9 \\u65e5 ok'))\n"
        "main()"
    )
    for encoding, shown in (("ascii", b"caf\\udce9 \\u65e5 ok\n"), ("utf-8", None)):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == (shown or "caf\\udce9 日 ok\n".encode())


def test_a_file_in_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    require_file_path(tmp_path / "x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"x cannot be written: you may not write into {tmp_path}"):
        require_file_path(tmp_path / "x")
