"""Format tables for a terminal and for Markdown."""

from typing import Callable, Dict, Sequence
from unicodedata import combining, east_asian_width


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines with aligned columns.

    The first row is the heading.
    """
    rows = [[escape_breaks(cell) for cell in row] for row in rows]
    widths = [max(map(measure_width, column)) for column in zip(*rows)]
    lines = (
        "  ".join(cell + " " * (width - measure_width(cell)) for cell, width in zip(row, widths))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def measure_width(text: str) -> int:
    """Return the places of a terminal for ``text``: 2 for a Chinese character, 0 for an accent."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a table in Markdown; the first row is the heading.

    A ``|`` in a cell does not end it.
    """
    escaped = ([escape_breaks(cell).replace("|", r"\|") for cell in row] for row in rows)
    head, *body = (f"| {' | '.join(row)} |" for row in escaped)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def escape_breaks(text: str) -> str:
    """Return ``text`` as one line: line breaks, which a file's name may have, are escaped."""
    return text.replace("\r", r"\r").replace("\n", r"\n")


TABLE_FORMATS: Dict[str, Callable[[Sequence[Sequence[str]]], str]] = {
    "text": aligned,
    "markdown": markdown,
}
