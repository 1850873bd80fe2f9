//! Names of topics that brokers treat as equal.

use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;

/// Explains why the brokers refuse a legal name. Names of metrics have underscores for dots, so two topics may not differ in these
/// alone.
pub(super) fn named(client: &AdminClient<DefaultClientContext>, name: &str) -> String {
    let metadata = client.inner().fetch_metadata(None, COLLISIONS_WITHIN);
    let topics = metadata.iter().flat_map(|metadata| metadata.topics());
    let names: Vec<String> = topics.map(|topic| topic.name().to_owned()).collect();
    match colliding(name, &names) {
        Some(other) => format!(
            "its name collides with that of the topic {other}: brokers treat . and _ as equal; choose another name, or \
             delete that topic"
        ),
        None => "the broker refuses the name".to_owned(),
    }
}

/// The limit for the list of all topics.
const COLLISIONS_WITHIN: Duration = Duration::from_secs(5);

/// Returns the name in `others` that differs from `name` in dots and underscores alone.
fn colliding<'a>(name: &str, others: &'a [String]) -> Option<&'a str> {
    let plain = |name: &str| name.replace('.', "_");
    others.iter().map(String::as_str).find(|other| *other != name && plain(other) == plain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colliding_names_differ_in_dots_and_underscores_alone() {
        let others = ["a.b_c", "a-b-c", "a_b_d"].map(str::to_owned);
        assert_eq!(colliding("a_b.c", &others), Some("a.b_c"));
        assert_eq!((colliding("a.b_c", &others), colliding("a.b", &others)), (None, None));
    }
}
