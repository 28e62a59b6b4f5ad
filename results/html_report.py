"""Results as one page: sortable tables, interactive curves, and every run; without a network."""

import base64
import json
import secrets
from html import escape
from pathlib import Path

from plotting.curves import SUBNETWORKS
from results.aggregate import CAPTION, COLUMNS, tabulate
from results.bokeh_plots import figure_json, library
from results.comparison import compare_settings
from training.run_folder import read_config
from training.serialization import write_whole

PICTURES = ("curves.png", *(f"{part}s.png" for part in SUBNETWORKS))
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
.results td { white-space: nowrap; font-variant-numeric: tabular-nums; }
.results th { white-space: nowrap; background: #f3f3f3; padding: 0; }
.results button { font: inherit; font-weight: bold; border: 0; background: none; cursor: pointer;
  padding: .35rem .7rem; width: 100%; text-align: left; }
th[aria-sort=ascending] button::after { content: " \\25b2"; }
th[aria-sort=descending] button::after { content: " \\25bc"; }
details { border: 1px solid #ddd; border-radius: 4px; padding: .4rem .8rem; margin: .4rem 0; }
summary { cursor: pointer; } .run { display: flex; flex-wrap: wrap; gap: 1.5rem; }
.run > div { flex: 1 1 24rem; } .run th { font-weight: normal; color: #555;
  min-width: 11rem; }
img { max-width: 100%; }
"""

SCRIPT = """
for (const figure of document.querySelectorAll("script.figure"))
  Bokeh.embed.embed_item(JSON.parse(figure.textContent), figure.dataset.target);

const number = text => parseFloat(text.replace(/,/g, ""));
function compare(a, b) {
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
    filled.sort((a, b) => direction * compare(text(a), text(b)));
    body.append(...filled, ...empty);
  });
"""


def write_report(path, settings, left_out):
    """Write the page at ``path``, whole or not at all.

    Args:
        settings, left_out: of results.aggregate.read_settings.

    Raises:
        InputError: Bokeh is not installed.
    """
    results, runs = tabulate(settings), [record for records in settings for record in records]
    drawing, nonce, parts = library(), secrets.token_urlsafe(), []
    for number, (dataset, compared) in enumerate(compare_settings(settings).items()):
        parts += [
            f"<h2>{escape(dataset)}</h2>",
            _table([result for result in results if result.dataset == dataset]),
            f'<div id="figure{number}"></div>',
            f'<script class="figure" data-target="figure{number}" type="application/json">'
            f"{_inert(figure_json(dataset, compared))}</script>",
        ]
    parts.append("<h2>Runs</h2>")
    parts += [_run(record) for record in runs] or ["<p>There are no finished runs.</p>"]
    if left_out:
        parts.append("<h2>Left out</h2>")
        parts += [_run(record) for record in left_out]
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'nonce-{nonce}'">
<title>Results</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Results</h1>
<p>{escape(CAPTION.capitalize())}. A click on a heading sorts; one on a legend's line hides it.</p>
{"".join(parts)}
<script nonce="{nonce}">{drawing.replace("</script", "<" + chr(92) + "/script")}</script>
<script nonce="{nonce}">{SCRIPT}</script>
</body>
</html>
"""
    write_whole(Path(path), page)


def _inert(text):
    """JSON that cannot end the element it is in."""
    return text.replace("<", "\\u003c")


def _table(results):
    """Results of one data set; a click on a heading sorts them."""
    heads = "".join(f'<th><button type="button">{escape(name)}</button></th>' for name in COLUMNS)
    rows = []
    for result in results:
        cells = [show(result) for show in COLUMNS.values()]
        if result.column is not None:  # sorted, it may stand far from its network
            cells[0] = f"{result.network}, column {result.column} alone"
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return (
        f'<div class="results"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _run(record):
    """A run: its errors, settings, environment and pictures."""
    if record.run is None:
        return f"<p>{escape(str(record.folder))}: {escape(record.problem)}</p>"
    what = record.problem
    if not what:
        last = record.rows[-1]
        what = f"test error {last['test_error']:.2f}%, train error {last['train_error']:.2f}%"
    config = read_config(record.folder)
    there = {name: config.pop(name) for name in ENVIRONMENT if name in config}
    pictures = "".join(_picture(record.folder / name) for name in PICTURES)
    return (
        f"<details><summary>{escape(str(record.folder))}: {escape(what)}</summary>{pictures}"
        f'<div class="run"><div><h3>Settings</h3>{_values(config)}</div>'
        f"<div><h3>Environment</h3>{_values(there)}</div></div></details>"
    )


def _values(config):
    """A line a value; those of an object are lines of their own."""
    lines = {}
    for name, value in config.items():
        inner = value.items() if isinstance(value, dict) else ()
        lines.update({f"{name}.{key}": each for key, each in inner} or {name: value})
    rows = (
        f"<tr><th>{escape(name)}</th><td>"
        f"{escape(value if isinstance(value, str) else json.dumps(value))}</td></tr>"
        for name, value in lines.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _picture(path):
    """The PNG at ``path`` inside the page, or nothing."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    if not content.startswith(PNG):
        return ""
    encoded = base64.b64encode(content).decode()
    return f'<img alt="{escape(path.name)}" src="data:image/png;base64,{encoded}">'
