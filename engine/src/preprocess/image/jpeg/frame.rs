//! The frame header of a JPEG (ITU-T T.81, B.2.2).

use smallvec::SmallVec;

use super::scans::Component;

/// The content of the frame header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JpegFrame {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) progressive: bool,
    /// True if scans are sequential and Huffman-coded.
    pub(super) huffman: bool,
    pub(super) components: Vec<Component>,
}

impl JpegFrame {
    /// Reads the segment of that marker.
    pub(super) fn read(marker: u8, body: &[u8]) -> Result<Self, String> {
        let kind = match marker {
            0xc0..=0xc2 | 0xc9 | 0xca => None,
            0xc3 | 0xcb => Some("a lossless"),
            0xc8 => Some("an extended"),
            _ => Some("a hierarchical"),
        };
        if let Some(kind) = kind {
            return Err(format!(
                "it is {kind} JPEG (SOF{}), which is not supported; send a baseline or progressive one",
                marker & 15
            ));
        }
        let [precision, h1, h0, w1, w0, count, rest @ ..] = body else {
            return Err("its frame header is too short".into());
        };
        let (components, beyond) = rest.as_chunks::<3>();
        if components.len() != usize::from(*count) || !beyond.is_empty() {
            return Err("its frame header is not as long as its components ask".into());
        }
        if *precision != 8 {
            return Err(format!("its samples have {precision} bits; send samples of 8"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(format!("it has {count} colour components; send 1 (grey), 3 (colour) or 4 (CMYK)"));
        }
        let height = u32::from(u16::from_be_bytes([*h1, *h0]));
        if height == 0 {
            return Err(
                "its frame header leaves the height to a later segment (DNL), which is not supported".into(),
            );
        }
        Ok(Self {
            width: u32::from(u16::from_be_bytes([*w1, *w0])),
            height,
            progressive: matches!(marker, 0xc2 | 0xca),
            huffman: matches!(marker, 0xc0 | 0xc1),
            components: components.iter().map(|[id, sampling, _]| Component::new(*id, *sampling)).collect(),
        })
    }

    /// The number of MCUs of a scan of these components. None if their sampling is out of range.
    pub(super) fn mcus(&self, places: &[usize]) -> Option<u64> {
        let sampling =
            |of: &Component| Some(of.sampling).filter(|(h, v)| (1..=4).contains(h) && (1..=4).contains(v));
        let all: Option<SmallVec<[(u8, u8); 4]>> = self.components.iter().map(sampling).collect();
        let all = all?;
        let most = all.iter().fold((1, 1), |most, of| (most.0.max(of.0), most.1.max(of.1)));
        let blocks = |pixels: u32, samples: u8, most: u8| {
            u64::from(pixels * u32::from(samples)).div_ceil(u64::from(most) * 8)
        };
        // A component alone is not padded to whole MCUs of the frame.
        let (h, v) = match places {
            [alone] => *all.get(*alone)?,
            _ => (1, 1),
        };
        Some(blocks(self.width, h, most.0) * blocks(self.height, v, most.1))
    }
}
