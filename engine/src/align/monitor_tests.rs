//! The reports of the clock monitor on scenes with a known offset and drift.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use super::super::policy::{InputPolicy, Join, Method};
use super::*;

const BASE: i64 = 1_700_000_000_000_000_000;
const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;

fn policy() -> AlignPolicy {
    let window = Join::Window { before: Duration::from_millis(500), after: Duration::ZERO };
    AlignPolicy::new(
        Method::Pivot(InputId(0)),
        vec![InputPolicy::new("video", Join::Pivot), InputPolicy::new("audio", window)],
    )
}

/// A camera and its microphone, whose clock is behind and whose rate is off.
#[derive(Clone, Copy)]
struct Scene {
    ppm: f64,
    behind: i64,
    /// The speed at which it is read, as a multiple of real time.
    speed: i64,
}

struct Rig {
    monitor: ClockMonitor,
    readings: Vec<(Timestamp, Reading)>,
    reported: i64,
}

impl Rig {
    fn new() -> Self {
        Self { monitor: ClockMonitor::new(&policy()), readings: Vec::new(), reported: 0 }
    }

    /// Plays `seconds` seconds from `from` on; every stream has the scene's clocks.
    fn play(&mut self, streams: &[&str], scene: Scene, from: i64, seconds: i64) {
        let streams: Vec<StreamKey> = streams.iter().map(|name| StreamKey::from(*name)).collect();
        for tick in from * 100..(from + seconds) * 100 {
            // Transit times that vary up to 3 ms, the least of them 1 ms.
            let delay = MILLI + (tick * 7_919 % 3_000) * 1_000;
            let begun = BASE + tick * 10 * MILLI;
            let arrival = |end: i64| Timestamp::from_nanos(BASE + (end - BASE) / scene.speed + delay);
            for stream in &streams {
                if tick % 4 == 0 {
                    let stamp = Stamp::new(Timestamp::from_nanos(begun), Duration::ZERO);
                    self.monitor.observe(stream, InputId(0), stamp, arrival(begun));
                }
                if tick % 2 == 1 {
                    let chunk = (tick / 2) as f64 * 20.0 * MILLI as f64 / (1.0 + scene.ppm / 1e6);
                    let time = BASE + chunk as i64 + 5 * MILLI - scene.behind;
                    let stamp = Stamp::new(Timestamp::from_nanos(time), Duration::from_millis(20));
                    let end = time + scene.behind + 20 * MILLI;
                    self.monitor.observe(stream, InputId(1), stamp, arrival(end));
                }
            }
            let wall = BASE + tick * 10 * MILLI / scene.speed;
            if wall - self.reported >= SECOND {
                self.reported = wall;
                let now = Timestamp::from_nanos(wall);
                self.readings.extend(self.monitor.report(now).into_iter().map(|reading| (now, reading)));
            }
        }
    }

    fn last(&self, quantity: Quantity) -> Option<Reading> {
        self.readings.iter().rev().map(|(_, reading)| *reading).find(|reading| reading.quantity == quantity)
    }
}

#[test]
fn the_monitor_reports_the_offset_and_drift_of_an_input() {
    let mut rig = Rig::new();
    rig.play(&["a"], Scene { ppm: 60.0, behind: 37 * MILLI, speed: 1 }, 0, 200);
    let offset = rig.last(Quantity::OffsetSeconds).expect("an offset");
    assert_eq!(offset.input, InputId(1));
    assert!((offset.value.expect("a value") - 0.037).abs() < 0.011, "{offset:?}");
    let drift = rig.last(Quantity::DriftPpm).expect("a drift");
    assert_eq!(drift.input, InputId(1));
    assert!((drift.value.expect("a value") - 60.0).abs() < 1.0, "{drift:?}");
}

#[test]
fn the_monitor_reports_the_drift_furthest_from_zero() {
    let mut rig = Rig::new();
    for second in 0..60 {
        rig.play(&["a"], Scene { ppm: 20.0, behind: 0, speed: 1 }, second, 1);
        rig.play(&["b"], Scene { ppm: -90.0, behind: 0, speed: 1 }, second, 1);
    }
    let drift = rig.last(Quantity::DriftPpm).and_then(|reading| reading.value).expect("a drift");
    assert!((drift + 90.0).abs() < 1.0, "{drift}");
}

