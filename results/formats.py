"""Format the table of results as text, Markdown, CSV and JSON."""

import csv
import io
import json
import textwrap
from dataclasses import asdict
from typing import Callable, Dict, List, Sequence, Tuple

from plotting.tables import aligned, escape_breaks, markdown
from results.aggregate import Result, table_name
from training.run_record import RunRecord


def _describe_divergence(result):
    if not result.diverged:
        return ""
    seeds = ", ".join(map(str, result.diverged))
    return f"diverged (the loss exploded, or its last value is worse than guessing): seed {seeds}"


def _describe_stops(result):
    if not result.stopped_after:
        return ""
    return f"--early-stop ended runs after epoch {', '.join(map(str, result.stopped_after))}"


COLUMNS = {
    "network": lambda r: r.network if r.column is None else f"- column {r.column} alone",
    "depth": lambda r: "-" if r.depth is None else str(r.depth),
    "widen": lambda r: str(r.widen_factor),
    "layers": lambda r: "" if r.layers is None else str(r.layers),
    "parameters": lambda r: "" if r.parameters is None else f"{r.parameters:,}",
    "epochs": lambda r: str(r.epochs),
    "recipe": lambda r: r.recipe,
    "runs": lambda r: str(r.runs),
    "test error %": lambda r: str(r.test_error),
    "train error %": lambda r: str(r.train_error or ""),
    "paper %": lambda r: "" if r.paper is None else f"{r.paper:.2f}",
}
NOTES = {  # the footnote of a mark in a column
    "epochs": _describe_stops,
    "test error %": _describe_divergence,
    "paper %": lambda r: r.paper_note and f"not comparable with the paper: {r.paper_note}",
}
CAPTION = "errors of the last epoch"
EXPLANATION = (
    "Errors are those of the last epoch, in percent. One or two are listed; three or more are "
    "summarized as median (mean +/- std, best). The median is the error of one of the runs: if "
    "their number is even, the higher of the two in the middle. The standard deviation (std) "
    "divides by the number of runs. Best is the lowest of these errors. Train errors are means "
    "over the epoch, of what its steps trained: with drop-path a part of the network, in an "
    "ensemble its members. Runs in one line differ only in the seed; of runs with the same seed, "
    "only the newest counts."
)


def table_rows(results: Sequence[Result]) -> Tuple[List[List[str]], List[str]]:
    """Return (a row of cells for each Result of a table, the footnotes of their marks).

    The first row is the heading. A mark such as [1] follows the figure that its footnote explains.
    """
    heading = [name.replace("test", results[0].tested_on) for name in COLUMNS]
    numbers: Dict[str, int] = {}
    rows = [heading]
    for result in results:
        cells = []
        for name, show in COLUMNS.items():
            note = NOTES[name](result) if name in NOTES else ""
            mark = f"[{numbers.setdefault(note, len(numbers) + 1)}]" if note else ""
            cells.append(" ".join(filter(None, (show(result), mark))))
        rows.append(cells)
    return rows, [f"[{number}] {note}" for note, number in numbers.items()]


def split_tables(results: Sequence[Result]) -> Dict[str, List[Result]]:
    """Return ``{heading: its Results}``: a table for each data set and kind of test images."""
    tables: Dict[str, List[Result]] = {}
    for result in results:
        tables.setdefault(table_name(result), []).append(result)
    return dict(sorted(tables.items()))


def as_text(results: Sequence[Result], left_out: Sequence[RunRecord]) -> str:
    """Return aligned tables, then the runs left out, then an explanation of the figures."""
    explanation = "\n".join(textwrap.wrap(EXPLANATION, 100))
    return _tables(results, left_out, aligned, "{}: " + CAPTION, explanation)


def as_markdown(results: Sequence[Result], left_out: Sequence[RunRecord]) -> str:
    """Return the contents of ``as_text`` in Markdown."""
    heading = "### {}\n\n" + CAPTION.capitalize() + "\n"
    return _tables(results, left_out, markdown, heading, EXPLANATION)


def _tables(results, left_out, table, heading, explanation):
    blocks = []
    for name, listed in split_tables(results).items():
        rows, notes = table_rows(listed)
        blocks.append(heading.format(name) + "\n" + table(rows))
        if notes:
            blocks.append("\n".join(notes) if table is aligned else "\n\n".join(notes))
    if left_out:
        lines = [escape_breaks(f"- {record.folder}: {record.problem}") for record in left_out]
        blocks.append("\n".join(["left out:", *lines]))
    if results:
        blocks.append(explanation)
    return "\n\n".join(blocks) or "no runs yet"


def as_csv(results: Sequence[Result], left_out: Sequence[RunRecord]) -> str:
    """Return a line for each Result, then a line for each run left out.

    The last two columns have the folder and the problem of a run left out. ``diverged`` lists
    seeds, and ``stopped_after`` epochs, separated by spaces. A single run has no ``std``.
    """
    out = io.StringIO()
    names = [name for name in Result.__dataclass_fields__ if not name.endswith("_error")]
    kinds = ("median", "mean", "std", "best")
    figures = [f"{split}_error_{kind}" for split in ("test", "train") for kind in kinds]
    writer = csv.DictWriter(out, [*names, *figures, "left_out", "problem"], lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = {name: getattr(result, name) for name in names}
        for name in ("diverged", "stopped_after"):
            row[name] = " ".join(map(str, row[name]))
        for split in ("test", "train"):
            found = getattr(result, f"{split}_error")
            if found is not None:
                row.update({f"{split}_error_{kind}": getattr(found, kind) for kind in kinds})
                if result.runs == 1:
                    row[f"{split}_error_std"] = ""
        writer.writerow(row)
    for record in left_out:
        writer.writerow({"left_out": record.folder, "problem": record.problem})
    return out.getvalue().rstrip("\n")


def as_json(results: Sequence[Result], left_out: Sequence[RunRecord]) -> str:
    """Return a JSON object with ``results``, the fields of each Result, and ``left_out``."""
    left = [{"folder": str(record.folder), "problem": record.problem} for record in left_out]
    content = {"results": [asdict(result) for result in results], "left_out": left}
    return json.dumps(content, indent=1, allow_nan=False)


REPORT_FORMATS: Dict[str, Callable[[Sequence[Result], Sequence[RunRecord]], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}
