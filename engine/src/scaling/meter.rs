//! Measures made from counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::position::PartitionId;
use crate::time::Timestamp;

use super::measures::{Measures, Scaled, StageLoad};
use super::rate::Rate;

/// Makes measures from existing counters: records read, ends of partitions, time at work. It queries no other
/// component.
#[derive(Clone, Debug)]
pub struct Meter {
    smooth: Duration,
    partitions: BTreeMap<PartitionId, PartitionMeter>,
    arrived: u64,
    arrival: Option<Rate>,
    read: u64,
    served: Rate,
    stages: BTreeMap<Scaled, Worked>,
}

/// The work of a stage, as counted so far.
#[derive(Clone, Debug, PartialEq)]
pub struct StageWork {
    /// The stage.
    pub what: Scaled,
    /// Its name in logs.
    pub name: Arc<str>,
    /// The number of its units.
    pub count: usize,
    /// The time at work since the start, of all units together. It only grows, or starts again at zero.
    pub busy: Duration,
    /// As in [`StageLoad::full_cost`].
    pub full_cost: Option<f64>,
    /// As in [`StageLoad::cores`].
    pub cores: f64,
    /// As in [`StageLoad::bytes`].
    pub bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PartitionMeter {
    /// Records between the offset read and the end, at the last report.
    lag: Option<u64>,
    /// Records read since that report.
    read: u64,
    /// True if records were read between the last two reports.
    was_read: bool,
    /// The latest event time read.
    latest: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Worked {
    busy: Duration,
    rate: Rate,
    cost: Option<f64>,
}

impl PartitionMeter {
    /// Records that wait now, as far as known: records read since the last report no longer wait.
    fn waits(&self) -> u64 {
        self.lag.unwrap_or(0).saturating_sub(self.read)
    }

    /// Waiting records that are about to be read. The last record before the end may be the marker of a transaction,
    /// which no consumer receives. A partition that is not being read at all is held back for other reasons.
    fn backlog(&self) -> u64 {
        if self.was_read || self.read > 0 { self.waits().saturating_sub(1) } else { 0 }
    }

    /// The age of the oldest waiting record. The next record is as old as the last one read, except for records out of
    /// order.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        match self.waits() {
            0 => self.lag.map(|_| Duration::ZERO),
            _ => self.latest.map(|latest| now.since(latest)),
        }
    }
}

impl Meter {
    /// A meter whose rates are averages over `smooth`.
    pub fn new(smooth: Duration) -> Self {
        Self {
            smooth,
            partitions: BTreeMap::new(),
            arrived: 0,
            arrival: None,
            read: 0,
            served: Rate::new(smooth),
            stages: BTreeMap::new(),
        }
    }

    /// Adds an assigned partition. Its backlog does not count as arrivals.
    pub fn assign(&mut self, partition: PartitionId) {
        self.partitions.insert(partition, PartitionMeter::default());
    }

