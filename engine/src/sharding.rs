//! Which shard a stream belongs to, and how streams go from one to another while samples keep coming.
//!
//! Streams are spread by rendezvous hashing, also known as highest random weight (D. Thaler and C. Ravishankar, Using
//! name-based mappings to increase hit rates, IEEE/ACM Transactions on Networking 6(1), 1998): each shard has a weight for
//! each stream, a hash of both, and the one with the highest has it. So when shards are added, a stream stays or goes to
//! one of them; when shards are removed, those of the removed go and all others stay.
//!
//! A [`Router`] is where samples are spread. On [`Router::resize`] it sends what comes next to the new owner at once, and
//! each [giver](Resize::givers) a word behind the samples that it has been sent already: hand over. Each
//! [taker](Resize::takers) was told before, and keeps samples of streams that are still to come in [`Awaiting`]. All
//! other streams never wait. Streams go from givers to takers only, and nobody is both; the next resize has to wait until
//! this one is over. So givers wait for takers and takers for nobody among them: there is no circle to stand still in.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHasher};

use crate::sample::StreamKey;

/// The most shards of a process: each is a thread.
pub const MOST_SHARDS: usize = 256;

/// The shard, of so many, that a stream belongs to; 0 if there are none. Takes time in the number of shards.
///
/// Of `n` streams each of `s` shards has about `n / s`, as if each stream had been thrown a die: in 999 of 1 000 cases off
/// by less than 3.3 times the square root of that.
pub fn owner(stream: &StreamKey, shards: usize) -> usize {
    let key = BuildHasherDefault::<FxHasher>::default().hash_one(stream.as_str());
    let mut best = (0, 0);
    for shard in 0..shards {
        let weight = mix(key ^ mix(shard as u64));
        if shard == 0 || weight > best.1 {
            best = (shard, weight);
        }
    }
    best.0
}

/// Makes of numbers that differ in any bit numbers that differ in half of them: the finalizer of SplitMix64 (G. Steele,
/// D. Lea and C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Shards become more or fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// How many there were.
    pub from: usize,
    /// How many there are to be.
    pub to: usize,
}

impl Resize {
    /// The shards that hand streams over: all there were when they become more, those to be removed when fewer.
    pub fn givers(&self) -> Range<usize> {
        if self.to > self.from { 0..self.from } else { self.to..self.from }
    }

    /// The shards that adopt them: the new ones, or all that stay.
    pub fn takers(&self) -> Range<usize> {
        if self.to > self.from { self.from..self.to } else { 0..self.to }
    }

    /// Who gives a stream to whom, if it does not stay where it is.
    pub fn moves(&self, stream: &StreamKey) -> Option<(usize, usize)> {
        let (giver, taker) = (owner(stream, self.from), owner(stream, self.to));
        (giver != taker).then_some((giver, taker))
    }

    /// How many shards there are until it is over.
    pub fn shards(&self) -> usize {
        self.from.max(self.to)
    }
}

/// Why shards do not become more or fewer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The resize before is not over.
    #[error("streams are still moving; ask again when they have")]
    Moving,
    /// There are so many already.
    #[error("there are as many shards already")]
    AsItIs,
    /// There has to be one.
    #[error("there has to be at least one shard")]
    None,
}

/// Knows where samples go, one resize at a time.
#[derive(Clone, Debug)]
pub struct Router {
    shards: usize,
    moving: Option<Moving>,
}

#[derive(Clone, Debug)]
struct Moving {
    resize: Resize,
    /// Takers that have not adopted all.
    left: Vec<usize>,
}

impl Router {
    /// A router to so many shards, at least one.
    pub fn new(shards: usize) -> Self {
        Self { shards: shards.max(1), moving: None }
    }

    /// How many shards new samples are spread over.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Where a sample of a stream goes now.
    pub fn owner(&self, stream: &StreamKey) -> usize {
        owner(stream, self.shards)
    }

