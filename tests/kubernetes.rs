//! `config/kubernetes` compared with the pipeline, the image and the code. No cluster is used: the tests compare names that
//! two sides share.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    let mut documents =
        YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}: not one document");
    documents.remove(0)
}

fn pipeline() -> toml::Table {
    read("config/talking-face.toml").parse().expect("config/talking-face.toml")
}

fn deployment() -> Yaml {
    yaml("config/kubernetes/lockstep.yaml")
}

fn scaled_objects() -> [Yaml; 2] {
    ["config/kubernetes/keda-prometheus.yaml", "config/kubernetes/keda-kafka.yaml"].map(yaml)
}

fn text(yaml: &Yaml) -> &str {
    yaml.as_str().unwrap_or_else(|| panic!("{yaml:?} is no text"))
}

fn number(yaml: &Yaml) -> i64 {
    yaml.as_i64().unwrap_or_else(|| panic!("{yaml:?} is no number"))
}

fn list(yaml: &Yaml) -> &[Yaml] {
    yaml.as_vec().unwrap_or_else(|| panic!("{yaml:?} is no list"))
}

/// Seconds of a duration of the settings that is written in whole seconds or minutes.
fn seconds(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<i64>().expect("a whole number") * if unit == "m" { 60 } else { 1 }
}

/// The size of `256MiB` and `2Gi` alike.
fn bytes(text: &str) -> u64 {
    let split = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "Mi" | "MiB" => 20,
        "Gi" | "GiB" => 30,
        other => panic!("{other} is not compared here"),
    };
    number.parse::<u64>().expect("a whole number") << shift
}

#[test]
fn deployment_selects_its_pods_and_leaves_the_number_to_keda() {
    let deployment = deployment();
    assert_eq!((text(&deployment["apiVersion"]), text(&deployment["kind"])), ("apps/v1", "Deployment"));
    let spec = &deployment["spec"];
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    assert!(spec["replicas"].is_badvalue(), "replicas would undo what KEDA has set");
}

#[test]
fn pods_are_given_longer_to_stop_than_an_orderly_stop_takes() {
    let limits = pipeline()["limits"].clone();
    let within = limits.get("stop_within").map_or("10s", |within| within.as_str().expect("a duration"));
    let grace = number(&deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]);
    assert!(grace >= seconds(within) + 10, "{grace} s for {within}");
}

#[test]
fn probes_and_scrapes_ask_where_lockstep_answers() {
    let deployment = deployment();
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    let port = &container["ports"][0];
    let listen = list(&container["env"])
        .iter()
        .find(|variable| text(&variable["name"]) == "LOCKSTEP_HTTP")
        .expect("beyond loopback, where it listens unless told");
    assert_eq!(text(&listen["value"]), format!("0.0.0.0:{}", number(&port["containerPort"])));
    let routes = read("connectors/http/src/server.rs");
    for (probe, path) in [("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")] {
        let ask = &container[probe]["httpGet"];
        assert_eq!((text(&ask["path"]), &ask["port"]), (path, &port["name"]), "{probe}");
        assert!(routes.contains(&format!("\"{path}\"")), "{path} is not served");
        let patience = number(&container[probe]["timeoutSeconds"]);
        assert!(
            patience > 1,
            "a process whose cores are all at work may need longer than the default of 1 s"
        );
    }
    let scrape = &template["metadata"]["annotations"];
    assert_eq!(text(&scrape["prometheus.io/port"]), number(&port["containerPort"]).to_string());
    assert_eq!(text(&scrape["prometheus.io/path"]), "/metrics");
    assert_eq!(text(&scrape["prometheus.io/scrape"]), "true", "an annotation is a text");
}

#[test]
fn the_process_has_no_privileges_and_cannot_write_to_its_image() {
    let deployment = deployment();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], Yaml::Boolean(true));
    let user = number(&pod["securityContext"]["runAsUser"]);
    assert!(read("Dockerfile").contains(&format!("--uid {user} ")), "the image has no user {user}");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["readOnlyRootFilesystem"], Yaml::Boolean(true));
    assert_eq!(container["allowPrivilegeEscalation"], Yaml::Boolean(false));
    assert_eq!(text(&container["capabilities"]["drop"][0]), "ALL");
    assert_eq!(pod["automountServiceAccountToken"], Yaml::Boolean(false));
}

