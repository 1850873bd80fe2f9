# The commands of a checkout. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-scene build demo demo-scene test wild kafka chaos bench fmt lint clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## get libtorch, the demo's clip and ffmpeg, and missing system packages
	@setup/setup

setup-scene: setup ## get the weights of the models of `lockstep demo scene`, 172 MB
	@python3 setup/scene.py

build: setup ## build the release binary, target/release/lockstep
	cargo build --release --locked

demo: build ## publish a clip to an embedded broker and watch aligned results
	target/release/lockstep demo

demo-scene: build setup-scene ## follow a scene by picture, sound and text, with captions
	target/release/lockstep demo scene

test: setup ## run every test, with Apache Kafka where it is available
	@setup/test

wild: setup ## test faults of the field on Apache Kafka, the slow cases included
	LOCKSTEP_REQUIRE_KAFKA=1 config/kafka/kafka run -- config/kafka/kafka run --secured -- cargo test --locked --workspace --test wild --test e2e -- --include-ignored

kafka: ## run Apache Kafka on a free loopback port until Ctrl-C
	@config/kafka/kafka run

chaos: setup ## kill, freeze and restart processes on Apache Kafka, and account for every sample
	LOCKSTEP_CHAOS=full LOCKSTEP_REQUIRE_KAFKA=1 config/kafka/kafka run -- cargo test --locked --workspace --test chaos

bench: build ## run the benchmarks of the whole pipeline, as ratios
	target/release/lockstep bench

fmt: ## format the code
	cargo fmt --all

lint: setup ## check formatting and lints, as CI does
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

clean: ## remove build outputs (the downloads of set-up stay in the user's cache)
	cargo clean
