//! Names of topics that brokers take for the same.

use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;

/// Why a legal name is refused: in the names of metrics dots are underscores, so no two topics may differ in these alone.
pub(super) fn named(client: &AdminClient<DefaultClientContext>, name: &str) -> String {
    let metadata = client.inner().fetch_metadata(None, COLLISIONS_WITHIN);
    let topics = metadata.iter().flat_map(|metadata| metadata.topics());
    let names: Vec<String> = topics.map(|topic| topic.name().to_owned()).collect();
    match colliding(name, &names) {
        Some(other) => format!(
            "its name collides with that of the topic {other}: brokers take . and _ for the same; choose another name, or \
             delete that topic"
        ),
        None => "the broker refuses the name".to_owned(),
    }
}

/// How long brokers may take to tell the names of topics.
const COLLISIONS_WITHIN: Duration = Duration::from_secs(5);

/// Of these names the one that differs from another in dots and underscores alone.
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
