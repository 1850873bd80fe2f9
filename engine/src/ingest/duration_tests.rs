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

fn flac(rate: u64, frames: u64, payload: usize) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    bytes.extend((rate << 44 | 1 << 41 | 15 << 36 | frames).to_be_bytes());
    bytes.resize(42 + payload, 0);
    bytes
}

#[test]
fn what_has_no_length_lasts_no_time() {
    for media in [Media::Jpeg, Media::Text, Media::Binary, Media::Rgb { width: 1, height: 1 }] {
        assert_eq!(duration(&media, b"x"), Ok(Duration::ZERO));
    }
}

#[test]
fn pcm_lasts_as_long_as_its_frames() {
    assert_eq!(duration(&PCM, &[0; 64_000]), Ok(Duration::from_secs(1)));
    assert!(duration(&PCM, &[]).expect_err("empty").contains("empty"));
    assert!(duration(&PCM, &[0; 63_999]).expect_err("cut").contains("whole number"));
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
fn a_wav_header_that_lies_or_is_cut_is_refused() {
    let cut = duration(&Media::Wav, &wav(8_000, 16, 1_600, 1_000_000)).expect_err("cut");
    assert!(cut.contains("claims 1000000 bytes"), "{cut}");
    assert!(duration(&Media::Wav, &wav(4_000_000, 16, 1_600, 1_600)).is_err());
    assert!(duration(&Media::Wav, &wav(8_000, 12, 1_600, 1_600)).is_err());
    let whole = wav(8_000, 16, 1_600, 1_600);
    for length in 0..whole.len() {
        assert!(duration(&Media::Wav, &whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn flac_lasts_as_long_as_its_header_says() {
    assert_eq!(duration(&Media::Flac, &flac(44_100, 44_100, 1_000)), Ok(Duration::from_secs(1)));
}

#[test]
fn a_flac_header_that_claims_more_than_fits_is_refused() {
    let error = duration(&Media::Flac, &flac(44_100, 0xf_ffff_ffff, 1_000)).expect_err("lying");
    assert!(error.contains("at the very most"), "{error}");
    assert!(duration(&Media::Flac, &flac(44_100, 0, 1_000)).is_err());
    assert!(duration(&Media::Flac, &flac(0, 100, 1_000)).is_err());
    assert!(duration(&Media::Flac, &flac(44_100, 100, 1_000)[..41]).is_err());
}
