#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::testing::{at, ms};

const MIB: u64 = 1 << 20;

fn need(mib: u64) -> Need {
    Need { bytes: mib * MIB, is_pinned: false }
}

fn pinned(mib: u64) -> Need {
    Need { bytes: mib * MIB, is_pinned: true }
}

/// Asks for a copy that must be admitted at once, and loads it in no time.
fn load(residency: &mut Residency, need: Need, now: i64) -> CopyId {
    let id = residency.ask(need);
    assert_eq!(residency.decide(at(now)).admitted, [id]);
    residency.loaded(id, Duration::ZERO, at(now));
    id
}

#[test]
fn residency_without_a_limit_admits_all() {
    let mut residency = Residency::new(None, LEAST_STAY);
    let ids: Vec<CopyId> = (0..9).map(|_| residency.ask(need(1 << 20))).collect();
    let decision = residency.decide(at(0));
    assert_eq!(decision, MemoryDecision { admitted: ids, ..MemoryDecision::default() });
}

#[test]
fn residency_evicts_the_least_recently_used() {
    let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
    let a = load(&mut residency, need(40), 0);
    let b = load(&mut residency, need(40), 0);
    residency.used(b, at(2_000));
    residency.used(a, at(3_000));
    let c = residency.ask(need(50));
    assert_eq!(residency.decide(at(4_000)).evicted, [b], "40 MiB and the 20 that are free");
    assert_eq!(residency.decide(at(4_000)), MemoryDecision::default(), "its batch is still under way");
    residency.forget(b);
    assert_eq!(residency.decide(at(4_001)).admitted, [c]);
    assert_eq!(residency.occupancy().used, 90 * MIB);
}

#[test]
fn copy_stays_twice_as_long_as_its_load_took() {
    let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
    let slow = residency.ask(need(60));
    residency.decide(at(0));
    residency.loaded(slow, ms(5_000), at(5_000));
    let other = residency.ask(need(60));
    let wait = MemoryDecision { again_at: Some(at(15_000)), ..MemoryDecision::default() };
    assert_eq!(residency.decide(at(6_000)), wait);
    assert_eq!(residency.decide(at(15_000)).evicted, [slow]);
    residency.forget(slow);
    assert_eq!(residency.decide(at(15_000)).admitted, [other]);
    residency.loaded(other, ms(1), at(15_001));
    residency.ask(need(60));
    assert_eq!(residency.decide(at(15_002)).again_at, Some(at(16_001)), "at least a second");
}

#[test]
fn small_copy_does_not_overtake_a_large_one() {
    let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
    let a = load(&mut residency, need(50), 0);
    let large = residency.ask(need(100));
    let small = residency.ask(need(10));
    assert_eq!(residency.decide(at(500)).admitted, []);
    assert_eq!(residency.decide(at(2_000)).evicted, [a]);
    residency.forget(a);
    assert_eq!(residency.decide(at(2_000)).admitted, [large]);
    residency.forget(large);
    assert_eq!(residency.decide(at(2_001)).admitted, [small]);
}

#[test]
fn pinned_copies_never_leave() {
    let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
    load(&mut residency, pinned(60), 0);
    let b = load(&mut residency, need(40), 0);
    let (too_large, fits) = (residency.ask(need(41)), residency.ask(need(40)));
    let decision = residency.decide(at(60_000));
    let why = WouldNotFit { bytes: 41 * MIB, limit: 100 * MIB, kept: 60 * MIB };
    assert_eq!((decision.refused, decision.evicted), (vec![(too_large, why)], vec![b]));
    residency.forget(b);
    assert_eq!(residency.decide(at(60_000)).admitted, [fits]);
}

#[test]
fn memory_of_a_hung_thread_counts_and_nobody_waits_for_it() {
    let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
    let hung = load(&mut residency, need(60), 0);
    let other = load(&mut residency, need(40), 0);
    residency.lost(hung);
    let waits = residency.ask(need(40));
    assert_eq!(residency.decide(at(9_000)).evicted, [other]);
    residency.forget(other);
    assert_eq!(residency.decide(at(9_000)).admitted, [waits]);
    let never = residency.ask(need(50));
    assert_eq!(residency.decide(at(9_000)).refused.len(), 1, "60 MiB may never come back");
    residency.forget(hung);
    assert_eq!(residency.occupancy().used, 40 * MIB);
    assert_ne!(residency.ask(need(50)), never);
    assert_eq!(residency.decide(at(9_000)).admitted.len(), 1);
}

#[test]
fn plan_refuses_what_can_never_fit() {
    assert_eq!(plan(100, 100, 60, 40), Ok(()));
    assert!(plan(100, 101, 0, 0).unwrap_err().contains("need 101 bytes, but limits.model_memory is 100"));
    assert!(plan(100, 0, 0, 101).unwrap_err().contains("a copy needs 101 bytes"));
    assert!(plan(100, 60, 60, 41).unwrap_err().contains("largest of the others 41 bytes"));
}

#[derive(Clone, Debug)]
enum Act {
    Ask(Need),
    Loaded(usize, u64),
    Used(usize),
    Lost(usize),
    Forget(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => (1u64..60, any::<bool>()).prop_map(|(mib, is_pinned)| Act::Ask(Need { bytes: mib * MIB, is_pinned: is_pinned && mib < 20 })),
        5 => (0usize..9, 0u64..3_000).prop_map(|(which, took)| Act::Loaded(which, took)),
        4 => (0usize..9).prop_map(Act::Used),
        1 => (0usize..9).prop_map(Act::Lost),
        5 => (0usize..9).prop_map(Act::Forget),
        4 => (1u64..4_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..80)
}

/// A copy as the oracle knows it: its need, and if it is ready, the time of its last use and the end of its stay.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: CopyId,
    need: Need,
    phase: &'static str,
    used_at: i64,
    stays_until: i64,
}

