"""What every command shares: errors of one line, exit status 2, and no traceback for bad input."""

import argparse
import difflib
import functools
import re
import sys


class InputError(ValueError):
    """What somebody gave cannot be used; the message says in one line what, where and what to do."""


def nearest(word, words):
    """``"; did you mean x?"`` for the word most like ``word``, or nothing."""
    matches = difflib.get_close_matches(str(word), [str(other) for other in words], n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and name the flag or value most like the wrong one."""

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


def command(main):
    """Make ``main(argv=None)`` end bad input with one line on stderr and status 2."""

    @functools.wraps(main)
    def run(argv=None):
        try:
            return main(argv)
        except (InputError, OSError) as error:
            message = " ".join(str(error).split())
            sys.stderr.write(f"error: {message}\n")
            raise SystemExit(2) from None

    return run
