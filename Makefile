# `make` alone lists what there is. Everything runs from .venv; nothing need be on the PATH.

CORES ?= 2
# Candidates for the environment's Python; say which with: make env PYTHON=/path/to/python
PYTHON ?= python3.11 python3.12 python3.13 python3 python
# A particular build of torch, such as: make env TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads that wait must not spin: on shared cores that makes training several times slower.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

RIGHT_PYTHON := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
# Twice quiet: errors only.
PIP := .venv/bin/python -m pip install --quiet --quiet --constraint requirements.txt

.PHONY: help env demo nature sample test lint format clean-results clean-checkpoints

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.installed ## make the environment, .venv, with the versions of requirements.txt

.venv/.installed: requirements.txt requirements-nodeps.txt pyproject.toml
	@if ! .venv/bin/python -c '$(RIGHT_PYTHON)' 2>/dev/null; then \
	    for candidate in $(PYTHON); do \
	        if "$$candidate" -c '$(RIGHT_PYTHON)' 2>/dev/null; then python="$$candidate"; break; fi; \
	    done; \
	    if [ -z "$${python:-}" ]; then \
	        echo "make env: no Python 3.11 or newer with venv among: $(PYTHON)." \
	             "Install one (on Debian also python3-venv), or name it: make env PYTHON=..." >&2; \
	        exit 1; \
	    fi; \
	    echo "make env: .venv from $$("$$python" --version)"; \
	    "$$python" -m venv --clear .venv; \
	fi
	@echo "make env: installing torch, then the rest (some minutes)"
	@$(PIP) $(TORCH_ARGS) "$$(grep '^torch==' requirements.txt)"
	@$(PIP) --requirement requirements.txt
	@$(PIP) --no-deps --requirement requirements-nodeps.txt
	@$(PIP) --no-deps --editable .
	@touch $@

demo: .venv/.installed ## a synthetic planet, from raw files to the report, in minutes
nature: .venv/.installed ## a model planet with known truth; needs the sample files, two to three hours
sample: .venv/.installed ## real files, from ingest to figures; needs the sample files
demo nature sample:
	snakemake --cores $(CORES) --configfile config/$@.yaml
	@python workflow/scripts/print_summary.py results/$@
	@echo "Report: $(CURDIR)/results/$@/report.html"

test: .venv/.installed ## all tests
	OMP_NUM_THREADS=1 python -m pytest --numprocesses $(CORES) --dist worksteal

lint: .venv/.installed ## the linters; changes nothing
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

format: .venv/.installed ## bring the code into its form
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

clean-results: ## remove results/; raw data stay
	rm -rf results

clean-checkpoints: ## remove the checkpoints of trainings, finished or not; models stay
	rm -rf results/*/models/checkpoints
