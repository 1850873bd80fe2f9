//! Where a picture goes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

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

/// A file that can be written, opened before the work is done whose picture it is to hold. What stands in it stays until
/// then. If nothing is drawn, no empty file remains.
#[derive(Debug)]
pub(crate) struct PlotFile {
    path: PathBuf,
    file: File,
    /// It was not there before, and nothing is in it yet.
    is_new: bool,
}

impl PlotFile {
    /// Opens what `--plot` names.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), file, is_new })
    }

    /// Writes the plot over the file.
    ///
    /// # Errors
    /// The file cannot be written completely.
    pub(crate) fn write(mut self, picture: &str) -> Result<(), String> {
        self.is_new = false;
        // A pipe has no length.
        let is_file = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        let emptied = if is_file { self.file.set_len(0) } else { Ok(()) };
        emptied
            .and_then(|()| self.file.write_all(picture.as_bytes()))
            .map_err(|error| failed(&self.path, &error))
    }
}

impl Drop for PlotFile {
    fn drop(&mut self) {
        if self.is_new {
            // Nothing depends on it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("--plot {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_replaces_a_longer_one_once_it_is_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        std::fs::write(&path, "one from yesterday").expect("written");
        let read = || std::fs::read_to_string(&path).expect("it is there");
        drop(PlotFile::open(&path).expect("it can be written"));
        assert_eq!(read(), "one from yesterday");
        PlotFile::open(&path).and_then(|file| file.write("new")).expect("written");
        assert_eq!(read(), "new");
    }

    #[test]
    fn picture_that_fails_leaves_no_file_and_names_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        drop(PlotFile::open(&path).expect("it can be written"));
        assert!(!path.exists());
        let nowhere = folder.path().join("b").join("a.svg");
        let error = PlotFile::open(&nowhere).expect_err("there is no folder");
        assert!(error.starts_with(&format!("--plot {}: ", nowhere.display())), "{error}");
    }

    #[test]
    fn picture_goes_to_svg_files_only() {
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