proptest! {
    /// After every change, the decision is that of a definition by brute force: the first that asked is admitted if it
    /// fits; else the shortest prefix of those that may leave, by last use, leaves.
    #[test]
    fn residency_decides_as_defined(acts in acts()) {
        let limit = 100 * MIB;
        let (mut residency, mut known, mut now) = (Residency::new(Some(limit), LEAST_STAY), Vec::<Known>::new(), 0i64);
        for act in acts {
            let place = |which: usize, phases: &[&str], known: &[Known]| {
                let of: Vec<usize> = (0..known.len()).filter(|at| phases.contains(&known[*at].phase)).collect();
                (!of.is_empty()).then(|| of[which % of.len()])
            };
            match act {
                Act::Ask(need) => {
                    let id = residency.ask(need);
                    known.push(Known { id, need, phase: "waiting", used_at: 0, stays_until: 0 });
                }
                Act::Loaded(which, took) => if let Some(place) = place(which, &["loading"], &known) {
                    residency.loaded(known[place].id, ms(took), at(now));
                    known[place].phase = "ready";
                    known[place].used_at = now;
                    known[place].stays_until = now + (2 * took as i64).max(1_000);
                },
                Act::Used(which) => if let Some(place) = place(which, &["ready"], &known) {
                    residency.used(known[place].id, at(now));
                    known[place].used_at = now;
                },
                Act::Lost(which) => if let Some(place) = place(which, &["ready", "draining"], &known) {
                    residency.lost(known[place].id);
                    known[place].phase = "lost";
                },
                Act::Forget(which) => if let Some(place) = place(which, &["loading", "ready", "draining", "lost"], &known) {
                    residency.forget(known.remove(place).id);
                },
                Act::Wait(millis) => now += millis as i64,
            }
            let decision = residency.decide(at(now));
            let mut expected = MemoryDecision::default();
            while let Some(first) = known.iter().position(|copy| copy.phase == "waiting") {
                let sum = |phases: &[&str]| -> u64 {
                    known.iter().filter(|copy| phases.contains(&copy.phase)).map(|copy| copy.need.bytes).sum()
                };
                let kept = known.iter()
                    .filter(|copy| copy.phase == "lost" || (copy.phase != "waiting" && copy.need.is_pinned))
                    .map(|copy| copy.need.bytes).sum::<u64>();
                let (bytes, used) = (known[first].need.bytes, sum(&["loading", "ready", "draining", "lost"]));
                if bytes + kept > limit {
                    expected.refused.push((known[first].id, WouldNotFit { bytes, limit, kept }));
                    known.remove(first);
                    continue;
                }
                if bytes + used <= limit {
                    known[first].phase = "loading";
                    expected.admitted.push(known[first].id);
                    continue;
                }
                let draining = known.iter().filter(|copy| copy.phase == "draining" && !copy.need.is_pinned)
                    .map(|copy| copy.need.bytes).sum::<u64>();
                let mut may_leave: Vec<Known> = known.iter().copied()
                    .filter(|copy| copy.phase == "ready" && !copy.need.is_pinned && copy.stays_until <= now).collect();
                may_leave.sort_by_key(|copy| (copy.used_at, copy.stays_until, copy.id));
                let suffices = |count: usize| {
                    let freed: u64 = may_leave[..count].iter().map(|copy| copy.need.bytes).sum();
                    bytes + used <= limit + draining + freed
                };
                match (0..=may_leave.len()).find(|count| suffices(*count)) {
                    Some(count) => for leaver in &may_leave[..count] {
                        expected.evicted.push(leaver.id);
                        known.iter_mut().find(|copy| copy.id == leaver.id).unwrap().phase = "draining";
                    },
                    None => expected.again_at = known.iter()
                        .filter(|copy| copy.phase == "ready" && !copy.need.is_pinned && copy.stays_until > now)
                        .map(|copy| at(copy.stays_until)).min(),
                }
                break;
            }
            prop_assert_eq!(decision, expected);
            prop_assert!(residency.occupancy().used <= limit);
        }
    }

    /// Copies that are all in use take turns: each that asks is admitted in the end, if those who are asked to leave do.
    #[test]
    fn residency_starves_no_copy(needs in prop::collection::vec(1u64..=100, 1..12)) {
        let mut residency = Residency::new(Some(100 * MIB), LEAST_STAY);
        let ids: Vec<CopyId> = needs.iter().map(|mib| residency.ask(need(*mib))).collect();
        let (mut now, mut admitted) = (0, Vec::new());
        while admitted.len() < ids.len() {
            let decision = residency.decide(at(now));
            prop_assert!(decision.refused.is_empty());
            for id in &decision.evicted {
                residency.forget(*id);
            }
            for id in &decision.admitted {
                residency.loaded(*id, ms(10), at(now));
                admitted.push(*id);
            }
            if decision.evicted.is_empty() && decision.admitted.is_empty() {
                let Some(again_at) = decision.again_at else { break };
                now = again_at.as_nanos() / 1_000_000;
            }
        }
        prop_assert_eq!(admitted, ids);
    }
}
