//! The scenarios: the faults that each injects into processes and broker.

use std::time::Duration;

use crate::broker::Broker;
use crate::process::Lockstep;
use crate::random::Random;
use crate::report::Row;
use crate::round::{Guarantee, PARTITIONS, Round};

/// The number of faults in each scenario.
pub(crate) struct Scale {
    kills: usize,
    zombies: usize,
    restarts: usize,
    members: usize,
    brokers: usize,
    points: usize,
}

impl Scale {
    pub(crate) const SHORT: Self =
        Self { kills: 3, zombies: 1, restarts: 1, members: 2, brokers: 1, points: 1 };
    pub(crate) const FULL: Self =
        Self { kills: 30, zombies: 3, restarts: 3, members: 4, brokers: 4, points: 3 };
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The group protocols that it is played with, in a short round and in the long one.
    pub(crate) protocols: [&'static [&'static str]; 2],
    pub(crate) play: fn(&Broker, Guarantee, &Scale, &mut Random) -> Row,
}

const CLASSIC: &[&str] = &["classic"];
const BOTH: &[&str] = &["classic", "consumer"];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "kill one of two", protocols: [BOTH, BOTH], play: kill_one_of_two },
    Scenario { name: "die at a fault point", protocols: [CLASSIC, BOTH], play: die_at_a_point },
    Scenario { name: "zombie", protocols: [CLASSIC, BOTH], play: zombie },
    Scenario { name: "rolling restart", protocols: [BOTH, BOTH], play: rolling_restart },
    Scenario { name: "join one by one", protocols: [CLASSIC, BOTH], play: join_one_by_one },
    Scenario { name: "broker restarts", protocols: [CLASSIC, BOTH], play: broker_restarts },
    Scenario { name: "poison and bad models", protocols: [CLASSIC, CLASSIC], play: bad_models },
];

/// One of two processes is killed at a random moment and another joins, again and again: now and then before the
/// group has come to rest.
fn kill_one_of_two(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes = vec![round.process(), round.process()];
    round.go_on(Duration::from_secs(3));
    for _ in 0..scale.kills {
        round.go_on(random.millis(0, 1500));
        let victim = processes.remove(usize::try_from(random.below(2)).expect("small"));
        round.kill(victim);
        processes.push(round.process());
        if random.below(4) > 0 {
            round.recover();
        }
    }
    round.recover();
    round.end("kill one of two", processes)
}

/// A process dies at each point of its code where something has just happened, or is just about to.
fn die_at_a_point(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes = vec![round.process()];
    round.go_on(Duration::from_secs(2));
    for _ in 0..scale.points {
        for point in ["before-produce", "after-produce", "before-commit", "after-commit", "in-rebalance"] {
            let nth = if point == "in-rebalance" { 1 } else { 1 + random.below(20) };
            let mut doomed = round.doomed(&format!("{point}:{nth}"));
            round.until_it_has_partitions(&mut doomed);
            if point == "in-rebalance" {
                // It dies when it must share with another process, at the latest when each partition has one. Where only
                // the necessary partitions move, the first new process may get its share from others.
                while !doomed.has_ended() && processes.len() < PARTITIONS as usize {
                    processes.push(round.process());
                    let newest = processes.last_mut().expect("it was just put there");
                    round.until_it_has_partitions(newest);
                }
            }
            round.wait_for_the_end_of(doomed);
            round.disturb();
            round.recover();
            while processes.len() > 1 {
                assert_eq!(round.stop(processes.remove(0)).code, Some(0));
            }
        }
    }
    round.end("die at a fault point", processes)
}

/// One of two processes is frozen for longer than its session lasts, and comes back.
fn zombie(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
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
    round.end("zombie", processes)
}

/// Three processes are stopped in order, one after the other, each followed by another.
fn rolling_restart(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
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
    round.end("rolling restart", processes)
}

/// Processes join the group one by one, until each has one partition of each input, and leave it one by one.
fn join_one_by_one(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let mut processes = vec![round.process()];
    round.go_on(Duration::from_secs(3));
    while processes.len() < scale.members {
        round.disturb();
        processes.push(round.process());
        round.go_on(random.millis(0, 1000));
        round.recover();
    }
    while processes.len() > 1 {
        round.disturb();
        assert_eq!(round.stop(processes.remove(0)).code, Some(0));
        round.recover();
    }
    round.end("join one by one", processes)
}

/// The broker is killed, or stopped in order, and restarts. Its files hold all acknowledged records either way; only a failed
/// machine loses those that are not on disk yet.
fn broker_restarts(broker: &Broker, guarantee: Guarantee, scale: &Scale, random: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let processes = vec![round.process(), round.process()];
    round.go_on(Duration::from_secs(4));
    let Some(file) = std::env::var_os("KAFKA_PID_FILE") else {
        println!(
            "chaos: NOT RUN: KAFKA_PID_FILE does not name the broker's process; `config/kafka/kafka run` does"
        );
        return round.end("broker restarts", processes);
    };
    let pid = || std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
    for turn in 0..scale.brokers {
        let signal = if turn.is_multiple_of(2) { "-KILL" } else { "-TERM" };
        round.go_on(random.millis(0, 1000));
        let before = pid();
        round.disturb();
        let sent = std::process::Command::new("kill").args([signal, &before]).status();
        assert!(sent.expect("kill can be run").success());
        round.until("waited for the broker", || pid() != before);
        round.recover();
    }
    round.end("broker restarts", processes)
}

/// Models fail, panic, hang, find no memory and lose their device, and payloads are broken. Only the samples concerned may be
/// dead-lettered.
fn bad_models(broker: &Broker, guarantee: Guarantee, scale: &Scale, _: &mut Random) -> Row {
    let mut round = Round::new(broker, guarantee);
    let processes = vec![round.obedient(), round.obedient()];
    round.go_on(Duration::from_secs(3));
    round.make_trouble(101);
    round.disturb();
    round.go_on(Duration::from_secs(10 * scale.restarts as u64));
    round.make_trouble(0);
    round.recover();
    round.end("poison and bad models", processes)
}
