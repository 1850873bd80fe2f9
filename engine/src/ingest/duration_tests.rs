use super::*;
use crate::media::{Pcm, PcmFormat};

const PCM: Media = Media::Pcm(Pcm { rate: 16_000, channels: 2, format: PcmFormat::S16Le });

fn wav(rate: u32, bits: u16, data: usize, claimed: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(bits) / 8).to_le_bytes());
    bytes.extend((bits / 8).to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(claimed.to_le_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

#[test]
fn image_text_and_bytes_have_no_duration() {
    for media in [Media::Jpeg, Media::Text, Media::Binary, Media::Rgb { width: 1, height: 1 }] {
        assert_eq!(duration(&media, b"x"), Ok(Duration::ZERO));
    }
}

#[test]
fn pcm_lasts_as_long_as_its_frames() {
    assert_eq!(duration(&PCM, &[0; 64_000]), Ok(Duration::from_secs(1)));
    assert!(duration(&PCM, &[]).expect_err("empty").to_string().contains("empty"));
    assert!(duration(&PCM, &[0; 63_999]).expect_err("cut").to_string().contains("whole number"));
}

#[test]
fn wav_lasts_as_long_as_its_data_chunk() {
    assert_eq!(duration(&Media::Wav, &wav(8_000, 16, 1_600, 1_600)), Ok(Duration::from_millis(100)));
    assert_eq!(duration(&Media::Wav, &wav(8_000, 24, 2_400, 2_400)), Ok(Duration::from_millis(100)));
}

#[test]
fn a_wav_of_open_length_ends_with_its_payload() {
    for claimed in [0, u32::MAX, 0x7fff_ffff] {
        assert_eq!(duration(&Media::Wav, &wav(8_000, 16, 1_601, claimed)), Ok(Duration::from_millis(100)));
    }
}

#[test]
fn wav_header_that_is_wrong_or_cut_is_refused() {
    let cut = duration(&Media::Wav, &wav(8_000, 16, 1_600, 1_000_000)).expect_err("cut");
    assert!(cut.to_string().contains("claims 1000000 bytes"), "{cut}");
    assert!(duration(&Media::Wav, &wav(4_000_000, 16, 1_600, 1_600)).is_err());
    assert!(duration(&Media::Wav, &wav(8_000, 12, 1_600, 1_600)).is_err());
    let whole = wav(8_000, 16, 1_600, 1_600);
    for length in 0..whole.len() {
        assert!(duration(&Media::Wav, &whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn g711_and_other_formats_last_as_long_as_their_frames() {
    for format in PcmFormat::ALL {
        let media = Media::Pcm(Pcm { rate: 8_000, channels: 3, format });
        let payload = vec![0; 800 * 3 * format.size()];
        assert_eq!(duration(&media, &payload), Ok(Duration::from_millis(100)), "{format}");
    }
}

#[test]
fn a_file_on_an_input_of_raw_sound_is_recognised() {
    for (payload, named) in [
        (wav(8_000, 16, 1_600, 1_600), "WAV file (audio/wav)"),
        (b"fLaC\0\0\0\x22".repeat(8), "FLAC file (audio/flac)"),
        (b"OggS\0\x02\0\0".repeat(8), "Ogg file"),
        (b"ID3\x04\0\0\0\0".repeat(8), "ID3"),
    ] {
        let fault = duration(&PCM, &payload).expect_err(named);
        assert!(fault.to_string().contains(named) && fault.to_string().contains("not raw sound"), "{fault}");
    }
}

#[test]
fn flac_lasts_as_long_as_its_frames() {
    // A frame of 1024 samples of silence, and a header without a total.
    let mut file = b"fLaC\x80\0\0\x22\x04\0\x04\0\0\0\0\0\0\0".to_vec();
    file.extend((16_000_u64 << 44 | 15 << 36).to_be_bytes());
    file.resize(42, 0);
    file.extend([0xff, 0xf8, 0xa0, 0x08, 0, 0x6a, 0, 0, 0, 0x42, 0x05]);
    let found = duration(&Media::Flac, &file);
    assert_eq!(found, Ok(Duration::from_millis(64)), "{found:?}");
    assert!(duration(&Media::Flac, &file[..file.len() - 1]).is_err());
    assert!(duration(&Media::Flac, &file[..41]).is_err());
}
