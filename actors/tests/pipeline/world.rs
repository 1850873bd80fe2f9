//! A pipeline without Kafka or libtorch: a source that plays records, a sink that keeps its records, and a model that misbehaves
//! on command. Tests wait for messages, never for a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use lockstep_actors::{
    ModelMemory, Observer, PipelineEnd, PipelineError, PipelineParts, Status, Stop, run, supervise,
};
use lockstep_backend::{Backend, BackendError, Interrupt, Model};
use lockstep_engine::align::{AlignPolicy, InputPolicy, Join, Method, Missing, Needs, Revise};
use lockstep_engine::batch::BatchPolicy;
use lockstep_engine::infer::changelog::StoredState;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::infer::step::{Binding, Care, OnMissing, OutputView, Step, View};
use lockstep_engine::infer::unit::ModelUnit;
use lockstep_engine::infer::view::LabelledView;
use lockstep_engine::ingest::source::{Acknowledge, Assigned, Pause, SourceControl, SourceEvent, SourceSink};
use lockstep_engine::ingest::until::EndOffsets;
use lockstep_engine::ingest::wire;
use lockstep_engine::ingest::{InputSpec, OnDataLoss};
use lockstep_engine::media::{Media, Modality};
use lockstep_engine::pipeline::{
    DeliverySpec, Guarantee, KafkaSpec, Limits, Pipeline, PublishSpec, StartAt, Supervision,
};
use lockstep_engine::position::{Commit, InputId, NextOffset, PartitionId, Position};
use lockstep_engine::preprocess::Preprocess;
use lockstep_engine::publish::result::Timing;
use lockstep_engine::publish::sink::{
    Delivery, DeliveryError, Ended as InTransaction, Ending, Full, GuaranteedSink, OnDelivery, OutRecord,
    Refusal, Sink, Transactions,
};
use lockstep_engine::sample::Record;
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;

pub(crate) const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

/// The payloads at which a model hangs, panics, returns an error, or loses its device.
pub(crate) const HANG: u8 = 249;
pub(crate) const PANIC: u8 = 250;
pub(crate) const ERROR: u8 = 251;
pub(crate) const DEVICE: u8 = 252;

