"""Results as one page: sortable tables, interactive curves, and every run; without a network."""

import base64
import json
import secrets
import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Sequence

from plotting.curves import SUBNETWORKS
from results.aggregate import has_diverged, tabulate
from results.bokeh_plots import figure_items, library
from results.comparison import compare_settings
from results.formats import EXPLANATION, split_tables, table_rows
from training.run_folder import RunRecord, read_config
from training.serialization import write_whole

PICTURES = ("curves.png", *(f"{kind}s.png" for kind in SUBNETWORKS))
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

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 90rem; margin: 1.5rem auto;
  padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { border-bottom: 1px solid #bbb; margin-top: 2.5rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
.results { overflow-x: auto; margin-bottom: 1rem; }
.results td { font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.results th { background: #f3f3f3; white-space: nowrap; }
.sortable td { white-space: nowrap; }
.sortable td:nth-child(1), .sortable td:nth-child(7) { white-space: normal; min-width: 8rem; }
.sortable th { padding: 0; vertical-align: bottom; }
.note { margin: .2rem 0; font-size: .9rem; }
.figures { display: grid; gap: 1rem; margin-top: 1rem; grid-template-columns: 1fr 1fr; }
.figures > * { min-width: 0; }
.figures > :first-child { grid-column: 1 / -1; }
.results button { font: inherit; font-weight: bold; border: 0; background: none; cursor: pointer;
  padding: .35rem .7rem; width: 100%; text-align: left; }
th[aria-sort=ascending] button::after { content: " \\25b2"; }
th[aria-sort=descending] button::after { content: " \\25bc"; }
details { border: 1px solid #ddd; border-radius: 4px; padding: .4rem .8rem; margin: .4rem 0; }
summary { cursor: pointer; } summary, p, h2 { overflow-wrap: anywhere; }
.run { display: flex; flex-wrap: wrap; gap: 1.5rem; }
.run > div { flex: 1 1 24rem; } .run th { font-weight: normal; color: #555;
  min-width: 11rem; }
.word { display: inline-block; max-width: 100%; }
img { max-width: 100%; }
@media (max-width: 50rem) { body { padding: 0 .7rem; } .run > div { flex-basis: 100%; }
  .run th { min-width: 6rem; }
  .figures { grid-template-columns: minmax(0, 1fr); } }
"""

SCRIPT = """
for (const figures of document.querySelectorAll("script.figure"))
  for (const item of JSON.parse(figures.textContent)) Bokeh.embed.embed_item(item);

const number = text => parseFloat(text.replace(/,/g, ""));
function order(a, b) {
  const [x, y] = [number(a), number(b)];
  if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a.localeCompare(b);
  return x - y;
}
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const direction = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const text = row => row.cells[head.cellIndex].textContent;
    const filled = [...body.rows].filter(row => text(row));
    const empty = [...body.rows].filter(row => !text(row));
    filled.sort((a, b) => direction * order(text(a), text(b)));
    body.append(...filled, ...empty);
  });
"""


@dataclass(frozen=True)
class Section:
    """A part of the page besides the results: a table, and pictures below it.

    The first of ``rows`` is the heading; cells are plain text. A picture is the path of a PNG.
    """

    title: str
    rows: Sequence[Sequence[str]]
    pictures: Sequence[Path] = ()


def write_report(
    path,
    settings: Sequence[Sequence[RunRecord]],
    left_out: Sequence[RunRecord],
    sections: Sequence[Section] = (),
) -> None:
    """Write the page at ``path``, whole or not at all.

    Args:
        settings, left_out: of results.aggregate.read_settings.
        sections: what else the page has, before the list of runs.

    Raises:
        InputError: Bokeh is not installed.
    """
    drawing = library().replace("</script", "<\\/script")
    body = [*_result_blocks(settings), *map(_section, sections), "<h2>Runs</h2>"]
    runs = [_run(record) for records in settings for record in records]
    body += runs or ["<p>There are no finished runs.</p>"]
    if left_out:
        body += ["<h2>Left out</h2>", *map(_run, left_out)]
    nonce = secrets.token_urlsafe()
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'nonce-{nonce}'">
<title>Results</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Results</h1>
<p>{escape(EXPLANATION)} A click on a heading sorts its table; a click on a name below a figure
hides its lines.</p>
{"".join(body)}
<script nonce="{nonce}">{drawing}</script>
<script nonce="{nonce}">{SCRIPT}</script>
</body>
</html>
"""
    write_whole(Path(path), page)


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
            f'<script class="figure" type="application/json">{_inert(json.dumps(drawn))}</script>'
        )
    return blocks


def _inert(text):
    """Return JSON that cannot end the element it is in."""
    return text.replace("<", "\\u003c")


def _results_table(results):
    """Return the table of some Results, whose headings sort it, and its footnotes."""
    (heading, *rows), notes = table_rows(results)
    for cells, result in zip(rows, results):
        if result.column is not None:  # sorted, it may stand far from its network
            cells[0] = f"{result.network}, column {result.column} alone"
    buttons = [f'<button type="button">{escape(name)}</button>' for name in heading]
    footnotes = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return _table(buttons, rows, "results sortable") + footnotes


def _section(section):
    """Return a Section: its heading, table and pictures."""
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
    """Return a run: its errors, settings, environment and pictures."""
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
    """Return a run's last errors, or why it does not count."""
    if record.problem:
        return record.problem
    last = record.rows[-1]
    errors = f"{record.run.tested_on} error {last['test_error']:.2f}%, "
    errors += f"train error {last['train_error']:.2f}%"
    return f"{errors}, diverged" if has_diverged(record) else errors


def _values(config):
    """Return a table with a line for each value of ``config``, and of the objects inside it."""
    rows = (f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in _flatten(config))
    return f"<table>{''.join(rows)}</table>"


def _flatten(config, prefix=""):
    """Yield (name, HTML) of every value; those inside others have names such as a.b and a.1.

    A command becomes a line for a shell, which breaks between its words alone.
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
            yield name, escape(value if isinstance(value, str) else json.dumps(value))


def _pictures(paths):
    """Return the PNGs at ``paths`` inside the page; others are left out."""
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
