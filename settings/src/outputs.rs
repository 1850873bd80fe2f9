//! The views of a step's outputs: `[steps.<name>.outputs]`.

use std::path::{Path, PathBuf};

use lockstep_engine::infer::check::is_token;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::head::{BoxFormat, HeadLayout};
use lockstep_engine::infer::signature::{Signature, TensorSpec};
use lockstep_engine::infer::step::{
    BoxChoice, CtcAlphabet, OutputView, Reduce, ScoreActivation, Suppression, View,
};
use lockstep_engine::infer::tracks::TrackRule;
use lockstep_engine::infer::view::{TokenDecoder, labels};

use super::inputs::check_name;
use super::kinds::{any_number, boolean, count, duration, number, path, small, string, word};
use super::problem::{did_you_mean, listed};
use super::reader::Section;

/// The element types that a view takes.
#[derive(Clone, Copy, PartialEq)]
enum Elements {
    Any,
    Floats,
    Tokens,
}

/// The words for [`ScoreActivation`].
const ACTIVATIONS: [(&str, ScoreActivation); 3] = [
    ("none", ScoreActivation::Identity),
    ("sigmoid", ScoreActivation::Sigmoid),
    ("softmax", ScoreActivation::Softmax),
];

const VIEWS: [&str; 7] = ["detections", "scores", "topk", "ctc", "text", "embedding", "raw"];

/// Reads the views of a step. Without the table, every output is shown raw unless it is stream state or an index of rows.
/// Without a signature, only the keys are read that do not depend on it. `revises` is true if a bundle may be published
/// more than once.
pub(super) fn read(
    step: &Section<'_>,
    signature: Option<&Signature>,
    base: &Path,
    has_image: bool,
    revises: bool,
) -> Vec<OutputView> {
    let untracked = untracked(step, revises);
    let Some(section) = step.table("outputs") else { return signature.map(all_raw).unwrap_or_default() };
    let mut views = Vec::new();
    for name in section.names() {
        check_name(&section, name, "an output");
        if matches!(name, "model" | "version" | "skipped") {
            let message = format!("{name:?} is a key of every result; choose another name");
            section.wrong(name, message);
        }
        let Some(entry) = section.named(name) else { continue };
        let example = "scores = { output = \"…\" }";
        if let Some(kind) = entry.one_of(&VIEWS, example)
            && let Some(view) = entry.table(kind)
        {
            let reader = OutputReader { section: &view, signature, base, name, untracked };
            views.extend(reader.view(kind, has_image).map(|view| OutputView { name: name.to_owned(), view }));
            view.finish();
        }
        entry.finish();
    }
    views
}

