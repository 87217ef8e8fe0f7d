# The two commands are `make run` and `make test`; `make` alone lists the rest.
# Kept to what GNU make 3.81 knows, which is what a Mac has.

SHELL := /bin/sh
CARGO ?= cargo
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
DATA_DIR ?= $(if $(ANNALS_DATA_DIR),$(ANNALS_DATA_DIR),.annals)
TOOLS := PATH="$(CURDIR)/target/tools/bin:$$PATH"
WITH_POSTGRES := $(CARGO) run -q -p cluster --bin with_postgres --

# Checked queries are compiled from .sqlx, whatever server DATABASE_URL names for running.
export SQLX_OFFLINE := true

.DEFAULT_GOAL := help
.PHONY: help run test chaos bench load growth drill fmt lint check sdl matrix prepare deny ci clean-data postgres

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

# A server that is named is used; only without one are binaries needed.
run: ## install what is missing, build, and serve with the demo until Ctrl-C
	@if [ -z "$$DATABASE_URL" ]; then sh scripts/ensure-postgres.sh; fi
	@$(CARGO) build --release -p api
	@exec $(CARGO) run -q --release -p api -- serve --demo

# nextest runs each test in a process of its own, and side by side; plain cargo does without it.
test: postgres ## run every test; nothing needs to be set up before
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(WITH_POSTGRES) $(CARGO) nextest run --workspace && \
		ANNALS_TEST_APPEND=locking $(WITH_POSTGRES) $(CARGO) nextest run -p api --test it log::; \
	else \
		$(WITH_POSTGRES) $(CARGO) test --workspace --lib --bins --tests && \
		ANNALS_TEST_APPEND=locking $(WITH_POSTGRES) $(CARGO) test -p api --test it log::; \
	fi
	@$(CARGO) test -q --workspace --doc

# What the programs log goes to a file; the rounds are shown. Connections cut in mid-commit and a fold that panics are
# other tests' own.
chaos: postgres ## kill, fill up, slow down and set back what the program stands on, CHAOS_ROUNDS=100 times
	@mkdir -p $(TARGET)
	@export CHAOS_ROUNDS=$${CHAOS_ROUNDS:-100}; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		nice $(WITH_POSTGRES) $(CARGO) nextest run --profile chaos --no-capture -p api -p projections --test it \
			-E 'test(/^(chaos|processes::loss|fragile)::/)' > $(TARGET)/chaos.log; \
	else \
		nice $(WITH_POSTGRES) $(CARGO) test -p api -p projections --test it -- \
			--test-threads=1 --nocapture chaos:: processes::loss:: fragile:: > $(TARGET)/chaos.log; \
	fi; status=$$?; grep '^test result' $(TARGET)/chaos.log; \
	echo "what the programs logged is in $(TARGET)/chaos.log"; exit $$status

bench: postgres ## measure commands per second against bare INSERTs and postgres-es
	@$(CARGO) build -q --release -p cluster -p benches
	@$(CARGO) run -q --release -p cluster --bin with_postgres -- --durable $(CARGO) run -q --release -p benches -- $(BENCH_FLAGS)

load: postgres ## drive the program over HTTP as many users would; LOAD_FLAGS="--help" says what can be chosen
	@$(CARGO) build -q --release -p cluster -p api -p load
	@$(TARGET)/release/with_postgres --durable $(TARGET)/release/load $(LOAD_FLAGS)

growth: postgres ## the load at 10 thousand to 5 million events and at 10 to 20,000 workspaces; GROWTH_FLAGS="--help"
	@$(CARGO) build -q --release -p cluster -p api -p load
	@$(TARGET)/release/with_postgres --durable $(TARGET)/release/load growth $(GROWTH_FLAGS)

drill: postgres ## back up under load, lose everything, restore, and time it; DRILL_FLAGS="--help" says what can be chosen
	@$(CARGO) build -q --release -p cluster -p api -p benches
	@$(TARGET)/release/with_postgres --durable $(TARGET)/release/drill $(DRILL_FLAGS)

fmt: ## format the code
	@$(CARGO) fmt --all

lint: ## formatting and clippy, warnings denied
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy -q --workspace --all-targets -- -D warnings

check: ## the quickest look: does it compile?
	@$(CARGO) check -q --workspace --all-targets

# By way of a temporary file: a failed build must not leave an empty schema.
sdl: ## regenerate fixtures/schema.graphql
	@mkdir -p target
	@$(CARGO) run -q -p api -- schema > target/schema.graphql
	@mv target/schema.graphql fixtures/schema.graphql

# The same features as `make test` builds with, so that nothing is built twice; needs no server.
matrix: ## regenerate fixtures/authorization.txt: who may send and read what
	@UPDATE_GOLDEN=1 $(CARGO) test -q --workspace --test it -- --exact graphql::matrix::the_committed_matrix_is_what_the_code_says

prepare: ## regenerate .sqlx after a query or a migration changed
	@sh scripts/prepare.sh

deny: ## licences and banned crates
	@sh scripts/ensure-tools.sh deny
	@$(TOOLS) $(CARGO) deny --locked check licenses bans sources

ci: ## what CI runs, all of it
	@.ci/run

clean-data: ## remove the embedded cluster and everything else in the data directory
	@$(CARGO) run -q -p cluster --bin drop_cluster -- "$(DATA_DIR)"
	@rm -rf -- "$(DATA_DIR)"

postgres:
	@sh scripts/ensure-postgres.sh
