//! The markers of a JPEG (ITU-T T.81, annex B), checked before libjpeg reads the file. They show damage that libjpeg
//! does not warn of, and harmless mistakes that it does warn of.
//!
//! Harmless mistakes are repaired in a copy: bytes between segments that belong to none, an unknown JFIF version, and
//! scan headers of sequential files whose unused fields are zero. Files without Huffman tables, which webcams send,
//! stay as they are: libjpeg has the usual tables.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::entropy::{self, ScanComponent};
use super::frame::JpegFrame;
use super::huffman::{self, Tables};
use super::scans::ScanCoverage;

/// The most scans of an accepted picture. Each scan is a pass over the whole picture, however few bytes it has.
pub(super) const MOST_SCANS: usize = 100;

/// The headers of the file, up to and including the header of the first scan.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    pub(super) frame: JpegFrame,
    /// True if libjpeg keeps all coefficients until the last scan.
    pub(super) in_scans: bool,
    /// The first EXIF block, from its TIFF header on.
    pub(super) exif: Option<&'a [u8]>,
}

/// The whole file.
#[derive(Clone, Debug)]
pub(super) struct Walked<'a> {
    pub(super) head: Head<'a>,
    /// The bytes for libjpeg.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Damage that the markers show although the file can be decoded.
    pub(super) damage: Option<String>,
}

/// The reason why a file is not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JpegRefusal {
    Undecodable(String),
    TooManyScans,
}

impl From<String> for JpegRefusal {
    fn from(why: String) -> Self {
        Self::Undecodable(why)
    }
}

impl From<&str> for JpegRefusal {
    fn from(why: &str) -> Self {
        Self::Undecodable(why.into())
    }
}

/// Reads the file up to the first scan.
pub(super) fn head(payload: &[u8]) -> Result<Head<'_>, JpegRefusal> {
    let mut walk = Walk::new(payload, false);
    while walk.scans == 0 {
        if let MarkerStep::End(end) = walk.step()? {
            return Err(walk.without_scan(&end));
        }
    }
    walk.head()
}

/// Reads the whole file.
pub(super) fn walk(payload: &[u8]) -> Result<Walked<'_>, JpegRefusal> {
    let mut walk = Walk::new(payload, true);
    let end = loop {
        match walk.step()? {
            MarkerStep::Segment => {}
            MarkerStep::End(end) if walk.scans == 0 => return Err(walk.without_scan(&end)),
            MarkerStep::End(end) => break end,
        }
    };
    let head = walk.head()?;
    let at = walk.at;
    let mut damage = match end {
        ImageEnd::Marker => None,
        ImageEnd::Bytes => {
            Some(format!("the file ends at byte {at} without an end-of-image marker: it was cut"))
        }
        ImageEnd::NextImage => Some(format!(
            "another image begins at byte {at}, before the end-of-image marker of this one: it was cut"
        )),
    };
    let behind = payload.get(at..).unwrap_or_default();
    if matches!(end, ImageEnd::Marker) && behind.starts_with(b"\xff\xd8") && walk.is_field {
        return Err(
            "the payload holds two fields of an interlaced Motion JPEG, each with every other line; \
             send deinterlaced frames"
                .into(),
        );
    }
    damage = damage.or(walk.damage.take()).or_else(|| walk.coverage.missing());
    let mut bytes = walk.mended();
    if matches!(end, ImageEnd::NextImage) {
        // libjpeg would read on into the next image.
        let bytes = bytes.to_mut();
        bytes.truncate(bytes.len() - behind.len());
        bytes.extend([0xff, 0xd9]);
    }
    Ok(Walked { head, bytes, damage })
}

enum MarkerStep {
    Segment,
    End(ImageEnd),
}

enum ImageEnd {
    /// The end-of-image marker.
    Marker,
    /// The end of the bytes.
    Bytes,
    /// Another start-of-image marker.
    NextImage,
}

struct Walk<'a> {
    payload: &'a [u8],
    /// The next byte.
    at: usize,
    frame: Option<JpegFrame>,
    exif: Option<&'a [u8]>,
    scans: usize,
    in_scans: bool,
    coverage: ScanCoverage,
    /// True if the data of scans is checked as well.
    follows: bool,
    tables: Tables,
    interval: u16,
    /// Damage in the data of scans.
    damage: Option<String>,
    /// True if an AVI1 block declares it one field of two.
    is_field: bool,
    /// Ranges to leave out of the copy for libjpeg.
    stray: Vec<Range<usize>>,
    /// Bytes to overwrite in that copy.
    patches: Vec<(usize, u8)>,
}