    /// The resize that is not over.
    pub fn moving(&self) -> Option<Resize> {
        self.moving.as_ref().map(|moving| moving.resize)
    }

    /// From here on samples are spread over so many. Takers have to be told before the next sample is sent, and givers
    /// behind the last that was.
    ///
    /// # Errors
    /// Why not.
    pub fn resize(&mut self, to: usize) -> Result<Resize, Refused> {
        if self.moving.is_some() {
            return Err(Refused::Moving);
        }
        if to == 0 {
            return Err(Refused::None);
        }
        let resize = Resize { from: self.shards, to };
        if resize.from == to {
            return Err(Refused::AsItIs);
        }
        self.moving = Some(Moving { resize, left: resize.takers().collect() });
        self.shards = to;
        Ok(resize)
    }

    /// A taker has all that is its own. Gives the resize if that was the last: it is over.
    pub fn adopted(&mut self, taker: usize) -> Option<Resize> {
        let moving = self.moving.as_mut()?;
        moving.left.retain(|left| *left != taker);
        if !moving.left.is_empty() {
            return None;
        }
        self.moving.take().map(|moving| moving.resize)
    }
}

/// What a taker keeps until its givers have handed over: samples of streams that are still to come. Those of a stream stay in
/// the order of arrival.
#[derive(Debug)]
pub struct Awaiting<S> {
    resize: Resize,
    /// Those who have not handed over all, each with what waits for it.
    givers: Vec<(usize, FxHashMap<StreamKey, Vec<S>>)>,
}

impl<S> Awaiting<S> {
    /// Nobody has handed over anything yet.
    pub fn new(resize: Resize) -> Self {
        Self { resize, givers: resize.givers().map(|giver| (giver, FxHashMap::default())).collect() }
    }

    /// Keeps a sample if its stream is still to come, or gives it back. `is_here` says of a stream that is to come whether
    /// it has come.
    pub fn keep(&mut self, stream: &StreamKey, sample: S, is_here: impl FnOnce() -> bool) -> Option<S> {
        let Some((giver, _)) = self.resize.moves(stream) else { return Some(sample) };
        let Some((_, waiting)) = self.givers.iter_mut().find(|(who, _)| *who == giver) else {
            return Some(sample);
        };
        if let Some(waiting) = waiting.get_mut(stream) {
            waiting.push(sample);
            return None;
        }
        if is_here() {
            return Some(sample);
        }
        waiting.insert(stream.clone(), vec![sample]);
        None
    }

    /// A stream has come and was adopted: what waited for it goes on.
    pub fn adopted(&mut self, stream: &StreamKey) -> Vec<S> {
        self.givers.iter_mut().find_map(|(_, waiting)| waiting.remove(stream)).unwrap_or_default()
    }

    /// A giver has handed over all that it had for this taker. What waits still is of streams that it did not know, and
    /// goes on.
    pub fn handed_over(&mut self, giver: usize) -> Vec<S> {
        let Some(place) = self.givers.iter().position(|(who, _)| *who == giver) else { return Vec::new() };
        self.givers.swap_remove(place).1.into_values().flatten().collect()
    }

