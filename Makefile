# Two commands matter: `make run` starts a node, `make test` runs every check. Both build what is missing.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.built
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NODE := $(shell command -v node)
WEB_MODULES := web/node_modules/.package-lock.json
WEB_MANIFESTS := web/package.json web/package-lock.json web/.npmrc web/app/package.json web/packages/client/package.json
WEB_SOURCES := $(shell find web/app/src web/app/public web/packages/client/src -type f) web/app/index.html web/app/vite.config.ts
STATIC := chat/http_api/static
PAGE := $(STATIC)/index.html

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

$(WEB_MODULES): $(WEB_MANIFESTS)
	cd web && npm ci --no-audit --no-fund
	@touch $@

$(PAGE): $(WEB_MODULES) $(WEB_SOURCES)
	cd web && npm run build
	rm -rf $(STATIC)
	cp -r web/app/dist $(STATIC)
	@touch $@

# Without Node a node runs all the same, and says at / how to build the page.
.PHONY: page
page: $(if $(NODE),$(PAGE)) ## Build the web page, if Node is there

.PHONY: build
build: $(STAMP) page ## Build the extension and install the project into .venv

.PHONY: run
run: build ## Start a node on http://127.0.0.1:8000 with the embedded stores in ./data
	$(BIN)/chat-gateway serve --host 127.0.0.1 --port 8000 --data-dir data

.PHONY: cluster
cluster: build services ## Start Redis Cluster, two database shards and three nodes on this machine
	$(BIN)/chat-gateway dev-cluster

.PHONY: test
test: build services lint test-rust test-python test-web ## Run every check

# What the tests start as private processes: program and Debian package.
SERVICES := redis-server:redis-server redis-sentinel:redis-sentinel mariadbd:mariadb-server faketime:faketime chromium:chromium

.PHONY: services
services: ## Install what the tests start, where that is allowed
	@missing=; for service in $(SERVICES); do \
		command -v $${service%%:*} >/dev/null || missing="$$missing $${service##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "not installed, so the tests that need them are skipped:$$missing" >&2; \
	fi

.PHONY: lint
lint: build ## Check formatting, lint and types
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	cd bench/load && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: test-rust
test-rust: ## Run the Rust tests, which need no interpreter
	cargo test

.PHONY: test-python
test-python: build ## Run the Python tests against the built extension
	$(BIN)/pytest -n 3

.PHONY: test-web
test-web: build ## Lint and test the page, in a browser too if there is one
ifeq ($(NODE),)
	@echo "web tests skipped: Node is not in PATH"
else
	cd web && npm run lint && npm run types && npm run test && npm run test:browser
endif

.PHONY: test-faults
test-faults: build ## Kill nodes under load at length
	FAULT_ROUNDS=20 $(BIN)/pytest tests/faults

.PHONY: simulate
simulate: build ## Simulate fleets that break: SEEDS=2000 of them, or SEED=17 to see one
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) --jobs 2)

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
wheel: $(BIN)/python page ## Build the wheel into dist/
	$(BIN)/pip install --quiet maturin
	$(BIN)/maturin build --release --out dist

.PHONY: format
format: build ## Format everything
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) target dist gateway_core/_native*.so $(STATIC) web/node_modules web/app/dist
