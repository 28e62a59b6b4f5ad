"""Tables of words, for a terminal and for Markdown."""


def aligned(rows):
    """Columns padded to one width; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def markdown(rows):
    """The same as a table in Markdown."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


TABLE_FORMATS = {"text": aligned, "markdown": markdown}