impl<'a> Walk<'a> {
    fn new(payload: &'a [u8], follows: bool) -> Self {
        Self {
            payload,
            // The caller has seen the start-of-image marker.
            at: 2,
            frame: None,
            exif: None,
            scans: 0,
            in_scans: false,
            coverage: ScanCoverage::default(),
            follows,
            tables: Tables::default(),
            interval: 0,
            damage: None,
            is_field: false,
            stray: Vec::new(),
            patches: Vec::new(),
        }
    }

    /// Reads one segment, including a scan's data.
    fn step(&mut self) -> Result<MarkerStep, JpegRefusal> {
        let from = self.at;
        // Any number of 0xff may precede a marker; 0xff 0x00 is no marker.
        let (start, marker) = loop {
            let rest = self.payload.get(self.at..).unwrap_or_default();
            let Some(skipped) = rest.iter().position(|byte| *byte == 0xff) else {
                self.at = self.payload.len();
                return Ok(MarkerStep::End(ImageEnd::Bytes));
            };
            let start = self.at + skipped;
            let fill = self.payload.get(start..).unwrap_or_default();
            let Some(second) = fill.iter().position(|byte| *byte != 0xff) else {
                self.at = self.payload.len();
                return Ok(MarkerStep::End(ImageEnd::Bytes));
            };
            self.at = start + second + 1;
            match fill.get(second).copied().unwrap_or_default() {
                0 => {}
                marker => break (start, marker),
            }
        };
        if start > from {
            self.stray.push(from..start);
        }
        match marker {
            // Restart markers outside a scan, and TEM, have no segment.
            0x01 | 0xd0..=0xd7 => return Ok(MarkerStep::Segment),
            0xd8 => {
                self.at = start;
                return match self.scans {
                    0 => Err(format!(
                        "a second start-of-image marker stands at byte {start}, before any pixel of the first"
                    )
                    .into()),
                    _ => Ok(MarkerStep::End(ImageEnd::NextImage)),
                };
            }
            0xd9 => return Ok(MarkerStep::End(ImageEnd::Marker)),
            0xc0..=0xcf | 0xda..=0xdf | 0xe0..=0xef | 0xfe => {}
            _ => {
                return Err(format!(
                    "byte {start} begins with the marker 0xff{marker:02x}, which no decoder supports"
                )
                .into());
            }
        }
        let Some(body) = self.segment() else {
            self.at = self.payload.len();
            return Ok(MarkerStep::End(ImageEnd::Bytes));
        };
        let (begins, body) = body?;
        match marker {
            0xc0..=0xc3 | 0xc5..=0xcb | 0xcd..=0xcf => self.frame(marker, body)?,
            0xda => self.scan(begins, body)?,
            0xc4 if self.follows => huffman::read(body, &mut self.tables),
            0xdd => self.interval = body.first_chunk().map_or(0, |two| u16::from_be_bytes(*two)),
            0xe0 => self.app0(begins, body),
            0xe1 if self.exif.is_none() => self.exif = body.strip_prefix(b"Exif\0\0"),
            _ => {}
        }
        Ok(MarkerStep::Segment)
    }

