//! Makes the records of results, dead letters and late records.

use std::sync::Arc;

use lockstep_engine::infer::job::Job;
use lockstep_engine::publish::result::{ResultMaker, Timing};
use lockstep_engine::publish::side_output::{self, Keeps, LeftOut};
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::publish::stream_tracks::StreamTracks;
use lockstep_engine::sample::Sample;

use super::pending::{Dead, Outbound};

/// Makes records, and makes them again if the broker refuses them.
pub(super) struct RecordMaker {
    results: ResultMaker,
    tracks: StreamTracks,
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
}

impl RecordMaker {
    /// Creates a maker for the topics of dead letters and of late records. Without the latter late records are dropped.
    pub(super) fn new(
        results: ResultMaker,
        tracks: StreamTracks,
        dead_letters: Arc<str>,
        late: Option<Arc<str>>,
    ) -> Self {
        Self { results, tracks, dead_letters, late }
    }

    /// Returns the topic of dead letters.
    pub(super) fn dead_letters(&self) -> &Arc<str> {
        &self.dead_letters
    }

    /// Returns true if late records have a topic.
    pub(super) fn keeps_late(&self) -> bool {
        self.late.is_some()
    }

    /// Returns the topic of late records. No record is on its way there without such a topic.
    pub(super) fn late(&self) -> &Arc<str> {
        self.late.as_ref().unwrap_or(&self.dead_letters)
    }

    /// Begins with the next job of a stream. The tracks begin anew with the first bundle of a stream, even if that has no
    /// result.
    pub(super) fn begin(&mut self, job: &Job) {
        if job.bundle.first {
            self.tracks.begin(&job.bundle.stream);
        }
    }

    /// Makes the result of a job, after those of all earlier jobs of its stream.
    ///
    /// # Errors
    /// When an output does not fit its view.
    pub(super) fn result(&mut self, job: &Job) -> Result<(OutRecord, Timing), String> {
        self.results.make(job, Some(&mut self.tracks))
    }

    /// Makes a dead letter.
    pub(super) fn dead(&self, Dead { dead_letter, topic, fault, keeps }: &Dead) -> OutRecord {
        side_output::dead_letter(&self.dead_letters, dead_letter.record(), topic, fault, *keeps)
    }

    /// Makes the record of a sample, read from `topic`, that is in no bundle.
    pub(super) fn left_out(&self, sample: &Sample, topic: &str, why: LeftOut, keeps: Keeps) -> OutRecord {
        side_output::left_out(self.late(), &sample.record, topic, why, keeps)
    }

    /// Makes a record again.
    ///
    /// # Errors
    /// When the content of the record depends on what was not kept.
    pub(super) fn again(&self, what: &Outbound) -> Result<OutRecord, String> {
        match what {
            Outbound::Result { job, .. } => self.results.make(job, None).map(|(record, _)| record),
            Outbound::Dead(dead) => Ok(self.dead(dead)),
            Outbound::LeftOut { sample, topic, why, keeps } => Ok(self.left_out(sample, topic, *why, *keeps)),
            Outbound::State { .. } | Outbound::Reported { .. } => Err("its content was not kept".into()),
        }
    }
}
