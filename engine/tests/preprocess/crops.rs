//! Tests of crops and of alignment by landmarks against Pillow and numpy. `tests/golden/preprocess/make_crops.py` makes the
//! cases and the expected pixels.

use lockstep_engine::fault::Reason;
use lockstep_engine::media::Media;
use lockstep_engine::preprocess::spec::{
    AlignedSpec, CropAspect, CropSpec, DecodeDetail, Filter, ImageRegion, ImageSpec, Resize,
};
use lockstep_engine::preprocess::{Detection, Preprocess, Preprocessor, RowFault, RowInfo, Scratch, rows};
use lockstep_engine::tensor::{DType, Tensor};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{bytes_of, golden, image, make, media_of, part, sample};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn points(value: &Value) -> Vec<[f64; 2]> {
    let all = value.as_array().into_iter().flatten();
    all.map(|point| numbers(point).try_into().expect("two numbers")).collect()
}

fn detection(corners: [f64; 4]) -> Detection {
    Detection { row: 0, corners, score: 1.0, landmarks: Vec::new() }
}

/// The settings of a case, and its detection.
fn read(case: &Value) -> (ImageSpec, Detection) {
    let size: Vec<u32> = numbers(&case["size"]).into_iter().map(|side| side as u32).collect();
    let fill: Vec<u8> = numbers(&case["fill"]).into_iter().map(|value| value as u8).collect();
    let fill = fill.try_into().expect("three");
    let filter = match case["filter"].as_str() {
        Some("nearest") => Filter::Nearest,
        Some("bicubic") => Filter::Bicubic,
        _ => Filter::Bilinear,
    };
    let base = image(size[0], size[1], Resize::Stretch(filter));
    if !case["points"].is_null() {
        let region = ImageRegion::Aligned(AlignedSpec { points: points(&case["points"]), fill });
        let landmarks = points(&case["landmarks"]);
        return (ImageSpec { region, ..base }, Detection { landmarks, ..detection([0.0; 4]) });
    }
    let aspect = match case["aspect"].as_str() {
        Some("square") => CropAspect::Square,
        Some("target") => CropAspect::Target,
        _ => CropAspect::Keep,
    };
    let margin = case["margin"].as_f64().expect("a number") as f32;
    let region = ImageRegion::Crop(CropSpec { margin, aspect, fill });
    let corners = numbers(&case["box"]).try_into().expect("four");
    (ImageSpec { region, ..base }, detection(corners))
}

/// A row and its properties, or the fault of its detection.
type MadeRow = Result<(Vec<u8>, RowInfo), RowFault>;

/// Makes rows of several detections in one image at once.
fn crops(
    spec: ImageSpec,
    (media, payload): (Media, Vec<u8>),
    detections: &[Detection],
) -> Result<Vec<MadeRow>, RowFault> {
    let preprocessor = Preprocessor::new(&Preprocess::Image(spec)).expect("settings");
    assert!(preprocessor.shows_detections());
    let shape: Vec<usize> = [detections.len()].iter().chain(preprocessor.shape()).copied().collect();
    let mut tensor = Tensor::zeros(DType::U8, &shape);
    tensor.bytes_mut().fill(0xA5);
    let part = part(vec![sample(media, payload, 0)]);
    let made = {
        let pairs = rows(&mut tensor).into_iter().zip(detections).collect();
        preprocessor.write_crops(&part, pairs, &mut Scratch::default())?
    };
    let size: usize = preprocessor.shape().iter().product();
    let bytes = bytes_of(tensor);
    Ok(made.into_iter().zip(bytes.chunks(size)).map(|(info, row)| Ok((row.to_vec(), info?))).collect())
}

