# Every command of the project. `make help` lists them.
# Build outputs live outside the checkout; override CARGO_TARGET_DIR to change that. Each checkout has its own: cargo takes
# the crates of two checkouts for the same and tells old from new by the time of the files. CI, where every run is a
# fresh clone, shares one for the dependencies and forgets our own crates first.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/meltemi
CHECKOUT := $(if $(CI),ci,$(shell printf %s '$(CURDIR)' | cksum | cut -d ' ' -f 1))
export CARGO_TARGET_DIR ?= $(CACHE)/target-$(CHECKOUT)
export MELTEMI_CACHE := $(CACHE)
MELTEMI = $(CARGO_TARGET_DIR)/debug/meltemi
BENCH = MELTEMI=$(CARGO_TARGET_DIR)/release/meltemi $(CARGO_TARGET_DIR)/release/bench

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: build ## a small shop in a mesh of its own, with live figures; Ctrl-C ends it and leaves nothing
	@manifests/scripts/tools.sh demo
	@$(MELTEMI) demo

build: ## the program, for work and tests
	cargo build --locked --package meltemi

release: ## the program as it ships
	cargo build --locked --release --package meltemi

images: release ## the container images, as archives for ctr, docker or skopeo; OUT=folder says where
	@manifests/scripts/tools.sh images
	cargo build --locked --package images
	@$(CARGO_TARGET_DIR)/debug/images --program $(CARGO_TARGET_DIR)/release/meltemi --out $(or $(OUT),$(CARGO_TARGET_DIR)/images)

bench: bench-tools ## our proxy beside Envoy, HAProxy and nginx, some 40 minutes; ARGS="--loads http1 --runs 3" for less
	@$(BENCH) run $(ARGS)

bench-quick: build ## the same for a moment each, of the debug program: shows that every load works; fails when a request does
	@manifests/scripts/tools.sh bench
	cargo build --locked --package bench
	@MELTEMI=$(MELTEMI) $(CARGO_TARGET_DIR)/debug/bench run --runs 1 --seconds 0.3 --peers meltemi,envoy $(ARGS)

instructions: release ## instructions per request of our two sidecars, by valgrind: judges between two versions of ours
	@manifests/scripts/tools.sh instructions
	cargo build --locked --release --package bench
	@$(BENCH) instructions $(ARGS)

bench-tools: release
	@manifests/scripts/tools.sh bench
	cargo build --locked --release --package bench

cluster: build ## a Kubernetes cluster of one node with Meltemi; prints how to use it, Ctrl-C ends it and leaves nothing
	@manifests/scripts/tools.sh kubernetes
	cargo build --locked --package tests --bin cluster
	@$(CARGO_TARGET_DIR)/debug/cluster

test: build ## installs what the tests need and runs them all
	@manifests/scripts/tools.sh test
	cargo test --locked --workspace --exclude tests
	cargo test --locked --package tests --lib --test mesh --test structure
	@if [ "$(CI)" ] || [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory test-cluster; else \
		echo "not run: the tests on a real Kubernetes, which need root: sudo make test-cluster"; fi

test-cluster: build ## tests on a real Kubernetes, as root; the first time builds it, some 10 minutes
	@manifests/scripts/tools.sh kubernetes
	cargo test --locked --package tests --test kubernetes -- $(ARGS)

test-unit: ## tests without namespaces and peers: seconds
	cargo test --locked --workspace --exclude tests

test-hostile: build release ## hostile and slow peers of the release program, some 15 minutes
	@manifests/scripts/tools.sh test
	MELTEMI=$(CARGO_TARGET_DIR)/release/meltemi MELTEMI_HEAVY=1 \
		cargo test --locked --package tests --test mesh -- --nocapture hostile_peers

fuzz: ## our HTTP/1 codec beside hyper's, on messages that are almost right and on its own, some 10 minutes; CASES=100000 for less
	PROPTEST_CASES=$(or $(CASES),6000000) cargo test --locked --package proxy --test http1_oracle -- --skip what_ours_writes
	PROPTEST_CASES=$(or $(CASES),800000) cargo test --locked --package proxy --test http1_oracle -- what_ours_writes

lint: ## formatting, clippy, dependency rules, licences
	@manifests/scripts/tools.sh lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	PATH="$(CACHE)/bin:$$PATH" cargo deny --all-features check bans licenses sources

forget: ## forgets what was built of our own crates, not of the dependencies
	cargo clean --quiet --workspace 2>/dev/null || true

fmt: ## formats the code
	cargo fmt --all


.PHONY: cluster test-cluster test-hostile fuzz help demo build release images test test-unit lint forget fmt bench bench-quick bench-tools instructions
