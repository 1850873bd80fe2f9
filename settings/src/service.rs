//! The sections about brokers, topics, bounds and HTTP: `[kafka]`, `[results]`, `[delivery]`, `[limits]` and `[http]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lockstep_engine::pipeline::{
    DeliverySpec, GroupProtocol, Guarantee, HttpToken, KafkaSpec, Limits, OnUndeliverable, PublishSpec,
    StartAt,
};
use lockstep_kafka::properties::{Client, refused, set_by_lockstep};
use toml::de::DeValue;

use super::kinds::{count, duration, positive_duration, shown, size, string, word};
use super::reader::Section;
use super::residency::model_memory;
use crate::token;

/// `[kafka]`.
pub(super) fn kafka(root: &Section<'_>, base: &Path, pipeline: &str) -> KafkaSpec {
    let Some(section) = root.table("kafka") else {
        return KafkaSpec {
            brokers: DEFAULT_BROKERS.to_owned(),
            group: pipeline.to_owned(),
            start: StartAt::default(),
            group_protocol: GroupProtocol::default(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        };
    };
    let brokers = section.or("brokers", DEFAULT_BROKERS.to_owned(), |value| {
        let text = string(value)?;
        check_brokers(&text).map(|()| text)
    });
    let group = section.or("group", pipeline.to_owned(), string);
    let start = section.or(
        "start",
        StartAt::default(),
        word(&[("earliest", StartAt::Earliest), ("latest", StartAt::Latest)]),
    );
    let protocols = [
        ("auto", GroupProtocol::Auto),
        ("classic", GroupProtocol::Classic),
        ("consumer", GroupProtocol::Consumer),
    ];
    let group_protocol = section.or("group_protocol", GroupProtocol::default(), word(&protocols));
    let common = properties(&section, ("properties", Client::Both), base);
    let with_common = |own: BTreeMap<String, String>| {
        let mut all = common.clone();
        all.extend(own);
        all
    };
    let consumer = with_common(properties(&section, ("consumer", Client::Consumer), base));
    let producer = with_common(properties(&section, ("producer", Client::Producer), base));
    section.finish();
    KafkaSpec { brokers, group, start, group_protocol, consumer, producer }
}

const DEFAULT_BROKERS: &str = "127.0.0.1:9092";

/// A comma-separated list of `host:port`.
pub(super) fn check_brokers(text: &str) -> Result<(), String> {
    for broker in text.split(',').map(str::trim) {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!("{broker:?} is no host:port; write brokers as \"host1:9092,host2:9092\""));
        }
    }
    Ok(())
}

/// librdkafka's properties: plain values, or the places of secrets. Messages never show a value.
fn properties(section: &Section<'_>, (key, client): (&str, Client), base: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(table) = section.open_table(key) else { return found };
    flatten(&table, ("", client), base, &mut found);
    found
}

/// TOML reads `security.protocol = …` without quotes as a table in a table, so both spellings are accepted.
fn flatten(
    table: &Section<'_>,
    (prefix, client): (&str, Client),
    base: &Path,
    found: &mut BTreeMap<String, String>,
) {
    for name in table.names() {
        let full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        let Some(value) = table.value(name) else { continue };
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(yes) => Some(yes.to_string()),
            DeValue::Table(inner) if is_reference(inner) => secret(table, name, base),
            DeValue::Table(_) => {
                if let Some(inner) = table.open_table(name) {
                    flatten(&inner, (&full, client), base, found);
                }
                continue;
            }
            _ => {
                table.wrong(
                    name,
                    "librdkafka does not take a value of this kind; write a text, a number, true or \
                     false, { env = \"NAME\" } or { file = \"path\" }",
                );
                None
            }
        };
        if let Some(why) = set_by_lockstep(client, &full) {
            table.wrong(name, format!("{full} is set by Lockstep itself: {why}; remove the line"));
        } else if let Some(why) = text.as_ref().and_then(|text| refused(&full, text)) {
            table.wrong(name, why);
        }
        if let Some(text) = text {
            found.insert(full, text);
        }
    }
}

fn is_reference(table: &toml::de::DeTable<'_>) -> bool {
    let is_text = |key: &str| table.get(key).is_some_and(|value| value.get_ref().is_str());
    table.len() == 1 && (is_text("env") || is_text("file"))
}

fn secret(table: &Section<'_>, name: &str, base: &Path) -> Option<String> {
    let reference = table.table(name)?;
    let source = reference.one_of(&["env", "file"], "{ env = \"NAME\" }")?;
    let place = reference.optional(source, string)?;
    let found = if source == "env" {
        std::env::var(&place)
            .map_err(|_| format!("takes its value from the variable {place}, which is not set; set it"))
    } else {
        let path = base.join(&place);
        std::fs::read_to_string(&path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()).map_err(
            |error| format!("takes its value from {}, which cannot be read: {error}", path.display()),
        )
    };
    found.map_err(|message| reference.wrong(source, message)).ok()
}

