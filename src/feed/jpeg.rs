//! Splits a stream of JPEG files that follow one another (ITU-T T.81, annex B).

use std::io::{self, BufRead, Read};

/// The largest picture that is taken.
const MAX: usize = 64 << 20;

/// The next picture; none at the end.
pub(super) fn next(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut jpeg = Vec::new();
    let mut two = [0; 2];
    from.read_exact(&mut two)?;
    if two != [0xff, 0xd8] {
        return Err(bad("a picture does not begin as a JPEG"));
    }
    jpeg.extend(two);
    loop {
        from.read_exact(&mut two)?;
        jpeg.extend(two);
        match two {
            [0xff, 0xd9] => return Ok(Some(jpeg)),
            [0xff, marker] => {
                from.read_exact(&mut two)?;
                jpeg.extend(two);
                let length = usize::from(u16::from_be_bytes(two)).saturating_sub(2);
                from.by_ref().take(length as u64).read_to_end(&mut jpeg)?;
                if marker == 0xda && scan(from, &mut jpeg)? {
                    return Ok(Some(jpeg));
                }
            }
            _ => return Err(bad("a JPEG marker is missing")),
        }
    }
}

/// Entropy-coded data up to the end of the image, over further markers. Says that the image has ended.
fn scan(from: &mut impl BufRead, jpeg: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let before = jpeg.len();
        from.read_until(0xff, jpeg)?;
        let mut next = [0];
        from.read_exact(&mut next)?;
        jpeg.extend(next);
        if next == [0xd9] {
            return Ok(true);
        }
        if jpeg.len() > MAX || jpeg.len() == before {
            return Err(bad("a picture has no end"));
        }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_follow_one_another_are_parted_at_their_ends() {
        // A segment that holds an end marker, then a scan with a stuffed byte and a restart marker.
        let one = [
            0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 3, 1, 9, 0xff, 0, 0xff, 0xd0, 7, 0xff,
            0xd9,
        ];
        let both = [one, one].concat();
        let mut from = both.as_slice();
        assert_eq!(next(&mut from).unwrap().as_deref(), Some(one.as_slice()));
        assert_eq!(next(&mut from).unwrap().as_deref(), Some(one.as_slice()));
        assert_eq!(next(&mut from).unwrap(), None);
        assert!(next(&mut &one[..18]).is_err());
        assert!(next(&mut b"no".as_slice()).is_err());
    }
}
