//! The frames of a video as JPEG and its sound as PCM, through ffmpeg.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use super::source::{FeedRecord, FeedSource, chunk_bytes, frame_time};
use super::{ffmpeg, jpeg};
use crate::commands::Failure;

/// A source each for the pictures and the sound, as far as the file has them. Times are those of the
/// container, from its beginning. Of pictures that are closer together than `every`, only the first is published.
pub(super) fn open(
    file: &Path,
    every: Option<Duration>,
    rate: u32,
    chunk: Duration,
) -> Result<Vec<FeedSource>, Failure> {
    let ffmpeg = ffmpeg::find()?;
    let (pictures, sound) = ffmpeg::probe(&ffmpeg, file)?;
    let mut sources = Vec::new();
    if pictures {
        let frames = Frames::start(&ffmpeg, file, every)?;
        sources.push(FeedSource { absolute: false, file: file.to_owned(), items: Box::new(frames) });
    }
    if sound {
        let sound = VideoSound::start(&ffmpeg, file, rate, chunk)?;
        sources.push(FeedSource { absolute: false, file: file.to_owned(), items: Box::new(sound) });
    }
    Ok(sources)
}

struct Frames {
    child: Child,
    file: PathBuf,
    pictures: BufReader<ChildStdout>,
    times: Receiver<i64>,
}

impl Frames {
    fn start(ffmpeg: &Path, file: &Path, every: Option<Duration>) -> Result<Self, Failure> {
        let filter = match every {
            Some(every) => {
                let seconds = every.as_secs_f64();
                format!("select=isnan(prev_selected_t)+gte(t-prev_selected_t\\,{seconds}),showinfo")
            }
            None => "showinfo".to_owned(),
        };
        // `showinfo` prints each frame's time before it is encoded; `passthrough` neither drops nor
        // repeats frames, so that the n-th picture has the n-th time.
        let mut child = ffmpeg::command(ffmpeg, file)
            .args(["-map", "0:v:0", "-vf", &filter, "-fps_mode", "passthrough"])
            .args(["-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", "-f", "image2pipe", "pipe:1"])
            .spawn()?;
        let pictures = child.stdout.take().ok_or("ffmpeg has no output")?;
        let told = child.stderr.take().ok_or("ffmpeg has no messages")?;
        let (sender, times) = sync_channel(100_000);
        std::thread::Builder::new().name("ffmpeg-times".into()).spawn(move || {
            for line in BufReader::new(told).split(b'\n').map_while(Result::ok) {
                if let Some(time) = frame_time_of(&String::from_utf8_lossy(&line))
                    && sender.send(time).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Self { child, file: file.into(), pictures: BufReader::with_capacity(1 << 18, pictures), times })
    }

    fn read(&mut self) -> Result<Option<FeedRecord>, Failure> {
        let Some(payload) = jpeg::next(&mut self.pictures)? else { return ended(&mut self.child) };
        let at = self.times.recv().map_err(|_| "ffmpeg told no time for a frame")?;
        Ok(Some(FeedRecord { at, kind: "video", content_type: "image/jpeg".into(), payload: payload.into() }))
    }
}

/// At the end of what ffmpeg has written: whether it came to its own end.
fn ended(child: &mut Child) -> Result<Option<FeedRecord>, Failure> {
    let status = child.wait()?;
    if status.success() {
        return Ok(None);
    }
    Err(format!("ffmpeg could not read it to its end ({status}); see what `ffmpeg -i` says of it").into())
}

/// From `[Parsed_showinfo_0 @ …] n: 0 pts: 0 pts_time:0.04 …`, in nanoseconds.
fn frame_time_of(line: &str) -> Option<i64> {
    if !line.contains("showinfo") {
        return None;
    }
    let seconds: f64 = line.split_once("pts_time:")?.1.split_whitespace().next()?.parse().ok()?;
    seconds.is_finite().then(|| (seconds * 1e9).round() as i64)
}

impl Iterator for Frames {
    type Item = Result<FeedRecord, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(item) => item.map(Ok),
            Err(error) => Some(Err(format!("{}: {error}", self.file.display()).into())),
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

struct VideoSound {
    child: Child,
    file: PathBuf,
    samples: ChildStdout,
    rate: u32,
    size: usize,
    frames: u64,
}

impl VideoSound {
    fn start(ffmpeg: &Path, file: &Path, rate: u32, chunk: Duration) -> Result<Self, Failure> {
        // Gaps are filled, so that a sample's number tells its time.
        let mut child = ffmpeg::command(ffmpeg, file)
            .args(["-loglevel", "error", "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"])
            .args(["-ac", "1", "-ar", &rate.to_string(), "-f", "s16le", "pipe:1"])
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let samples = child.stdout.take().ok_or("ffmpeg has no output")?;
        Ok(Self { child, file: file.into(), samples, rate, size: chunk_bytes(chunk, rate, 2), frames: 0 })
    }
}

impl Iterator for VideoSound {
    type Item = Result<FeedRecord, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut payload = Vec::with_capacity(self.size);
        if let Err(error) = self.samples.by_ref().take(self.size as u64).read_to_end(&mut payload) {
            return Some(Err(error.into()));
        }
        payload.truncate(payload.len() & !1);
        if payload.is_empty() {
            let ended = ended(&mut self.child).transpose()?;
            return Some(ended.map_err(|error| format!("{}: {error}", self.file.display()).into()));
        }
        let at = frame_time(self.frames, self.rate);
        self.frames += payload.len() as u64 / 2;
        let content_type = format!("audio/pcm;rate={};channels=1;format=s16le", self.rate).into();
        Some(Ok(FeedRecord { at, kind: "audio", content_type, payload: payload.into() }))
    }
}

impl Drop for VideoSound {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::frame_time_of;

    #[test]
    fn a_frame_s_time_is_read_from_what_ffmpeg_prints() {
        let line = "[Parsed_showinfo_0 @ 0x55] n:   3 pts:   1536 pts_time:0.12    duration: 512";
        assert_eq!(frame_time_of(line), Some(120_000_000));
        assert_eq!(frame_time_of("frame= 10 pts_time:3"), None);
        assert_eq!(frame_time_of("[showinfo] pts_time:NOPTS"), None);
    }
}
