//! Trial clients, which show before the start whether librdkafka takes the properties of a pipeline together.

use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::BaseProducer;

use lockstep_engine::pipeline::{Guarantee, KafkaSpec};

use super::Error;
use super::config::{self, ReadAhead};
use super::transactional_id::TransactionalId;

/// Makes each client as a pipeline does, without brokers to connect to.
///
/// # Errors
/// If librdkafka refuses the properties of a client together.
pub fn try_clients(spec: &KafkaSpec, guarantee: Guarantee) -> Result<(), Error> {
    let read_ahead = ReadAhead { bytes: 1 << 20, partitions: 1 };
    let mut consumer = config::consumer(spec, false, read_ahead)?;
    consumer.remove("bootstrap.servers");
    let made = consumer.create::<BaseConsumer>();
    made.map_err(|error| config::not_made("consumer", &error))?;
    let mut producer = match guarantee {
        Guarantee::AtLeastOnce => config::producer(&spec.brokers, &spec.producer, 1 << 20)?,
        Guarantee::ExactlyOnce => config::transactional_producer(spec, &TransactionalId::new(spec), 1 << 20)?,
    };
    producer.remove("bootstrap.servers");
    let made = producer.create::<BaseProducer>();
    made.map_err(|error| config::not_made("producer", &error))?;
    Ok(())
}
