# Every target makes its own virtual environment and installs what it needs, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check
SOURCES := effortctl tests evals $(wildcard docs/*.py)

.PHONY: help demo demo-live test check lint type layers soak docs reference format clean

help:            ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo   ## the main job on real recorded answers, then live if possible; no key needed
	@$(BIN)/effortctl demo --live

demo-live: $(VENV)/.demo ## only the live part, on a small local model; fails if it cannot run
	@$(BIN)/effortctl demo --live-only

test: $(VENV)/.dev    ## all tests
	@$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.dev    ## style
	@$(BIN)/ruff check $(SOURCES) && $(BIN)/ruff format --check $(SOURCES)

type: $(VENV)/.dev    ## types, strictly
	@$(BIN)/mypy

layers: $(VENV)/.dev  ## who may import whom
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

check: lint type layers test ## everything CI runs

soak: $(VENV)/.dev    ## faults, kills and deadlines at length: measures what docs/guides/reliability.md promises
	@$(BIN)/python evals/soak/soak.py --output evals/soak/results/soak.json
	@$(BIN)/python evals/soak/kill_nine.py --output evals/soak/results/kill_nine.json
	@$(BIN)/python evals/soak/limits.py --output evals/soak/results/limits.json

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES); $(BIN)/ruff format --quiet $(SOURCES)

docs: $(VENV)/.docs   ## the documentation as a site in build/site; fails on a dead link
	@$(BIN)/python docs/make_site.py build

reference: $(VENV)/.docs ## write docs/cli.md, docs/api.md and docs/api/ anew, from the commands and the docstrings
	@$(BIN)/python docs/make_cli.py && $(BIN)/python docs/make_api.py

clean:           ## remove the virtual environment and caches
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.base:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "effortctl needs Python 3.11 or newer; run: make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) (once)…"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.base pyproject.toml
	@echo "Installing effortctl (once)…"
	@$(PIP) -e '.[evals,sandbox]'
	@$(PIP) -e '.[local]' || echo "The live part needs a wheel that is not available here; the demo goes on without it."
	@touch $@

$(VENV)/.docs: $(VENV)/.base pyproject.toml
	@echo "Installing effortctl with what builds its documentation (once)…"
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml
	@echo "Installing effortctl with its development tools (once)…"
	@$(PIP) -e '.[dev]'
	@touch $@
