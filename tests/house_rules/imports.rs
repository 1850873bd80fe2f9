//! Imports between the files of a crate: no circles, and only from the layers below.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::File;

/// Files that still import one another in a circle, one a line. The list may only shrink: remove a file once its circle is gone.
pub(crate) const IN_CIRCLES: &str = include_str!("circles.txt");

/// The layers of a crate's modules, upwards. A module imports from the layers below its own, and from modules that are in none.
/// `lib.rs` may import all.
const LAYERS: [(&str, &str); 2] = [
    (
        "engine/src",
        "supervision < models < sharding < scaling < ingest < align < batch < preprocess < infer < publish < pipeline < telemetry",
    ),
    ("actors/src", "ingest align batch prepare instance publish autoscaler < run < supervise"),
];

/// The modules of one crate: path from the crate's root, and file.
type Modules<'a> = BTreeMap<Vec<&'a str>, &'a str>;

/// Splits a path into the root of its crate (`engine/src`) and its module path.
fn module(path: &str) -> Option<(&str, Vec<&str>)> {
    let (root, inside) = match path.split_once("/src/") {
        Some((member, inside)) => (&path[..member.len() + "/src".len()], inside),
        None => ("src", path.strip_prefix("src/")?),
    };
    let mut names: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if names.last() == Some(&"mod") || matches!(names[..], ["lib" | "main"]) {
        names.pop();
    }
    Some((root, names))
}

/// Returns the file that a path names, seen from a module; none outside of the crate and for the module itself.
fn target<'a>(path: &str, own: &[&'a str], modules: &Modules<'a>) -> Option<&'a str> {
    let parts: Vec<&str> = path.split("::").collect();
    let supers = parts.iter().take_while(|part| **part == "super").count();
    let (mut place, rest) = match parts.first().copied() {
        Some("crate") => (Vec::new(), &parts[1..]),
        Some("super") => (own[..own.len().checked_sub(supers)?].to_vec(), &parts[supers..]),
        Some("self") => (own.to_vec(), &parts[1..]),
        Some(first) => {
            let (child, _) = modules.get_key_value(&[own, &[first]].concat())?;
            (child.clone(), &parts[1..])
        }
        None => return None,
    };
    for part in rest {
        let Some((child, _)) = modules.get_key_value(&[&place[..], &[*part]].concat()) else { break };
        place = child.clone();
    }
    modules.get(&place).copied().filter(|_| place != own)
}

/// The files that each file imports, within its crate.
pub(crate) struct Imports<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Imports<'a> {
    pub(crate) fn of(files: &[File<'a>]) -> Self {
        let mut crates = BTreeMap::<&str, Modules<'a>>::new();
        let code = || files.iter().filter(|file| !file.is_test());
        for file in code() {
            if let Some((root, names)) = module(file.path) {
                crates.entry(root).or_default().insert(names, file.path);
            }
        }
        let imports = code().filter_map(|file| {
            let (root, own) = module(file.path)?;
            let modules = crates.get(root)?;
            Some((file.path, file.paths().iter().filter_map(|path| target(path, &own, modules)).collect()))
        });
        Self(imports.collect())
    }

    /// Returns the files that `from` imports, also through others.
    fn reached(&self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            let new = self.0.get(file).into_iter().flatten().filter(|next| seen.insert(**next));
            left.extend(new.copied());
        }
        seen
    }

    /// Returns the complaints about circles, given the lines with the files that may still be in one.
    pub(crate) fn circles(&self, allowed: &str) -> Vec<String> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|file| (*file, self.reached(file))).collect();
        let in_circle = |file: &str| -> Vec<&str> {
            let imports = self.0.get(file).into_iter().flatten();
            imports.copied().filter(|other| reached[other].contains(file)).collect()
        };
        let allowed: BTreeSet<&str> = allowed.lines().collect();
        let new = self.0.keys().filter(|file| !allowed.contains(*file)).map(|file| (file, in_circle(file)));
        let new = new.filter(|(_, others)| !others.is_empty()).map(|(file, others)| {
            format!("{file}: imports {} in a circle; move what they share below both", others.join(", "))
        });
        let gone = allowed.iter().filter(|file| in_circle(file).is_empty());
        new.chain(gone.map(|file| format!("{file}: is in no circle; remove it from circles.txt"))).collect()
    }

    /// Returns the complaints about imports from a layer above, or from another module of the same layer.
    pub(crate) fn layers(&self) -> Vec<String> {
        let place = |path: &'a str| {
            let (root, names) = module(path)?;
            let (_, layers) = LAYERS.iter().find(|(known, _)| *known == root)?;
            let first = names.first()?;
            let mut layers = layers.split(" < ").map(|layer| layer.split(' '));
            Some((layers.position(|mut layer| layer.any(|name| name == *first)), *first))
        };
        let complaints = |(file, imports): (&&'a str, &BTreeSet<&'a str>)| {
            let (layer, own) = place(file)?;
            let above = |(theirs, module): &(Option<usize>, &str)| {
                theirs.is_some() && *theirs >= layer && *module != own
            };
            let (_, module) = imports.iter().filter_map(|other| place(other)).find(above)?;
            Some(format!("{file}: imports `{module}`, which is in no layer below; move the shared type down"))
        };
        self.0.iter().filter_map(complaints).collect()
    }
}
