use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// The view of a process with some partitions, of streams of two inputs whose producers use these partitioners.
fn seen(
    rules: [fn(usize) -> Partitioner; 2],
    (streams, partitions): (usize, i32),
    holds: impl Fn(i32) -> bool,
) -> Copartition {
    let mut watch = Copartition::new(2);
    watch.set_partitions(&[partitions, partitions]);
    for (input, rule) in (0..).zip(rules) {
        for number in 0..streams {
            let name = format!("cam-{number}");
            let partition = rule(number).partition(name.as_bytes(), partitions).expect("a partition");
            if holds(partition) {
                let id = PartitionId { input: InputId(input), partition };
                watch.observe(id, &StreamKey::from(name.as_str()), NOW);
            }
        }
    }
    watch
}

const JAVA: fn(usize) -> Partitioner = |_| Partitioner::Murmur2;
const LIBRDKAFKA: fn(usize) -> Partitioner = |_| Partitioner::Crc32;

#[test]
fn conflict_names_inputs_partitioners_and_remedy() {
    let conflict = seen([JAVA, LIBRDKAFKA], (24, 12), |_| true).conflict(NOW).expect("seen");
    assert_eq!(conflict.inputs.map(|it| it.2), [Some(Partitioner::Murmur2), Some(Partitioner::Crc32)]);
    let text = conflict.describe(|id| ["cam", "sensor"][id.index()]);
    for words in [
        "inputs cam and sensor",
        "cam: murmur2",
        "sensor: CRC32",
        "24 of 24 streams",
        "stream cam-",
        "in the producers of sensor set partitioner=murmur2_random",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn conflict_is_found_without_both_halves_of_a_stream() {
    for half in [0, 1] {
        let watch = seen([JAVA, LIBRDKAFKA], (24, 12), |partition| partition / 6 == half);
        let conflict = watch.conflict(NOW).expect("seen");
        assert_eq!(conflict.inputs.map(|it| it.2), [Some(Partitioner::Murmur2), Some(Partitioner::Crc32)]);
    }
}

#[test]
fn conflict_is_a_second_partitioner_but_not_a_stray_record() {
    let mixed: fn(usize) -> Partitioner =
        |n| if n.is_multiple_of(2) { Partitioner::Murmur2 } else { Partitioner::Crc32 };
    let conflict = seen([mixed, JAVA], (40, 12), |_| true).conflict(NOW).expect("seen");
    assert_eq!(conflict.inputs[0].2, None);
    assert!(conflict.describe(|_| "x").contains("no partitioner explains all of 40 streams"));
    let stray: fn(usize) -> Partitioner = |n| if n == 7 { Partitioner::Crc32 } else { Partitioner::Murmur2 };
    assert_eq!(seen([stray, JAVA], (100, 12), |_| true).conflict(NOW), None);
}

#[test]
fn conflict_is_one_stream_in_two_partitions() {
    let mut watch = Copartition::new(2);
    watch.set_partitions(&[4, 4]);
    for (input, partition) in [(0, 2), (1, 3)] {
        let id = PartitionId { input: InputId(input), partition };
        watch.observe(id, &StreamKey::from("only"), NOW);
    }
    let conflict = watch.conflict(NOW).expect("seen");
    assert_eq!(conflict.example, Some((StreamKey::from("only"), [2, 3])));
}

#[test]
fn conflict_ends_when_it_is_fixed_or_the_streams_are_forgotten() {
    let mut watch = seen([JAVA, LIBRDKAFKA], (24, 12), |_| true);
    assert!(watch.conflict(NOW).is_some());
    assert_eq!(watch.conflict(NOW.after(REMEMBERED)), None, "they have fallen silent");
    for number in 0..24 {
        let name = format!("cam-{number}");
        let partition = Partitioner::Murmur2.partition(name.as_bytes(), 12).expect("a partition");
        let id = PartitionId { input: InputId(1), partition };
        watch.observe(id, &StreamKey::from(name.as_str()), NOW);
    }
    assert_eq!(watch.conflict(NOW), None);
}

#[test]
fn streams_count_before_the_number_of_partitions_is_known() {
    let mut watch = Copartition::new(2);
    for (input, rule) in [(0, Partitioner::Murmur2), (1, Partitioner::Crc32)] {
        for number in 0..24 {
            let name = format!("cam-{number}");
            let partition = rule.partition(name.as_bytes(), 12).expect("a partition");
            watch.observe(
                PartitionId { input: InputId(input), partition },
                &StreamKey::from(name.as_str()),
                NOW,
            );
        }
    }
    watch.set_partitions(&[12, 12]);
    let conflict = watch.conflict(NOW).expect("seen");
    assert_eq!(conflict.inputs.map(|it| it.2), [Some(Partitioner::Murmur2), Some(Partitioner::Crc32)]);
}

#[test]
fn new_number_of_partitions_forgets_the_streams() {
    let mut watch = seen([JAVA, LIBRDKAFKA], (24, 12), |_| true);
    watch.set_partitions(&[12, 24]);
    let fits: Vec<usize> = watch.fits(NOW).map(|(_, fit)| fit.streams).collect();
    assert!(fits[0] > 20 && fits[1] == 0, "{fits:?}");
}

proptest! {
    /// If both inputs use the same rule, known or unknown, there is never a conflict by coincidence.
    #[test]
    fn inputs_with_one_rule_are_never_in_conflict(
        streams in 1..200_usize,
        partitions in 1..40_i32,
        rule in 0..4_usize,
        salt in any::<u64>(),
        holds in prop::collection::vec(any::<[bool; 2]>(), 40),
    ) {
        let mut watch = Copartition::new(2);
        watch.set_partitions(&[partitions, partitions]);
        for number in 0..streams {
            let name = format!("{salt}-{number}");
            let own = BuildHasherDefault::<FxHasher>::default().hash_one((salt, number));
            let partition = Partitioner::ALL.get(rule).map_or_else(
                || i32::try_from(own >> 40).expect("small") % partitions,
                |rule| rule.partition(name.as_bytes(), partitions).expect("a partition"),
            );
            for input in 0..2 {
                if holds[usize::try_from(partition).expect("positive")][usize::from(input)] {
                    let id = PartitionId { input: InputId(input), partition };
                    watch.observe(id, &StreamKey::from(name.as_str()), NOW);
                }
            }
        }
        prop_assert_eq!(watch.conflict(NOW), None);
    }

    /// With enough streams, two different rules are a conflict, however the partitions are shared.
    #[test]
    fn inputs_with_two_rules_are_in_conflict(
        partitions in 2..40_i32,
        rules in (0..3_usize, 1..3_usize),
        processes in 1..4_i32,
    ) {
        let (one, two) = (Partitioner::ALL[rules.0], Partitioner::ALL[(rules.0 + rules.1) % 3]);
        for process in 0..processes.min(partitions) {
            let mut watch = Copartition::new(2);
            watch.set_partitions(&[partitions, partitions]);
            for number in 0..600 {
                let name = format!("camera {number}");
                for (input, rule) in [(0, one), (1, two)] {
                    let partition = rule.partition(name.as_bytes(), partitions).expect("a partition");
                    if partition % processes == process {
                        let id = PartitionId { input: InputId(input), partition };
                        watch.observe(id, &StreamKey::from(name.as_str()), NOW);
                    }
                }
            }
            let conflict = watch.conflict(NOW);
            let found = conflict.map(|conflict| conflict.inputs.map(|it| it.2));
            prop_assert_eq!(found, Some([Some(one), Some(two)]));
        }
    }
}
