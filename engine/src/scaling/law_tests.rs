//! Tests of the law, with random measures and with a queue that is worked off record by record.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::position::{InputId, PartitionId};
use crate::testing::at;

const MACHINE: MachineResources = MachineResources { cores: 16, memory: None };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stage(what: Scaled, count: usize, cost: Option<f64>) -> StageLoad {
    let name = if what == Scaled::Shards { "shards" } else { "instances of faces" };
    StageLoad { what, name: name.into(), count, busy: 0.9, cost, full_cost: None, cores: 1.0, bytes: None }
}

fn measures(lag: u64, arrival: f64, stages: Vec<StageLoad>) -> Measures {
    let (arrival, served) = (Some(arrival), Some(arrival));
    Measures { lag, age: None, arrival, served, bytes: 0, partitions: 8, stages }
}

fn any_spec() -> impl Strategy<Value = ScalingSpec> {
    let bounds = || {
        (1_usize..8, 0_usize..12)
            .prop_map(|(min, more)| CountBounds { min: Some(min), max: Some(min + more) })
    };
    let bounds = || prop_oneof![bounds(), Just(CountBounds::default())];
    let policy = prop_oneof![Just(Policy::Fixed), Just(Policy::Step), Just(Policy::Target)];
    let levels = prop::collection::vec((1_u64..20_000, 0_usize..20, 0_usize..6), 0..4);
    (policy, bounds(), bounds(), levels, any::<bool>(), 0_u64..10, 0_u64..40).prop_map(
        |(policy, shards, instances, rises, with_instances, up, down)| {
            let level =
                |lag, shards, count| Level { lag, shards, instances: with_instances.then_some(count) };
            let mut levels = vec![level(0, 2, 1)];
            let (mut lag, mut count, mut of_instances) = (0, 2, 1);
            for (further, more, more_instances) in rises {
                (lag, count, of_instances) = (lag + further, count + more, of_instances + more_instances);
                levels.push(level(lag, count, of_instances));
            }
            let cooldown = Cooldown { up: seconds(up), down: seconds(down) };
            ScalingSpec {
                policy,
                shards,
                instances: vec![instances],
                levels,
                cooldown,
                ..ScalingSpec::default()
            }
        },
    )
}

/// Looks, a second apart: lag, arrivals per second, cost of a record for a shard and for an instance.
fn any_looks() -> impl Strategy<Value = Vec<(u64, f64, f64, f64)>> {
    let lag = prop_oneof![Just(0_u64), 0_u64..2_000, 0_u64..200_000];
    prop::collection::vec((lag, 0.0..5_000.0, 1e-5..0.01, 1e-5..0.05), 1..120)
}

fn look(counts: [usize; 2], (lag, arrival, shard, instance): (u64, f64, f64, f64)) -> Measures {
    let stages = vec![
        stage(Scaled::Shards, counts[0], Some(shard)),
        stage(Scaled::Instances(0), counts[1], Some(instance)),
    ];
    measures(lag, arrival, stages)
}

fn apply(counts: &mut [usize; 2], decisions: &[Decision]) {
    for decision in decisions {
        counts[usize::from(decision.what != Scaled::Shards)] = decision.to;
    }
}

