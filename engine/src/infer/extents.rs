//! Matches the shapes of tensors with those of a signature, and remembers the value of each name: a name has one extent
//! in all tensors of one call.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::infer::signature::{Dim, Extent, TensorSpec};
use crate::tensor::DType;

/// A tensor that differs from its signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tensor} is {found}, expected {expected}")]
pub struct Mismatch {
    /// The tensor: `output boxes`.
    pub tensor: String,
    /// Its type and shape: `f32 [3, 5]`.
    pub found: String,
    /// The expected type and shape: `f32 [faces, 4]`.
    pub expected: String,
}

/// The values of a signature's names in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    batch: Option<usize>,
    named: BTreeMap<String, usize>,
}

impl Extents {
    /// Extents of which only the number of rows is known.
    pub fn of_batch(rows: usize) -> Self {
        Self { batch: Some(rows), named: BTreeMap::new() }
    }

    /// The same names with another number of rows.
    pub fn with_batch(&self, rows: usize) -> Self {
        Self { batch: Some(rows), named: self.named.clone() }
    }

    /// The number of rows, if known.
    pub fn batch(&self) -> Option<usize> {
        self.batch
    }

    /// The values of the names.
    pub fn named(&self) -> &BTreeMap<String, usize> {
        &self.named
    }

    /// Sets the value of a name.
    pub fn set(&mut self, name: &str, extent: usize) {
        self.named.insert(name.to_owned(), extent);
    }

    /// Matches a whole tensor and learns unknown names from it. A mismatch changes nothing.
    ///
    /// # Errors
    /// The found and the expected type and shape. `kind` is `input` or `output`, for the message.
    pub fn fit(
        &mut self,
        kind: &str,
        spec: &TensorSpec,
        dtype: DType,
        shape: &[usize],
    ) -> Result<(), Mismatch> {
        let fits = spec.dtype == dtype && spec.shape.len() == shape.len() && {
            let known: Vec<Option<usize>> = shape.iter().copied().map(Some).collect();
            self.learn(spec.shape.iter().zip(known))
        };
        if fits {
            return Ok(());
        }
        Err(Mismatch {
            tensor: format!("{kind} {}", spec.name),
            found: described(dtype, shape),
            expected: self.expected(spec, false),
        })
    }

