//! The memory for decoding. Decoded pixels count against the byte budget, and a decoder waits until they fit.

use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::budget::decoding::Turns;
use lockstep_engine::budget::{Budget, Reservation};
use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::telemetry;
use parking_lot::{Condvar, Mutex};

/// The memory in which a pipeline decodes. Clones share it.
#[derive(Clone)]
pub(crate) struct Decoding(Arc<DecodingState>);

struct DecodingState {
    budget: Budget,
    turns: Mutex<Turns>,
    ended: Condvar,
}

impl Decoding {
    /// Creates the memory within a budget that holds payloads as well.
    pub(crate) fn new(budget: Budget) -> Self {
        let turns = Mutex::new(Turns::new(budget.limit()));
        Self(Arc::new(DecodingState { budget, turns, ended: Condvar::new() }))
    }

    /// Waits until `bytes` fit and reserves them until the reservation is dropped. A thread that holds a reservation must not
    /// request another, or wait for anything else: other decoders wait for it.
    ///
    /// # Errors
    /// When `bytes` exceed the whole budget.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<DecodeReservation, Fault> {
        let DecodingState { budget, turns, ended } = &*self.0;
        let mut turns = turns.lock();
        let Some(turn) = turns.ask(bytes) else {
            let limit = budget.limit();
            let message = format!(
                "decoding takes {bytes} bytes, and the memory for samples has {limit}; send smaller images, or raise \
                 limits.memory"
            );
            return Err(Fault::new(StageKind::Preprocess, Reason::DecodedTooLarge, message));
        };
        if !turns.begin(turn, budget.used()) {
            let since = Instant::now();
            loop {
                ended.wait(&mut turns);
                if turns.begin(turn, budget.used()) {
                    break;
                }
            }
            telemetry::pictures::decoding_blocked(since.elapsed());
        }
        let reservation = budget.reserve(usize::try_from(bytes).unwrap_or(usize::MAX));
        drop(turns);
        // The next reservation may fit beside this one.
        ended.notify_all();
        Ok(DecodeReservation { reservation, shared: self.0.clone() })
    }
}

/// Reserved memory for one decoding.
pub(crate) struct DecodeReservation {
    reservation: Reservation,
    shared: Arc<DecodingState>,
}

impl Drop for DecodeReservation {
    fn drop(&mut self) {
        self.reservation.clear();
        self.shared.turns.lock().end();
        self.shared.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn decoding_threads_stay_within_the_budget_and_all_finish() {
        let budget = Budget::new(1_000);
        let decoding = Decoding::new(budget.clone());
        let payloads = budget.reserve(300);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (decoding, now, most) = (&decoding, &now, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = 1 + (thread * 37 + round * 101) % 700;
                        let reservation = decoding.reserve(bytes).expect("within the budget");
                        most.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        drop(reservation);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 700, "{most:?}");
        drop(payloads);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn decoding_refuses_more_than_the_whole_budget_with_numbers() {
        let decoding = Decoding::new(Budget::new(1_000));
        let fault = decoding.reserve(1_001).err().expect("too large");
        assert_eq!(fault.reason, Reason::DecodedTooLarge);
        assert!(fault.message.contains("1001 bytes") && fault.message.contains("limits.memory"), "{fault}");
    }
}
