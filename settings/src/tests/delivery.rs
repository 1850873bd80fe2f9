//! Promises of the settings of delivery.

use super::*;

#[test]
fn transaction_gathers_a_quarter_of_the_timeout_at_most() {
    let found = |delivery: &str, kafka: &str| {
        let text = shipped("talking-face.toml");
        let (before, after) = text.split_once("[kafka]\n").expect("it has a broker");
        let text = format!("{before}[kafka]\n{kafka}\n{after}");
        let text = format!("{text}\n[delivery]\nguarantee = \"exactly-once\"\n{delivery}\n");
        load_text(&text, &Overrides::default()).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    let timeout = |millis: u32| format!("producer = {{ \"transaction.timeout.ms\" = \"{millis}\" }}");
    for (delivery, kafka, wrong) in [
        ("", String::new(), None),
        ("", timeout(4_000), None),
        ("", timeout(3_999), Some("less than 4000")),
        ("transaction_every = \"2500ms\"", String::new(), None),
        ("transaction_every = \"2501ms\"", String::new(), Some("10004 or more")),
        ("transaction_every = \"2501ms\"", timeout(10_004), None),
    ] {
        let found = found(delivery, &kafka);
        match wrong {
            None => assert!(found.is_empty(), "{delivery} {kafka}: {found}"),
            Some(words) => assert!(found.contains(words), "{delivery} {kafka}: {found}"),
        }
    }
}
