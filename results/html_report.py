"""Write results as one page: sortable tables, interactive curves, and every run."""

import base64
import json
import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Sequence, Union

from filesystem import write_text
from results.aggregate import tabulate
from results.bokeh_plots import figure_items, library
from results.comparison import compare_settings
from results.formats import EXPLANATION, split_tables, table_rows
from results.page import inert, render_page
from training.run_folder import PICTURES, read_config
from training.run_record import RunRecord

HINT = "Click a heading to sort its table; click a name below a figure to hide its lines."
PNG = b"\x89PNG\r\n"
ENVIRONMENT = (
    "command",
    "commit",
    "devices",
    "machine",
    "resumed",
    "threads",
    "versions",
    "workers",
)


@dataclass(frozen=True)
class Section:
    """A part of the page in addition to the results: a table, and pictures below it.

    The first of ``rows`` is the heading; cells are plain text. A picture is the path of a PNG.
    """

    title: str
    rows: Sequence[Sequence[str]]
    pictures: Sequence[Path] = ()


def write_report(
    path: Union[str, Path],
    settings: Sequence[Sequence[RunRecord]],
    left_out: Sequence[RunRecord],
    sections: Sequence[Section] = (),
) -> None:
    """Write the page at ``path``, completely or not at all.

    Args:
        settings, left_out: the values of results.aggregate.read_settings.
        sections: further parts of the page, before the list of runs.

    Raises:
        InputError: Bokeh is not installed.
    """
    drawing = library()
    body = [*_result_blocks(settings), *map(_section, sections), "<h2>Runs</h2>"]
    runs = [_run(record) for records in settings for record in records]
    body += runs or ["<p>There are no finished runs.</p>"]
    if left_out:
        body += ["<h2>Left out</h2>", *map(_run, left_out)]
    explanation = f"{EXPLANATION} {HINT}"
    write_text(Path(path), render_page("Results", explanation, body, drawing))


def _result_blocks(settings):
    """Return a heading, a table and figures for each table of results."""
    compared, blocks = compare_settings(settings), []
    for name, results in split_tables(tabulate(settings)).items():
        items = figure_items(compared[name])
        targets = [f"figure{len(blocks)}-{index}" for index in range(len(items))]
        drawn = [{**item, "target_id": target} for item, target in zip(items, targets)]
        places = "".join(f'<div id="{target}"></div>' for target in targets)
        blocks.append(
            f"<h2>{escape(name)}</h2>{_results_table(results)}"
            f'<div class="figures">{places}</div>'
            f'<script class="figure" type="application/json">{inert(json.dumps(drawn))}</script>'
        )
    return blocks


def _results_table(results):
    """Return a sortable table of some Results, and its footnotes."""
    (heading, *rows), notes = table_rows(results)
    for cells, result in zip(rows, results):
        if result.column is not None:  # sorting may separate it from its network
            cells[0] = f"{result.network}, column {result.column} alone"
    buttons = [f'<button type="button">{escape(name)}</button>' for name in heading]
    footnotes = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return _table(buttons, rows, "results sortable") + footnotes


def _section(section):
    """Return the HTML of a Section: its heading, table and pictures."""
    heading, *rows = section.rows
    table = _table([escape(cell) for cell in heading], rows, "results")
    return f"<h2>{escape(section.title)}</h2>{table}{_pictures(section.pictures)}"


def _table(heading, rows, kind):
    """Return a table that scrolls sideways; ``heading`` is HTML, ``rows`` are plain text."""
    head = "".join(f"<th>{cell}</th>" for cell in heading)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="{kind}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _run(record):
    """Return the HTML of a run: its errors, settings, environment and pictures."""
    if record.run is None:
        return f"<p>{escape(str(record.folder))}: {escape(record.problem)}</p>"
    config = read_config(record.folder)
    environment = {name: config.pop(name) for name in ENVIRONMENT if name in config}
    pictures = _pictures(record.folder / name for name in PICTURES)
    return (
        f"<details><summary>{escape(str(record.folder))}: {escape(_summarize(record))}</summary>"
        f'{pictures}<div class="run"><div><h3>Settings</h3>{_values(config)}</div>'
        f"<div><h3>Environment</h3>{_values(environment)}</div></div></details>"
    )


def _summarize(record):
    """Return a run's last errors, or the reason why it does not count."""
    if record.problem:
        return record.problem
    last = record.rows[-1]
    errors = f"{record.run.tested_on} error {last['test_error']:.2f}%, "
    errors += f"train error {last['train_error']:.2f}%"
    return f"{errors}, diverged" if record.diverged else errors


def _values(config):
    """Return a table with a line for each value of ``config``, and of the objects inside it."""
    rows = (f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in _flatten(config))
    return f"<table>{''.join(rows)}</table>"


def _flatten(config, prefix=""):
    """Yield (name, HTML) of every value; those inside others have names such as a.b and a.1.

    A command becomes a line for a shell, which is wrapped only between its words.
    """
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            value = dict(enumerate(value, 1))
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{name}.")
        elif key == "command" and isinstance(value, list):
            words = map(shlex.quote, ["python", *map(str, value)])
            yield name, " ".join(f'<span class="word">{escape(word)}</span>' for word in words)
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name, escape(text)


def _pictures(paths):
    """Return the PNGs at ``paths`` as HTML with embedded images; leave out unreadable ones."""
    images = []
    for path in map(Path, paths):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if content.startswith(PNG):
            encoded = base64.b64encode(content).decode()
            name = escape(path.name)
            images.append(f'<img alt="{name}" src="data:image/png;base64,{encoded}">')
    return "".join(images)
