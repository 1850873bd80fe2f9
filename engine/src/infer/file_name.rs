//! The names of files that lie beside a `model.toml`.

/// Returns true for the name of a file in the same folder. A path that leaves the folder would make a model of any file.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}
