//! `lockstep demo`

mod captions;
mod show;
mod summary;

use std::collections::BTreeMap;
use std::io::Write;
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

use self::show::{DemoShow, Render, Script};
use self::summary::DemoCounts;
use super::{Failure, cluster, run::stop_on_signals};
use crate::feed::{self, FeedPlan, FeedStart};
use crate::output::print_line;

/// The longest that starting and draining may take.
const PATIENCE: Duration = Duration::from_secs(30);

const DETAILS: &str = "\
Starts the embedded broker on loopback, publishes a clip of two faces, one of them speaking, as a camera and a
microphone in real time, runs the pipeline config/talking-face.toml on it, and shows its results as they come from
the result topic: who is on screen, whether someone is speaking, how far sound and picture are apart.

`lockstep demo scene` runs config/scene.toml on the clip and some notes instead, and shows captions: what is said (Whisper),
what is seen (EfficientNet), and how well a note fits the picture. It needs `make setup-scene`.

Then a summary: what was used, late, dropped or dead-lettered, and where the time went. Exits with 0 only if
results came. Ctrl-C stops it in order.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The demo
    #[arg(value_enum, default_value_t)]
    show: DemoShow,
    /// Seconds to publish; if longer than the clip, it is repeated [default: the clip once]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Print results as JSON, one a line, and the summary as one JSON object at the end
    #[arg(long)]
    json: bool,
    /// The address of metrics and health meanwhile; `off` for none
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", env = "LOCKSTEP_HTTP")]
    http: String,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 86_400.0)) {
        return Err("--seconds takes a number above 0, at most 86400".into());
    }
    let script = args.show.script()?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;

    let broker = EmbeddedBroker::start(&[])?;
    let overrides = Overrides {
        brokers: Some(broker.address().to_owned()),
        http: Some(args.http.clone()),
        ..Overrides::default()
    };
    let mut pipeline = load(&script.config, &overrides, &lockstep_assemble::describe)?;
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
        let (results, over) = (results.clone(), over.clone());
        let render = (!args.json).then(|| script.render());
        std::thread::Builder::new().name("tail".into()).spawn(move || {
            if let Err(error) = show(&mut tail, render.as_ref(), &results, &over) {
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
    let published = if runner.is_finished() {
        Ok(BTreeMap::new())
    } else {
        play(&args, broker.address(), &script, &stop)
    };
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
fn play(args: &Args, brokers: &str, script: &Script, stop: &Stop) -> Result<BTreeMap<String, u64>, Failure> {
    let plan = FeedPlan {
        kafka: cluster::plain(brokers),
        stream: "cam-1".into(),
        topics: BTreeMap::new(),
        paths: script.paths.clone(),
        rate: Some(1.0),
        start: FeedStart::Now,
        audio_rate: 16_000,
        chunk: Duration::from_millis(100),
        picture_every: script.picture_every,
        fps: 25.0,
    };
    let names: Vec<String> = script.paths.iter().map(|path| path.display().to_string()).collect();
    eprintln!("publishing {} in real time\n{}", names.join(" and "), script.legend);
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

/// Prints results as they come: as `render` makes a line of them, or as they are.
fn show(
    tail: &mut Tail,
    render: Option<&Render>,
    results: &AtomicU64,
    over: &AtomicBool,
) -> Result<(), Failure> {
    while !over.load(Ordering::Relaxed) {
        let Some(record) = tail.next(Duration::from_millis(50))? else { continue };
        let line = match (serde_json::from_slice(&record.value), render) {
            (Ok(value), Some(render)) => render(&value),
            _ => String::from_utf8_lossy(&record.value).into_owned(),
        };
        results.fetch_add(1, Ordering::Relaxed);
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

fn wait_while(unfinished: impl Fn() -> bool) {
    let since = Instant::now();
    while unfinished() && since.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