    /// Reads the segment whose length comes next: its body and the place of the body. None if the file ends before
    /// its end.
    fn segment(&mut self) -> Option<Result<(usize, &'a [u8]), JpegRefusal>> {
        let high = *self.payload.get(self.at)?;
        let low = *self.payload.get(self.at + 1)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Some(Err(format!(
                "the segment at byte {} says that it is {length} bytes long",
                self.at - 2
            )
            .into()));
        }
        let begins = self.at + 2;
        let body = self.payload.get(begins..self.at + length)?;
        self.at += length;
        Some(Ok((begins, body)))
    }

    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), JpegRefusal> {
        if self.frame.is_some() {
            return Err("it has two frame headers".into());
        }
        let frame = JpegFrame::read(marker, body)?;
        self.coverage = ScanCoverage::new(frame.progressive, frame.components.clone());
        self.frame = Some(frame);
        Ok(())
    }

    /// Reads a scan's header, and its data up to the next marker that is not a restart.
    fn scan(&mut self, begins: usize, body: &[u8]) -> Result<(), JpegRefusal> {
        let Some(frame) = &self.frame else {
            return Err("a scan comes before the frame header".into());
        };
        let malformed = || JpegRefusal::from(format!("the scan header at byte {} is malformed", begins - 4));
        let (count, rest) = body.split_first().ok_or_else(malformed)?;
        let selectors = rest.get(..2 * usize::from(*count)).ok_or_else(malformed)?;
        let Some([from, to, approximation]) = rest.get(selectors.len()..) else { return Err(malformed()) };
        if self.scans == MOST_SCANS {
            return Err(JpegRefusal::TooManyScans);
        }
        // Some encoders leave zeros where only 0, 63, 0 is allowed. Sequential decoders ignore these fields.
        if !frame.progressive && [*from, *to, *approximation] == [0; 3] {
            self.patches.push((begins + 1 + selectors.len() + 1, 63));
        }
        let ids = selectors.iter().step_by(2).copied();
        let (high, low) = (approximation >> 4, approximation & 15);
        if self.scans == 0 {
            self.in_scans = frame.progressive || usize::from(*count) < frame.components.len();
        }
        self.scans += 1;
        let places = self.coverage.scan(ids, *from..=*to, high, low).map_err(JpegRefusal::from)?;
        let begins = self.at;
        let mut at = self.at;
        self.at = loop {
            let rest = self.payload.get(at..).unwrap_or_default();
            let Some(found) = rest.iter().position(|byte| *byte == 0xff) else { break self.payload.len() };
            match rest.get(found + 1) {
                Some(0 | 0xd0..=0xd7) => at += found + 2,
                // A fill byte, or the marker itself.
                Some(0xff) => at += found + 1,
                Some(_) => break at + found,
                None => break self.payload.len(),
            }
        };
        if self.follows && self.damage.is_none() {
            self.follow(begins, &places, selectors);
        }
        Ok(())
    }

    /// Checks the data of the last scan, and records its damage and its padding.
    fn follow(&mut self, begins: usize, places: &[usize], selectors: &[u8]) {
        let Some(frame) = self.frame.as_ref().filter(|frame| frame.huffman) else { return };
        let found = places.iter().zip(selectors.chunks_exact(2)).map(|(place, selector)| {
            let tables = selector.get(1).copied().unwrap_or_default();
            Some(ScanComponent {
                blocks: frame.components.get(*place).map(|of| of.sampling).filter(|_| places.len() > 1),
                dc: huffman::find(&self.tables, false, tables >> 4)?,
                ac: huffman::find(&self.tables, true, tables & 15)?,
            })
        });
        // Without these tables libjpeg refuses the file.
        let Some(parts) = found.collect::<Option<SmallVec<[ScanComponent<'_>; 4]>>>() else { return };
        let Some(mcus) = frame.mcus(places) else { return };
        let data = self.payload.get(begins..self.at).unwrap_or_default();
        let followed = entropy::follow(data, &parts, mcus, self.interval);
        self.stray.extend(followed.padding.into_iter().map(|zeros| begins + zeros.start..begins + zeros.end));
        self.damage = followed.damage;
    }

    fn app0(&mut self, begins: usize, body: &[u8]) {
        match body {
            [b'J', b'F', b'I', b'F', 0, major, ..] if *major != 1 => self.patches.push((begins + 5, 1)),
            [b'A', b'V', b'I', b'1', polarity, ..] => self.is_field = *polarity != 0,
            _ => {}
        }
    }

    fn head(&self) -> Result<Head<'a>, JpegRefusal> {
        match &self.frame {
            Some(frame) => Ok(Head { frame: frame.clone(), in_scans: self.in_scans, exif: self.exif }),
            None => Err("it has no frame header".into()),
        }
    }

    fn without_scan(&self, end: &ImageEnd) -> JpegRefusal {
        match end {
            ImageEnd::Marker => "it has no scan, and so no pixels".into(),
            ImageEnd::Bytes | ImageEnd::NextImage => {
                format!("the file ends at byte {} within its headers: it was cut", self.payload.len()).into()
            }
        }
    }

    /// The file without the bytes outside segments, and patched.
    fn mended(&self) -> Cow<'a, [u8]> {
        if self.stray.is_empty() && self.patches.is_empty() {
            return Cow::Borrowed(self.payload);
        }
        let mut bytes = self.payload.to_vec();
        for (at, value) in &self.patches {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte = *value;
            }
        }
        for range in self.stray.iter().rev() {
            bytes.drain(range.clone());
        }
        Cow::Owned(bytes)
    }
}
