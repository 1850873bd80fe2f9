//! The pipelines that are measured, as the TOML that a user would write, in a folder of their own that is
//! removed in the end.

use std::path::{Path, PathBuf};

use lockstep_assemble::Failure;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::time::Timestamp;
use lockstep_settings::{Overrides, load};

use crate::ground::Ground;

const IDENTITY: &str = include_str!("../../models/identity/1/model.toml");

/// A folder for models and settings.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, Failure> {
        let name = format!("lockstep-bench-{}-{}", std::process::id(), Timestamp::now().as_nanos());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// The repository of models.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Adds the identity over bytes.
    pub(super) fn add_identity(&self) -> Result<(), Failure> {
        let folder = self.0.join("identity").join("1");
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join("model.toml"), IDENTITY)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// The topics of a pipeline.
pub(super) struct Topics {
    pub(super) input: String,
    pub(super) results: String,
    dead_letters: String,
}

impl Topics {
    /// Makes them, with as many partitions for records and results.
    pub(super) fn new(ground: &Ground, partitions: i32) -> Result<Self, Failure> {
        Ok(Self {
            input: ground.topic("records", partitions)?,
            results: ground.topic("results", partitions)?,
            dead_letters: ground.topic("dead-letters", 1)?,
        })
    }
}

/// One step over one input.
pub(super) struct Plan<'a> {
    pub(super) content_type: &'a str,
    pub(super) model: &'a str,
    /// The tensor that the model takes, and how it is made: `payload = { from = "records", bytes = … }`.
    pub(super) binding: &'a str,
    /// Under `[steps.model.outputs]`; nothing to show no output.
    pub(super) outputs: &'a str,
    pub(super) max_size: usize,
    pub(super) max_delay_us: u64,
    pub(super) device: &'a str,
}

impl<'a> Plan<'a> {
    /// The identity over bytes, of which nothing is shown.
    pub(super) fn identity(binding: &'a str, max_size: usize) -> Self {
        Self {
            content_type: "application/octet-stream",
            model: "identity",
            binding,
            outputs: "",
            max_size,
            max_delay_us: 1000,
            device: "cpu",
        }
    }

    /// The pipeline, in a consumer group of its own that begins with the oldest record.
    pub(super) fn pipeline(
        &self,
        ground: &Ground,
        folder: &Folder,
        topics: &Topics,
    ) -> Result<Pipeline, Failure> {
        let Self { content_type, model, binding, outputs, max_size, max_delay_us, device } = self;
        let Topics { input, results, dead_letters } = topics;
        let group = format!("lockstep-bench-{}", Timestamp::now().as_nanos());
        let toml = format!(
            "[pipeline]\nname = \"bench\"\n\n\
             [kafka]\nbrokers = \"{}\"\ngroup = \"{group}\"\n\n\
             [inputs.records]\ntopic = \"{input}\"\ncontent_type = \"{content_type}\"\n\n\
             [models]\nrepository = \".\"\n\n\
             [steps.model]\nmodel = \"{model}\"\ndevice = \"{device}\"\nwarm_up = [1, {max_size}]\n\
             batch = {{ max_size = {max_size}, max_delay = \"{max_delay_us}us\" }}\n\n\
             [steps.model.inputs]\n{binding}\n\n\
             [steps.model.outputs]\n{outputs}\n\n\
             [results]\ntopic = \"{results}\"\ndead_letters = \"{dead_letters}\"\nlate = false\n\n\
             [http]\nlisten = false\n",
            ground.brokers
        );
        let path = folder.path().join("pipeline.toml");
        std::fs::write(&path, toml)?;
        let mut pipeline = load(&path, &Overrides::default(), &lockstep_assemble::describe)?;
        // The embedded broker answers a waiting fetch only when its time is up: records would come in bursts, and
        // wait in a queue that a real broker does not make.
        pipeline.kafka.consumer.insert("fetch.wait.max.ms".into(), "5".into());
        Ok(pipeline)
    }
}