/// Frames and chunks are regular, so that events alone show no offset; and arrivals show none of a backlog.
#[test]
fn arrivals_give_no_offset_while_a_backlog_is_read() {
    let mut rig = Rig::new();
    rig.play(&["a"], Scene { ppm: 0.0, behind: 37 * MILLI, speed: 10 }, 0, 4_000);
    assert_eq!(rig.last(Quantity::OffsetSeconds), None);
}

#[test]
fn streams_take_turns() {
    let mut rig = Rig::new();
    let mut seen = std::collections::HashSet::new();
    for second in 0..400 {
        rig.play(&["a", "b", "c"], Scene { ppm: 0.0, behind: 0, speed: 1 }, second, 1);
        seen.extend(rig.monitor.stream.clone().map(|stream| stream.to_string()));
    }
    assert!(seen.len() >= 2, "{seen:?}");
}

#[test]
fn more_streams_than_can_be_followed_take_turns_too() {
    let mut monitor = ClockMonitor::new(&policy());
    let mut followed = std::collections::HashSet::new();
    let streams: Vec<StreamKey> = (0..30).map(|n| StreamKey::from(format!("s-{n}").as_str())).collect();
    for second in 0..2_000 {
        let now = Timestamp::from_nanos(BASE + second * SECOND);
        for stream in &streams {
            monitor.observe(stream, InputId(1), Stamp::new(now, Duration::from_secs(1)), now);
        }
        followed.extend(monitor.inputs.iter().flat_map(|watch| watch.drifts.keys().cloned()));
        if second < 800 {
            assert_eq!(followed.len(), STREAMS, "each is followed long enough");
        }
    }
    assert_eq!(followed.len(), streams.len());
}

#[test]
fn the_monitor_reports_once_that_a_value_is_unknown() {
    let mut rig = Rig::new();
    rig.play(&["a"], Scene { ppm: 60.0, behind: 0, speed: 1 }, 0, 100);
    for seconds in 100..3_000 {
        let now = Timestamp::from_nanos(BASE + seconds * SECOND);
        rig.readings.extend(rig.monitor.report(now).into_iter().map(|reading| (now, reading)));
    }
    for quantity in [Quantity::DriftPpm, Quantity::OffsetSeconds] {
        let gone = rig.readings.iter().filter(|(_, it)| it.quantity == quantity && it.value.is_none());
        assert_eq!(gone.count(), 1, "{quantity:?}");
        assert_eq!(rig.last(quantity).and_then(|reading| reading.value), None);
    }
}

#[test]
fn ten_thousand_streams_leave_no_memory_behind() {
    let mut monitor = ClockMonitor::new(&policy());
    for index in 0..10_000_i64 {
        let stream = StreamKey::from(format!("s-{index}").as_str());
        let now = Timestamp::from_nanos(BASE + index * SECOND / 10);
        let stamp = Stamp::new(now, Duration::from_millis(100));
        for input in [0, 1] {
            monitor.observe(&stream, InputId(input), stamp, now);
        }
        monitor.report(now);
        assert!(monitor.inputs.iter().all(|watch| watch.drifts.len() <= STREAMS));
    }
    let followed = monitor.inputs.iter().flat_map(|watch| watch.drifts.keys());
    assert!(followed.clone().all(|stream| *stream != StreamKey::from("s-0")), "the first are forgotten");
    assert_eq!(followed.count(), 2 * STREAMS);
}

#[test]
fn an_unknown_input_does_no_harm() {
    let mut monitor = ClockMonitor::new(&policy());
    let stamp = Stamp::new(Timestamp::MAX, Duration::from_secs(1));
    monitor.observe(&StreamKey::from("a"), InputId(7), stamp, Timestamp::MIN);
    assert_eq!(monitor.report(Timestamp::MAX), []);
}
