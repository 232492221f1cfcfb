# The commands people type; `make` alone lists them.
PYTHON ?= $(firstword $(foreach each,python3.11 python3.12 python3.13 python3,$(shell command -v $(each) 2>/dev/null)))
VENV ?= .venv
# Stages call `snakemake`, Snakemake calls Python: both must come from the environment.
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export DO_NOT_TRACK = 1
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true

.DEFAULT_GOAL := help
.PHONY: help env env-dev demo small test check status proofs clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

env: $(VENV)/.installed ## make the environment, as pinned by constraints.txt

env-dev: $(VENV)/.installed-dev ## the same, with what tests and checks need

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[dev,trackers]'
	touch $@ $(VENV)/.installed

demo: env ## corpus, training and report in one go
	omniges params
	dvc repro
	omniges summary

small: env-dev ## a run of minutes in a copy: every stage for real, then nothing left to do for either tool
	python tests/workflow/small.py

status: env ## which stages are up to date, and why not
	omniges status

test: env-dev ## the tests
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m 'not slow'

proofs: env-dev ## the long tests
	OMP_NUM_THREADS=1 pytest -n 2 --dist load -m slow

check: env-dev ## style, types, import floors, workflow syntax
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	omniges params
	dvc dag > /dev/null
	snakemake --cores 1 --dry-run --quiet all

clean: ## drop what the pipeline made (DVC's cache stays)
	rm -rf .omniges .snakemake
	find data models reports -mindepth 1 ! -name .gitkeep -delete
