//! Pictures as SVG: what several commands draw with.

pub(crate) mod course;
pub(crate) mod file;
pub(crate) mod scale;
pub(crate) mod svg;
pub(crate) mod values;

/// In turn, so that neighbours differ, to the colour-blind too (from the palette of M. Okabe and K. Ito).
pub(crate) const COLOURS: [&str; 4] = ["#0072b2", "#d98200", "#009e73", "#b0559a"];
pub(crate) const RED: &str = "#c8102e";

/// The colour of what stands in that place.
pub(crate) fn colour(place: usize) -> &'static str {
    COLOURS.get(place % COLOURS.len()).copied().unwrap_or("#000")
}
