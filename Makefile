# make help tells what there is to make.

PYTHON ?= python3
# The extra of setup.py that brings MXNet: cpu, or cu112 for NVIDIA GPUs.
MXNET ?= cpu

VENV := .venv
INSTALLED := $(VENV)/.installed-$(MXNET)
DIGITS := data/digits/train.rec data/digits/test.rec
GPU := --engine torch --dtype bfloat16 --dataset cifar10
RUNS := snapshot/digits/cross_d26w1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install train tutorial gpu test clean

help:
	@echo "make train    train cross 26 on the handwritten digits and show the results (a few minutes)"
	@echo "make tutorial run tutorial.ipynb anew, into the file (a few minutes)"
	@echo "make test     lint and run the tests"
	@echo "make gpu      on a GPU, with PyTorch: check, measure, and train the papers' recipes (hours)"
	@echo "make install  only make $(VENV), which the others do first"
	@echo "make clean    remove $(VENV) and caches; data and snapshots stay"
	@echo "PYTHON=...    the Python 3.8 to 3.12 to make $(VENV) with (now: $(PYTHON))"
	@echo "MXNET=...     cpu, or cu112 for NVIDIA GPUs (now: $(MXNET))"

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))" 2>/dev/null || \
	{ echo "$(PYTHON) is not a Python 3.8 to 3.12: name one with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
	{ echo "$(PYTHON) cannot make environments: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) (a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip uninstall -qq -y mxnet mxnet-cu112  # one at a time: they share files
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e ".[$(MXNET),dev]"
	@rm -f $(VENV)/.installed-*
	@touch $@

$(DIGITS) &: | $(INSTALLED)
	$(VENV)/bin/python -m data.prepare digits

train: $(INSTALLED) $(DIGITS)
	$(VENV)/bin/python train_cifar.py --dataset digits --network cross --depth 26
	$(VENV)/bin/python show_results.py snapshot/
	@run=$$(ls -td $(RUNS)/*/ | head -n 1); \
	echo "Look at $${run}log.txt, $${run}curves.png and $${run}checkpoints/"

tutorial: $(INSTALLED)
	$(VENV)/bin/python -m tests.notebook tutorial.ipynb

data/cifar10/train.rec: | $(INSTALLED)
	$(VENV)/bin/python -m data.prepare cifar10

gpu: $(INSTALLED) data/cifar10/train.rec
	$(VENV)/bin/python -m tools.doctor
	$(VENV)/bin/python -m pytest tests/test_torch_gpu.py
	$(VENV)/bin/python benchmark.py --operators --network cross:110 --library torch --dtype bfloat16
	$(VENV)/bin/python benchmark.py --network cross:110 fractal:20 --batch-size 64 256 --dtype float32 bfloat16 \
	  --library torch pytorch pytorch-channels-last pytorch-compiled --json gpu.json
	$(VENV)/bin/python train_cifar.py $(GPU) --network cross --depth 110
	$(VENV)/bin/python train_cifar.py $(GPU) --network resnet --depth 110
	$(VENV)/bin/python train_cifar.py $(GPU) --network cross --depth 110 --batch-size 256 --lr 0.2
	$(VENV)/bin/python train_cifar.py $(GPU) --network fractal --depth 20 --widen-factor 4
	$(VENV)/bin/python show_results.py snapshot/

test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest

clean:
	rm -rf $(VENV) *.egg-info build .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
