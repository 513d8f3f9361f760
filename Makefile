# Short names for the commands in README.md and CONTRIBUTING.md. GNU make 3.81 or newer. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= config.yml
JOBS ?= 2
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: help run test lint docs sample clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: $(VENV)/.main  ## export what config.yml names (CONFIG=other.yml for another file)
	$(BIN)/python dme.py $(CONFIG)

test: $(VENV)/.test  ## run the whole test suite, in two processes (JOBS=1: in one)
	$(BIN)/python -m pytest $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist worksteal)

lint: $(VENV)/.dev  ## check style, format and types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

docs: $(VENV)/.docs  ## build the documentation site in site/ (warnings are errors)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

sample: $(VENV)/.main  ## write the sample tree dicom_data/ again
	$(BIN)/python dme.py sample dicom_data

clean:  ## remove the virtual environment and caches; outputs of runs stay
	rm -rf $(VENV) .venv-lint build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written after its packages are in, so a second call installs nothing and a failed one tries again.
$(VENV)/.main: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.main requirements-formats.txt requirements-tables.txt requirements-web.txt requirements-test.txt
	$(PIP) -r requirements.txt -r requirements-formats.txt -r requirements-tables.txt -r requirements-web.txt -r requirements-test.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.main requirements-dev.txt
	$(PIP) -r requirements.txt -r requirements-dev.txt
	@touch $@

$(VENV)/.docs: requirements-docs.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements-docs.txt
	@touch $@
