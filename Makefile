# Two commands matter: `make run` starts a node, `make test` runs every check. Both build what is missing.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.built
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
FUZZ_SECONDS ?= 600

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "Rust is needed: cargo was not found in PATH" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml constraints.txt $(RUST_SOURCES)
	$(BIN)/pip install --quiet maturin
	$(BIN)/maturin develop --release --extras dev
	@touch $@

.PHONY: build
build: $(STAMP) ## Build the extension and install the project into .venv

.PHONY: run
run: build ## Start a node on http://127.0.0.1:8000 with the embedded stores in ./data
	$(BIN)/chat-gateway serve --host 127.0.0.1 --port 8000 --data-dir data

.PHONY: test
test: build lint test-rust test-python ## Run every check

.PHONY: lint
lint: build ## Check formatting, lint and types
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: test-rust
test-rust: ## Run the Rust tests, which need no interpreter
	cargo test

.PHONY: test-python
test-python: build ## Run the Python tests against the built extension
	$(BIN)/pytest

.PHONY: test-faults
test-faults: build ## Kill nodes under load at length
	FAULT_ROUNDS=20 $(BIN)/pytest tests/faults

.PHONY: conformance
conformance: build ## Run all of Autobahn against the native backend (about 8 minutes)
	$(BIN)/python tests/conformance/run.py --cases full --backend native

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_SECONDS (default 600)
	cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet cargo-fuzz
	@# Coverage needs flags that stable Rust has, but does not admit to.
	for target in frames handshake deflate topics; do \
		mkdir -p tests/fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz $$target \
			tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

.PHONY: bench
bench: bench-build ## Measure against the floor, about 20 minutes; BENCH='--quick' or other options
	$(BIN)/python -m bench run $(BENCH)

.PHONY: bench-build
bench-build: build
	$(BIN)/maturin develop --quiet --release --extras bench
	cargo build --quiet --release --manifest-path bench/load/Cargo.toml

.PHONY: bench-peers
bench-peers: ## Install the servers to compare with: Python, and Node and Go where they are there
	$(PYTHON) -m venv bench/peers/.venv
	PIP_CONSTRAINT= bench/peers/.venv/bin/pip install --quiet --requirement bench/peers/requirements.txt
	-cd bench/peers/node && npm install --silent --no-audit --no-fund
	-cd bench/peers/centrifuge && go build -o centrifuge .

.PHONY: bench-micro
bench-micro: bench-build ## Measure the engine's parts by themselves
	cargo bench --quiet --bench micro
	$(BIN)/python -m bench.micro.events

.PHONY: wheel
wheel: $(BIN)/python ## Build the wheel into dist/
	$(BIN)/pip install --quiet maturin
	$(BIN)/maturin build --release --out dist

.PHONY: format
format: build ## Format everything
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) target dist gateway_core/_native*.so
