//! The memory of batches that have been run, to be filled again: the pages of a new allocation cost more than
//! what is written into them.

use std::collections::VecDeque;

use lockstep_engine::tensor::{DType, Tensor};
use parking_lot::Mutex;

/// Tensors that nobody needs any more. A few of them: those beyond that which lay there longest are let go.
#[derive(Debug, Default)]
pub struct TensorPool(Mutex<VecDeque<Tensor>>);

impl TensorPool {
    const MOST: usize = 8;

    /// A tensor whose elements have no meaning yet.
    pub fn take(&self, dtype: DType, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let mut fallback = self.0.lock();
        let fits = |tensor: &Tensor| tensor.dtype() == dtype && tensor.capacity() >= count;
        let best = fallback.iter().enumerate().filter(|(_, tensor)| fits(tensor));
        match best.min_by_key(|(_, tensor)| tensor.capacity()).map(|(place, _)| place) {
            Some(place) => fallback
                .remove(place)
                .map_or_else(|| Tensor::zeros(dtype, shape), |tensor| tensor.reshaped(shape)),
            None => {
                drop(fallback);
                Tensor::zeros(dtype, shape)
            }
        }
    }

    /// Gives tensors back.
    pub fn give(&self, tensors: impl IntoIterator<Item = Tensor>) {
        let mut fallback = self.0.lock();
        fallback.extend(tensors.into_iter().filter(|tensor| tensor.capacity() > 0));
        let beyond = fallback.len().saturating_sub(Self::MOST);
        fallback.drain(..beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_where_it_fits() {
        let fallback = TensorPool::default();
        let batch = fallback.take(DType::U8, &[4, 100]);
        let place = batch.as_u8().map(<[u8]>::as_ptr);
        fallback.give([batch, Tensor::zeros(DType::F32, &[1000])]);
        assert_eq!(fallback.take(DType::U8, &[5, 100]).shape(), [5, 100], "too large: new memory");
        let smaller = fallback.take(DType::U8, &[3, 100]);
        assert_eq!((smaller.shape(), smaller.as_u8().map(<[u8]>::as_ptr)), (&[3, 100][..], place));
        fallback.give([smaller]);
        let whole = fallback.take(DType::U8, &[400]);
        assert_eq!((whole.as_u8().map(<[u8]>::len), whole.as_u8().map(<[u8]>::as_ptr)), (Some(400), place));
    }

    #[test]
    fn only_a_few_are_kept() {
        let fallback = TensorPool::default();
        fallback.give((0..100).map(|_| Tensor::zeros(DType::U8, &[8])));
        assert_eq!(fallback.0.lock().len(), TensorPool::MOST);
    }
}
