//! The alignment policy: the rules by which the inputs of a pipeline are joined.

use std::time::Duration;

use super::bounds::Bounds;
use crate::ingest::OnDrift;
use crate::position::InputId;

/// The alignment of one pipeline. `inputs[i]` belongs to `InputId(i)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignPolicy {
    /// The rule that forms bundles.
    pub method: Method,
    /// One entry for each input of the pipeline, the pivot's included.
    pub inputs: Vec<InputPolicy>,
    /// The longest time that a bundle waits for the other inputs, in wall time. The wait begins when its pivot arrives or,
    /// without a pivot, its first sample. For spans and sessions it begins when the span is over. The aligner estimates
    /// that moment: from each sample's arrival, event time is taken to advance with the wall clock.
    pub max_wait: Duration,
    /// A stream is forgotten if it holds nothing and no record of it arrived for this long, in wall time.
    pub forget_after: Duration,
    /// The rules for bundles that are emitted before they are final. Used with a pivot only.
    pub revise: Revise,
    /// The most that is held.
    pub bounds: Bounds,
}

/// The times at which bundles are emitted, and until when they can still change.
///
/// The aligner emits a bundle that is not final again when its content changes, with the next revision, and once more
/// when it is final. A bundle is final when it would close with `allowed_lateness` added to `max_wait` and to the
/// `out_of_orderness` and `idle_timeout` of all inputs. Later samples are late. The aligner holds the bundle's samples
/// until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revise {
    /// The distance behind the watermark at which samples still change bundles, in event time.
    pub allowed_lateness: Duration,
    /// Emits a bundle as soon as its pivot is there and each required input has enough for it, though better samples
    /// may come. That moment depends on the order of arrival; the final bundle does not.
    pub early: bool,
}

impl Revise {
    /// Returns true if a bundle can be emitted more than once.
    pub fn revises(&self) -> bool {
        self.early || !self.allowed_lateness.is_zero()
    }
}

impl AlignPolicy {
    /// The default of `max_wait`.
    pub const MAX_WAIT: Duration = Duration::from_secs(5);
    /// The default of `forget_after`.
    pub const FORGET_AFTER: Duration = Duration::from_secs(600);

    /// A policy with the defaults of the configuration: it emits final bundles only, and bounds nothing.
    pub fn new(method: Method, inputs: Vec<InputPolicy>) -> Self {
        let (max_wait, forget_after) = (Self::MAX_WAIT, Self::FORGET_AFTER);
        Self { method, inputs, max_wait, forget_after, revise: Revise::default(), bounds: Bounds::default() }
    }

    /// The name of an input, for messages.
    pub fn input_name(&self, input: InputId) -> &str {
        self.inputs.get(input.index()).map_or("?", |input| input.name.as_str())
    }

    /// The input whose samples set the bundles' event times. None without a pivot.
    pub fn pivot(&self) -> Option<InputId> {
        match self.method {
            Method::Pivot(input) => Some(input),
            Method::Exact | Method::ApproximateTime(_) | Method::Tumbling { .. } | Method::Session { .. } => {
                None
            }
        }
    }
}

/// The rule that forms bundles of samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// One bundle for each sample of this input, at its event time. The [`Join`] of every other input selects
    /// the samples that belong to it.
    Pivot(InputId),
    /// One bundle for each event time that any input brings, of the samples with exactly that time. It has at most one
    /// sample of each input.
    ///
    /// The bundle closes when it waits for no input. It does not wait for an input that is idle, or whose watermark is past
    /// that time, or whose watermark has reached it and whose sample is there. `max_wait` after its first sample arrived
    /// the bundle closes, whatever is missing, and all earlier bundles close with it. Bundles close in the order of event
    /// times: a complete one waits for earlier ones that are open or may still come.
    ///
    /// So they are a function of the event times while disorder stays within the configured bounds and no timer fires. Of
    /// several samples of an input with one time the first to arrive counts.
    Exact,
    /// One bundle for each set of samples, one of each input, that lie closest together. A sample is in at most one set,
    /// and sets do not cross.
    ApproximateTime(ApproximateTime),
    /// One bundle for each span of event time from `k * size` up to `(k + 1) * size` since the epoch in which any input
    /// has something. The bundle has all samples that overlap the span, selected as by [`Join::Window`]. A sample that
    /// lasts may be in many bundles.
    Tumbling {
        /// The length of a span, at least 1 ns.
        size: Duration,
    },
    /// One bundle for each session: samples of any inputs, none of which begins more than `gap` after the end of all before
    /// it. The samples are selected as by [`Join::Window`].
    Session {
        /// The longest silence within a session.
        gap: Duration,
        /// The longest session, at least 1 ns. A longer session is cut that long after its beginning. The rest is joined
        /// as if nothing came before it: the next session begins at the cut if a sample lasts across it, else with
        /// the next sample.
        max: Duration,
    },
}

/// The limits of the search for sets of samples that lie closest together.
#[derive(Clone, Debug, PartialEq)]
pub struct ApproximateTime {
    /// The most samples of an input that a stream holds, at least 1. On overflow the earliest is evicted.
    pub queue: usize,
    /// The longest time from the earliest to the latest sample of a set. None for no limit.
    pub max_interval: Option<Duration>,
    /// The factor by which a later set must be better: to end later by some time, it has to start later by more than
    /// `1 + age_penalty` times that. At least 0 and below 1000; counted in millionths. Above 0, bundles close earlier
    /// and there are more of them, of somewhat wider sets.
    pub age_penalty: f64,
    /// The shortest time between two samples, by input. Zero, or no entry for an input, promises nothing. A promise lets
    /// bundles close earlier.
    pub min_periods: Vec<Duration>,
}

