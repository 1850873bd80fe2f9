# The commands of a checkout. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test wild kafka chaos bench fmt lint clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## get libtorch, the demo's clip and ffmpeg, and missing system packages
	@setup/setup

build: setup ## the release binary, target/release/lockstep
	cargo build --release --locked

demo: build ## publish a clip to an embedded broker and watch aligned results
	target/release/lockstep demo

test: setup ## every test, with Apache Kafka where it can be had
	@setup/test

wild: setup ## what goes wrong in the wild, the slow cases too, on Apache Kafka
	LOCKSTEP_REQUIRE_KAFKA=1 config/kafka/kafka run -- config/kafka/kafka run --secured -- cargo test --locked --workspace --test wild --test e2e -- --include-ignored

kafka: ## Apache Kafka on a free loopback port until Ctrl-C
	@config/kafka/kafka run

chaos: setup ## processes killed, frozen and restarted on Apache Kafka, and every sample accounted for
	LOCKSTEP_CHAOS=full LOCKSTEP_REQUIRE_KAFKA=1 config/kafka/kafka run -- cargo test --locked --workspace --test chaos

bench: build ## the benchmarks of the whole, as ratios
	target/release/lockstep bench

fmt: ## format the code
	cargo fmt --all

lint: setup ## formatting and lints, as CI judges them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

clean: ## remove what was built (what set-up fetched stays in the user's cache)
	cargo clean
