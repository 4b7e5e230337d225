# Everything a newcomer needs: `make demo` and `make test`.  Both set up what they need in .venv, without root.

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
READY := $(VENV)/.ready

.PHONY: demo test check bench sim fuzz setup clean help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

demo: $(READY)  ## four servers issue, update, retrieve and revoke; then again with one server killed
	@$(BIN)/maftia demo

test: $(READY)  ## the whole test suite, some six minutes on two cores
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q

check: $(READY)  ## style, types, import rules: warnings are errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)  ## the figures of docs/benchmarks.md (QUICK=1: two minutes)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

sim: $(READY)  ## the simulator over many seeds (SEEDS=0-99)
	@$(BIN)/maftia sim --seeds $(or $(SEEDS),0-99)

fuzz: $(READY)  ## every decoder under a fuzzer, FUZZ_SECONDS=20 each: a quarter of an hour (900, or a million executions: the full figures)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -e '.[test,fuzz]'
	@nice -n 19 $(BIN)/python -m fuzz --seconds $(or $(FUZZ_SECONDS),20) $(FUZZ_TARGETS)

setup: $(READY)  ## only install, into .venv

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "MAFTIA needs Python 3.11 or newer with venv and pip: on Debian, 'apt install python3 python3-venv'." >&2; exit 2; fi
	@echo "installing into $(VENV) with $(PYTHON) …"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@

clean:  ## remove what was installed and cached
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
