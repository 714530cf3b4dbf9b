# Two commands are enough: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RELEASE ?= bad

.PHONY: help setup demo test test-embedded test-servers check format bench prove mutants stack lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(READY) ## Make .venv with what requirements.lock pins

$(READY): requirements.lock pyproject.toml
	@echo "Making .venv (about a minute)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## The whole loop in this terminal; RELEASE=good for a harmless release, KEEP=1 to leave it running
	$(BIN)/tidegate demo --release $(RELEASE) $(if $(KEEP),--keep) $(if $(STACK),--stack)

test: $(READY) ## Every test, real servers included; installs what they need
	@bash tests/run.sh $(BIN)

test-embedded: $(READY) ## The quick tests, which need no server: units and ports (under two minutes)
	$(BIN)/pytest -q -n 3 --dist worksteal -m "not servers and not whole" tests/unit tests/contract

test-servers: $(READY) ## The tests that need real servers
	$(BIN)/pytest -q -n 2 --dist loadfile -m servers

check: $(READY) ## Formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Put the code into its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## How fast the single rooms are on this machine
	$(BIN)/python -m tests.bench.rooms

prove: $(READY) ## The long proofs: the fault and property tests with many more seeds (hours)
	@echo "1 of 5: 10,000 power cuts (an hour on two cores)"
	$(BIN)/tidegate bench crash --seeds 10000 --json
	@echo "2 of 5: 200 kills of the gateway under load (an hour)"
	TIDEGATE_EDGE_KILLS=200 $(BIN)/pytest -q --timeout=0 tests/faults/test_edge_kill.py
	@echo "3 of 5: bad links, clocks, disks, the other processes, and rules broken on purpose"
	TIDEGATE_PROVE_ROUNDS=200 TIDEGATE_LINK_SEEDS=20 $(BIN)/pytest -v --timeout=0 --ignore=tests/faults/test_edge_kill.py tests/faults
	@echo "4 of 5: the property tests, with many more examples"
	TIDEGATE_PROVE_ROUNDS=200 TIDEGATE_PROVE_EXAMPLES=30 $(BIN)/pytest -v --timeout=0 --hypothesis-profile=prove tests/property
	@echo "5 of 5: detection: false alerts, faults, speed, memory and latency (most of an hour)"
	$(BIN)/tidegate bench detect $(if $(wildcard ../shared/data),--data ../shared/data) --full --json

mutants: $(READY) ## Break the edge's rules on purpose: the oracle must notice each one
	$(BIN)/pytest -q tests/faults/test_mutants.py

stack: $(READY) ## Start Kafka, Mosquitto, InfluxDB, Alertmanager and Prometheus on loopback
	$(BIN)/tidegate stack up

lock: $(READY) ## Renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --extra dev --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o requirements.lock pyproject.toml

clean: ## Remove .venv and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
