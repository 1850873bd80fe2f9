//! Authorized clients work. Others log the cause once, with the remedy, and are not ready meanwhile.

use super::secured::{Secured, blocked_lines, health, until_health};
use crate::process::Lockstep;

const USER: [(&str, &str); 2] = [("sasl.username", "lockstep"), ("sasl.password", "right-password")];

fn with<'a>(some: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    some.iter().chain(more).copied().collect()
}

#[test]
fn clients_that_are_let_in_read_and_publish() {
    let Some(broker) = Secured::broker() else { return };
    let (ca, certificate, key) =
        (broker.file("ca.pem"), broker.file("client.pem"), broker.file("client.key"));
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    let own = [("ssl.certificate.location", &*certificate), ("ssl.key.location", &*key)];
    let sasl_tls = with(&[("security.protocol", "sasl_ssl"), ("ssl.ca.location", &*ca)], &USER);
    let sasl = with(&[("security.protocol", "sasl_plaintext")], &USER);
    let cases = [
        ("ssl", tls.to_vec()),
        ("mtls", with(&tls, &own)),
        ("sasl_ssl", with(&sasl_tls, &[("sasl.mechanism", "PLAIN")])),
        ("sasl_ssl", with(&sasl_tls, &[("sasl.mechanism", "SCRAM-SHA-256")])),
        ("sasl_ssl", with(&sasl_tls, &[("sasl.mechanism", "SCRAM-SHA-512")])),
        ("sasl_plaintext", with(&sasl, &[("sasl.mechanism", "SCRAM-SHA-512")])),
    ];
    for (listener, properties) in cases {
        let pipeline = broker.pipeline(listener, &properties);
        let client = broker.client();
        let mut producer = client.producer();
        producer.send(&pipeline.topic("events"), Some("k"), &[], vec![7; 8]);
        producer.finish();
        let ended = Lockstep::run(&["run", &pipeline.config, "--until-end"], &[]);
        assert_eq!(ended.code, Some(0), "{listener} {properties:?}: {}", ended.err);
        assert!(!ended.err.contains("WARN") && !ended.err.contains("ERROR"), "{listener}: {}", ended.err);
        let mut results = client.follow(&pipeline.topic("results"));
        results.for_now();
        assert_eq!(results.records.len(), 1, "{listener} {properties:?}: {}", ended.err);
    }
}

#[test]
#[ignore = "slow: make wild"]
fn clients_that_are_not_let_in_are_told_the_true_cause_once() {
    let Some(broker) = Secured::broker() else { return };
    let file = |name: &str| broker.file(name);
    let (ca, other, stranger, its_key) =
        (file("ca.pem"), file("other-ca.pem"), file("stranger.pem"), file("stranger.key"));
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    let foreign = [("ssl.certificate.location", &*stranger), ("ssl.key.location", &*its_key)];
    let sasl_tls = [("security.protocol", "sasl_ssl"), ("ssl.ca.location", &*ca)];
    let sasl = [("security.protocol", "sasl_plaintext")];
    let user = |mechanism: &'static str, name: &'static str, password: &'static str| {
        [("sasl.mechanism", mechanism), ("sasl.username", name), ("sasl.password", password)]
    };
    let right = |mechanism| user(mechanism, "lockstep", "right-password");
    let oauth = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=x"),
    ];
    let refused = "the broker refuses the user or the password; correct sasl.username and sasl.password";
    let cases = [
        (
            "ssl",
            vec![("security.protocol", "ssl"), ("ssl.ca.location", &*other)],
            "signed by an authority that is not trusted; write the authority's certificate as ssl.ca.location",
        ),
        ("ssl", vec![("security.protocol", "ssl")], "signed by an authority that is not trusted"),
        ("expired", tls.to_vec(), "the broker's certificate has expired; renew it"),
        (
            "elsewhere",
            tls.to_vec(),
            "the broker's certificate is for another host name; write in kafka.brokers",
        ),
        ("mtls", tls.to_vec(), "asks for a client certificate; write ssl.certificate.location"),
        ("mtls", with(&tls, &foreign), "does not accept the client's certificate"),
        ("ssl", vec![], "this port speaks TLS, and the client does not; write security.protocol = \"ssl\""),
        ("plaintext", tls.to_vec(), "the client speaks TLS, and this port does not"),
        ("sasl_plaintext", vec![], "this port asks for a user; write security.protocol = \"sasl_plaintext\""),
        ("sasl_ssl", tls.to_vec(), "this port asks for a user; write security.protocol = \"sasl_ssl\""),
        ("sasl_ssl", with(&sasl, &right("PLAIN")), "this port speaks TLS, and the client does not"),
        ("plaintext", with(&sasl, &right("PLAIN")), "this port takes no users"),
        ("sasl_ssl", with(&sasl_tls, &user("PLAIN", "lockstep", "wrong")), refused),
        ("sasl_ssl", with(&sasl_tls, &user("SCRAM-SHA-256", "lockstep", "wrong")), refused),
        ("sasl_plaintext", with(&sasl, &user("SCRAM-SHA-512", "nobody", "right-password")), refused),
        ("sasl_plaintext", with(&sasl, &oauth), "does not offer this sasl.mechanism (it offers PLAIN,"),
    ];
    // All at once: each waits for seconds, and none for another.
    let mut running: Vec<_> = cases
        .into_iter()
        .map(|(listener, properties, cause)| {
            let pipeline = broker.pipeline(listener, &properties);
            let process = pipeline.run();
            (pipeline, process, listener, cause)
        })
        .collect();
    for (_, process, listener, cause) in &mut running {
        let (what, _) = cause.split_once("; ").unwrap_or((cause, ""));
        let log = process.says(what);
        assert_eq!(blocked_lines(&log, "blocked"), 1, "{listener}, {cause}: {log}");
        let trouble = until_health(process, |is_ready, trouble| !is_ready && !trouble.is_empty());
        assert!(trouble.contains(*cause), "{listener}, {cause}: {trouble}");
    }
    for (_, mut process, listener, cause) in running {
        // It is said again, with a count, and nothing else is said.
        let log = process.says("still blocked");
        let words = log.lines().filter(|line| line.contains("WARN") && !line.contains("blocked")).count();
        assert_eq!(words, 0, "{listener}, {cause}: {log}");
        assert!(!health(&mut process).0);
        let ended = process.terminate();
        assert_eq!(ended.code, Some(0), "{listener}, {cause}: {}", ended.err);
    }
}
