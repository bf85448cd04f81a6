# make start   everything from a fresh machine to the open window (or, without a display, the story)
# make test    every test there is; the lab too where it can start (Linux and root)
# make bench   the figures, one a line
# make lab-up, make lab-down   two machines to play with
# make vllm-image, make vllm-story   the real vLLM in the lab, without a GPU
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/debug
NODE := $(CARGO_TARGET_DIR)/node

ifeq ($(shell uname -s)/$(shell id -u),Linux/0)
LAB := 1
endif

.PHONY: pictures start build test check ui lab-up lab-down bench bindings vllm-image vllm-story tools spark-node

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

build: ui $(HOST_NODE)
	@cargo build --workspace --locked --bins

# What goes to a Spark. Without it the window opens and the rehearsal works, so its lack is only told.
spark-node:
	@tests/packages.sh --arm64 src-tauri/node/packages.txt && $(MAKE) --no-print-directory $(NODE)/aarch64/tandem-node ||
	  echo "Tandem cannot be used with a Spark until its node program is built; what that lacks stands above." >&2

start: tools
	@tests/packages.sh src-tauri/packages.txt
	$(MAKE) --no-print-directory build
	if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then $(MAKE) --no-print-directory spark-node; fi
	if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] || [ "$$(uname -s)" != Linux ]; then
	  exec $(BIN)/tandem
	else
	  echo "There is no display, so the story is told here."
	  exec $(BIN)/tandem --story
	fi

check: ui
	@cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	cd ui && npm run --silent lint && npm run --silent check

test: tools
	@tests/packages.sh --arm64 src-tauri/packages.txt src-tauri/node/packages.txt tests/packages.txt $(if $(LAB),tests/lab/packages.txt)
	$(MAKE) --no-print-directory check
	(cd ui && npm test --silent)
	$(MAKE) --no-print-directory $(NODE)/x86_64/tandem-node $(NODE)/aarch64/tandem-node
	cargo build --workspace --all-targets --locked
	TANDEM_LAB=$(LAB) cargo test --workspace --locked --quiet

lab-up: tools
	@tests/packages.sh src-tauri/packages.txt tests/lab/packages.txt
	$(MAKE) --no-print-directory build
	$(BIN)/lab up

lab-down:
	@$(BIN)/lab down

# The checkpoint that it measures with stays in the target folder. FIGURES="copy line" measures these groups alone.
FIGURES ?=
bench: tools
	@tests/packages.sh src-tauri/packages.txt tests/packages.txt $(if $(LAB),tests/lab/packages.txt)
	$(MAKE) --no-print-directory $(HOST_NODE)
	cargo build --workspace --locked --quiet --bin bench
	TANDEM_LAB=$(LAB) $(BIN)/bench $(FIGURES)

# The lab's second image, with the real vLLM for a processor: some 6 GB of downloads the first time.
vllm-image: tools
	@tests/packages.sh src-tauri/packages.txt tests/lab/packages.txt tests/vllm/packages.txt
	cargo build --workspace --locked --quiet --bin vllm-story
	$(BIN)/vllm-story image

# The set-up, a chat and the undoing with that image, over both machines; then each way to MTP on one of
# them, which must write the same tokens. Not a part of `test`.
vllm-story: vllm-image
	@$(MAKE) --no-print-directory $(HOST_NODE)
	$(BIN)/vllm-story

# Every screen in every state of the fake host, light and dark, large and small, and what axe says of each.
pictures: tools
	@tests/packages.sh tests/packages.txt
	$(MAKE) --no-print-directory ui
	cd ui && node tools/shots.mjs $(CARGO_TARGET_DIR)/pictures

bindings:
	@mkdir -p ui/dist && touch ui/dist/index.html
	cargo run --quiet --bin tandem -- --bindings
