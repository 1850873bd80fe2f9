//! Tests of the gate: the partitions that it pauses, and that none waits for ever.

use proptest::prelude::*;

use super::*;
use crate::testing::at;

fn partition(input: u16) -> PartitionId {
    of(input, 0)
}

fn of(input: u16, partition: i32) -> PartitionId {
    PartitionId { input: InputId(input), partition }
}

fn no_drift() -> DriftLimit {
    DriftLimit { most: None, idle: Vec::new() }
}

/// At most 100 ms apart; idle after a second.
fn drift() -> DriftLimit {
    DriftLimit { most: Some(Duration::from_millis(100)), idle: vec![Duration::from_secs(1); 4] }
}

fn gate(drift: DriftLimit) -> Gate {
    let mut gate = Gate::new(100, drift);
    for input in 0..3 {
        gate.assign(partition(input), at(0));
        gate.seen(partition(input), at(i64::from(input)), at(0));
    }
    gate
}

#[test]
fn gate_pauses_the_inputs_ahead_first() {
    let mut gate = gate(no_drift());
    assert_eq!(gate.decide(80, true, at(0)), None);
    assert_eq!(gate.decide(81, true, at(0)), Some(&[partition(1), partition(2)][..]));
    gate.seen(partition(0), at(9), at(0));
    assert_eq!(gate.decide(99, true, at(0)), Some(&[partition(0), partition(2)][..]));
}

#[test]
fn gate_pauses_the_input_behind_only_beside_bundles_in_flight() {
    let mut gate = gate(no_drift());
    assert!(!gate.is_full());
    assert_eq!(gate.decide(100, true, at(0)).map(<[_]>::len), Some(3));
    assert!(gate.is_full());
    assert_eq!(gate.decide(100, false, at(0)), Some(&[partition(1), partition(2)][..]));
}

#[test]
fn input_without_a_sample_is_furthest_behind() {
    let mut gate = gate(no_drift());
    gate.assign(partition(3), at(0));
    assert_eq!(gate.decide(99, true, at(0)), Some(&[partition(0), partition(1), partition(2)][..]));
}

#[test]
fn gate_has_hysteresis() {
    let mut gate = gate(no_drift());
    assert!(gate.decide(81, true, at(0)).is_some());
    assert_eq!(gate.decide(61, true, at(0)), None, "still closed between low and high");
    assert_eq!(gate.decide(60, true, at(0)), Some(&[][..]));
    assert_eq!(gate.decide(79, true, at(0)), None);
}

#[test]
fn gate_keeps_the_input_behind_open_for_each_partition_number() {
    let mut gate = Gate::new(100, no_drift());
    for (id, latest) in [(of(0, 0), 5), (of(1, 0), 7), (of(0, 1), 900), (of(1, 1), 800)] {
        gate.assign(id, at(0));
        gate.seen(id, at(latest), at(0));
    }
    assert_eq!(gate.decide(99, true, at(0)), Some(&[of(0, 1), of(1, 0)][..]));
}

#[test]
fn gate_pauses_an_input_ahead_until_it_is_half_as_far_ahead() {
    let mut gate = gate(drift());
    gate.seen(partition(1), at(100), at(0));
    assert_eq!(gate.decide(0, false, at(0)), None);
    gate.seen(partition(1), at(101), at(0));
    assert_eq!(gate.decide(0, false, at(0)), Some(&[partition(1)][..]));
    assert_eq!(gate.ahead(), 1);
    for (behind, paused) in [(2, 1), (50, 1), (51, 0), (1, 0)] {
        gate.seen(partition(0), at(behind), at(0));
        gate.seen(partition(2), at(behind), at(0));
        gate.decide(0, false, at(0));
        assert_eq!(gate.paused().len(), paused, "with the others at {behind}");
    }
}

#[test]
fn input_at_its_end_holds_others_only_once_it_continues() {
    let mut gate = gate(drift());
    gate.lag(partition(0), 0);
    gate.lag(partition(2), 0);
    gate.seen(partition(1), at(5_000), at(0));
    assert_eq!(gate.decide(0, false, at(0)), None);
    gate.seen(partition(0), at(3), at(10));
    assert_eq!(gate.decide(0, false, at(10)), Some(&[partition(1)][..]));
}

#[test]
fn silent_input_holds_others_until_it_is_idle() {
    let mut gate = gate(drift());
    gate.lag(partition(0), 7);
    gate.seen(partition(1), at(5_000), at(0));
    gate.seen(partition(2), at(5_000), at(0));
    assert_eq!(gate.decide(0, false, at(999)).map(<[_]>::len), Some(2));
    assert!(gate.is_closed());
    assert_eq!(gate.decide(0, false, at(1_000)), Some(&[][..]));
}