/// The state that a test observes and controls.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) sent: Mutex<Vec<OutRecord>>,
    /// The keys and timestamps of the sink's records, in the order of sending.
    pub(crate) given: Mutex<Vec<(String, i64)>>,
    pub(crate) committed: Mutex<BTreeMap<PartitionId, NextOffset>>,
    /// The commit before the first pipeline.
    pub(crate) before: Mutex<Option<Commit>>,
    /// The end of reading of a pipeline that ends by itself.
    pub(crate) until: Mutex<Option<EndOffsets>>,
    pub(crate) accepted: AtomicUsize,
    pub(crate) refusals: AtomicUsize,
    /// The number of rebalances that the source still makes: it revokes and reassigns its partition at its next event.
    pub(crate) rebalances: AtomicUsize,
    /// The last commit of its partition, with its completion map.
    pub(crate) last_commit: Mutex<Option<Commit>>,
    /// The number of messages that the source may offer; 0 for any number.
    pub(crate) allowed: AtomicUsize,
    /// While set, models block, except for `free_calls` calls.
    pub(crate) model_held: AtomicBool,
    pub(crate) free_calls: AtomicUsize,
    /// The number of deliveries that fail first.
    pub(crate) failing_deliveries: AtomicUsize,
    /// True once the producer has failed for good.
    pub(crate) producer_failed: AtomicBool,
    /// The records of the open transaction.
    pub(crate) gathered: Mutex<Vec<OutRecord>>,
    /// The number of the latest producer: those before it are fenced.
    producer: AtomicUsize,
    /// The number of next transactions that the broker aborts.
    pub(crate) aborting: AtomicUsize,
    /// The number of committed transactions.
    pub(crate) transactions: AtomicUsize,
    /// While set, no transaction begins.
    pub(crate) begin_held: AtomicBool,
    /// True to revoke the partition after the last record.
    pub(crate) revoking: AtomicBool,
    /// The commit at the time of the partition's release.
    pub(crate) let_go_at: Mutex<Option<i64>>,
    /// The number of records that the sink takes at a time; 0 for any number.
    pub(crate) sink_room: AtomicUsize,
    /// The number of next calls that fail, lose their device, or hang.
    pub(crate) failing_calls: AtomicUsize,
    pub(crate) lost_devices: AtomicUsize,
    pub(crate) hanging_calls: AtomicUsize,
    /// Ends hung calls.
    pub(crate) hanging_is_over: AtomicBool,
    /// True if a hung call can be interrupted.
    pub(crate) is_interruptible: AtomicBool,
    /// The number of hung calls that have returned.
    pub(crate) came_back: AtomicUsize,
    /// The most rows that fit into memory; 0 for any number.
    pub(crate) memory: AtomicUsize,
    /// The calls of models: the model's name, its rows, and the breaker's state.
    pub(crate) calls: Mutex<Vec<(String, usize, Option<BreakerState>)>>,
    /// The number of next loads that fail, and true to block loading.
    pub(crate) failing_loads: AtomicUsize,
    pub(crate) loading_held: AtomicBool,
    /// The number of loaded models.
    pub(crate) models: AtomicUsize,
    /// The most models loaded at a time.
    pub(crate) most_models: AtomicUsize,
    /// The pipeline's readiness at each load of a model.
    pub(crate) ready_at_load: Mutex<Vec<bool>>,
    /// The number of next results at which the publish actor panics, or stalls.
    pub(crate) panicking_results: AtomicUsize,
    pub(crate) standing_results: AtomicUsize,
    /// The reason of each record that ended without a result.
    pub(crate) dropped: Mutex<Vec<&'static str>>,
    /// The number of late records.
    pub(crate) late: AtomicUsize,
    pub(crate) status: Arc<Status>,
    model_memory: OnceLock<ModelMemory>,
    changed: Condvar,
    lock: Mutex<()>,
}

