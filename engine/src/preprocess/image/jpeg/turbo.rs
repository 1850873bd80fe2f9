//! libjpeg-turbo, by its TurboJPEG interface. The crate's safe interface neither stops at a warning nor distinguishes
//! warnings from errors. The detection of damage depends on both, so this module calls the C functions. All `unsafe`
//! of the engine is here.
#![allow(unsafe_code, reason = "calls libjpeg-turbo; each call says why it is sound")]

use std::ffi::CStr;
use std::os::raw::c_int;
use std::ptr::NonNull;

use turbojpeg::raw;

/// The colours of a file, as libjpeg decodes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    Gray,
    Rgb,
    /// Four inks, each with 255 for none (as Adobe and all other writers write them).
    Cmyk,
}

impl Colors {
    /// Bytes of one pixel.
    pub(super) fn step(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    fn format(self) -> raw::TJPF {
        match self {
            Self::Gray => raw::TJPF_TJPF_GRAY,
            Self::Rgb => raw::TJPF_TJPF_RGB,
            Self::Cmyk => raw::TJPF_TJPF_CMYK,
        }
    }
}

/// The reason why there are no reliable pixels, in libjpeg's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecodeFailure {
    /// A mistake at which libjpeg stopped, or after which it went on, to the end or until it gave up. The colours are
    /// known if the mistake is not in the headers.
    Warning(String, Option<Colors>),
    /// An error after which libjpeg cannot continue.
    Fatal(String),
}

/// Decodes into `buffer`, which is resized to the pixels. `size` is the size that the caller has read from the file's
/// header and accepted: another is refused. `shrink` divides it (see [`shrunk`]). With `stop` the first warning ends
/// decoding.
///
/// Each file has its own decompressor: libjpeg keeps tables from one file to the next, so a file without tables would
/// be decoded with the tables of the file before. The DCT is libjpeg's accurate one and chroma is interpolated: the
/// defaults of libjpeg, Pillow and OpenCV.
pub(super) fn decode(
    jpeg: &[u8],
    size: (u32, u32),
    shrink: u32,
    stop: bool,
    buffer: &mut Vec<u8>,
) -> Result<Colors, DecodeFailure> {
    let turbo = Turbo::new().ok_or_else(|| DecodeFailure::Fatal("Out of memory".into()));
    turbo?.decode(jpeg, size, shrink, stop, buffer)
}

/// The size of a file's pixels if they are decoded at one `shrink`th each way, as libjpeg rounds it.
pub(super) fn shrunk((width, height): (u32, u32), shrink: u32) -> (u32, u32) {
    (width.div_ceil(shrink.max(1)), height.div_ceil(shrink.max(1)))
}

/// A decompressor.
///
/// Invariant: `tj3Init` has made the handle for decompression, `tj3Destroy` has not been called with it, and no other
/// code has it. It is used by `&mut self` alone, and on one thread, as libjpeg keeps its last message by thread.
struct Turbo(NonNull<std::os::raw::c_void>);

impl Turbo {
    /// Creates a decompressor; none if there is no memory for one.
    fn new() -> Option<Self> {
        // SAFETY: `tj3Init` takes any number, and answers with a handle or null.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        NonNull::new(handle.cast()).map(Self)
    }

    fn decode(
        &mut self,
        jpeg: &[u8],
        size: (u32, u32),
        shrink: u32,
        stop: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<Colors, DecodeFailure> {
        self.set(raw::TJPARAM_TJPARAM_STOPONWARNING, c_int::from(stop));
        // SAFETY: the handle is valid (invariant), and libjpeg reads `jpeg.len()` bytes from where they begin.
        let read =
            unsafe { raw::tj3DecompressHeader(self.handle(), jpeg.as_ptr(), jpeg.len() as raw::size_t) };
        if read != 0 {
            return Err(self.failure(None));
        }
        let found = (self.get(raw::TJPARAM_TJPARAM_JPEGWIDTH), self.get(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        if found != (i64::from(size.0), i64::from(size.1)) {
            let (width, height) = found;
            return Err(DecodeFailure::Fatal(format!("its size is {width} x {height} where it is decoded")));
        }
        let colors = self.colors();
        self.set_shrink(shrink)?;
        let (width, height) = shrunk(size, shrink);
        let length = (width as usize)
            .checked_mul(height as usize)
            .and_then(|pixels| pixels.checked_mul(colors.step()))
            .ok_or_else(|| DecodeFailure::Fatal("its pixels are more than can be addressed".into()))?;
        buffer.resize(length, 0);
        // SAFETY: the handle is valid, and libjpeg reads `jpeg.len()` bytes. It parses the same bytes again and so
        // finds the same size. The handle has no crop, and its scaling factor is 1/`shrink`: `set_shrink` has failed
        // otherwise. So it writes `height` rows of `width` pixels of `step` bytes (TJSCALED rounds up, as `shrunk`
        // does), one after the other since the pitch is 0: `length` bytes, which `buffer` has. It leaves by longjmp
        // within C frames only.
        let done = unsafe {
            raw::tj3Decompress8(
                self.handle(),
                jpeg.as_ptr(),
                jpeg.len() as raw::size_t,
                buffer.as_mut_ptr(),
                0,
                colors.format() as c_int,
            )
        };
        if done == 0 { Ok(colors) } else { Err(self.failure(Some(colors))) }
    }

    /// Sets the scaling factor to one `shrink`th. Fails if libjpeg does not have it.
    fn set_shrink(&mut self, shrink: u32) -> Result<(), DecodeFailure> {
        let factor = raw::tjscalingfactor { num: 1, denom: shrink as c_int };
        // SAFETY: the handle is valid; an unknown factor is answered with an error and changes nothing.
        let set = unsafe { raw::tj3SetScalingFactor(self.handle(), factor) };
        if set == 0 { Ok(()) } else { Err(self.failure(None)) }
    }

    /// The colours of the last file.
    fn colors(&mut self) -> Colors {
        match self.get(raw::TJPARAM_TJPARAM_COLORSPACE) {
            space if space == i64::from(raw::TJCS_TJCS_GRAY) => Colors::Gray,
            space if space == i64::from(raw::TJCS_TJCS_CMYK) || space == i64::from(raw::TJCS_TJCS_YCCK) => {
                Colors::Cmyk
            }
            _ => Colors::Rgb,
        }
    }

    fn handle(&mut self) -> raw::tjhandle {
        self.0.as_ptr().cast()
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) {
        // SAFETY: the handle is valid; an unknown parameter or value is answered with an error.
        unsafe { raw::tj3Set(self.handle(), parameter as c_int, value) };
    }

    fn get(&mut self, parameter: raw::TJPARAM) -> i64 {
        // SAFETY: the handle is valid; an unknown parameter is answered with -1.
        i64::from(unsafe { raw::tj3Get(self.handle(), parameter as c_int) })
    }

    /// The error of the last call. Of several warnings libjpeg keeps the text of the first.
    fn failure(&mut self, colors: Option<Colors>) -> DecodeFailure {
        // SAFETY: the handle is valid; the text is that of the handle or of this thread, ends with a zero, and stays until
        // the next call.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.handle())) };
        let text = text.to_string_lossy().into_owned();
        // SAFETY: the handle is valid.
        match unsafe { raw::tj3GetErrorCode(self.handle()) } {
            code if code == raw::TJERR_TJERR_WARNING as c_int => DecodeFailure::Warning(text, colors),
            _ => DecodeFailure::Fatal(text),
        }
    }
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and this is its last use.
        unsafe { raw::tj3Destroy(self.handle()) }
    }
}
