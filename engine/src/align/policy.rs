//! How the inputs of a pipeline are joined.

use std::time::Duration;

use super::bounds::Bounds;
use crate::ingest::OnDrift;
use crate::position::InputId;

/// The alignment of one pipeline. `inputs[i]` belongs to `InputId(i)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignPolicy {
    /// What makes a bundle.
    pub method: Method,
    /// One entry for each input of the pipeline, the pivot's included.
    pub inputs: Vec<InputPolicy>,
    /// The longest that a bundle waits for the others, in wall time, after its pivot arrived or, without a pivot,
    /// its first sample. For spans and sessions it begins when their time is over, by an event time that runs on with
    /// the wall clock from each sample's arrival.
    pub max_wait: Duration,
    /// A stream of which nothing was heard for so long, in wall time, and that holds nothing, is forgotten.
    pub forget_after: Duration,
    /// Whether bundles are told before they are final. Of meaning with a pivot only.
    pub revise: Revise,
    /// How much is held at most.
    pub bounds: Bounds,
}

/// When bundles are told, and how long they can still change.
///
/// A bundle that was told and is not final is told again, with the next revision, when its content changes; and once it is
/// final. It is final when it would have closed had `allowed_lateness` been added to the `out_of_orderness` and the
/// `idle_timeout` of all inputs and to `max_wait`: what comes later is late. Its samples are held until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revise {
    /// How far behind the watermark samples still change bundles, in event time.
    pub allowed_lateness: Duration,
    /// Whether a bundle is told as soon as its pivot is there and each input that is required has enough for it, though
    /// better may come. When that is depends on the order of arrival; what is final does not.
    pub early: bool,
}

impl Revise {
    /// Whether a bundle can be told more than once.
    pub fn revises(&self) -> bool {
        self.early || !self.allowed_lateness.is_zero()
    }
}

impl AlignPolicy {
    /// The name of an input, for messages.
    pub fn input_name(&self, input: InputId) -> &str {
        self.inputs.get(input.index()).map_or("?", |input| input.name.as_str())
    }

    /// The input whose samples set the bundles' times, if one does.
    pub fn pivot(&self) -> Option<InputId> {
        match self.method {
            Method::Pivot(input) => Some(input),
            Method::Exact | Method::ApproximateTime(_) | Method::Tumbling { .. } | Method::Session { .. } => {
                None
            }
        }
    }
}

/// What makes a bundle of samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// One bundle for each sample of this input, at its event time. Every other input says with its [`Join`]
    /// which of its samples belong to it.
    Pivot(InputId),
    /// One bundle for each event time that any input brings, of the samples with that very time, at most one of each
    /// input.
    ///
    /// It closes when for each input the watermark is past that time, or has reached it and the input has brought its
    /// sample, or the input is idle; `max_wait` after its first sample arrived it closes whatever is missing, and with
    /// it all earlier ones. Bundles close in the order of event times: a complete one waits for earlier ones that
    /// are open or may still come. So within the configured out-of-orderness, and as long as no timer fires, they are a
    /// function of the event times; of several samples of an input with one time the first to arrive counts.
    Exact,
    /// One bundle for each set of samples, one of each input, that lie closest together. A sample is in one at most, and
    /// sets do not cross.
    ApproximateTime(ApproximateTime),
    /// One bundle for each span of event time from `k * size` up to `(k + 1) * size` since the epoch in which any input
    /// has something, of all samples that overlap it, found as by [`Join::Window`]. A sample that lasts may be in many.
    Tumbling {
        /// How long a span is, at least 1 ns.
        size: Duration,
    },
    /// One bundle for each session: samples of any inputs of which none begins more than `gap` after all before it have
    /// ended, found as by [`Join::Window`].
    Session {
        /// The longest silence within a session.
        gap: Duration,
        /// The longest session, at least 1 ns. A longer one is cut that long after its beginning, and the rest is
        /// taken as if nothing had come before: a session that begins at the cut if a sample lasts across it,
        /// else with the next sample.
        max: Duration,
    },
}

/// How sets of samples that lie closest together are found.
#[derive(Clone, Debug, PartialEq)]
pub struct ApproximateTime {
    /// The most samples of an input that a stream holds, at least 1. On overflow the earliest is evicted.
    pub queue: usize,
    /// The longest time from the earliest to the latest sample of a set; without it any.
    pub max_interval: Option<Duration>,
    /// A later set is taken only if it is better by this factor: to end later by some time it has to start later by more
    /// than `1 + age_penalty` times that. At least 0 and below 1000; counted in millionths. Above 0 bundles close earlier,
    /// and more are made, of somewhat wider sets.
    pub age_penalty: f64,
    /// By input: how close together its samples can be at most. Zero, or none for an input, is no promise. It lets
    /// bundles close earlier.
    pub min_periods: Vec<Duration>,
}

