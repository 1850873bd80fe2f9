//! The property of model manifests (`model.toml`): each error names its place. An accepted manifest is consistent,
//! and can be written and parsed again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::manifest::{MAX_ROW_BYTES, Manifest};
use lockstep_engine::infer::signature::{Dim, Extent, RowsOf, Signature, TensorSpec};
use lockstep_engine::tensor::DType;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => {
            consistent(&manifest);
            assert_eq!(Manifest::parse(&written(&manifest)), Ok(manifest));
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(names_a_place(&error), "{error}");
            }
        }
    }
}

fn names_a_place(error: &str) -> bool {
    const PLACES: [&str; 10] = [
        "TOML parse error at line ",
        "backend ",
        "file = ",
        "sha256 ",
        "weights",
        "max_batch ",
        "there are no ",
        "input ",
        "output ",
        "state",
    ];
    PLACES.iter().any(|place| error.starts_with(place))
}

fn consistent(manifest: &Manifest) {
    let Manifest { backend, file, sha256, weights, signature, .. } = manifest;
    assert!(!backend.is_empty());
    assert!(sha256.is_none() || file.is_some());
    if let Some(weights) = weights {
        assert!(weights.sha256.keys().chain([&weights.file]).all(|name| in_folder(name)));
        assert!(["libtorch", "onnxruntime"].contains(&backend.as_str()));
    }
    assert!(signature.max_batch != Some(0));
    if let Some(file) = file {
        assert!(in_folder(file));
    }
    for specs in [&signature.inputs, &signature.outputs] {
        let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!((names.len(), names.contains("")), (specs.len(), false));
        assert!(!specs.is_empty());
    }
    for spec in &signature.inputs {
        assert!(spec.batch_axis().is_some());
    }
    for (place, spec) in signature.outputs.iter().enumerate() {
        match signature.rows_of(place) {
            Some(RowsOf::Axis(axis)) => assert_eq!(spec.shape[axis].extent(), Extent::Batch),
            Some(RowsOf::Index(index)) => {
                let of = &signature.outputs[index];
                assert_eq!((of.dtype, &of.shape[..]), (DType::I64, &spec.shape[..1]));
            }
            None => panic!("nothing tells the rows of output {} apart", spec.name),
        }
    }
    state_matches(signature);
    can_be_met(signature);
}

/// Returns true if the file is in the folder itself, under the declared name.
fn in_folder(file: &str) -> bool {
    let path = Path::new("folder").join(file);
    path.file_name() == Some(file.as_ref()) && path.parent() == Some(Path::new("folder"))
}

fn state_matches(signature: &Signature) {
    let pairs = signature.state_pairs();
    assert_eq!(pairs.len(), signature.state.len());
    let (inputs, outputs): (BTreeSet<_>, BTreeSet<_>) = pairs.iter().copied().unzip();
    assert_eq!((inputs.len(), outputs.len()), (pairs.len(), pairs.len()));
    for (input, output) in pairs {
        let (input, output) = (&signature.inputs[input], &signature.outputs[output]);
        assert_eq!((input.dtype, &input.shape), (output.dtype, &output.shape));
        // State begins as zeros, so its size must be known.
        assert!(Extents::default().row(input).iter().all(Option::is_some));
    }
}

/// Checks that tensors with one row, and the least extent for each name, fit, and that their sizes are within the
/// limit.
fn can_be_met(signature: &Signature) {
    let mut extents = Extents::default();
    for (kind, specs) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        for spec in specs {
            let shape: Vec<usize> = spec.shape.iter().map(least).collect();
            extents.fit(kind, spec, spec.dtype, &shape).expect("the least shape fits");
            let elements = shape.iter().try_fold(1_usize, |all, extent| all.checked_mul(*extent));
            let bytes = elements.and_then(|elements| elements.checked_mul(spec.dtype.size()));
            assert!(bytes.is_some_and(|bytes| (1..=MAX_ROW_BYTES).contains(&bytes)), "{spec}");
        }
    }
}

fn least(dim: &Dim) -> usize {
    match dim.extent() {
        Extent::Batch => 1,
        Extent::Exactly(extent) => extent,
        Extent::Named { multiple, .. } => multiple,
    }
}

fn written(manifest: &Manifest) -> String {
    let Manifest { backend, file, sha256, weights, description, licence, origin, signature } = manifest;
    let mut text = String::new();
    let keys = [("backend", backend), ("description", description), ("licence", licence), ("origin", origin)];
    let keys = keys.into_iter().chain(file.as_ref().map(|file| ("file", file)));
    for (key, value) in keys {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    if let Some(sha256) = sha256 {
        let _ = writeln!(text, "sha256 = \"{sha256}\"");
    }
    if let Some(weights) = weights {
        let prepack = if weights.prepack { ", prepack = true" } else { "" };
        let digests = weights.sha256.iter().map(|(name, digest)| format!("{} = \"{digest}\"", quoted(name)));
        let digests = digests.collect::<Vec<_>>().join(", ");
        let file = quoted(&weights.file);
        let _ = writeln!(text, "weights = {{ file = {file}, sha256 = {{ {digests} }}{prepack} }}");
    }
    if let Some(most) = signature.max_batch {
        let _ = writeln!(text, "max_batch = {most}");
    }
    for (kind, specs) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
        for spec in specs {
            text.push_str(&written_spec(kind, spec));
        }
    }
    for state in &signature.state {
        let (input, output) = (quoted(&state.input), quoted(&state.output));
        let _ = writeln!(text, "[[state]]\ninput = {input}\noutput = {output}");
    }
    text
}

fn written_spec(kind: &str, spec: &TensorSpec) -> String {
    let dims = spec.shape.iter().map(|dim| match dim {
        Dim::Fixed(extent) => extent.to_string(),
        Dim::Named(name) => quoted(name),
    });
    let shape = dims.collect::<Vec<_>>().join(", ");
    let name = quoted(&spec.name);
    let rows = spec.rows.as_deref().map(|rows| format!("rows = {}\n", quoted(rows))).unwrap_or_default();
    format!("[[{kind}]]\nname = {name}\ndtype = \"{}\"\nshape = [{shape}]\n{rows}", spec.dtype)
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
