//! Failures on purpose, over Apache Kafka: processes are killed, stopped and started again while numbered samples are
//! published, and every sample is accounted for afterwards.
//!
//! `LOCKSTEP_CHAOS=short` is a short round, as for CI, and `LOCKSTEP_CHAOS=full` (`make chaos`) the long one, which writes
//! its table to `target/chaos.json` too; without either nothing runs. `LOCKSTEP_CHAOS_SEED` repeats a round that
//! failed. Further words on the command line choose scenarios by their printed names (`"zombie, exactly-once"`).

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may end with a panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "processes are killed at random moments, and a load has a pace; outcomes are awaited"
)]

#[path = "../e2e/broker.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod broker;
mod broker_log;
mod load;
#[path = "../e2e/pipeline.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod pipeline;
#[path = "../e2e/process.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod process;
mod random;
mod report;
mod round;
mod scenarios;

/// A stand-in for the clip that the shared modules name; it is not played here.
mod clip {
    pub(crate) const CLIP: &str = "";
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use broker::Broker;
use broker_log::BrokerLog;
use random::Random;
use report::Row;
use round::Guarantee;
use scenarios::{SCENARIOS, Scale};

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_full = match std::env::var("LOCKSTEP_CHAOS").as_deref() {
        Ok("full") => true,
        Ok("short") => false,
        _ => {
            println!("chaos: NOT RUN: `make chaos` runs it, or LOCKSTEP_CHAOS=short");
            return ExitCode::SUCCESS;
        }
    };
    let Some(broker) = Broker::apache_kafka() else { return ExitCode::SUCCESS };
    let scale = if is_full { Scale::FULL } else { Scale::SHORT };
    let seed = Random::seed();
    println!("chaos: LOCKSTEP_CHAOS_SEED={seed} does this again");
    let mut rows: Vec<Row> = Vec::new();
    for scenario in SCENARIOS {
        for name in ["at-least-once", "exactly-once"] {
            for protocol in scenario.protocols[usize::from(is_full)] {
                let guarantee = Guarantee { name, protocol };
                let label = format!("{}, {name}, {protocol} group protocol", scenario.name);
                if !chosen.is_empty() && !chosen.iter().any(|words| label.contains(words.as_str())) {
                    continue;
                }
                println!("chaos: {label}");
                let row = unless_the_broker_fails(|| {
                    // One that panics, with the reason, must not take the others' outcome along.
                    let played = catch_unwind(AssertUnwindSafe(|| {
                        (scenario.play)(&broker, guarantee, &scale, &mut Random::new(seed))
                    }));
                    played.unwrap_or_else(|_| Row::stopped(guarantee.scenario(scenario.name), name))
                });
                println!("{}", report::line(&row));
                rows.push(row);
            }
        }
    }
    println!("\n{}", report::table(&rows));
    if is_full {
        report::write(&rows);
    }
    if rows.iter().all(Row::keeps_its_promise) {
        ExitCode::SUCCESS
    } else {
        println!("chaos: FAILED; LOCKSTEP_CHAOS_SEED={seed} does it again");
        ExitCode::FAILURE
    }
}

/// The most repetitions of a scenario.
const AGAIN: usize = 2;

/// Plays a scenario. Repeats it if it stalled or lost results because the broker left a transaction open for good: no client
/// can keep the promise then.
fn unless_the_broker_fails(play: impl Fn() -> Row) -> Row {
    for runs in 1..=AGAIN {
        let log = BrokerLog::from_here();
        let row = Row { runs, ..play() };
        let Some(said) = log.markers_left_out().filter(|_| row.may_be_hidden()) else { return row };
        println!("{}", report::line(&row));
        println!(
            "chaos: NOT COUNTED, and played again: the broker took a transaction for ended and wrote none of its markers, so \
             that what is in it stays hidden for good. It said:\n{said}"
        );
    }
    Row { runs: AGAIN + 1, ..play() }
}
