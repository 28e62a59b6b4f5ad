"""Write the outputs of programs that pages show, and docs/REPRODUCTION.md: python -m tools.pages.

Outputs are those of a fresh clone, whose snapshot/ has the published runs alone. In a page, a block
that begins with ```console has commands, each after a $, and what they print.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from command import Parser, command
from filesystem import write_text
from training.provenance import CODE
from training.run_folder import is_published

SHOWING = ("README.md", "docs/training.md")  # pages with outputs of programs
REPRODUCTION = "docs/REPRODUCTION.md"


def render(root=CODE):
    """Return {path below ``root``: text as it should be} of the pages that show outputs."""
    with TemporaryDirectory() as folder:
        clone = Path(folder)
        (clone / "snapshot").mkdir()
        for run in sorted((root / "snapshot").glob("*/*/*")):
            if is_published(run):
                shutil.copytree(run, clone / run.relative_to(root))

        def run_program(words):
            words = [sys.executable, str(CODE / words[0]), *words[1:]]
            done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=True)
            return done.stdout

        def fill(block):
            parts = []
            for line in re.findall(r"^\$ python .*$", block.group(), re.MULTILINE):
                parts.append(f"{line}\n{run_program(line.split()[2:]).rstrip()}\n")
            return "```console\n" + "\n".join(parts) + "```\n"

        found = {REPRODUCTION: run_program(["reproduce.py", "--markdown"])}
        for name in SHOWING:
            text = (root / name).read_text(encoding="utf-8")
            found[name] = re.sub(r"```console\n.*?```\n", fill, text, flags=re.DOTALL)
        return found


def update(root=CODE):
    """Write the pages that differ from what they should be; return their paths."""
    changed = []
    for name, text in render(root).items():
        if (root / name).read_text(encoding="utf-8") != text:
            write_text(root / name, text)
            changed.append(root / name)
    return changed


@command
def main(argv=None):
    """Write the pages and name those that changed."""
    Parser(prog="python -m tools.pages", description=__doc__).parse_args(argv)
    for path in update():
        print(path)


if __name__ == "__main__":
    sys.exit(main())
