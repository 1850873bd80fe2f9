//! `lockstep scale`

use std::path::PathBuf;
use std::process::ExitCode;

use lockstep_engine::pipeline::HttpToken;
use lockstep_http::client::{ProcessRequest, ask, fetch_status};
use lockstep_http::{ScalingCount, ScalingCounts};
use lockstep_settings::token;

use super::Failure;
use crate::output::print_line;

const DETAILS: &str = "\
Shows the numbers of shards and instances of a running process, or sets them. Streams and their models' state move while
records arrive. No result is lost, repeated or out of order because of it.

A number set by hand holds, whatever the load: the scaling policy leaves it alone until it is given back with
`auto`, or the process ends. scaling.shards and scaling.instances bound it.

The command asks the process at its http.listen: it reads /v1/status and changes /scaling. The process changes numbers only with the token that it was
started with: set the same LOCKSTEP_HTTP_TOKEN, or LOCKSTEP_HTTP_TOKEN_FILE, or write --token-file. In a container or a pod that
has them a command inside finds them: `kubectl exec POD -- lockstep scale --shards 8`. To look needs none.

  lockstep scale
  lockstep scale --shards 8
  lockstep scale --instances faces=2 --instances voice=auto
  lockstep scale 127.0.0.1:9465 --shards auto --json

Exits with 1 if the number is out of range, or no process answers.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Address of the process (http.listen)
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    address: String,
    /// Number of shards, or auto to leave it to the scaling policy
    #[arg(long, value_name = "N|auto", value_parser = count)]
    shards: Option<Wanted>,
    /// Number of instances of a step's model, or auto to leave it to the scaling policy
    #[arg(long, value_name = "STEP=N|auto", value_parser = of_step)]
    instances: Vec<(String, Wanted)>,
    /// The file that holds the token, instead of LOCKSTEP_HTTP_TOKEN and LOCKSTEP_HTTP_TOKEN_FILE
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// The desired number. None leaves it to `[scaling]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted(Option<usize>);

fn count(text: &str) -> Result<Wanted, String> {
    if text == "auto" {
        return Ok(Wanted(None));
    }
    let count = text.parse().ok().filter(|count| *count > 0);
    count.map(|count| Wanted(Some(count))).ok_or_else(|| "write a number from 1 on, or auto".to_owned())
}

fn of_step(text: &str) -> Result<(String, Wanted), String> {
    let (step, text) = text.split_once('=').ok_or("write a step and a number, as faces=2")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if step.is_empty() || !step.chars().all(is_plain) {
        return Err(format!("{step:?} is no step's name; write a step and a number, as faces=2"));
    }
    Ok((step.to_owned(), count(text)?))
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let address = &args.address;
    let token = match &args.token_file {
        Some(path) => Some(token::from_file(path).map_err(|why| format!("--token-file {why}"))?),
        None => token::from_environment()?,
    };
    let token = token.as_ref();
    if let Some(wanted) = args.shards {
        put(address, "/scaling/shards", token, wanted)?;
    }
    for (step, wanted) in args.instances {
        put(address, &format!("/scaling/instances/{step}"), token, wanted)?;
    }
    let counts = fetch_status(address)?.scaling_counts();
    if args.json {
        print_line(serde_json::to_string(&counts)?)?;
    } else {
        print_line(table(&counts).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn put(address: &str, path: &str, token: Option<&HttpToken>, wanted: Wanted) -> Result<(), Failure> {
    let body = serde_json::json!({ "count": wanted.0 }).to_string();
    let answer = ask(address, &ProcessRequest { method: "PUT", path, token, body: &body })?;
    match answer.status {
        200 => Ok(()),
        401 | 403 | 422 => Err(answer.body.trim().into()),
        404 if !answer.body.contains("/metrics") => Err(answer.body.trim().into()),
        _ => Err(answer.unexpected(address).into()),
    }
}

fn table(counts: &ScalingCounts) -> String {
    let line = |name: &str, count: &ScalingCount| {
        let asked = match (count.desired, count.manual_override) {
            (Some(asked), true) => format!("{asked} set by hand"),
            (Some(asked), false) => format!("{asked} asked for by the law of scaling"),
            (None, _) => String::new(),
        };
        format!("{name:<28} {:>4}  {asked}", count.current)
    };
    let steps = counts.instances.iter().map(|(step, count)| line(&format!("instances of {step}"), count));
    std::iter::once(line("shards", &counts.shards))
        .chain(steps)
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_reads_numbers_from_1_on_and_auto() {
        assert_eq!(count("8"), Ok(Wanted(Some(8))));
        assert_eq!(of_step("faces=auto"), Ok(("faces".into(), Wanted(None))));
        for wrong in ["0", "-1", "many", ""] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
        for wrong in ["faces", "=2", "fa/ces=2", "faces=0", "a b=1"] {
            assert!(of_step(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scale_table_shows_current_and_desired_numbers() {
        let count = |current, desired, manual_override| ScalingCount { current, desired, manual_override };
        let counts = ScalingCounts {
            shards: count(4, Some(8), true),
            instances: [("faces".to_owned(), count(1, None, false))].into(),
        };
        let expected =
            "shards                          4  8 set by hand\ninstances of faces              1\n";
        assert_eq!(table(&counts), expected);
    }
}
