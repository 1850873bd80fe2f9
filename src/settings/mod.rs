//! Pipelines from TOML, checked whole.
