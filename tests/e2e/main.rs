//! The promises of the whole: the `lockstep` binary in processes of its own, a broker, and records that go in and
//! come out. Each promise is kept over the embedded broker and, where `KAFKA_BOOTSTRAP_SERVERS` names one, over
//! Apache Kafka.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may end with a panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "events are waited for until a deadline, and a child's lines are kept"
)]

/// Makes a test over each broker of functions that take one.
macro_rules! over_each_broker {
    ($($promise:ident),+ $(,)?) => {
        mod over_the_embedded_broker {
            $(
                #[test]
                fn $promise() {
                    super::$promise(&crate::broker::Broker::embedded());
                }
            )+
        }

        mod over_apache_kafka {
            $(
                #[test]
                fn $promise() {
                    if let Some(broker) = crate::broker::Broker::apache_kafka() {
                        super::$promise(&broker);
                    }
                }
            )+
        }
    };
}

mod bad_records;
#[allow(dead_code, reason = "the chaos suite uses the rest")]
mod broker;
mod cascade;
mod clip;
mod commands;
mod data_loss;
mod dead_letters;
mod interruption;
mod load;
mod pipeline;
#[allow(dead_code, reason = "the chaos suite uses the rest")]
mod process;
mod residency;
mod results;
mod scaling;
mod sharing;
mod state;
mod steps;
mod until_end;
