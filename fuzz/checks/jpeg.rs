//! The property of JPEG: for any bytes, the checks and libjpeg return pixels of the header's size, or a reason. A
//! file that libjpeg warns of is never accepted as intact.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lockstep_engine::align::Part;
use lockstep_engine::budget::Reservation;
use lockstep_engine::ingest::{OnDamage, PictureCare, UseOrientation};
use lockstep_engine::media::Media;
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::preprocess::spec::{Filter, ImageSpec, Resize};
use lockstep_engine::preprocess::{Preprocess, Preprocessor, Scratch, rows};
use lockstep_engine::sample::{Record, Sample};
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_engine::time::Timestamp;

#[path = "picture.rs"]
mod picture;

use picture::picture;

thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

static PREPROCESSORS: LazyLock<[Preprocessor; 2]> = LazyLock::new(|| {
    [(OnDamage::Refuse, UseOrientation::Exif), (OnDamage::Accept, UseOrientation::Ignore)].map(
        |(damaged, orientation)| {
            let spec = ImageSpec {
                max_pixels: 1 << 16,
                care: PictureCare { damaged, orientation },
                ..picture(16, 16, Resize::Stretch(Filter::Nearest))
            };
            Preprocessor::new(&Preprocess::Image(spec)).expect("right settings")
        },
    )
});

fn part(payload: &[u8]) -> Part<Arc<Sample>> {
    let at = Timestamp::from_millis(0);
    let sample = Sample {
        record: Record {
            position: Position::new(InputId(0), 0, 0),
            key: None,
            payload: payload.to_vec().into(),
            headers: Vec::new(),
            timestamp: None,
            polled_at: at,
            read_at: at,
        },
        stream: "s".into(),
        event_time: at,
        duration: Duration::ZERO,
        media: Media::Jpeg,
        reservation: Reservation::default(),
        assignment: 0,
        damage: Default::default(),
        same_time: Default::default(),
    };
    let samples = [Arc::new(sample)].into_iter().collect();
    Part { samples, from: at, to: at, skew_ns: Some(0), coverage: None, held: false }
}

pub fn check(data: &[u8]) {
    let made = PREPROCESSORS.each_ref().map(|preprocessor| {
        let part = part(data);
        let mut tensor = Tensor::zeros(DType::U8, &[1, 16, 16, 3]);
        let row = rows(&mut tensor).pop().expect("a row");
        let memory = preprocessor.memory(&part);
        let made = SCRATCH.with_borrow_mut(|scratch| preprocessor.write_row(&part, row, scratch));
        assert!(made.is_err() || memory.is_ok());
        made.ok().map(|_| part.samples[0].damage.is_found())
    });
    // A file that the first policy refuses is marked or refused by the second; an accepted one is accepted unmarked.
    match made {
        [Some(damaged), other] => assert!(!damaged && other == Some(false)),
        [None, other] => assert!(other != Some(false)),
    }
}
