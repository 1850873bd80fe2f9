//! The rules for single files, type names and manifests. Each returns complaints: the place, the fault and the remedy.

use std::collections::BTreeMap;

use crate::source::File;

/// The most lines of a file of code, and of a test.
const LINES: usize = 400;
const LINES_OF_A_TEST: usize = 800;

/// Returns the complaints about one source file.
pub(crate) fn judge(file: &File<'_>) -> Vec<String> {
    let (path, lines) = (file.path, file.text.lines().count());
    let limit = if file.is_test() { LINES_OF_A_TEST } else { LINES };
    let long = (lines > limit)
        .then(|| format!("{path}: has {lines} lines, more than {limit}; split it where its subject changes"));
    let bare = (!file.is_test() && !file.text.starts_with("//!"))
        .then(|| format!("{path}: begins without `//!`; describe the file in a sentence"));
    long.into_iter().chain(bare).collect()
}

/// Names that several types have, each with its reason: `Name: reason`. The list may only shrink.
pub(crate) const SHARED_NAMES: &str = include_str!("names.txt");

/// Returns the complaints about names that several types have, given the lines with those that may be.
pub(crate) fn names(files: &[File<'_>], allowed: &str) -> Vec<String> {
    let mut places = BTreeMap::<&str, Vec<&str>>::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        file.types().into_iter().for_each(|name| places.entry(name).or_default().push(file.path));
    }
    places.retain(|_, files| files.len() > 1);
    let allowed: BTreeMap<&str, &str> = allowed.lines().filter_map(|line| line.split_once(": ")).collect();
    let new = places.iter().filter(|(name, _)| !allowed.contains_key(*name)).map(|(name, files)| {
        format!("{name}: names types in {}; rename those of another meaning", files.join(", "))
    });
    let gone = allowed.keys().filter(|name| !places.contains_key(*name));
    new.chain(gone.map(|name| format!("{name}: names at most one type; remove it from names.txt"))).collect()
}

/// The crates with walls around them, and the only packages that may depend on each. `.` is the root package.
const WALLS: [(&str, &[&str]); 24] = [
    ("lockstep", &[]),
    ("lockstep-bench", &["."]),
    ("lockstep-assemble", &["bench", "."]),
    ("lockstep-settings", &["bench", "."]),
    ("lockstep-actors", &["assemble", "bench", "."]),
    ("lockstep-torch", &["backends/pt2", "assemble", "bench"]),
    ("lockstep-pt2", &["assemble", "bench"]),
    ("torch-sys", &["backends/torch", "backends/pt2"]),
    ("lockstep-onnx", &["assemble", "bench"]),
    ("ort", &["backends/onnx"]),
    ("lockstep-builtin", &["assemble", "."]),
    (
        "lockstep-backend",
        &[
            "backends/onnx",
            "backends/pt2",
            "backends/torch",
            "backends/builtin",
            "actors",
            "assemble",
            "bench",
            ".",
        ],
    ),
    ("lockstep-http", &["assemble", "bench", "."]),
    ("lockstep-kafka", &["settings", "assemble", "bench", "."]),
    ("lockstep-telemetry", &["connectors/http", "assemble", "bench"]),
    ("rdkafka", &["connectors/kafka"]),
    ("actix-web", &["connectors/http"]),
    ("tch", &["backends/torch", "backends/pt2", "bench"]),
    ("memmap2", &["backends/torch"]),
    ("libloading", &["backends/onnx", "backends/torch", "backends/pt2", "bench"]),
    ("actix", &["actors"]),
    ("tokio", &["actors"]),
    ("rayon", &["actors"]),
    ("crossbeam-channel", &["actors", "connectors/kafka", "bench", "."]),
];

/// Returns the complaints about dependencies that a manifest may not have. `.` is the root package.
pub(crate) fn manifest(directory: &str, text: &str) -> Vec<String> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{directory}/Cargo.toml: {error}")],
    };
    let kinds = ["dependencies", "build-dependencies", "dev-dependencies"];
    let names = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table()).flat_map(toml::Table::keys);
    let is_open =
        |name: &str| WALLS.iter().all(|(wall, within)| *wall != name || within.contains(&directory));
    let wrong = names.filter(|name| !is_open(name)).map(|name| {
        format!("{directory}/Cargo.toml: depends on `{name}`; see \"Who may import whom\" in ARCHITECTURE.md")
    });
    wrong.collect()
}
