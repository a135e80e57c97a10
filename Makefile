# House work. `make` alone says what there is; `make test` is all a newcomer needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
XTASK := $(CARGO) run --quiet --locked -p posthaste-xtask --

# The providers' published contracts, which are not part of this repository.
CONTRACTS ?= $(abspath ../shared/contracts)

# Packages whose tests talk to a server: `ci-full` runs them again on the other servers.
ON_SERVERS := crates/rig crates/protocol crates/store crates/courier tests
# What can differ between servers: the scripts and the events. `ci` runs these again.
DIFFERS := crates/rig crates/protocol

# From quick to slow, so that a mistake shows early.
STEPS := setup setup-ci fmt-check lua tidy alerts deny clippy docs test test-peers test-scripts
FULL_STEPS := $(filter-out test-scripts,$(STEPS)) test-servers test-nested schemathesis

.PHONY: help run show bench bench-peers fuzz setup setup-ci fmt fmt-check clippy docs lua tidy alerts deny servers test test-peers test-scripts test-servers test-nested schemathesis ci ci-full

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup ## everything on this computer: a private server, queue, e-mail courier and a sandbox that takes what is sent
	@$(CARGO) build --quiet --locked -p posthaste
	@exec target/debug/posthaste dev $(ARGS)

show: setup ## the engine alone: one message to 10,000 people over four channels, on a private server
	@$(CARGO) run --quiet --locked -p posthaste-bench -- show

bench: setup ## the figures of docs/benchmarks.md, about 35 minutes
	@$(CARGO) build --quiet --locked --release -p posthaste-bench -p posthaste
	@for aof in "" --no-aof; do \
	  for pending in 10000 100000 1000000; do target/release/posthaste-bench lateness --pending $$pending $$aof; done; \
	  target/release/posthaste-bench enqueue $$aof; \
	  target/release/posthaste-bench drain $$aof; \
	done
	@target/release/posthaste-bench memory
	@target/release/posthaste-bench http
	@target/release/posthaste-bench numbers
	@target/release/posthaste-bench mail
	@target/release/posthaste-bench channels

bench-peers: setup ## Posthaste beside BullMQ, Sidekiq, Celery and apalis, which it installs into target/peers (ARGS, as in "--only bullmq --runs 1")
	@$(CARGO) build --quiet --locked --release -p posthaste-bench -p posthaste
	@CARGO="$(CARGO)" crates/bench/peers/install.sh target/peers
	@target/release/posthaste-bench peers $(ARGS)

setup: ## install what is missing: a server for the tests, luacheck, a C compiler
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust with rustup, see https://rustup.rs"; exit 1; }
	@missing=; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v luacheck >/dev/null || missing="$$missing lua-check"; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v setpriv >/dev/null || missing="$$missing util-linux"; \
	command -v git >/dev/null || missing="$$missing git"; \
	if [ -n "$$missing" ]; then \
	  if ! command -v apt-get >/dev/null; then \
	    echo "please install what these Debian packages hold:$$missing"; exit 1; \
	  elif [ "$$(id -u)" != 0 ]; then \
	    echo "please type: sudo apt-get update && sudo apt-get install -y$$missing"; exit 1; \
	  fi; \
	  apt-get -q update; \
	  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing; \
	fi

# The time of each target in seconds; FUZZ_TARGETS names some of them. What is found is put into fuzz/artifacts; keep it, made
# small, in fuzz/corpus. Sanitizers find nothing in code without `unsafe`, and are left out.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz: setup ## every parser of outside input for ten minutes each (FUZZ_SECONDS, FUZZ_TARGETS), with a nightly compiler
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked --debug
	@command -v c++ >/dev/null || { echo "please install a C++ compiler, for libFuzzer: the Debian package g++"; exit 1; }
	@cd fuzz && $(CARGO) +nightly fuzz build -s none
	@cd fuzz && for target in $(FUZZ_TARGETS); do \
	  mkdir -p found/$$target; \
	  $(CARGO) +nightly fuzz run -s none $$target found/$$target corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) \
	    -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -verbosity=0 > found/$$target.log 2>&1 || ended=failed; \
	  printf '%-20s %12s runs, %s\n' $$target "$$(sed -n 's/^stat::number_of_executed_units: *//p' found/$$target.log)" \
	    "$${ended:-nothing found}"; \
	  [ -z "$${ended:-}" ] || { tail -30 found/$$target.log; failed=1; }; unset ended; \
	done; exit $${failed:-0}

