//! Finds and runs ffmpeg.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::commands::Failure;

/// `ffmpeg` on PATH, or `.setup/ffmpeg` above the working directory or the executable.
pub(super) fn find() -> Result<PathBuf, Failure> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|directory| directory.join("ffmpeg"));
    let above = |start: Option<PathBuf>| {
        let directories: Vec<PathBuf> =
            start.iter().flat_map(|start| start.ancestors()).map(Path::to_path_buf).collect();
        directories.into_iter().map(|directory| directory.join(".setup").join("ffmpeg"))
    };
    let here = above(std::env::current_dir().ok());
    let beside = above(std::env::current_exe().ok());
    on_path.chain(here).chain(beside).find(|candidate| candidate.is_file()).ok_or_else(|| {
        "ffmpeg is needed to read videos and is neither on PATH nor fetched; install it, or run `make setup`".into()
    })
}

/// A run of ffmpeg on a file, with the arguments to come.
pub(super) fn command(ffmpeg: &Path, file: &Path) -> Command {
    let mut command = Command::new(ffmpeg);
    // An absolute path, so that a name that begins with a dash or looks like a URL is a file.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    command.args(["-hide_banner", "-nostdin", "-i"]).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns whether a file has video, and whether it has sound.
pub(super) fn probe(ffmpeg: &Path, file: &Path) -> Result<(bool, bool), Failure> {
    let told = command(ffmpeg, file).output()?;
    let told = String::from_utf8_lossy(&told.stderr);
    let streams = || told.lines().map(str::trim).filter(|line| line.starts_with("Stream #"));
    let pictures = streams().any(|line| line.contains("Video:") && !line.contains("attached pic"));
    let sound = streams().any(|line| line.contains("Audio:"));
    if !pictures && !sound {
        let mut said = told.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let why =
            said.find(|line| !line.contains("output file")).unwrap_or("it has neither pictures nor sound");
        return Err(format!("{}: ffmpeg cannot read it: {why}", file.display()).into());
    }
    Ok((pictures, sound))
}
