"""tools.pages: outputs of published runs, and of those alone, stand in the pages."""

import pytest

from tests.test_results import make_run
from tools import pages

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
    own = make_run(tmp_path / "snapshot", 1, [77.0])
    published = own.with_name("published1")
    assert pages.update(tmp_path) == [page, readme, training]
    assert readme.read_text() == training.read_text() == shown.replace("old", "no runs yet")
    assert page.read_text().startswith("# Reproduction\n")
    own.rename(published)
    assert pages.update(tmp_path) == [readme, training]
    text = readme.read_text()
    assert "77.00" in text and text.endswith("```\n\n```sh\nkept\n```\n")
    assert pages.update(tmp_path) == []
