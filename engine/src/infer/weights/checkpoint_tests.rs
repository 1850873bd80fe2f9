use super::*;

fn stored(name: &str, shape: &[usize]) -> StoredTensor {
    StoredTensor { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec(), bytes: 0..4 }
}

fn declared(name: &str, shape: &[usize]) -> DeclaredTensor {
    DeclaredTensor { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec() }
}

fn shard(tensors: &[&str]) -> Result<ShardHeader, String> {
    Ok(ShardHeader { tensors: tensors.iter().map(|name| stored(name, &[1])).collect(), ..Default::default() })
}

fn joined<const N: usize>(
    map: &str,
    headers: [(&str, Result<ShardHeader, String>); N],
) -> (Checkpoint, Vec<String>) {
    let index = WeightIndex::read(format!("{{\"weight_map\": {map}}}").as_bytes()).expect("an index");
    let headers = headers.map(|(name, header)| (name.to_owned(), header));
    let checkpoint = Checkpoint::join(Some(&index), headers.into());
    let faults = checkpoint.faults.clone();
    (checkpoint, faults)
}

#[test]
fn checkpoint_names_all_faults_of_index_and_shards() {
    let (_, faults) = joined(
        r#"{"a": "1", "b": "1", "c": "2", "d": "2", "e": "3"}"#,
        [("1", shard(&["a", "c"])), ("2", shard(&["a", "x"])), ("3", Err("the file is missing".to_owned()))],
    );
    let expected = [
        "a: is in 1 and in 2",
        "3: the file is missing",
        "b: is missing in 1, which the index names",
        "c: is in 1, and the index says 2",
        "d: is missing in 2, which the index names",
        "x: is in 2, and the index does not name it",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn checkpoint_compares_its_tensors_with_those_of_the_model() {
    let (good, faults) =
        joined(r#"{"a": "1", "b": "1", "c": "2"}"#, [("1", shard(&["a", "b"])), ("2", shard(&["c"]))]);
    assert_eq!(faults, [""; 0]);
    let model = ["a", "b", "c"].map(|name| declared(name, &[1]));
    assert_eq!((good.compare(&model), good.refusal(&[])), (vec![], None));
    let half = DeclaredTensor { dtype: DType::F16, ..declared("b", &[1]) };
    let faults = good.compare(&[declared("a", &[2]), half, declared("d", &[3, 4])]);
    let expected = [
        "a: is f32 [1] in 1, and f32 [2] in the model",
        "b: is f32 [1] in 1, and f16 [1] in the model",
        "d: is missing; the model takes f32 [3, 4]",
        "c: is in 2, and the model has no such parameter or buffer",
    ];
    assert_eq!(faults, expected);
    let refusal = good.refusal(&faults).expect("four faults");
    assert!(refusal.starts_with("the weights have faults: a: is f32 [1]"), "{refusal}");
}

#[test]
fn checkpoint_names_no_tensor_twice() {
    let broken = ShardHeader {
        faulty: BTreeSet::from(["b".into()]),
        faults: vec!["b: overlaps".into()],
        ..shard(&["a"]).expect("good")
    };
    let (checkpoint, faults) =
        joined(r#"{"a": "1", "b": "1", "c": "2"}"#, [("1", Ok(broken)), ("2", Err("is cut".to_owned()))]);
    assert_eq!(faults, ["1: b: overlaps", "2: is cut"]);
    let model = ["a", "b", "c"].map(|name| declared(name, &[1]));
    assert_eq!(checkpoint.compare(&model), [""; 0]);
}

#[test]
fn refusal_names_twenty_faults_and_counts_the_rest() {
    let faults: Vec<String> = (0..25).map(|at| format!("t{at}: is missing")).collect();
    let refusal = Checkpoint::default().refusal(&faults).expect("faults");
    assert!(refusal.contains("t19: is missing; and 5 more") && !refusal.contains("t20"), "{refusal}");
}

#[test]
fn checkpoint_finds_the_tensor_of_exact_bytes() {
    let place = |name: &str, bytes| StoredTensor { bytes, ..stored(name, &[1]) };
    let tensors = vec![place("none", 8..8), place("a", 8..12), place("b", 12..20)];
    let shards = vec![WeightShard { name: "1".to_owned(), tensors }];
    let checkpoint = Checkpoint { shards, ..Checkpoint::default() };
    let at = |shard, bytes| checkpoint.at(shard, &bytes).map(|tensor| tensor.name.as_str());
    assert_eq!((at("1", 8..12), at("1", 8..8), at("1", 12..20)), (Some("a"), Some("none"), Some("b")));
    assert_eq!((at("1", 8..20), at("1", 9..12), at("2", 8..12), at("1", 30..40)), (None, None, None, None));
}
