//! The coefficients that the scans of a JPEG contain, by component. libjpeg fills missing ones with zeros, without a
//! warning.

use std::ops::RangeInclusive;

use smallvec::SmallVec;

/// A component of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    /// The number of its blocks for one block of the least sampled component, across and down.
    pub(super) sampling: (u8, u8),
    /// For each coefficient, the number of low bits that are still missing; none before the first scan with it.
    bits_left: [Option<u8>; 64],
}

impl Component {
    /// Creates a component with that id; `sampling` is as in the frame header.
    pub(super) fn new(id: u8, sampling: u8) -> Self {
        Self { id, sampling: (sampling >> 4, sampling & 15), bits_left: [None; 64] }
    }
}

/// The coefficients of the scans so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanCoverage {
    progressive: bool,
    components: Vec<Component>,
    /// The first mistake in the order of scans.
    outliers: Option<String>,
}

impl ScanCoverage {
    pub(super) fn new(progressive: bool, components: Vec<Component>) -> Self {
        Self { progressive, components, outliers: None }
    }

    /// Adds a scan of these components, by their ids: the coefficients `band`, from bit `high` down to bit `low`.
    /// Returns the places of the components in the frame.
    pub(super) fn scan(
        &mut self,
        ids: impl Iterator<Item = u8>,
        band: RangeInclusive<u8>,
        high: u8,
        low: u8,
    ) -> Result<SmallVec<[usize; 4]>, String> {
        let mut places = SmallVec::new();
        let (band, high, low) = if self.progressive { (band, high, low) } else { (0..=63, 0, 0) };
        if *band.end() > 63 || band.is_empty() {
            return Err(format!("a scan claims the coefficients {} to {} of 64", band.start(), band.end()));
        }
        // Components with the same id are distinguished by their order, as in libjpeg.
        let mut taken = [false; 4];
        for id in ids {
            let found = self.components.iter().zip(&mut taken).enumerate();
            let mut found = found.filter(|(_, (component, taken))| component.id == id && !**taken);
            let Some((place, (_, taken))) = found.next() else {
                return Err(format!("a scan is of component {id}, which the frame header does not name"));
            };
            *taken = true;
            places.push(place);
            let name = place + 1;
            let Some(component) = self.components.get_mut(place) else { continue };
            for at in band.clone() {
                let Some(left) = component.bits_left.get_mut(usize::from(at)) else { continue };
                let follows = match (*left, high) {
                    (None, 0) => true,
                    (Some(left), high) => high != 0 && left == high && low + 1 == high,
                    (None, _) => false,
                };
                if !follows && self.outliers.is_none() {
                    self.outliers = Some(match left {
                        None => {
                            format!("a scan refines coefficient {at} of component {name}, which has not come")
                        }
                        Some(_) => format!("coefficient {at} of component {name} comes twice"),
                    });
                }
                *left = Some(low);
            }
        }
        Ok(places)
    }

    /// The first missing or repeated coefficient, in words.
    pub(super) fn missing(&self) -> Option<String> {
        if self.outliers.is_some() {
            return self.outliers.clone();
        }
        for (name, component) in self.components.iter().enumerate().map(|(place, one)| (place + 1, one)) {
            match component.bits_left.iter().enumerate().find(|(_, left)| **left != Some(0)) {
                None => {}
                Some((0, None)) => return Some(format!("no scan has component {name}")),
                Some((at, None)) => {
                    return Some(format!(
                        "no scan has coefficient {at} of component {name}: the last scans are missing"
                    ));
                }
                Some((at, Some(left))) => {
                    return Some(format!(
                        "the last {left} bits of coefficient {at} of component {name} have not come: the last scans are \
                         missing"
                    ));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(progressive: bool, scans: &[(&[u8], u8, u8, u8, u8)]) -> Option<String> {
        let mut coverage =
            ScanCoverage::new(progressive, vec![Component::new(1, 0x11), Component::new(2, 0x11)]);
        for (ids, from, to, high, low) in scans {
            coverage.scan(ids.iter().copied(), *from..=*to, *high, *low).expect("within the frame");
        }
        coverage.missing()
    }

    #[test]
    fn complete_scan_scripts_are_accepted() {
        assert_eq!(coverage(false, &[(&[1, 2], 0, 63, 0, 0)]), None);
        assert_eq!(coverage(false, &[(&[2], 0, 63, 0, 0), (&[1], 0, 0, 0, 0)]), None);
        let progressive: [(&[u8], u8, u8, u8, u8); 6] = [
            (&[1, 2], 0, 0, 0, 1),
            (&[1], 1, 63, 0, 2),
            (&[2], 1, 63, 0, 0),
            (&[1], 1, 63, 2, 1),
            (&[1, 2], 0, 0, 1, 0),
            (&[1], 1, 63, 1, 0),
        ];
        assert_eq!(coverage(true, &progressive), None);
        for without in 0..progressive.len() {
            let mut scans = progressive.to_vec();
            scans.remove(without);
            assert!(coverage(true, &scans).is_some(), "without scan {without}");
        }
    }

    #[test]
    fn missing_or_repeated_coefficients_are_named() {
        for (progressive, scans, expected) in [
            (false, vec![(&[1][..], 0, 63, 0, 0)], "no scan has component 2"),
            (
                false,
                vec![(&[1, 2][..], 0, 63, 0, 0), (&[1][..], 0, 63, 0, 0)],
                "coefficient 0 of component 1 comes twice",
            ),
            (
                true,
                vec![(&[1, 2][..], 0, 0, 0, 0)],
                "no scan has coefficient 1 of component 1: the last scans are missing",
            ),
            (
                true,
                vec![(&[1][..], 0, 63, 0, 0), (&[2][..], 0, 63, 0, 1)],
                "the last 1 bits of coefficient 0 of component 2 have not come: the last scans are missing",
            ),
            (
                true,
                vec![(&[1][..], 0, 0, 1, 0)],
                "a scan refines coefficient 0 of component 1, which has not come",
            ),
        ] {
            assert_eq!(coverage(progressive, &scans).as_deref(), Some(expected));
        }
    }
}
