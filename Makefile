# Every target makes what it needs; `make` alone says what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Test files side by side; each process has a PostgreSQL and a Temporal of its own.
JOBS ?= 2
STAMP := $(VENV)/installed

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install python3.11 and python3-venv, or set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP)  ## the environment alone

demo: $(STAMP)  ## the whole stack, one paid order, its live website
	@$(BIN)/mpanel demo $(ARGS)

test: $(STAMP)  ## every test but the full fault matrix
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP)  ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: $(STAMP)  ## kill every part at every provider call (hours; ARGS="-k drain")
	@$(BIN)/python -m pytest -m faults tests/faults tests/stack $(ARGS)

bench: $(STAMP)  ## what things cost, as ratios (four minutes; ARGS="--only web")
	@$(BIN)/python -m tests.bench $(ARGS)

real-servers:  ## the Debian servers that tests use
	@sh tests/real-servers.sh

.PHONY: help install demo test lint faults bench real-servers
