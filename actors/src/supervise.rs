//! A pipeline that fails is replaced as a whole: a new source, new actors and a new sink, which begin where
//! the one before has committed, so that what was under way is done again.

use lockstep_engine::supervision::restart::{Decision, RestartPolicy, Restarts};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use crate::run::{Ended, Parts, PipelineError, run};
use crate::status::{PIPELINE, Status};
use crate::stop::Stop;

/// Runs a pipeline on this thread until it is stopped, and a new one in its place whenever it fails, as the
/// policy says. A pipeline that has never started is not tried again: what keeps it from that is in its
/// settings or its files.
///
/// # Errors
/// What kept the first from starting; or why the last has failed, when nothing helps against that or it has
/// failed too often.
pub fn supervise(
    mut make: impl FnMut() -> Result<Parts, String>,
    policy: RestartPolicy,
    status: &Status,
    stop: &Stop,
) -> Result<Ended, PipelineError> {
    // Processes of one group that fail together should not come back together.
    let mut restarts = Restarts::new(policy, u64::from(std::process::id()));
    loop {
        status.starting(PIPELINE);
        let outcome = make().map_err(PipelineError::Start).and_then(|parts| run(parts, stop));
        let why = match outcome {
            Ok(ended) => return Ok(ended),
            Err(PipelineError::Failed(why)) => why,
            Err(PipelineError::Start(why)) if restarts.total() > 0 && !stop.is_stopped() => why,
            Err(error) => {
                status.set_failure(&error.to_string());
                return Err(error);
            }
        };
        match restarts.failed(Timestamp::now()) {
            Decision::Again { after } => {
                tracing::warn!(?after, "the pipeline is to be replaced by a new one: {why}");
                status.failed(PIPELINE, &why);
                telemetry::restarted(PIPELINE);
                if stop.wait(after) {
                    return Ok(Ended::CutShort(format!(
                        "it was stopped while it was to be started again: {why}"
                    )));
                }
            }
            Decision::GiveUp => {
                let why =
                    format!("{why}; given up after {} restarts within {:?}", policy.most, policy.within);
                status.set_failure(&why);
                return Err(PipelineError::Final(why));
            }
        }
    }
}
