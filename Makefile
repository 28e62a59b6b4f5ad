# make help lists the targets.

PYTHON ?= python3
# The extra of setup.py that brings MXNet: cpu, or cu112 for NVIDIA GPUs.
MXNET ?= cpu
# Further extras of setup.py, separated by spaces.
EXTRAS ?= gluoncv

VENV := .venv
INSTALLED := $(VENV)/.installed-$(MXNET)
DIGITS := data/digits/train.rec data/digits/test.rec
GPU := --engine torch --dtype bfloat16 --dataset cifar10 --resume
RUNS := snapshot/digits/cross_d26w1
empty :=
space := $(empty) $(empty)
comma := ,
# Two processes with one thread each are faster than one with two, on small networks.
# The threshold has glibc give freed memory back; else the processes keep up to several GB of it.
# A file is one process's, in the order of tests/conftest.py, so that its fixtures are made once.
PYTEST = OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=131072 $(VENV)/bin/python -m pytest -q \
  -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install train tutorial docs gpu lint check test test-slow clean

help:
	@echo "make train     train cross 26 on the handwritten digits and show the results (a few minutes)"
	@echo "make check     before each commit: lint, types, fast tests (at most 90 s on two cores)"
	@echo "make test      before a merge: these and all tests but the slow ones (at most 5 minutes)"
	@echo "make test-slow the slow tests: distributed jobs, the tutorial, benchmarks, ImageNet-sized networks"
	@echo "make tutorial  run tutorial.ipynb and write its outputs into the file (a few minutes)"
	@echo "make docs      make the API reference from the docstrings: build/docs/index.html"
	@echo "make gpu       on a GPU, with PyTorch: check, measure, and train the papers' recipes (hours)"
	@echo "make install   only make $(VENV), which the others do first, system packages included"
	@echo "make clean     remove $(VENV) and caches; data and snapshots stay"
	@echo "PYTHON=...     the Python 3.8 to 3.12 to make $(VENV) with (now: $(PYTHON))"
	@echo "MXNET=...      cpu, or cu112 for NVIDIA GPUs (now: $(MXNET))"
	@echo "EXTRAS=...     more extras of setup.py; without gluoncv, OpenCV is not installed (now: $(EXTRAS))"

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml
	@sh tools/system.sh $(PYTHON) $(EXTRAS)
	@echo "Installing into $(VENV) (a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip uninstall -qq -y mxnet mxnet-cu112  # one at a time: they share files
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check \
	  -e ".[$(subst $(space),$(comma),$(strip $(MXNET) dev $(EXTRAS)))]"
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

docs: $(INSTALLED)
	PDOC_ALLOW_EXEC=1 $(VENV)/bin/python -m pdoc -o build/docs network data engine plotting training results analysis

data/cifar10/train.rec: | $(INSTALLED)
	$(VENV)/bin/python -m data.prepare cifar10

gpu: $(INSTALLED) data/cifar10/train.rec
	$(VENV)/bin/python -m tools.doctor
	$(VENV)/bin/python -m pytest -rs tests/test_torch_gpu.py
	$(VENV)/bin/python benchmark.py --operators --network cross:110 --library torch --dtype bfloat16
	for network in cross:110 fractal:20; do for size in 64 256; do for type in tf32 bfloat16; do \
	  $(VENV)/bin/python benchmark.py --network $$network --batch-size $$size --dtype $$type \
	    --library torch pytorch pytorch-channels-last pytorch-compiled \
	    --json gpu-$${network%:*}-$$size-$$type.json || exit 1; \
	done; done; done
	$(VENV)/bin/python train_cifar.py $(GPU) --network cross --depth 110
	$(VENV)/bin/python train_cifar.py $(GPU) --network resnet --depth 110
	$(VENV)/bin/python train_cifar.py $(GPU) --network cross --depth 110 --batch-size 256 --lr 0.2
	$(VENV)/bin/python train_cifar.py $(GPU) --network fractal --depth 20 --widen-factor 4
	$(VENV)/bin/python show_results.py snapshot/

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m mypy

check: lint
	$(PYTEST) -m "not slow and not medium"

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

clean:
	rm -rf $(VENV) *.egg-info build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
