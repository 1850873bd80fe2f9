//! The header of a FLAC frame (RFC 9639, section 9.1) and the checksums of frames.

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Samples of each channel.
    pub(super) samples: u32,
    /// Samples a second; none if it is the rate of STREAMINFO.
    pub(super) rate: Option<u32>,
    pub(super) channels: u16,
    /// True if a channel is coded as the difference of two.
    pub(super) has_side: bool,
    /// Bits of a sample; none if they are the bits of STREAMINFO.
    pub(super) bits: Option<u16>,
    /// True if `number` counts samples; else it counts frames.
    pub(super) by_sample: bool,
    pub(super) number: u64,
    /// Bytes of the header, its checksum included.
    pub(super) length: usize,
}

impl FrameHeader {
    /// True if a header begins here, by its sync code and its checksum. [`Self::read`] may still not support it.
    pub(super) fn begins(here: &[u8]) -> bool {
        let marked = matches!(here, [0xff, 0xf8 | 0xf9, ..]);
        // Between its first four bytes and its checksum a header has 1 to 11 bytes.
        marked && (5..=15).any(|at| here.get(at).is_some_and(|sum| here.get(..at).map(crc8) == Some(*sum)))
    }

    /// The header that begins here; none if there is none, or one that is not supported.
    pub(super) fn read(here: &[u8]) -> Option<Self> {
        let &[0xff, sync, sizes, form, ..] = here else { return None };
        // The last bit is the numbering of frames.
        if sync & 0xfe != 0xf8 || form & 1 != 0 {
            return None;
        }
        let by_sample = sync & 1 != 0;
        let (number, mut at) = coded_number(here.get(4..)?, if by_sample { 36 } else { 31 })?;
        at += 4;
        let mut next = |bytes: usize| {
            let value = here.get(at..at + bytes)?.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
            at += bytes;
            Some(value)
        };
        let samples = match sizes >> 4 {
            0 => return None,
            1 => 192,
            code @ 2..=5 => 576 << (code - 2),
            6 => next(1)? + 1,
            7 => next(2)? + 1,
            code => 256 << (code - 8),
        };
        let rate = match sizes & 0xf {
            0 => None,
            code @ 1..=11 => RATES.get(usize::from(code - 1)).copied(),
            12 => Some(next(1)? * 1_000),
            13 => Some(next(2)?),
            14 => Some(next(2)? * 10),
            _ => return None,
        };
        let (channels, has_side) = match form >> 4 {
            code @ 0..=7 => (u16::from(code) + 1, false),
            8..=10 => (2, true),
            _ => return None,
        };
        let bits = match form >> 1 & 7 {
            0 => None,
            code => Some(BITS.get(usize::from(code - 1)).copied().filter(|bits| *bits != 0)?),
        };
        // 65536 samples would not fit into STREAMINFO.
        if samples > 65_535 || crc8(here.get(..at)?) != *here.get(at)? {
            return None;
        }
        Some(Self { samples, rate, channels, has_side, bits, by_sample, number, length: at + 1 })
    }
}

const RATES: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// The bits of each code less 1; 0 for a reserved code.
const BITS: [u16; 7] = [8, 12, 0, 16, 20, 24, 32];

/// A number coded as UTF-8 codes characters, but up to 7 bytes long, and the number of its bytes.
fn coded_number(bytes: &[u8], most_bits: u32) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let (mut number, length) = match first.leading_ones() {
        0 => (u64::from(first), 1),
        ones @ 2..=7 => (u64::from(first) & (0x7f_u64 >> ones), ones as usize),
        _ => return None,
    };
    for byte in bytes.get(1..length)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    (number >> most_bits == 0).then_some((number, length))
}

/// The checksum of a frame's header: polynomial x^8 + x^2 + x + 1.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 != 0 { sum << 1 ^ 0x07 } else { sum << 1 })
    })
}

/// The checksum of a whole frame: polynomial x^16 + x^15 + x^2 + 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checksum(u16);

impl Checksum {
    pub(super) fn add(&mut self, byte: u8) {
        let index = usize::from(self.0 >> 8) ^ usize::from(byte);
        // An index of 8 bits is always within the table.
        self.0 = self.0 << 8 ^ TABLE.get(index).copied().unwrap_or(0);
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[cfg(test)]
    pub(super) fn value(self) -> u16 {
        self.0
    }
}

static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000 != 0 { sum << 1 ^ 0x8005 } else { sum << 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}
