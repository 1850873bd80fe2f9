//! The signature that an ONNX file tells: names, types and extents of its inputs and outputs.

use std::collections::BTreeMap;

use lockstep_engine::infer::signature::{Dim, Extent, Signature, TensorSpec};
use ort::session::Session;
use ort::value::{Outlet, ValueType};

use crate::convert::dtype;

/// The signature of a session. The first axis of the first input is the batch axis if the file leaves its extent open; every
/// axis of the same symbol is, too. Other open axes keep their symbol, or get a name of their own.
///
/// # Errors
/// An input or output that is no tensor of a type that the engine has.
pub(crate) fn of(session: &Session) -> Result<Signature, String> {
    let mut names = Names::default();
    if let Some(ValueType::Tensor { shape, dimension_symbols, .. }) =
        session.inputs().first().map(Outlet::dtype)
    {
        names.batch_is_open = shape.first().is_some_and(|extent| *extent < 0);
        names.batch = dimension_symbols.first().filter(|symbol| !symbol.is_empty()).cloned();
    }
    let inputs =
        session.inputs().iter().map(|outlet| names.spec("input", outlet)).collect::<Result<_, _>>()?;
    let outputs =
        session.outputs().iter().map(|outlet| names.spec("output", outlet)).collect::<Result<_, _>>()?;
    Ok(Signature { inputs, outputs, ..Signature::default() })
}

/// The names of open axes.
#[derive(Default)]
struct Names {
    batch_is_open: bool,
    /// The file's symbol for the batch axis.
    batch: Option<String>,
    /// The engine's name for each symbol.
    known: BTreeMap<String, String>,
}

impl Names {
    fn spec(&mut self, kind: &str, outlet: &Outlet) -> Result<TensorSpec, String> {
        let name = outlet.name().to_owned();
        let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
            return Err(format!(
                "{kind} {name} is {}; only tensors are supported; export it with tensors",
                outlet.dtype()
            ));
        };
        let dtype = dtype(*ty)
            .ok_or_else(|| format!("{kind} {name} has elements of {ty}, which Lockstep does not have; export it with another type"))?;
        let dims = shape.iter().enumerate().map(|(axis, extent)| {
            let symbol = dimension_symbols.get(axis).map_or("", String::as_str);
            match usize::try_from(*extent) {
                Ok(extent) => Dim::Fixed(extent),
                Err(_) => Dim::Named(self.open(&name, axis, symbol)),
            }
        });
        let shape = dims.collect();
        Ok(TensorSpec { name, dtype, shape, rows: None })
    }

    fn open(&mut self, tensor: &str, axis: usize, symbol: &str) -> String {
        let is_batch = match &self.batch {
            Some(batch) => symbol == batch,
            None => symbol.is_empty() && axis == 0,
        };
        if self.batch_is_open && is_batch {
            return "batch".to_owned();
        }
        if symbol.is_empty() {
            return plain(&format!("{tensor}_{axis}"));
        }
        let known = self.known.len();
        let taken = |known: &BTreeMap<String, String>, name: &str| {
            name == "batch" || known.values().any(|other| other == name)
        };
        if let Some(name) = self.known.get(symbol) {
            return name.clone();
        }
        let mut name = plain(symbol);
        if taken(&self.known, &name) {
            name = format!("{name}_{known}");
        }
        self.known.insert(symbol.to_owned(), name.clone());
        name
    }
}

/// A name for an extent: letters, digits and underscores, as `model.toml` wants it.
fn plain(symbol: &str) -> String {
    let kept: String = symbol
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if kept.starts_with(|c: char| c.is_ascii_alphabetic()) { kept } else { format!("n{kept}") }
}

/// Checks that `model.toml` says what the file tells. Tensors are matched by their names.
///
/// # Errors
/// The first tensor that the file does not have, or has with another type or shape.
pub(crate) fn check(session: &Session, signature: &Signature) -> Result<(), String> {
    let told = of(session)?;
    for (kind, specs, found) in
        [("input", &signature.inputs, &told.inputs), ("output", &signature.outputs, &told.outputs)]
    {
        for spec in specs {
            let Some(own) = found.iter().find(|own| own.name == spec.name) else {
                let names: Vec<&str> = found.iter().map(|own| own.name.as_str()).collect();
                return Err(format!(
                    "model.toml names {kind} {}, which the file does not have; its {kind}s are {}",
                    spec.name,
                    names.join(", ")
                ));
            };
            if !agrees(spec, own) {
                return Err(format!("{kind} {} is {own} in the file, and {spec} in model.toml", spec.name));
            }
        }
    }
    if let Some(own) =
        told.inputs.iter().find(|own| !signature.inputs.iter().any(|spec| spec.name == own.name))
    {
        return Err(format!("the file takes input {} as {own}, which model.toml does not name", own.name));
    }
    Ok(())
}

/// Returns true if no extent of the two contradicts the other. The rest shows when the model runs.
fn agrees(spec: &TensorSpec, own: &TensorSpec) -> bool {
    let extents = || spec.shape.iter().zip(&own.shape);
    spec.dtype == own.dtype
        && (own.shape.is_empty() || spec.shape.len() == own.shape.len())
        && extents().all(|pair| match (pair.0.extent(), pair.1.extent()) {
            (Extent::Exactly(one), Extent::Exactly(other)) => one == other,
            (Extent::Named { multiple, .. }, Extent::Exactly(extent)) => extent % multiple == 0,
            (Extent::Batch, Extent::Exactly(_)) => false,
            _ => true,
        })
}
