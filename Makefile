# Each target prepares what it needs: a machine with Python >= 3.11, cargo and make is enough.
# Stamp files under .venv/stamps remember what is done, so the second time is quick.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMPS := $(VENV)/stamps
CACHE := .cache

# Seconds each fuzz target runs in `make fuzz`, and which targets (all, unless named).
SECONDS ?= 60
TARGETS ?=
# Arguments for pytest in `make test` and `make test-all`: make test PYTEST="-k handshake"
PYTEST ?=
# Tests that run at once: most of them wait, for timers of the protocol or for a command that begins.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
# Once, and not in each process that a test begins, however PYTHONDONTWRITEBYTECODE is set; guests of the lab, which
# are slow, can only read this folder.
COMPILED := $(PY) -m compileall -q src/wirewright tests
# Arguments for `ww bench` in `make bench-linux`: make bench-linux BENCH="--rounds 5 --workloads tcp-1"
BENCH ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/$(CACHE)/bin:$(PATH)
# One interpreter for every build of the bindings: PyO3 is rebuilt whenever it sees another.
export PYO3_PYTHON := $(CURDIR)/$(PY)

CORE := src/wirewright/_core.abi3.so
CORE_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name '*.rs' -o -name Cargo.toml)
# The bindings are built by maturin and tested from Python; benchmarks are compiled by the lint.
RUST_TESTED := --workspace --exclude wirewright-python --exclude wirewright-bench

.PHONY: help demo test test-all lint bench bench-linux docs fuzz lock clean rust-tests interop-peers

help: ## Show these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(STAMPS)/runtime $(STAMPS)/serve $(STAMPS)/core-fast ## Rootless tunnels on this machine; then a coordinator, its gateway and two devices
	$(BIN)/ww demo
	$(BIN)/ww demo --coordinator

test: rust-tests interop-peers $(STAMPS)/test $(STAMPS)/core-test ## Rust tests, replay of fuzz corpora, Python tests, interoperation
	@$(COMPILED)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow" $(PYTEST)

test-all: rust-tests interop-peers $(STAMPS)/test $(STAMPS)/core-test ## Everything in `make test`, and the slow tests
	@$(COMPILED)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -o faulthandler_timeout=2400 $(PYTEST)

lint: $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/core-test ## Formatting, clippy, ruff, mypy, layers, stubs, file sizes
	$(PY) scripts/lint.py

bench: interop-peers $(STAMPS)/runtime $(STAMPS)/bench $(STAMPS)/core-bench ## Measure the core beside its rivals; table here, JSON in bench/results
	$(PY) bench/run.py

bench-linux: interop-peers $(STAMPS)/runtime $(STAMPS)/bench $(STAMPS)/core-bench ## Compare system tunnels in the lab (takes root); report in bench/results/linux
	scripts/install_lab_tools.sh
	cargo build --quiet --locked --release --package=wirewright-bench --example=bare_loop
	$(BIN)/ww bench --output bench/results/linux $(BENCH)

docs: $(STAMPS)/docs $(STAMPS)/runtime ## Build the documentation and the manual pages into docs/_build; warnings are errors
	$(BIN)/sphinx-build -b html -n -W --keep-going -q docs docs/_build/html
	$(PY) scripts/man_pages.py docs/_build/man
	@echo "docs/_build/html/index.html, docs/_build/man"

fuzz: $(CACHE)/bin/cargo-fuzz ## Run every fuzz target for SECONDS each (default 60)
	scripts/fuzz.sh "$(SECONDS)" $(TARGETS)

lock: $(STAMPS)/lock ## Pin the requirements again from pyproject.toml (UPGRADE=1 moves to newer versions)
	$(PY) scripts/lock_requirements.py $(if $(UPGRADE),--upgrade)

clean: ## Remove everything the other targets made, but not .cache (tools that were downloaded)
	rm -rf $(VENV) target fuzz/target dist docs/_build bench/results src/wirewright/_core*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(CACHE)/*' -prune -exec rm -rf {} +

# --- what the targets stand on

rust-tests:
	cargo test --quiet --locked $(RUST_TESTED)

interop-peers: $(STAMPS)/venv
	$(PY) scripts/install_wireguard_go.py
	$(PY) scripts/install_cargo_peers.py
	$(PY) scripts/install_oidc_provider.py

$(STAMPS)/venv: scripts/find_python.sh
	python=$$(scripts/find_python.sh) && "$$python" -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/%: requirements/%.txt $(STAMPS)/venv
	$(PY) -m pip install --quiet --require-hashes -r $<
	@touch $@

# One of the three builds is installed at a time; its stamp forgets the others, and a missing module forgets it.
CORE_NEEDS := $(STAMPS)/build $(STAMPS)/runtime $(CORE_SOURCES) $(if $(wildcard $(CORE)),,FORCE)

$(STAMPS)/core-test: PROFILE := dev
$(STAMPS)/core-fast: PROFILE := fast
$(STAMPS)/core-bench: PROFILE := release
$(STAMPS)/core-test $(STAMPS)/core-fast $(STAMPS)/core-bench: $(CORE_NEEDS)
	@rm -f $(STAMPS)/core-*
	PIP_QUIET=1 $(BIN)/maturin develop --quiet --locked --profile $(PROFILE)
	@touch $@

$(CACHE)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(CACHE) cargo-fuzz@0.13.2

.PHONY: FORCE
FORCE:
