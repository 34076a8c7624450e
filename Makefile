# Kontena Registrator. `make` lists what can be made; `make run` and `make test` are where to start.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
# rustup's installer puts Cargo where only a new login shell looks.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: run
run: ## Show it: two containers of its own, the registrator on its embedded etcd, the nodes; ^C cleans up
	@scripts/demo.sh

.PHONY: test
test: ## Everything that CI checks: format, lints, all tests with real Docker and etcd, licences, the demo
	@scripts/test.sh

.PHONY: check-fast
check-fast: ## The unit tests alone: no Docker, no etcd, seconds
	cargo test --locked --workspace --lib --bins -- --skip watches:: --skip etcd::tests:: --skip docker::tests::real:: --skip fuzz_

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Check format, lints, documentation links and shell syntax
	@scripts/lint.sh

.PHONY: build
build: ## Build the program for development, as target/debug/kontena-registrator
	cargo build --locked --package registrator

.PHONY: release
release: ## Build the program for use, as target/release/kontena-registrator
	cargo build --locked --release --package registrator

.PHONY: dist
dist: ## Build what is given to others, in dist/: static program, checksums, manual, completions, Debian package; and the images
	@scripts/install-deps.sh dist
	@scripts/dist.sh

.PHONY: test-packages
test-packages: ## The tests of what `make dist` builds alone
	@scripts/test.sh packages

.PHONY: e2e
e2e: ## The end-to-end tests alone, with real Docker and etcd
	@scripts/test.sh e2e

.PHONY: test-engines
test-engines: ## The tests with a Docker Engine, on the newest one, which is built first (10 minutes)
	@scripts/test.sh engines

.PHONY: bench
bench: ## Measure, in about 15 minutes: the core alone, a host with real Docker, a host with 10,000 containers
	@scripts/install-deps.sh test
	cargo bench --locked --package registrator-core --bench core
	cargo bench --locked --package registrator --bench host
	cargo bench --locked --package registrator --bench fleet

.PHONY: fuzz
fuzz: ## Feed a million mutated inputs to each reader of bytes from outside, in about an hour; FUZZ_INPUTS, FUZZ_SEED: others
	FUZZ_INPUTS=$${FUZZ_INPUTS:-1000000} cargo test --locked --profile fuzz --workspace --lib --bins --test fuzz -- fuzz_ --nocapture

.PHONY: soak
soak: ## Keep the program among churn and faults for SOAK_MINUTES (20), after which it must be as it was; SOAK_SEED replays
	@scripts/install-deps.sh test
	cargo bench --locked --package registrator --bench soak

.PHONY: deny
deny: ## Check the licences, sources and bans of deny.toml, and known advisories where they can be fetched
	@scripts/deny.sh

.PHONY: bless
bless: ## Rewrite the expected outputs of golden and scenario tests; look at the difference before you commit it
	UPDATE=1 UPDATE_EXPECT=1 cargo test --locked --workspace

.PHONY: clean
clean: ## Remove everything built and fetched
	cargo clean
	rm -rf .cache dist
