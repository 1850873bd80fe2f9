//! The single values that views show, as conditions read them: their names and their kinds.

use std::fmt;

/// A single value of a shown output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownField {
    /// The score to which the view scores reduces.
    Score,
    /// True if the score reaches the threshold.
    Detected,
    /// The number of detections.
    Count,
    /// The index of the best class.
    BestClass,
    /// The label of the best class.
    BestLabel,
    /// The score of the best class.
    BestScore,
    /// The text.
    Text,
    /// The mean logarithm of the text's probability.
    LogProbability,
}

/// The kind of a shown value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A number.
    Number,
    /// A text.
    Text,
    /// True or false.
    Flag,
}

/// A shown value.
#[derive(Clone, Debug, PartialEq)]
pub enum ShownValue {
    /// A number, as the result writes it.
    Number(f64),
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
}

impl ShownField {
    /// Its name in a path, which is its key in the result. Only the number of detections is no key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score | Self::BestScore => "score",
            Self::Detected => "detected",
            Self::Count => "count",
            Self::BestClass => "class",
            Self::BestLabel => "label",
            Self::Text => "text",
            Self::LogProbability => "log_probability",
        }
    }

    /// The kind of its value.
    pub fn kind(self) -> ValueKind {
        match self {
            Self::Score | Self::Count | Self::BestClass | Self::BestScore | Self::LogProbability => {
                ValueKind::Number
            }
            Self::BestLabel | Self::Text => ValueKind::Text,
            Self::Detected => ValueKind::Flag,
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Flag => "true or false",
        })
    }
}

impl fmt::Display for ShownValue {
    /// Writes a long text with its beginning only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) if text.chars().count() > MOST => {
                write!(f, "'{}…'", text.chars().take(MOST).collect::<String>())
            }
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}