proptest! {
    #[test]
    fn counts_stay_within_limits_and_each_decision_is_a_change(
        spec in any_spec(), looks in any_looks(), start in 1_usize..20,
    ) {
        let mut law = Law::new(spec.clone(), MACHINE);
        let mut counts = [start, 2];
        for (second, values) in looks.into_iter().enumerate() {
            let measures = look(counts, values);
            let decisions = law.decide(&measures, at(second as i64 * 1_000));
            for decision in &decisions {
                prop_assert!(decision.from != decision.to);
                let place = usize::from(decision.what != Scaled::Shards);
                let limits = CountLimits::of(&spec, &MACHINE, &measures.stages[place], [start, 2][place]);
                prop_assert!((limits.min..=limits.max).contains(&decision.to), "{decision} {limits:?}");
            }
            prop_assert!(spec.policy != Policy::Fixed || decisions.is_empty());
            apply(&mut counts, &decisions);
        }
    }

    #[test]
    fn counts_change_only_after_the_cooldown_of_their_direction(
        spec in any_spec(), looks in any_looks(),
    ) {
        let mut law = Law::new(spec.clone(), MACHINE);
        let start = CountLimits::of(&spec, &MACHINE, &stage(Scaled::Shards, 4, None), 4).clamp(4);
        let mut counts = [start, CountLimits::of(&spec, &MACHINE, &stage(Scaled::Instances(0), 2, None), 2).clamp(2)];
        let mut changed: [Option<i64>; 2] = [None; 2];
        for (second, values) in looks.into_iter().enumerate() {
            let second = second as i64;
            let decisions = law.decide(&look(counts, values), at(second * 1_000));
            for decision in &decisions {
                let place = usize::from(decision.what != Scaled::Shards);
                let rises = decision.to > decision.from;
                let least = if rises { spec.cooldown.up } else { spec.cooldown.down }.as_secs() as i64;
                let before = if rises { changed[place] } else { changed[place].or(Some(0)) };
                if let Some(before) = before {
                    prop_assert!(second - before >= least, "{decision} after {}", second - before);
                }
                changed[place] = Some(second);
            }
            apply(&mut counts, &decisions);
        }
    }

    #[test]
    fn more_lag_never_asks_for_fewer_units(
        spec in any_spec(), looks in any_looks(), less in 0_u64..30_000, more in 0_u64..30_000,
        age in prop::option::of(0_u64..100),
    ) {
        let mut law = Law::new(ScalingSpec { cooldown: Cooldown { up: seconds(0), down: seconds(0) }, ..spec }, MACHINE);
        let mut counts = [4, 2];
        let (last, history) = looks.split_last().expect("at least one");
        for (second, values) in history.iter().enumerate() {
            let decisions = law.decide(&look(counts, *values), at(second as i64 * 1_000));
            apply(&mut counts, &decisions);
        }
        let asked = |lag: u64| {
            let mut law = law.clone();
            let measures = Measures { age: age.map(seconds), ..look(counts, (lag, last.1, last.2, last.3)) };
            let mut counts = counts;
            apply(&mut counts, &law.decide(&measures, at(1_000_000)));
            (counts, law.replicas(&measures))
        };
        let ((few, few_processes), (many, many_processes)) = (asked(less), asked(less + more));
        prop_assert!(few[0] <= many[0] && few[1] <= many[1], "{few:?} {many:?}");
        prop_assert!(few_processes <= many_processes);
    }
}

/// One partition and shards that work its records off one by one, each costing the same time.
struct SimulatedPartition {
    now: i64,
    waiting: VecDeque<i64>,
    arrived: f64,
    worked: f64,
    credit: f64,
    read: u64,
    read_last: Option<i64>,
}

const TICK: i64 = 10;

impl SimulatedPartition {
    fn new() -> Self {
        Self {
            now: 0,
            waiting: VecDeque::new(),
            arrived: 0.0,
            worked: 0.0,
            credit: 0.0,
            read: 0,
            read_last: None,
        }
    }

    fn tick(&mut self, rate: f64, shards: usize, cost: f64) {
        self.now += TICK;
        self.arrived += rate * TICK as f64 / 1e3;
        while self.arrived >= 1.0 {
            self.arrived -= 1.0;
            self.waiting.push_back(self.now);
        }
        // Shards do not work ahead: unused credit is lost.
        let most = shards as f64 * TICK as f64 / 1e3;
        self.credit = (self.credit + most).min(most + cost);
        while self.credit >= cost
            && let Some(stamp) = self.waiting.pop_front()
        {
            self.credit -= cost;
            self.worked += cost;
            self.read += 1;
            self.read_last = Some(stamp);
        }
    }

    fn age(&self) -> Duration {
        self.waiting.front().map_or(Duration::ZERO, |stamp| at(self.now).since(at(*stamp)))
    }
}

/// The course of a queue under the law, second by second.
struct LawCourse {
    counts: Vec<usize>,
    ages: Vec<Duration>,
}

