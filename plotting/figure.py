"""Define the common style of all pictures, and write a picture completely or not at all."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Optional, Tuple

# Also for colour-blind readers.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
BLACK = "#000000"
MARKERS = "osD^vP"
TITLE = 12  # points
GLYPH = 0.62  # approximate width of a character, as a share of its font's size
_LETTER = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]"  # letters of Hebrew, Arabic, Syriac, ...
RIGHT_TO_LEFT = re.compile(f"{_LETTER}(?:[ {_LETTER[1:-1]}]*{_LETTER})?")


def new_figure(size: Tuple[float, float] = (9, 3.6)):
    """Return a matplotlib Figure of ``size`` inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def start_at_zero(axes) -> None:
    """Start the vertical axis at 0 and leave room for the markers of the highest values."""
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def use_whole_ticks(axes) -> None:
    """Put the ticks of the horizontal axis at whole numbers only, even if it shows only one."""
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def estimate_width(text: str, points: float) -> float:
    """Return the approximate width, in inches, of a line of text of the size ``points``."""
    return GLYPH * points * len(text) / 72


def add_title(figure, title: str) -> None:
    """Write a user's ``title`` above all panels; one that is too long has smaller letters."""
    text = literal_text(title)
    share = figure.get_figwidth() / max(estimate_width(text, TITLE), 1)
    figure.suptitle(text, fontsize=TITLE * min(share, 1))


def save_figure(figure, path, description: str = "") -> None:
    """Write the PNG, or the SVG by its ending, at ``path``: completely or not at all.

    Args:
        description: text for the file's metadata.
    """
    _set_fonts(figure)
    path = Path(path)
    aside = path.with_name(f".{path.name}")
    try:
        metadata = {"Description": description} if description else None
        form = "svg" if path.suffix == ".svg" else "png"
        figure.savefig(aside, format=form, dpi=120, metadata=metadata)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def literal_text(text) -> str:
    """Return a user's text so that matplotlib draws every character literally.

    A ``$`` does not begin a formula, a leading ``_`` does not hide a line from the legend, and a
    character that no installed font has is written as its code, such as ``\\u65e5``.
    """
    drawn = "".join(
        each if _font_with(each) else each.encode("unicode_escape").decode() for each in str(text)
    )
    drawn = f" {drawn}" if drawn.startswith("_") else drawn
    return order_letters(drawn).replace("$", r"\$")


def order_letters(text: str, version: Optional[Tuple[int, ...]] = None) -> str:
    """Return ``text`` with right-to-left words reversed for versions that do not do this.

    Args:
        version: matplotlib's version as numbers; None means the installed one. From 3.11 on, it
            orders and joins letters itself; earlier versions draw them one by one from the left.
    """
    from matplotlib import __version_info__ as installed

    if tuple((version or installed)[:2]) >= (3, 11):
        return text
    return RIGHT_TO_LEFT.sub(lambda match: match.group()[::-1], text)


def _set_fonts(figure):
    """Set the fonts of every text of ``figure`` to those with its characters, usual one first."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        others = {_font_with(each) for each in text.get_text()} - {"", _default_font()}
        if others:
            text.set_fontfamily([_default_font(), *sorted(others)])


def _default_font():
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans").get_name()  # part of matplotlib


@lru_cache(maxsize=None)
def _font_with(character):
    """Return the family of an installed font that has ``character``, or "" if there is none."""
    from matplotlib.font_manager import fontManager

    default = _default_font()
    if character.isascii() and character.isprintable():
        return default
    fonts = sorted(fontManager.ttflist, key=lambda font: (font.name != default, font.name))
    found = (font.name for font in fonts if ord(character) in _characters(font.fname))
    return next(found, "")


@lru_cache(maxsize=None)
def _characters(path):
    """Return the code points that the font at ``path`` has glyphs for."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
        if font.family_name.startswith("Last Resort"):  # it has a sign for any character
            return frozenset()
        return frozenset(font.get_charmap())
    except (OSError, RuntimeError):  # the file was removed since, or is damaged
        return frozenset()