/// Counts down; returns false at 0.
fn one_of(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

impl World {
    /// Returns the number of a new producer. Open transactions of earlier producers are dropped.
    fn fence(&self) -> usize {
        let mut gathered = self.gathered.lock().unwrap();
        gathered.clear();
        self.producer.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn notify(&self) {
        let _guard = self.lock.lock().unwrap();
        self.changed.notify_all();
    }

    /// Waits until `holds` returns true. The deadline only ends a failed test.
    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut guard = self.lock.lock().unwrap();
        for _ in 0..6_000 {
            if holds(self) {
                return;
            }
            guard = self.changed.wait_timeout(guard, Duration::from_millis(10)).unwrap().0;
        }
        panic!("waited in vain for {what}");
    }

    /// Hangs until the test ends it.
    fn hang(&self) {
        self.wait_for("the end of hanging", |world| world.hanging_is_over.load(Ordering::SeqCst));
        self.came_back.fetch_add(1, Ordering::SeqCst);
        self.notify();
    }

    pub(crate) fn loads(&self) -> usize {
        self.ready_at_load.lock().unwrap().len()
    }

    pub(crate) fn sent_to(&self, topic: &str) -> Vec<OutRecord> {
        self.sent.lock().unwrap().iter().filter(|record| &*record.topic == topic).cloned().collect()
    }

    /// Returns the latest stream state of each key, as a compacted topic holds it.
    pub(crate) fn carried(&self) -> Vec<(Bytes, Bytes)> {
        let mut records = self.sent_to("state");
        // Deliveries come in any order here.
        records.sort_by_key(|record| StoredState::decode(&record.payload).unwrap().event_time);
        let latest = records.into_iter().map(|record| (record.key.unwrap(), record.payload));
        latest.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    pub(crate) fn committed(&self) -> Option<i64> {
        self.committed.lock().unwrap().get(&PARTITION).map(|next| next.0)
    }
}

/// Returns a record of a stream; its payload is four times `byte`.
pub(crate) fn record(offset: i64, stream: &str, byte: u8) -> Record {
    Record {
        position: Position { partition: PARTITION, offset: lockstep_engine::position::Offset(offset) },
        key: Some(Bytes::copy_from_slice(stream.as_bytes())),
        payload: Bytes::copy_from_slice(&[byte; 4]),
        headers: Vec::new(),
        timestamp: Some(Timestamp::from_millis(1_800_000_000_000 + offset)),
        polled_at: Timestamp::from_millis(1_800_000_000_000),
        read_at: Timestamp::from_millis(1_800_000_000_000),
    }
}

/// Returns the first value of a result.
pub(crate) fn first_value(record: &OutRecord) -> i64 {
    let text = String::from_utf8(record.payload.to_vec()).unwrap();
    let values = text.split("\"values\":[").nth(1).unwrap_or_else(|| panic!("{text}"));
    values.split([',', ']']).next().unwrap().parse().unwrap()
}

/// A running pipeline.
pub(crate) struct Running {
    pub(crate) world: Arc<World>,
    pub(crate) stop: Stop,
    thread: JoinHandle<Result<PipelineEnd, PipelineError>>,
}

impl Running {
    pub(crate) fn start(world: Arc<World>, records: Vec<Record>, instances: usize, max_size: usize) -> Self {
        Self::start_with(world, records, pipeline(instances, max_size))
    }

    pub(crate) fn start_with(world: Arc<World>, records: Vec<Record>, pipeline: Pipeline) -> Self {
        let number = world.fence();
        let (stop, parts) = (Stop::default(), parts(&world, records, pipeline, number));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || run(parts, &asked));
        Self { world, stop, thread }
    }

    /// Starts a supervised pipeline. Each new one reads from the last commit on.
    pub(crate) fn supervised(world: Arc<World>, records: Vec<Record>, pipeline: Pipeline) -> Self {
        let stop = Stop::default();
        let (of_parts, asked) = (world.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let policy = pipeline.supervision.restarts;
            let make = || {
                // As in a group, later commits of the old pipeline are rejected.
                let number = of_parts.fence();
                let from = of_parts.committed().unwrap_or(0);
                let left = records.iter().filter(|record| record.position.offset.0 >= from);
                parts(&of_parts, left.cloned().collect(), pipeline.clone(), number)
            };
            supervise(make, policy, &of_parts.status, &asked)
        });
        Self { world, stop, thread }
    }

    pub(crate) fn stop(self) -> Result<PipelineEnd, PipelineError> {
        self.stop.stop();
        self.thread.join().unwrap()
    }

    /// Requests a stop and does not wait for it.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.stop();
    }

    pub(crate) fn end(self) -> Result<PipelineEnd, PipelineError> {
        self.thread.join().unwrap()
    }
}

fn views(outputs: &[OutputView]) -> Vec<LabelledView> {
    outputs.iter().map(|view| LabelledView::new(view.clone(), None)).collect()
}

fn parts(world: &Arc<World>, records: Vec<Record>, pipeline: Pipeline, number: usize) -> PipelineParts {
    let (of_source, of_sink) = (world.clone(), world.clone());
    let is_transactional = pipeline.delivery.guarantee == Guarantee::ExactlyOnce;
    let limits =
        || ModelMemory::with_least_stay(pipeline.limits.model_memory.clone(), Duration::from_millis(2));
    let model_memory = world.model_memory.get_or_init(limits).clone();
    PipelineParts {
        views: pipeline.steps.iter().map(|step| views(&step.outputs)).collect(),
        pipeline,
        backends: vec![Arc::new(TestBackend(world.clone()))],
        source: Box::new(move |sink| Ok(play(of_source, records, sink))),
        sink: Box::new(move |on_delivery| {
            let (client, under_way) = (TestTransactions(of_sink.clone(), number), Arc::default());
            let sink = TestSink { world: of_sink, number, on_delivery, under_way, is_transactional };
            Ok(if is_transactional {
                GuaranteedSink::Transactional(Box::new(sink), Box::new(client))
            } else {
                GuaranteedSink::AtLeastOnce(Box::new(sink))
            })
        }),
        send_queue: 1 << 20,
        observer: Box::new(Troublemaker(world.clone())),
        status: world.status.clone(),
        model_memory,
        until: world.until.lock().unwrap().clone(),
    }
}