fn run(spec: ScalingSpec, cost: f64, until: i64, rate: impl Fn(i64) -> f64) -> LawCourse {
    let partition = PartitionId { input: InputId(0), partition: 0 };
    let (mut queue, mut meter) = (SimulatedPartition::new(), Meter::new(spec.smooth));
    meter.assign(partition);
    let mut law = Law::new(spec, MACHINE);
    let mut shards = 1;
    let mut course = LawCourse { counts: Vec::new(), ages: Vec::new() };
    for second in 0..until {
        for _ in 0..1_000 / TICK {
            queue.tick(rate(second), shards, cost);
        }
        meter.read(partition, std::mem::take(&mut queue.read), queue.read_last.map(at));
        meter.lag(partition, queue.waiting.len() as u64);
        let work = StageWork {
            what: Scaled::Shards,
            name: "shards".into(),
            count: shards,
            busy: Duration::from_secs_f64(queue.worked),
            full_cost: None,
            cores: 1.0,
            bytes: None,
        };
        let measures = meter.measures(&[work], 0, at(queue.now));
        for decision in law.decide(&measures, at(queue.now)) {
            shards = decision.to;
        }
        course.counts.push(shards);
        course.ages.push(queue.age());
    }
    course
}

fn targeted() -> ScalingSpec {
    ScalingSpec { shards: CountBounds { min: Some(1), max: Some(16) }, ..ScalingSpec::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn age_is_under_target_again_within_the_predicted_time(
        cost in 0.002_f64..0.02, before in 0.5_f64..4.0, times in 1.5_f64..3.0,
    ) {
        // `before` units work at first and `before * times` later; the upper limit can drain the backlog that builds up
        // meanwhile.
        let spec = targeted();
        let rises: i64 = 60;
        let within = spec.recovers_within(Duration::ZERO).as_secs() as i64;
        let until = rises + within + 60;
        let rate = |second: i64| if second < rises { before / cost } else { before * times / cost };
        let course = run(spec.clone(), cost, until, rate);
        for (second, age) in course.ages.iter().enumerate().skip((rises + within) as usize) {
            prop_assert!(*age <= spec.target.age, "{age:?} at {second} s, counts {:?}", course.counts);
        }
    }

    #[test]
    fn count_settles_on_the_need_of_a_constant_load(
        cost in 0.002_f64..0.02, units in 0.1_f64..11.0,
    ) {
        let course = run(targeted(), cost, 600, |_| units / cost);
        let last = &course.counts[400..];
        prop_assert!(last.iter().all(|count| count == &last[0]), "{:?}", course.counts);
        prop_assert!(last[0] as f64 >= units, "{} for {units}", last[0]);
        prop_assert!(last[0] as f64 <= units / (0.8 * 0.75) + 1.0, "{} for {units}", last[0]);
    }

    /// A lag shows that there is too much work, but not how much. Under a load between the capacities of two levels,
    /// the lag drains at one level and grows at the other. Only the cooldown bounds the swings.
    #[test]
    fn lag_levels_swing_no_faster_than_the_cooldown(cost in 0.002_f64..0.02, units in 0.1_f64..15.0) {
        let spec = ScalingSpec { policy: Policy::Step, ..targeted() };
        let cooldown = spec.cooldown;
        let course = run(spec, cost, 600, |_| units / cost);
        let changes = course.counts.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
        prop_assert!(changes <= 2 * (600 / cooldown.down.as_secs()) + 2, "{:?}", course.counts);
        prop_assert!(units > 4.0 || course.counts[60..].iter().all(|count| *count == 4), "{:?}", course.counts);
    }
}

fn step() -> Law {
    let cooldown = Cooldown { up: seconds(0), down: seconds(0) };
    Law::new(ScalingSpec { policy: Policy::Step, cooldown, ..ScalingSpec::default() }, MACHINE)
}

#[test]
fn lag_of_10_000_gives_16_shards_and_4_once_drained() {
    let mut law = step();
    let mut count = 4;
    let courses =
        [(0, 4), (9_999, 4), (10_000, 16), (50_000, 16), (9_999, 16), (1_001, 16), (1_000, 4), (9_999, 4)];
    for (second, (lag, right)) in courses.into_iter().enumerate() {
        let decisions =
            law.decide(&measures(lag, 0.0, vec![stage(Scaled::Shards, count, None)]), at(second as i64));
        count = decisions.first().map_or(count, |decision| decision.to);
        assert_eq!(count, right, "at a lag of {lag}");
    }
}

#[test]
fn decision_prints_as_one_line_with_its_numbers() {
    let mut law = step();
    let of = |lag| Measures {
        age: Some(seconds(4)),
        bytes: 5 << 19,
        ..measures(lag, 3_000.0, vec![stage(Scaled::Shards, 4, None)])
    };
    assert_eq!(
        law.decide(&of(12_000), at(0))[0].to_string(),
        "shards: 4 -> 16 (step): the lag has reached 10000 records; lag 12000 records, the oldest 4.0 s old, \
         3000.0 records/s taken in, 2.5 MiB in flight, 90 % busy, limits 4 to 16"
    );
    let mut law = Law::new(ScalingSpec::default(), MACHINE);
    let measures = Measures {
        age: Some(seconds(10)),
        ..measures(12_000, 300.0, vec![stage(Scaled::Shards, 1, Some(0.01))])
    };
    assert_eq!(
        law.decide(&measures, at(0))[0].to_string(),
        "shards: 1 -> 5 (target): 300.0 records/s arrive and 100.0 records/s are to be drained, at 10.000 ms of work \
         each: 4.00 at work; lag 12000 records, the oldest 10.0 s old, 300.0 records/s taken in, 90 % busy, limits 1 to 16"
    );
}

/// The counts of a law that sees these arrivals, a second apart, each record costing a shard a millisecond.
fn counts(cooldown: Cooldown, start: usize, arrivals: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let mut law = Law::new(ScalingSpec { cooldown, ..targeted() }, MACHINE);
    let mut count = start;
    let mut counts = Vec::new();
    for (second, arrival) in arrivals.into_iter().enumerate() {
        let measures = measures(0, arrival, vec![stage(Scaled::Shards, count, Some(0.001))]);
        let decisions = law.decide(&measures, at(second as i64 * 1_000));
        count = decisions.first().map_or(count, |decision| decision.to);
        counts.push(count);
    }
    counts
}

#[test]
fn load_at_the_border_of_two_counts_causes_no_flapping() {
    let never = Cooldown { up: seconds(0), down: seconds(0) };
    // 1600 records a second keep two of them at work for 0.8 of their time.
    let arrivals = (0..50).map(|second| if second % 2 == 0 { 1_590.0 } else { 1_610.0 });
    let counts = counts(never, 2, arrivals);
    assert_eq!((counts[0], &counts[1..]), (2, &[3; 49][..]));
}

#[test]
fn count_falls_to_the_largest_need_of_the_down_cooldown() {
    let cooldown = Cooldown { up: seconds(0), down: seconds(10) };
    // With room: 600 a second ask for one, 1800 for three, 3000 for five.
    let lulls = (0..30).map(|second| if second % 9 == 8 { 6_400.0 } else { 600.0 });
    assert!(counts(cooldown, 8, lulls).iter().all(|count| *count == 8), "never for ten seconds");
    let calm = (0..12).map(|second| [600.0, 1_800.0, 3_000.0][second % 3]);
    assert_eq!(counts(cooldown, 8, calm), [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 5, 5]);
}

#[test]
fn stages_follow_their_own_costs() {
    let mut law = Law::new(
        ScalingSpec { instances: vec![CountBounds { min: Some(1), max: Some(4) }], ..targeted() },
        MACHINE,
    );
    let decisions = law.decide(&look([1, 1], (0, 1_000.0, 0.0001, 0.0021)), at(0));
    let asked: Vec<_> = decisions.iter().map(|decision| (decision.what, decision.to)).collect();
    assert_eq!(asked, [(Scaled::Instances(0), 3)], "2.1 instances' worth of work; shards have almost none");
}

#[test]
fn law_counts_on_full_batches_until_instances_saturate() {
    let mut law = Law::new(
        ScalingSpec { instances: vec![CountBounds { min: Some(1), max: Some(4) }], ..targeted() },
        MACHINE,
    );
    let mut instances = stage(Scaled::Instances(0), 1, Some(0.002));
    instances.full_cost = Some(0.0005);
    assert_eq!(
        law.decide(&measures(0, 1_000.0, vec![instances.clone()]), at(0)),
        [],
        "larger batches will do"
    );
    instances.busy = 1.0;
    assert_eq!(law.decide(&measures(0, 1_000.0, vec![instances]), at(0))[0].to, 3);
}

#[test]
fn waiting_for_a_core_does_not_count_as_work() {
    let stages = vec![stage(Scaled::Shards, 16, Some(0.008)), stage(Scaled::Instances(0), 16, Some(0.008))];
    let stages: Vec<StageLoad> = stages.into_iter().map(|stage| StageLoad { busy: 1.0, ..stage }).collect();
    let measures = measures(0, 1_000.0, stages);
    assert_eq!((measures.slowdown(4), measures.slowdown(64)), (8.0, 1.0));
    assert_eq!(measures.stages[0].demand(8.0), Some(0.001));
    let mut on_device = measures.stages[0].clone();
    on_device.cores = 0.0;
    assert_eq!(on_device.demand(8.0), Some(0.008));
}

#[test]
fn manual_override_applies_at_once_until_it_is_released() {
    for policy in Policy::ALL {
        let mut law = Law::new(ScalingSpec { policy, ..ScalingSpec::default() }, MACHINE);
        law.hold(Scaled::Shards, Some(7));
        let decisions = law.decide(&measures(0, 0.0, vec![stage(Scaled::Shards, 4, Some(0.001))]), at(0));
        assert_eq!((decisions[0].to, decisions[0].reason), (7, ScalingReason::Held));
        let there = measures(100_000, 5_000.0, vec![stage(Scaled::Shards, 7, Some(0.001))]);
        assert_eq!(law.decide(&there, at(1_000)), []);
        law.hold(Scaled::Shards, None);
        let after = law.decide(&there, at(60_000));
        assert_eq!(after.is_empty(), policy == Policy::Fixed, "{after:?}");
    }
    let bounds = CountBounds { min: Some(2), max: Some(3) };
    let mut law = Law::new(ScalingSpec { shards: bounds, ..ScalingSpec::default() }, MACHINE);
    law.hold(Scaled::Shards, Some(7));
    let decisions = law.decide(&measures(0, 0.0, vec![stage(Scaled::Shards, 2, None)]), at(0));
    assert_eq!(decisions[0].to, 3, "within the bounds of the settings");
}

#[test]
fn count_stays_while_its_cost_is_unknown() {
    let mut law = Law::new(ScalingSpec::default(), MACHINE);
    let unknown = measures(1_000_000, 5_000.0, vec![stage(Scaled::Shards, 2, None)]);
    assert_eq!(law.decide(&unknown, at(0)), []);
    assert_eq!(law.replicas(&unknown), None);
}

#[test]
fn law_never_asks_for_more_than_can_be_had() {
    let instances = vec![CountBounds { min: Some(2), max: Some(8) }];
    let mut law = Law::new(ScalingSpec { instances, ..ScalingSpec::default() }, MACHINE);
    let what = Scaled::Instances(0);
    // Ten instances would be needed, and eight are allowed.
    let one = measures(0, 1_000.0, vec![stage(what, 1, Some(0.01))]);
    law.limit(what, Some(1));
    assert_eq!(law.decide(&one, at(0)), [], "though the settings say that there are to be two");
    law.hold(what, Some(3));
    assert_eq!(law.decide(&one, at(1_000)), [], "nor by hand");
    law.hold(what, None);
    law.limit(what, None);
    assert_eq!(law.decide(&one, at(2_000)).iter().map(|decision| decision.to).collect::<Vec<_>>(), [2]);
}
