//! Partitioners: the rules by which producers choose a partition from a record's key.
//!
//! Producers do not declare their rule. Only their records show it: if a rule gives another partition for a record's
//! key, the producer does not use that rule.

/// A rule that a producer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partitioner {
    /// Murmur2 of the key: the Java client, and clients compatible with it.
    Murmur2,
    /// CRC-32 of the key: librdkafka and the clients built on it, unless configured.
    Crc32,
    /// FNV-1a of the key: Sarama, unless configured.
    Fnv1a,
}

impl Partitioner {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Murmur2, Self::Crc32, Self::Fnv1a];

    /// The partition of a key among `partitions`; none if there are no partitions.
    pub fn partition(self, key: &[u8], partitions: i32) -> Option<i32> {
        let count = u32::try_from(partitions).ok().filter(|count| *count > 0)?;
        let number = match self {
            Self::Murmur2 => (murmur2(key) & 0x7fff_ffff) % count,
            Self::Crc32 => crc32(key) % count,
            // Sarama takes the remainder of a signed number, and then its absolute value.
            Self::Fnv1a => {
                let remainder = i64::from(fnv1a(key).cast_signed()) % i64::from(count);
                u32::try_from(remainder.unsigned_abs()).ok()?
            }
        };
        i32::try_from(number).ok()
    }

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
            Self::Fnv1a => "fnv1a",
        }
    }

    /// The name, and the client that uses it by default.
    pub const fn described(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2 (the Java client's default)",
            Self::Crc32 => "CRC32 (librdkafka's default, consistent_random)",
            Self::Fnv1a => "FNV-1a (Sarama's default)",
        }
    }
}

/// Murmur2 of 32 bits with the seed of the Java client.
fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u32, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// CRC-32 as in zlib.
fn crc32(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

/// FNV-1a of 32 bits.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Apache Kafka's own client.
    #[test]
    fn murmur2_agrees_with_the_java_client() {
        let known: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
    }

    /// The check value of CRC-32, and the vectors of FNV's authors.
    #[test]
    fn crc32_and_fnv1a_have_their_published_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    /// As produced to Apache Kafka through librdkafka with `partitioner` set to `murmur2_random`, `consistent_random` and
    /// `fnv1a_random`.
    #[test]
    fn partitioners_agree_with_real_producers() {
        let known = [
            ("cam-1", 2, [1, 0, 0]),
            ("2c9e1f30-aaaa", 2, [0, 0, 1]),
            ("cam-1", 12, [3, 4, 10]),
            ("cam-2", 12, [5, 10, 11]),
            ("sensor/7", 12, [3, 8, 11]),
            ("é", 12, [3, 2, 9]),
            ("a", 12, [4, 3, 0]),
            ("é", 101, [71, 18, 23]),
            ("cam-1", 101, [92, 76, 35]),
            ("a", 101, [31, 18, 58]),
        ];
        for (key, partitions, numbers) in known {
            let found = Partitioner::ALL.map(|rule| rule.partition(key.as_bytes(), partitions));
            assert_eq!(found, numbers.map(Some), "{key} of {partitions}");
        }
        assert_eq!(Partitioner::Murmur2.partition(b"a", 0), None);
        assert_eq!(Partitioner::Fnv1a.partition(b"a", -1), None);
    }
}
