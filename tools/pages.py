"""Write the outputs of programs that pages show, and docs/REPRODUCTION.md: python -m tools.pages.

Outputs are those of a fresh clone, whose snapshot/ has the published runs alone. In a page, a block
that begins with ```console has commands, each after a $, and what they print. The sentence that
counts the claims with each verdict is written into README, and the claims are drawn.
"""

import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from command import Parser, command
from filesystem import write_bytes, write_text
from training.provenance import CODE
from training.run_folder import is_published

SHOWING = ("README.md", "docs/training.md")  # pages with outputs of programs
REPRODUCTION, CLAIMS = "docs/REPRODUCTION.md", "docs/claims.png"
VERDICTS = re.compile(r"\*\*\d+ claims: .*?\*\*")  # the sentence that counts them


def render(root=CODE):
    """Return {path below ``root``: content as it should be} of what shows outputs of programs.

    A page's content is its text, that of the picture of the claims its bytes.
    """
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
        (verdicts,) = VERDICTS.findall(found[REPRODUCTION])
        for name in SHOWING:
            text = (root / name).read_text(encoding="utf-8")
            text = re.sub(r"```console\n.*?```\n", fill, text, flags=re.DOTALL)
            found[name] = VERDICTS.sub(verdicts, text)
        if f"({Path(CLAIMS).name})" in found[REPRODUCTION]:
            run_program(["reproduce.py", "--plot", "claims.png"])
            found[CLAIMS] = (clone / "claims.png").read_bytes()
        return found


def is_current(path, content):
    """Return whether the file at ``path`` has ``content`` or, if a picture, its description.

    The bytes of a picture differ between versions of matplotlib. After a change of the drawing
    itself, remove the picture first.
    """
    if not path.exists():
        return False
    if isinstance(content, str):
        return path.read_text(encoding="utf-8") == content
    return _description(path) == _description(BytesIO(content))


def _description(picture):
    with Image.open(picture) as opened:
        return opened.info.get("Description")


def update(root=CODE):
    """Write what differs from what it should be; return the paths."""
    changed = []
    for name, content in render(root).items():
        path = root / name
        if not is_current(path, content):
            write = write_text if isinstance(content, str) else write_bytes
            write(path, content)
            changed.append(path)
    return changed


@command
def main(argv=None):
    """Write the pages and name those that changed."""
    Parser(prog="python -m tools.pages", description=__doc__).parse_args(argv)
    for path in update():
        print(path)


if __name__ == "__main__":
    sys.exit(main())
