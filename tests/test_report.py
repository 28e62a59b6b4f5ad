"""The page of results, also in a browser where there is one."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape

import pytest

import show_results
from plotting.figure import COLOURS
from tests.test_results import make_run
from tests.test_run_folder import finished
from tests.test_scripts import refused

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
PNG = b"\x89PNG\r\n\x1a\nno more of it"

# What a reader does and sees; its answer takes the place of the page.
READER = """
const elements = root => [...root.querySelectorAll("*")].flatMap(
  element => [element, ...(element.shadowRoot ? elements(element.shadowRoot) : [])]);
const pixels = wanted => elements(document).filter(each => each.tagName === "CANVAS" && each.width)
  .map(canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
      count += wanted.every((value, part) => data[i + part] === value);
    return count;
  }).reduce((a, b) => a + b, 0);
const names = () => [...document.querySelector("tbody").rows].map(row => row.cells[1].textContent);
const heading = name => [...document.querySelectorAll("th button")].find(
  button => button.textContent === name);
const click = name => { heading(name).click(); return names(); };
async function read() {
  for (let tries = 0; tries < 300 && pixels(WANTED) < 100; tries++)
    await new Promise(done => setTimeout(done, 50));
  const answer = {
    pixels: pixels(WANTED),
    before: names(),
    sorted: click("test error %"),
    reversed: click("test error %"),
    marked: heading("test error %").parentElement.getAttribute("aria-sort"),
    parameters: click("parameters"),
    paper: click("paper %"),
    hacked: window.hacked === undefined ? "no" : "yes",
    scripts: document.scripts.length,
    pictures: [...document.images].map(image => image.getAttribute("src").slice(0, 15)),
    loaded: performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:")),
  };
  const text = document.createElement("pre");
  text.id = "answer";
  text.textContent = JSON.stringify(answer);
  document.body.replaceChildren(text);
}
read();
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of three settings of CIFAR-10, a hostile run and a damaged one."""
    pytest.importorskip("bokeh")
    top = tmp_path_factory.mktemp("snapshot")
    for seed, errors in ((1, [60.0, 9.0]), (2, [50.0, 10.0]), (3, [55.0, 11.0])):
        folder = make_run(top, seed, errors, depth=14, parameters=2000000)
    (folder / "curves.png").write_bytes(PNG)
    make_run(top, 4, [60.0, 9.5], depth=20, parameters=300000)
    make_run(top, 5, [60.0, 30.0], depth=110, parameters=1000000)
    texts = {"network": HOSTILE, "recipe_name": HOSTILE, HOSTILE: HOSTILE, "commit": HOSTILE}
    hostile = make_run(
        top, 1, [70.0], dataset=f"of {HOSTILE}", machine={"exp_name": HOSTILE}, **texts
    )
    (hostile / "curves.png").write_bytes(b"<svg onload='window.hacked = 1'>")
    damaged = finished(top / HOSTILE.replace("/", "_") / "run1")
    (damaged / "config.json").write_text("{")
    file = top / "report.html"
    show_results.main([str(top), "--html", str(file)])
    return file


def test_what_comes_from_runs_is_only_text(page):
    text = page.read_text()
    assert "<script>window" not in text
    assert "<img src=x" not in text
    assert "<svg onload" not in text
    assert unescape(text).count(HOSTILE) > 5
    assert "is damaged" in text


def test_it_loads_nothing_and_holds_the_pictures(page):
    text = page.read_text()
    assert not re.search(r"<(script|img|iframe)[^>]* src=(?![\"']?data:)", text)
    assert "<link" not in text
    assert "default-src 'none'" in text  # the browser sees to it too
    assert text.count('src="data:image/png;base64,') == 1


def test_without_the_library_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    make_run(tmp_path, 1, [60.0, 5.0])
    monkeypatch.setitem(sys.modules, "bokeh.resources", None)
    flags = [tmp_path, "--html", tmp_path / "report.html"]
    status, err = refused(capsys, *flags, main=show_results.main)
    assert (status, "pip install bokeh" in err) == (2, True)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_without_network_draws_and_sorts_it(page, tmp_path):
    text = page.read_text()
    nonce = re.search(r'<script nonce="([^"]+)"', text).group(1)
    wanted = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)] + [255]
    reader = f'<script nonce="{nonce}">const WANTED = {wanted};{READER}</script></body>'
    copy = tmp_path / "page.html"
    copy.write_text(reader.join(text.rsplit("</body>", 1)))
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9"]
    words += [f"--user-data-dir={tmp_path}", "--window-size=1200,1600"]
    words += ["--virtual-time-budget=30000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    answer = json.loads(unescape(found.group(1)))
    assert answer["pixels"] >= 100
    assert answer["before"] == ["14", "20", "110"]
    assert answer["sorted"] == ["20", "14", "110"]
    assert answer["reversed"] == ["110", "14", "20"]
    assert answer["marked"] == "descending"
    assert answer["parameters"] == ["20", "110", "14"]
    assert answer["paper"][0] == "110"  # the others have none
    assert answer["hacked"] == "no"
    assert answer["scripts"] == 2 + 1 + 2  # a figure a data set, the test's, library and page
    assert answer["pictures"] == ["data:image/png;"]
    assert answer["loaded"] == []
