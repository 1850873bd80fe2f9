//! The supervisor replaces a failed pipeline as a whole: source, actors and sink. The new pipeline begins at the last committed
//! offsets and repeats the work in flight.

use lockstep_engine::supervision::restart::{RestartDecision, RestartPolicy, Restarts};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use crate::failure::PipelineFailure;
use crate::run::{PipelineEnd, PipelineError, PipelineParts, StartError, run};
use crate::status::{PIPELINE, Status};
use crate::stop::Stop;

/// Runs a pipeline on this thread until it is stopped, and replaces it when it fails, as the policy says. A pipeline whose
/// first start fails is not tried again: its settings or files are at fault.
///
/// # Errors
/// The reason why the first pipeline did not start, or the last failure if a restart does not help or the policy is exhausted.
pub fn supervise(
    mut make: impl FnMut() -> PipelineParts,
    policy: RestartPolicy,
    status: &Status,
    stop: &Stop,
) -> Result<PipelineEnd, PipelineError> {
    // Processes of one group that fail together should not come back together.
    let mut restarts = Restarts::new(policy, u64::from(std::process::id()));
    loop {
        status.starting(PIPELINE);
        let why = match run(make(), stop) {
            Ok(ended) => return Ok(ended),
            Err(PipelineError::Failed(PipelineFailure::Restart(why))) => why,
            Err(PipelineError::Start(StartError::Failed(why)))
                if restarts.total() > 0 && !stop.is_stopped() =>
            {
                why
            }
            Err(error) => {
                status.set_failure(&error.to_string());
                return Err(error);
            }
        };
        match restarts.failed(Timestamp::now()) {
            RestartDecision::Again { after } => {
                tracing::warn!(?after, why, "restarting pipeline");
                status.failed(PIPELINE, &why);
                telemetry::restarted(PIPELINE);
                if stop.wait(after) {
                    return Ok(PipelineEnd::CutShort(format!("stopped while waiting for a restart: {why}")));
                }
            }
            RestartDecision::GiveUp => {
                let why = format!("{why}; gave up after {} restarts within {:?}", policy.most, policy.within);
                status.set_failure(&why);
                return Err(PipelineFailure::Final(why).into());
            }
        }
    }
}