# Without optimisation it is built in a third of the time and still takes a second for its work.
setup-ci: setup ## also install cargo-deny, promtool, and a mail server to send to
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked --debug
	@command -v postfix >/dev/null || [ -x /usr/sbin/postfix ] || { \
	  if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	    echo "please install the package postfix, it need not run"; exit 1; \
	  fi; \
	  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; \
	  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends postfix; }
	@command -v promtool >/dev/null || { \
	  if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	    echo "please install promtool, which the Debian package prometheus holds"; exit 1; \
	  fi; \
	  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends prometheus; }

fmt: ## format the code
	@$(CARGO) fmt --all

fmt-check: ## check the format
	@$(CARGO) fmt --all --check

clippy: ## lints, warnings are errors
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

docs: ## build the documentation, warnings are errors
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

lua: ## luacheck over the scripts as servers run them
	@$(XTASK) lua

tidy: ## the house rules
	@$(XTASK) tidy

alerts: ## check and test the alert rules of deploy/prometheus
	@command -v promtool >/dev/null || { \
	  echo "promtool is missing: make setup-ci, or install the Debian package prometheus"; exit 1; }
	@promtool check rules deploy/prometheus/posthaste.rules.yml
	@cd deploy/prometheus && promtool test rules posthaste.rules.test.yml

deny: ## bans, licences, sources, advisories
	@$(CARGO) deny --workspace check bans licenses sources
	@$(XTASK) advisories

servers: ## fetch Redis 8.0 and Valkey 8.1 for the tests
	@$(XTASK) servers

test: setup ## all tests; closes with `N passed, N failed`
	@$(XTASK) test

test-peers: ## e-mail to a real Postfix (as root), and requests compared with providers' contracts where they are at hand
	@if [ -d "$(CONTRACTS)" ]; then PROVIDER_CONTRACTS="$(CONTRACTS)" $(XTASK) test --named postfix contract; \
	else echo "no providers' contracts in $(CONTRACTS): requests are held to our own tables only"; \
	  $(XTASK) test --named postfix; fi

schemathesis: setup ## every operation of the served description, by schemathesis (PyPI), against a queue of its own
	@command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "please install what these Debian packages hold: python3 python3-venv"; exit 1; }
	@$(CARGO) build --quiet --locked -p posthaste
	@tests/schemathesis/run.sh $(ARGS)

test-nested: setup ## what nests its input, optimised as it is shipped: stacks differ
	@$(CARGO) test --workspace --locked --profile nested --lib -- fuzz:: nested within_

test-scripts: servers ## script tables and events on Redis 8.0 and Valkey 8.1
	@$(XTASK) test --on redis8 $(DIFFERS)
	@$(XTASK) test --on valkey8 $(DIFFERS)

test-servers: servers ## stores, couriers and scenarios as well on Redis 8.0 and Valkey 8.1
	@$(XTASK) test --on redis8 $(ON_SERVERS)
	@$(XTASK) test --on valkey8 $(ON_SERVERS)

ci: ## the gate, with the time of each step; closes with `N passed, N failed`
	@$(MAKE) gate STEPS="$(STEPS)"

ci-full: ## the gate and what is slow; run it before you call an issue resolved
	@$(MAKE) gate STEPS="$(FULL_STEPS)"

.PHONY: gate
gate:
	@$(MAKE) setup
	@$(XTASK) counts --reset
	@for step in $(STEPS); do \
	  echo "== $$step"; begun=$$SECONDS; \
	  $(MAKE) $$step || { echo "== $$step failed after $$((SECONDS - begun)) s"; $(XTASK) counts || true; exit 1; }; \
	  echo "== $$step took $$((SECONDS - begun)) s"; \
	done
	@$(XTASK) counts
