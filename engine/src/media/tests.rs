use proptest::prelude::*;

use super::*;

/// Every type of raw sound and picture can be written and parsed again.
#[test]
fn content_types_survive_the_round_trip() {
    let formats = PcmFormat::ALL.map(|format| format!("audio/pcm;rate=16000;channels=2;format={format}"));
    let others = [
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/x-rgb;width=64;height=48",
        "audio/wav",
        "audio/flac",
        "text/plain",
        "application/octet-stream",
    ];
    for text in others.into_iter().chain(formats.iter().map(String::as_str)) {
        assert_eq!(text.parse::<Media>().map(|media| media.to_string()).as_deref(), Ok(text));
    }
}

#[test]
fn missing_or_out_of_range_parameter_is_named() {
    for (text, named) in [
        ("audio/pcm", "rate"),
        ("audio/pcm;rate=0", "rate=0"),
        ("audio/pcm;rate=16k", "rate=16k"),
        ("audio/pcm;rate=16000;channels=65", "channels=65"),
        ("audio/L16", "rate"),
        ("audio/L24;channels=2", "rate"),
        ("image/x-rgb;width=10", "height"),
        ("text/plain;charset=latin1", "charset=latin1"),
        ("text/plain;format=flowed", "format=flowed"),
        ("video/mp4", "video/mp4"),
    ] {
        let error = text.parse::<Media>().expect_err(text);
        assert!(error.to_string().contains(named), "{error}");
    }
}

/// The parameters of clients of speech services, GStreamer, FFmpeg, SoX and RFCs.
#[test]
fn parameters_that_change_the_meaning_of_bytes_are_parsed() {
    let s16 = PcmFormat::S16Le;
    for (text, rate, channels, format) in [
        ("audio/pcm;rate=16000", 16_000, 1, s16),
        ("audio/pcm;rate=16000;endianness=big-endian", 16_000, 1, PcmFormat::S16Be),
        ("audio/pcm;encoding=ulaw;rate=8000", 8_000, 1, PcmFormat::Ulaw),
        ("audio/pcm;encoding=a-law;rate=8000", 8_000, 1, PcmFormat::Alaw),
        (
            "audio/pcm;encoding=float;bits=32;channels=1;big-endian=false;rate=16000",
            16_000,
            1,
            PcmFormat::F32Le,
        ),
        ("audio/pcm;encoding=float;bits=64;bigEndian=true;rate=16000", 16_000, 1, PcmFormat::F64Be),
        ("audio/pcm;encoding=signed-int;bits=16;rate=16000;big-endian=false", 16_000, 1, s16),
        ("audio/pcm;encoding=unsigned-integer;bits=8;rate=16000", 16_000, 1, PcmFormat::U8),
        ("audio/pcm;bits=16;samplerate=48000;channels=2", 48_000, 2, s16),
        ("audio/pcm;bits=24;rate=48000", 48_000, 1, PcmFormat::S24Le),
        ("audio/pcm;signed=false;bits=8;rate=8000", 8_000, 1, PcmFormat::U8),
        ("audio/pcm;bits=8;signed=true;rate=8000", 8_000, 1, PcmFormat::S8),
        ("audio/pcm;format=pcm_s24be;rate=8000", 8_000, 1, PcmFormat::S24Be),
        ("audio/pcm;format=S24_3LE;rate=8000", 8_000, 1, PcmFormat::S24Le),
        ("audio/pcm;format=FLOAT_LE;rate=8000", 8_000, 1, PcmFormat::F32Le),
        ("audio/pcm;codec=linear16;rate=8000", 8_000, 1, s16),
        ("audio/L16;rate=44100;channels=2", 44_100, 2, PcmFormat::S16Be),
        ("audio/l16; rate=16000; endianness=little-endian", 16_000, 1, s16),
        ("audio/L24; rate=48000", 48_000, 1, PcmFormat::S24Be),
        ("audio/L8; rate=8000", 8_000, 1, PcmFormat::U8),
        ("audio/PCMU", 8_000, 1, PcmFormat::Ulaw),
        ("audio/PCMA;rate=16000;channels=2;ptime=20", 16_000, 2, PcmFormat::Alaw),
        ("audio/basic", 8_000, 1, PcmFormat::Ulaw),
        ("audio/x-mulaw, rate=(int)8000, channels=(int)1", 8_000, 1, PcmFormat::Ulaw),
        (
            "audio/x-raw, format=(string)S16LE, rate=(int)16000, channels=2, layout=interleaved",
            16_000,
            2,
            s16,
        ),
        (
            "audio/x-raw(memory:SystemMemory), format=(string)S24_32BE, layout=(string)interleaved, rate=(int)48000, \
             channels=(int)2, channel-mask=(bitmask)0x3",
            48_000,
            2,
            PcmFormat::S24In32Be,
        ),
        ("audio/x-raw;format=F64LE;rate=8000", 8_000, 1, PcmFormat::F64Le),
        ("audio/x-raw,format=U8,rate=8000,layout=non-interleaved", 8_000, 1, PcmFormat::U8),
    ] {
        assert_eq!(text.parse(), Ok(Media::Pcm(Pcm { rate, channels, format })), "{text}");
    }
}