impl Default for ApproximateTime {
    /// The values of ROS, with a queue for one second of the fastest inputs.
    fn default() -> Self {
        Self { queue: 1_000, max_interval: None, age_penalty: 0.1, min_periods: Vec::new() }
    }
}

/// The policy of one input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputPolicy {
    /// The input's name, for messages.
    pub name: String,
    /// The bound of its disorder, in event time. The watermark of a stream's input is the latest event time seen less
    /// this.
    pub out_of_orderness: Duration,
    /// A stream's input without a sample for this long, in wall time, is idle: bundles no longer wait for it.
    pub idle_timeout: Duration,
    /// The rule that selects its samples for the bundle of a pivot. Ignored for the pivot itself and without a pivot.
    pub join: Join,
    /// The outcome of a bundle to which this input brought too little.
    pub missing: Missing,
    /// The least that this input must bring.
    pub needs: Needs,
    /// The limits within which its clock is trusted.
    pub clock: ClockPolicy,
}

impl InputPolicy {
    /// The default of `idle_timeout`.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

    /// An input without disorder whose clock is trusted, one of whose samples is enough.
    pub fn new(name: impl Into<String>, join: Join) -> Self {
        Self {
            name: name.into(),
            out_of_orderness: Duration::ZERO,
            idle_timeout: Self::IDLE_TIMEOUT,
            join,
            missing: Missing::default(),
            needs: Needs::default(),
            clock: ClockPolicy::default(),
        }
    }
}

/// The limits within which the clock behind an input's event times is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPolicy {
    /// The upper limit of a learned out-of-orderness. If set, `out_of_orderness` is only the least: in each stream the
    /// watermark stays behind by the largest disorder of the last one to two thousand samples, and a quarter more.
    pub learn_up_to: Option<Duration>,
    /// The distance from the latest event time of its input beyond which a sample is put aside. It is not put aside if it
    /// is ahead and near to where another input of the stream stands, or as far on as the wall clock since. If three
    /// samples in a row agree, or nothing else comes for `max_wait`, the source's clock has stepped: the aligner closes
    /// everything of the stream and begins it anew. Otherwise the sample is a timestamp outlier. None to trust every event
    /// time.
    pub epoch_after: Option<Duration>,
    /// The lag behind another input of the stream, in event time, beyond which an input is idle, as after `idle_timeout`.
    /// An input that never had a sample is idle when another is that far ahead of the stream's first event time. None if
    /// the event times of others never make an input idle.
    pub idle_behind: Option<Duration>,
    /// The tolerance for sound whose source drifts: the longest gap between its chunks that counts as none
    /// ([`OnDrift::slack`]).
    pub drift: OnDrift,
}

/// The rule that selects the samples of an input for the bundle of a pivot at time `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The pivot itself; also the join of inputs that no pivot asks.
    Pivot,
    /// All that overlap `[t - before, t + after)`; of samples without length, all with their time in it. Of samples that
    /// last and overlap one another, such as sound with stamps that jitter, the fewest that cover as much.
    /// A gap between two samples counts as covered if it is no longer than the slack of the first ([`OnDrift::slack`], and
    /// less than that sample lasts). An empty window asks for nothing.
    Window {
        /// The reach back from the pivot.
        before: Duration,
        /// The reach ahead of the pivot.
        after: Duration,
    },
    /// The one nearest to `t`, at most `tolerance` away; of two at the same distance, the earlier.
    Nearest {
        /// The largest distance that counts.
        tolerance: Duration,
        /// Allows a sample in several bundles. If not, pivots choose in the order of event times: each takes the nearest
        /// sample that no earlier pivot has taken.
        reuse: bool,
    },
    /// The last one at or before `t`, at most `max_age` older.
    Latest {
        /// The largest age that counts.
        max_age: Duration,
    },
    /// All after the previous pivot, up to and including `t`, each by its own time, however long it lasts. So a sample is in
    /// one bundle: that of the first pivot at or after it.
    AllBetweenPivots {
        /// The largest age that counts for the first pivot of a stream, which has no previous one.
        max_age: Duration,
    },
}

/// The least that a bundle needs of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Makes a bundle incomplete if the input brings too little. The aligner waits for an optional input as for any other,
    /// else bundles would depend on the order of arrival; but a bundle without it is complete.
    pub required: bool,
    /// Fewer samples are too little; at least 1. Ignored where a join asks for one sample.
    pub min_count: usize,
    /// A smaller share of the window, 0 to 1, is too little; samples without length are not judged by it. If not set,
    /// any share will do, but a bundle is complete only if the window is covered whole.
    pub min_coverage: Option<f64>,
}

impl Default for Needs {
    /// One sample.
    fn default() -> Self {
        Self { required: true, min_count: 1, min_coverage: None }
    }
}

/// The outcome of a bundle for which an input brought too little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// The aligner emits it without the input, marked as incomplete.
    #[default]
    Emit,
    /// The aligner drops and counts it.
    Drop,
    /// Its samples are dead-lettered, unless another bundle uses them.
    DeadLetter,
    /// If there is no sample at all, the last one at or before the bundle's time is used again, marked as held. Of equal
    /// times the first to arrive is used. If there is none, or too little, the outcome is that of `Emit`. Used with a
    /// pivot only, and ignored for the pivot.
    Hold {
        /// The largest age of a sample that is used again, from the bundle's time back.
        max_age: Duration,
    },
}
