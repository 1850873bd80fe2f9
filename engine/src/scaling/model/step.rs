//! A step of the model: a queue, and instances that run batches.

use super::PlantStep;
use super::queue::RecordQueue;

/// A step. Points in time are in ticks, work is in seconds.
pub(super) struct SimulatedStep {
    plant: PlantStep,
    queue: RecordQueue,
    /// Instances that have started and not ended.
    running: Vec<SimulatedInstance>,
    asked: usize,
    /// The start times of the instances still to come.
    coming: Vec<i64>,
    busy: f64,
}

/// An instance with its current batch.
#[derive(Default)]
struct SimulatedInstance {
    /// Seconds of work left.
    left: f64,
    batch: Vec<(i64, u64)>,
}

impl SimulatedStep {
    pub(super) fn new(plant: &PlantStep) -> Self {
        let asked = plant.instances.max(1);
        Self {
            plant: plant.clone(),
            queue: RecordQueue::default(),
            running: (0..asked).map(|_| SimulatedInstance::default()).collect(),
            asked,
            coming: Vec::new(),
            busy: 0.0,
        }
    }

    pub(super) fn plant(&self) -> &PlantStep {
        &self.plant
    }

    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Seconds at work so far, of all instances together.
    pub(super) fn busy(&self) -> f64 {
        self.busy
    }

    pub(super) fn cores_at_work(&self) -> f64 {
        let working = self.running.iter().filter(|instance| !instance.batch.is_empty()).count();
        working as f64 * self.plant.cores
    }

    /// Changes the number of instances to `count`.
    pub(super) fn ask(&mut self, count: usize, now: i64, tick: f64) {
        self.asked = count.max(1);
        let more = self.asked.saturating_sub(self.running.len() + self.coming.len());
        let ready = now + (self.plant.instance_start / tick) as i64;
        self.coming.extend(std::iter::repeat_n(ready, more));
        // Instances that are no longer wanted do not start.
        let wanted = self.asked.saturating_sub(self.running.len());
        self.coming.truncate(wanted);
    }

    pub(super) fn put(&mut self, bundles: Vec<(i64, u64)>, now: i64) {
        for (arrived, count) in bundles {
            self.queue.push(arrived, now, count);
        }
    }

    /// Works for a tick, and returns the bundles of batches that have ended.
    pub(super) fn tick(&mut self, now: i64, tick: f64, speed: f64) -> Vec<(i64, u64)> {
        let before = self.coming.len();
        self.coming.retain(|ready| *ready > now);
        self.running.extend((self.coming.len()..before).map(|_| SimulatedInstance::default()));
        let mut ended = Vec::new();
        let speed = if self.plant.cores > 0.0 { speed } else { 1.0 };
        for instance in &mut self.running {
            if instance.batch.is_empty() {
                continue;
            }
            instance.left -= tick * speed;
            self.busy += tick;
            if instance.left <= 0.0 {
                self.busy += instance.left / speed;
                ended.append(&mut instance.batch);
            }
        }
        // An instance ends its batch before it goes.
        while self.running.len() > self.asked
            && let Some(idle) = self.running.iter().position(|instance| instance.batch.is_empty())
        {
            self.running.swap_remove(idle);
        }
        for instance in self.running.iter_mut().filter(|instance| instance.batch.is_empty()) {
            let waited = self.queue.first_entered().map(|entered| (now - entered) as f64 * tick);
            let full = self.queue.len() >= self.plant.max_size as u64;
            if !full && waited.is_none_or(|waited| waited < self.plant.max_delay) {
                break;
            }
            let batch = self.queue.take(self.plant.max_size as u64);
            let size: u64 = batch.iter().map(|(_, count)| count).sum();
            // A batch that ends in the middle of a tick leaves time for the next.
            instance.left =
                instance.left.min(0.0) + self.plant.batch_cost + size as f64 * self.plant.bundle_cost;
            instance.batch = batch;
        }
        for instance in self.running.iter_mut().filter(|instance| instance.batch.is_empty()) {
            instance.left = 0.0;
        }
        ended
    }
}
