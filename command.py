"""Shared code of the commands: report bad input in one line, with status 2 and no traceback."""

import argparse
import difflib
import functools
import os
import re
import signal
import sys
import threading
from pathlib import Path


class CommandError(Exception):
    """Ends a command with its message as one line on stderr and ``status``.

    Args:
        message: one line.
        argument: name of a function's argument or of an option in the message, or several names;
            programs show their flags instead.
    """

    status = 1

    def __init__(self, message, argument=None):
        super().__init__(message)
        self.argument = argument


class InputError(CommandError, ValueError):
    """The user's input cannot be used; the message says what is wrong, where, and what to do."""

    status = 2


class StorageError(CommandError, OSError):
    """A file could not be read or written; the message says which, why and what to do."""

    status = 2


class Interrupted(CommandError):
    """The command was interrupted (Ctrl-C); the message says how to resume."""

    status = 130


FLAGS = {  # name of an option -> its flag, if it does not follow from the name
    "epochs": "--num-epochs",
    "augmentation": "--aug-type",
    "train_file": "--train-dataset",
    "test_file": "--val-dataset",
    "seed": "--rand-seed",
    "recipe_name": "--recipe",
}

# Required packages that are imported when they are needed; compat checks the others.
PACKAGES = ("graphviz", "matplotlib", "scipy", "sklearn")

PICTURE_SUFFIXES = (".png", ".svg")  # of the pictures that plotting draws


def flag_name(option):
    """Return the flag of an option, such as ``--batch-size`` for ``batch_size``."""
    return FLAGS.get(option, "--" + option.replace("_", "-"))


def nearest(word, words):
    """Return ``"; did you mean x?"`` for the word most similar to ``word``, or ""."""
    matches = difflib.get_close_matches(str(word), [str(other) for other in words], n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def last_line(error):
    """Return the last line of an exception's message, where MXNet gives the reason."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def require_positive(**values):
    """Raise an error unless every value is a whole number of at least 1.

    Raises:
        InputError: a value is not; the message contains its name.
    """
    for name, value in values.items():
        whole = hasattr(value, "__index__") and not isinstance(value, bool)
        if not whole or value < 1:
            raise InputError(
                f"{name} must be a whole number of at least 1, not {value!r}", argument=name
            )


def require_file_path(path):
    """Check the path of a file that will be written, before its content is computed.

    Raises:
        InputError: the path is a folder or a device such as /dev/null, which the file would
            replace, or its folder does not exist or cannot be written.
    """
    path = Path(path)
    if (path.exists() and not path.is_file()) or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: name a file in an existing folder")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: you may not write into {path.parent}")


def require_picture_path(path):
    """Check the path of a picture that will be drawn; see ``require_file_path``.

    Raises:
        InputError: the path cannot be written, or does not end in one of PICTURE_SUFFIXES.
    """
    require_file_path(path)
    if Path(path).suffix not in PICTURE_SUFFIXES:
        raise InputError(f"{path}: a picture's name ends in {' or '.join(PICTURE_SUFFIXES)}")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and suggest the most similar valid word."""

    def __init__(self, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        hint = ""
        wrong = re.search(r"unrecognized arguments: (-[^\s=]+)", message)
        if wrong:
            hint = nearest(wrong.group(1), self._option_string_actions)
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            hint = nearest(choice.group(1), re.findall(r"[\w:.-]+", choice.group(2)))
        self.exit(2, f"{self.prog}: {message}{hint} (--help explains every flag)\n")


def _end_output():
    """Flush stdout or discard it, so that Python does not report an error at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_outputs():
    """Make stdout escape characters that its encoding lacks, such as in names of files.

    Outputs that the caller has closed, as in ``>&-``, become ``os.devnull``.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (open until the end)
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


class Stop(KeyboardInterrupt):
    """A signal stops the program: raised by the handlers of Ctrl-C, SIGTERM and timers.

    After a KeyboardInterrupt itself within ``exec`` or ``eval`` of a string, ``python -m`` ends
    with SIGINT instead of its exit status, even if the exception was caught. ``namedtuple`` and
    ``dataclass`` execute strings, so it happens in imports. A subclass has no such effect.
    """


def _stop(signum, frame):
    raise Stop


def _handle_signals():
    """Make Ctrl-C, unless the caller ignores it, and SIGTERM stop the command."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def show_flags(error):
    """Return the message of an exception with flags in place of the arguments that it names."""
    message, argument = str(error), getattr(error, "argument", None) or ()
    for name in (argument,) if isinstance(argument, str) else argument:
        word = rf"(?<![\w./-]){name}(?![\w/-]|\.\w)"  # not a part of a path
        message = re.sub(word, flag_name(name), message, count=1)
    return message


def command(main):
    """Make ``main(argv=None)`` report bad input in one line on stderr, with exit status 2.

    Errors of the system (a full disk, a folder without permission), which have an ``errno``, are
    reported the same way, and so are missing packages. Everything else is a fault of the program
    and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv=None):
        _prepare_outputs()
        _handle_signals()
        try:
            result = main(argv)
            sys.stdout.flush()  # reports a full disk at the latest here
            return result
        except BrokenPipeError:  # the reader of the output has ended
            _end_output()
            raise SystemExit(1) from None
        except (CommandError, OSError) as error:
            if not isinstance(error, CommandError) and error.errno is None:
                raise  # an error of a library, whose traceback is needed
            message, status = show_flags(error), getattr(error, "status", 2)
        except ModuleNotFoundError as error:
            if error.name not in PACKAGES:
                raise
            message, status = f"{error.name} is not installed: run pip install -e .", 2
        except KeyboardInterrupt:
            message, status = "interrupted", Interrupted.status
        _end_output()
        message = re.sub(r"\[Errno -?\d+\] ", "", message)  # the text says the same
        sys.stderr.write("error: " + " ".join(message.split()) + "\n")
        raise SystemExit(status)

    return run
