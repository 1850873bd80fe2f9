//! The check of a sequential Huffman scan: it parses the data to its end without decoding a pixel.
//!
//! libjpeg notices neither a few extra bytes nor a block with more than 64 coefficients, and it cannot distinguish
//! padding from broken blocks. This check can: the data of an intact scan ends with its last block, up to the padding
//! of the last byte.

use std::ops::Range;

use super::huffman::Table;

/// The most bytes of zeros after the last block that count as padding. Some cameras fill up to their hardware's
/// transfer length.
const MOST_PADDING: usize = 16;
/// The length of a run of zeros, in bytes, that is no picture if a code of zeros stands for coefficients.
const ZEROS: usize = 32;

/// One component of the scan.
pub(super) struct ScanComponent<'a> {
    /// Its blocks in each MCU, across and down, if it is not alone.
    pub(super) blocks: Option<(u8, u8)>,
    pub(super) dc: &'a Table,
    pub(super) ac: &'a Table,
}

/// The findings in a scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScanFindings {
    pub(super) damage: Option<String>,
    /// Ranges of padding zeros within the data.
    pub(super) padding: Vec<Range<usize>>,
}

/// Checks the data of a scan of `mcus` MCUs, with a restart marker after each `interval` of them if that is not 0.
pub(super) fn follow(data: &[u8], parts: &[ScanComponent<'_>], mcus: u64, interval: u16) -> ScanFindings {
    // Any number of 0xff may precede the next marker.
    let length = data.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    let data = data.get(..length).unwrap_or_default();
    let mut followed = ScanFindings::default();
    let picture_of_zeros = parts.iter().all(|part| part.ac.look_up(0).is_none_or(|(symbol, _)| symbol == 0));
    if !picture_of_zeros && let Some(at) = zeros(data) {
        followed.damage = Some(format!("its scan has {ZEROS} bytes of zeros from byte {at} of it on"));
        return followed;
    }
    let mut bits = Bits { data, at: 0, buffer: 0, count: 0 };
    let mut expected = 0;
    for mcu in 0..mcus {
        if interval != 0 && mcu != 0 && mcu % u64::from(interval) == 0 {
            if let Err(why) = bits.end_of_interval(&mut followed.padding) {
                followed.damage = Some(format!("{why} before its restart marker {expected}"));
                return followed;
            }
            if !bits.restart(expected) {
                followed.damage = Some(format!("restart marker {expected} is not where it must be"));
                return followed;
            }
            expected = (expected + 1) % 8;
        }
        for part in parts {
            let (across, down) = part.blocks.unwrap_or((1, 1));
            for _ in 0..across * down {
                if let Err(why) = block(&mut bits, part) {
                    followed.damage = Some(format!("{why} in MCU {} of {mcus}", mcu + 1));
                    return followed;
                }
            }
        }
    }
    if let Err(why) = bits.end_of_interval(&mut followed.padding) {
        followed.damage = Some(format!("{why} behind its last block"));
    } else if !matches!(data.get(bits.at..), Some([] | [0xff, 0xd0..=0xd7])) {
        followed.damage = Some("its scan goes on behind its last block".into());
    }
    followed
}

/// The place of the first long run of zeros.
fn zeros(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    // It reads one byte in `ZEROS`: within a run that byte is zero, and then the beginning of the run is searched.
    while let Some(byte) = data.get(at + ZEROS - 1) {
        if *byte != 0 {
            at += ZEROS;
            continue;
        }
        let run = data.get(at..at + ZEROS)?;
        match run.iter().rposition(|byte| *byte != 0) {
            None => return Some(at),
            Some(last) => at += last + 1,
        }
    }
    None
}

fn block(bits: &mut Bits<'_>, part: &ScanComponent<'_>) -> Result<(), &'static str> {
    bits.coefficient(part.dc)?;
    let mut next = 1;
    while next < 64 {
        let symbol = bits.coefficient(part.ac)?;
        match symbol {
            0xf0 => next += 16,
            _ if symbol & 15 == 0 => return Ok(()),
            _ => next += u32::from(symbol >> 4) + 1,
        }
    }
    if next > 64 { Err("a block has more than 64 coefficients") } else { Ok(()) }
}

struct Bits<'a> {
    data: &'a [u8],
    /// The next byte that is not in the buffer.
    at: usize,
    /// The next bits, from the highest on; zeros behind them.
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    const SHORT: &'static str = "its data ends";

    /// Fills the buffer with at least 32 bits, if there are as many.
    fn fill(&mut self) {
        if let Some(four) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<4>())
            && !four.contains(&0xff)
        {
            self.buffer |= u64::from(u32::from_be_bytes(*four)) << (32 - self.count);
            self.count += 32;
            self.at += 4;
            return;
        }
        while self.count <= 56 {
            let Some(byte) = self.data.get(self.at) else { return };
            if *byte == 0xff {
                match self.data.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    _ => return,
                }
            }
            self.at += 1;
            self.buffer |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Skips a code and the bits after it, at most 31 in all. The lower half of its symbol is the number of these
    /// bits.
    fn coefficient(&mut self, table: &Table) -> Result<u8, &'static str> {
        if self.count < 32 {
            self.fill();
        }
        let Some((symbol, length)) = table.look_up((self.buffer >> 48) as u16) else {
            return Err(if self.count < 16 {
                Self::SHORT
            } else {
                "there is a code that its table does not have"
            });
        };
        let all = length + u32::from(symbol & 15);
        if self.count < all {
            return Err(Self::SHORT);
        }
        self.buffer <<= all;
        self.count -= all;
        Ok(symbol)
    }

    /// Skips the padding of the last byte, and zeros after it up to the next marker.
    fn end_of_interval(&mut self, padding: &mut Vec<Range<usize>>) -> Result<(), String> {
        let in_buffer = (self.count / 8) as usize;
        let rest = self.data.get(self.at..).unwrap_or_default();
        let to = rest.windows(2).position(|two| two[0] == 0xff && two[1] != 0).unwrap_or(rest.len());
        let marker = self.at + to;
        let more = in_buffer + to;
        let before = self.data.get(..marker).unwrap_or_default();
        let zeros = before.iter().rev().take_while(|byte| **byte == 0).count();
        (self.at, self.buffer, self.count) = (marker, 0, 0);
        match more {
            0 => Ok(()),
            more if more <= zeros && more <= MOST_PADDING => {
                padding.push(marker - more..marker);
                Ok(())
            }
            more => Err(format!("it has {more} bytes too many")),
        }
    }

    /// Reads the next marker. True if it is that restart marker.
    fn restart(&mut self, number: u8) -> bool {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let found = fill > 0 && rest.get(fill) == Some(&(0xd0 + number));
        self.at += fill + 1;
        found
    }
}
