//! Reused memory of batches that have run. Faulting in the pages of a new allocation costs more than writing into them.

use std::collections::VecDeque;

use lockstep_engine::tensor::{DType, Tensor};
use parking_lot::Mutex;

/// Tensors to reuse. The pool holds a few and frees the oldest beyond that.
#[derive(Debug, Default)]
pub struct TensorPool(Mutex<VecDeque<Tensor>>);

impl TensorPool {
    const MOST: usize = 8;

    /// Returns a tensor whose elements have no meaning yet.
    pub fn take(&self, dtype: DType, shape: &[usize]) -> Tensor {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        let mut pool = self.0.lock();
        let fits = |tensor: &Tensor| tensor.capacity() >= bytes;
        let best = pool.iter().enumerate().filter(|(_, tensor)| fits(tensor));
        match best.min_by_key(|(_, tensor)| tensor.capacity()).map(|(place, _)| place) {
            Some(place) => pool
                .remove(place)
                .map_or_else(|| Tensor::zeros(dtype, shape), |tensor| tensor.reshaped(dtype, shape)),
            None => {
                drop(pool);
                Tensor::zeros(dtype, shape)
            }
        }
    }

    /// Returns tensors to the pool.
    pub fn give(&self, tensors: impl IntoIterator<Item = Tensor>) {
        let mut pool = self.0.lock();
        pool.extend(tensors.into_iter().filter(|tensor| tensor.capacity() > 0));
        let beyond = pool.len().saturating_sub(Self::MOST);
        pool.drain(..beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_pool_reuses_memory_that_fits() {
        let pool = TensorPool::default();
        let batch = pool.take(DType::U8, &[4, 100]);
        let place = batch.elements::<u8>().map(<[u8]>::as_ptr);
        pool.give([batch, Tensor::zeros(DType::F32, &[1000])]);
        assert_eq!(pool.take(DType::U8, &[5, 100]).shape(), [5, 100], "too large: new memory");
        let smaller = pool.take(DType::U8, &[3, 100]);
        assert_eq!((smaller.shape(), smaller.elements::<u8>().map(<[u8]>::as_ptr)), (&[3, 100][..], place));
        pool.give([smaller]);
        let whole = pool.take(DType::U8, &[400]);
        assert_eq!(
            (whole.elements::<u8>().map(<[u8]>::len), whole.elements::<u8>().map(<[u8]>::as_ptr)),
            (Some(400), place)
        );
    }

    #[test]
    fn tensor_pool_keeps_only_a_few() {
        let pool = TensorPool::default();
        pool.give((0..100).map(|_| Tensor::zeros(DType::U8, &[8])));
        assert_eq!(pool.0.lock().len(), TensorPool::MOST);
    }
}
