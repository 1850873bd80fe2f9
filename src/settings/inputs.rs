//! The sections about what comes in and how it is joined: `[inputs]` and `[align]`.

use std::time::Duration;

use lockstep_engine::align::{AlignPolicy, InputPolicy, Join, Method, Missing};
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::input::OnDataLoss;
use lockstep_engine::media::Media;
use lockstep_engine::position::InputId;

use super::kinds::{duration, positive_duration, size, string, word};
use super::problem::{did_you_mean, listed};
use super::reader::Section;
use super::service::topic;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What `[inputs]` and `[align]` say.
pub(super) struct Inputs {
    pub(super) specs: Vec<InputSpec>,
    pub(super) align: AlignPolicy,
}

struct Input {
    /// None when the content type is wrong, which has been noted.
    spec: Option<InputSpec>,
    name: String,
    out_of_orderness: Duration,
    idle_timeout: Duration,
}

/// Reads both sections. None when something in them is wrong that others depend on; it has been noted.
pub(super) fn read(root: &Section<'_>) -> Option<Inputs> {
    let mut inputs = Vec::new();
    if let Some(section) = root.required_table("inputs", "[inputs.video] with content_type = \"image/jpeg\"")
    {
        for name in section.names() {
            check_name(&section, name, "an input");
            if ["method", "pivot", "max_wait", "forget_after"].contains(&name) {
                section.wrong(
                    name,
                    format!("{name:?} cannot name an input, since [align] has a key of that name"),
                );
            }
            if let Some(input) = section.named(name) {
                inputs.push(read_input(&input, name));
            }
        }
        if section.names().is_empty() {
            section.wrong_here("has no inputs; write [inputs.video] with content_type = \"image/jpeg\"");
        }
        if inputs.len() > usize::from(u16::MAX) {
            section.wrong_here(format!("has {} inputs; {} are the most", inputs.len(), u16::MAX));
            return None;
        }
    }
    let align = read_align(root, &inputs);
    let specs: Option<Vec<InputSpec>> = inputs.into_iter().map(|input| input.spec).collect();
    Some(Inputs { specs: specs?, align: align? })
}

/// Names are used in references with dots, in metrics and in JSON, so they are kept plain.
pub(super) fn check_name(section: &Section<'_>, name: &str, what: &str) {
    let plain = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !plain {
        section.wrong(
            name,
            format!(
                "{name:?} cannot name {what}; a name starts with a letter and has at most 64 letters, \
                 digits, underscores and hyphens"
            ),
        );
    }
}

fn read_input(section: &Section<'_>, name: &str) -> Input {
    let topic = section.or("topic", name.to_owned(), topic);
    let media = section
        .required("content_type", "content_type = \"image/jpeg\"", |value| string(value)?.parse::<Media>());
    let max_bytes = section.or("max_bytes", 8 << 20, size(1..=(1 << 31)));
    let max_past = section.or("max_past", DAY * 7300, positive_duration);
    let max_future = section.or("max_future", Duration::from_secs(60 * 60), duration);
    let on_data_loss = section.or(
        "on_data_loss",
        OnDataLoss::default(),
        word(&[("continue", OnDataLoss::Continue), ("stop", OnDataLoss::Stop)]),
    );
    let out_of_orderness = section.or("out_of_orderness", Duration::ZERO, duration);
    let idle_timeout = section.or("idle_timeout", Duration::from_secs(2), positive_duration);
    section.finish();
    let spec = media.map(|default_media| InputSpec {
        name: name.to_owned(),
        topic,
        modality: default_media.modality(),
        default_media,
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        max_past,
        max_future,
        on_data_loss,
    });
    Input { spec, name: name.to_owned(), out_of_orderness, idle_timeout }
}

