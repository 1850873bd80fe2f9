//! The ids of the samples that were used up last. Samples that may be used once leave at once, and a producer that retries
//! sends them again just after.

use super::super::held::Held;

/// The samples of one input that were used up last, by event time and id. Samples without an id cost nothing.
#[derive(Debug, Default)]
pub(super) struct Recent(Option<Box<SeenRing>>);

#[derive(Debug, Default)]
struct SeenRing {
    /// Event times and fingerprints.
    seen: [Option<(i64, u64)>; Recent::MOST],
    next: usize,
}

impl Recent {
    /// The number of samples remembered for each input of a stream.
    pub(super) const MOST: usize = 8;

    /// Remembers a sample that leaves, if it has an id; the one remembered for longest is forgotten.
    pub(super) fn add<T: Held>(&mut self, time: i64, item: &T) {
        let Some(fingerprint) = item.fingerprint() else { return };
        let ring = self.0.get_or_insert_default();
        if let Some(place) = ring.seen.get_mut(ring.next) {
            *place = Some((time, fingerprint));
        }
        ring.next = (ring.next + 1) % Self::MOST;
    }

    /// Returns true if a sample is one of these.
    #[inline]
    pub(super) fn has<T: Held>(&self, time: i64, item: &T) -> bool {
        let Some(ring) = &self.0 else { return false };
        ring.seen.iter().flatten().any(|(seen, _)| *seen == time)
            && item.fingerprint().is_some_and(|own| ring.seen.contains(&Some((time, own))))
    }
}