    /// Removes a revoked partition.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// Counts records read from a partition; `latest` is the event time of the last of them.
    pub fn read(&mut self, partition: PartitionId, records: u64, latest: Option<Timestamp>) {
        self.read = self.read.saturating_add(records);
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.read = partition.read.saturating_add(records);
            partition.latest = partition.latest.max(latest);
        }
    }

    /// Reports the number of records between the offset read and the end of a partition.
    pub fn lag(&mut self, partition: PartitionId, records: u64) {
        let Some(partition) = self.partitions.get_mut(&partition) else { return };
        if let Some(before) = partition.lag.replace(records) {
            // The end has advanced by this number.
            let arrived = records.saturating_add(partition.read).saturating_sub(before);
            self.arrived = self.arrived.saturating_add(arrived);
            self.arrival.get_or_insert(Rate::new(self.smooth));
        }
        partition.was_read = partition.read > 0;
        partition.read = 0;
    }

    /// The age of the oldest waiting event of each partition: zero if no record waits. Partitions of unknown age are
    /// left out.
    pub fn ages(&self, now: Timestamp) -> impl Iterator<Item = (PartitionId, Duration)> {
        self.partitions.iter().filter_map(move |(id, partition)| Some((*id, partition.age(now)?)))
    }

    /// The time to read the backlog at the last measured reading rate, without partitions that are not being read. Zero
    /// if no record waits, or if the rate is unknown.
    pub fn backlog(&self) -> Duration {
        let waits: u64 = self.partitions.values().map(PartitionMeter::backlog).sum();
        let rate = self.served.per_second().filter(|rate| waits > 0 && *rate > 0.0);
        rate.and_then(|rate| Duration::try_from_secs_f64(waits as f64 / rate).ok()).unwrap_or_default()
    }

    /// The current measures. `bytes` counts payload bytes in flight.
    pub fn measures(&mut self, work: &[StageWork], bytes: u64, now: Timestamp) -> Measures {
        self.served.add(std::mem::take(&mut self.read) as f64, now);
        if let Some(arrival) = &mut self.arrival {
            arrival.add(std::mem::take(&mut self.arrived) as f64, now);
        }
        let served = self.served.per_second();
        let stages = work.iter().map(|work| self.stage(work, served, now)).collect();
        let mut of_inputs: BTreeMap<_, usize> = BTreeMap::new();
        for partition in self.partitions.keys() {
            *of_inputs.entry(partition.input).or_default() += 1;
        }
        Measures {
            lag: self.partitions.values().map(PartitionMeter::waits).sum(),
            age: self.ages(now).map(|(_, age)| age).max(),
            arrival: self.arrival.as_ref().and_then(Rate::per_second),
            served,
            bytes,
            partitions: of_inputs.into_values().max().unwrap_or(0),
            stages,
        }
    }

    fn stage(&mut self, work: &StageWork, served: Option<f64>, now: Timestamp) -> StageLoad {
        let smooth = self.smooth;
        let worked = self.stages.entry(work.what).or_insert_with(|| Worked {
            busy: work.busy,
            rate: Rate::new(smooth),
            cost: None,
        });
        worked.rate.add(work.busy.saturating_sub(worked.busy).as_secs_f64(), now);
        worked.busy = work.busy;
        let at_work = worked.rate.per_second().unwrap_or(0.0);
        // If almost no record came through, the previous cost stays.
        if let Some(served) = served.filter(|served| *served * smooth.as_secs_f64() >= 1.0) {
            worked.cost = Some(at_work / served).filter(|cost| *cost > 0.0).or(worked.cost);
        }
        StageLoad {
            what: work.what,
            name: work.name.clone(),
            count: work.count,
            busy: (at_work / work.count.max(1) as f64).clamp(0.0, 1.0),
            cost: worked.cost,
            full_cost: work.full_cost,
            cores: work.cores,
            bytes: work.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at_second, partition};

    fn shards(count: usize, busy_millis: u64) -> [StageWork; 1] {
        [StageWork {
            what: Scaled::Shards,
            name: "shards".into(),
            count,
            busy: Duration::from_millis(busy_millis),
            full_cost: None,
            cores: 1.0,
            bytes: None,
        }]
    }

    /// 100 records a second arrive, 80 are read, and two shards work 0.4 of each second.
    fn loaded(seconds: i64) -> (Meter, Measures) {
        let mut meter = Meter::new(Duration::from_secs(5));
        meter.assign(partition(0));
        let mut measures = Measures::default();
        for second in 0..=seconds {
            if second > 0 {
                meter.read(partition(0), 80, Some(at_second(second * 80 / 100)));
            }
            meter.lag(partition(0), 1_000 + second as u64 * 20);
            measures = meter.measures(&shards(2, second as u64 * 400), 7, at_second(second));
        }
        (meter, measures)
    }

    #[test]
    fn meter_finds_rates_lag_age_and_cost() {
        let (meter, measures) = loaded(20);
        let near = |found: Option<f64>, right: f64| found.is_some_and(|found| (found - right).abs() < 1e-6);
        assert!(near(measures.arrival, 100.0) && near(measures.served, 80.0), "{measures:?}");
        assert_eq!((measures.lag, measures.bytes, measures.partitions), (1_400, 7, 1));
        assert_eq!(measures.age, Some(Duration::from_secs(4)));
        assert!(near(Some(meter.backlog().as_secs_f64()), 1_399.0 / 80.0));
        assert!(near(measures.stages[0].cost, 0.005) && near(Some(measures.stages[0].busy), 0.2));
        assert_eq!(meter.ages(at_second(20)).collect::<Vec<_>>(), [(partition(0), Duration::from_secs(4))]);
    }

    #[test]
    fn backlog_excludes_unread_partitions_and_end_markers() {
        let (mut meter, _) = loaded(20);
        let before = meter.backlog();
        meter.assign(partition(1));
        for _ in 0..2 {
            meter.lag(partition(1), 1_000_000);
        }
        assert_eq!(meter.backlog(), before);
        meter.read(partition(0), 1_399, None);
        assert_eq!(meter.backlog(), Duration::ZERO);
    }

    #[test]
    fn assigned_backlog_does_not_count_as_arrivals() {
        let (mut meter, before) = loaded(20);
        meter.assign(partition(1));
        meter.lag(partition(1), 1_000_000);
        meter.lag(partition(0), 1_400);
        let with = meter.measures(&shards(2, 8_000), 0, at_second(21));
        assert!(with.arrival < before.arrival && with.lag == 1_001_400, "{with:?}");
        meter.revoke(partition(1));
        let without = meter.measures(&shards(2, 8_000), 0, at_second(22));
        assert_eq!((without.lag, without.partitions), (1_400, 1));
    }

    #[test]
    fn cost_stays_while_no_record_comes() {
        let (mut meter, before) = loaded(20);
        meter.lag(partition(0), 0);
        for second in 21..1_000 {
            meter.lag(partition(0), 0);
            let measures = meter.measures(&shards(2, 8_000), 0, at_second(second));
            let (was, is) =
                (before.stages[0].cost.expect("a cost"), measures.stages[0].cost.expect("a cost"));
            assert!((is / was - 1.0).abs() < 1e-6, "{is} was {was} at {second}");
        }
        assert_eq!(meter.measures(&shards(2, 8_000), 0, at_second(1_000)).age, Some(Duration::ZERO));
    }

    #[test]
    fn measures_are_unknown_before_the_first_report() {
        let mut meter = Meter::new(Duration::from_secs(5));
        meter.assign(partition(0));
        meter.read(partition(0), 10, None);
        let first = meter.measures(&shards(1, 0), 0, at_second(0));
        assert_eq!((first.arrival, first.served, first.age), (None, None, None));
        assert_eq!(first.stages[0].cost, None);
        let second = meter.measures(&shards(1, 0), 0, at_second(1));
        assert_eq!(second.arrival, None, "the ends of the partitions were never reported");
    }

    #[test]
    fn stage_that_restarts_its_counter_has_no_negative_work() {
        let (mut meter, _) = loaded(20);
        let measures = meter.measures(&shards(2, 0), 0, at_second(21));
        assert!(measures.stages[0].busy >= 0.0);
        let measures = meter.measures(&shards(2, 900), 0, at_second(22));
        assert!(measures.stages[0].busy <= 1.0 && measures.stages[0].busy > 0.1, "{measures:?}");
    }
}
