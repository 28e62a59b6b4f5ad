"""What README, CONTRIBUTING and the pages of docs/ show works as it stands there."""

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import command
import predict
import train_cifar
from analysis.claims import CLAIMS
from data.spec import get_spec, write_spec
from network import get_model, list_pretrained, read_card
from tools import pages
from training import cli
from training.recipe import RECIPES

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
README, CONTRIBUTING = PAGES["README.md"], PAGES["CONTRIBUTING.md"]
TEXT = "\n".join(PAGES.values())
SHOWN = TEXT.replace(CONTRIBUTING, "") + train_cifar.EXAMPLES  # whose network is registered there
TRAIN = sorted({line.strip() for line in re.findall(r"python train_cifar\.py ([^`#\n]*)", SHOWN)})
PROGRAM = r"(?:python|torchrun --nproc-per-node \d+) (\w+\.py|-m [\w.]+)((?: [^`#\n]*)?)"
PROGRAMS = {path.name for path in ROOT.glob("*.py")} - {"setup.py"}
EXAMPLES = "".join(  # those of every program's --help
    block
    for path in [*ROOT.glob("*.py"), *ROOT.glob("data/*.py"), *ROOT.glob("tools/*.py")]
    for block in re.findall(r"examples:\n((?:  .*\n)+)", path.read_text(encoding="utf-8"))
)
COMMANDS = sorted(
    {
        (program, re.split("   | > ", words)[0].strip())  # without what it does, or a redirection
        for program, words in re.findall(PROGRAM, TEXT + EXAMPLES)
    }
)
LIBRARY = ("-m pytest", "-m pdoc", "-m mypy")  # programs of others


class Parsed(BaseException):
    """Ends a program once its command line has been parsed."""


