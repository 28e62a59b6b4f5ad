"""Define the style and the script of a page that is one file and needs no network access."""

import secrets
from html import escape
from typing import Sequence

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
.figures > * { min-width: 0; overflow-x: auto; }
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
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const text = row => row.cells[head.cellIndex].textContent;
    const filled = [...body.rows].filter(row => text(row));
    const empty = [...body.rows].filter(row => !text(row));
    filled.sort((a, b) => direction * order(text(a), text(b)));
    body.append(...filled, ...empty);
  });
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'nonce-{nonce}'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{explanation}</p>
{body}
<script nonce="{nonce}">{library}</script>
<script nonce="{nonce}">{script}</script>
</body>
</html>
"""


def render_page(title: str, explanation: str, body: Sequence[str], library: str) -> str:
    """Return the page as HTML.

    Args:
        title, explanation: plain text.
        body: HTML; tables of the class ``sortable`` can be sorted, and scripts of the class
            ``figure`` hold lists of items for Bokeh as JSON.
        library: Bokeh's JavaScript.
    """
    return PAGE.format(
        nonce=secrets.token_urlsafe(),
        title=escape(title),
        style=STYLE,
        explanation=escape(explanation),
        body="\n".join(body),
        library=library.replace("</script", "<\\/script"),
        script=SCRIPT,
    )


def inert(text: str) -> str:
    """Return JSON that cannot end the element it is in."""
    return text.replace("<", "\\u003c")
