//! The shows of `lockstep demo`: what is played, through which pipeline, and how results look.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;

use super::captions::{LEGEND, caption};
use crate::commands::Failure;
use crate::commands::tail::render_line;

/// A show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DemoShow {
    /// Faces and speech, one line a frame
    #[default]
    TalkingFace,
    /// A scene by picture, sound and text, as captions
    Scene,
}

/// A function that makes a line of a result.
pub(super) type Render = Box<dyn Fn(&Value) -> String + Send>;

/// What a show needs.
pub(super) struct Script {
    /// The pipeline.
    pub config: PathBuf,
    /// The files to publish.
    pub paths: Vec<PathBuf>,
    /// The least time between two pictures.
    pub picture_every: Option<Duration>,
    /// What people read before the results.
    pub legend: &'static str,
    notes: Option<Vec<String>>,
}

impl DemoShow {
    /// The script, with its files found.
    ///
    /// # Errors
    /// A file that is missing, and how to get it.
    pub(super) fn script(self) -> Result<Script, Failure> {
        let clip = find(".setup/clip.mp4", "make setup")?;
        match self {
            Self::TalkingFace => Ok(Script {
                config: find("config/talking-face.toml", "make setup")?,
                paths: vec![clip],
                picture_every: None,
                legend: "",
                notes: None,
            }),
            Self::Scene => {
                for model in ["whisper-tiny-en", "efficientnet-lite0", "all-minilm-l6-v2"] {
                    find(&format!("models/{model}/1/model.safetensors"), "make setup-scene")?;
                }
                let notes = find("config/scene.txt", "make setup")?;
                let lines = std::fs::read_to_string(&notes)?;
                let texts = lines.lines().filter_map(|line| line.split_once(' '));
                Ok(Script {
                    config: find("config/scene.toml", "make setup")?,
                    notes: Some(texts.map(|(_, text)| text.to_owned()).collect()),
                    paths: vec![clip, notes],
                    picture_every: Some(Duration::from_secs(3)),
                    legend: LEGEND,
                })
            }
        }
    }
}

impl Script {
    /// The function that makes lines of its results.
    pub(super) fn render(&self) -> Render {
        match self.notes.clone() {
            Some(notes) => Box::new(move |result| caption(result, &notes)),
            None => Box::new(render_line),
        }
    }
}

/// Looks for a file of the checkout: from here upwards, then from the program upwards. `source` makes the file.
fn find(file: &str, source: &str) -> Result<PathBuf, Failure> {
    let (here, program) = (std::env::current_dir().ok(), std::env::current_exe().ok());
    let places = [here, program].into_iter().flatten();
    let found = places.flat_map(|place| place.ancestors().map(|dir| dir.join(file)).collect::<Vec<_>>());
    found.into_iter().find(|path| path.exists()).ok_or_else(|| {
        format!("{file} is neither here nor above: run this in a checkout, after `{source}`").into()
    })
}