#[test]
fn input_with_known_lag_holds_others_before_its_first_record() {
    let mut gate = gate(drift());
    gate.assign(partition(3), at(0));
    assert_eq!(gate.decide(0, false, at(1)), None, "it may well be silent");
    gate.lag(partition(3), 1_000);
    assert_eq!(gate.decide(0, false, at(2)).map(<[_]>::len), Some(3));
}

#[test]
fn paused_input_does_not_become_idle() {
    let mut gate = gate(drift());
    gate.seen(partition(1), at(5_000), at(0));
    for now in [0, 900, 1_800] {
        gate.seen(partition(0), at(2), at(now));
        gate.seen(partition(2), at(2), at(now));
        gate.decide(0, false, at(now));
    }
    // The others catch up and run ahead; now they wait for it, although it was silent for long.
    gate.seen(partition(0), at(9_000), at(1_900));
    gate.seen(partition(2), at(9_000), at(1_900));
    assert_eq!(gate.decide(0, false, at(1_900)), Some(&[partition(0), partition(2)][..]));
}

/// The definition, computed again: how far each partition is ahead of the least one of its number that others wait
/// for.
fn too_far(
    reached: &BTreeMap<PartitionId, (Option<i64>, i64, Option<bool>)>,
    was: &[PartitionId],
    now: i64,
) -> Vec<PartitionId> {
    let waited_for = |(latest, heard, has_more): &(Option<i64>, i64, Option<bool>)| {
        now - heard < 1_000 && has_more.unwrap_or(latest.is_some())
    };
    let mut paused = Vec::new();
    for (id, (latest, ..)) in reached {
        let Some(latest) = latest else { continue };
        let others = reached.iter().filter(|(other, it)| other.partition == id.partition && waited_for(it));
        let Some(least) = others.map(|(_, it)| it.0.unwrap_or(i64::MIN / 2)).min() else { continue };
        if latest - least > if was.contains(id) { 50 } else { 100 } {
            paused.push(*id);
        }
    }
    paused
}

#[derive(Clone, Debug)]
enum Do {
    Seen(usize, i64),
    Lag(usize, i64),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let step = prop_oneof![
        4 => (0usize..4, 0i64..400).prop_map(|(at, time)| Do::Seen(at, time)),
        1 => (0usize..4, 0i64..3).prop_map(|(at, records)| Do::Lag(at, records)),
        2 => (0i64..600).prop_map(Do::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn gate_pauses_exactly_the_partitions_too_far_ahead(steps in steps()) {
        let ids = [of(0, 0), of(1, 0), of(0, 1), of(1, 1)];
        let mut gate = Gate::new(100, drift());
        let mut reached = BTreeMap::new();
        for id in ids {
            gate.assign(id, at(0));
            reached.insert(id, (None, 0, None));
        }
        let (mut now, mut paused) = (0, Vec::new());
        for step in steps {
            match step {
                Do::Seen(place, time) => {
                    gate.seen(ids[place], at(time), at(now));
                    let it = reached.get_mut(&ids[place]).expect("it is assigned");
                    *it = (it.0.max(Some(time)), now, it.2.filter(|more| *more));
                }
                Do::Lag(place, records) => {
                    gate.lag(ids[place], records);
                    reached.get_mut(&ids[place]).expect("it is assigned").2 = Some(records > 0);
                }
                Do::Wait(millis) => now += millis,
            }
            for id in &paused {
                reached.get_mut(id).expect("it is assigned").1 = now;
            }
            gate.decide(0, false, at(now));
            paused = too_far(&reached, &paused, now);
            prop_assert_eq!(gate.paused(), paused.as_slice());
            // One partition of each number is read, or the others would wait for ever.
            for number in 0..2 {
                prop_assert!(ids.iter().any(|id| id.partition == number && !paused.contains(id)));
            }
        }
    }

    #[test]
    fn idle_pipeline_reads_a_partition_of_each_number(
        latest in prop::collection::vec(prop::option::of(0i64..500), 6),
        lag in prop::collection::vec(prop::option::of(0i64..3), 6),
        used in 0u64..200,
    ) {
        let mut gate = Gate::new(100, drift());
        let ids: Vec<_> = (0..6).map(|n| of(n % 3, i32::from(n / 3))).collect();
        for ((id, latest), lag) in ids.iter().zip(latest).zip(lag) {
            gate.assign(*id, at(0));
            latest.into_iter().for_each(|latest| gate.seen(*id, at(latest), at(0)));
            lag.into_iter().for_each(|lag| gate.lag(*id, lag));
        }
        gate.decide(used, false, at(0));
        for number in 0..2 {
            let is_read = |id: &&PartitionId| id.partition == number && !gate.paused().contains(id);
            prop_assert!(ids.iter().any(|id| is_read(&id)), "{:?}", gate.paused());
        }
    }
}
