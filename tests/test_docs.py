"""What README and CONTRIBUTING show works as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import evaluate
import export
import predict
import train_cifar
import train_imagenet
from data.prepare import EXAMPLE
from network import get_model

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SHOWN = README + train_cifar.EXAMPLES
TRAIN = sorted({line.strip() for line in re.findall(r"python train_cifar\.py ([^`#\n]*)", SHOWN)})


@pytest.mark.parametrize("line", [line for line in TRAIN if not re.search("--help|NAME", line)])
def test_training_commands_parse_and_their_networks_exist(line):
    args = train_cifar.make_parser().parse_args(shlex.split(line))
    run = train_cifar.build_run(args)
    assert get_model(run.network, run.depth, widen_factor=run.widen_factor)


def test_training_commands_for_photographs_parse():
    shown = README + train_imagenet.EXAMPLES
    lines = re.findall(r"python train_imagenet\.py ([^`#\n]*)", shown)
    for line in lines:
        train_imagenet.make_parser().parse_args(shlex.split(line))
    assert len(lines) > 5


@pytest.mark.parametrize(
    "program,parser",
    [
        ("evaluate.py", evaluate.make_parser),
        ("export.py", export.make_parser),
        ("predict.py", predict.make_parser),
    ],
)
def test_commands_for_trained_networks_parse(program, parser):
    shown = README + evaluate.EXAMPLES + export.EXAMPLES + predict.EXAMPLES
    lines = re.findall(rf"python {re.escape(program)} ([^`#\n]*)", shown)
    for line in lines:
        parser().parse_args(shlex.split(line))
    assert len(lines) > 3


def test_paths_that_are_named_exist():
    for text in (README, CONTRIBUTING):
        for path in re.findall(r"\]\(([\w./]+)\)", text):
            assert (ROOT / path).exists(), path
    for path in re.findall(
        r"`((?:network|data|engine|plotting|training|results|analysis|tools|tests)/\w+\.py)`",
        README + CONTRIBUTING,
    ):
        assert (ROOT / path).exists() or path == "network/triple.py", path


def test_preparation_is_shown_alike():
    assert "python -m data.prepare digits" in EXAMPLE
    assert "python -m data.prepare cifar10 --source" in README


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
