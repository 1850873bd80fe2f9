//! `lockstep check --connect`: each thing that keeps a pipeline from working is named, all at once, and nothing else.

use super::rights::{LIMITED, change, rights};
use super::secured::{Pipeline, Secured};
use crate::process::{Ended, Lockstep};

const EXACT: &str = "[delivery]\nguarantee = \"exactly-once\"\n";

fn check(config: &str) -> Ended {
    Lockstep::run(&["check", "--connect", "--no-load", config], &[])
}

/// A copy of a pipeline's configuration with more in it.
fn with(pipeline: &Pipeline, more: &str) -> String {
    let path = format!("{}.more.toml", pipeline.config);
    let text = std::fs::read_to_string(&pipeline.config).expect("it is there");
    std::fs::write(&path, text + more).expect("written");
    path
}

/// The lines of checks that are not `ok`.
fn wrong(ended: &Ended) -> Vec<&str> {
    let checks = ended.out.lines().skip_while(|line| !line.starts_with("brokers "));
    checks.filter(|line| !line.ends_with(": ok")).collect()
}

#[test]
fn check_of_a_cluster_that_fits_says_ok_of_each() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("sasl_plaintext", &LIMITED);
    let mut all = rights(&pipeline);
    all.push(("WRITE".into(), format!("TRANSACTIONAL_ID lockstep-{}-*", pipeline.name)));
    for what in ["events", "results", "dead-letters", "late"] {
        all.push(("DESCRIBE_CONFIGS".into(), format!("TOPIC {}", pipeline.topic(what))));
    }
    change(&broker, "add", &all);
    let ended = check(&with(&pipeline, EXACT));
    assert_eq!((ended.code, wrong(&ended)), (Some(0), vec![]), "{}{}", ended.out, ended.err);
    let name = &pipeline.name;
    for place in [
        format!("brokers {}", broker.address("sasl_plaintext")),
        "topics".into(),
        "settings".into(),
        format!("topic {name}.events (READ)"),
        format!("topic {name}.results (WRITE)"),
        format!("topic {name}.dead-letters (WRITE)"),
        format!("topic {name}.late (WRITE)"),
        format!("group {name} (READ)"),
        format!("transactional ids lockstep-{name}- (WRITE)"),
    ] {
        assert!(ended.out.contains(&format!("\n{place}: ok\n")), "{place}: {}", ended.out);
    }
}

#[test]
fn check_names_all_rights_that_are_missing_at_once() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("sasl_plaintext", &LIMITED);
    let name = &pipeline.name;
    let seen = [format!("TOPIC {name}.results"), format!("GROUP {name}")];
    change(&broker, "add", &seen.map(|on| ("DESCRIBE".to_owned(), on)));
    change(&broker, "add", &[("WRITE".into(), format!("TOPIC {name}.late"))]);
    let ended = check(&with(&pipeline, EXACT));
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    let found = wrong(&ended).join("\n");
    for line in [
        format!("topic {name}.events (READ): the right READ on topic {name}.events is missing; grant it"),
        format!("topic {name}.results (WRITE): the right WRITE on topic {name}.results is missing; grant it"),
        format!(
            "topic {name}.dead-letters (WRITE): the right WRITE on topic {name}.dead-letters is missing; grant it"
        ),
        format!("group {name} (READ): the right READ on group {name} is missing; grant it"),
        format!("transactional ids lockstep-{name}- (WRITE): the right WRITE on transactional id lockstep-"),
    ] {
        assert!(found.contains(&line), "{line}: {found}");
    }
    assert!(ended.out.contains(&format!("topic {name}.late (WRITE): ok")), "{}", ended.out);
    assert!(!found.contains("does not exist"), "{found}");
    // A group that may not even be seen is named in the same way.
    change(&broker, "remove", &[("DESCRIBE".into(), format!("GROUP {name}"))]);
    let found = check(&pipeline.config);
    assert!(found.out.contains(&format!("the right READ on group {name} is missing")), "{}", found.out);
}

#[test]
fn check_names_topics_that_are_missing_or_unlike() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("plaintext", &[]);
    let name = &pipeline.name;
    let other = format!(
        "[inputs.other]\ntopic = \"{name}.other\"\ncontent_type = \"application/octet-stream\"\n[align]\n\
         pivot = \"events\"\nother = {{ nearest = {{ tolerance = \"1ms\" }}, missing = \"emit\" }}\n"
    );
    let two = with(&pipeline, &other);
    let ended = check(&two);
    let missing = format!("topics: the topic {name}.other does not exist; `lockstep topics create CONFIG`");
    assert!(ended.code == Some(1) && ended.out.contains(&missing), "{}", ended.out);
    // It is made with two partitions, the others have one and stay so.
    Lockstep::run(&["topics", "create", &two, "--partitions", "2"], &[]);
    let ended = check(&two);
    let unlike = format!("({name}.events has 1, {name}.other has 2)");
    assert!(ended.code == Some(1) && ended.out.contains(&unlike), "{}", ended.out);
}

#[test]
fn check_names_why_brokers_do_not_let_it_in() {
    let Some(broker) = Secured::broker() else { return };
    let mut wrong_password = LIMITED;
    wrong_password[3].1 = "wrong";
    let pipeline = broker.pipeline("sasl_plaintext", &wrong_password);
    let ended = check(&pipeline.config);
    let refused = "the broker refuses the user or the password; correct sasl.username";
    assert!(ended.code == Some(1) && ended.out.contains(refused), "{}{}", ended.out, ended.err);
    let nobody = Lockstep::run(
        &["check", "--connect", "--no-load", &pipeline.config, "--brokers", "127.0.0.1:1"],
        &[],
    );
    let away =
        "brokers 127.0.0.1:1: sasl_plaintext://127.0.0.1:1: no process listens there; start the broker";
    assert!(nobody.code == Some(1) && nobody.out.contains(away), "{}{}", nobody.out, nobody.err);
}
