//! The alignment of the inputs: `[align]`.

use std::time::Duration;

use lockstep_engine::align::{
    AlignPolicy, ApproximateTime, Bounds, InputPolicy, Join, Method, Missing, Needs, Overflow, Revise,
};
use lockstep_engine::position::InputId;

use super::input::Input;
use super::kinds::{boolean, count, duration, number, positive_duration, size, string, word};
use super::problem::{did_you_mean, listed};
use super::reader::Section;

/// The keys of the section, which are no names of inputs.
pub(super) const KEYS: [&str; 13] = [
    "method",
    "pivot",
    "max_wait",
    "forget_after",
    "allowed_lateness",
    "emit",
    "bounds",
    "queue",
    "max_interval",
    "age_penalty",
    "size",
    "gap",
    "max",
];

/// The joins to a pivot, of which an input has one.
const JOINS: [&str; 4] = ["window", "nearest", "latest", "all_between_pivots"];

/// The keys of a single method, except `pivot`.
const OWN_KEYS: [(&str, MethodKind); 6] = [
    ("queue", MethodKind::ApproximateTime),
    ("max_interval", MethodKind::ApproximateTime),
    ("age_penalty", MethodKind::ApproximateTime),
    ("size", MethodKind::Tumbling),
    ("gap", MethodKind::Session),
    ("max", MethodKind::Session),
];

#[derive(Clone, Copy, PartialEq)]
enum MethodKind {
    Pivot,
    Exact,
    ApproximateTime,
    Tumbling,
    Session,
}

/// Reads the section. None if it has a mistake, which has been noted.
pub(super) fn read_align(root: &Section<'_>, inputs: &[Input]) -> Option<AlignPolicy> {
    let Some(section) = root.table("align") else {
        // A single input is the pivot.
        let [only] = inputs else {
            if !inputs.is_empty() {
                root.wrong(
                    "align",
                    "is missing; write [align] with pivot = \"…\" and a join for every other input, or with \
                     method = \"approximate-time\"",
                );
            }
            return None;
        };
        let inputs = vec![policy(only, Join::Pivot, Missing::default(), Needs::default())];
        return Some(AlignPolicy::new(Method::Pivot(InputId(0)), inputs));
    };
    let kinds = [
        ("pivot", MethodKind::Pivot),
        ("exact", MethodKind::Exact),
        ("approximate-time", MethodKind::ApproximateTime),
        ("tumbling", MethodKind::Tumbling),
        ("session", MethodKind::Session),
    ];
    let method = section.optional("method", word(&kinds));
    let max_wait = section.or("max_wait", AlignPolicy::MAX_WAIT, positive_duration);
    let forget_after = section.or("forget_after", AlignPolicy::FORGET_AFTER, positive_duration);
    let bounds = read_bounds(&section);
    if section.has("method") && method.is_none() {
        // The other keys depend on it.
        return None;
    }
    let kind = method.unwrap_or(MethodKind::Pivot);
    let revise = read_revise(&section, kind);
    refuse_foreign(&section, &kinds, kind);
    if kind != MethodKind::ApproximateTime {
        for input in inputs.iter().filter(|input| input.min_period.is_some()) {
            root.wrong_at(
                &["inputs", &input.name, "min_period"],
                "is for align.method = \"approximate-time\"; remove this",
            );
        }
    }
    let (method, policies) = match kind {
        MethodKind::Pivot => read_pivot(&section, inputs),
        MethodKind::Exact => (Some(Method::Exact), read_inputs(&section, "exact", inputs)),
        MethodKind::ApproximateTime => {
            let method = Method::ApproximateTime(read_approximate(&section, inputs));
            (Some(method), read_inputs(&section, "approximate-time", inputs))
        }
        MethodKind::Tumbling => {
            let size = section.required("size", "size = \"1s\"", positive_duration);
            (size.map(|size| Method::Tumbling { size }), read_inputs(&section, "tumbling", inputs))
        }
        MethodKind::Session => (read_session(&section), read_inputs(&section, "session", inputs)),
    };
    section.finish();
    let inputs = policies.into_iter().collect::<Option<_>>()?;
    Some(AlignPolicy { method: method?, inputs, max_wait, forget_after, revise, bounds })
}

/// Notes keys of another method, with the method that they belong to.
fn refuse_foreign(section: &Section<'_>, kinds: &[(&str, MethodKind)], kind: MethodKind) {
    let name =
        |kind: MethodKind| kinds.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| *name);
    for (key, owner) in OWN_KEYS.into_iter().filter(|(key, owner)| *owner != kind && section.has(key)) {
        section.skip(&[key]);
        let (owner, here) = (name(owner), name(kind));
        section.wrong(
            key,
            format!(
                "belongs to method = \"{owner}\", and here it is \"{here}\"; remove it, or write that method"
            ),
        );
    }
}

