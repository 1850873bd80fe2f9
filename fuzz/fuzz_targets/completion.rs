//! The decoder of completion maps: for any metadata of a commit it returns a map or an error, and a map can be
//! written and read again.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use lockstep_engine::completion::Progress;
use lockstep_engine::position::NextOffset;

/// Metadata with a correct checksum: otherwise few inputs would pass it.
fn sealed(base: i64, version_and_form: [u8; 2], body: &[u8]) -> String {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&base.to_le_bytes());
    sum.update(&version_and_form);
    sum.update(body);
    let bytes = [&version_and_form[..], &sum.finalize().to_le_bytes(), body].concat();
    format!("lockstep:{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn look(base: i64, text: &str) {
    let base = NextOffset(base);
    let Ok(map) = Progress::decode(base, text) else { return };
    for set in [&map.ended, &map.published] {
        assert!(set.runs().iter().all(|run| run.from.0 < run.to.0 && run.from.0 >= base.0));
        assert!(set.runs().windows(2).all(|two| two[0].to.0 < two[1].from.0));
    }
    assert!(map.published.runs().iter().all(|run| !map.ended.contains(run.from)));
    // A map that was short as a bitmap or deflated may be too long in another encoding.
    if let Some(again) = map.encode(base, usize::MAX) {
        assert_eq!(Progress::decode(base, &again), Ok(map));
    }
}

fuzz_target!(|data: (i64, [u8; 2], &[u8])| {
    let (base, [version, form], body) = data;
    look(base, &sealed(base, [1, form % 3], body));
    look(base, &sealed(base, [version, form], body));
    if let Ok(text) = std::str::from_utf8(body) {
        look(base, text);
        look(base, &format!("lockstep:{text}"));
    }
});
