"""tools.pages: outputs of published runs, and of those alone, stand in the pages."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from analysis.claims import CLAIMS
from tests.test_results import make_run
from tools import pages
from training.provenance import CODE

pytestmark = pytest.mark.medium


@pytest.mark.slow
def test_outputs_are_written_into_the_pages(tmp_path):
    (tmp_path / "docs").mkdir()
    readme, training = tmp_path / "README.md", tmp_path / "docs" / "training.md"
    page = tmp_path / "docs" / "REPRODUCTION.md"
    shown = (
        "# Title\n\n```console\n$ python show_results.py snapshot/\nold\n```\n\n```sh\nkept\n```\n"
    )
    for each in (readme, training):
        each.write_text(shown)
    page.write_text("old")
    readme.write_text(shown + "\n**3 claims: 2 supported.**\n")
    own = make_run(tmp_path / "snapshot", 1, [77.0])
    published = own.with_name("published1")
    assert pages.update(tmp_path) == [page, readme, training]
    assert training.read_text() == shown.replace("old", "no runs yet")
    text, verdicts = readme.read_text(), f"**{len(CLAIMS)} claims: 0 supported, 0 contradicted, "
    assert text.startswith(training.read_text() + f"\n{verdicts}")
    assert page.read_text().startswith("# Reproduction\n") and verdicts in page.read_text()
    assert "(claims.png)" not in page.read_text()  # no claim has an effect
    own.rename(published)
    assert pages.update(tmp_path) == [readme, training]
    assert "77.00" in readme.read_text() and "```\n\n```sh\nkept\n```\n" in readme.read_text()
    assert pages.update(tmp_path) == []


@pytest.mark.slow
def test_the_claims_are_drawn_again_only_if_they_differ(tmp_path):
    shutil.copytree(CODE / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("gallery"))
    shutil.copy(CODE / "README.md", tmp_path)
    for name in ("cross_d26w1", "resnet_d26w1"):
        source = Path("snapshot", "cifar10", name)
        shutil.copytree(CODE / source / "published1", tmp_path / source / "published1")
    picture = tmp_path / "docs" / "claims.png"
    assert picture in pages.update(tmp_path)  # other runs than those of the project
    with Image.open(picture) as drawn:
        assert "claims: 0 supported, 0 contradicted" in drawn.info["Description"]
    with Image.open(picture) as drawn:
        drawn.convert("1").save(picture, pnginfo=copy_texts(drawn))
    assert pages.update(tmp_path) == []  # another version of matplotlib draws other pixels
    picture.unlink()
    assert pages.update(tmp_path) == [picture]


def copy_texts(picture):
    texts = PngInfo()
    for name, text in picture.text.items():
        texts.add_text(name, text)
    return texts