/// The bounds of the buffers.
fn read_bounds(align: &Section<'_>) -> Bounds {
    let Some(section) = align.table("bounds") else { return Bounds::default() };
    let bounds = Bounds {
        stream_items: section.optional("stream_items", count(1..=1_000_000_000)),
        stream_bytes: section.optional("stream_bytes", size(1..=u64::MAX)),
        stream_span: section.optional("stream_span", positive_duration),
        items: section.optional("items", count(1..=1_000_000_000)),
        bytes: section.optional("bytes", size(1..=u64::MAX)),
        overflow: section.or(
            "overflow",
            Overflow::default(),
            word(&[
                ("close", Overflow::Close),
                ("drop-oldest", Overflow::DropOldest),
                ("drop-newest", Overflow::DropNewest),
            ]),
        ),
    };
    section.finish();
    if !bounds.is_any() && !align.has_problems() {
        section.wrong_here(
            "has no bound; write one of stream_items, stream_bytes, stream_span, items and bytes, or remove it",
        );
    }
    bounds
}

/// The revisions of bundles: when one is published early, and how long it can change.
fn read_revise(section: &Section<'_>, kind: MethodKind) -> Revise {
    let allowed_lateness = section.or("allowed_lateness", Duration::ZERO, duration);
    let early = section.or("emit", false, word(&[("final", false), ("early-and-final", true)]));
    let revise = Revise { allowed_lateness, early };
    if kind != MethodKind::Pivot && revise.revises() {
        let key = if early { "emit" } else { "allowed_lateness" };
        section.wrong(
            key,
            "publishes a bundle more than once, which needs a pivot; remove it, or write method = \"pivot\"",
        );
    }
    revise
}

fn read_approximate(section: &Section<'_>, inputs: &[Input]) -> ApproximateTime {
    let default = ApproximateTime::default();
    let penalty = section.optional("age_penalty", number(0.0..=999.0));
    ApproximateTime {
        queue: section.or("queue", default.queue, count(1..=1_000_000)),
        max_interval: section.optional("max_interval", duration),
        age_penalty: penalty.map_or(default.age_penalty, f64::from),
        min_periods: inputs.iter().map(|input| input.min_period.unwrap_or_default()).collect(),
    }
}

fn read_session(section: &Section<'_>) -> Option<Method> {
    let gap = section.required("gap", "gap = \"2s\"", positive_duration);
    let max = section.or("max", Duration::from_secs(60), positive_duration);
    let gap = gap?;
    if max < gap {
        let message = format!(
            "is {max:?}, less than align.gap, so that every session would be cut before it can end; write {gap:?} or \
             more"
        );
        section.wrong("max", message);
        return None;
    }
    Some(Method::Session { gap, max })
}

/// Reads the entries of inputs without a pivot; each is optional.
fn read_inputs(section: &Section<'_>, method: &str, inputs: &[Input]) -> Vec<Option<InputPolicy>> {
    if section.has("pivot") {
        section.skip(&["pivot"]);
        section.wrong(
            "pivot",
            format!("contradicts method = \"{method}\", which has no pivot; remove one of them"),
        );
        return vec![None];
    }
    let read = |input: &Input| {
        if !section.has(&input.name) {
            return Some(policy(input, Join::Pivot, Missing::default(), Needs::default()));
        }
        let own = section.named(&input.name)?;
        let (missing, needs) = read_completion(&own, input, Join::Pivot);
        let joins: Vec<_> = JOINS.into_iter().filter(|join| own.has(join)).collect();
        for join in &joins {
            own.skip(&[join]);
            own.wrong(
                join,
                format!(
                    "joins a pivot, and method = \"{method}\" has none; remove it, or write pivot = \"…\" in place \
                     of the method"
                ),
            );
        }
        own.finish();
        joins.is_empty().then(|| policy(input, Join::Pivot, missing, needs))
    };
    inputs.iter().map(read).collect()
}

fn read_pivot(section: &Section<'_>, inputs: &[Input]) -> (Option<Method>, Vec<Option<InputPolicy>>) {
    let names = || inputs.iter().map(|input| input.name.as_str());
    let pivot = match inputs {
        [only] if !section.has("pivot") => {
            section.value("pivot");
            Some(only.name.clone())
        }
        _ => section.required("pivot", "pivot = \"…\" with the input that sets the bundles' times", string),
    };
    let place = pivot.as_deref().and_then(|pivot| {
        let place = names().position(|name| name == pivot);
        if place.is_none() {
            let hint = did_you_mean(pivot, names());
            section.wrong("pivot", format!("{pivot:?} is no input{hint} (inputs: {})", listed(names())));
        }
        place
    });
    let mut policies = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        if Some(index) == place {
            if section.has(&input.name) {
                section.named(&input.name);
                section.wrong(&input.name, "is the pivot, which is not joined; remove this");
            }
            policies.push(Some(policy(input, Join::Pivot, Missing::default(), Needs::default())));
        } else if section.has(&input.name) {
            policies.push(read_join(section, input));
        } else if place.is_some() || pivot.is_none() {
            section.wrong(
                &input.name,
                format!(
                    "is missing, so that {0} joins the pivot in no way; write {0} = {{ window = {{ before = \"512ms\", \
                     after = \"0ms\" }} }}, {{ nearest = {{ tolerance = \"50ms\" }} }}, {{ latest = {{ max_age \
                     = \"1s\" }} }} or {{ all_between_pivots = {{ max_age = \"1s\" }} }}",
                    input.name
                ),
            );
            policies.push(None);
        }
    }
    let pivot = place.and_then(|place| u16::try_from(place).ok()).map(InputId);
    (pivot.map(Method::Pivot), policies)
}

