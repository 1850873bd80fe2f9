#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::testing::at_second;

fn unit(step: &str, version: &str) -> UnitId {
    UnitId::new(step, version)
}

fn carried(seconds: i64, values: &[f32]) -> StoredState {
    let row = Tensor::new(vec![values.len(), 1], values).unwrap();
    StoredState { event_time: at_second(seconds), rows: vec![row] }
}

fn stream(name: &str) -> StreamKey {
    StreamKey::from(name)
}

fn restored(near: Option<u64>, of: &[(i32, &str, Bytes)]) -> RestoredStates {
    let mut restored = RestoredStates::new(near.map(Duration::from_secs));
    for (partition, name, value) in of {
        restored.put(*partition, [(key(&unit("voice", "1"), &stream(name)), value.clone())]);
    }
    restored
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let element = (prop::sample::select(DType::ALL.to_vec()), prop::collection::vec(any::<[u8; 8]>(), 0..20));
    element.prop_map(|(dtype, elements)| {
        let bytes = elements.iter().flat_map(|element| element.iter().take(dtype.size()));
        let bytes: Vec<u8> = bytes.map(|byte| if dtype == DType::Bool { byte & 1 } else { *byte }).collect();
        Tensor::from_bytes(dtype, vec![1, elements.len()], &bytes).unwrap()
    })
}

proptest! {
    #[test]
    fn state_decodes_as_it_was_encoded(
        rows in prop::collection::vec(tensor(), 0..4),
        nanos: i64,
    ) {
        let carried = StoredState { event_time: Timestamp::from_nanos(nanos), rows };
        prop_assert_eq!(StoredState::decode(&carried.encode()), Ok(carried));
    }

    #[test]
    fn any_record_is_decoded_or_refused(mut value: Vec<u8>, ours: bool) {
        if let (true, Some(version)) = (ours, value.first_mut()) {
            *version = VERSION;
        }
        if let Ok(carried) = StoredState::decode(&value) {
            // Not compared as numbers, since one may be NaN.
            let written = carried.encode();
            prop_assert_eq!(StoredState::decode(&written).map(|carried| carried.encode()), Ok(written));
        }
    }

    #[test]
    fn truncated_record_is_refused(values in prop::collection::vec(any::<f32>(), 1..9), cut in 1_usize..9) {
        let whole = carried(1, &values).encode();
        prop_assert!(StoredState::decode(&whole[..whole.len().saturating_sub(cut)]).is_err());
    }
}

#[test]
fn record_of_another_version_is_refused_with_its_version() {
    let mut value = carried(1, &[1.0]).encode().to_vec();
    value[0] = 9;
    assert_eq!(StoredState::decode(&value), Err(ChangelogError::Version(9)));
}

#[test]
fn shape_larger_than_memory_is_refused_before_allocation() {
    let row = WireRow { dtype: DType::U8, shape: vec![u64::MAX, 2], bytes: vec![1] };
    let value = postcard::to_extend(&Wire { event_time_ns: 0, rows: vec![row] }, vec![VERSION]).unwrap();
    assert!(matches!(StoredState::decode(&value), Err(ChangelogError::Broken(_))));
}

#[test]
fn restored_state_goes_to_the_next_bundle_of_its_stream() {
    let mut restored = restored(None, &[(0, "a", carried(5, &[2.0]).encode())]);
    assert_eq!(restored.take(&unit("voice", "1"), &stream("b"), at_second(6)), Ok(None));
    assert_eq!(restored.take(&unit("faces", "1"), &stream("a"), at_second(6)), Ok(None));
    assert_eq!(restored.take(&unit("voice", "2"), &stream("a"), at_second(6)), Ok(None), "another version");
    assert_eq!(
        restored.take(&unit("voice", "1"), &stream("a"), at_second(6)),
        Ok(Some(carried(5, &[2.0]).rows))
    );
    assert_eq!(restored.take(&unit("voice", "1"), &stream("a"), at_second(7)), Ok(None));
    assert!(restored.is_empty());
}

#[test]
fn revoked_partition_loses_its_restored_states() {
    let value = carried(5, &[2.0]).encode();
    let mut restored = restored(None, &[(0, "a", value.clone()), (1, "b", value)]);
    restored.forget(0);
    assert_eq!(restored.len(), 1);
    assert_eq!(restored.take(&unit("voice", "1"), &stream("a"), at_second(6)), Ok(None));
}

#[test]
fn stream_in_another_epoch_begins_anew() {
    for (seconds, is_near) in [(94, false), (95, true), (105, true), (106, false)] {
        let mut restored = restored(Some(5), &[(0, "a", carried(100, &[2.0]).encode())]);
        let taken = restored.take(&unit("voice", "1"), &stream("a"), at_second(seconds)).unwrap();
        assert_eq!(taken.is_some(), is_near, "at {seconds} s");
    }
}

#[test]
fn restored_states_are_bounded() {
    let mut restored = RestoredStates::new(None);
    let value = carried(1, &[1.0]).encode();
    let name = |n: usize| stream(&n.to_string());
    restored.put(0, (0..MOST + 10).map(|n| (key(&unit("voice", "1"), &name(n)), value.clone())));
    assert_eq!(restored.len(), MOST);
    assert_eq!(restored.take(&unit("voice", "1"), &name(9), at_second(1)), Ok(None));
    assert!(restored.take(&unit("voice", "1"), &name(10), at_second(1)).unwrap().is_some());
}
