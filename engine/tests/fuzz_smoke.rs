//! The properties of the fuzz targets, over random bytes and random changes of good files: on any toolchain, without
//! libFuzzer. `LOCKSTEP_FUZZ_CASES=2000000 cargo test --release --workspace --test fuzz_smoke` runs longer.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests may stop, as tests do")]
#![allow(missing_docs, unreachable_pub, reason = "what the fuzz targets share is no part of a crate")]

use proptest::prelude::*;

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

/// A payload with a few changed bytes, and perhaps cut or with bytes appended.
fn changed(
    mut bytes: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) -> Vec<u8> {
    for (at, byte) in changes {
        // Most changes that matter are in headers.
        let reach = if byte % 2 == 0 { bytes.len().min(120) } else { bytes.len() };
        bytes[at.index(reach)] = *byte;
    }
    if let Some(cut) = cut {
        let length = cut.index(bytes.len() + 8);
        bytes.resize(length, 0x80);
    }
    bytes
}

#[allow(clippy::disallowed_methods, reason = "a test reads golden files")]
fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess").join(name);
    std::fs::read(path).expect(name)
}

/// The number of cases of each property.
fn cases() -> ProptestConfig {
    let said = std::env::var("LOCKSTEP_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(said.unwrap_or(4_000))
}

type Changes = (Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>);

fn changes() -> impl Strategy<Value = Changes> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff])];
    let some = prop::collection::vec((any::<prop::sample::Index>(), byte), 0..8);
    (some, prop::option::weighted(0.3, any::<prop::sample::Index>()))
}

/// Random manifests, many of them valid.
fn manifest() -> impl Strategy<Value = String> {
    const NAMES: [&str; 4] = ["a", "b", "c", ""];
    let wrong = || prop::bool::weighted(0.05);
    let name = || prop::sample::select(NAMES.to_vec());
    let file = prop::sample::select(vec![
        "",
        "file = 'm.pt'",
        "file = '.'",
        "file = '..'",
        "file = 'a/b'",
        "max_batch = 0",
        "weights = { file = 'a.safetensors' }",
        "weights = { file = 'a.safetensors.index.json', prepack = true }",
        "weights = { file = '../a.safetensors' }",
    ]);
    let good = prop::sample::select(vec!["'n'", "'m'", "'2*n'", "'512 * m'", "3", "128"]);
    let bad = vec![
        "'batch'",
        "'2*batch'",
        "'0*n'",
        "'9223372036854775807*n'",
        "0",
        "4294967296",
        "9223372036854775807",
        "-1",
    ];
    let dim = prop_oneof![8 => good, 1 => prop::sample::select(bad)];
    let dtype = prop::sample::select(vec!["f32", "i64", "u8"]);
    let tensor = (
        wrong(),
        name(),
        dtype,
        wrong(),
        prop::collection::vec(dim, 0..3),
        prop::option::weighted(0.1, name()),
    );
    let tensors = |kind: &'static str| {
        prop::collection::vec(tensor.clone(), 1..4).prop_map(move |all| {
            let each =
                all.iter().zip(NAMES).map(|((misnamed, other, dtype, unbatched, dims, rows), name)| {
                    let name = if *misnamed { other } else { name };
                    let batch = !unbatched && rows.is_none();
                    let dims: Vec<&str> =
                        batch.then_some("'batch'").into_iter().chain(dims.iter().copied()).collect();
                    let rows = rows.map(|rows| format!("rows = '{rows}'\n")).unwrap_or_default();
                    format!(
                        "[[{kind}]]\nname = '{name}'\ndtype = '{dtype}'\nshape = [{}]\n{rows}",
                        dims.join(", ")
                    )
                });
            each.collect::<String>()
        })
    };
    let state = prop::option::weighted(0.3, (name(), name())).prop_map(|state| {
        let written = |(input, output)| format!("[[state]]\ninput = '{input}'\noutput = '{output}'\n");
        state.map(written).unwrap_or_default()
    });
    let backend = prop::sample::select(vec!["x", "onnxruntime"]);
    (backend, file, tensors("inputs"), tensors("outputs"), state).prop_map(
        |(backend, file, inputs, outputs, state)| {
            format!("backend = '{backend}'\n{file}\n{inputs}{outputs}{state}")
        },
    )
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn wav_headers_never_mislead(
        name in prop::sample::select(vec![
            "short-u8.wav", "wild-f64.wav", "wild-rf64.wav", "wild-extensible.wav", "wild-s24-low.wav", "wild-ulaw.wav",
        ]),
        (some, cut) in changes(),
    ) {
        checks::wav::check(&changed(golden(name), &some, cut));
    }

    #[test]
    fn flac_frames_never_mislead(
        name in prop::sample::select(vec!["wild-pipe.flac", "wild-tagged.flac"]),
        (some, cut) in changes(),
    ) {
        checks::flac::check(&changed(golden(name), &some, cut));
    }

    #[test]
    fn noise_never_misleads(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        checks::wav::check(&bytes);
        checks::flac::check(&bytes);
        checks::content_type::check(&bytes);
        checks::headers::check(&bytes);
        checks::manifest::check(&bytes);
        checks::weights::check(&bytes);
    }

    #[test]
    fn weights_never_mislead(
        name in prop::sample::select(vec!["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]),
        (some, cut) in changes(),
    ) {
        checks::weights::check(&changed(golden(&format!("../../../backends/torch/tests/sharded/{name}")), &some, cut));
    }

    #[test]
    fn jpegs_never_mislead(
        name in prop::sample::select(vec!["scene.jpg", "scene-progressive.jpg", "gray.jpg"]),
        (some, cut) in changes(),
    ) {
        checks::jpeg::check(&changed(golden(name), &some, cut));
    }

    #[test]
    fn changed_manifests_never_mislead(
        model in prop::sample::select(vec!["faces", "identity", "voice"]),
        (some, cut) in changes(),
    ) {
        let bytes = golden(&format!("../../../models/{model}/1/model.toml"));
        checks::manifest::check(&changed(bytes, &some, cut));
    }

    #[test]
    fn manifests_of_any_signature_never_mislead(manifest in manifest()) {
        checks::manifest::check(manifest.as_bytes());
    }

    #[test]
    fn content_types_never_mislead(
        essence in prop::sample::select(vec!["audio/pcm", "audio/x-raw", "audio/L16", "image/x-rgb", "text/plain", "audio/basic"]),
        rest in "([;,] ?[a-z-]{0,12}=?\"?(\\(string\\))?[A-Za-z0-9_.]{0,8}\"?){0,5}",
    ) {
        checks::content_type::check(format!("{essence};rate=8000{rest}").as_bytes());
        checks::content_type::check(format!("{essence}{rest}").as_bytes());
    }

    #[test]
    fn headers_never_mislead(
        headers in prop::collection::vec(
            (
                0u8..16,
                prop_oneof![
                    "\\PC{0,24}",
                    prop::sample::select(vec![
                        "text/plain", "Text/Plain; charset=utf-8", "audio/wav", "identity", "gzip", "2026-03-01T12:00:00Z",
                        "1772366400000000000", "-1", "9223372036854775807", "content_type:text/plain", "ce_time:noon",
                    ]).prop_map(str::to_owned),
                ],
            ),
            0..6,
        ),
    ) {
        let each: Vec<Vec<u8>> = headers
            .iter()
            .map(|(kind, value)| [&[kind + 16][..], value.replace('\0', "").as_bytes()].concat())
            .collect();
        checks::headers::check(&each.join(&0));
    }
}
