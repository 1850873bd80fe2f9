use proptest::prelude::*;

use super::frame::crc8;
use super::*;

/// The settings of an encoder: the header that it writes, and its numbering of frames.
#[derive(Clone)]
struct Stream {
    rate: u64,
    channels: u64,
    total: u64,
    by_sample: bool,
    first_number: u64,
}

const STREAM: Stream = Stream { rate: 16_000, channels: 1, total: 0, by_sample: false, first_number: 0 };

impl Stream {
    fn head(&self) -> Vec<u8> {
        let mut bytes = b"fLaC\x80\0\0\x22\0\0\x10\0\0\0\0\0\0\0".to_vec();
        bytes.extend((self.rate << 44 | (self.channels - 1) << 41 | 15 << 36 | self.total).to_be_bytes());
        bytes.resize(42, 0);
        bytes
    }

    /// Frames of these numbers of samples, each constant.
    fn frames(&self, blocks: &[u16]) -> Vec<Vec<u8>> {
        let mut number = self.first_number;
        let frames = blocks.iter().map(|samples| {
            let frame = self.frame(*samples, number);
            number += if self.by_sample { u64::from(*samples) } else { 1 };
            frame
        });
        frames.collect()
    }

    fn frame(&self, samples: u16, number: u64) -> Vec<u8> {
        let mut bytes =
            vec![0xff, 0xf8 | u8::from(self.by_sample), 0x70, ((self.channels as u8 - 1) << 4) | 8];
        // As UTF-8 codes characters.
        let low = |shift: u32| 0x80 | (number >> shift & 0x3f) as u8;
        match number {
            0..0x80 => bytes.push(number as u8),
            0x80..0x800 => bytes.extend([0xc0 | (number >> 6) as u8, low(0)]),
            _ => bytes.extend([0xe0 | (number >> 12) as u8, low(6), low(0)]),
        }
        bytes.extend((samples - 1).to_be_bytes());
        bytes.push(crc8(&bytes));
        // A constant subframe of 16 bits for each channel.
        bytes.extend([0, 0x12, 0x34].repeat(self.channels as usize));
        let mut sum = Checksum::default();
        bytes.iter().for_each(|byte| sum.add(*byte));
        bytes.extend(sum.value().to_be_bytes());
        bytes
    }

    fn file(&self, blocks: &[u16]) -> Vec<u8> {
        [self.head(), self.frames(blocks).concat()].concat()
    }
}

fn total(payload: &[u8]) -> Result<u64, PayloadError> {
    Flac::read(payload).map(|flac| flac.samples)
}

#[test]
fn flac_frames_count_the_samples_if_the_header_does_not() {
    for by_sample in [false, true] {
        for channels in [1, 2, 8] {
            let stream = Stream { by_sample, channels, ..STREAM };
            assert_eq!(total(&stream.file(&[1024, 1024, 1024, 928])), Ok(4_000));
            let said = Stream { total: 4_000, ..stream };
            assert_eq!(total(&said.file(&[1024, 1024, 1024, 928])), Ok(4_000));
        }
    }
}

#[test]
fn flac_header_that_contradicts_its_frames_is_refused() {
    for claimed in [1, 3_999, 4_001, 0xf_ffff_ffff] {
        let fault = total(&Stream { total: claimed, ..STREAM }.file(&[1024, 1024, 1024, 928]));
        let fault = fault.expect_err("a lie");
        assert!(
            fault.to_string().contains(&format!("claims {claimed} samples and its frames hold 4000")),
            "{fault}"
        );
    }
}

#[test]
fn no_more_samples_are_taken_than_allowed() {
    let file = STREAM.file(&[1024, 1024]);
    assert!(Flac::of_at_most(&file, 2_048).is_ok());
    assert!(
        Flac::of_at_most(&file, 2_047).expect_err("too many").to_string().contains("more than 2047 samples")
    );
}

/// A recorder that cuts an endless stream into files does not begin its frames with 0.
#[test]
fn numbers_may_begin_anywhere_and_have_no_gap() {
    let stream = Stream { first_number: 1_000, ..STREAM };
    assert_eq!(total(&stream.file(&[1024, 1024])), Ok(2_048));
    let mut frames = STREAM.frames(&[1024, 1024, 1024]);
    frames.remove(1);
    let fault = total(&[STREAM.head(), frames.concat()].concat()).expect_err("a gap");
    assert!(fault.to_string().contains("number 2 where 1 would follow"), "{fault}");
}