/// Makes the publish actor misbehave.
struct Troublemaker(Arc<World>);

impl Observer for Troublemaker {
    fn published(&mut self, _job: &Job, _timing: &Timing, _publish: Duration) {
        assert!(!one_of(&self.0.panicking_results), "told to");
        if one_of(&self.0.standing_results) {
            self.0.hang();
        }
    }

    fn dropped(&mut self, _input: InputId, reason: &'static str) {
        self.0.dropped.lock().unwrap().push(reason);
    }

    fn late(&mut self, _input: InputId) {
        self.0.late.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns the settings of a model that returns its input.
const ECHO: &str = r#"
        backend = "test"
        [[inputs]]
        name = "x"
        dtype = "u8"
        shape = ["batch", 4]
        [[outputs]]
        name = "y"
        dtype = "u8"
        shape = ["batch", 4]
"#;

pub(crate) fn pipeline(instances: usize, max_size: usize) -> Pipeline {
    let manifest = Manifest::parse(ECHO).unwrap();
    let step = Step {
        name: "echo".into(),
        unit: ModelUnit {
            model: LoadModel {
                name: "echo".into(),
                version: "1".into(),
                file: Default::default(),
                sha256: None,
                weights: None,
                signature: manifest.signature,
                device: Device::Cpu,
                provider: GpuProvider::default(),
                threads: 1,
                warm_up: Vec::new(),
                optimize: Default::default(),
                extents: Extents::default(),
            },
            backend: "test".into(),
            residency: Default::default(),
        },
        instances,
        batch: BatchPolicy { max_size, max_delay: Duration::ZERO, ..BatchPolicy::default() },
        bindings: vec![Binding::Input {
            input: InputId(0),
            preprocess: Preprocess::Bytes { length: 4 },
            missing: OnMissing::Skip,
        }],
        when: None,
        outputs: vec![OutputView { name: "y".into(), view: View::Raw { output: 0 } }],
        care: Care::default(),
        each: None,
    };
    let of_input = InputPolicy {
        name: "in".into(),
        out_of_orderness: Duration::ZERO,
        idle_timeout: Duration::from_secs(60),
        join: Join::Pivot,
        missing: Missing::Emit,
        clock: Default::default(),
        needs: Needs::default(),
    };
    Pipeline {
        name: "test".into(),
        kafka: KafkaSpec {
            brokers: String::new(),
            group: String::new(),
            start: StartAt::Earliest,
            group_protocol: Default::default(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        },
        inputs: vec![InputSpec {
            name: "in".into(),
            topic: "in".into(),
            modality: Modality::Binary,
            default_media: Media::Binary,
            max_bytes: 1000,
            max_past: Duration::from_secs(1_000_000_000),
            max_future: Duration::from_secs(1_000_000_000),
            clock_offset: 0,
            same_time: Default::default(),
            drift: Default::default(),
            pictures: Default::default(),
            on_data_loss: OnDataLoss::Continue,
            shed: None,
        }],
        align: AlignPolicy {
            method: Method::Pivot(InputId(0)),
            inputs: vec![of_input],
            max_wait: Duration::from_secs(60),
            forget_after: Duration::from_secs(600),
            revise: Revise::default(),
            bounds: Default::default(),
        },
        shards: 2,
        scaling: Default::default(),
        steps: vec![step],
        publish: PublishSpec {
            results: "results".into(),
            dead_letters: "dead".into(),
            late: None,
            state: None,
        },
        delivery: DeliverySpec::default(),
        limits: Limits {
            model_memory: BTreeMap::new(),
            memory: 1 << 30,
            max_drift: None,
            stop_within: Duration::from_secs(20),
            commit_every: Duration::from_millis(10),
        },
        supervision: Supervision::default(),
        http: None,
        http_token: None,
    }
}

/// Returns the timestamp of a record, or of the record that it copies, in milliseconds.
pub(crate) fn millis(record: &OutRecord) -> i64 {
    let of_source = record.headers.iter().rev().find(|header| header.name == wire::SOURCE_TIMESTAMP);
    match of_source.and_then(|header| header.value.as_deref()) {
        Some(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        None => record.timestamp.unwrap().as_millis(),
    }
}

/// Returns a pipeline whose model counts the bundles of a stream in its state.
pub(crate) fn counting_pipeline(max_size: usize) -> Pipeline {
    let mut pipeline = pipeline(1, max_size);
    let step = &mut pipeline.steps[0];
    let counts = r#"
        [[inputs]]
        name = "seen"
        dtype = "u8"
        shape = ["batch", 1]
        [[outputs]]
        name = "count"
        dtype = "u8"
        shape = ["batch", 1]
        [[state]]
        input = "seen"
        output = "count"
    "#;
    step.unit.model.signature = Manifest::parse(&format!("{ECHO}{counts}")).unwrap().signature;
    step.bindings.push(Binding::State { output: 1 });
    step.outputs = vec![OutputView { name: "count".into(), view: View::Raw { output: 1 } }];
    pipeline
}

/// Plays records one a message, and offers refused ones again, as a real source does.
fn play(world: Arc<World>, records: Vec<Record>, mut sink: Box<dyn SourceSink>) -> Arc<dyn SourceControl> {
    let stopped = Arc::new(AtomicBool::new(false));
    let control = Arc::new(TestControl { world: world.clone(), stopped: stopped.clone() });
    std::thread::spawn(move || {
        let next = world.committed().unwrap_or(0);
        let start = NextOffset(records.first().map_or(next, |record| record.position.offset.0));
        let committed = world.before.lock().unwrap().clone();
        let mut assigned = vec![Assigned { partition: PARTITION, start, committed }];
        for partition in records.iter().map(|record| record.position.partition) {
            if assigned.iter().all(|known| known.partition != partition) {
                assigned.push(Assigned { partition, start: NextOffset(0), committed: None });
            }
        }
        let carried = SourceEvent::StreamStates(vec![(PARTITION.partition, world.carried())]);
        for event in [carried, SourceEvent::Assigned(assigned)] {
            if !offer(&world, &stopped, &mut *sink, event) {
                return;
            }
        }
        let mut at = 0;
        while let Some(record) = records.get(at) {
            let partition = record.position.partition;
            let event = SourceEvent::Records { partition, records: vec![record.clone()] };
            if one_of(&world.rebalances) {
                let Some(start) = rebalance(&world, &stopped, &mut *sink) else { return };
                at = records.partition_point(|record| record.position.offset.0 < start.0);
            } else if offer(&world, &stopped, &mut *sink, event) {
                at += 1;
            } else {
                return;
            }
        }
        if world.revoking.load(Ordering::SeqCst) {
            let of_revoked = world.clone();
            let done = Acknowledge::new(move || {
                *of_revoked.let_go_at.lock().unwrap() = Some(of_revoked.committed().unwrap_or(0));
                of_revoked.notify();
            });
            let revoked = SourceEvent::Revoked { partitions: vec![PARTITION], lost: false, done };
            offer(&world, &stopped, &mut *sink, revoked);
        }
    });
    control
}

/// Revokes and reassigns the partition. Returns the new start of reading, unless the source was stopped.
fn rebalance(world: &Arc<World>, stopped: &AtomicBool, sink: &mut dyn SourceSink) -> Option<NextOffset> {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let done = Acknowledge::new(move || told.store(true, Ordering::SeqCst));
    let revoked = SourceEvent::Revoked { partitions: vec![PARTITION], lost: false, done };
    if !offer(world, stopped, sink, revoked) {
        return None;
    }
    while !over.load(Ordering::SeqCst) && !stopped.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let committed = world.last_commit.lock().unwrap().clone();
    let start = committed.as_ref().map_or(NextOffset(0), |commit| commit.next);
    let assigned = Assigned { partition: PARTITION, start, committed };
    offer(world, stopped, sink, SourceEvent::Assigned(vec![assigned])).then_some(start)
}

/// Offers an event until it is accepted. Returns false if the source was stopped.
fn offer(world: &World, stopped: &AtomicBool, sink: &mut dyn SourceSink, event: SourceEvent) -> bool {
    let mut event = Some(event);
    while let Some(offered) = event.take() {
        let is_held = || {
            let allowed = world.allowed.load(Ordering::SeqCst);
            allowed > 0 && world.accepted.load(Ordering::SeqCst) >= allowed
        };
        while is_held() && !stopped.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if stopped.load(Ordering::SeqCst) {
            return false;
        }
        match sink.offer(offered) {
            Ok(()) => world.accepted.fetch_add(1, Ordering::SeqCst),
            Err(back) => {
                event = Some(back);
                std::thread::park_timeout(Duration::from_millis(1));
                world.refusals.fetch_add(1, Ordering::SeqCst)
            }
        };
        world.notify();
    }
    true
}

struct TestControl {
    world: Arc<World>,
    stopped: Arc<AtomicBool>,
}

impl SourceControl for TestControl {
    fn set_paused(&self, _why: Pause, _paused: Vec<PartitionId>) {}

    fn commit(&self, commits: Vec<Commit>) {
        if let Some(commit) = commits.iter().find(|commit| commit.partition == PARTITION) {
            *self.world.last_commit.lock().unwrap() = Some(commit.clone());
        }
        let commits = commits.into_iter().map(|commit| (commit.partition, commit.next));
        self.world.committed.lock().unwrap().extend(commits);
        self.world.notify();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn close(&self, commits: Vec<Commit>, _within: Duration) -> Result<(), String> {
        self.stop();
        self.commit(commits);
        Ok(())
    }
}

struct TestSink {
    world: Arc<World>,
    number: usize,
    on_delivery: OnDelivery,
    under_way: Arc<AtomicUsize>,
    is_transactional: bool,
}

/// Ends transactions on another thread, as a real client does.
struct TestTransactions(Arc<World>, usize);

impl Transactions for TestTransactions {
    fn end(&mut self, how: Ending, then: Box<dyn FnOnce(InTransaction) + Send>) {
        let (world, number) = (self.0.clone(), self.1);
        std::thread::spawn(move || {
            if matches!(how, Ending::None) {
                world.wait_for("a transaction to begin", |world| !world.begin_held.load(Ordering::SeqCst));
            }
            let mut gathered = world.gathered.lock().unwrap();
            if world.producer.load(Ordering::SeqCst) != number {
                drop(gathered);
                return then(InTransaction::Failed("fenced".into()));
            }
            let sent = std::mem::take(&mut *gathered);
            let ended = match how {
                Ending::Commit(_) if one_of(&world.aborting) => InTransaction::Aborted("told to".into()),
                Ending::Commit(commits) => {
                    world.sent.lock().unwrap().extend(sent);
                    let commits = commits.into_iter().map(|commit| (commit.partition, commit.next));
                    world.committed.lock().unwrap().extend(commits);
                    world.transactions.fetch_add(1, Ordering::SeqCst);
                    InTransaction::AsAsked
                }
                Ending::None | Ending::Abort => InTransaction::AsAsked,
            };
            drop(gathered);
            then(ended);
            world.notify();
        });
    }
}

impl Sink for TestSink {
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full> {
        let room = self.world.sink_room.load(Ordering::SeqCst);
        if room > 0 && self.under_way.load(Ordering::SeqCst) >= room {
            return Err(Full);
        }
        let record = record.clone();
        self.under_way.fetch_add(1, Ordering::SeqCst);
        if let (Some(key), Some(timestamp)) = (&record.key, record.timestamp) {
            let key = String::from_utf8_lossy(key).into_owned();
            self.world.given.lock().unwrap().push((key, timestamp.as_millis()));
        }
        let (world, on_delivery, under_way) =
            (self.world.clone(), self.on_delivery.clone(), self.under_way.clone());
        // On another thread, as a real client does.
        let (gathers, number) = (self.is_transactional, self.number);
        std::thread::spawn(move || {
            let outcome = if one_of(&world.failing_deliveries) {
                Err(DeliveryError { message: "no".into(), refusal: Refusal::Passing })
            } else if world.producer_failed.load(Ordering::SeqCst) {
                Err(DeliveryError { message: "fenced".into(), refusal: Refusal::Fatal })
            } else {
                let to = if gathers { &world.gathered } else { &world.sent };
                let mut to = to.lock().unwrap();
                if !gathers || world.producer.load(Ordering::SeqCst) == number {
                    to.push(record);
                }
                drop(to);
                Ok(())
            };
            under_way.fetch_sub(1, Ordering::SeqCst);
            on_delivery(Delivery { token, outcome });
            world.notify();
        });
        Ok(())
    }

    fn flush(&mut self, _within: Duration) -> Result<(), usize> {
        Ok(())
    }
}

struct TestBackend(Arc<World>);

impl Backend for TestBackend {
    fn name(&self) -> &'static str {
        "test"
    }

    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
        self.0.ready_at_load.lock().unwrap().push(self.0.status.is_ready());
        self.0.notify();
        self.0.wait_for("models to be loaded", |world| !world.loading_held.load(Ordering::SeqCst));
        if one_of(&self.0.failing_loads) {
            return Err(BackendError::Load { model: model.name.clone(), message: "told to".into() });
        }
        let models = self.0.models.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_models.fetch_max(models, Ordering::SeqCst);
        self.0.notify();
        Ok(Box::new(Echo { world: self.0.clone(), name: model.name.clone() }))
    }

    fn devices(&self) -> Vec<String> {
        vec!["cpu".into()]
    }
}

struct Echo {
    world: Arc<World>,
    name: String,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.world.models.fetch_sub(1, Ordering::SeqCst);
        self.world.notify();
    }
}

struct EndHanging(Arc<World>);

impl Interrupt for EndHanging {
    fn interrupt(&self) {
        self.0.hanging_is_over.store(true, Ordering::SeqCst);
        self.0.notify();
    }
}

impl Model for Echo {
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let world = &self.world;
        let rows = inputs[0].shape()[0];
        let breaker = world.status.breakers().get("echo").map(|breaker| breaker.state);
        let number = {
            let mut calls = world.calls.lock().unwrap();
            calls.push((self.name.clone(), rows, breaker));
            calls.len()
        };
        world.notify();
        world.wait_for("the model to be let go", |world| {
            number <= world.free_calls.load(Ordering::SeqCst) || !world.model_held.load(Ordering::SeqCst)
        });
        // It takes the memory of its inputs, as a real model may.
        let mut taken: Vec<Tensor> = inputs.iter_mut().map(Tensor::take).collect();
        if self.name == "fallback" {
            return Ok(taken);
        }
        let bytes = taken[0].elements::<u8>().unwrap();
        let (model, device, message) = (self.name.clone(), "cpu".to_owned(), "told to".to_owned());
        if bytes.contains(&HANG) || one_of(&world.hanging_calls) {
            world.hang();
        }
        assert!(!bytes.contains(&PANIC), "told to");
        if bytes.contains(&ERROR) || one_of(&world.failing_calls) {
            return Err(BackendError::Run { model, message });
        }
        if bytes.contains(&DEVICE) || one_of(&world.lost_devices) {
            return Err(BackendError::Device { model, device, message });
        }
        let memory = world.memory.load(Ordering::SeqCst);
        if memory > 0 && rows > memory {
            return Err(BackendError::OutOfMemory { model, device, message });
        }
        if let Some(counts) = taken.get_mut(1).and_then(Tensor::elements_mut::<u8>) {
            counts.iter_mut().for_each(|count| *count += 1);
        }
        Ok(taken)
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.world
            .is_interruptible
            .load(Ordering::SeqCst)
            .then(|| Arc::new(EndHanging(self.world.clone())) as _)
    }

    fn device(&self) -> &str {
        "cpu"
    }
}
