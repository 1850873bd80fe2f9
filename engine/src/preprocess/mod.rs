//! Preprocessing: decodes payloads into tensors, directly in a batch's memory.
//!
//! A [`Preprocessor`] is created once for each binding of a model and shared by the worker threads. Each thread has
//! its own [`Scratch`]. [`rows`] splits a batch's tensor into disjoint [`RowMut`]s, which [`Preprocessor::write_row`]
//! fills in parallel. Rows that show detections of one image are filled together ([`Preprocessor::write_crops`]).

mod detection;
mod fault;
mod image;
pub mod placement;
mod row;
mod shape;
mod sound;
pub mod spec;
mod text;

use std::sync::Arc;

pub use detection::Detection;
pub use fault::RowFault;
pub use placement::Placement;
pub use row::{RowMut, rows};
pub use shape::MOST_MARGIN;
pub use spec::Preprocess;

use self::fault::undecodable;
use crate::align::Part;
use crate::fault::{Fault, Reason, StageKind};
use crate::sample::Sample;
use crate::tensor::DType;

/// Properties of a row beside its elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowInfo {
    /// The placement of the source image in the row.
    Image(Placement),
    /// The row shows a detection that is turned, so the source image has no placement in it.
    AlignedImage,
    /// The row is sound.
    Sound {
        /// The share of the row that chunks cover, 0 to 1; the rest is silence.
        coverage: f64,
    },
    /// The row is text.
    Text {
        /// The number of tokens before truncation, including special ones. If the end of a long text was cut before
        /// tokenization, it is the number of tokens of the beginning: more than the row takes.
        tokens: usize,
    },
    /// The row is bytes, which have no other properties.
    Bytes,
}

/// Memory that one thread reuses, so that nothing is allocated in the steady state. It keeps the size of the largest
/// row made with it, except for images above a few megabytes.
#[derive(Default)]
pub struct Scratch {
    image: image::ImageScratch,
    sound: sound::SoundScratch,
}

/// Prepared settings: files are read, filters and transforms are planned. Threads share it.
pub struct Preprocessor {
    shape: Vec<usize>,
    dtype: DType,
    kind: PlanKind,
}

enum PlanKind {
    Image(Box<image::ImagePlan>),
    Waveform(sound::Window),
    LogMel(sound::Window, Box<sound::MelPlan>),
    Text(Box<text::TextPlan>),
    Bytes,
}

impl Preprocessor {
    /// Prepares settings. Reads the tokenizer's file, if there is one.
    ///
    /// # Errors
    /// A description of the mistake in the settings or the file, and the remedy.
    pub fn new(settings: &Preprocess) -> Result<Self, String> {
        settings.check()?;
        let kind = match settings {
            Preprocess::Image(spec) => PlanKind::Image(Box::new(image::ImagePlan::new(spec))),
            Preprocess::Waveform(spec) => PlanKind::Waveform(sound::Window::new(spec)),
            Preprocess::LogMel(spec) => {
                PlanKind::LogMel(sound::Window::new(&spec.wave), Box::new(sound::MelPlan::new(spec)))
            }
            Preprocess::TokenIds(spec) => {
                PlanKind::Text(Box::new(text::TextPlan::new(spec, text::Output::Ids)?))
            }
            Preprocess::AttentionMask(spec) => {
                PlanKind::Text(Box::new(text::TextPlan::new(spec, text::Output::Mask)?))
            }
            Preprocess::TokenTypeIds(spec) => {
                PlanKind::Text(Box::new(text::TextPlan::new(spec, text::Output::Types)?))
            }
            Preprocess::Bytes { .. } => PlanKind::Bytes,
        };
        Ok(Self { shape: settings.shape(), dtype: settings.dtype(), kind })
    }

    /// The extents of one row, without the batch axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of a row's elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The least number of rows worth a task of their own when a batch's rows are made in parallel. To hand over a
    /// row that is only copied costs more than the copy.
    pub fn rows_per_task(&self) -> usize {
        const BYTES_PER_TASK: usize = 1 << 18;
        let bytes = self.shape.iter().product::<usize>() * self.dtype.size();
        match self.kind {
            PlanKind::Image(_) | PlanKind::Text(_) => 1,
            PlanKind::Waveform(_) | PlanKind::LogMel(..) => 4,
            PlanKind::Bytes => (BYTES_PER_TASK / bytes.max(1)).max(1),
        }
    }

    /// The most bytes that [`Self::write_row`] needs for a while to make a row of that part, beside the row itself.
    /// It comes from the payload's header; nothing is decoded.
    ///
    /// # Errors
    /// The error of [`Self::write_row`], if the header already shows it.
    pub fn memory(&self, part: &Part<Arc<Sample>>) -> Result<u64, RowFault> {
        match (&self.kind, part.samples.iter().enumerate().next_back()) {
            (PlanKind::Image(plan), Some((last, sample))) => {
                plan.bytes(sample).map_err(|fault| RowFault::of_sample(last, fault))
            }
            _ => Ok(0),
        }
    }

    /// The index of the only sample of which a row is made; none if it is made of several.
    pub fn sole_sample(&self, part: &Part<Arc<Sample>>) -> Option<usize> {
        match (&self.kind, part.samples.len()) {
            (_, 0) | (PlanKind::Waveform(_) | PlanKind::LogMel(..), 2..) => None,
            (_, count) => Some(count - 1),
        }
    }

    /// True if its rows show detections: [`Self::write_crops`] fills them.
    pub fn shows_detections(&self) -> bool {
        matches!(&self.kind, PlanKind::Image(plan) if plan.shows_detections())
    }

