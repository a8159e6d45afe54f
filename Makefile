# Every command of the project. `make help` lists them.
# Build outputs live outside the checkout, so that a fresh clone starts warm; override CARGO_TARGET_DIR to change that.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/meltemi
export CARGO_TARGET_DIR ?= $(CACHE)/target
export MELTEMI_CACHE := $(CACHE)
MELTEMI = $(CARGO_TARGET_DIR)/debug/meltemi

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

test: build ## installs what the tests need and runs them all
	@manifests/scripts/tools.sh test
	cargo test --locked --workspace --exclude tests
	cargo test --locked --package tests

test-unit: ## tests without namespaces and peers: seconds
	cargo test --locked --workspace --exclude tests

lint: ## formatting, clippy, dependency rules, licences
	@manifests/scripts/tools.sh lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	PATH="$(CACHE)/bin:$$PATH" cargo deny --all-features check bans licenses sources

fmt: ## formats the code
	cargo fmt --all

.PHONY: help demo build release test test-unit lint fmt