/// The reason why detections of a step cannot have tracks, if any.
fn untracked(step: &Section<'_>, revises: bool) -> Option<&'static str> {
    if step.has("each") {
        return Some(
            "follows detections from bundle to bundle, but this step runs once per detection; remove it, or write it in the \
             step that each names",
        );
    }
    revises.then_some(
        "follows detections from bundle to bundle, so no bundle may be published twice, but [align] has allowed_lateness or \
         emit = \"early-and-final\"; remove those or track",
    )
}

fn all_raw(signature: &Signature) -> Vec<OutputView> {
    let shown = |spec: &TensorSpec| {
        let carried = signature.state.iter().any(|state| state.output == spec.name);
        let index = signature.outputs.iter().any(|other| other.rows.as_deref() == Some(&spec.name));
        !carried && !index
    };
    let views = signature.outputs.iter().enumerate().filter(|(_, spec)| shown(spec));
    views.map(|(output, spec)| OutputView { name: spec.name.clone(), view: View::Raw { output } }).collect()
}

struct OutputReader<'a, 's> {
    section: &'s Section<'a>,
    /// None if the model was not found.
    signature: Option<&'s Signature>,
    base: &'s Path,
    name: &'s str,
    /// The reason why detections cannot have tracks.
    untracked: Option<&'static str>,
}

impl OutputReader<'_, '_> {
    fn view(&self, kind: &str, has_image: bool) -> Option<View> {
        match kind {
            "detections" => self.detections(has_image),
            "scores" => {
                let output = self.main(Elements::Floats, None, "numbers");
                let activation = self.section.or("activation", ScoreActivation::Identity, word(&ACTIVATIONS));
                let reduce = self.section.or(
                    "reduce",
                    Reduce::default(),
                    word(&[
                        ("all", Reduce::All),
                        ("max", Reduce::Max),
                        ("mean", Reduce::Mean),
                        ("last", Reduce::Last),
                    ]),
                );
                let threshold = self.section.optional("threshold", any_number);
                Some(View::Scores { output: output?, activation, reduce, threshold })
            }
            "topk" => {
                let output = self.main(Elements::Floats, Some(2), "one number for each class");
                let k = self.section.or("k", 5, count(1..=10_000));
                let labels = self.labels();
                let activation = self.class_activation();
                Some(View::TopK { output: output?, k, labels, activation })
            }
            "embedding" => {
                let output = self.main(Elements::Floats, Some(2), "one vector a row");
                let normalize = self.section.or("normalize", false, boolean);
                Some(View::Embedding { output: output?, normalize })
            }
            "ctc" => self.ctc(),
            "text" => self.text(),
            _ => self.main(Elements::Any, None, "anything").map(|output| View::Raw { output }),
        }
    }

    /// Resolves the key `output`, by default the entry's own name.
    fn main(&self, elements: Elements, rank: Option<usize>, what: &str) -> Option<usize> {
        let name = self.section.or("output", self.name.to_owned(), string);
        self.resolve("output", &name, elements, rank, what)
    }

    /// The activation of the view topk: `activation`, or `softmax` as its short form.
    fn class_activation(&self) -> ScoreActivation {
        let activation = self.section.optional("activation", word(&ACTIVATIONS));
        let softmax = self.section.optional("softmax", boolean);
        if self.section.has("activation") && self.section.has("softmax") {
            self.section.wrong("softmax", "repeats activation; remove softmax");
        }
        let short = match softmax {
            Some(false) => ScoreActivation::Identity,
            Some(true) | None => ScoreActivation::Softmax,
        };
        activation.unwrap_or(short)
    }

    /// The choice among the boxes of the view detections.
    fn choice(&self) -> BoxChoice {
        let min_score = self.section.or("min_score", 0.0, any_number);
        let iou = self.section.optional("nms", number(0.0..=1.0));
        let class_agnostic = self.section.or("class_agnostic", false, boolean);
        let candidates = self.section.or("candidates", 3000, count(1..=10_000));
        let most = self.section.optional("max", count(1..=10_000));
        if !self.section.has("nms") {
            for key in ["class_agnostic", "candidates"].into_iter().filter(|key| self.section.has(key)) {
                self.section.wrong(key, "has no effect without nms; write nms = 0.45 or remove it");
            }
        }
        let suppression = iou.map(|iou| Suppression { iou, class_agnostic, candidates });
        BoxChoice { min_score, suppression, most }
    }

    /// The rule of the tracks of the view detections.
    fn track(&self) -> Option<TrackRule> {
        let section = self.section.table("track")?;
        let usual = TrackRule::default();
        let min_iou = section.or("min_iou", usual.min_iou, number(0.0..=1.0));
        let max_age = section.or("max_age", usual.max_age, duration);
        section.finish();
        if let Some(why) = self.untracked {
            self.section.wrong("track", why);
        }
        Some(TrackRule { min_iou, max_age })
    }

    fn detections(&self, has_image: bool) -> Option<View> {
        if !has_image {
            self.section.wrong_here(
                "shows boxes in the coordinates of the source image, but no input of this step is always made from \
                 an image, or align turns it; use raw, or bind an image without missing = \"zeros\"",
            );
        }
        let head = self.section.optional(
            "head",
            word(&[HeadLayout::AttributesFirst, HeadLayout::AnchorsFirst].map(|head| (head.name(), head))),
        );
        let formats = [("cxcywh", BoxFormat::Centre), ("xyxy", BoxFormat::Corners)];
        let format = self.section.or("box_format", BoxFormat::default(), word(&formats));
        if self.section.has("head") {
            return self.anchors(head, format);
        }
        for key in ["output", "box_format"] {
            if self.section.value(key).is_some() {
                self.section.wrong(key, "has no effect without head; write head = \"yolov8\" or remove it");
            }
        }
        let output = |key: &str, example: &str, elements: Elements, rank, what: &str| {
            let name = self.section.required(key, example, string)?;
            self.resolve(key, &name, elements, Some(rank), what)
        };
        let optional = |key: &str, elements: Elements, rank, what: &str| {
            let name = self.section.optional(key, string)?;
            self.resolve(key, &name, elements, Some(rank), what)
        };
        let boxes = output("boxes", "boxes = \"boxes\"", Elements::Floats, 2, "[N, 4]");
        let scores = output("scores", "scores = \"scores\"", Elements::Floats, 1, "[N]");
        let classes = optional("classes", Elements::Any, 1, "[N]");
        let landmarks = optional("landmarks", Elements::Floats, 3, "[N, points, 2]");
        let labels = self.labels();
        if labels.is_some() && !self.section.has("classes") {
            self.section.wrong("labels", "has no effect without classes; write classes = \"…\" or remove it");
        }
        let (choice, track) = (self.choice(), self.track());
        let (boxes, scores) = (boxes?, scores?);
        let rows = |output: usize| self.signature?.outputs.get(output)?.rows.as_deref();
        for (key, other) in [("scores", Some(scores)), ("classes", classes), ("landmarks", landmarks)] {
            if other.is_some_and(|other| rows(other) != rows(boxes)) {
                self.section.wrong(key, "has other rows than boxes; choose an output with the same rows");
            }
        }
        Some(View::Detections { boxes, scores, classes, labels, landmarks, choice, track })
    }

    /// The view detections of a raw head.
    fn anchors(&self, layout: Option<HeadLayout>, format: BoxFormat) -> Option<View> {
        for key in ["boxes", "scores", "classes", "landmarks"] {
            if self.section.value(key).is_some() {
                self.section.wrong(key, "has no effect with head, whose output has all of them; remove it");
            }
        }
        let output = self.main(Elements::Floats, Some(2), "[attributes, anchors]");
        let labels = self.labels();
        let (choice, track) = (self.choice(), self.track());
        let (output, layout) = (output?, layout?);
        let spec = self.signature?.outputs.get(output)?;
        if spec.batch_axis().is_none() {
            self.section
                .wrong("output", format!("{:?} is ragged, {spec}; choose a batched output", spec.name));
        }
        let count = labels.as_deref().and_then(label_count);
        if let Err(error) = layout.fit(&Extents::default().row(spec), count) {
            self.section.wrong("head", error);
        }
        Some(View::Anchors { output, layout, format, labels, choice, track })
    }

    fn ctc(&self) -> Option<View> {
        let output = self.main(Elements::Floats, Some(2), "[steps, classes]");
        if !self.section.has("labels") {
            self.section.wrong("labels", "is missing; write labels = \"…\", a file with one label a line");
        }
        let labels = self.labels();
        let blank = self.section.or("blank", 0, count(0..=1_000_000));
        let space = self.section.optional("space", string);
        let activations = [("none", ScoreActivation::Identity), ("softmax", ScoreActivation::Softmax)];
        let activation = self.section.or("activation", ScoreActivation::Softmax, word(&activations));
        let (output, labels) = (output?, labels?);
        let alphabet = CtcAlphabet { blank, space, activation };
        let classes = Extents::default().row(self.signature?.outputs.get(output)?).pop().flatten();
        if let Some(count) = label_count(&labels)
            && let Err(error) = alphabet.fit(classes, count)
        {
            self.section.wrong("labels", error);
        }
        Some(View::CtcText { output, labels, alphabet })
    }

    fn text(&self) -> Option<View> {
        let output = self.main(Elements::Tokens, Some(2), "the tokens of a text");
        let tokenizer = self.section.required("tokenizer", "tokenizer = \"tokenizer.json\"", path);
        let end = self.section.optional("end", small(0..=1_000_000));
        let tokenizer = self.base.join(tokenizer?);
        match std::fs::read(&tokenizer).map(|content| TokenDecoder::read(&content)) {
            Err(error) => {
                let place = tokenizer.display();
                self.section.wrong(
                    "tokenizer",
                    format!("{place} cannot be read: {error}; write the path of the model's tokenizer.json"),
                );
            }
            Ok(Err(error)) => self.section.wrong("tokenizer", format!("{} {error}", tokenizer.display())),
            Ok(Ok(decoder)) => {
                if let Some(end) = end.filter(|end| !decoder.knows(*end)) {
                    self.section.wrong(
                        "end",
                        format!(
                            "{} has no token {end}; write the number of the token that ends a text",
                            tokenizer.display()
                        ),
                    );
                }
            }
        }
        Some(View::TokenText { output: output?, tokenizer, end })
    }

    fn labels(&self) -> Option<PathBuf> {
        let labels = self.base.join(self.section.optional("labels", path)?);
        if !labels.is_file() {
            let message =
                format!("{} is no file; write the path of a file with one label a line", labels.display());
            self.section.wrong("labels", message);
        }
        Some(labels)
    }

    /// Finds an output by name and checks its type and rank. A batched output of detections has one axis more than a ragged
    /// one.
    fn resolve(
        &self,
        key: &str,
        name: &str,
        elements: Elements,
        rank: Option<usize>,
        what: &str,
    ) -> Option<usize> {
        let outputs = &self.signature?.outputs;
        let names = || outputs.iter().map(|spec| spec.name.as_str());
        let Some(place) = names().position(|other| other == name) else {
            let hint = did_you_mean(name, names());
            self.section.wrong(
                key,
                format!("{name:?} is no output of the model{hint} (outputs: {})", listed(names())),
            );
            return None;
        };
        let spec = outputs.get(place)?;
        let have = match (what.starts_with('['), spec.batch_axis()) {
            (true, Some(_)) => spec.shape.len().saturating_sub(1),
            _ => spec.shape.len(),
        };
        let (of_type, required) = match elements {
            Elements::Any => (true, ""),
            Elements::Floats => (spec.dtype.is_float(), "is floating point and "),
            Elements::Tokens => (is_token(spec.dtype), "is i32 or i64 and "),
        };
        let fits = of_type && rank.is_none_or(|rank| rank == have);
        if !fits {
            let message = format!("{name:?} is {spec}; choose an output that {required}holds {what}");
            self.section.wrong(key, message);
            return None;
        }
        Some(place)
    }
}

/// The number of labels in a file, if it can be read.
fn label_count(file: &Path) -> Option<usize> {
    std::fs::read_to_string(file).ok().map(|text| labels(&text).len())
}
