# What people do with the desk. `make help` lists it; docs/officers-guide.md says more.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
PYTEST_FLAGS ?= --numprocesses auto --dist loadscope --no-loadscope-reorder --durations 20
RUN_FLAGS ?=
SECONDS ?= 120
STARTS ?= 10000
ORDERS ?= 100000
UV ?= uv
LOCK_FLAGS := --generate-hashes --universal --python-version 3.12 --no-header --no-emit-index-url

.PHONY: help run setup strategy-env test check fmt lint type arch docs proto lock bench chaos soak bed install install-previous uninstall deploy start stop status clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run:  ## set up what is missing, then run the desk on the embedded exchange; Ctrl-C ends it
	@tools/setup.sh run
	@exec .venv/bin/deskd run $(RUN_FLAGS)

setup:  ## Python, .venv, pinned packages, the system library, a proven jail
	@tools/setup.sh run

strategy-env:  ## of this checkout's desk: build what strategies may import: [sandbox] packages (numpy, pandas, ...), some 500 MB
	@tools/setup.sh run
	@$(PYTHON) -P tools/strategy_env.py $(STRATEGY_ENV_FLAGS)

test:  ## set up what is missing, then run every test
	@tools/setup.sh dev
	@$(PYTHON) -m pytest $(PYTEST_FLAGS)

check:  ## all that must be green: format, lint, types, architecture, tests
	@tools/setup.sh dev
	@$(MAKE) style lint type arch test

.PHONY: style
style:
	@$(PYTHON) -m ruff format --check .

fmt:  ## format the code
	@$(PYTHON) -m ruff format .

lint:  ## look for mistakes
	@$(PYTHON) -m ruff check .

type:  ## check types
	@$(PYTHON) -m mypy

arch:  ## check that imports run down only
	@.venv/bin/lint-imports

docs:  ## write etc/desk.toml and docs/reference/ from the code
	@PYTHONPATH=. $(PYTHON) tools/generate_docs.py

proto:  ## write the Python code of protos/
	@PYTHONPATH=. $(PYTHON) tools/generate_protos.py

lock:  ## pin what pyproject.toml asks for, with hashes; pins that are there stay
	@$(UV) pip compile pyproject.toml $(LOCK_FLAGS) --quiet --output-file requirements/run.txt
	@$(UV) pip compile pyproject.toml $(LOCK_FLAGS) --quiet --extra dev --constraints requirements/run.txt --output-file requirements/dev.txt
	@PYTHONPATH=. $(PYTHON) tools/strategy_env.py --list | $(UV) pip compile - $(LOCK_FLAGS) --no-annotate --quiet --output-file requirements/strategy.txt

bench:  ## measure fan-out, order round trip and jail start beside their peers
	@tools/setup.sh dev
	@$(PYTHON) -m tests.bench

chaos:  ## let everything go wrong around twenty jailed strategies, then open the books; SECONDS=120 SEED=random
	@tools/setup.sh dev
	@$(PYTHON) -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(CHAOS_FLAGS)

soak:  ## start and stop runs in real jails ten thousand times, and see that the desk holds no more; fold a long history; STARTS=10000 ORDERS=100000 SEED=random
	@tools/setup.sh dev
	@$(PYTHON) -m tests.soak --starts $(STARTS) $(if $(SEED),--seed $(SEED))
	@DESKD_HISTORY_ORDERS=$(ORDERS) $(PYTHON) -m pytest -q tests/ledger/test_snapshotter.py -k long_history

bed:  ## under a real systemd on cgroup v2: every test of jails without root, install, life, office; var/bed.json (needs DESKD_TESTBED)
	@tools/setup.sh dev
	@$(PYTHON) -m tests.testbed

install:  ## put the desk under systemd (as root); again: upgrade in place, the version before is kept
	@tools/install.sh install

.PHONY: upgrade
upgrade: install

install-previous:  ## go back to the version that was installed before (as root)
	@tools/install.sh previous

.PHONY: install-strategy-env
install-strategy-env:  ## of the installed desk: the same (as root; `make install` does it where there is a network)
	@tools/install.sh strategy-env

uninstall:  ## take the desk off systemd (as root); ledger, logs, strategies, configuration and keys stay
	@tools/install.sh uninstall

deploy:  ## on the running desk: every enabled strategy with the code that lies there now; DIR=folder STAGE=shadow: that one
ifdef DIR
	@.venv/bin/deskctl deploy "$(DIR)" $(if $(STAGE),--as $(STAGE))
else
	@.venv/bin/deskctl restart --all
	@.venv/bin/deskctl start --all
endif

start:  ## on the running desk: start every enabled strategy
	@.venv/bin/deskctl start --all

stop:  ## on the running desk: stop every strategy
	@.venv/bin/deskctl stop --all

status:  ## on the running desk: show the desk and its strategies
	@.venv/bin/deskctl status

clean:  ## remove .venv and caches; var/ (ledger, logs, strategies' state) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build *.egg-info
	@find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +
