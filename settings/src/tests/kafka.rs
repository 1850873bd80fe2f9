//! Promises of the settings of Kafka's clients, and of steps whose model is missing.

use super::*;

fn with_kafka(kafka: &str) -> Vec<problem::Problem> {
    problems(&shipped("voice.toml").replace("[inputs.audio]", &format!("{kafka}\n[inputs.audio]")))
}

#[test]
fn check_refuses_properties_that_lockstep_sets_itself() {
    for (table, name) in [
        ("properties", "isolation.level"),
        ("properties", "acks"),
        ("properties", "statistics.interval.ms"),
        ("consumer", "queued.min.messages"),
        ("consumer", "group.id"),
        ("producer", "transactional.id"),
        ("producer", "partitioner"),
        ("producer", "bootstrap.servers"),
    ] {
        let found = with_kafka(&format!("[kafka.{table}]\n{name:?} = \"x\""));
        let [one] = found.as_slice() else { panic!("{found:#?}") };
        assert!(one.place.is_some() && one.message.contains("is set by Lockstep itself"), "{one:?}");
    }
}

#[test]
fn check_reports_the_errors_of_librdkafka() {
    let found = with_kafka("[kafka.properties]\n\"lingr.ms\" = 5\n\"security.protocol\" = \"tls\"");
    let [name, value] = found.as_slice() else { panic!("{found:#?}") };
    assert!(name.message.contains("No such configuration property"), "{name:?}");
    assert!(
        value.message.contains("is refused by librdkafka") && !value.message.contains("\"tls\""),
        "{value:?}"
    );
    let found = with_kafka(
        "[kafka.properties]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"/no/such/ca.pem\"",
    );
    assert!(matches!(found.as_slice(), [one] if one.message.contains("ssl.ca.location")), "{found:#?}");
    let found = with_kafka(
        "[kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"GSSAPI\"",
    );
    assert!(matches!(found.as_slice(), [one] if one.message.contains("GSSAPI")), "{found:#?}");
}

#[test]
fn step_without_its_model_still_reports_other_mistakes() {
    let text = shipped("talking-face.toml").replace("model = \"faces\"", "model = \"fcaes\"").replace(
        "frames = { from = \"video\", image = { width = 320, height = 240, resize = \"fit\" } }",
        "frames = { from = \"vdeo\", image = { width = 320, height = 240 } }\nmore = { from = \"video\", image = { width = \
         0, height = 240 } }\nother = { from = \"vioce.scores\" }\nlast = { zero = true }",
    );
    let found = problems(&text);
    for words in ["\"fcaes\" is not in", "\"vdeo\" is no input", "width", "no step \"vioce\"", "zero"] {
        let is_named = |problem: &problem::Problem| {
            problem.message.contains(words) || problem.key.rsplit('.').next() == Some(words)
        };
        assert!(found.iter().any(is_named), "{words} is missing in {found:#?}");
    }
}
