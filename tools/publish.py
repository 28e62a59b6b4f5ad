"""Publish finished runs, without paths and names of this machine: python -m tools.publish RUN.

A published run has config.json, log.jsonl, curves.png and similar files, from which results are
computed and drawn. It has no checkpoints and no text log. It is stored beside other runs, in
snapshot/<data set>/<network>/published<k>, and is committed, while other runs are ignored by git.
Paths of this machine are replaced by names. A run that is published again keeps its folder, and of
runs that repeat a seed, the newest is published. Of a folder of runs, unfinished runs and those
that cannot be published are named; the status is 1 if one cannot be published.

When runs are published into the checkout's own snapshot/, the pages that show results are written
again (tools/pages.py).

With --pretrained, the parameters of the run's newest checkpoint also become a pretrained network,
rounded to float16, with a card that has the test error measured with them. Of the seeds of its
setting that have checkpoints, the run must be the one closest to the median error.
"""

import json
import platform
import re
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

from analysis.reproduction import MEMBERS
from command import CommandError, InputError, Parser, command
from filesystem import write_bytes, write_text
from tools import pages
from tools.pretrained import publish_pretrained, require_pretrained
from training.provenance import CODE
from training.recipe import Recipe
from training.run import Run, RuntimeConfig
from training.run_folder import (
    CONFIG,
    PICTURES,
    PUBLISHED,
    ROWS,
    create_run_dir,
    find_runs,
    is_published,
    parent_folder,
    read_config,
    shorten_source,
)
from training.run_record import read_run

CHOICES = {  # options whose values are words of the project
    each.name
    for kind in (Run, Recipe, RuntimeConfig)
    for each in fields(kind)
    if each.metadata.get("choices")
}
OWN = "the data set's own"
EXAMPLES = """examples:
  python -m tools.publish snapshot/cifar10/cross_d26w1/run1
  python -m tools.publish snapshot                        every finished run below snapshot/
  python -m tools.publish snapshot --out elsewhere        to another folder than snapshot/
  python -m tools.publish snapshot/cifar10/cross_d26w1/run1 --pretrained --images "JPEG copies"
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(prog="python -m tools.publish", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", type=Path, help="a run's folder, or a folder of runs")
    parser.add_argument(
        "--out", default="snapshot", metavar="DIR", help="where to copy to; default: snapshot"
    )
    parser.add_argument(
        "--pretrained", action="store_true", help="also make a pretrained network from the run"
    )
    parser.add_argument(
        "--images",
        metavar="WORDS",
        help=f"with --pretrained: description of the images on the card. Default: {OWN}",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="with --pretrained: folder of the .rec files; default: the run's",
    )
    return parser


def clean_config(config):
    """Return the settings of a run without folders and names of this machine.

    Raises:
        InputError: they would still contain facts of this machine.
    """
    cleaned = json.loads(json.dumps(config))
    cleaned["data_dir"] = f"data/{config['dataset']}"
    if config.get("init_from"):
        cleaned["init_from"] = shorten_source(config["init_from"])
    for name in ("train_file", "test_file"):
        cleaned[name] = Path(config[name]).name
    for place in (cleaned, *cleaned.get("resumed", ())):
        place["command"] = [_clean_word(word) for word in place["command"]]
        place["machine"].update(log_dir="snapshot", exp_name=PUBLISHED)
        system = place["versions"].get("platform", "")
        place["versions"]["platform"] = re.sub(r"^(\w+).*", r"\1", system)
    left = [text for text in _list_strings(cleaned) if _names_machine(text)]
    if left:
        raise InputError(f"the settings of the run contain facts of this machine: {left[0]}")
    return cleaned


def _clean_word(word):
    """Return a word of a command with paths of files replaced by their names.

    Steps of the learning rate, such as 1/2,300, are not paths.
    """
    flag, value = re.fullmatch(r"(--[\w-]+=)?(.*)", word, re.DOTALL).groups(default="")
    if "/" in value and not re.fullmatch("[0-9][0-9/., ]*", value):
        value = Path(value).name
    return flag + value


def _list_strings(value):
    """Return every string in a value of JSON, except options that have one of a few words."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [part for name, part in value.items() if name not in CHOICES]
    parts = value if isinstance(value, list) else ()
    return [text for part in parts for text in _list_strings(part)]