/// The completeness of bundles: the least that an input must bring, and the policy for less.
fn read_completion(section: &Section<'_>, input: &Input, join: Join) -> (Missing, Needs) {
    let max_age = section.optional("hold_max_age", duration);
    let held = Missing::Hold { max_age: max_age.unwrap_or_default() };
    let words = [
        ("emit", Missing::Emit),
        ("drop", Missing::Drop),
        ("dead-letter", Missing::DeadLetter),
        ("hold", held),
    ];
    let missing = section.or("missing", Missing::default(), word(&words));
    let required = section.or("required", true, boolean);
    let several = matches!(join, Join::Window { .. } | Join::AllBetweenPivots { .. });
    let window = matches!(join, Join::Window { .. });
    match missing {
        Missing::Hold { .. } if join == Join::Pivot => {
            section.wrong("missing", "\"hold\" needs a pivot; write \"emit\"");
        }
        Missing::Hold { .. } if window && input.is_sound() => section.wrong(
            "missing",
            "\"hold\" is impossible, as earlier sound cannot fill a later window; write \"emit\", \"drop\" or \"dead-letter\"",
        ),
        Missing::Hold { .. } if max_age.is_none() => section.wrong(
            "missing",
            "\"hold\" needs the greatest age of the last sample; write hold_max_age = \"1s\" beside it",
        ),
        Missing::Drop | Missing::DeadLetter if !required => section.wrong(
            "required",
            "false contradicts missing = \"drop\" and \"dead-letter\"; remove one of them",
        ),
        Missing::Hold { .. } => {}
        _ if max_age.is_some() => {
            section.wrong("hold_max_age", "has no effect without missing = \"hold\"; remove it, or write that");
        }
        _ => {}
    }
    let min_count = section.optional("min_count", count(1..=1_000_000));
    if min_count.is_some() && !several {
        section.wrong(
            "min_count",
            "counts the samples of a window or of all_between_pivots, and here there is one at most; remove it",
        );
    }
    let min_coverage = section.optional("min_coverage", number(0.0..=1.0));
    if min_coverage.is_some() && !window {
        section.wrong("min_coverage", "is a share of a window, and here there is none; remove it");
    }
    if !required && (min_count.is_some() || min_coverage.is_some()) {
        section.wrong(
            "required",
            "false contradicts min_count and min_coverage; remove min_count and min_coverage",
        );
    }
    let min_coverage = min_coverage.map(f64::from);
    (missing, Needs { required, min_count: min_count.unwrap_or(1), min_coverage })
}

fn policy(input: &Input, join: Join, missing: Missing, needs: Needs) -> InputPolicy {
    InputPolicy {
        name: input.name.clone(),
        out_of_orderness: input.out_of_orderness,
        idle_timeout: input.idle_timeout,
        join,
        missing,
        clock: input.clock,
        needs,
    }
}

fn read_join(align: &Section<'_>, input: &Input) -> Option<InputPolicy> {
    let section = align.named(&input.name)?;
    let example = "window = { before = \"512ms\", after = \"0ms\" }";
    let join = match section.one_of(&JOINS, example) {
        Some("window") => section.table("window").and_then(|window| {
            let before = window.or("before", Duration::ZERO, duration);
            let after = window.or("after", Duration::ZERO, duration);
            window.finish();
            if before.is_zero() && after.is_zero() {
                window.wrong_here("is empty; write before or after with a duration above 0");
                return None;
            }
            Some(Join::Window { before, after })
        }),
        Some("nearest") => section.table("nearest").and_then(|nearest| {
            let tolerance = nearest.required("tolerance", "tolerance = \"50ms\"", duration);
            let reuse = nearest.or("reuse", true, boolean);
            nearest.finish();
            Some(Join::Nearest { tolerance: tolerance?, reuse })
        }),
        Some("all_between_pivots") => section.table("all_between_pivots").and_then(|between| {
            let max_age = between.required("max_age", "max_age = \"1s\"", duration);
            between.finish();
            Some(Join::AllBetweenPivots { max_age: max_age? })
        }),
        Some(_) => section.table("latest").and_then(|latest| {
            let max_age = latest.required("max_age", "max_age = \"1s\"", duration);
            latest.finish();
            Some(Join::Latest { max_age: max_age? })
        }),
        None => None,
    };
    let (missing, needs) = read_completion(&section, input, join.unwrap_or(Join::Pivot));
    section.finish();
    join.map(|join| policy(input, join, missing, needs))
}
