//! The formats of raw sound, with the names that FFmpeg and GStreamer use.

use std::fmt;

/// The layout of raw sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pcm {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame.
    pub channels: u16,
    /// The samples' format.
    pub format: PcmFormat,
}

impl Pcm {
    /// Bytes of one frame.
    pub fn frame_size(&self) -> usize {
        self.format.size() * usize::from(self.channels)
    }
}

/// The format of a sound sample. `Le` is little-endian, `Be` big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PcmFormat {
    /// 8-bit unsigned, 128 is silence.
    U8,
    /// 8-bit signed.
    S8,
    /// 16-bit signed.
    S16Le,
    /// 16-bit signed.
    S16Be,
    /// 16-bit unsigned, 32768 is silence.
    U16Le,
    /// 16-bit unsigned, 32768 is silence.
    U16Be,
    /// 24-bit signed in 3 bytes.
    S24Le,
    /// 24-bit signed in 3 bytes.
    S24Be,
    /// 24-bit signed in the low bits of 4 bytes: ALSA's `S24_LE`.
    S24In32Le,
    /// 24-bit signed in the low bits of 4 bytes.
    S24In32Be,
    /// 32-bit signed.
    S32Le,
    /// 32-bit signed.
    S32Be,
    /// 32-bit floating point.
    F32Le,
    /// 32-bit floating point.
    F32Be,
    /// 64-bit floating point.
    F64Le,
    /// 64-bit floating point.
    F64Be,
    /// ITU-T G.711, mu-law.
    Ulaw,
    /// ITU-T G.711, A-law.
    Alaw,
}

impl PcmFormat {
    /// All formats.
    pub const ALL: [Self; 18] = [
        Self::U8,
        Self::S8,
        Self::S16Le,
        Self::S16Be,
        Self::U16Le,
        Self::U16Be,
        Self::S24Le,
        Self::S24Be,
        Self::S24In32Le,
        Self::S24In32Be,
        Self::S32Le,
        Self::S32Be,
        Self::F32Le,
        Self::F32Be,
        Self::F64Le,
        Self::F64Be,
        Self::Ulaw,
        Self::Alaw,
    ];

    /// Bytes of one sample.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::S8 | Self::Ulaw | Self::Alaw => 1,
            Self::S16Le | Self::S16Be | Self::U16Le | Self::U16Be => 2,
            Self::S24Le | Self::S24Be => 3,
            Self::S24In32Le | Self::S24In32Be | Self::S32Le | Self::S32Be | Self::F32Le | Self::F32Be => 4,
            Self::F64Le | Self::F64Be => 8,
        }
    }

    /// The name, as the parameter `format` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::S8 => "s8",
            Self::S16Le => "s16le",
            Self::S16Be => "s16be",
            Self::U16Le => "u16le",
            Self::U16Be => "u16be",
            Self::S24Le => "s24le",
            Self::S24Be => "s24be",
            Self::S24In32Le => "s24_32le",
            Self::S24In32Be => "s24_32be",
            Self::S32Le => "s32le",
            Self::S32Be => "s32be",
            Self::F32Le => "f32le",
            Self::F32Be => "f32be",
            Self::F64Le => "f64le",
            Self::F64Be => "f64be",
            Self::Ulaw => "ulaw",
            Self::Alaw => "alaw",
        }
    }

    /// True if a sample may be infinite, not a number, or beyond full scale.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32Le | Self::F32Be | Self::F64Le | Self::F64Be)
    }
}

impl fmt::Display for PcmFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
