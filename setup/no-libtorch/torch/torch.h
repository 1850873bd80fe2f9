// Found only where libtorch is not: its own directory comes before this one (see .cargo/config.toml).
#error "libtorch is not set up in this checkout: run `make setup`"
