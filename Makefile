.DEFAULT_GOAL := help
.PHONY: help bench-dispatch bench-image bench-logs bench-queue bench-verdicts demo demo-stop test test-fast test-faults eras lint setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## set up, build CPython, test real projects on it, show the matrix, serve it
	@scripts/demo

demo-stop: ## end what `make demo` left running
	@scripts/demo-stop

test: ## set up, then every test: databases, real containers, a real CPython
	@scripts/setup
	@scripts/test

test-fast: ## the inner loop: unit tests and the fake runtime; no engine, no PostgreSQL
	@env -u PYBOTS_TEST_ENGINE -u PYBOTS_TEST_CPYTHON -u PYBOTS_TEST_POSTGRES \
		cargo test --lib --bins $(addprefix --test ,$(basename $(notdir $(wildcard tests/fast*.rs))))

test-faults: ## kill, cut, fill and slow down everything while hosts work (FAULTS=1000, SEED=..)
	@scripts/setup >&2
	@PYBOTS_TEST_ENGINE=1 cargo bench --quiet --profile dev --bench faults

bench-image: ## what an image of the next check-in costs: a table, with ratios
	@scripts/setup
	@if [ -z "$$PYBOTS_CPYTHON_REPO$$PYBOTS_TEST_CPYTHON" ]; then \
		scripts/cpython-from-debian --only 3.13 target/cpython-3.13.git >&2 && export PYBOTS_TEST_CPYTHON=$$PWD/target/cpython-3.13.git; fi; \
	cargo bench --quiet --profile dev --bench image

bench-dispatch: ## a trivial run against a bare `docker run`, and how soon work is claimed: a table, with ratios
	@scripts/setup
	@PYBOTS_TEST_ENGINE=1 cargo bench --quiet --profile dev --bench dispatch

bench-logs: ## 100 MB of log from one run and from 16 at once: a table of speed, memory and delay
	@scripts/setup >&2
	@cargo bench --quiet --bench logs

bench-queue: ## 200 hosts at one coordinator, with up to a million jobs queued: a table of life cycles per second
	@scripts/setup
	@scripts/with-postgres cargo bench --quiet --bench queue

bench-verdicts: ## 1,000 histories with a known answer: a table of what is found, missed and wrongly blamed
	@cargo bench --quiet --profile dev --bench verdicts

eras: ## build one check-in of each era of CPython, and print the table of docs/eras.md (REFS="2.5 main")
	@scripts/setup >&2
	@cargo run --quiet --example eras -- $(REFS)

lint: ## formatting, clippy, licences of the dependencies
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

setup: ## install what is missing on this machine
	@scripts/setup
