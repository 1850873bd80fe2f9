//! Where a job goes next.

use std::sync::{Arc, OnceLock};

use lockstep_engine::infer::job::{Graph, Job, Next, Report};
use lockstep_engine::time::Timestamp;

use crate::batch::BatchMessage;
use crate::mailbox::Mailbox;
use crate::publish::PublishMessage;
use crate::stage_actor::Outbox;

/// The links from a step on.
#[derive(Clone)]
pub struct Routes {
    /// Which step waits for which.
    pub graph: Arc<Graph>,
    /// The batch actors, by step. They need these routes themselves, so it is filled in after they started.
    pub steps: Arc<OnceLock<Vec<Mailbox<BatchMessage>>>>,
    /// The publish actor.
    pub publish: Mailbox<PublishMessage>,
}

impl Routes {
    /// Nobody waits any more for an actor that may never take anything again.
    pub fn close(&self) {
        self.publish.close();
        self.steps.get().into_iter().flatten().for_each(Mailbox::close);
    }

    /// Batches wait for nothing any more, as nothing more comes from whoever says so.
    pub fn flush<M>(&self, out: &mut Outbox<M>) {
        for link in self.steps.get().into_iter().flatten() {
            out.send(link, BatchMessage::Flush);
        }
    }

    fn step(&self, step: usize) -> Option<&Mailbox<BatchMessage>> {
        self.steps.get()?.get(step)
    }
}

/// Jobs gathered by where they go next, so that a batch makes one message for each receiver.
#[derive(Default)]
pub struct Onward {
    steps: Vec<(usize, Vec<Arc<Job>>)>,
    finished: Vec<Arc<Job>>,
}

impl Onward {
    /// Notes where a job goes.
    pub fn add(&mut self, job: &Arc<Job>, next: &Next) {
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

    /// Notes what became of a job at a step, and with it where it goes.
    pub fn report(&mut self, job: &Arc<Job>, step: usize, report: Report, graph: &Graph, now: Timestamp) {
        let next = job.report(step, report, graph, now);
        self.add(job, &next);
    }

    /// Sends all, from an actor.
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

    /// Sends all, from a thread that runs no actors. Waits for room.
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