#[test]
fn the_image_runs_a_pipeline_that_fits_the_memory_of_its_pod() {
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> = list(&container["args"]).iter().map(text).collect();
    assert_eq!(args, ["run", "config/talking-face.toml"]);
    assert!(read("Dockerfile").contains("COPY config config"));
    let memory = bytes(text(&container["resources"]["limits"]["memory"]));
    let budget = bytes(pipeline()["limits"]["memory"].as_str().expect("a size"));
    assert!(memory >= budget + (1 << 30), "{budget} and what models take do not fit {memory}");
}

#[test]
fn deployment_takes_a_local_image_and_makes_topics_first() {
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(text(&container["imagePullPolicy"]), "IfNotPresent", "the default for :latest is Always");
    let text = read("config/kubernetes/lockstep.yaml");
    let [_, most] = scaled_objects().map(|scaled| number(&scaled["spec"]["maxReplicaCount"]));
    let create =
        format!("lockstep topics create config/talking-face.toml --brokers HOST:PORT --partitions {most}\n");
    assert!(text.contains(&create), "{create}");
}

#[test]
fn keda_scales_from_one_pod_to_one_for_each_partition() {
    let compose = yaml("docker-compose.yml");
    let topics = text(&compose["services"]["topics"]["environment"]["TOPICS"]).to_owned();
    for scaled in scaled_objects() {
        assert_eq!(
            (text(&scaled["apiVersion"]), text(&scaled["kind"])),
            ("keda.sh/v1alpha1", "ScaledObject")
        );
        let spec = &scaled["spec"];
        assert_eq!(spec["scaleTargetRef"]["name"], deployment()["metadata"]["name"]);
        assert_eq!(number(&spec["minReplicaCount"]), 1);
        let most = number(&spec["maxReplicaCount"]);
        for input in pipeline()["inputs"].as_table().expect("inputs").keys() {
            assert!(
                topics.contains(&format!("{input}:{most} ")),
                "{input} has not {most} partitions: {topics}"
            );
        }
        let down = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"];
        assert!(
            (60..=3600).contains(&number(&down["stabilizationWindowSeconds"])),
            "no rebalance for a lull"
        );
        for trigger in list(&spec["triggers"]) {
            let metadata = trigger["metadata"].as_hash().expect("a table");
            assert!(
                metadata.values().all(|value| value.as_str().is_some()),
                "KEDA takes texts: {metadata:?}"
            );
        }
    }
}

#[test]
fn keda_asks_prometheus_for_a_metric_that_there_is() {
    let [prometheus, _] = scaled_objects();
    let [trigger] = list(&prometheus["spec"]["triggers"]) else { panic!("one trigger") };
    assert_eq!(text(&trigger["type"]), "prometheus");
    assert_eq!(text(&trigger["metadata"]["query"]), "sum(lockstep_desired_replicas)");
    assert_eq!(text(&trigger["metadata"]["threshold"]), "1", "the sum is the number of pods");
    assert!(read("engine/src/telemetry.rs").contains("\"lockstep_desired_replicas\""));
}

#[test]
fn keda_asks_for_the_lag_of_each_input_in_the_group() {
    let [_, kafka] = scaled_objects();
    let pipeline = pipeline();
    let name = pipeline["pipeline"]["name"].as_str().expect("a name");
    let group =
        pipeline.get("kafka").and_then(|kafka| kafka.get("group")).map_or(name, |g| g.as_str().unwrap());
    let triggers = list(&kafka["spec"]["triggers"]);
    let mut asked: Vec<&str> = triggers.iter().map(|trigger| text(&trigger["metadata"]["topic"])).collect();
    let inputs = pipeline["inputs"].as_table().expect("inputs");
    let topic = |(name, input): (&String, &toml::Value)| {
        input.get("topic").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
    };
    let mut topics: Vec<String> = inputs.iter().map(topic).collect();
    asked.sort_unstable();
    topics.sort_unstable();
    assert_eq!(asked, topics);
    for trigger in triggers {
        assert_eq!(text(&trigger["type"]), "kafka");
        assert_eq!(text(&trigger["metadata"]["consumerGroup"]), group);
        let brokers = &deployment()["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
        assert_eq!(&trigger["metadata"]["bootstrapServers"], brokers);
    }
}
