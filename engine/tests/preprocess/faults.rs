//! Tests of broken payloads: each is a fault, never a panic, and takes no memory before it is checked.

use lockstep_engine::fault::Reason;
use lockstep_engine::media::{Media, Pcm, PcmFormat};
use lockstep_engine::preprocess::spec::{
    Color, Filter, ImageSpec, Layout, LogMelSpec, MelLog, Resize, TextSpec, WaveformSpec,
};
use lockstep_engine::preprocess::{Preprocess, Preprocessor, RowFault, RowMut, Scratch};
use lockstep_engine::tensor::DType;
use proptest::prelude::*;

use crate::support::{golden, log_mel, make, make_with, media_of, part, path, sample, window};

const PICTURES: [&str; 10] = [
    "scene.jpg",
    "scene-progressive.jpg",
    "gray.jpg",
    "cmyk.jpg",
    "scene.png",
    "rgba.png",
    "palette.png",
    "gray16.png",
    "scene.webp",
    "lossless.webp",
];
const SOUNDS: [&str; 12] = [
    "stereo-44k1.flac",
    "short-u8.wav",
    "short-s24.wav",
    "short-f32.wav",
    "speechlike-16k.wav",
    "wild-ulaw.wav",
    "wild-f64.wav",
    "wild-rf64.wav",
    "wild-extensible.wav",
    "wild-s24-low.wav",
    "wild-s24-high.wav",
    "wild-pipe.flac",
];

fn picture() -> ImageSpec {
    ImageSpec {
        width: 24,
        height: 24,
        resize: Resize::Fit { filter: Filter::Bilinear, fill: [0; 3] },
        region: Default::default(),
        color: Color::Rgb,
        scale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
        layout: Layout::Chw,
        dtype: DType::F32,
        max_pixels: 1 << 16,
        decode: Default::default(),
        care: Default::default(),
    }
}

fn settings_for(media: &Media) -> Preprocess {
    match media {
        Media::Wav | Media::Flac | Media::Pcm(_) => Preprocess::Waveform(WaveformSpec {
            rate: 16_000,
            length: 20_000,
            scale: 1.0,
            drift: Default::default(),
        }),
        _ => Preprocess::Image(picture()),
    }
}

fn outcome(media: Media, payload: Vec<u8>) -> Result<(), RowFault> {
    make(&settings_for(&media), &part(vec![sample(media, payload, 0)])).map(|_| ())
}

