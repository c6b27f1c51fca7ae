# Every target does its own set-up: a virtual environment in .venv, the Python packages, and the
# extension built in release mode. A second call skips what is up to date.

PYTHON ?= python3
VENV ?= .venv
# Its own, since the newest webserver may ask for an older Dagster than the newest.
VENV_DEPLOYMENT ?= .venv-deployment

BIN := $(VENV)/bin
lacks = $(shell PYTHON="$(PYTHON)" .ci/prerequisites.sh $(1))
require = $(if $(call lacks,$(1)),$(error $(call lacks,$(1))))
RUST := Cargo.toml Cargo.lock $(shell find rust -type f)

export VIRTUAL_ENV := $(abspath $(VENV))
export PYO3_PYTHON := $(abspath $(BIN)/python)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-rust test-python deployment lint format build contract bench clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/extension ## Run a Dagster job in four processes and show the history it left.
	@$(BIN)/python examples/demo.py

test: test-rust test-python deployment ## Run every test, Dagster's own suites for storages among them.

test-rust: $(VENV)/rust
	cargo test --locked --workspace --exclude dagster-lmdb-core

test-python: $(VENV)/extension
	$(BIN)/python -m pytest $(PYTEST)

deployment: $(VENV)/extension $(VENV_DEPLOYMENT)/packages ## Run a whole Dagster deployment on it, also in a browser.
	$(VENV_DEPLOYMENT)/bin/python -m pytest tests/deployment $(PYTEST)

lint: $(VENV)/extension ## Check formatting, lints, types and the extension's stub file.
	$(call require,lint)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest dagster_lmdb._core

format: $(VENV)/packages ## Format the Rust and the Python code.
	$(call require,rust lint)
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

build: $(VENV)/packages ## Build a wheel into dist/.
	$(call require,rust)
	$(BIN)/maturin build --locked --release --out dist

contract: $(VENV)/packages ## Run Dagster's suite with the oldest and newest Dagster supported, as a table.
	$(call require,rust)
	@$(BIN)/python tests/contract/versions.py

bench: $(VENV)/extension $(VENV)/bench-packages ## Measure beside Dagster's storages (QUICK=1: five minutes; ROWS=text,text: only these).
	@$(BIN)/python benches/run.py $(if $(QUICK),--quick) $(if $(ROWS),--rows "$(ROWS)")

clean: ## Remove what the other targets made.
	rm -rf $(VENV) $(VENV_DEPLOYMENT) .artifacts .cache .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache dist target
	rm -f python/dagster_lmdb/*.so

# The stamps below say which part of the set-up is done.

$(VENV)/bin/python:
	$(call require,python rust)
	$(PYTHON) -m venv $(VENV)

$(VENV)/packages: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --group dev
	@touch $@

$(VENV)/bench-packages: pyproject.toml | $(VENV)/packages
	$(BIN)/python -m pip install --group bench
	@touch $@

$(VENV)/rust: | $(VENV)/bin/python
	$(call require,rust)
	@touch $@

$(VENV)/extension: $(RUST) pyproject.toml | $(VENV)/packages $(VENV)/rust
	$(BIN)/maturin develop --locked --release --quiet
	@touch $@

# A path takes the place of an installation: what is imported is python/, where the extension is
# built for the same interpreter, once.
$(VENV_DEPLOYMENT)/packages: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m venv $(VENV_DEPLOYMENT)
	$(VENV_DEPLOYMENT)/bin/python -m pip install --upgrade "pip>=25.1"
	$(VENV_DEPLOYMENT)/bin/python -m pip install --group deployment
	echo "$(abspath python)" > "$$($(VENV_DEPLOYMENT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dagster_lmdb.pth"
	@touch $@
