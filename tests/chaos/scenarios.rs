//! What is done to the processes.

use std::time::Duration;

use crate::broker::Broker;
use crate::process::Lockstep;
use crate::random::Random;
use crate::report::Row;
use crate::round::Round;

/// How often things are done.
pub(crate) struct Scale {
    kills: usize,
    zombies: usize,
    restarts: usize,
    points: usize,
}

impl Scale {
    pub(crate) const SHORT: Self = Self { kills: 3, zombies: 1, restarts: 1, points: 1 };
    pub(crate) const FULL: Self = Self { kills: 30, zombies: 3, restarts: 3, points: 3 };
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) play: fn(&Broker, &'static str, &Scale, &mut Random) -> Row,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "kill one of two", play: kill_one_of_two },
    Scenario { name: "die at a fault point", play: die_at_a_point },
    Scenario { name: "zombie", play: zombie },
    Scenario { name: "rolling restart", play: rolling_restart },
];

/// One of two processes is killed at a random moment and another joins, again and again: now and then before the
/// group has come to rest.
fn kill_one_of_two(broker: &Broker, guarantee: &'static str, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes = vec![round.process(), round.process()];
    round.go_on(Duration::from_secs(3));
    for _ in 0..scale.kills {
        round.go_on(random.millis(0, 1500));
        let victim = processes.remove(usize::try_from(random.below(2)).expect("small"));
        round.disturb();
        victim.kill();
        processes.push(round.process());
        if random.below(4) > 0 {
            round.recover();
        }
    }
    round.recover();
    round.end(broker, "kill one of two", processes)
}

/// A process dies at each point of its code where something has just happened, or is just about to.
fn die_at_a_point(broker: &Broker, guarantee: &'static str, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes = vec![round.process()];
    round.go_on(Duration::from_secs(2));
    for _ in 0..scale.points {
        for point in ["before-produce", "after-produce", "before-commit", "after-commit", "in-rebalance"] {
            let nth = if point == "in-rebalance" { 1 } else { 1 + random.below(20) };
            let mut doomed = round.doomed(&format!("{point}:{nth}"));
            round.until_it_has_partitions(&mut doomed);
            if point == "in-rebalance" {
                // It dies when it has to share with another.
                processes.push(round.process());
            }
            round.wait_for_the_end_of(doomed);
            round.disturb();
            round.recover();
            if processes.len() > 1 {
                assert_eq!(processes.remove(0).terminate().code, Some(0));
            }
        }
    }
    round.end(broker, "die at a fault point", processes)
}

/// One of two processes is frozen for longer than its session lasts, and comes back.
fn zombie(broker: &Broker, guarantee: &'static str, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let processes = vec![round.process(), round.process()];
    round.go_on(Duration::from_secs(3));
    for turn in 0..scale.zombies {
        round.go_on(random.millis(0, 1000));
        let Some(process) = processes.get(turn % 2) else { continue };
        round.disturb();
        process.signal("STOP");
        round.go_on(random.millis(9_000, 12_000));
        process.signal("CONT");
        round.go_on(Duration::from_secs(3));
        round.recover();
    }
    round.end(broker, "zombie", processes)
}

/// Three processes are stopped in order, one after the other, each followed by another.
fn rolling_restart(broker: &Broker, guarantee: &'static str, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes: Vec<Lockstep> = (0..3).map(|_| round.process()).collect();
    round.go_on(Duration::from_secs(4));
    for _ in 0..3 * scale.restarts {
        round.go_on(random.millis(0, 1000));
        round.disturb();
        let ended = round.stop(processes.remove(0));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        processes.push(round.process());
        round.recover();
    }
    round.end(broker, "rolling restart", processes)
}