#[test]
fn unsupported_content_type_is_refused_by_name() {
    for (text, named) in [
        ("audio/pcm;rate=16000;format=u24le", "format=u24le"),
        ("audio/pcm;rate=16000;encoding=opus", "encoding=opus"),
        ("audio/pcm;rate=16000;encoding=float", "encoding=float"),
        ("audio/pcm;rate=16000;encoding=float;bits=16", "encoding=float with bits=16"),
        ("audio/pcm;rate=16000;encoding=ulaw;bits=16", "encoding=ulaw"),
        ("audio/pcm;rate=16000;bits=8", "8 bits"),
        ("audio/pcm;rate=16000;bits=32", "32 bits"),
        ("audio/pcm;rate=16000;bits=12", "bits=12"),
        ("audio/pcm;rate=16000;format=S24_LE", "s24_32le"),
        ("audio/pcm;rate=16000;format=s16le;endianness=big", "endianness=big"),
        ("audio/pcm;rate=16000;endianness=native", "endianness=native"),
        ("audio/pcm;rate=16000;big-endian=perhaps", "big-endian=perhaps"),
        ("audio/pcm;rate=16000;signed=false;format=s16le", "signed=false"),
        ("audio/pcm;rate=16000;rate=8000", "rate=8000"),
        ("audio/pcm;rate=16000;sample-rate=8000", "sample-rate=8000"),
        ("audio/pcm;rate=16000;channels=2;layout=planar", "layout=planar"),
        ("audio/pcm;rate=16000;compression=gzip", "compression=gzip"),
        ("audio/pcm;rate=16000;base64", "base64"),
        ("audio/x-raw;rate=16000", "format"),
        ("audio/x-raw,format={S16LE,F32LE},rate=16000", "format={S16LE"),
        ("audio/L16;rate=16000;bits=24", "bits=24"),
        ("audio/L16;rate=16000;encoding=float", "encoding=float"),
        ("audio/L16;rate=16000;emphasis=50-15", "emphasis=50-15"),
        ("audio/basic;rate=16000", "audio/PCMU;rate=16000"),
        ("audio/PCMU;encoding=alaw", "encoding=alaw"),
        ("image/x-rgb;width=2;height=2;stride=8", "stride=8"),
        ("image/x-rgb;width=2;height=2;format=BGR", "format=BGR"),
        ("text/plain;encoding=base64", "encoding=base64"),
        ("image/jpeg, image/png", "image/png"),
        ("image/png;base64", "base64"),
    ] {
        let error = text.parse::<Media>().expect_err(text);
        assert!(error.to_string().contains(named), "{text}: {error}");
    }
}