/// As for whole images, weights of fixed point differ by a level, and bicubic at hard edges by some more. Positions of
/// `nearest` differ where one falls on the border of two pixels.
#[test]
fn crops_and_alignment_agree_with_pillow_and_numpy() {
    let cases: Vec<Value> = serde_json::from_slice(&golden("crops.json")).expect("JSON");
    let pixels = miniz_oxide::inflate::decompress_to_vec_zlib(&golden("crops.z")).expect("zlib");
    let mut rest = &pixels[..];
    let mut worst = std::collections::BTreeMap::new();
    for case in &cases {
        let (spec, detection) = read(case);
        let (theirs, after) = rest.split_at((spec.width * spec.height * 3) as usize);
        rest = after;
        let name = case["image"].as_str().expect("a name");
        let kind = case["filter"].as_str().unwrap_or("aligned");
        let made = crops(spec, (media_of(name), golden(name)), &[detection]).expect(name);
        let (ours, _) = made.into_iter().next().expect("a row").expect(name);
        let each: Vec<u8> = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = each.iter().map(|n| f64::from(*n)).sum::<f64>() / each.len() as f64;
        let most = each.into_iter().max().unwrap_or(0);
        let (most_ever, mean_ever) = worst.entry(kind).or_insert((0, 0.0f64));
        (*most_ever, *mean_ever) = (most.max(*most_ever), mean.max(*mean_ever));
        let allowed = match kind {
            "nearest" => 0,
            "bicubic" => 6,
            _ => 1,
        };
        assert!(most <= allowed && mean <= 0.25, "{case}: {most} {mean}");
    }
    println!("{worst:?}");
    assert!(rest.is_empty());
}

