//! `lockstep demo`

mod summary;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_actors::{PipelineEnd, Status, Stop};
use lockstep_assemble as assemble;
use lockstep_kafka::embedded::EmbeddedBroker;
use lockstep_kafka::tail::{From, Tail};
use lockstep_kafka::{admin, embedded};
use lockstep_settings::{Overrides, load};

use self::summary::DemoCounts;
use super::tail::render_line;
use super::{Failure, cluster, run::stop_on_signals};
use crate::feed::{self, FeedPlan, FeedStart};
use crate::output::print_line;

const CONFIG: &str = "config/talking-face.toml";
const CLIP: &str = ".setup/clip.mp4";
/// The longest that starting and draining may take.
const PATIENCE: Duration = Duration::from_secs(30);

const DETAILS: &str = "\
Starts the embedded broker on loopback, publishes a clip of two faces, one of them speaking, as a camera and a
microphone in real time, runs the pipeline config/talking-face.toml on it, and shows its results as they come from
the result topic: who is on screen, whether someone is speaking, how far sound and picture are apart.

Then a summary: what was used, late, dropped or dead-lettered, and where the time went. Exits with 0 only if
results came. Ctrl-C stops it in order.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Seconds to publish; if longer than the clip, it is repeated [default: the clip once]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Print results as JSON, one a line, and the summary as one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Where metrics and health are served meanwhile; `off` to serve nothing
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", env = "LOCKSTEP_HTTP")]
    http: String,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 86_400.0)) {
        return Err("--seconds takes a number above 0, at most 86400".into());
    }
    let (config, clip) = (find(CONFIG)?, find(CLIP)?);
    let stop = Stop::default();
    stop_on_signals(&stop)?;

    let broker = EmbeddedBroker::start(&[])?;
    let overrides = Overrides {
        brokers: Some(broker.address().to_owned()),
        http: Some(args.http.clone()),
        ..Overrides::default()
    };
    let mut pipeline = load(&config, &overrides, &lockstep_assemble::describe)?;
    // The embedded broker answers a waiting fetch only when its time is up, even if records have come.
    pipeline.kafka.consumer.insert("fetch.wait.max.ms".into(), "5".into());
    let state = pipeline.publish.state.as_deref();
    for topic in
        admin::input_topics(&pipeline).into_iter().chain(admin::output_topics(&pipeline)).chain(state)
    {
        broker.create_topic(topic, 1)?;
    }
    eprintln!("embedded broker at {} ({})", broker.address(), embedded::LIMITS);

    let status = Arc::new(Status::default());
    let http = assemble::serve(&pipeline, &status)?;
    let tally = Arc::new(DemoCounts::new(pipeline.inputs.iter().map(|input| input.name.clone()).collect()));
    let mut tail =
        Tail::open(broker.address(), &BTreeMap::new(), &pipeline.publish.results, From::Beginning)?;

    let (results, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let shower = {
        let (results, over, json) = (results.clone(), over.clone(), args.json);
        std::thread::Builder::new().name("tail".into()).spawn(move || {
            if let Err(error) = show(&mut tail, json, &results, &over) {
                tracing::error!(%error, "following the results failed");
            }
        })?
    };
    let runner = {
        let (pipeline, observer, status, stop) =
            (pipeline.clone(), tally.observer(), status.clone(), stop.clone());
        std::thread::Builder::new().name("pipeline".into()).spawn(move || {
            assemble::run(pipeline, observer, status, &stop, None).map_err(|error| error.to_string())
        })?
    };

    eprintln!("loading models");
    let waiting = || status.partitions.load(Ordering::Relaxed) < pipeline.inputs.len();
    wait_while(|| waiting() && !runner.is_finished() && !stop.is_stopped());
    let published =
        if runner.is_finished() { Ok(BTreeMap::new()) } else { play(&args, broker.address(), &clip, &stop) };
    if let Ok(published) = &published {
        tally.published(published);
        let frames = published.get("video").copied().unwrap_or(0);
        wait_while(|| tally.ended("video") < frames && !runner.is_finished() && !stop.is_stopped());
    }
    stop.stop();
    let ended = runner.join().map_err(|_| "the pipeline's thread panicked")?;
    // The last results have been acknowledged, so they are there to be read.
    wait_while(|| results.load(Ordering::Relaxed) < tally.results());
    over.store(true, Ordering::Relaxed);
    shower.join().map_err(|_| "the thread that shows results panicked")?;
    drop(http);

    if args.json {
        print_line(tally.json())?;
    } else {
        print_line(format!("\n{}", tally.text()))?;
    }
    published?;
    match ended? {
        PipelineEnd::CutShort(why) => Err(format!("the stop was cut short: {why}").into()),
        PipelineEnd::InOrder if results.load(Ordering::Relaxed) == 0 => {
            Err("no results came; the log above says why".into())
        }
        PipelineEnd::InOrder => Ok(ExitCode::SUCCESS),
    }
}

/// Publishes the clip, again and again if so asked, and tells how many records went out to each topic.
fn play(args: &Args, brokers: &str, clip: &Path, stop: &Stop) -> Result<BTreeMap<String, u64>, Failure> {
    let plan = FeedPlan {
        kafka: cluster::plain(brokers),
        stream: "cam-1".into(),
        topics: BTreeMap::new(),
        paths: vec![clip.to_owned()],
        rate: Some(1.0),
        start: FeedStart::Now,
        audio_rate: 16_000,
        chunk: Duration::from_millis(100),
        fps: 25.0,
    };
    eprintln!("publishing {} in real time to video and audio", clip.display());
    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let over = || stop.is_stopped() || until.is_some_and(|until| Instant::now() >= until);
    let cancel = AtomicBool::new(false);
    let mut records = BTreeMap::new();
    loop {
        let published = feed::run(&plan, &cancel, &mut |_| cancel.store(over(), Ordering::Relaxed))?;
        for (topic, count) in published.by_topic {
            *records.entry(topic).or_default() += count;
        }
        if until.is_none() || over() {
            return Ok(records);
        }
    }
}

fn show(tail: &mut Tail, json: bool, results: &AtomicU64, over: &AtomicBool) -> Result<(), Failure> {
    while !over.load(Ordering::Relaxed) {
        let Some(record) = tail.next(Duration::from_millis(50))? else { continue };
        let line = match serde_json::from_slice(&record.value) {
            Ok(value) if !json => render_line(&value),
            _ => String::from_utf8_lossy(&record.value).into_owned(),
        };
        results.fetch_add(1, Ordering::Relaxed);
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

/// Looks for a file of the checkout: from here upwards, then from the program upwards.
fn find(file: &str) -> Result<PathBuf, Failure> {
    let (here, program) = (std::env::current_dir().ok(), std::env::current_exe().ok());
    let places = [here, program].into_iter().flatten();
    let found = places.flat_map(|place| place.ancestors().map(|dir| dir.join(file)).collect::<Vec<_>>());
    found.into_iter().find(|path| path.exists()).ok_or_else(|| {
        format!("{file} is neither here nor above: run this in a checkout, after `make setup`").into()
    })
}

fn wait_while(unfinished: impl Fn() -> bool) {
    let since = Instant::now();
    while unfinished() && since.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
