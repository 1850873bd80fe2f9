//! ITU-T G.711: decoding of 8 bits to 16 bits.

/// Mu-law.
pub(super) fn ulaw(byte: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let byte = !byte;
    let size = ((i16::from(byte & 0x0f) << 3) + BIAS) << (byte >> 4 & 7);
    if byte & 0x80 != 0 { BIAS - size } else { size - BIAS }
}

/// A-law.
pub(super) fn alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (step, segment) = (i16::from(byte & 0x0f) << 4, byte >> 4 & 7);
    let size = match segment {
        0 => step + 0x08,
        segment => (step + 0x108) << (segment - 1),
    };
    if byte & 0x80 != 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::{alaw, ulaw};

    /// The values of the tables 1a to 2b of the recommendation, scaled to 16 bits.
    #[test]
    fn g711_gives_the_values_of_the_recommendation() {
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0x8f, 0x70].map(ulaw), [0, 0, 32_124, -32_124, 16_764, -120]);
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a, 0x80, 0x85].map(alaw), [8, -8, 32_256, -32_256, 5_504, 4_224]);
        for byte in 0..=127u8 {
            assert_eq!(ulaw(byte), -ulaw(byte | 0x80));
            assert_eq!(alaw(byte), -alaw(byte | 0x80));
        }
    }
}
