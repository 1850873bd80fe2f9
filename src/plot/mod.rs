//! Pictures as SVG: what several commands draw with.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

pub(crate) mod course;
pub(crate) mod file;
pub(crate) mod scale;
pub(crate) mod svg;
pub(crate) mod values;

/// Reads where a picture goes: a file whose name says that it is one of this kind.
pub(crate) fn target() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
            Ok(path)
        } else {
            Err("pictures are SVG; write a file name that ends in .svg")
        }
    })
}

/// In turn, so that neighbours differ, to the colour-blind too (from the palette of M. Okabe and K. Ito).
pub(crate) const COLOURS: [&str; 4] = ["#0072b2", "#d98200", "#009e73", "#b0559a"];
pub(crate) const RED: &str = "#c8102e";

/// The colour of what stands in that place.
pub(crate) fn colour(place: usize) -> &'static str {
    COLOURS.get(place % COLOURS.len()).copied().unwrap_or("#000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_goes_to_a_file_that_says_that_it_is_svg_and_to_no_other() {
        for (name, is_right) in [
            ("x.svg", true),
            ("a/b.SVG", true),
            ("x.png", false),
            ("x", false),
            ("x.svg.gz", false),
            (".svg", false),
        ] {
            let command = clap::Command::new("draw").arg(clap::Arg::new("plot").value_parser(target()));
            let outcome = command.try_get_matches_from(["draw", name]);
            assert_eq!(outcome.is_ok(), is_right, "{name}");
            if let Err(error) = outcome {
                assert!(error.to_string().contains("write a file name that ends in .svg"), "{error}");
            }
        }
    }
}