/// A topic's name by Kafka's own rules: at most 249 ASCII alphanumerics, dots, underscores and hyphens.
pub(super) fn topic(value: &DeValue<'_>) -> Result<String, String> {
    let name = string(value)?;
    let legal = name.len() <= 249
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if legal {
        Ok(name)
    } else {
        Err(format!(
            "{} is no topic name; write at most 249 letters or digits, dots, underscores and hyphens",
            shown(value)
        ))
    }
}

/// `[results]`. The state topic exists only if a model is stateful.
pub(super) fn results(root: &Section<'_>, pipeline: &str, is_stateful: bool) -> PublishSpec {
    let of = |what: &str| format!("{pipeline}.{what}");
    let (results, dead_letters, late) = (of("results"), of("dead-letters"), of("late"));
    let state = is_stateful.then(|| of("state"));
    let Some(section) = root.table("results") else {
        return PublishSpec { results, dead_letters, late: Some(late), state };
    };
    if section.has("state") && !is_stateful {
        section.wrong("state", "no model of this pipeline carries state; remove the line");
    }
    let spec = PublishSpec {
        results: section.or("topic", results, topic),
        dead_letters: section.or("dead_letters", dead_letters, topic),
        late: section.or("late", Some(late), unless_false(topic)),
        state: section.or("state", state, unless_false(topic)),
    };
    section.finish();
    spec
}

fn unless_false<'v>(
    kind: impl Fn(&DeValue<'v>) -> Result<String, String>,
) -> impl Fn(&DeValue<'v>) -> Result<Option<String>, String> {
    move |value| match value {
        DeValue::Boolean(false) => Ok(None),
        DeValue::Boolean(true) => Err("is true; write a text, or false for none".to_owned()),
        other => kind(other).map(Some),
    }
}

/// `[delivery]`.
pub(super) fn delivery(root: &Section<'_>) -> DeliverySpec {
    let mut spec = DeliverySpec::default();
    let Some(section) = root.table("delivery") else { return spec };
    let words = [("at-least-once", Guarantee::AtLeastOnce), ("exactly-once", Guarantee::ExactlyOnce)];
    spec.guarantee = section.or("guarantee", spec.guarantee, word(&words));
    spec.transaction_every = section.or("transaction_every", spec.transaction_every, positive_duration);
    spec.metadata_limit = section.or("metadata_limit", spec.metadata_limit, count(METADATA));
    spec.revoke_within = section.or("revoke_within", spec.revoke_within, |value| {
        let within = duration(value)?;
        if within > MAX_REVOKE {
            Err(format!("is {}; write a duration of at most \"1m\"", shown(value)))
        } else {
            Ok(within)
        }
    });
    let words = [("stop", OnUndeliverable::Stop), ("drop", OnUndeliverable::Drop)];
    spec.on_undeliverable = section.or("on_undeliverable", spec.on_undeliverable, word(&words));
    section.finish();
    spec
}

/// The longest that a revocation may take: the whole group waits for it.
const MAX_REVOKE: Duration = Duration::from_secs(60);

/// The range of `metadata_limit`, in characters. Below the minimum not even a small completion map fits.
const METADATA: std::ops::RangeInclusive<u64> = 256..=(1 << 20);

/// `[limits]`.
pub(super) fn limits(root: &Section<'_>) -> Limits {
    let mut limits = Limits {
        memory: 256 << 20,
        max_drift: None,
        stop_within: Duration::from_secs(10),
        commit_every: Duration::from_secs(1),
        model_memory: BTreeMap::new(),
    };
    let Some(section) = root.table("limits") else { return limits };
    limits.memory = section.or("memory", limits.memory, size(MEMORY));
    limits.max_drift = section.optional("max_drift", positive_duration);
    limits.stop_within = section.or("stop_within", limits.stop_within, duration);
    limits.commit_every = section.or("commit_every", limits.commit_every, positive_duration);
    limits.model_memory = model_memory(&section);
    section.finish();
    limits
}

/// The range of the byte budget for payloads.
pub(super) const MEMORY: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 50);

/// `[http]`: the address to listen on, if any, and the token that changes need. The environment's token wins over the
/// file's.
pub(super) fn http(root: &Section<'_>, base: &Path) -> (Option<String>, Option<HttpToken>) {
    let default = Some("127.0.0.1:9464".to_owned());
    let section = root.table("http");
    let file = section.as_ref().and_then(|section| section.optional("token_file", string));
    let token = match token::from_environment() {
        Ok(None) => file.and_then(|file| {
            let found = token::from_file(&base.join(file));
            found
                .map_err(|why| {
                    if let Some(section) = &section {
                        section.wrong("token_file", why)
                    }
                })
                .ok()
        }),
        Ok(token) => token,
        Err(why) => {
            root.wrong("http", why);
            None
        }
    };
    let Some(section) = section else { return (default, token) };
    let listen = section.or(
        "listen",
        default,
        unless_false(|value| {
            let text = string(value)?;
            check_listen(&text).map(|()| text)
        }),
    );
    section.finish();
    (listen, token)
}

/// `host:port`. Port 0 takes any free port.
pub(super) fn check_listen(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no host:port; write one, as \"127.0.0.1:9464\" (port 0 takes any free port)"
        ))
    }
}
