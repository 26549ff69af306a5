.DEFAULT_GOAL := help
.PHONY: help bench-dispatch bench-image bench-init bench-logs bench-queue bench-verdicts demo demo-stop test test-fast test-faults eras lint setup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## set up, build CPython, run real projects on it, print the matrix, serve the pages
	@scripts/demo

demo-stop: ## stop the processes that `make demo` left running
	@scripts/demo-stop

test: ## set up, then run every test: both databases, real containers, a real CPython
	@scripts/setup
	@scripts/test

test-fast: ## run the quick tests: units and the fake runtime, without engine and PostgreSQL
	@env -u PYBOTS_TEST_ENGINE -u PYBOTS_TEST_CPYTHON -u PYBOTS_TEST_POSTGRES \
		cargo nextest run --lib --test fast

test-faults: ## inject faults while hosts work: kill, disconnect, fill disks, slow down (FAULTS=1000, SEED=..)
	@scripts/setup >&2
	@PYBOTS_TEST_ENGINE=1 cargo bench --quiet --profile dev --bench faults

bench-image: ## measure what the image of the next revision costs, with ratios
	@scripts/setup
	@if [ -z "$$PYBOTS_CPYTHON_REPO$$PYBOTS_TEST_CPYTHON" ]; then \
		scripts/cpython-from-debian --only 3.13 target/cpython-3.13.git >&2 && export PYBOTS_TEST_CPYTHON=$$PWD/target/cpython-3.13.git; fi; \
	cargo bench --quiet --profile dev --bench image

bench-init: ## propose and try recipes for the projects of a list (PYBOTS_BENCH_NAMES=FILE, PYBOTS_BENCH_PROJECTS=60)
	@scripts/setup >&2
	@if [ -z "$$PYBOTS_CPYTHON_REPO$$PYBOTS_TEST_CPYTHON" ]; then \
		scripts/cpython-from-debian --only 3.13 target/cpython-3.13.git >&2 && export PYBOTS_TEST_CPYTHON=$$PWD/target/cpython-3.13.git; fi; \
	cargo bench --quiet --profile dev --bench init

bench-dispatch: ## compare a trivial run with a bare `docker run`, and measure the time to a claim, with ratios
	@scripts/setup
	@PYBOTS_TEST_ENGINE=1 cargo bench --quiet --profile dev --bench dispatch

bench-logs: ## measure speed, memory and delay for 100 MB of log from one run and from 16 at once
	@scripts/setup >&2
	@cargo bench --quiet --bench logs

bench-queue: ## measure job life cycles per second with 200 hosts and up to a million queued jobs
	@scripts/setup
	@scripts/with-postgres cargo bench --quiet --bench queue

bench-verdicts: ## count culprits found, missed and wrongly blamed in 1,000 simulated histories
	@cargo bench --quiet --profile dev --bench verdicts

eras: ## build one revision of each era of CPython, and print the table of docs/eras.md (REFS="2.5 main")
	@scripts/setup >&2
	@cargo run --quiet --example eras -- $(REFS)

lint: ## check formatting, clippy, and the licences of dependencies
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@if ! cargo deny --version >/dev/null 2>&1; then \
		echo "SKIPPED: cargo deny check, for cargo-deny is not installed (cargo install cargo-deny --locked)"; \
	else \
		cargo deny check bans licenses sources && \
		if out=$$(cargo deny check advisories 2>&1); then echo "$$out"; \
		elif echo "$$out" | grep -q 'failed to fetch advisory database'; then \
			echo "SKIPPED: cargo deny check advisories, for their database cannot be fetched"; \
		else echo "$$out"; exit 1; fi; \
	fi

setup: ## install the tools that are missing on this machine
	@scripts/setup
