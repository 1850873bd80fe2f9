//! A model that fails on command, to test the consequences. It exists only in builds with debug assertions and with
//! `LOCKSTEP_FAULT_MODEL` set: then the ninth byte of a row selects the fault.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep_backend::BackendError;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::tensor::Tensor;

use lockstep_backend::named;

/// Longer than the deadlines of tests, and finite: such threads are abandoned.
const HANG: Duration = Duration::from_secs(3);

/// Produces the faults that the rows ask for.
pub(super) fn obey(model: &LoadModel, inputs: &[Tensor]) -> Result<(), BackendError> {
    static IS_ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("LOCKSTEP_FAULT_MODEL").is_some());
    static DEVICE_WAS_LOST: AtomicBool = AtomicBool::new(false);
    if !*IS_ASKED {
        return Ok(());
    }
    let Some(bytes) = inputs.first().and_then(Tensor::elements::<u8>) else { return Ok(()) };
    let rows: Vec<&[u8]> = bytes.chunks(inputs[0].shape().last().copied().unwrap_or(1).max(1)).collect();
    let (model, device, message) = (named(model), "cpu".to_owned(), "as it was told to".to_owned());
    for command in rows.iter().filter_map(|row| row.get(8)) {
        match command {
            1 => return Err(BackendError::Run { model, message }),
            2 => {
                #[allow(clippy::panic, reason = "it is told to")]
                {
                    panic!("{message}");
                }
            }
            3 => {
                std::thread::park_timeout(HANG);
                return Err(BackendError::Run { model, message });
            }
            4 if rows.len() > 4 => return Err(BackendError::OutOfMemory { model, device, message }),
            5 if !DEVICE_WAS_LOST.swap(true, Ordering::Relaxed) => {
                return Err(BackendError::Device { model, device, message });
            }
            _ => {}
        }
    }
    Ok(())
}
