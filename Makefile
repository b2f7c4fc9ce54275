# `make demo` and `make test` need Python 3.11 or newer and nothing else; `make help` lists the rest.
# Options: PYTHON=/path/to/python (interpreter for a new .venv), PORT=5000 (demo), ARGS='...' (passed on).

PY := .venv/bin/python
PORT ?= 5000
ARGS ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test servers check format bench conformance conformance-control conformance-advisories soak soak-servers clean core dev

help:
	@echo "make demo         set up and serve the message board on http://127.0.0.1:$(PORT)/"
	@echo "make test         set up, then all checks and all tests"
	@echo "make servers      every fault under every server (docs/servers.md)"
	@echo "make check        format, lint, types, layers, promises against tests"
	@echo "make format       put the code into its format"
	@echo "make bench        time against Flask and Falcon (ARGS='--check --proof': limits; record figures)"
	@echo "make conformance  the tests of Flask 3.1.3 and of extensions against this package (ARGS='flask-login')"
	@echo "make soak         the long tests; make soak-NAME for one part; ARGS='--seconds 60 --seed 1'"

core:
	@sh tools/setup core

dev:
	@sh tools/setup dev

demo: core
	@cd examples/board && ../../$(PY) -m demijohn --app board run --port $(PORT)

test: dev
	@sh tools/test $(ARGS)

servers: dev
	@$(PY) -m pytest -n 4 --dist loadgroup -q -m servers $(ARGS)

check: dev
	@sh tools/check

format: dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: dev
	@$(PY) -m benchmarks $(ARGS)

conformance: dev
	@$(PY) -m conformance $(ARGS)

conformance-control: dev
	@$(PY) -m conformance --control $(ARGS)

conformance-advisories: dev
	@$(PY) -m conformance.advisories $(ARGS)

soak: dev
	@$(PY) -m soak $(ARGS)

soak-servers: dev
	@$(PY) -m soak $(patsubst soak/%.py,%,$(wildcard soak/servers_*.py)) $(ARGS)

soak-%: dev
	@$(PY) -m soak $* $(ARGS)

clean:
	rm -rf .venv .build
