//! The routes of jobs: from a step to the next ones, and to publish.

use std::sync::{Arc, OnceLock};

use lockstep_engine::infer::job::{Graph, Job, NextSteps, StepReport};
use lockstep_engine::time::Timestamp;

use crate::mailbox::{Mailbox, Refused};
use crate::message::{BatchMessage, PublishMessage};
use crate::stage_actor::Outbox;

/// The mailboxes of the steps and of publish.
#[derive(Clone)]
pub struct Routes {
    /// The dependencies between steps.
    pub graph: Arc<Graph>,
    /// The batch actors, by step. They hold these routes themselves, so this is set after they have started.
    pub steps: Arc<OnceLock<Vec<Mailbox<BatchMessage>>>>,
    /// The publish actor.
    pub publish: Mailbox<PublishMessage>,
}

impl Routes {
    /// Closes all mailboxes, so that no sender waits for an actor that may never take a message again.
    pub fn close(&self) {
        self.publish.close();
        self.steps.get().into_iter().flatten().for_each(Mailbox::close);
    }

    /// Flushes all batch queues, because the caller sends no more bundles.
    pub fn flush<M>(&self, out: &mut Outbox<M>) {
        for link in self.steps.get().into_iter().flatten() {
            out.send(link, BatchMessage::Flush);
        }
    }

    fn step(&self, step: usize) -> Option<&Mailbox<BatchMessage>> {
        self.steps.get()?.get(step)
    }
}

/// Jobs grouped by their next receiver, so that a batch makes one message for each receiver.
#[derive(Default)]
pub struct Onward {
    steps: Vec<(usize, Vec<Arc<Job>>)>,
    finished: Vec<Arc<Job>>,
}

impl Onward {
    /// Adds a job for its next steps.
    pub fn add(&mut self, job: &Arc<Job>, next: &NextSteps) {
        for step in &next.steps {
            match self.steps.iter_mut().find(|(to, _)| to == step) {
                Some((_, jobs)) => jobs.push(job.clone()),
                None => self.steps.push((*step, vec![job.clone()])),
            }
        }
        if next.finished {
            self.finished.push(job.clone());
        }
    }

    /// Records the report of a job's row at a step and adds the job for its next steps.
    pub fn report(
        &mut self,
        job: &Arc<Job>,
        row: (usize, usize),
        report: StepReport,
        graph: &Graph,
        now: Timestamp,
    ) {
        let next = job.report(row, report, graph, now);
        self.add(job, &next);
    }

    /// Sends all jobs from an actor.
    pub fn send<M>(self, routes: &Routes, out: &mut Outbox<M>) {
        for (step, jobs) in self.steps {
            if let Some(link) = routes.step(step) {
                out.send(link, BatchMessage::Jobs(jobs));
            }
        }
        if !self.finished.is_empty() {
            out.send(&routes.publish, PublishMessage::Finished(self.finished));
        }
    }

    /// Sends the jobs for which there is a place now. Returns the others; none if all are sent.
    pub fn try_send(self, routes: &Routes) -> Option<Self> {
        let mut left = Self::default();
        for (step, jobs) in self.steps {
            let Some(link) = routes.step(step) else { continue };
            if let Err(Refused::Full(BatchMessage::Jobs(jobs))) = link.try_send(BatchMessage::Jobs(jobs)) {
                left.steps.push((step, jobs));
            }
        }
        if !self.finished.is_empty()
            && let Err(Refused::Full(PublishMessage::Finished(jobs))) =
                routes.publish.try_send(PublishMessage::Finished(self.finished))
        {
            left.finished = jobs;
        }
        (!left.steps.is_empty() || !left.finished.is_empty()).then_some(left)
    }

    /// Sends all jobs from a thread that runs no actors, and waits for full mailboxes.
    pub fn send_blocking(self, routes: &Routes) {
        for (step, jobs) in self.steps {
            if let Some(link) = routes.step(step) {
                link.send_blocking(BatchMessage::Jobs(jobs));
            }
        }
        if !self.finished.is_empty() {
            routes.publish.send_blocking(PublishMessage::Finished(self.finished));
        }
    }
}