@pytest.fixture
def parse_only(monkeypatch):
    """Let programs end with Parsed where their command line is right."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(parser, args=None, namespace=None):
        original(parser, args, namespace)
        raise Parsed

    monkeypatch.setattr(command.Parser, "parse_args", parse_args)


@pytest.mark.parametrize("program,words", COMMANDS)
def test_every_command_parses(parse_only, program, words):
    if program in LIBRARY:
        return
    module = program[3:] if program.startswith("-m ") else program[: -len(".py")]
    assert program.startswith("-m ") or program in PROGRAMS
    main = importlib.import_module(module).main
    if words and not re.search("--help|--network NAME", words):  # else it is only named
        with pytest.raises(Parsed):
            main(shlex.split(words))


def test_a_command_that_does_not_parse_is_noticed(parse_only, capsys):
    assert len(COMMANDS) > 60 and len(EXAMPLES.splitlines()) > 40
    try:
        status = train_cifar.main(["--no-such-flag"])
    except SystemExit as error:
        status = error.code
    assert status == 2 and "--no-such-flag" in capsys.readouterr().err


@pytest.mark.parametrize("line", [line for line in TRAIN if not re.search("--help|NAME", line)])
def test_training_commands_parse_and_their_networks_exist(line, tmp_path, monkeypatch):
    for name in re.findall(r"--dataset data/(\w+)", line):  # data sets of one's own in examples
        (tmp_path / "data" / name).mkdir(parents=True)
        write_spec(replace(get_spec("digits"), name=name), tmp_path / "data" / name)
    monkeypatch.chdir(tmp_path)
    args = cli.make_parser(train_cifar.PROGRAM).parse_args(shlex.split(line))
    run = cli.build_run(args, train_cifar.PROGRAM)
    assert get_model(run.network, run.depth, widen_factor=run.widen_factor)


def test_pictures_that_commands_classify_are_in_the_checkout_or_the_readers_own():
    lines = re.findall(r"^.*python predict\.py .*$", TEXT, re.MULTILINE)
    for line in lines:
        words = line.partition("python predict.py ")[2].partition("#")[0]
        for name in predict.make_parser().parse_args(shlex.split(words)).pictures:
            assert name == "-" or (ROOT / name).exists() or "your own" in line, line
    assert len(lines) > 5


def test_targets_and_extras_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"train", "check", "test", "docs"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for extra in ",".join(re.findall(r"\.\[([\w,]+)\]", TEXT)).split(","):
        assert f'"{extra}": ' in setup, extra


def anchors(text):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_exists(page):
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for target in re.findall(r'\]\(([^)\s]+)\)|(?:href|src)="([^"]+)"', text):
        path, _, anchor = "".join(target).partition("#")
        if path.startswith("http"):
            continue
        file = Path(os.path.normpath(ROOT / Path(page).parent / path)) if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(PAGES[str(file.relative_to(ROOT))]), target


def test_paths_that_are_named_exist():
    for path in re.findall(
        r"`((?:network|data|engine|plotting|training|results|analysis|tools|tests)/\w+\.py)`",
        TEXT,
    ):
        assert (ROOT / path).exists() or path == "network/triple.py", path


def test_pages_are_short_and_listed():
    assert len(README.splitlines()) <= 180
    assert len(CONTRIBUTING.splitlines()) <= 120
    for page in PAGES:
        assert page == "README.md" or f"]({page})" in README, page


def test_every_page_begins_with_what_it_is_for():
    for page, text in PAGES.items():
        title, blank, first = text.splitlines()[:3]
        assert title.startswith("# ") and not blank, page
        if page.startswith("docs/"):
            assert first.startswith("This page "), page


@pytest.mark.parametrize("name", RECIPES)
def test_the_table_of_recipes_is_that_of_the_program(name):
    recipe = RECIPES[name]
    steps = ", ".join(map(str, recipe.lr_steps))
    when = steps if recipe.schedule == "step" else f"warm-up {recipe.warmup_epochs:g} epochs"
    cells = (
        *(f"`{name}`", recipe.epochs, recipe.batch_size, f"{recipe.schedule}: {when}"),
        *(f"{recipe.lr:g}", f"{recipe.optimizer} {recipe.momentum:g}"),
        *(f"{recipe.weight_decay:g}, {recipe.decayed}", recipe.augmentation, recipe.initializer),
        *(recipe.drop_path, f"{recipe.dropout:g}"),
    )
    assert "| " + " | ".join(map(str, cells)) + " |" in PAGES["docs/training.md"].splitlines()


@pytest.mark.parametrize("name", list_pretrained())
def test_the_table_of_pretrained_networks_is_that_of_the_cards(name):
    card = read_card(name)
    row = f"| `{name}` | `{card.recipe_name}`, {card.epochs} epochs | {card.test_error:.2f} |"
    assert row in PAGES["docs/export.md"].splitlines()


def test_every_claim_is_on_the_page_of_reproduction():
    assert CLAIMS
    for claim in CLAIMS:
        assert f"| {claim.sentence} |" in PAGES["docs/REPRODUCTION.md"], claim.name


@pytest.mark.slow
def test_outputs_are_what_the_programs_print():
    """python -m tools.pages writes the pages."""
    assert "$ python show_results.py snapshot/\n" in PAGES["docs/training.md"]
    assert f"**{len(CLAIMS)} claims: " in README and "(docs/claims.png)" in README
    rendered = pages.render()
    assert "docs/claims.png" in rendered
    for name, content in rendered.items():
        assert pages.is_current(ROOT / name, content), name


def test_the_network_in_one_file_works():
    (code,) = re.findall(r'```python\n("""Three branches.*?)```', CONTRIBUTING, re.DOTALL)
    code = "import compat\n" + code  # as importing the package does
    code += (
        "\nimport mxnet as mx\nfrom network import get_model\nfrom network.complexity import "
        "complexity\nnet = get_model('triple', 38)\nnet.initialize()\n"
        "print(net(mx.nd.zeros((2, 3, 32, 32))).shape, complexity(net).layers)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "(2, 10) 14\n", done.stderr


@pytest.mark.slow
def test_the_reference_is_made_from_docstrings(tmp_path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (packages,) = re.findall(r"-m pdoc -o build/docs (.*)", makefile)
    made = subprocess.run(
        [sys.executable, "-m", "pdoc", "-o", tmp_path, *packages.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert "get_model" in (tmp_path / "network.html").read_text(encoding="utf-8")
    assert all((tmp_path / f"{package}.html").exists() for package in packages.split())
