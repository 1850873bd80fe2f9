//! Huffman tables (ITU-T T.81, annexes C and F), as far as the check of a scan needs them.

use std::sync::LazyLock;

/// The number of bits of one lookup.
const AHEAD: u32 = 9;

/// A table: the symbol of each code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Length and symbol of the code at the next bits; a length of 0 if the code is longer.
    short: Vec<(u8, u8)>,
    /// The entry of each length, at the length less 1. It has the first code after the codes of that length, aligned
    /// to 16 bits, and the offset from a code of that length to the place of its symbol.
    long: [(u32, i32); 16],
    symbols: Vec<u8>,
}

impl Table {
    /// Creates the table of a segment from the number of codes of each length and the symbols in order. None if there
    /// are more codes than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut short = vec![(0, 0); 1 << AHEAD];
        let mut long = [(0, 0); 16];
        let (mut code, mut place) = (0u32, 0usize);
        for (length, (count, of_length)) in (1u32..).zip(counts.iter().zip(&mut long)) {
            let offset = place as i32 - code as i32;
            for _ in 0..*count {
                let symbol = *symbols.get(place)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= AHEAD {
                    let from = (code << (AHEAD - length)) as usize;
                    short.get_mut(from..from + (1 << (AHEAD - length)))?.fill((length as u8, symbol));
                }
                code += 1;
                place += 1;
            }
            *of_length = (code << (16 - length), offset);
            code <<= 1;
        }
        Some(Self { short, long, symbols: symbols.get(..place)?.to_vec() })
    }

    /// The symbol and the length of the code at the beginning of the next 16 bits.
    pub(super) fn look_up(&self, next: u16) -> Option<(u8, u32)> {
        match self.short.get(usize::from(next >> (16 - AHEAD))) {
            Some((length, symbol)) if *length > 0 => return Some((*symbol, u32::from(*length))),
            _ => {}
        }
        let mut lengths = (1u32..).zip(&self.long).skip(AHEAD as usize);
        let (length, (_, offset)) = lengths.find(|(_, (beyond, _))| u32::from(next) < *beyond)?;
        let place = i32::from(next >> (16 - length)) + offset;
        self.symbols.get(usize::try_from(place).ok()?).map(|symbol| (*symbol, length))
    }
}

/// The tables of a file: for DC and for AC, each by its number.
pub(super) type Tables = [[Option<Table>; 4]; 2];

/// The tables of a file without its own (T.81, annex K.3): for luminance and for chrominance.
pub(super) static USUAL: LazyLock<Tables> = LazyLock::new(|| {
    let table = |counts, symbols| Table::new(counts, symbols);
    let dc: Vec<u8> = (0..=11).collect();
    [
        [table(&DC_COUNTS[0], &dc), table(&DC_COUNTS[1], &dc), None, None],
        [table(&AC_COUNTS[0], &AC_SYMBOLS[0]), table(&AC_COUNTS[1], &AC_SYMBOLS[1]), None, None],
    ]
});

/// One of a file's own tables, or the usual one.
pub(super) fn find(tables: &Tables, ac: bool, number: u8) -> Option<&Table> {
    let own = tables.get(usize::from(ac))?.get(usize::from(number))?.as_ref();
    own.or_else(|| USUAL.get(usize::from(ac))?.get(usize::from(number))?.as_ref())
}

/// Reads the tables of a DHT segment. Malformed ones are skipped: libjpeg refuses them.
pub(super) fn read(mut body: &[u8], tables: &mut Tables) {
    while let Some((kind, rest)) = body.split_first()
        && let Some((counts, rest)) = rest.split_first_chunk::<16>()
        && let Some((symbols, rest)) =
            rest.split_at_checked(counts.iter().map(|count| usize::from(*count)).sum())
    {
        let place = tables.get_mut(usize::from(kind >> 4)).and_then(|of| of.get_mut(usize::from(kind & 15)));
        if let Some(place) = place {
            *place = Table::new(counts, symbols);
        }
        body = rest;
    }
}

const DC_COUNTS: [[u8; 16]; 2] =
    [[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]];
const AC_COUNTS: [[u8; 16]; 2] = [
    [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
    [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
];
#[rustfmt::skip]
const AC_SYMBOLS: [[u8; 162]; 2] = [
    [
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
    [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The codes of a table, one after the other: bits, length and symbol.
    fn codes(counts: &[u8; 16], symbols: &[u8]) -> Vec<(u32, u32, u8)> {
        let (mut code, mut all) = (0, Vec::new());
        let mut symbols = symbols.iter();
        for (length, count) in (1..).zip(counts) {
            for _ in 0..*count {
                all.push((code, length, *symbols.next().expect("a symbol")));
                code += 1;
            }
            code <<= 1;
        }
        all
    }

    proptest! {
        #[test]
        fn huffman_table_finds_each_code_before_any_bits(
            counts in prop::collection::vec(0u8..5, 16),
            noise in any::<u16>(),
        ) {
            let counts: [u8; 16] = counts.try_into().expect("sixteen");
            let symbols: Vec<u8> = (0..=255).cycle().take(counts.iter().map(|n| usize::from(*n)).sum()).collect();
            let mut space = 0u64;
            for (length, count) in (1..).zip(counts) {
                space += u64::from(count) << (16 - length);
            }
            let table = Table::new(&counts, &symbols);
            prop_assert_eq!(table.is_some(), space <= 1 << 16);
            let Some(table) = table else { return Ok(()) };
            for (code, length, symbol) in codes(&counts, &symbols) {
                let next = ((code << (16 - length)) as u16) | (noise & ((1u32 << (16 - length)) - 1) as u16);
                prop_assert_eq!(table.look_up(next), Some((symbol, length)));
            }
            if let Ok(beyond) = u16::try_from(space) {
                prop_assert_eq!(table.look_up(beyond), None);
            }
        }
    }
}
