use proptest::prelude::*;

use super::*;
use crate::media::PcmFormat as P;

/// A header with any fields.
#[derive(Clone)]
struct Wav {
    kind: &'static [u8; 4],
    tag: u16,
    channels: u16,
    rate: u32,
    byte_rate: Option<u32>,
    align: u16,
    bits: u16,
    /// Valid bits and the tail of the GUID, of an extensible format.
    extended: Option<(u16, [u8; 14])>,
    before: Vec<u8>,
    claimed: Option<u32>,
    data: Vec<u8>,
    behind: Vec<u8>,
}

fn wav(tag: u16, bits: u16, align: u16, data: Vec<u8>) -> Wav {
    Wav {
        kind: b"RIFF",
        tag,
        channels: 1,
        rate: 8_000,
        byte_rate: None,
        align,
        bits,
        extended: None,
        before: Vec::new(),
        claimed: None,
        data,
        behind: Vec::new(),
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
    chunk.resize(chunk.len() + body.len() % 2, 0);
    chunk
}

impl Wav {
    fn bytes(&self) -> Vec<u8> {
        let tag = if self.extended.is_some() { 0xfffe } else { self.tag };
        let mut fmt = [tag.to_le_bytes(), self.channels.to_le_bytes()].concat();
        fmt.extend(self.rate.to_le_bytes());
        let byte_rate = self.rate.wrapping_mul(u32::from(self.align));
        fmt.extend(self.byte_rate.unwrap_or(byte_rate).to_le_bytes());
        fmt.extend([self.align.to_le_bytes(), self.bits.to_le_bytes()].concat());
        if let Some((valid, tail)) = self.extended {
            fmt.extend([22, 0]);
            fmt.extend(valid.to_le_bytes());
            fmt.extend([0; 4]);
            fmt.extend(self.tag.to_le_bytes());
            fmt.extend(tail);
        }
        let mut bytes = [&self.kind[..], &[0; 4], b"WAVE", &self.before, &chunk(b"fmt ", &fmt)].concat();
        let at = bytes.len() + 4;
        bytes.extend(chunk(b"data", &self.data));
        if self.behind.is_empty() {
            bytes.truncate(at + 4 + self.data.len());
        }
        if let Some(claimed) = self.claimed {
            bytes[at..at + 4].copy_from_slice(&claimed.to_le_bytes());
        }
        bytes.extend(&self.behind);
        bytes
    }

    fn read(&self) -> Result<WavHeader, PayloadError> {
        WavHeader::read(self.bytes().as_slice())
    }

    fn fault(&self) -> String {
        self.read().expect_err("must be refused").to_string()
    }
}

const TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

#[test]
fn wav_formats_are_distinguished() {
    for (tag, bits, format) in [
        (1, 8, P::U8),
        (1, 16, P::S16Le),
        (1, 24, P::S24Le),
        (1, 32, P::S32Le),
        (3, 32, P::F32Le),
        (3, 64, P::F64Le),
        (6, 8, P::Alaw),
        (7, 8, P::Ulaw),
    ] {
        let plain = wav(tag, bits, bits / 8, vec![1; 48]);
        let header = plain.read().expect("a header");
        assert_eq!((header.pcm.format, header.frames()), (format, 48 / usize::from(bits / 8)));
        let extended = Wav { extended: Some((bits, TAIL)), ..plain };
        assert_eq!(extended.read().expect("a header").pcm, header.pcm);
    }
    for tag in [2, 0x11, 0x31, 0x55, 0x1234] {
        let compressed = Wav { byte_rate: Some(4_055), ..wav(tag, 4, 512, vec![1; 512]) };
        assert!(
            compressed.fault().contains(&format!("the WAV header says format {tag}")),
            "{}",
            compressed.fault()
        );
    }
}

#[test]
fn fields_that_contradict_one_another_are_refused() {
    let good = wav(1, 16, 2, vec![1; 48]);
    for (wrong, named) in [
        (Wav { channels: 0, ..good.clone() }, "0 channels"),
        (Wav { channels: 65, align: 130, ..good.clone() }, "65 channels"),
        (Wav { bits: 0, ..good.clone() }, "0 bits"),
        (Wav { bits: 12, ..good.clone() }, "12 bits"),
        (Wav { align: 0, byte_rate: Some(0), ..good.clone() }, "block align says 0"),
        (Wav { align: 4, ..good.clone() }, "block align says 4"),
        (Wav { channels: 2, align: 2, ..good.clone() }, "block align says 2"),
        (Wav { channels: 2, align: 3, ..good.clone() }, "block align says 3"),
        (Wav { byte_rate: Some(8_000), ..good.clone() }, "16000 bytes a second, and it says 8000"),
        (Wav { rate: 0, ..good.clone() }, "rate of 0"),
        (Wav { rate: 4_000_000, ..good.clone() }, "rate of 4000000"),
        (Wav { extended: Some((20, TAIL)), ..good.clone() }, "20 valid bits"),
        (Wav { extended: Some((16, [7; 14])), ..good.clone() }, "GUID"),
        (Wav { tag: 3, bits: 16, ..good.clone() }, "floating point"),
        (Wav { data: vec![1; 47], ..good.clone() }, "whole number of frames"),
        (Wav { data: Vec::new(), ..good.clone() }, "empty"),
        (Wav { claimed: Some(64), ..good.clone() }, "claims 64 bytes of samples and 48 are there"),
        (Wav { behind: chunk(b"data", &[1; 4]), ..good.clone() }, "several data chunks"),
        (Wav { before: chunk(b"fmt ", &[1; 16]), ..good.clone() }, ""),
        (Wav { claimed: Some(0), data: chunk(b"LIST", b"abcd"), ..good.clone() }, "empty"),
    ] {
        assert!(wrong.fault().contains(named), "{named}: {}", wrong.fault());
    }
    // A field that the writer did not know is no contradiction.
    assert!(Wav { byte_rate: Some(0), ..good }.read().is_ok());
}

#[test]
fn wav_chunks_around_the_samples_are_skipped() {
    let before = [chunk(b"LIST", b"odd"), chunk(b"bext", &[7; 602])].concat();
    let file = Wav { before, behind: chunk(b"LIST", b"INFO"), ..wav(1, 16, 2, vec![1; 48]) };
    assert_eq!(file.read().expect("a header").frames(), 24);
    let odd = Wav { behind: chunk(b"id3 ", b"abc"), ..wav(1, 8, 1, vec![1; 47]) };
    assert_eq!(odd.read().expect("a header").frames(), 47);
    assert_eq!(wav(1, 8, 1, vec![1; 47]).read().expect("without padding").frames(), 47);
}

/// The sizes that arecord, SoX, FFmpeg and GStreamer write into a pipe.
#[test]
fn a_file_of_open_length_ends_with_its_payload() {
    for claimed in [0, 0x7fff_f000, 0x7fff_ff00, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let file = Wav { claimed: Some(claimed), ..wav(1, 16, 2, vec![1; 49]) };
        assert_eq!(file.read().expect("a header").frames(), 24, "{claimed:#x}");
    }
    // 3 GB is no placeholder, but a real size.
    assert!(Wav { claimed: Some(3_000_000_000), ..wav(1, 16, 2, vec![1; 48]) }.fault().contains("claims"));
}

#[test]
fn sizes_of_rf64_are_in_its_ds64_chunk() {
    for kind in [b"RF64", b"BW64"] {
        let large = |data: u64, claimed| {
            let sizes = [0, data, 0].map(u64::to_le_bytes).concat();
            let before = chunk(b"ds64", &[sizes, vec![0; 4]].concat());
            Wav { kind, before, claimed: Some(claimed), ..wav(1, 16, 2, vec![1; 48]) }
        };
        assert_eq!(large(48, u32::MAX).read().expect("a header").frames(), 24);
        assert_eq!(large(46, u32::MAX).read().expect("a header").frames(), 23);
        assert_eq!(large(0, u32::MAX).read().expect("from a pipe").frames(), 24);
        assert_eq!(large(u64::MAX, u32::MAX).read().expect("from a pipe").frames(), 24);
        assert!(large(1 << 40, u32::MAX).fault().contains("claims 1099511627776 bytes"));
        assert!(large(46, 48).fault().contains("ds64"));
        assert_eq!(large(48, 48).read().expect("a header").frames(), 24);
    }
}

fn samples(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// ALSA writes 24 bits in the low bytes of 32, the standard has them in the high ones: the samples decide.
#[test]
fn samples_show_the_place_of_24_bits_in_32() {
    let low = samples(&[0, 0x3a6a, -70_001, 0x0001_2628, -1]);
    let high = samples(&[0, 0x003a_6a00, -70_001 << 8, 0x1262_8000]);
    let quiet = samples(&[0x1200, -0x3400]);
    let full = samples(&[0x1234_5678, 1]);
    let unsaid = |data: &[u8]| wav(1, 24, 4, data.to_vec()).read().map(|header| header.pcm.format);
    assert_eq!(unsaid(&low), Ok(P::S24In32Le));
    assert_eq!(unsaid(&high), Ok(P::S32Le));
    assert_eq!(unsaid(&[0; 16]), Ok(P::S32Le), "silence is silence");
    assert!(unsaid(&quiet).expect_err("either").to_string().contains("S24_3LE"));
    assert!(unsaid(&full).expect_err("neither").to_string().contains("S24_3LE"));
    let said = |data: &[u8]| {
        let file = Wav { extended: Some((24, TAIL)), ..wav(1, 32, 4, data.to_vec()) };
        file.read().map(|header| header.pcm.format)
    };
    assert_eq!(said(&high), Ok(P::S32Le));
    assert_eq!(said(&quiet), Ok(P::S32Le));
    assert_eq!(said(&full), Ok(P::S32Le));
    assert!(said(&low).is_err(), "low bits are filled that the header says are not valid");
}

#[test]
fn a_file_of_another_kind_is_named() {
    for (payload, named) in [
        (&b"fLaC\0\0\0\x22abcd"[..], "FLAC"),
        (b"OggS\0\x02abcdefgh", "Ogg"),
        (b"RIFX\0\0\0\0WAVEfmt ", "big-endian"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"not a file", "RIFF and WAVE"),
        (b"RIFF", "RIFF and WAVE"),
        (b"", "RIFF and WAVE"),
    ] {
        let fault = WavHeader::read(payload).expect_err("no WAV");
        assert!(fault.to_string().contains(named), "{fault}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = Wav { before: chunk(b"LIST", b"abcd"), ..wav(1, 16, 2, vec![1; 48]) }.bytes();
    for length in 0..whole.len() {
        assert!(WavHeader::read(&whole[..length]).is_err(), "{length}");
    }
    assert!(WavHeader::read(whole.as_slice()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// For any bytes: the accepted samples are whole frames within the payload.
    #[test]
    fn samples_are_within_the_payload(
        changes in prop::collection::vec((0usize..92, any::<u8>()), 0..6),
        kind in prop::sample::select(vec![b"RIFF", b"RF64"]),
        align in 1u16..5,
    ) {
        let before = chunk(b"ds64", &[0; 28]);
        let mut bytes = Wav { kind, before, ..wav(1, 8 * align, align, vec![1; 48]) }.bytes();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(header) = WavHeader::read(bytes.as_slice()) {
            prop_assert!(header.data.end <= bytes.len() && !header.data.is_empty());
            prop_assert_eq!(header.data.len() % header.pcm.frame_size(), 0);
            prop_assert_eq!(header.data.len() / header.pcm.frame_size(), header.frames());
        }
    }
}
