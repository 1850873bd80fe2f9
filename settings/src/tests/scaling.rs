//! Promises of `[scaling]`.

use lockstep_engine::scaling::{CountBounds, Level, Policy, ScalingSpec};

use super::*;

fn with(scaling: &str) -> String {
    shipped("talking-face.toml").replace("[limits]", &format!("{scaling}\n[limits]"))
}

fn read(scaling: &str) -> ScalingSpec {
    load_text(&with(scaling), &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}")).scaling
}

#[test]
fn default_policy_follows_the_age_of_the_oldest_event() {
    let spec = read("");
    assert_eq!(spec, ScalingSpec { instances: vec![CountBounds::default(); 2], ..ScalingSpec::default() });
    assert_eq!(spec.policy, Policy::Target);
    assert_eq!(
        spec.levels.iter().map(|level| (level.lag, level.shards)).collect::<Vec<_>>(),
        [(0, 4), (10_000, 16)]
    );
    assert_eq!(read("[scaling]"), spec);
}

#[test]
fn scaling_is_read_as_written() {
    let spec = read(
        "[scaling]\npolicy = \"step\"\nshards = { min = 2, max = 8 }\ninstances = { voice = { max = 3 } }\ndrained = 0.2\n\
         levels = [{ lag = 0, shards = 2, instances = 1 }, { lag = 500, shards = 8, instances = 3 }]\n\
         target_age = \"2s\"\ndrain_within = \"30s\"\nbusy = 0.7\ncooldown_up = \"0s\"\ncooldown_down = \"1m\"\nsmooth = \"3s\"",
    );
    assert_eq!((spec.policy, spec.drained, spec.target.busy), (Policy::Step, 0.2, 0.7));
    assert_eq!(spec.shards, CountBounds { min: Some(2), max: Some(8) });
    assert_eq!(spec.instances, [CountBounds::default(), CountBounds { min: None, max: Some(3) }]);
    assert_eq!(spec.levels[1], Level { lag: 500, shards: 8, instances: Some(3) });
    let seconds =
        [spec.target.age, spec.target.drain_within, spec.cooldown.up, spec.cooldown.down, spec.smooth];
    assert_eq!(seconds.map(|length| length.as_secs()), [2, 30, 0, 60, 3]);
}

#[test]
fn scaling_reports_each_mistake_with_a_remedy() {
    for (scaling, key, words) in [
        ("policy = \"lag\"", "policy", &["is \"lag\"", "\"target\""][..]),
        ("shards = { min = 4, max = 2 }", "shards.max", &["is 2, less than min, which is 4"]),
        ("shards = { max = 300 }", "shards.max", &["300 is out of range 1..=256"]),
        ("instances = { voices = { max = 2 } }", "instances.voices", &["no step", "\"voice\"?"]),
        ("instances = { voice = { most = 2 } }", "instances.voice.most", &["unknown key"]),
        ("instances = { voice = 2 }", "instances.voice", &["is 2", "a table"]),
        ("levels = 4", "levels", &["is 4", "a list"]),
        ("levels = [4]", "levels", &["entry 1 is 4", "{ lag = 10000, shards = 16 }"]),
        ("levels = []", "levels", &["lag = 0"]),
        ("levels = [{ lag = 5, shards = 4 }]", "levels", &["lag = 0"]),
        ("levels = [{ lag = 0 }]", "levels", &["entry 1 has no shards"]),
        ("levels = [{ lag = 0, shard = 4 }]", "levels", &["\"shard\"", "\"shards\"?"]),
        ("levels = [{ lag = 0, shards = 0 }]", "levels", &["has a wrong shards: 0 is out of range 1..=256"]),
        ("levels = [{ lag = 0, shards = 4 }, { lag = 0, shards = 8 }]", "levels", &["entry 2 has lag 0"]),
        ("levels = [{ lag = 0, shards = 4 }, { lag = 9, shards = 2 }]", "levels", &["entry 2 has fewer"]),
        (
            "levels = [{ lag = 0, shards = 4 }, { lag = 9, shards = 8, instances = 2 }]",
            "levels",
            &["one has instances and one has none", "in all or in none"],
        ),
        ("policy = \"step\"\nshards = { max = 8 }", "shards.max", &["is 8", "16 shards"]),
        ("policy = \"step\"\nshards = { min = 8 }", "shards.min", &["is 8", "4 shards"]),
        ("busy = 0", "busy", &["0 is out of range 0.1..=1"]),
        ("drained = 2", "drained", &["2 is out of range 0..=1"]),
        ("target_age = \"0s\"", "target_age", &["above 0"]),
        ("cooldown = \"5s\"", "cooldown", &["unknown key", "\"cooldown_up\""]),
    ] {
        let found = problems(&with(&format!("[scaling]\n{scaling}")));
        let [problem] = found.as_slice() else { panic!("{scaling}: {found:#?}") };
        assert_eq!(problem.key, format!("scaling.{key}"), "{scaling}");
        let line = 1 + with("").lines().position(|line| line == "[limits]").expect("it is there");
        let (at, _) = problem.place.expect("a place");
        assert!((line..line + 3).contains(&at), "{scaling}: {problem:?} near {line}");
        for word in words {
            assert!(problem.message.contains(word), "{scaling}: {word:?} is not in {problem:?}");
        }
    }
}
