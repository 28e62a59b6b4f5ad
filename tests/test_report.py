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
from results import Section, read_settings, write_report
from tests.test_results import make_run
from tests.test_run_folder import finished
from tests.test_scripts import refused
from training.recipe import get_recipe
from training.run_log import RunLog, read_log

pytestmark = pytest.mark.medium

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

# How wide the page, its figures and the end of its table are, once the figures are drawn.
MEASURE = """
async function measure() {
  const widths = () => [...document.querySelectorAll(".figures > div")].map(
    place => place.firstElementChild ? place.firstElementChild.getBoundingClientRect().width : 0);
  for (let tries = 0; tries < 300 && Math.min(...widths()) < 50; tries++)
    await new Promise(done => setTimeout(done, 50));
  const heads = [...document.querySelectorAll("th")];
  const text = document.createElement("pre");
  text.id = "answer";
  text.textContent = JSON.stringify({
    screen: innerWidth,
    page: document.documentElement.scrollWidth,
    paper: heads.find(head => head.textContent === "paper %").getBoundingClientRect().right,
    figures: widths(),
  });
  document.body.replaceChildren(text);
}
measure();
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


def test_a_command_is_a_line_for_a_shell(tmp_path):
    pytest.importorskip("bokeh")
    words = ["train_cifar.py", "--log-dir", "my runs", "--exp-name", "$x"]
    resumed = [{"epoch": 1, "command": ["train_cifar.py", "--resume", "a b"]}]
    make_run(tmp_path, 1, [5.0], command=words, resumed=resumed)
    write_report(tmp_path / "r.html", *read_settings(tmp_path))
    text = unescape(re.sub("<[^>]*>", "", (tmp_path / "r.html").read_text().split("<h2>Runs")[1]))
    assert "command" + "python train_cifar.py --log-dir 'my runs' --exp-name '$x'" in text
    assert "resumed.1.epoch1" in text
    assert "resumed.1.command" + "python train_cifar.py --resume 'a b'" in text


def test_names_of_classes_keep_their_letters(tmp_path):
    pytest.importorskip("bokeh")
    make_run(tmp_path, 1, [5.0], described={"class_names": ["r\u00f8d", "bl\u00e5"]})
    write_report(tmp_path / "r.html", *read_settings(tmp_path))
    assert '["r\u00f8d", "bl\u00e5"]' in unescape((tmp_path / "r.html").read_text("utf-8"))


def test_sections_stand_before_the_runs(tmp_path):
    pytest.importorskip("bokeh")
    (tmp_path / "a.png").write_bytes(PNG)
    rows = [["claim", "found"], ["a < b", HOSTILE]]
    pictures = [tmp_path / "a.png", tmp_path / "missing.png"]
    make_run(tmp_path, 1, [5.0])
    sections = [Section("Claims & more", rows, pictures)]
    write_report(tmp_path / "r.html", *read_settings(tmp_path), sections)
    page = (tmp_path / "r.html").read_text()
    (part,) = re.findall("<h2>Claims &amp; more</h2>.*(?=<h2>Runs)", page, re.DOTALL)
    assert "<th>claim</th><th>found</th>" in part
    assert "<td>a &lt; b</td>" in part
    assert HOSTILE not in part
    assert part.count("<img") == 1


def test_a_diverged_and_a_held_out_run_are_called_so(tmp_path):
    pytest.importorskip("bokeh")
    folder = make_run(tmp_path, 1, [90.0], val_split=100)
    (row,) = read_log(folder)
    RunLog(folder, print).rewrite([{**row, "test_loss": 5e10}])
    write_report(tmp_path / "r.html", *read_settings(tmp_path))
    page = (tmp_path / "r.html").read_text()
    assert "held-out error 90.00%, train error 45.00%, diverged" in page
    assert "held-out error %</button>" in page
    assert "test error" not in page.split("<body>")[1].split("<script nonce")[0]


def test_a_page_in_a_folder_that_is_not_there_is_refused_first(tmp_path, capsys):
    make_run(tmp_path, 1, [60.0, 5.0])
    for file in (tmp_path / "no" / "r.html", tmp_path):
        status, err = refused(capsys, tmp_path, "--html", file, main=show_results.main)
        assert (status, "name a file in an existing folder" in err) == (2, True)


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


def ask(page, script, folder, size):
    """What ``script`` writes into the page, in a browser without network."""
    text = page.read_text()
    nonce = re.search(r'<script nonce="([^"]+)"', text).group(1)
    copy = folder / "page.html"
    copy.write_text(
        f'<script nonce="{nonce}">{script}</script></body>'.join(text.rsplit("</body>", 1))
    )
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9"]
    words += [f"--user-data-dir={folder}", f"--window-size={size}"]
    words += ["--virtual-time-budget=30000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return json.loads(unescape(found.group(1)))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_fits_a_screen_and_a_phone(tmp_path, width):
    for seed, error in enumerate((4.9, 5.1, 4.8)):
        make_run(tmp_path, seed, [error], depth=62, widen_factor=4, parameters=14900000)
    recipe = get_recipe("deep-fusion", epochs=1, lr=0.05, weight_decay=0.0005, batch_size=128)
    changes = {"lr": 0.05, "weight_decay": 0.0005, "batch_size": 128}
    make_run(tmp_path, 3, [5.0], recipe=recipe, recipe_changes=changes, devices=2)
    show_results.main([str(tmp_path), "--html", str(tmp_path / "r.html")])
    found = ask(tmp_path / "r.html", MEASURE, tmp_path, f"{width},2000")
    assert found["screen"] == width
    assert found["page"] <= width  # nothing lies outside
    assert len(found["figures"]) == 3
    if width == 1400:
        assert found["paper"] < 1400
        assert found["figures"][0] > 1200
    else:
        assert min(found["figures"]) > 340


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_without_network_draws_and_sorts_it(page, tmp_path):
    wanted = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)] + [255]
    answer = ask(page, f"const WANTED = {wanted};{READER}", tmp_path, "1200,1600")
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
