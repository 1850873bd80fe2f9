use proptest::prelude::*;

use super::*;
use crate::infer::rows::split;
use crate::infer::signature::{Dim, StateSpec, TensorSpec};
use crate::tensor::DType;

/// A miniature model with the stream state `sum` `[2, batch]` and `last` `[batch, 1]`.
fn signature() -> Signature {
    let spec = |name: &str, shape: &[Dim]| TensorSpec {
        name: name.to_owned(),
        dtype: DType::I64,
        shape: shape.to_vec(),
        rows: None,
    };
    let batch = || Dim::Named("batch".to_owned());
    let carried = [spec("sum", &[Dim::Fixed(2), batch()]), spec("last", &[batch(), Dim::Fixed(1)])];
    Signature {
        inputs: [vec![spec("x", &[batch()])], carried.to_vec()].concat(),
        outputs: [carried.to_vec(), vec![spec("y", &[batch()])]].concat(),
        state: ["sum", "last"].map(|n| StateSpec { input: n.to_owned(), output: n.to_owned() }).to_vec(),
        max_batch: None,
    }
}

/// `sum` counts the calls and adds up `x`; `y` depends on all state.
fn run(inputs: &[Tensor]) -> Vec<Tensor> {
    let values = |input: usize| inputs[input].elements::<i64>().expect("i64").to_vec();
    let (x, sum, last) = (values(0), values(1), values(2));
    let batch = x.len();
    let (calls, total) = sum.split_at(batch);
    let calls: Vec<i64> = calls.iter().map(|calls| calls + 1).collect();
    let total: Vec<i64> = total.iter().zip(&x).map(|(total, x)| total + x).collect();
    let y = (0..batch).map(|row| calls[row] * 1_000_000 + total[row] * 1000 + last[row]).collect();
    let tensor = |shape: &[usize], values: Vec<i64>| Tensor::new(shape.to_vec(), &values).expect("as many");
    vec![tensor(&[2, batch], [calls, total].concat()), tensor(&[batch, 1], x), tensor(&[batch], y)]
}

fn step(store: &mut StateStore, streams: &[&StreamKey], x: &[i64]) -> Vec<i64> {
    let mut inputs = vec![Tensor::new(vec![x.len()], x).expect("as many")];
    inputs.extend(store.batch(streams).expect("each stream once").into_iter().map(|(_, tensor)| tensor));
    let outputs = split(&signature(), x.len(), &run(&inputs), |_| true).expect("as the signature says");
    let under: Vec<(&StreamKey, u32)> = streams.iter().map(|stream| (*stream, 1)).collect();
    store.store(&under, &outputs);
    outputs.iter().map(|row| row.get(2).expect("kept").elements::<i64>().expect("i64")[0]).collect()
}

proptest! {
    #[test]
    fn streams_in_changing_batches_give_the_same_as_alone(
        batches in prop::collection::vec(prop::sample::subsequence((0..5_usize).collect::<Vec<_>>(), 1..5), 1..20),
    ) {
        let keys: Vec<StreamKey> = (0..5).map(|key| StreamKey::from(key.to_string().as_str())).collect();
        let mut together = StateStore::new(&signature(), 8);
        let mut alone = StateStore::new(&signature(), 8);
        for (call, batch) in batches.iter().enumerate() {
            let x: Vec<i64> = batch.iter().map(|stream| (call * 7 + stream * 3) as i64 % 50).collect();
            let streams: Vec<&StreamKey> = batch.iter().map(|stream| &keys[*stream]).collect();
            let y = step(&mut together, &streams, &x);
            for (row, stream) in streams.iter().enumerate() {
                prop_assert_eq!(step(&mut alone, &[stream], &x[row..=row]), &y[row..=row]);
            }
        }
    }
}

#[test]
fn least_recently_used_stream_is_evicted_and_begins_anew() {
    let [a, b, c] = ["a", "b", "c"].map(StreamKey::from);
    let mut store = StateStore::new(&signature(), 2);
    assert_eq!(step(&mut store, &[&a, &b], &[1, 1]), [1_001_000, 1_001_000]);
    assert_eq!(step(&mut store, &[&a], &[1]), [2_002_001]);
    step(&mut store, &[&c], &[1]);
    assert_eq!((store.len(), store.forgotten()), (2, 1));
    assert_eq!(step(&mut store, &[&a], &[1]), [3_003_001], "a was used after b");
    assert_eq!(step(&mut store, &[&b], &[1]), [1_001_000], "b begins anew");
    store.forget(&b);
    assert_eq!(step(&mut store, &[&b], &[1]), [1_001_000], "and when a new epoch begins");
    assert_eq!(store.len(), store.by_use.len());
}