/// A coordinate of a sane box, or of none.
fn coordinate() -> impl Strategy<Value = f64> {
    let odd = [0.0, -0.0, 1e-300, 1e9, -1e9, 1e300, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN];
    prop_oneof![
        8 => -20.0..100.0f64,
        2 => -2000.0..2000.0f64,
        1 => (0i32..80).prop_map(f64::from),
        1 => prop::sample::select(odd.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A row is filled with colours of the image and of the background, or refused. The image has one colour, so a filter
    /// makes only colours between the two.
    #[test]
    fn any_box_or_landmarks_give_a_whole_row_or_a_fault(
        corners in prop::array::uniform4(coordinate()),
        landmarks in prop::collection::vec(prop::array::uniform2(coordinate()), 0..5),
        points in prop::collection::vec(prop::array::uniform2(-50.0..50.0f64), 2..5),
        aspect in prop::sample::select(vec![CropAspect::Keep, CropAspect::Square, CropAspect::Target]),
        filter in prop::sample::select(vec![Filter::Nearest, Filter::Bilinear, Filter::Bicubic]),
        (margin, fits, aligns) in (0.0..3.0f32, any::<bool>(), any::<bool>()),
        (width, height) in (1u32..40, 1u32..40),
    ) {
        let fill = [200; 3];
        let resize = if fits { Resize::Fit { filter, fill } } else { Resize::Stretch(filter) };
        let spec = match aligns {
            true => ImageSpec {
                region: ImageRegion::Aligned(AlignedSpec { points, fill }),
                ..image(width, height, Resize::Stretch(Filter::Bilinear))
            },
            false => ImageSpec {
                region: ImageRegion::Crop(CropSpec { margin, aspect, fill }),
                ..image(width, height, resize)
            },
        };
        let plain = (Media::Rgb { width: 80, height: 60 }, vec![100; 80 * 60 * 3]);
        let detection = Detection { row: 0, corners, score: 1.0, landmarks };
        let made = crops(spec, plain, std::slice::from_ref(&detection)).expect("raw pixels").pop().expect("one");
        match made {
            Ok((row, _)) => {
                // Bicubic overshoots by less than a quarter of the difference.
                let range = if filter == Filter::Bicubic && !aligns { 75..=225 } else { 100..=200 };
                prop_assert!(row.iter().all(|value| range.contains(value)), "{detection:?} {row:?}");
            }
            Err(fault) => prop_assert!(fault.sample.is_none(), "{fault:?}"),
        }
    }
}

fn crop_spec(width: u32, height: u32) -> ImageSpec {
    let crop = CropSpec { margin: 0.0, aspect: CropAspect::Keep, fill: [9; 3] };
    ImageSpec { region: ImageRegion::Crop(crop), ..image(width, height, Resize::Stretch(Filter::Bilinear)) }
}

#[test]
fn detections_of_one_image_are_independent_rows() {
    let scene = || (Media::Png, golden("scene.png"));
    let boxes = [[1.0, 2.0, 33.0, 44.0], [f64::NAN; 4], [5.0, 5.0, 60.5, 50.25], [90.0, 1.0, 95.0, 5.0]];
    let together = crops(crop_spec(16, 12), scene(), &boxes.map(detection)).expect("decodes");
    for (corners, made) in boxes.into_iter().zip(together) {
        let alone =
            crops(crop_spec(16, 12), scene(), &[detection(corners)]).expect("decodes").pop().expect("one");
        assert_eq!(made, alone, "{corners:?}");
        match made {
            Ok((_, RowInfo::Image(placement))) => {
                let (right, bottom) = placement.to_source(16.0, 12.0);
                let (left, top) = placement.to_source(0.0, 0.0);
                let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
                assert!(near(left, corners[0]) && near(top, corners[1]), "{placement:?}");
                assert!(near(right, corners[2]) && near(bottom, corners[3]), "{placement:?}");
            }
            Ok(other) => panic!("{other:?}"),
            Err(fault) => {
                assert_eq!((fault.sample, fault.fault.reason), (None, Reason::ModelFailed), "{corners:?}");
            }
        }
    }
}

#[test]
fn fitted_crop_keeps_the_proportions_of_its_box() {
    let spec =
        ImageSpec { resize: Resize::Fit { filter: Filter::Bilinear, fill: [9; 3] }, ..crop_spec(20, 20) };
    let white = (Media::Rgb { width: 8, height: 8 }, vec![255; 192]);
    let made = crops(spec, white, &[detection([0.0, 0.0, 8.0, 4.0])]).expect("raw").pop().expect("one");
    let (row, _) = made.expect("inside");
    let lines: Vec<u8> = row.chunks(60).map(|line| line[30]).collect();
    assert_eq!(lines, [[9; 5], [255; 5], [255; 5], [9; 5]].concat());
}

/// The image is a dot in these crops. The memory that they announce is that of the image.
#[test]
fn crop_far_beyond_the_image_costs_no_more_than_the_image() {
    let scene = || (Media::Png, golden("scene.png"));
    let boxes = [[-5e8, -5e8, 5e8, 5e8], [-5e6, 0.0, 5e6, 10.0], [-9e5, -7e5, 60.0, 40.0]].map(detection);
    let preprocessor = Preprocessor::new(&Preprocess::Image(crop_spec(16, 12))).expect("settings");
    let (media, payload) = scene();
    let input = part(vec![sample(media, payload, 0)]);
    let whole = preprocessor.crops_memory(&input, &[&detection([0.0, 0.0, 9.0, 9.0])]).expect("decodes");
    let needed = preprocessor.crops_memory(&input, &boxes.each_ref()).expect("decodes");
    assert!(needed < 2 * whole, "{needed} {whole}");
    let many: Vec<Detection> = boxes.iter().cycle().take(300).cloned().collect();
    for made in crops(crop_spec(16, 12), scene(), &many).expect("decodes") {
        let (row, _) = made.expect("it shows the image");
        assert!(row.iter().filter(|value| **value == 9).count() > row.len() / 2);
    }
}

#[test]
fn broken_image_fails_all_its_detections_at_once() {
    let broken = (Media::Png, golden("scene.png")[..100].to_vec());
    let fault = crops(crop_spec(4, 4), broken, &[detection([0.0, 0.0, 1.0, 1.0])]).expect_err("cut");
    assert_eq!((fault.sample, fault.fault.reason), (Some(0), Reason::Undecodable));
}

#[test]
fn settings_of_crops_that_make_no_sense_are_refused() {
    let aligned = |points: Vec<[f64; 2]>| ImageRegion::Aligned(AlignedSpec { points, fill: [0; 3] });
    let two = || aligned(vec![[1.0, 2.0], [3.0, 4.0]]);
    let crop = |margin| ImageRegion::Crop(CropSpec { margin, aspect: CropAspect::Keep, fill: [0; 3] });
    let base = || image(4, 4, Resize::Stretch(Filter::Bilinear));
    for (spec, what) in [
        (ImageSpec { region: crop(-0.1), ..base() }, "margin"),
        (ImageSpec { region: crop(f32::NAN), ..base() }, "margin"),
        (ImageSpec { region: crop(0.0), ..image(4, 4, Resize::Exact) }, "stretch"),
        (ImageSpec { region: crop(0.0), decode: DecodeDetail::Scaled, ..base() }, "full"),
        (ImageSpec { region: aligned(vec![[1.0, 2.0]]), ..base() }, "at least 2"),
        (ImageSpec { region: aligned(vec![[1.0, f64::NAN], [3.0, 4.0]]), ..base() }, "finite"),
        (ImageSpec { region: two(), ..image(4, 4, Resize::Stretch(Filter::Bicubic)) }, "bilinearly"),
    ] {
        let found = Preprocessor::new(&Preprocess::Image(spec)).err().expect(what);
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn row_that_shows_a_detection_is_refused_without_one() {
    let input = part(vec![sample(Media::Png, golden("scene.png"), 0)]);
    assert!(make(&Preprocess::Image(crop_spec(4, 4)), &input).is_err());
}
