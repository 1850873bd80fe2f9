//! Tests of preprocessing against Pillow, librosa, PyTorch and Hugging Face tokenizers. `make.py` and the scripts beside it
//! in `tests/golden/preprocess` make the inputs and the expected numbers.

use crate::support::{
    bytes_of, floats_of, golden, image, log_mel, make, make_with, media_of, part, path, sample,
};
use lockstep_engine::media::{Media, Pcm, PcmFormat};
use lockstep_engine::preprocess::spec::{
    Color, Filter, ImageSpec, Layout, LogMelSpec, MelLog, MelScale, Resize, TextSpec, WaveformSpec,
};
use lockstep_engine::preprocess::{Preprocess, Preprocessor, RowInfo, Scratch};
use lockstep_engine::tensor::DType;

const FILTERS: [(&str, Filter); 3] =
    [("nearest", Filter::Nearest), ("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)];

fn pixels(name: &str, spec: ImageSpec) -> Vec<u8> {
    let input = part(vec![sample(media_of(name), golden(name), 0)]);
    bytes_of(make(&Preprocess::Image(spec), &input).expect(name).0)
}

/// The greatest and the mean difference.
fn differences(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let each = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = each.clone().map(f64::from).sum();
    (each.max().unwrap_or(0), sum / ours.len() as f64)
}

fn greatest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn floats_in(name: &str) -> Vec<f32> {
    golden(name).chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect()
}

/// Lossless formats are equal, and so is JPEG, which uses the same library. Decoders of lossy WebP may round the
/// inverse transform, the upsampling of colour and its conversion in different ways: a few levels at hard edges, far
/// less on average.
#[test]
fn image_formats_decode_as_in_pillow() {
    for (name, most, mean) in [
        ("scene.png", 0, 0.0),
        ("lossless.webp", 0, 0.0),
        ("rgba.png", 0, 0.0),
        ("palette.png", 0, 0.0),
        ("scene.jpg", 0, 0.0),
        ("scene-progressive.jpg", 0, 0.0),
        ("gray.jpg", 0, 0.0),
        ("cmyk.jpg", 0, 0.0),
        ("scene.webp", 2, 0.1),
    ] {
        let theirs = golden(&format!("decoded-{name}.u8"));
        let found = differences(&pixels(name, image(40, 30, Resize::Stretch(Filter::Nearest))), &theirs);
        println!("{name}: {found:?}");
        assert!(found.0 <= most && found.1 <= mean, "{name}: {found:?}");
    }
}

#[test]
fn sixteen_bit_images_keep_the_high_byte() {
    assert_eq!(pixels("gray16.png", image(40, 30, Resize::Exact)), golden("gray16.u8"));
}

/// Both filter with fixed-point weights of different precision: the result may differ by one
/// level, in at most one value of six. Bicubic overshoots at hard edges, where cutting off at 0 and 255 after the
/// first pass depends on whether rows or columns come first.
#[test]
fn resizing_agrees_with_pillow() {
    for (name, filter) in FILTERS {
        let fill = [10, 200, 30];
        for (kind, spec) in [
            ("stretch-down", image(33, 21, Resize::Stretch(filter))),
            ("stretch-up", image(101, 97, Resize::Stretch(filter))),
            ("fit", image(48, 48, Resize::Fit { filter, fill })),
            ("crop", image(31, 31, Resize::CenterCrop(filter))),
        ] {
            let found = differences(&pixels("scene.png", spec), &golden(&format!("{kind}-{name}.u8")));
            println!("{kind}-{name}: {found:?}");
            let most = match filter {
                Filter::Nearest => 0,
                Filter::Bilinear => 1,
                Filter::Bicubic => 6,
            };
            assert!(found.0 <= most && found.1 <= 0.16, "{kind}-{name}: {found:?}");
        }
    }
    let spec = image(50, 41, Resize::Fit { filter: Filter::Bilinear, fill: [10, 200, 30] });
    let found = differences(&pixels("tall.png", spec), &golden("fit-tall.u8"));
    assert!(found.0 <= 1 && found.1 <= 0.16, "{found:?}");
}

fn imagenet(color: Color, layout: Layout) -> ImageSpec {
    let (mut mean, mut std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    if color == Color::Bgr {
        mean.reverse();
        std.reverse();
    }
    let base = image(32, 24, Resize::Stretch(Filter::Bilinear));
    ImageSpec { scale: 1.0 / 255.0, mean, std, color, layout, dtype: DType::F32, ..base }
}

/// One level of 255 over the smallest deviation is 0.0175: no pixel of a PNG is further off. A JPEG's pixels are
/// averages of 25, in which the decoders' differences (see above) mostly cancel out: two levels.
#[test]
fn normalised_images_agree_with_torchvision() {
    for (name, expected, spec, most) in [
        ("scene.png", "normalised-chw.f32", imagenet(Color::Rgb, Layout::Chw), 0.018),
        ("scene.png", "normalised-hwc-bgr.f32", imagenet(Color::Bgr, Layout::Hwc), 0.018),
        ("scene.jpg", "jpeg-normalised-chw.f32", imagenet(Color::Rgb, Layout::Chw), 0.036),
    ] {
        let input = part(vec![sample(media_of(name), golden(name), 0)]);
        let (row, _) = make(&Preprocess::Image(spec), &input).expect(name);
        let found = greatest(&floats_of(row), &floats_in(expected));
        println!("{expected}: {found}");
        assert!(found <= most, "{expected}: {found}");
    }
}

fn wave(name: &str, rate: u32, length: usize) -> Vec<f32> {
    let spec = WaveformSpec { rate, length, scale: 1.0, drift: Default::default() };
    let input = part(vec![sample(media_of(name), golden(name), 0)]);
    let (row, info) = make(&Preprocess::Waveform(spec), &input).expect(name);
    assert_eq!(info, RowInfo::Sound { coverage: 1.0 });
    floats_of(row)
}

/// libsndfile and Lockstep divide the same integers by the same powers of two.
#[test]
fn wav_formats_are_read_exactly() {
    for format in ["u8", "s16", "s24", "s32", "f32"] {
        let ours = wave(&format!("short-{format}.wav"), 8_000, 800);
        assert_eq!(greatest(&ours, &floats_in(&format!("short-{format}.f32"))), 0.0, "{format}");
    }
}

/// Files of devices and tools: companded, 64-bit, large, extensible, and 24 bits at either end of 4 bytes.
#[test]
fn wav_of_devices_and_tools_is_read_exactly() {
    for (name, expected) in [
        ("wild-ulaw.wav", "wild-ulaw.f32"),
        ("wild-alaw.wav", "wild-alaw.f32"),
        ("wild-rf64.wav", "wild-rf64.f32"),
        ("wild-extensible.wav", "wild-extensible.f32"),
        ("wild-f64.wav", "wild-f64.f32"),
        ("wild-s24-low.wav", "wild-s24.f32"),
        ("wild-s24-high.wav", "wild-s24.f32"),
    ] {
        assert_eq!(greatest(&wave(name, 8_000, 400), &floats_in(expected)), 0.0, "{name}");
    }
}

/// A file from a pipe, without a total; and one from a recorder, without a minimum block, with tags on both sides.
#[test]
fn flac_of_pipes_and_recorders_is_read_exactly() {
    for name in ["wild-pipe.flac", "wild-tagged.flac"] {
        assert!(greatest(&wave(name, 8_000, 400), &floats_in("wild-flac.f32")) <= f32::EPSILON, "{name}");
    }
}

fn raw(content_type: &str, payload: Vec<u8>) -> Vec<f32> {
    let media: Media = content_type.parse().expect(content_type);
    let Media::Pcm(pcm) = media else { panic!("{content_type} is {media}") };
    let length = payload.len() / pcm.frame_size();
    let spec = WaveformSpec { rate: pcm.rate, length, scale: 1.0, drift: Default::default() };
    floats_of(
        make(&Preprocess::Waveform(spec), &part(vec![sample(media, payload, 0)])).expect(content_type).0,
    )
}

/// All 256 codes of each law, against libsndfile.
#[test]
fn g711_is_read_exactly() {
    let codes: Vec<u8> = (0..=255).collect();
    for (content_type, expected) in [
        ("audio/PCMU", "g711-ulaw.f32"),
        ("audio/basic", "g711-ulaw.f32"),
        ("audio/pcm;encoding=ulaw;rate=8000", "g711-ulaw.f32"),
        ("audio/PCMA", "g711-alaw.f32"),
        ("audio/pcm;rate=8000;format=alaw", "g711-alaw.f32"),
    ] {
        assert_eq!(greatest(&raw(content_type, codes.clone()), &floats_in(expected)), 0.0, "{content_type}");
    }
}

/// The same numbers in every format that can represent them, by the definition of each format.
#[test]
fn raw_sound_is_the_same_in_every_format() {
    let values = [0i32, 1, -1, 127, -128, 64, -77];
    let expected: Vec<f32> = values.iter().map(|value| *value as f32 / 128.0).collect();
    let bytes = |value: &dyn Fn(i32) -> Vec<u8>| values.iter().flat_map(|v| value(*v)).collect::<Vec<u8>>();
    let at = |bits: u32, v: i32| v << (bits - 8);
    for (name, payload) in [
        ("s8", bytes(&|v| (v as i8).to_le_bytes().to_vec())),
        ("u8", bytes(&|v| vec![(v + 128) as u8])),
        ("s16le", bytes(&|v| (at(16, v) as i16).to_le_bytes().to_vec())),
        ("s16be", bytes(&|v| (at(16, v) as i16).to_be_bytes().to_vec())),
        ("u16le", bytes(&|v| ((at(16, v) + 32_768) as u16).to_le_bytes().to_vec())),
        ("u16be", bytes(&|v| ((at(16, v) + 32_768) as u16).to_be_bytes().to_vec())),
        ("s24le", bytes(&|v| at(24, v).to_le_bytes()[..3].to_vec())),
        ("s24be", bytes(&|v| at(24, v).to_be_bytes()[1..].to_vec())),
        ("s24_32le", bytes(&|v| at(24, v).to_le_bytes().to_vec())),
        ("s24_32be", bytes(&|v| at(24, v).to_be_bytes().to_vec())),
        ("s32le", bytes(&|v| at(32, v).to_le_bytes().to_vec())),
        ("s32be", bytes(&|v| at(32, v).to_be_bytes().to_vec())),
        ("f32le", bytes(&|v| (v as f32 / 128.0).to_le_bytes().to_vec())),
        ("f32be", bytes(&|v| (v as f32 / 128.0).to_be_bytes().to_vec())),
        ("f64le", bytes(&|v| (f64::from(v) / 128.0).to_le_bytes().to_vec())),
        ("f64be", bytes(&|v| (f64::from(v) / 128.0).to_be_bytes().to_vec())),
    ] {
        assert_eq!(raw(&format!("audio/pcm;rate=8000;format={name}"), payload), expected, "{name}");
    }
    let network = bytes(&|v| (at(16, v) as i16).to_be_bytes().to_vec());
    assert_eq!(raw("audio/L16;rate=8000", network.clone()), expected);
    assert_eq!(raw("audio/x-raw, format=(string)S16BE, rate=(int)8000, channels=(int)1", network), expected);
}

/// The mean of two channels may be rounded in the last bit.
#[test]
fn flac_is_read_exactly_and_mixed_down() {
    let ours = wave("stereo-44k1.flac", 44_100, 6_000);
    assert!(greatest(&ours[4_000..], &floats_in("flac-mixed.f32")) <= f32::EPSILON);
}

/// Filters of different length differ most at the beginning and the end of the sound, so it fades in and out. It also
/// stays below the last kilohertz. Full scale is 1.
#[test]
fn resampling_agrees_with_librosa() {
    let down = greatest(&wave("stereo-44k1.flac", 16_000, 6_400), &floats_in("resampled-16k.f32"));
    let up = greatest(&wave("short-f32.wav", 16_000, 1_600), &floats_in("short-up-16k.f32"));
    println!("down {down}, up {up}");
    assert!(down <= 5e-4, "{down}");
    assert!(up <= 1e-3, "{up}");
}

/// The transforms are single-precision and differ in design. The noise in the sound keeps the logarithm away from the
/// floor, which would magnify the differences.
#[test]
fn spectrograms_agree_with_librosa_and_pytorch() {
    let htk = LogMelSpec {
        n_fft: 512,
        hop_length: 200,
        mels: 40,
        f_min: 50.0,
        f_max: 7_600.0,
        scale: MelScale::Htk,
        slaney_norm: false,
        center: false,
        power: 1.0,
        log: MelLog::Natural { floor: 1e-5 },
        ..log_mel()
    };
    let whisper = LogMelSpec { log: MelLog::Whisper, ..log_mel() };
    // Twice the sound's length: silence follows, as for a model that needs more sound than there is.
    let length = 2 * whisper.wave.length;
    let padded = LogMelSpec { wave: WaveformSpec { length, ..whisper.wave.clone() }, ..whisper.clone() };
    for (name, spec, frames, most) in [
        ("mel-slaney-db.f32", log_mel(), 51, 2e-3),
        ("mel-htk-natural.f32", htk, 38, 2e-4),
        ("mel-whisper.f32", whisper.clone(), 50, 1e-4),
        ("mel-whisper-128.f32", LogMelSpec { mels: 128, ..whisper.clone() }, 50, 1e-4),
        ("mel-whisper-padded.f32", padded, 100, 1e-4),
    ] {
        let settings = Preprocess::LogMel(spec);
        assert_eq!(settings.shape().get(1), Some(&frames), "{name}");
        let input = part(vec![sample(Media::Wav, golden("speechlike-16k.wav"), 0)]);
        let (row, _) = make(&settings, &input).expect(name);
        let found = greatest(&floats_of(row), &floats_in(name));
        println!("{name}: {found}");
        assert!(found <= most, "{name}: {found}");
    }
}

#[test]
fn spectrogram_is_the_same_for_pcm_and_wav() {
    let settings = Preprocess::LogMel(log_mel());
    let file = golden("speechlike-16k.wav");
    let pcm = Media::Pcm(Pcm { rate: 16_000, channels: 1, format: PcmFormat::S16Le });
    let raw = part(vec![sample(pcm, file[44..].to_vec(), 0)]);
    let wav = part(vec![sample(Media::Wav, file, 0)]);
    assert_eq!(make(&settings, &raw).expect("pcm"), make(&settings, &wav).expect("wav"));
}

#[derive(serde::Deserialize)]
struct Tokens {
    text: String,
    length: usize,
    special_tokens: bool,
    ids: Vec<i64>,
    mask: Vec<i64>,
    tokens: usize,
}

#[test]
fn tokens_agree_with_hugging_face() {
    let cases: Vec<Tokens> = serde_json::from_slice(&golden("tokens.json")).expect("json");
    assert!(cases.len() > 20);
    for case in cases {
        let spec = TextSpec {
            tokenizer: path("tokenizer.json"),
            length: case.length,
            special_tokens: case.special_tokens,
            pad_id: None,
            dtype: DType::I64,
        };
        let input = part(vec![sample(Media::Text, case.text.clone().into_bytes(), 0)]);
        let (ids, info) = make(&Preprocess::TokenIds(spec.clone()), &input).expect("ids");
        let (mask, _) = make(&Preprocess::AttentionMask(spec), &input).expect("mask");
        assert_eq!(ids.elements::<i64>(), Some(case.ids.as_slice()), "{}", case.text);
        assert_eq!(mask.elements::<i64>(), Some(case.mask.as_slice()), "{}", case.text);
        assert_eq!(info, RowInfo::Text { tokens: case.tokens }, "{}", case.text);
    }
}

/// It also shows that one scratch serves rows of all kinds and sizes, on any thread.
#[test]
fn scratch_keeps_no_trace_of_earlier_rows() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Preprocessor>();
    sent::<Scratch>();
    let wave = |rate, length| {
        Preprocess::Waveform(WaveformSpec { rate, length, scale: 2.0, drift: Default::default() })
    };
    let cases = [
        ("scene.jpg", Preprocess::Image(image(101, 97, Resize::CenterCrop(Filter::Bicubic)))),
        ("gray16.png", Preprocess::Image(image(9, 12, Resize::Stretch(Filter::Bilinear)))),
        ("stereo-44k1.flac", wave(16_000, 3_000)),
        ("speechlike-16k.wav", Preprocess::LogMel(log_mel())),
        ("stereo-44k1.flac", wave(44_100, 700)),
        ("rgba.png", Preprocess::Image(imagenet(Color::Bgr, Layout::Chw))),
        ("short-s24.wav", wave(44_101, 9_000)),
        ("speechlike-16k.wav", Preprocess::LogMel(LogMelSpec { n_fft: 512, center: false, ..log_mel() })),
    ];
    let mut scratch = Scratch::default();
    for round in 0..2 {
        for (name, settings) in &cases {
            let input = part(vec![sample(media_of(name), golden(name), 0)]);
            let fresh = make(settings, &input).expect(name);
            let preprocessor = Preprocessor::new(settings).expect(name);
            let used = make_with(&preprocessor, &input, &mut scratch).expect(name);
            assert!(used == fresh, "{name} in round {round}");
        }
    }
}

/// Converts boxes of a model back: the corners of the model's input are the corners of the region cut out of the
/// source.
#[test]
fn placement_leads_back_to_the_source() {
    let fit = Resize::Fit { filter: Filter::Bilinear, fill: [0; 3] };
    for (resize, x, y, found) in [
        (Resize::Stretch(Filter::Bilinear), 40.0, 10.0, (80.0, 20.0 * 120.0 / 160.0)),
        (fit, 40.0, 10.0, (80.0, 0.0)),
        (Resize::CenterCrop(Filter::Bilinear), 40.0, 0.0, (80.0, 0.0)),
    ] {
        let input = part(vec![sample(Media::Jpeg, golden("scene.jpg"), 0)]);
        let (_, info) = make(&Preprocess::Image(image(80, 80, resize)), &input).expect("image");
        let RowInfo::Image(placement) = info else { panic!("not an image: {info:?}") };
        assert_eq!((placement.source_width, placement.source_height), (160, 120));
        let (at_x, at_y) = placement.to_source(x, y);
        assert!((at_x - found.0).abs() < 0.6 && (at_y - found.1).abs() < 1e-9, "{resize:?}: {at_x} {at_y}");
    }
}
