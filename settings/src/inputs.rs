//! The inputs: `[inputs]`.

use std::time::Duration;

use lockstep_engine::align::{AlignPolicy, ClockPolicy, InputPolicy};
use lockstep_engine::ingest::{InputSpec, OnDamage, OnDataLoss, OnDrift, PictureCare, UseOrientation};
use lockstep_engine::media::{Media, Modality};
use lockstep_engine::sample::SameTime;

use super::align::{KEYS, read_align};
use super::input::Input;
use super::kinds::{duration, or_false, positive_duration, signed_duration, size, string, word};
use super::reader::Section;
use super::service::topic;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The content of `[inputs]` and `[align]`.
pub(super) struct Inputs {
    pub(super) specs: Vec<InputSpec>,
    pub(super) align: AlignPolicy,
}

/// Reads both sections. None if a mistake, which has been noted, leaves something undefined that other sections need.
pub(super) fn read(root: &Section<'_>) -> Option<Inputs> {
    let mut inputs = Vec::new();
    if let Some(section) = root.required_table("inputs", "[inputs.video] with content_type = \"image/jpeg\"")
    {
        for name in section.names() {
            check_name(&section, name, "an input");
            if KEYS.contains(&name) {
                section.wrong(
                    name,
                    format!("{name:?} cannot name an input, since [align] has this key; choose another name"),
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
            section.wrong_here(format!("has {} inputs; write {} at most", inputs.len(), u16::MAX));
            return None;
        }
    }
    let align = read_align(root, &inputs);
    let specs: Option<Vec<InputSpec>> = inputs.into_iter().map(|input| input.spec).collect();
    let mut specs = specs?;
    // With a single input, a second sample of the same time is no duplicate.
    if let [only] = specs.as_mut_slice() {
        only.same_time = SameTime::Distinct;
    }
    Some(Inputs { specs, align: align? })
}

/// Checks a name. Names stand in dotted references, in metrics and in JSON, so they are kept plain.
pub(super) fn check_name(section: &Section<'_>, name: &str, what: &str) {
    let plain = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !plain {
        section.wrong(
            name,
            format!(
                "{name:?} cannot name {what}; write a name that starts with a letter and has at most 64 \
                 alphanumerics, underscores and hyphens"
            ),
        );
    }
}

fn read_input(section: &Section<'_>, name: &str) -> Input {
    let topic = section.or("topic", name.to_owned(), topic);
    let media = section.required("content_type", "content_type = \"image/jpeg\"", |value| {
        string(value)?.parse::<Media>().map_err(|error| error.to_string())
    });
    let max_bytes = section.or("max_bytes", 8 << 20, size(1..=(1 << 31)));
    let max_past = section.or("max_past", DAY * 7300, positive_duration);
    let max_future = section.or("max_future", Duration::from_secs(60 * 60), duration);
    let on_data_loss = section.or(
        "on_data_loss",
        OnDataLoss::default(),
        word(&[("continue", OnDataLoss::Continue), ("stop", OnDataLoss::Stop)]),
    );
    let out_of_orderness = section.or("out_of_orderness", Duration::ZERO, duration);
    let learn_up_to = section.optional("out_of_orderness_max", positive_duration);
    if let Some(most) = learn_up_to.filter(|most| *most < out_of_orderness) {
        section.wrong(
            "out_of_orderness_max",
            format!("is {most:?}, less than out_of_orderness, where learning begins; write more"),
        );
    }
    let epoch_after = section.or("epoch_after", Some(Duration::from_secs(600)), or_false(positive_duration));
    let disorder = out_of_orderness.max(learn_up_to.unwrap_or_default());
    if epoch_after.is_some_and(|after| after <= disorder) {
        section.wrong_here(format!(
            "allows {disorder:?} of disorder, but a step back of more than epoch_after, {:?}, begins a new epoch; write a \
             longer epoch_after, or epoch_after = false",
            epoch_after.unwrap_or_default()
        ));
    }
    let clock_offset = section.or("clock_offset", 0, signed_duration);
    let drift = section.or(
        "drift",
        OnDrift::default(),
        word(&[("ignore", OnDrift::Ignore), ("resample", OnDrift::Resample)]),
    );
    if drift == OnDrift::Resample && media.is_some_and(|media| media.modality() != Modality::Audio) {
        section.wrong("drift", "\"resample\" is for sound, and this input carries none; remove it");
    }
    let pictures = pictures(section, media);
    let idle_timeout = section.or("idle_timeout", InputPolicy::IDLE_TIMEOUT, positive_duration);
    let idle_behind = section.optional("idle_behind", positive_duration);
    let min_period = section.optional("min_period", positive_duration);
    let shed = super::shed::shed(section);
    section.finish();
    let spec = media.map(|default_media| InputSpec {
        name: name.to_owned(),
        topic,
        modality: default_media.modality(),
        default_media,
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        max_past,
        max_future,
        clock_offset,
        same_time: SameTime::Duplicate,
        drift,
        pictures,
        on_data_loss,
        shed: shed.clone(),
    });
    let clock = ClockPolicy { learn_up_to, epoch_after, idle_behind, drift };
    Input { spec, name: name.to_owned(), out_of_orderness, idle_timeout, min_period, clock }
}

/// The treatment of an input's pictures.
fn pictures(section: &Section<'_>, media: Option<Media>) -> PictureCare {
    let damaged = section.or(
        "damaged",
        OnDamage::default(),
        word(&[("refuse", OnDamage::Refuse), ("accept", OnDamage::Accept)]),
    );
    let orientation = section.or(
        "orientation",
        UseOrientation::default(),
        word(&[("exif", UseOrientation::Exif), ("ignore", UseOrientation::Ignore)]),
    );
    if media.is_some_and(|media| media.modality() != Modality::Image) {
        for key in ["damaged", "orientation"].into_iter().filter(|key| section.has(key)) {
            section.wrong(key, "is for pictures, and this input carries none; remove it");
        }
    }
    PictureCare { damaged, orientation }
}
