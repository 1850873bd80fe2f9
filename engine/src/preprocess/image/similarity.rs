//! Alignment: a detection's landmarks are moved to given points of the row by turning, scaling and shifting the image.
//!
//! The similarity transform has the least squares of the distances between the moved landmarks and the points, as S. Umeyama
//! gives it ("Least-squares estimation of transformation parameters between two point patterns", IEEE Transactions on Pattern
//! Analysis and Machine Intelligence 13 (1991)). In the plane, with points as complex numbers, it is one quotient.

use super::pixels::{Channels, DecodedImage};

/// A similarity transform from the row to the image: `source = turn * (row - from) + to`, as complex numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Similarity {
    /// Real and imaginary part of the factor: scale and rotation.
    turn: [f64; 2],
    from: [f64; 2],
    to: [f64; 2],
}

impl Similarity {
    /// The transform that moves `landmarks` of the image to `points` of the row, inverted.
    ///
    /// # Errors
    /// Another number of landmarks, or landmarks that determine no transform.
    pub(super) fn fit(landmarks: &[[f64; 2]], points: &[[f64; 2]]) -> Result<Self, String> {
        if landmarks.len() != points.len() {
            return Err(format!(
                "it has {} landmarks and align has {} points; write one point for each landmark",
                landmarks.len(),
                points.len()
            ));
        }
        if landmarks.iter().flatten().any(|number| !number.is_finite()) {
            return Err(format!(
                "its landmarks {landmarks:?} have a coordinate that is no finite number; correct the model that finds it"
            ));
        }
        let (of_landmarks, of_points) = (mean(landmarks), mean(points));
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (landmark, point) in landmarks.iter().zip(points) {
            let [x, y] = [landmark[0] - of_landmarks[0], landmark[1] - of_landmarks[1]];
            let [u, v] = [point[0] - of_points[0], point[1] - of_points[1]];
            real += x * u + y * v;
            imaginary += x * v - y * u;
            spread += x * x + y * y;
        }
        let length = real * real + imaginary * imaginary;
        let turn = [real * spread / length, -imaginary * spread / length];
        if turn.iter().chain(&of_landmarks).any(|number| !number.is_finite()) || turn == [0.0, 0.0] {
            return Err(format!(
                "its landmarks {landmarks:?} determine no alignment; correct the model that finds it, or write crop in place \
                 of align"
            ));
        }
        Ok(Self { turn, from: of_points, to: of_landmarks })
    }

    /// A point of the row in pixels of the image.
    fn to_source(self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (x - self.from[0], y - self.from[1]);
        let [real, imaginary] = self.turn;
        (real * x - imaginary * y + self.to[0], imaginary * x + real * y + self.to[1])
    }

    /// Samples the image at the middle of each pixel of the row, bilinearly, without averaging over more than the four
    /// nearest pixels. Pixels outside of the image are `fill`.
    ///
    /// # Errors
    /// When the row shows no pixel of the image.
    pub(super) fn sample<'a>(
        self,
        image: DecodedImage<'_>,
        (width, height): (u32, u32),
        fill: [u8; 3],
        row: &'a mut Vec<u8>,
    ) -> Result<DecodedImage<'a>, String> {
        row.clear();
        row.reserve_exact(width as usize * height as usize * 3);
        let mut shows_image = false;
        for y in 0..height {
            for x in 0..width {
                let (u, v) = self.to_source(f64::from(x) + 0.5, f64::from(y) + 0.5);
                let (u, v) = (u - 0.5, v - 0.5);
                let (left, top) = (u.floor(), v.floor());
                let (right_share, lower_share) = (u - left, v - top);
                let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(across, down)| {
                    let pixel = pixel(&image, left + across, top + down);
                    let share = |share: f64, at: f64| if at > 0.0 { share } else { 1.0 - share };
                    let weight = share(right_share, across) * share(lower_share, down);
                    shows_image |= pixel.is_some() && weight > 0.0;
                    (pixel.unwrap_or(fill), weight)
                });
                for channel in 0..3 {
                    let value: f64 =
                        corners.iter().map(|(pixel, weight)| f64::from(pixel[channel]) * weight).sum();
                    row.push((value + 0.5) as u8);
                }
            }
        }
        if !shows_image {
            let (width, height) = image.size;
            return Err(format!(
                "its aligned crop is outside of the image of {width} x {height} pixels; correct the model that finds its \
                 landmarks, or the points of align"
            ));
        }
        Ok(DecodedImage { pixels: row, size: (width, height), channels: Channels::Rgb })
    }
}

fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    let count = points.len() as f64;
    [0, 1].map(|axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count)
}

/// The colour of a pixel, if the image has it.
fn pixel(image: &DecodedImage<'_>, x: f64, y: f64) -> Option<[u8; 3]> {
    let (width, height) = image.size;
    if !(0.0..f64::from(width)).contains(&x) || !(0.0..f64::from(height)).contains(&y) {
        return None;
    }
    let place = y as usize * width as usize + x as usize;
    match image.channels {
        Channels::Gray => image.pixels.get(place).map(|gray| [*gray; 3]),
        Channels::Rgb => image.pixels.get(place * 3..place * 3 + 3)?.try_into().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_undoes_scale_rotation_and_shift() {
        let points = [[10.0, 20.0], [30.0, 20.0], [20.0, 50.0]];
        // Twice as large, turned by a quarter, shifted.
        let landmarks = points.map(|[x, y]: [f64; 2]| [100.0 - 2.0 * y, 7.0 + 2.0 * x]);
        let found = Similarity::fit(&landmarks, &points).expect("determined");
        for ([x, y], [u, v]) in points.into_iter().zip(landmarks) {
            let (at_u, at_v) = found.to_source(x, y);
            assert!((at_u - u).abs() < 1e-9 && (at_v - v).abs() < 1e-9);
        }
    }

    #[test]
    fn landmarks_that_determine_nothing_are_refused() {
        let points = [[1.0, 2.0], [3.0, 2.0]];
        for (landmarks, why) in [
            (&[[5.0, 5.0], [5.0, 5.0]][..], "no alignment; correct the model"),
            (&[[f64::NAN, 5.0], [6.0, 5.0]][..], "no finite number; correct the model"),
            (&[[f64::INFINITY, 5.0], [6.0, 5.0]][..], "no finite number"),
            (&[[f64::MAX, 5.0], [-f64::MAX, 5.0]][..], "no alignment"),
            (&[[1.0, 5.0]][..], "1 landmarks and align has 2 points"),
        ] {
            let found = Similarity::fit(landmarks, &points).expect_err(why);
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn aligned_row_outside_of_the_image_is_refused() {
        let image = DecodedImage { pixels: &[200; 16], size: (4, 4), channels: Channels::Gray };
        let aside = Similarity { turn: [1.0, 0.0], from: [0.0, 0.0], to: [50.0, 0.0] };
        let mut row = Vec::new();
        assert!(aside.sample(image, (4, 4), [0; 3], &mut row).is_err_and(|why| why.contains("outside")));
        let inside = Similarity { to: [0.0, 0.0], ..aside };
        let made = inside.sample(image, (4, 4), [0; 3], &mut row).expect("inside");
        assert!(made.pixels.iter().all(|value| *value == 200));
    }
}