#[test]
fn tags_before_and_behind_are_left_out() {
    let id3v1 = [b"TAG".as_slice(), &[b'x'; 125]].concat();
    let id3v2 = b"ID3\x03\0\0\0\0\0\x0babcdefghijk".to_vec();
    let mut ape = b"APETAGEX\xd0\x07\0\0\x28\0\0\0".to_vec();
    ape.resize(32 + 40, b'y');
    let file = STREAM.file(&[1024, 928]);
    for (front, behind) in [
        (&[][..], id3v1.clone()),
        (&id3v2[..], Vec::new()),
        (&[][..], [ape.clone(), id3v1.clone()].concat()),
        (&id3v2[..], [id3v1, vec![0; 1_000]].concat()),
    ] {
        assert_eq!(total(&[front, &file, &behind].concat()), Ok(1_952));
    }
    let fault = total(&[&file[..], b"something else"].concat()).expect_err("no tag");
    assert!(fault.to_string().contains("frame 1 is cut or garbled"), "{fault}");
}

#[test]
fn a_file_cut_or_changed_anywhere_in_its_sound_is_refused() {
    let file = STREAM.file(&[1024, 1024, 928]);
    let frames = STREAM.frames(&[1024, 1024, 928]);
    let borders = [42 + frames[0].len(), 42 + frames[0].len() + frames[1].len()];
    for length in 0..file.len() {
        // Without a total, a file cut between two frames is a shorter one.
        assert_eq!(total(&file[..length]).is_ok(), borders.contains(&length), "{length}");
    }
    for at in 42..file.len() {
        let mut garbled = file.clone();
        garbled[at] ^= 0x20;
        assert!(total(&garbled).is_err(), "{at}");
    }
}

/// Its checksums are correct, so it is no accident: it must not be taken for the end of the frame before it.
#[test]
fn flac_frame_with_reserved_codes_is_refused() {
    let frames = STREAM.frames(&[1024, 1024, 928]);
    for reserved in [0x06, 0x0f, 0xb8] {
        let mut odd = frames[1][..7].to_vec();
        odd[3] = reserved;
        odd.push(crc8(&odd));
        odd.extend([0, 0x12, 0x34]);
        let mut sum = Checksum::default();
        odd.iter().for_each(|byte| sum.add(*byte));
        odd.extend(sum.value().to_be_bytes());
        let file = [&STREAM.head(), &frames[0], &odd, &frames[2]].map(Vec::as_slice).concat();
        let fault = total(&file).expect_err("reserved");
        assert!(fault.to_string().contains("after 1 frames"), "{fault}");
    }
}

#[test]
fn frames_that_contradict_the_header_are_refused() {
    let two = Stream { channels: 2, ..STREAM };
    let mixed = [STREAM.head(), two.frames(&[1024]).concat()].concat();
    assert!(
        total(&mixed)
            .expect_err("two channels")
            .to_string()
            .contains("channels: 2 and the FLAC header says 1")
    );
    assert!(total(&STREAM.head()).expect_err("no frames").to_string().contains("no sound"));
    assert!(
        total(&Stream { rate: 0, ..STREAM }.file(&[1024]))
            .expect_err("no rate")
            .to_string()
            .contains("rate of 0")
    );
}

#[test]
fn ogg_and_others_are_named() {
    let ogg = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x33\x7fFLAC\x01\0\0\x01fLaC";
    assert!(Flac::read(ogg).expect_err("Ogg").to_string().contains("FLAC in an Ogg file"));
    assert!(Flac::read(b"RIFF\0\0\0\0WAVE").expect_err("WAV").to_string().contains("WAV file (audio/wav)"));
    assert!(Flac::read(b"ID3\x03\0\0\0\0\0\0\xff\xfb").expect_err("MP3").to_string().contains("with fLaC"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn frames_are_within_the_payload_and_follow_one_another(
        blocks in prop::collection::vec(1u16..5_000, 1..6),
        by_sample: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let stream = Stream { by_sample, ..STREAM };
        let mut file = stream.file(&blocks);
        let changed = !changes.is_empty();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        match Flac::read(&file) {
            Ok(flac) => {
                let mut first = 0;
                for (index, frame) in flac.frames.iter().enumerate() {
                    prop_assert_eq!(frame.first, first);
                    first += u64::from(frame.samples);
                    prop_assert!(frame.bytes.end <= file.len());
                    if let Some(next) = flac.frames.get(index + 1) {
                        prop_assert_eq!(frame.bytes.end, next.bytes.start);
                    }
                }
                prop_assert_eq!(flac.samples, first);
            }
            Err(fault) => prop_assert!(changed, "{}", fault),
        }
    }
}