    /// Lets go of what waits and is not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&S) -> bool) {
        for (_, waiting) in &mut self.givers {
            waiting.retain(|_, samples| {
                samples.retain(&mut keep);
                !samples.is_empty()
            });
        }
    }

    /// Whether all have handed over all.
    pub fn is_over(&self) -> bool {
        self.givers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn key(name: &str) -> StreamKey {
        StreamKey::from(name)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn streams_go_only_to_shards_that_are_new_and_only_from_those_that_are_removed(
            name in ".{0,20}",
            from in 1_usize..40,
            to in 1_usize..40,
        ) {
            let resize = Resize { from, to };
            if let Some((giver, taker)) = resize.moves(&key(&name)) {
                prop_assert!(resize.givers().contains(&giver) && resize.takers().contains(&taker));
                if to > from {
                    prop_assert!(taker >= from);
                } else {
                    prop_assert!(giver >= to);
                }
            }
        }

        #[test]
        fn a_stream_that_no_move_concerns_has_the_same_owner_before_and_after(
            name in ".{0,20}",
            from in 1_usize..40,
            to in 1_usize..40,
        ) {
            let stays = Resize { from, to }.moves(&key(&name)).is_none();
            prop_assert_eq!(stays, owner(&key(&name), from) == owner(&key(&name), to));
        }
    }

    proptest! {
        // Always the same cases: of others, one in thousands would fail by chance alone.
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(1998),
            ..ProptestConfig::default()
        })]

        #[test]
        fn streams_are_spread_as_evenly_as_by_a_die(prefix in "[a-z]{0,8}-?", shards in 1_usize..24) {
            const EACH: usize = 1_000;
            let mut counts = vec![0_usize; shards];
            for number in 0..shards * EACH {
                counts[owner(&key(&format!("{prefix}{number}")), shards)] += 1;
            }
            let five_standard_deviations = 5.0 * (EACH as f64).sqrt();
            for count in counts {
                prop_assert!((count as f64 - EACH as f64).abs() <= five_standard_deviations, "{count} of {EACH}");
            }
        }
    }

    #[test]
    fn a_resize_waits_until_the_one_before_is_over() {
        let mut router = Router::new(2);
        assert_eq!(router.resize(2), Err(Refused::AsItIs));
        assert_eq!(router.resize(0), Err(Refused::None));
        let resize = router.resize(4).expect("nothing moves");
        assert_eq!((resize.givers(), resize.takers()), (0..2, 2..4));
        assert_eq!(router.shards(), 4, "what comes next goes to the new owner");
        assert_eq!(router.resize(3), Err(Refused::Moving));
        assert_eq!(router.adopted(2), None);
        assert_eq!(router.adopted(2), None, "one counts once");
        assert_eq!(router.resize(3), Err(Refused::Moving));
        assert_eq!(router.adopted(3), Some(resize));
        assert_eq!(router.adopted(3), None);
        let resize = router.resize(1).expect("all have adopted");
        assert_eq!((resize.givers(), resize.takers(), resize.shards()), (1..4, 0..1, 4));
    }

    #[test]
    fn a_taker_keeps_what_comes_before_its_stream_and_nothing_else() {
        let resize = Resize { from: 2, to: 3 };
        let names: Vec<StreamKey> = (0..200).map(|number| key(&format!("cam-{number}"))).collect();
        let of = |giver: usize| {
            let moves = |name: &&StreamKey| resize.moves(name).is_some_and(|(who, _)| who == giver);
            names.iter().filter(moves).collect::<Vec<_>>()
        };
        let mut awaiting = Awaiting::new(resize);
        for (number, name) in names.iter().enumerate() {
            let moves = resize.moves(name).is_some();
            assert_eq!(awaiting.keep(name, number, || false).is_none(), moves);
            assert_eq!(awaiting.keep(name, number + 1_000, || true).is_none(), moves, "behind the first");
        }
        let first = of(1)[0];
        let number = names.iter().position(|name| name == first).expect("it is among them");
        assert_eq!(awaiting.adopted(first), [number, number + 1_000], "in the order of arrival");
        assert_eq!(awaiting.keep(first, 0, || true), Some(0), "it is here");
        assert_eq!(awaiting.handed_over(1).len(), 2 * (of(1).len() - 1));
        assert!(!awaiting.is_over() && awaiting.handed_over(1).is_empty());
        assert!(of(1).iter().all(|name| awaiting.keep(name, 0, || false).is_some()));
        awaiting.retain(|number| *number < 1_000);
        assert_eq!(awaiting.handed_over(0).len(), of(0).len());
        assert!(awaiting.is_over());
    }
}