fn read_align(root: &Section<'_>, inputs: &[Input]) -> Option<AlignPolicy> {
    let max_wait = Duration::from_secs(5);
    let forget_after = Duration::from_secs(600);
    let Some(section) = root.table("align") else {
        // A single input needs no words about how it is joined.
        let [only] = inputs else {
            if !inputs.is_empty() {
                root.wrong(
                    "align",
                    "is missing; write [align] with pivot = \"…\" and a join for every other input, or with method = \
                     \"exact\"",
                );
            }
            return None;
        };
        let inputs = vec![policy(only, Join::Pivot, Missing::default())];
        return Some(AlignPolicy { method: Method::Pivot(InputId(0)), inputs, max_wait, forget_after });
    };
    let exact = section.or("method", false, word(&[("pivot", false), ("exact", true)]));
    if exact {
        return read_exact(&section, inputs, max_wait, forget_after);
    }
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
            section.wrong(
                "pivot",
                format!("is {pivot:?}, which is no input{hint} (inputs: {})", listed(names())),
            );
        }
        place
    });
    let max_wait = section.or("max_wait", max_wait, positive_duration);
    let forget_after = section.or("forget_after", forget_after, positive_duration);
    let mut policies = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        if Some(index) == place {
            if section.has(&input.name) {
                section.named(&input.name);
                section.wrong(&input.name, "is the pivot, which is not joined; take this away");
            }
            policies.push(Some(policy(input, Join::Pivot, Missing::default())));
        } else if section.has(&input.name) {
            policies.push(read_join(&section, input));
        } else if place.is_some() || pivot.is_none() {
            section.wrong(
                &input.name,
                format!(
                    "is missing: how does {0} join the pivot? write {0} = {{ window = {{ before = \"512ms\", \
                     after = \"0ms\" }} }}, {{ nearest = {{ tolerance = \"50ms\" }} }} or {{ latest = {{ max_age \
                     = \"1s\" }} }}",
                    input.name
                ),
            );
            policies.push(None);
        }
    }
    section.finish();
    let method = Method::Pivot(InputId(u16::try_from(place?).ok()?));
    Some(AlignPolicy { method, inputs: policies.into_iter().collect::<Option<_>>()?, max_wait, forget_after })
}

/// What `[align]` says when samples of the very same event time belong together.
fn read_exact(
    section: &Section<'_>,
    inputs: &[Input],
    max_wait: Duration,
    forget_after: Duration,
) -> Option<AlignPolicy> {
    if section.has("pivot") {
        section.skip(&["pivot"]);
        section.wrong(
            "pivot",
            "has no place beside method = \"exact\", which has no pivot; take one of them away",
        );
        return None;
    }
    let max_wait = section.or("max_wait", max_wait, positive_duration);
    let forget_after = section.or("forget_after", forget_after, positive_duration);
    let mut policies = Some(Vec::with_capacity(inputs.len()));
    for input in inputs {
        let mut missing = Missing::default();
        // What is no table, and what has unknown keys, is noted on the way.
        if section.has(&input.name)
            && let Some(own) = section.named(&input.name)
        {
            missing = read_missing(&own);
            for join in ["window", "nearest", "latest"].into_iter().filter(|join| own.has(join)) {
                own.skip(&[join]);
                own.wrong(
                    join,
                    "joins a pivot, and method = \"exact\" has none; take it away, or write pivot = \"…\" in place \
                     of the method",
                );
                policies = None;
            }
            own.finish();
        }
        if let Some(policies) = &mut policies {
            policies.push(policy(input, Join::Pivot, missing));
        }
    }
    section.finish();
    Some(AlignPolicy { method: Method::Exact, inputs: policies?, max_wait, forget_after })
}

fn read_missing(section: &Section<'_>) -> Missing {
    section.or(
        "missing",
        Missing::default(),
        word(&[("emit", Missing::Emit), ("drop", Missing::Drop), ("dead-letter", Missing::DeadLetter)]),
    )
}

fn policy(input: &Input, join: Join, missing: Missing) -> InputPolicy {
    InputPolicy {
        name: input.name.clone(),
        out_of_orderness: input.out_of_orderness,
        idle_timeout: input.idle_timeout,
        join,
        missing,
    }
}

fn read_join(align: &Section<'_>, input: &Input) -> Option<InputPolicy> {
    let section = align.named(&input.name)?;
    let missing = read_missing(&section);
    let example = "window = { before = \"512ms\", after = \"0ms\" }";
    let join = match section.one_of(&["window", "nearest", "latest"], example) {
        Some("window") => section.table("window").and_then(|window| {
            let before = window.or("before", Duration::ZERO, duration);
            let after = window.or("after", Duration::ZERO, duration);
            window.finish();
            if before.is_zero() && after.is_zero() {
                window.wrong_here("is empty; write before or after with a length of time of more than 0");
                return None;
            }
            Some(Join::Window { before, after })
        }),
        Some("nearest") => section.table("nearest").and_then(|nearest| {
            let tolerance = nearest.required("tolerance", "tolerance = \"50ms\"", duration);
            nearest.finish();
            Some(Join::Nearest { tolerance: tolerance? })
        }),
        Some(_) => section.table("latest").and_then(|latest| {
            let max_age = latest.required("max_age", "max_age = \"1s\"", duration);
            latest.finish();
            Some(Join::Latest { max_age: max_age? })
        }),
        None => None,
    };
    section.finish();
    join.map(|join| policy(input, join, missing))
}
