//! Manual overrides of the numbers of shards and instances, within the bounds of the pipeline's settings.

use std::sync::Arc;

use lockstep_actors::Status;
use lockstep_actors::desired::Desired;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::scaling::{CountLimits, Scaled, ScalingSpec};
use lockstep_http::{Counted, NotSet, Scaling, ScalingCount, ScalingCounts};

/// The numbers that a request may set.
pub(crate) struct ManualOverride {
    status: Arc<Status>,
    scaling: ScalingSpec,
    steps: Vec<String>,
}

impl ManualOverride {
    pub(crate) fn new(pipeline: &Pipeline, status: Arc<Status>) -> Self {
        let steps = pipeline.steps.iter().map(|step| step.name.clone()).collect();
        Self { status, scaling: pipeline.scaling.clone(), steps }
    }

    /// Refuses a number that the settings do not allow. `key` is where they say so.
    fn check(&self, what: Scaled, key: &str, count: usize) -> Result<(), NotSet> {
        let CountLimits { min, max } = CountLimits::manual_override(&self.scaling, what);
        if (min..=max).contains(&count) {
            return Ok(());
        }
        Err(NotSet::Outside(format!(
            "{count} is out of range {min}..={max}; write a number within it, or change {key} in the configuration"
        )))
    }
}

impl Scaling for ManualOverride {
    fn counts(&self) -> ScalingCounts {
        let of_step = |step: &String| (step.clone(), count(&self.status.instances_of(step)));
        ScalingCounts {
            shards: count(&self.status.shards),
            instances: self.steps.iter().map(of_step).collect(),
        }
    }

    fn set_desired(&self, what: Counted<'_>, count: Option<usize>) -> Result<(), NotSet> {
        match what {
            Counted::Shards => match count {
                Some(count) => {
                    self.check(Scaled::Shards, "scaling.shards", count)?;
                    self.status.shards.override_with(count);
                }
                None => self.status.shards.end_override(),
            },
            Counted::Instances(name) => {
                let Some(step) = self.steps.iter().position(|step| step == name) else {
                    let steps = self.steps.join(", ");
                    return Err(NotSet::Unknown(format!("there is no step {name:?}; there is {steps}")));
                };
                let instances = self.status.instances_of(name);
                match count {
                    Some(count) => {
                        let key = format!("scaling.instances.{name}");
                        self.check(Scaled::Instances(step), &key, count)?;
                        instances.override_with(count);
                    }
                    None => instances.end_override(),
                }
            }
        }
        tracing::info!(?what, ?count, "manual override");
        Ok(())
    }
}

fn count<const MOST: usize>(of: &Desired<MOST>) -> ScalingCount {
    ScalingCount { current: of.current(), desired: of.desired(), manual_override: of.is_overridden() }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::scaling::CountBounds;

    use super::*;

    fn manual_override() -> ManualOverride {
        let bounds = |max| CountBounds { min: None, max: Some(max) };
        let scaling = ScalingSpec { shards: bounds(8), instances: vec![bounds(2)], ..ScalingSpec::default() };
        ManualOverride { status: Arc::default(), scaling, steps: vec!["faces".into(), "voice".into()] }
    }

    #[test]
    fn manual_override_lasts_until_it_is_released() {
        let hand = manual_override();
        hand.set_desired(Counted::Shards, Some(4)).expect("as many as there can be");
        hand.set_desired(Counted::Instances("voice"), Some(3)).expect("nothing is said of it");
        let counts = hand.counts();
        assert_eq!(counts.shards, ScalingCount { current: 0, desired: Some(4), manual_override: true });
        assert_eq!(
            counts.instances["voice"],
            ScalingCount { current: 0, desired: Some(3), manual_override: true }
        );
        assert!(!counts.instances["faces"].manual_override);
        hand.set_desired(Counted::Shards, None).expect("they are let go");
        hand.set_desired(Counted::Instances("voice"), None).expect("they are let go");
        assert!(!hand.counts().shards.manual_override && !hand.counts().instances["voice"].manual_override);
    }

    #[test]
    fn manual_override_out_of_bounds_is_refused_with_its_key() {
        let hand = manual_override();
        let refused = [
            (Counted::Shards, 9, "range 1..=8; write a number within it, or change scaling.shards"),
            (Counted::Shards, 0, "1..=8"),
            (
                Counted::Instances("faces"),
                3,
                "1..=2; write a number within it, or change scaling.instances.faces",
            ),
            (Counted::Instances("voice"), 65, "1..=64"),
            (Counted::Instances("hands"), 1, "there is faces, voice"),
        ];
        for (what, count, says) in refused {
            let error = hand.set_desired(what, Some(count)).expect_err("it is refused").to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(hand.counts().shards.desired, None);
    }
}