#[test]
fn case_quotes_and_harmless_parameters_do_not_matter() {
    assert_eq!("Image/JPEG; quality=3".parse(), Ok(Media::Jpeg));
    assert_eq!("audio/flac;codecs=flac".parse(), Ok(Media::Flac));
    assert_eq!("audio/wav; codecs=\"1\"; samplerate=16000".parse(), Ok(Media::Wav));
    assert_eq!("text/plain; Charset=\"UTF-8\";".parse(), Ok(Media::Text));
    // A JSON serializer of headers writes it so.
    assert_eq!("\"image/jpeg\"".parse(), Ok(Media::Jpeg));
    assert_eq!("image/x-rgb;width=2;height=3;name=\"a;b\"".parse(), Ok(Media::Rgb { width: 2, height: 3 }));
}

#[test]
fn file_format_is_recognised_by_its_first_bytes() {
    for (payload, named) in [
        (&b"RIFF\0\0\0\0WAVEfmt "[..], "WAV"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "WAV"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x33\x7fFLAC", "FLAC in an Ogg file"),
        (b"ID3\x04\0\0\0\0\0\0", "ID3"),
        (b".snd\0\0\0\x18", "Sun"),
    ] {
        assert!(recognise_both(payload).is_some_and(|found| found.contains(named)), "{named}");
    }
    assert_eq!(container::recognise_in_raw(b"\xff\xd8\xff\xe0"), None, "raw sound may begin so");
    assert_eq!(container::recognise(b"some sound"), None);
}

fn recognise_both(payload: &[u8]) -> Option<&'static str> {
    container::recognise(payload).filter(|found| container::recognise_in_raw(payload) == Some(found))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any parameter added to a content type of raw sound is refused, changes the parsed type, or is known to be
    /// harmless: none is ignored silently.
    #[test]
    fn no_parameter_of_raw_sound_is_ignored(name in "[a-z]{1,12}", value in "[a-z0-9]{1,8}") {
        let plain = "audio/pcm;rate=16000".parse::<Media>();
        let harmless = ["name", "filename", "charset", "channelmask", "channelorder", "ptime", "maxptime"];
        let said_again = [("emphasis", "none"), ("layout", value.as_str()), ("signed", "true"), ("signed", "1")];
        if let Ok(media) = format!("audio/pcm;rate=16000;{name}={value}").parse::<Media>() {
            let known = harmless.contains(&name.as_str())
                || said_again.contains(&(name.as_str(), value.as_str()))
                || Ok(media) != plain
                || ["rate", "channels", "bits", "format", "encoding"].contains(&name.as_str());
            prop_assert!(known, "{name}={value}");
        }
    }

    #[test]
    fn any_text_is_a_type_or_a_reason(text in "\\PC{0,80}") {
        if let Ok(media) = text.parse::<Media>() {
            prop_assert_eq!(media.to_string().parse(), Ok(media));
        }
    }

    #[test]
    fn any_mixture_of_parameters_is_a_type_or_a_reason(
        essence in prop::sample::select(vec!["audio/pcm", "audio/x-raw", "audio/L16", "audio/PCMU", "audio/basic"]),
        parameters in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "rate", "channels", "format", "encoding", "bits", "width", "endianness", "big-endian", "signed", "layout",
                ]),
                prop::sample::select(vec![
                    "8", "16", "24", "8000", "s16le", "(string)F32BE", "s24_32le", "float", "ulaw", "true", "false",
                    "big-endian", "interleaved", "signed",
                ]),
            ),
            0..6,
        ),
    ) {
        let text: Vec<String> = parameters.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        let text = format!("{essence}{}", text.concat());
        if let Ok(media) = text.parse::<Media>() {
            prop_assert_eq!(media.to_string().parse(), Ok(media), "{}", text);
            // The order of parameters does not matter.
            let back: Vec<String> = parameters.iter().rev().map(|(name, value)| format!(";{name}={value}")).collect();
            prop_assert_eq!(format!("{essence}{}", back.concat()).parse(), Ok(media), "{}", text);
        }
    }
}