#[test]
fn batch_larger_than_the_bound_keeps_all_its_state() {
    let [a, b, c] = ["a", "b", "c"].map(StreamKey::from);
    let mut store = StateStore::new(&signature(), 1);
    step(&mut store, &[&a, &b, &c], &[1, 1, 1]);
    assert_eq!(step(&mut store, &[&a, &b, &c], &[1, 1, 1]), [2_002_001; 3]);
}

#[test]
fn batch_refuses_a_stream_twice() {
    let [a, b] = ["a", "b"].map(StreamKey::from);
    let mut store = StateStore::new(&signature(), 2);
    assert_eq!(store.batch(&[&a, &b, &a]), Err(StateError::Twice(a.clone())));
    assert!(store.is_empty());
}

/// The state of a stream after one bundle of this `x`.
fn after_one(x: i64) -> Vec<Tensor> {
    let tensor = |shape: &[usize], values: &[i64]| Tensor::new(shape.to_vec(), values);
    vec![tensor(&[2], &[1, x]).expect("as many"), tensor(&[1], &[x]).expect("as many")]
}

#[test]
fn restored_state_counts_once_and_until_a_bundle_used_it() {
    let (mut store, key) = (StateStore::new(&signature(), 8), StreamKey::from("a"));
    for _ in 0..2 {
        // The second time is a retry.
        assert!(!store.admit(&key, 1, true, || Some(after_one(7))));
        assert_eq!(store.len(), 1);
    }
    assert_eq!(step(&mut store, &[&key], &[5]), [2_007_007 + 5_000]);
    store.admit(&key, 1, false, || panic!("it is known"));
    assert_eq!(step(&mut store, &[&key], &[1]), [3_013_005]);
    store.admit(&key, 1, true, || panic!("a new epoch begins with nothing"));
    assert_eq!(step(&mut store, &[&key], &[4]), [1_004_000]);
}

#[test]
fn state_of_an_earlier_assignment_does_not_count() {
    let (mut store, key) = (StateStore::new(&signature(), 8), StreamKey::from("a"));
    step(&mut store, &[&key], &[9]);
    store.admit(&key, 2, false, || Some(after_one(7)));
    let late = [StepOutput::from_iter(after_one(1))];
    store.store(&[(&key, 1)], &late);
    store.admit(&key, 1, true, || panic!("the assignment has ended"));
    assert_eq!(step(&mut store, &[&key], &[5]), [2_012_007], "neither the 9 nor the 1");
}

#[test]
fn state_that_does_not_fit_the_signature_is_refused() {
    let (mut store, key) = (StateStore::new(&signature(), 8), StreamKey::from("a"));
    assert!(store.admit(&key, 1, true, || Some(after_one(7).split_off(1))));
    assert_eq!(step(&mut store, &[&key], &[5]), [1_005_000]);
}

proptest! {
    /// Streams move between two stores at random; a third store, where all stay, is the reference.
    #[test]
    fn state_that_moves_between_stores_is_the_same_as_unmoved(
        rounds in prop::collection::vec((0usize..4, any::<bool>(), 1i64..9), 0..60),
    ) {
        let keys = ["a", "b", "c", "d"].map(StreamKey::from);
        let mut stores = [StateStore::new(&signature(), 4), StateStore::new(&signature(), 4)];
        let mut of_all = StateStore::new(&signature(), 4);
        let mut at = [0; 4];
        for (stream, moves, x) in rounds {
            let key = &keys[stream];
            if moves {
                let given = stores[at[stream]].hand_over(|other| other == key);
                prop_assert!(given.iter().all(|given| given.stream() == key));
                at[stream] = 1 - at[stream];
                stores[at[stream]].adopt(given);
            }
            prop_assert_eq!(step(&mut stores[at[stream]], &[key], &[x]), step(&mut of_all, &[key], &[x]));
            prop_assert_eq!(stores[0].len() + stores[1].len(), of_all.len());
        }
    }
}

#[test]
fn adopted_older_assignment_does_not_replace_newer_state() {
    let key = StreamKey::from("a");
    let (mut earlier, mut later) = (StateStore::new(&signature(), 4), StateStore::new(&signature(), 4));
    step(&mut earlier, &[&key], &[9]);
    later.admit(&key, 2, false, || Some(after_one(7)));
    later.adopt(earlier.hand_over(|_| true));
    assert!(earlier.is_empty());
    assert_eq!(step(&mut later, &[&key], &[5]), [2_012_007]);
}