def _names_machine(text):
    """Return whether ``text`` has an absolute path or the name of this machine as a word."""
    name = re.escape(platform.node())
    word = name and re.search(rf"(?<![\w-]){name}(?![\w-])", text)
    return bool(word or re.search(r"(^|[=:,\s])[/~]\w", text))


def publish(folder, out):
    """Copy the run in ``folder`` to ``out``/<data set>/<network>/published<k>.

    A published run with the same settings, seed, images and number of devices is replaced, but not
    a finished run by a diverged one or vice versa. A run whose loss diverged is published, too: the
    claims count it.

    Returns:
        The folder of the copy.

    Raises:
        InputError: the run is not finished or damaged, or it would still contain facts of this
            machine.
    """
    record = read_run(folder)
    if record.problem and not record.diverged:
        raise InputError(f"{folder} cannot be published: {record.problem}")
    try:
        config = clean_config(read_config(folder))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / CONFIG} is damaged: {error!r}") from None
    if record.problem:
        config["diverged"] = record.problem.partition(": ")[2]
    run, settings = Run.from_json(config), RuntimeConfig.from_json(config)
    parent = parent_folder(run, replace(settings, log_dir=str(out)), record.info.layers)
    copy = _find_copy(parent, run, record)
    if copy:
        _write_copy(copy, folder, config)
        return copy
    target = create_run_dir(parent, PUBLISHED)
    try:
        _write_copy(target, folder, config)
    except BaseException:
        shutil.rmtree(target)
        raise
    return target


def _write_copy(target, folder, config):
    """Write the files of the run in ``folder`` to ``target``, with the settings ``config``."""
    for name in (ROWS, *PICTURES, MEMBERS):
        if (folder / name).exists():
            write_bytes(target / name, (folder / name).read_bytes())
        else:  # it is another run's, such as its members
            (target / name).unlink(missing_ok=True)
    write_text(target / CONFIG, json.dumps(config, indent=1) + "\n")


def _find_copy(parent, run, record):
    """Return the published copy of a run like that of ``record`` in ``parent``, or None."""

    def list_facts(each):
        info = each.info
        return info and (info.data, info.devices, info.workers, each.diverged)

    for folder in find_runs(parent) if parent.is_dir() else ():
        there = read_run(folder)
        same = (there.run, list_facts(there)) == (run, list_facts(record))
        if same and is_published(folder):
            return folder
    return None


def _publish_all(folders, out):
    """Publish runs and print their folders; name those that cannot be, and return their number."""
    failures = 0
    for folder in folders:
        try:
            print(publish(folder, out))
        except InputError as error:
            if len(folders) == 1:
                raise
            failures += 1
            sys.stderr.write(f"left out: {folder}: {error}\n")
    return failures


@command
def main(argv=None):
    """Publish the finished runs that the command line names."""
    args = make_parser().parse_args(argv)
    for flag, value in (("--images", args.images), ("--data-dir", args.data_dir)):
        if value and not args.pretrained:
            raise InputError(f"{flag} is for --pretrained")
    found = find_runs(args.path)
    own = [folder for folder in found if not is_published(folder)]
    records = [*map(read_run, own)]
    ended = [record for record in records if record.diverged or not record.problem]
    runs = [record.folder for record in sorted(ended, key=lambda record: record.written)]
    if not runs:
        besides = ", besides runs that are published already" if len(own) < len(found) else ""
        raise InputError(f"there is no finished run in or below {args.path}{besides}")
    if args.pretrained:
        if len(runs) > 1:
            raise InputError(
                f"--pretrained needs a single run: there are {len(runs)} below {args.path}"
            )
        require_pretrained(runs[0])
    left_out = [record for record in records if record.folder not in runs]
    for record in left_out:
        sys.stderr.write(f"left out: {record.folder}: {record.problem}\n")
    damaged = sum(record.run is None for record in left_out)
    failures = damaged + _publish_all(runs, args.out)
    if Path(args.out).resolve() == CODE / "snapshot":
        for page in pages.update():
            print(page)
    if failures:
        raise CommandError(f"{failures} of {len(runs) + damaged} runs could not be published")
    if args.pretrained:
        config = clean_config(read_config(runs[0]))
        files = publish_pretrained(runs[0], config, args.images or OWN, args.data_dir)
        print("\n".join(map(str, files)))


if __name__ == "__main__":
    sys.exit(main())