impl Default for ApproximateTime {
    /// As ROS has it, with room for a second of the fastest inputs.
    fn default() -> Self {
        Self { queue: 1_000, max_interval: None, age_penalty: 0.1, min_periods: Vec::new() }
    }
}

/// How one input takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct InputPolicy {
    /// Its name, for messages.
    pub name: String,
    /// How far out of order its samples may arrive, in event time. The watermark of a stream's input
    /// is the latest event time seen less this.
    pub out_of_orderness: Duration,
    /// After so long without a sample, in wall time, a stream's input is idle and no longer waited for.
    pub idle_timeout: Duration,
    /// Which of its samples the bundle of a pivot takes. Of no meaning for the pivot itself and without one.
    pub join: Join,
    /// What becomes of a bundle to which this input brought too little.
    pub missing: Missing,
    /// What is too little.
    pub needs: Needs,
    /// How far its clock is trusted.
    pub clock: ClockPolicy,
}

/// How far the clock that an input's event times come from is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPolicy {
    /// With it `out_of_orderness` is only the least: in each stream the watermark stays behind by the most that its
    /// last one to two thousand samples were out of order, and a quarter more, up to this.
    pub learn_up_to: Option<Duration>,
    /// A sample whose event time is further than this from the latest of its input is put aside, unless it is ahead and
    /// near to where another input of the stream has come to, or as far on as the wall clock since. When three in a
    /// row agree, or nothing else comes for `max_wait`, the source's clock has stepped: everything of the stream is closed,
    /// and it begins anew. Otherwise the sample has gone outliers. None to take every event time at its word.
    pub epoch_after: Option<Duration>,
    /// An input whose latest event time is further than this behind that of another input of the stream is idle, as one that was
    /// not heard for `idle_timeout`; one that was never heard, when another is so far ahead of the stream's first. None to
    /// take no input for idle by the event times of others.
    pub idle_behind: Option<Duration>,
    /// What is done about sound whose source drifts: how long a gap between its chunks counts as none ([`OnDrift::slack`]).
    pub drift: OnDrift,
}

/// Which samples of an input belong to the bundle of a pivot at time `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The pivot itself; also what inputs have that no pivot asks.
    Pivot,
    /// All that overlap `[t - before, t + after)`; a sample without length, all with their time in it. Of samples
    /// that last and overlap one another, as sound with stamps that jitter, the fewest that cover as much.
    /// A gap between two that is no longer than the slack of the one before it ([`OnDrift::slack`], and less than that one
    /// lasts) counts as covered. An empty window asks for nothing.
    Window {
        /// How far back from the pivot.
        before: Duration,
        /// How far ahead of the pivot.
        after: Duration,
    },
    /// The one nearest to `t`, at most `tolerance` away; of two as near, the earlier.
    Nearest {
        /// The furthest that counts.
        tolerance: Duration,
        /// Whether a sample can be in several bundles. If not, pivots choose in the order of event times, each the nearest
        /// that none before it has taken.
        reuse: bool,
    },
    /// The last one at or before `t`, at most `max_age` older.
    Latest {
        /// The oldest that counts.
        max_age: Duration,
    },
    /// All after the pivot before, up to and including `t`, each by its own time, however long it lasts. So a sample is in
    /// one bundle: that of the first pivot that is not before it.
    AllBetweenPivots {
        /// The oldest that counts for the first pivot of a stream, which has none before it.
        max_age: Duration,
    },
}

/// What a bundle needs of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Whether too little makes a bundle incomplete. An optional input is waited for like any other, since bundles would
    /// else depend on who came first; but a bundle is as good without it.
    pub required: bool,
    /// Fewer samples are too little; at least 1. Of no meaning where a join asks for one sample.
    pub min_count: usize,
    /// A smaller share of the window, 0 to 1, is too little; it says nothing to samples without length. Without it
    /// any share will do, but a bundle is complete only if the window is covered whole.
    pub min_coverage: Option<f64>,
}

impl Default for Needs {
    /// One sample.
    fn default() -> Self {
        Self { required: true, min_count: 1, min_coverage: None }
    }
}

/// What becomes of a bundle for which an input brought too little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// It goes on without, marked as incomplete.
    #[default]
    Emit,
    /// It is dropped and counted.
    Drop,
    /// Its samples are dead-lettered, unless another bundle makes use of them.
    DeadLetter,
    /// Where there is no sample at all, the last one at or before the bundle's time is used again, marked as held; of equal
    /// times the first to arrive. Without one, and for what is there but too little, as `Emit`. With a pivot only, and of no
    /// meaning for the pivot.
    Hold {
        /// The oldest that is used again, from the bundle's time back.
        max_age: Duration,
    },
}