    /// Matches one row, which is a tensor without its batch axis; `None` is an extent that is unknown before the model
    /// runs.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_row(
        &mut self,
        kind: &str,
        spec: &TensorSpec,
        dtype: DType,
        row: &[Option<usize>],
    ) -> Result<(), Mismatch> {
        let dims: Vec<&Dim> = spec.shape.iter().filter(|dim| dim.extent() != Extent::Batch).collect();
        let fits = spec.dtype == dtype
            && dims.len() == row.len()
            && self.learn(dims.into_iter().zip(row.iter().copied()));
        if fits {
            return Ok(());
        }
        let extents: Vec<String> =
            row.iter().map(|extent| extent.map_or_else(|| "?".to_owned(), |e| e.to_string())).collect();
        Err(Mismatch {
            tensor: format!("{kind} {}", spec.name),
            found: format!("{dtype} [{}] a row", extents.join(", ")),
            expected: format!("{} a row", self.expected(spec, true)),
        })
    }

    /// The shape of a tensor, as far as its names are known: `None` for an unknown name.
    pub fn shape(&self, spec: &TensorSpec) -> Vec<Option<usize>> {
        spec.shape.iter().map(|dim| self.extent(dim)).collect()
    }

    /// The shape of one row, without the batch axis.
    pub fn row(&self, spec: &TensorSpec) -> Vec<Option<usize>> {
        let dims = spec.shape.iter().filter(|dim| dim.extent() != Extent::Batch);
        dims.map(|dim| self.extent(dim)).collect()
    }

    fn extent(&self, dim: &Dim) -> Option<usize> {
        match dim.extent() {
            Extent::Batch => self.batch,
            Extent::Exactly(extent) => Some(extent),
            Extent::Named { name, multiple } => self.named.get(name)?.checked_mul(multiple),
        }
    }

    fn learn<'a>(&mut self, dims: impl Iterator<Item = (&'a Dim, Option<usize>)>) -> bool {
        let mut learned: Vec<(&str, usize)> = Vec::new();
        let mut batch = self.batch;
        for (dim, found) in dims {
            let Some(found) = found else { continue };
            let fits = match dim.extent() {
                Extent::Batch => *batch.get_or_insert(found) == found,
                Extent::Exactly(extent) => extent == found,
                Extent::Named { name, multiple } => {
                    let before = learned.iter().find(|(n, _)| *n == name).map(|(_, extent)| *extent);
                    let known = before.or_else(|| self.named.get(name).copied());
                    if known.is_none() && found % multiple == 0 {
                        learned.push((name, found / multiple));
                    }
                    known.map_or(found % multiple == 0, |extent| extent.checked_mul(multiple) == Some(found))
                }
            };
            if !fits {
                return false;
            }
        }
        self.batch = batch;
        for (name, extent) in learned {
            self.named.insert(name.to_owned(), extent);
        }
        true
    }

    /// The specification with the known values of its names: `f32 [batch=2, 3, height=240, width]`.
    fn expected(&self, spec: &TensorSpec, row: bool) -> String {
        let mut text = format!("{} [", spec.dtype);
        let dims = spec.shape.iter().filter(|dim| !(row && dim.extent() == Extent::Batch));
        for (place, dim) in dims.enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = match (dim, self.extent(dim)) {
                (Dim::Named(_), Some(extent)) => write!(text, "{separator}{dim}={extent}"),
                _ => write!(text, "{separator}{dim}"),
            };
        }
        text.push(']');
        text
    }
}

/// Type and shape of a tensor for messages: `f32 [8, 3, 240, 320]`.
pub fn described(dtype: DType, shape: &[usize]) -> String {
    format!("{dtype} {shape:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[&str]) -> TensorSpec {
        let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Named((*text).to_owned()), Dim::Fixed);
        let shape = shape.iter().map(dim).collect();
        TensorSpec { name: "audio".into(), dtype: DType::F32, shape, rows: None }
    }

    #[test]
    fn name_has_one_extent_in_all_tensors_of_a_call() {
        let mut extents = Extents::default();
        let audio = spec(&["batch", "512*n"]);
        extents.fit("input", &audio, DType::F32, &[4, 1024]).expect("4 rows, n = 2");
        assert_eq!(extents.shape(&spec(&["batch", "n"])), [Some(4), Some(2)]);
        let error = extents.fit("output", &spec(&["batch", "n"]), DType::F32, &[4, 3]).expect_err("n is 2");
        assert_eq!(error.to_string(), "output audio is f32 [4, 3], expected f32 [batch=4, n=2]");
        let error = extents.fit("input", &audio, DType::F32, &[3, 1024]).expect_err("4 rows");
        assert!(error.to_string().contains("batch=4"), "{error}");
    }

    #[test]
    fn shape_that_is_no_multiple_does_not_fit() {
        let mut extents = Extents::default();
        assert!(extents.fit("input", &spec(&["batch", "512*n"]), DType::F32, &[4, 1000]).is_err());
        assert!(extents.fit("input", &spec(&["batch", "m", "3"]), DType::F32, &[4, 7, 5]).is_err());
        assert_eq!(extents, Extents::default());
    }

    #[test]
    fn unknown_extent_of_a_row_fits_anything() {
        let mut extents = Extents::default();
        extents.fit_row("input", &spec(&["2", "batch", "n"]), DType::F32, &[Some(2), None]).expect("fits");
        let error = extents
            .fit_row("input", &spec(&["2", "batch", "n"]), DType::I64, &[Some(2), None])
            .expect_err("another type");
        assert_eq!(error.to_string(), "input audio is i64 [2, ?] a row, expected f32 [2, n] a row");
    }
}
