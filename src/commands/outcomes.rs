//! The counts of records by their end, logged at the end of `lockstep run --until-end`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::Observer;
use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::InputId;
use lockstep_engine::publish::result::Timing;
use parking_lot::Mutex;

/// Counts of results and of records, by input and by how they ended. Shared with the observer that counts.
#[derive(Clone, Default)]
pub(super) struct Outcomes(Arc<Mutex<OutcomeCounts>>);

#[derive(Default)]
struct OutcomeCounts {
    results: u64,
    records: BTreeMap<(InputId, &'static str), u64>,
}

impl Outcomes {
    fn add(&self, input: InputId, how: &'static str) {
        *self.0.lock().records.entry((input, how)).or_default() += 1;
    }

    /// Logs them: one line for the results, and one for each input and way to end, with how many.
    pub(super) fn tell(&self, inputs: &[String]) {
        let counts = self.0.lock();
        tracing::info!(results = counts.results, "read up to the ends");
        for ((input, outcome), records) in &counts.records {
            let input = inputs.get(input.index()).map_or("?", String::as_str);
            if *outcome == USED {
                tracing::info!(input, outcome, records, "records have ended");
            } else {
                tracing::warn!(input, outcome, records, "records have ended without a result");
            }
        }
    }
}

const USED: &str = "in-results";

impl Observer for Outcomes {
    fn published(&mut self, _job: &Job, _timing: &Timing, _publish: Duration) {
        self.0.lock().results += 1;
    }

    fn late(&mut self, input: InputId) {
        self.add(input, "late");
    }

    fn dropped(&mut self, input: InputId, reason: &'static str) {
        self.add(input, reason);
    }

    fn dead_lettered(&mut self, input: InputId, _fault: &Fault) {
        self.add(input, "dead-lettered");
    }

    fn used(&mut self, input: InputId) {
        self.add(input, USED);
    }
}
