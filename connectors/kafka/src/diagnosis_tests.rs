use super::*;

#[test]
fn connection_errors_become_a_cause_with_a_remedy() {
    let cases = [
        (
            "sasl_plaintext://127.0.0.1:9092/bootstrap: SASL PLAIN authentication failed: Authentication failed: Invalid \
             username or password (after 5ms in state AUTH_REQ)",
            "sasl_plaintext://127.0.0.1:9092: the broker refuses the user or the password",
        ),
        (
            "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT, 3 \
             identical error(s) suppressed)",
            "127.0.0.1:9092: no process listens there",
        ),
        (
            "127.0.0.1:80/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): increase \
             receive.message.max.bytes",
            "127.0.0.1:80: the listener there does not speak Kafka's protocol",
        ),
    ];
    for (reason, expected) in cases {
        let cause = cause(Some(RDKafkaErrorCode::BrokerTransportFailure), reason);
        assert_eq!(cause.what, expected);
        assert!(!cause.remedy.is_empty());
    }
}

#[test]
fn cause_does_not_change_with_times_and_counts() {
    let of = |ms: u32| {
        let reason =
            format!("b:1/1: Something odd (after {ms}ms in state UP, {ms} identical error(s) suppressed)");
        cause(None, &reason)
    };
    assert_eq!(of(1), of(7_000));
    assert_eq!(of(1).what, "b:1/1: Something odd");
}