fn reason(media: Media, payload: Vec<u8>) -> Reason {
    let error = outcome(media, payload).expect_err("must be at fault");
    assert_eq!(error.sample, Some(0));
    error.fault.reason
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn garbled_payloads_never_panic(
        name in prop::sample::select([PICTURES.as_slice(), SOUNDS.as_slice()].concat()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        // Most changes that matter are in headers.
        in_header in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut payload = golden(name);
        let reach = if in_header { payload.len().min(200) } else { payload.len() };
        for (at, byte) in changes {
            payload[at.index(reach)] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        if let Err(error) = outcome(media_of(name), payload) {
            prop_assert!(matches!(error.fault.reason, Reason::Undecodable | Reason::DecodedTooLarge));
            prop_assert!(!error.fault.message.is_empty());
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for media in [Media::Jpeg, Media::Png, Media::WebP, Media::Wav, Media::Flac] {
            prop_assert!(outcome(media, bytes.clone()).is_err());
        }
    }
}

/// The PNG's empty end chunk may be missing; so may a byte of padding after a WebP.
#[test]
fn cut_payload_is_undecodable() {
    for name in [PICTURES.as_slice(), SOUNDS.as_slice()].concat() {
        let whole = golden(name);
        assert_eq!(outcome(media_of(name), whole.clone()), Ok(()), "{name}");
        for keep in [0, 1, 10, 30, whole.len() / 3, whole.len() / 2, whole.len() * 9 / 10, whole.len() - 17] {
            let found = outcome(media_of(name), whole[..keep].to_vec());
            let error = found.expect_err(&format!("{name} cut to {keep} of {}", whole.len()));
            assert_eq!(error.fault.reason, Reason::Undecodable, "{name} cut to {keep}");
        }
    }
}

/// Only IHDR with its checksum: 60000 x 60000 would be 10 GB.
#[test]
fn huge_png_is_refused_by_its_header() {
    let mut payload = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    payload.extend(60_000u32.to_be_bytes());
    payload.extend(60_000u32.to_be_bytes());
    payload.extend([8, 2, 0, 0, 0]);
    assert_eq!(reason(Media::Png, payload), Reason::DecodedTooLarge);
}

#[test]
fn huge_jpeg_is_refused_by_its_header() {
    let mut payload = golden("scene.jpg");
    let frame = payload.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame header");
    payload[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert_eq!(reason(Media::Jpeg, payload), Reason::DecodedTooLarge);
}

#[test]
fn huge_webp_is_refused_by_its_bitstream() {
    let mut payload = golden("scene.webp");
    let start = payload.windows(3).position(|three| three == [0x9d, 0x01, 0x2a]).expect("a start code");
    payload[start + 3..start + 7].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert_eq!(reason(Media::WebP, payload.clone()), Reason::DecodedTooLarge);
    // The same after a canvas that claims to be small.
    let mut extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x09\0\0\x09\0\0".to_vec();
    extended.extend(&payload[12..]);
    let size = (extended.len() - 8) as u32;
    extended[4..8].copy_from_slice(&size.to_le_bytes());
    assert_eq!(reason(Media::WebP, extended), Reason::DecodedTooLarge);
}

#[test]
fn pixel_limit_is_exact() {
    let at = |max_pixels| {
        let spec = ImageSpec { max_pixels, ..picture() };
        let input = part(vec![sample(Media::Jpeg, golden("scene.jpg"), 0)]);
        make(&Preprocess::Image(spec), &input).map(|_| ()).map_err(|error| error.fault.reason)
    };
    assert_eq!(at(160 * 120), Ok(()));
    assert_eq!(at(160 * 120 - 1), Err(Reason::DecodedTooLarge));
}

#[test]
fn wrong_sound_headers_are_refused() {
    let mut wav = golden("speechlike-16k.wav");
    wav[40..44].copy_from_slice(&0x7000_0000u32.to_le_bytes());
    assert_eq!(reason(Media::Wav, wav), Reason::Undecodable);
    let mut flac = golden("stereo-44k1.flac");
    flac[22..26].copy_from_slice(&[0xff; 4]);
    assert_eq!(reason(Media::Flac, flac), Reason::Undecodable);
}

#[test]
fn raw_payload_of_another_length_is_refused() {
    let media = Media::Rgb { width: 8, height: 4 };
    assert_eq!(outcome(media, vec![7; 96]), Ok(()));
    assert_eq!(reason(media, vec![7; 95]), Reason::Undecodable);
    assert_eq!(reason(Media::Rgb { width: 60_000, height: 60_000 }, vec![7; 96]), Reason::DecodedTooLarge);
    let bytes =
        |length| make(&Preprocess::Bytes { length }, &part(vec![sample(Media::Binary, vec![1, 2, 3], 0)]));
    assert!(bytes(3).is_ok());
    assert_eq!(bytes(4).expect_err("short").fault.reason, Reason::Undecodable);
}

#[test]
fn samples_that_are_not_finite_are_refused() {
    let media = Media::Pcm(Pcm { rate: 16_000, channels: 1, format: PcmFormat::F32Le });
    let payload = [0.5f32, f32::NAN].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(reason(media, payload), Reason::Undecodable);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let spec = TextSpec {
        tokenizer: path("tokenizer.json"),
        length: 8,
        special_tokens: true,
        pad_id: None,
        dtype: DType::I64,
    };
    let input = part(vec![sample(Media::Text, vec![b'a', 0xff], 0)]);
    let error = make(&Preprocess::TokenIds(spec), &input).expect_err("not UTF-8");
    assert_eq!(error.fault.reason, Reason::Undecodable);
    assert!(error.fault.message.contains("byte 1"), "{}", error.fault.message);
}

#[test]
fn fault_names_its_sample() {
    let pcm = Media::Pcm(Pcm { rate: 16_000, channels: 1, format: PcmFormat::S16Le });
    let samples = vec![sample(pcm, vec![0; 320], 0), sample(pcm, vec![0; 321], 10_000_000)];
    let settings = Preprocess::Waveform(WaveformSpec {
        rate: 16_000,
        length: 320,
        scale: 1.0,
        drift: Default::default(),
    });
    assert_eq!(make(&settings, &window(samples, 0, 1_000_000_000)).expect_err("odd").sample, Some(1));
}

#[test]
fn fault_names_no_sample_if_none_is_faulty() {
    let preprocessor = Preprocessor::new(&Preprocess::Bytes { length: 2 }).expect("settings");
    let error = make_with(&preprocessor, &part(Vec::new()), &mut Scratch::default()).expect_err("missing");
    assert_eq!((error.sample, error.fault.reason), (None, Reason::InputMissing));
    let input = part(vec![sample(Media::Binary, vec![1, 2], 0)]);
    let mut three = [0u8; 3];
    let wrong = preprocessor.write_row(&input, RowMut::U8(&mut three), &mut Scratch::default());
    assert_eq!(wrong.expect_err("too long").sample, None);
    let wrong = preprocessor.write_row(&input, RowMut::F32(&mut [0.0; 2]), &mut Scratch::default());
    assert_eq!(wrong.expect_err("of another type").sample, None);
}

#[test]
fn wrong_settings_are_refused_with_a_remedy() {
    let mel = LogMelSpec { log: MelLog::Whisper, ..log_mel() };
    let wave = mel.wave.clone();
    let text = TextSpec {
        tokenizer: path("tokenizer.json"),
        length: 2,
        special_tokens: true,
        pad_id: None,
        dtype: DType::I64,
    };
    for (settings, named) in [
        (Preprocess::Image(ImageSpec { std: [1.0, 0.0, 1.0], ..picture() }), "std"),
        (Preprocess::Image(ImageSpec { width: 0, ..picture() }), "width"),
        (Preprocess::Image(ImageSpec { dtype: DType::U8, ..picture() }), "u8"),
        (Preprocess::Image(ImageSpec { dtype: DType::I64, ..picture() }), "i64"),
        (Preprocess::Waveform(WaveformSpec { length: 0, ..wave.clone() }), "length"),
        (Preprocess::LogMel(LogMelSpec { f_max: 9_000.0, ..mel.clone() }), "f_max"),
        (Preprocess::LogMel(LogMelSpec { win_length: 401, ..mel.clone() }), "win_length"),
        (
            Preprocess::LogMel(LogMelSpec { wave: WaveformSpec { length: 200, ..wave }, ..mel.clone() }),
            "reflection",
        ),
        (Preprocess::LogMel(LogMelSpec { power: 1.5, ..mel }), "power"),
        (Preprocess::TokenIds(text.clone()), "special tokens"),
        (Preprocess::TokenIds(TextSpec { tokenizer: path("make.py"), ..text }), "make.py"),
        (Preprocess::Bytes { length: 0 }, "length"),
    ] {
        let error = Preprocessor::new(&settings).err().unwrap_or_default();
        assert!(error.contains(named), "{named}: {error}");
    }
}
