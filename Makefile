# The few commands that a developer or a curious stranger needs. Everything runs in ./.venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= build/demo
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench peers lint clean

help:
	@echo "make demo    install, then the whole chain at small size: simulate, train, judge (10 minutes on 2 cores)"
	@echo "make test    install, lint, types, import floors, tests with coverage (15 minutes on 2 cores)"
	@echo "make test-slow  the tests of many draws, and those against slow peers"
	@echo "make lint    formatting, lint, import floors, types only"
	@echo "make bench   every figure, timed beside its peer, one JSON line each"
	@echo "make peers   environments of the peers that cannot be installed beside twin, for benchmarks/lens_peers.py"
	@echo "make clean   remove what the commands above made"

# Stamp files make a second call quick: pip runs again only when what is to be installed has changed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] < (3, 14) else "twin needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[bench,dev]"
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/twin demo -o $(OUT)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15 -m "not slow" --cov --cov-report=term

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15 -m slow

bench: $(VENV)/.dev
	@for file in benchmarks/[!_]*.py; do $(BIN)/python "$$file" || exit 1; done

peers: build/peers/caustics/.run build/peers/jaxtronomy/.run

build/peers/%/.run: benchmarks/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