    /// The same as [`Self::memory`], for [`Self::write_crops`].
    ///
    /// # Errors
    /// The error of [`Self::write_crops`], if the header already shows it.
    pub fn crops_memory(&self, part: &Part<Arc<Sample>>, detections: &[&Detection]) -> Result<u64, RowFault> {
        match (&self.kind, part.samples.iter().enumerate().next_back()) {
            (PlanKind::Image(plan), Some((last, sample))) => {
                plan.crop_bytes(sample, detections).map_err(|fault| RowFault::of_sample(last, fault))
            }
            _ => Ok(0),
        }
    }

    /// Fills rows of a batch, each with a detection in the last image of one part. The image is decoded once.
    ///
    /// # Errors
    /// That of [`Self::write_row`] for the image. A detection that cannot be shown fails alone, and no sample is to blame.
    pub fn write_crops(
        &self,
        part: &Part<Arc<Sample>>,
        crops: Vec<(RowMut<'_>, &Detection)>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Result<RowInfo, RowFault>>, RowFault> {
        let PlanKind::Image(plan) = &self.kind else {
            return Err(RowFault::of_row("only images show detections".to_owned()));
        };
        crops.iter().try_for_each(|(row, _)| self.check_row(row))?;
        let (last, sample) = last_of(part)?;
        let written = plan.write_crops(sample, crops, &mut scratch.image);
        scratch.image.trim();
        let written = written.map_err(|fault| RowFault::of_sample(last, fault))?;
        let info = |placement: Option<Placement>| placement.map_or(RowInfo::AlignedImage, RowInfo::Image);
        Ok(written
            .into_iter()
            .map(|made| made.map(info).map_err(|fault| RowFault { sample: None, fault }))
            .collect())
    }

    fn check_row(&self, row: &RowMut<'_>) -> Result<(), RowFault> {
        let want: usize = self.shape.iter().product();
        if row.dtype() == self.dtype && row.len() == want {
            return Ok(());
        }
        Err(RowFault::of_row(format!(
            "a row of {} elements of {} cannot take what the settings make: {want} of {}",
            row.len(),
            row.dtype(),
            self.dtype
        )))
    }

    /// Fills one row of a batch from an input's part of a bundle. Every element is written. Images, texts and bytes
    /// are made of the last sample, sound of all samples.
    ///
    /// # Errors
    /// When a payload does not match its type or would need more memory than allowed. The error has the sample and
    /// the reason, and the row's elements have no meaning. Also when the part has no sample, or the row is not of the
    /// shape and type of the settings.
    pub fn write_row(
        &self,
        part: &Part<Arc<Sample>>,
        row: RowMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<RowInfo, RowFault> {
        self.check_row(&row)?;
        let (last, sample) = last_of(part)?;
        let of_last = |fault| RowFault::of_sample(last, fault);
        let of_text =
            |written: Result<usize, Fault>| written.map(|tokens| RowInfo::Text { tokens }).map_err(of_last);
        match (&self.kind, row) {
            (PlanKind::Image(plan), _) if plan.shows_detections() => {
                Err(RowFault::of_row("a row that shows a detection needs one".to_owned()))
            }
            (PlanKind::Image(plan), row) => {
                let written = plan.write(sample, row, &mut scratch.image);
                scratch.image.trim();
                written.map(RowInfo::Image).map_err(of_last)
            }
            (PlanKind::Waveform(window), RowMut::F32(row)) => {
                let coverage = window.write(part, row, &mut scratch.sound)?;
                Ok(RowInfo::Sound { coverage })
            }
            (PlanKind::LogMel(window, mel), RowMut::F32(row)) => {
                let mut wave = std::mem::take(&mut scratch.sound.wave);
                wave.resize(window.length(), 0.0);
                let coverage = window.write(part, &mut wave, &mut scratch.sound);
                if coverage.is_ok() {
                    mel.write(&wave, row, &mut scratch.sound.mel);
                }
                scratch.sound.wave = wave;
                coverage.map(|coverage| RowInfo::Sound { coverage })
            }
            (PlanKind::Text(plan), RowMut::I64(row)) => of_text(plan.write(sample, row)),
            (PlanKind::Text(plan), RowMut::I32(row)) => of_text(plan.write(sample, row)),
            (PlanKind::Bytes, RowMut::U8(row)) => {
                let payload = &sample.record.payload;
                if payload.len() != row.len() {
                    return Err(of_last(undecodable(format!(
                        "the payload has {} bytes; this input takes exactly {}",
                        payload.len(),
                        row.len()
                    ))));
                }
                row.copy_from_slice(payload);
                Ok(RowInfo::Bytes)
            }
            (_, row) => Err(RowFault::of_row(format!("a row of {} cannot take {}", row.dtype(), self.dtype))),
        }
    }

    /// Fills one row of a batch from a text that is no payload.
    ///
    /// # Errors
    /// The reason why no tokens can be made of it, or that the settings take no text.
    pub fn write_text(&self, text: &str, row: RowMut<'_>) -> Result<RowInfo, RowFault> {
        self.check_row(&row)?;
        let tokens = match (&self.kind, row) {
            (PlanKind::Text(plan), RowMut::I64(row)) => plan.write_text(text, row),
            (PlanKind::Text(plan), RowMut::I32(row)) => plan.write_text(text, row),
            _ => return Err(RowFault::of_row("the settings of this tensor take no text".to_owned())),
        };
        tokens.map(|tokens| RowInfo::Text { tokens }).map_err(|fault| RowFault { sample: None, fault })
    }
}

/// The last sample of a part with its index.
fn last_of(part: &Part<Arc<Sample>>) -> Result<(usize, &Arc<Sample>), RowFault> {
    part.samples.iter().enumerate().next_back().ok_or_else(|| {
        let message = "the input brought no sample to this bundle";
        let fault = Fault::new(StageKind::Preprocess, Reason::InputMissing, message);
        RowFault { sample: None, fault }
    })
}
