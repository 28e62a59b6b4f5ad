"""Check every record of a file and list the bad ones: python -m data.verify FILE.rec."""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from command import Parser, command
from data.checks import index_path, index_problems, label_problem
from data.images import open_image
from data.recordio import read_records

DESCRIPTION = """\
Check a .rec file: the framing, header, label and image of every record, and the .idx file
beside it, if there is one. MXNet ends the whole process on a damaged file; this program names the
bad records.

The exit status is 0 for an undamaged file, 1 if something is wrong with it (each bad record is
listed with its index and the reason), 2 if there is no such file.
"""

EXAMPLE = """\
example:
  python -m data.verify data/cifar10/train.rec --classes 10
"""

MANY_CLASSES = 20  # from this number on, the summary gives the range of the counts


class Findings:
    """The results of ``inspect`` for a file."""

    def __init__(self):
        self.bad = []  # (index, offset, problem)
        self.index_problems = []
        self.labels = Counter()
        self.sizes = Counter()  # (width, height, mode)
        self.count = 0


def inspect(path, classes=None):
    """Check everything in the .rec file ``path``, including the images; return the Findings."""
    findings = Findings()
    offsets = set()
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for record in read_records(path):
            bar.update(record.offset - bar.n)
            findings.count += 1
            problem = record.problem or label_problem(record.labels, classes)
            if record.problem is None:
                offsets.add(record.offset)
            try:
                image = None if problem else open_image(record.image)
            except ValueError as error:
                problem = str(error)
            if problem:
                findings.bad.append((record.index, record.offset, problem))
            else:
                findings.labels[int(record.labels[0])] += 1
                findings.sizes[image.size + (image.mode,)] += 1
    findings.index_problems = list(index_problems(path, offsets))
    return findings


def summary(findings):
    """Return lines that describe the good records of ``findings``."""
    counts = findings.labels
    if len(counts) < MANY_CLASSES:
        each = ", ".join(f"{label}: {counts[label]}" for label in sorted(counts))
    else:
        each = f"{min(counts)} to {max(counts)}, {min(counts.values())} to "
        each += f"{max(counts.values())} images each"
    sizes = findings.sizes.most_common()
    shown = ", ".join(f"{w}x{h} {mode}: {count}" for (w, h, mode), count in sizes[:5])
    if len(sizes) > 5:
        widths, heights, _ = zip(*findings.sizes)
        shown += f" and {len(sizes) - 5} more, {min(widths)}x{min(heights)} to "
        shown += f"{max(widths)}x{max(heights)}"
    return [
        f"records: {findings.count}",
        f"classes: {len(counts)} ({each})",
        f"sizes:   {shown}",
    ]


def report(path, findings):
    """Yield lines that describe all of ``findings``."""
    for index, offset, problem in findings.bad:
        yield f"record {index} (byte {offset}): {problem}"
    for problem in findings.index_problems:
        yield f"{index_path(path).name}: {problem}"
    if len(findings.bad) < findings.count:
        yield from summary(findings)
    if findings.bad or findings.index_problems:
        flaws = f"{path}: {len(findings.bad)} of {findings.count} records are bad"
        if findings.index_problems:
            flaws += (
                f"; {index_path(path).name} does not match: delete it, or make both files again"
            )
        yield flaws
    else:
        index = "the .idx file matches" if index_path(path).exists() else "there is no .idx file"
        yield f"{path}: no record is damaged, and {index}"


@command
def main(argv=None):
    """Check one file; return the exit status."""
    parser = Parser(prog="python -m data.verify", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("file", metavar="FILE.rec", help="the file to check")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="labels must be 0 to N-1 (default: any)"
    )
    arguments = parser.parse_args(argv)
    if arguments.classes is not None and arguments.classes < 1:
        parser.error(f"argument --classes: {arguments.classes} is not a number of classes")
    findings = inspect(arguments.file, arguments.classes)
    for line in report(arguments.file, findings):
        print(line)
    return 1 if findings.bad or findings.index_problems else 0


if __name__ == "__main__":
    sys.exit(main())
