"""Read lists that users write: the names of the classes, and the class of each file."""

import codecs
import csv
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from command import InputError, nearest

CLASSES = "classes.txt"  # names of the classes, one per line, in the order of their labels
BREAK = "[\r\n]"  # names of files and folders may have it, lines of a list may not
SEPARATORS = "\t,;"  # separators of columns; without any of them, spaces separate columns
# First bytes of text files: how each is encoded.
ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def find_encoding(data):
    """Return the encoding that the byte order mark of ``data`` names, or None if it has none."""
    return next((name for mark, name in ENCODINGS if data.startswith(mark)), None)


def composed(name):
    """Return the name with composed accents (Unicode NFC); macOS decomposes those of files."""
    return unicodedata.normalize("NFC", name)


def read_lines(path):
    """Return the lines of a text file, in UTF-8 or the encoding of its byte order mark.

    Bytes that are not UTF-8 are kept, as Python keeps those of file names.
    """
    data = Path(path).read_bytes()
    encoding = find_encoding(data) or "utf-8"
    text = data.decode(encoding, "strict" if encoding == "utf-16" else "surrogateescape")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_classes(folder):
    """Return the names of the classes of the photographs in ``folder``.

    Raises:
        InputError: the list is missing or is not a list of different names.
    """
    path = Path(folder) / CLASSES
    try:
        names = read_lines(path)
    except FileNotFoundError:
        raise InputError(
            f"there is no {path}: make it with python -m data.prepare imagenet --source DIR --out "
            f"{shlex.quote(str(folder))}, or write the names of the classes into it, one per line"
        ) from None
    except ValueError:
        names = []
    if len(set(names)) < max(len(names), 1) or "" in names:
        raise InputError(f"{path} must have a name on each line, and no name twice")
    return tuple(names)


def match_labels(path, files, names):
    """Return the label that the list at ``path`` gives to each of ``files``.

    A row has a file and its class: CSV, TSV, or separated by spaces. A list may give a file's path,
    the end of its path, or its name without the extension; of these, the longest one in the list
    counts. It may give a class's name or, if no name is a number, its position in ``names``, from
    0.

    Args:
        files: paths, with / between folders.
        names: names of the classes, in the order of their labels.

    Raises:
        InputError: a row is not a file and its class, a file has two classes or none, or a row fits
            several files.
    """
    files = [composed(file) for file in files]
    labels = {composed(name): label for label, name in enumerate(names)}
    if not any(name.isdigit() for name in names):
        labels.update({str(label): label for label in range(len(names))})
    known = {key for file in files for key in _possible_names(file)}
    listed = {}
    for row, (number, file, text) in enumerate(_read_rows(path)):
        label = _find_class(text, labels)
        if label is None and row == 0 and file not in known:
            continue  # a heading
        if label is None:
            raise InputError(
                f"{path}: line {number} is not a file and its class (a name of a folder in train"
                f"{'' if '0' not in labels else f', or 0 to {len(names) - 1}'}): {file[:40]!r}, "
                f"{text[:40]!r}{nearest(text, names)} (names with spaces need quotes, or commas or "
                "tabs between the columns)"
            )
        if listed.setdefault(file, label) != label:
            raise InputError(
                f"{path}: line {number} gives {file} another class than an earlier line"
            )
    return _assign(path, files, listed)


def _read_rows(path):
    """Yield (line number, file, class) of each line of a list that is not empty.

    Spreadsheets write an empty line as separators alone.
    """
    try:
        lines = read_lines(path)
    except ValueError as error:
        raise InputError(f"{path} is not a text file: {error}") from None
    numbered = enumerate(lines, 1)
    filled = [(n, line.strip(" ")) for n, line in numbered if line.strip(f" {SEPARATORS}")]
    separator = next((s for s in SEPARATORS if all(s in line for _, line in filled)), " ")
    for number, line in filled:
        try:
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        except csv.Error as error:  # such as a line that is too long
            raise InputError(f"{path}: line {number} cannot be read: {error}") from None
        file, *rest = cells  # a quote that is not closed hides the separators
        text = " ".join(rest if separator == " " else rest[:1])
        yield number, composed(file.strip().replace("\\", "/")), composed(text.strip())


def _find_class(text, labels):
    """Return the label of the class ``text``, or None.

    Kaggle's lists add boxes after a class and repeat the class: "ant 1 2 3 4 ant 5 6 7 8".
    """
    if text in labels:
        return labels[text]
    name, *rest = text.split() or [""]
    boxes = rest and all(word == name or re.fullmatch(r"-?[0-9.]+", word) for word in rest)
    return labels.get(name) if boxes else None


def _possible_names(file):
    """Yield the names that a list may use for ``file``, longest first: path ends, then its stem."""
    parts = PurePosixPath(file).parts
    for start in range(len(parts)):
        yield "/".join(parts[start:])
    yield PurePosixPath(file).stem


def _assign(path, files, listed):
    """Return the label of each file, given {file as named in the list: label}."""
    entries = defaultdict(set)  # another name of a listed file -> its name in the list
    for entry in listed:
        for name in _possible_names(entry):
            entries[name].add(entry)
    chosen = {}
    for file in files:
        found = next((entries[name] for name in _possible_names(file) if name in entries), None)
        if found is None:
            raise InputError(f"{path} does not give the class of {file}")
        if len({listed[entry] for entry in found}) > 1:
            raise InputError(f"{path} has several lines that may be {file}: give its full name")
        chosen[file] = min(found)
    times = Counter(chosen.values())
    for file, entry in chosen.items():
        if times[entry] > 1:
            raise InputError(f"{path}: {entry} may be {file} or another file: give full names")
    return [listed[chosen[file]] for file in files]
