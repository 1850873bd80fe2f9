//! `lockstep publish`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use lockstep_engine::time::Timestamp;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Failure;
use super::cluster::Cluster;
use crate::feed::{self, FeedPlan, FeedStart};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Videos (frames go to `video`, sound to `audio`), directories of images, WAV files, or text files
    /// with lines of `TIME text`
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
    /// The stream's name: the key of every record
    #[arg(long, value_name = "KEY")]
    stream: String,
    /// The topic of an input, if it is not named as the input (video, audio, text)
    #[arg(long = "topic", value_name = "INPUT=TOPIC", value_parser = topic)]
    topics: Vec<(String, String)>,
    /// Publish at the pace at which it happened. The embedded broker keeps only about 5 MiB a partition,
    /// so a faster pace can overtake what reads it
    #[arg(long, conflicts_with = "rate")]
    realtime: bool,
    /// Speed in multiples of real time (default: as fast as the brokers take records)
    #[arg(long, value_name = "X", value_parser = positive)]
    rate: Option<f64>,
    /// The event time of the beginning: `now`, `original` or RFC 3339
    #[arg(long, default_value = "now", value_parser = start)]
    start: FeedStart,
    /// Samples a second of sound taken from videos
    #[arg(long, default_value_t = 16_000, value_parser = clap::value_parser!(u32).range(1_000..=384_000))]
    audio_rate: u32,
    /// Length of a record of sound, as 100ms or 0.5s
    #[arg(long, default_value = "100ms", value_parser = span)]
    chunk: Duration,
    /// Publish a picture of a video only if this time has passed since the last, as 3s or 500ms
    #[arg(long, value_name = "TIME", value_parser = span)]
    picture_every: Option<Duration>,
    /// Frames a second of images without times in their names
    #[arg(long, default_value_t = 25.0, value_parser = positive)]
    fps: f64,
}

fn topic(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((input @ ("video" | "audio" | "text"), topic)) if !topic.is_empty() => {
            Ok((input.into(), topic.into()))
        }
        _ => Err("INPUT=TOPIC would be right, where INPUT is video, audio or text".into()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0)
        .ok_or_else(|| "a number above 0 would be right".into())
}

fn start(text: &str) -> Result<FeedStart, String> {
    match text {
        "now" => Ok(FeedStart::Now),
        "original" => Ok(FeedStart::Original),
        _ => Timestamp::parse_rfc3339(text)
            .map(FeedStart::At)
            .map_err(|_| "now, original or a time as 2026-03-01T12:00:00Z would be right".into()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|n| n * unit);
    seconds
        .filter(|s| (0.001..=60.0).contains(s))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "a time from 1ms to 60s would be right".into())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, cancel.clone())?;
    }
    let plan = FeedPlan {
        kafka: args.cluster.spec()?,
        stream: args.stream,
        topics: args.topics.into_iter().collect(),
        paths: args.paths,
        rate: if args.realtime { Some(1.0) } else { args.rate },
        start: args.start,
        audio_rate: args.audio_rate,
        chunk: args.chunk,
        picture_every: args.picture_every,
        fps: args.fps,
    };
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(100));
    let published = feed::run(&plan, &cancel, &mut |so_far| {
        bar.set_message(format!("{} records, {:.1} s", so_far.records, so_far.span_ns as f64 / 1e9));
    });
    bar.finish_and_clear();
    let published = published?;
    let each: Vec<String> =
        published.by_topic.iter().map(|(topic, count)| format!("{count} to {topic}")).collect();
    eprintln!(
        "Published {} records ({} bytes, {:.1} s of media): {}",
        published.records,
        published.bytes,
        published.span_ns as f64 / 1e9,
        each.join(", ")
    );
    Ok(if cancel.load(Ordering::Relaxed) { ExitCode::from(130) } else { ExitCode::SUCCESS })
}
