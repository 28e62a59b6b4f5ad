"""Copy finished runs without what belongs to this machine: python -m tools.publish RUN --out DIR.

What is copied is config.json, log.jsonl, curves.png and the like: what results are computed and
drawn from. Checkpoints stay. Folders of this machine become names, and the text log, which holds
such folders, is left out.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from command import InputError, Parser, command
from training.run_folder import CONFIG, ROWS, find_runs, read_config, read_run
from training.serialization import write_whole

PICTURES = ("curves.png", "columns.png", "members.png")
EXTRAS = ("members.json",)
EXAMPLES = """examples:
  python -m tools.publish snapshot/cifar10/cross_d26w1/run1 --out published
  python -m tools.publish snapshot --out published        every finished run below snapshot/"""


def make_parser():
    """Return the command line."""
    parser = Parser(prog="python -m tools.publish", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", type=Path, help="a run's folder, or a folder of runs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to copy to")
    return parser


def clean_config(config):
    """Return the settings of a run without folders and names of this machine."""
    cleaned = json.loads(json.dumps(config))
    cleaned["data_dir"] = f"data/{config['dataset']}"
    for place in (cleaned, *cleaned.get("resumed", ())):
        place["command"] = [
            Path(word).name if _is_path(word) else word for word in place["command"]
        ]
        place["machine"]["log_dir"] = "snapshot"
        platform = place["versions"].get("platform", "")
        place["versions"]["platform"] = re.sub(r"^(\w+).*", r"\1", platform)
    return cleaned


def _is_path(word):
    return "/" in word and not re.fullmatch(r"\d+/\d+(,\d+/\d+)*", word)


def publish(folder, out):
    """Copy the finished run in ``folder`` to ``out``/<dataset>/<network>/<run>; return its folder.

    Raises:
        InputError: the run is not finished, or something of this machine would be left in it.
    """
    record = read_run(folder)
    if record.problem:
        raise InputError(f"{folder} cannot be published: {record.problem}")
    target = out.joinpath(*folder.resolve().parts[-3:])
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(clean_config(read_config(folder)), indent=1) + "\n"
    for part in {str(Path.home()), str(folder.resolve().parents[2])} - {"/"}:
        if part in text:
            raise InputError(f"{folder}/{CONFIG} still names {part}: clean it by hand")
    write_whole(target / CONFIG, text)
    for name in (ROWS, *PICTURES, *EXTRAS):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    return target


@command
def main(argv=None):
    """Publish the finished runs that the command line names."""
    args = make_parser().parse_args(argv)
    runs = [folder for folder in find_runs(args.path) if not read_run(folder).problem]
    if not runs:
        raise InputError(f"there is no finished run at or below {args.path}")
    for folder in runs:
        print(publish(folder, args.out))


if __name__ == "__main__":
    sys.exit(main())
