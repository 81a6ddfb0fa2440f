# The commands. Each works from a fresh clone: it makes .venv, and brings it up to date when
# pyproject.toml has changed.
#
#   make test PYTHON=python3.13     which Python makes .venv (3.11 or newer)
#   make test WORKERS=8             how many processes run the tests (LONG_WORKERS: the long ones)
#   make test ARGS='-k window -x'   more for pytest

PYTHON  ?= python3
WORKERS ?= 2
# More than there are cores: many of the long tests wait, for a clock, for a program that they kill, or for
# a cluster, of which each process has one.
LONG_WORKERS ?= 3
ARGS    ?=

VENV   := .venv
RUN    := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest -n $(WORKERS) --dist loadgroup

BASE  := $(VENV)/.installed-base
SPARK := $(VENV)/.installed-spark
DEV   := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

# What means the same on threads, on worker processes and on a Spark cluster: of each method one call in a short
# time, and all of it in a long time.
EVERYWHERE := tests/executors/test_everywhere.py
CONFORMING := src/penstock/rdd src/penstock/dstream tests/rdd tests/dstream tests/laws \
  $(addprefix tests/sinks/test_,crashes.py failures.py file_set.py pickle.py records.py text.py) \
  tests/testing/test_crashes.py tests/context/test_recovery.py tests/context/test_recovery_corners.py

# Pathway holds pyarrow below the newest release.
PATHWAY := .venv-pathway

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-long check format bench bench-peers cluster clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(DEV)  ## make .venv with all that tests and checks need

demo: $(BASE)  ## half a million orders, 50 batches, a page of them, checked: about a minute; KEEP=1 keeps the page
	$(VENV)/bin/penstock brokerage demo

test: $(DEV)  ## all tests but the long ones; each method also on worker processes and on a Spark cluster
	$(PYTEST) $(ARGS)
	$(PYTEST) --executor=processes $(EVERYWHERE) $(ARGS)
	$(PYTEST) --executor=fake-spark $(EVERYWHERE) $(ARGS)
	$(RUN) -m pytest --executor=spark $(EVERYWHERE) $(ARGS)

test-long: $(DEV)  ## the long proofs: more examples, real time, crashes, all operators on other executors and on a Spark cluster
	$(PYTEST) -n $(LONG_WORKERS) -m long --hypothesis-profile=long $(ARGS)
	$(PYTEST) --executor=processes $(CONFORMING) $(ARGS)
	$(PYTEST) --executor=fake-spark $(CONFORMING) $(ARGS)
	$(PYTEST) -n $(LONG_WORKERS) --executor=spark $(CONFORMING) $(ARGS)

check: $(DEV)  ## style, types, layers; a few seconds
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests/house/test_layers.py tests/house/test_speaks_for_itself.py

format: $(DEV)  ## put the code in shape
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(BENCH)  ## small workloads beside loops by hand and other engines, as ratios: some minutes
	$(RUN) -m benchmarks --quick $(ARGS)

bench-peers: $(BENCH) $(PATHWAY)/.installed  ## all of them, PySpark and Pathway too (needs Java): into benchmarks/RESULTS.md
	$(RUN) -m benchmarks --peers --json benchmarks/results.json --table benchmarks/RESULTS.md \
	  --picture benchmarks/results.svg $(ARGS)

cluster: $(SPARK)  ## a Spark cluster on this machine until Ctrl-C (needs Java); ARGS='--workers 3 --cores 2'
	@$(RUN) -m penstock.testing.cluster $(ARGS)

clean:  ## remove what was built, keep .venv
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------- the environment

PIP_INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check

define REQUIRE_PYTHON
command -v '$(1)' >/dev/null 2>&1 || { \
  echo "penstock: there is no '$(1)' here. Hint: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
'$(1)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "penstock: Python 3.11 or newer is needed, and $(1) is $$('$(1)' -V 2>&1)." \
    "Hint: $(2)" >&2; exit 1; }
endef

$(RUN):
	@$(call REQUIRE_PYTHON,$(PYTHON),make PYTHON=/path/to/python3.11)
	@'$(PYTHON)' -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "penstock: $(PYTHON) cannot make an environment. Hint: on Debian, apt install python3-venv" >&2; \
	  exit 1; }

$(BASE): pyproject.toml | $(RUN)
	@$(call REQUIRE_PYTHON,$(RUN),remove $(VENV) and try again)
	$(PIP_INSTALL) --editable '.[ui]'
	@touch $@

$(SPARK): $(BASE)
	$(PIP_INSTALL) --editable '.[spark]'
	@touch $@

$(DEV): $(BASE)
	$(PIP_INSTALL) --editable '.[test,check]'
	@touch $@

$(BENCH): $(BASE)
	$(PIP_INSTALL) --editable '.[test,bench]'
	@touch $@

$(PATHWAY)/.installed: pyproject.toml | $(RUN)
	@$(call REQUIRE_PYTHON,$(RUN),remove $(VENV) and try again)
	$(RUN) -m venv $(PATHWAY)
	$(PATHWAY)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench-pathway]'
	@touch $@
