# `make help` lists the commands: targets with `##` behind them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/debug
NODE := $(CARGO_TARGET_DIR)/node

ifeq ($(shell uname -s)/$(shell id -u),Linux/0)
LAB := 1
endif

.PHONY: help pictures start build test check ui lab-up lab-down bench bindings vllm-image vllm-story recordings trust tools spark-node \
  packages-start packages-test bare

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

tools:
	@for tool in cargo node npm; do
	  command -v $$tool >/dev/null || { echo "$$tool is missing. Rust: https://rustup.rs, Node 20 or newer: https://nodejs.org" >&2; exit 1; }
	done
	case $$(node --version) in v1[0-9].*|v[0-9].*) echo "Node 20 or newer is needed, this is $$(node --version)." >&2; exit 1;; esac

# The window's pages; the app embeds them.
ui: tools
	@cd ui
	if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then npm ci --no-audit --no-fund; fi
	npm run --silent build

$(NODE)/x86_64/tandem-node $(NODE)/aarch64/tandem-node: $(shell find src-tauri/node src-tauri/domain -name '*.rs' -o -name Cargo.toml | grep -v /tests/) Cargo.lock
	@src-tauri/node/build.sh $(notdir $(@D))

HOST_NODE := $(NODE)/$(shell uname -m)/tandem-node

# What the window and a rehearsal need, of the whole workspace's features, so that nothing is built twice. The
# optimised program for a Spark is not among it: a rehearsal is content with the one of this build.
build: ui
	@cargo build --workspace --locked --bin tandem --bin tandem-node --bin tandem-standin

# Without it the window opens and the rehearsal works, so its lack is only told.
spark-node: ## the program for a Spark
	@tests/packages.sh --arm64 src-tauri/node/packages.txt && $(MAKE) --no-print-directory $(NODE)/aarch64/tandem-node ||
	  echo "Tandem cannot be used with a Spark until its node program is built; what that lacks stands above." >&2

# The packages that a command needs, alone.
packages-start:
	@tests/packages.sh src-tauri/packages.txt

packages-test:
	@tests/packages.sh --arm64 src-tauri/packages.txt src-tauri/node/packages.txt tests/packages.txt $(if $(LAB),tests/lab/packages.txt)

start: tools packages-start ## everything from a fresh machine to the open window; without a display, the story
	@$(MAKE) --no-print-directory build
	if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then $(MAKE) --no-print-directory spark-node; fi
	if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] || [ "$$(uname -s)" != Linux ]; then
	  exec $(BIN)/tandem
	else
	  echo "There is no display, so the story is told here."
	  exec $(BIN)/tandem --story
	fi

# Each is a group of `make test` as well.
CHECKS := check-format check-clippy check-docs check-ui-lint check-ui-types
.PHONY: $(CHECKS)

check: ui $(CHECKS) ## formatting, lints and types, Rust and TypeScript

check-format:
	@cargo fmt --all --check

check-clippy:
	@cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

check-docs:
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

check-ui-lint:
	@cd ui && npm run --silent lint

check-ui-types:
	@cd ui && npm run --silent check

# One build for all of it; ONLY="recipes ui" runs the groups alone that have one of the words in their names.
ONLY ?=
test: tools packages-test ui ## every test there is; the lab too where it can start (Linux and root)
	@$(MAKE) --no-print-directory $(NODE)/x86_64/tandem-node $(NODE)/aarch64/tandem-node
	cargo build --workspace --all-targets --locked
	TANDEM_LAB=$(LAB) TANDEM_CHECKS="$(CHECKS)" $(BIN)/suite $(ONLY)

# What shows that the promises of docs/TRUST.md hold, at length. Its figures go into that page; with ONLY="fuzz undo" those
# groups alone are run, and the other figures stay.
TRUST := fuzz hostile exposure undo limits killed contract e2e recipes selection contents
trust: tools packages-test ui ## the tests behind docs/TRUST.md, at length; writes its figures (root)
	@$(MAKE) --no-print-directory $(NODE)/x86_64/tandem-node $(NODE)/aarch64/tandem-node
	cargo build --workspace --all-targets --locked
	TANDEM_LAB=$(LAB) TANDEM_FUZZ_SECONDS=20 TANDEM_TRUST=$(CURDIR)/docs/TRUST.md $(BIN)/suite $(or $(ONLY),$(TRUST))

bare: ## start (without a display) and test on a bare Debian that it makes (root)
	@tests/bare.sh start
	tests/bare.sh test

lab-up: tools ## two machines on this box to play with (root)
	@tests/packages.sh src-tauri/packages.txt tests/lab/packages.txt
	$(MAKE) --no-print-directory build $(HOST_NODE)
	cargo build --workspace --locked --bins
	$(BIN)/lab up

lab-down: ## removes them, their disks and their cables
	@$(BIN)/lab down

# The checkpoint that it measures with stays in the target folder. FIGURES="copy line" measures these groups alone.
FIGURES ?=
bench: tools ## the figures, one a line; with root on a machine of the lab
	@tests/packages.sh src-tauri/packages.txt tests/packages.txt $(if $(LAB),tests/lab/packages.txt)
	$(MAKE) --no-print-directory $(HOST_NODE)
	cargo build --workspace --locked --quiet --bin bench
	TANDEM_LAB=$(LAB) $(BIN)/bench $(FIGURES)
	case " $(or $(FIGURES),chat) " in *" chat "*)
	  $(MAKE) --no-print-directory ui
	  if [ -x "$${CHROMIUM:-/usr/bin/chromium}" ]; then node ui/tools/chat/run.mjs; else echo "bench: the chat was not measured in a window: Chromium is missing" >&2; fi;;
	esac

vllm-image: tools ## the lab's second image: the real vLLM for a processor, some 6 GB of downloads (root)
	@tests/packages.sh src-tauri/packages.txt tests/lab/packages.txt tests/vllm/packages.txt
	cargo build --workspace --locked --quiet --bin vllm-story
	$(BIN)/vllm-story image

# Over both machines; then each way to MTP on one of them, which must write the same tokens.
vllm-story: vllm-image ## the set-up, a chat and the undoing with it; not a part of test
	@$(MAKE) --no-print-directory $(HOST_NODE)
	$(BIN)/vllm-story

pictures: tools ## every screen in every state of the fake host, and what axe says of each
	@tests/packages.sh tests/packages.txt
	$(MAKE) --no-print-directory ui
	cd ui && node tools/shots.mjs $(CARGO_TARGET_DIR)/pictures

bindings: ## writes ui/src/bindings.ts anew from the Rust commands
	@mkdir -p ui/dist && touch ui/dist/index.html
	cargo run --quiet --bin tandem -- --bindings

# At the pace of two Sparks, which takes two minutes; what did not change stays as it is.
recordings: tools ## what the window's tests play, recorded anew from the rehearsal
	@mkdir -p ui/dist && touch ui/dist/index.html
	cargo build --workspace --locked --quiet --bin tandem-node --bin tandem-standin
	UPDATE_EXPECT=1 cargo test --workspace --locked --quiet --lib -- the_window_draws_its_form_from_these_settings
	TANDEM_RECORD=1 cargo test --workspace --locked --quiet --test recordings
