//! Conditions of steps: comparisons of what earlier steps show, joined by `and`, `or` and `not`.
//!
//! [`StepCondition::parse`] reads the text of a configuration, [`field`] lists the values that a view shows, and
//! [`StepCondition::holds`] decides. A value is unknown if its step was skipped, or if the result shows it as null. The logic
//! is that of SQL: a comparison with an unknown value is neither true nor false.

pub mod field;
mod parse;

use std::fmt;

pub use field::{ShownField, ShownValue, ValueKind};

/// A condition over values, which [`Self::parse`] returns as [`ShownPath`]s.
#[derive(Clone, Debug, PartialEq)]
pub enum StepCondition<V = ShownPath> {
    /// A value that is true or false.
    Flag(V),
    /// A comparison of a value with a constant.
    Comparison {
        /// The value.
        value: V,
        /// The relation that must hold.
        relation: Relation,
        /// The constant.
        constant: Constant,
    },
    /// The opposite.
    Not(Box<Self>),
    /// All of two or more.
    All(Vec<Self>),
    /// At least one of two or more.
    Any(Vec<Self>),
}

/// The path of a shown value, as in the result below `outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPath {
    /// The name of the step.
    pub step: String,
    /// The name of its shown output.
    pub output: String,
    /// The field of that output; none for the output's own value.
    pub field: Option<String>,
}

/// A value that a step shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownOperand {
    /// Its path, for messages.
    pub path: ShownPath,
    /// The index of the step in the pipeline.
    pub step: usize,
    /// The index of the view among the step's outputs.
    pub view: usize,
    /// The field of the view.
    pub field: ShownField,
}

/// A relation of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A constant of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Relation {
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl<V> StepCondition<V> {
    /// True or false if the known values decide it, otherwise none. `value_of` returns a value, or none for an unknown
    /// one.
    pub fn holds(&self, value_of: &impl Fn(&V) -> Option<ShownValue>) -> Option<bool> {
        match self {
            Self::Flag(value) => match value_of(value)? {
                ShownValue::Flag(flag) => Some(flag),
                ShownValue::Number(_) | ShownValue::Text(_) => None,
            },
            Self::Comparison { value, relation, constant } => match (value_of(value)?, constant) {
                (ShownValue::Number(number), Constant::Number(constant)) => {
                    Some(relation.holds(&number, constant))
                }
                (ShownValue::Text(text), Constant::Text(constant)) => Some(relation.holds(&text, constant)),
                _ => None,
            },
            Self::Not(condition) => condition.holds(value_of).map(|holds| !holds),
            Self::All(all) => decided(all, value_of, false),
            Self::Any(any) => decided(any, value_of, true),
        }
    }

    /// The same condition over other values.
    ///
    /// # Errors
    /// The first error of `change`.
    pub fn try_map<W, E>(&self, change: &mut impl FnMut(&V) -> Result<W, E>) -> Result<StepCondition<W>, E> {
        let mut each =
            |list: &[Self]| -> Result<Vec<_>, E> { list.iter().map(|one| one.try_map(change)).collect() };
        Ok(match self {
            Self::Flag(value) => StepCondition::Flag(change(value)?),
            Self::Comparison { value, relation, constant } => StepCondition::Comparison {
                value: change(value)?,
                relation: *relation,
                constant: constant.clone(),
            },
            Self::Not(condition) => StepCondition::Not(Box::new(condition.try_map(change)?)),
            Self::All(all) => StepCondition::All(each(all)?),
            Self::Any(any) => StepCondition::Any(each(any)?),
        })
    }

    /// Its values in the order of the text, each with its comparison unless it is a flag.
    pub fn values(&self) -> Vec<(&V, Option<(Relation, &Constant)>)> {
        match self {
            Self::Flag(value) => vec![(value, None)],
            Self::Comparison { value, relation, constant } => vec![(value, Some((*relation, constant)))],
            Self::Not(condition) => condition.values(),
            Self::All(list) | Self::Any(list) => list.iter().flat_map(Self::values).collect(),
        }
    }
}

/// `decisive` if one of the conditions is, none if one is unknown, and else the opposite.
fn decided<V>(
    conditions: &[StepCondition<V>],
    value_of: &impl Fn(&V) -> Option<ShownValue>,
    decisive: bool,
) -> Option<bool> {
    let mut known = Some(!decisive);
    for condition in conditions {
        match condition.holds(value_of) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => known = None,
        }
    }
    known
}

impl StepCondition<ShownOperand> {
    /// The reason why the condition does not hold; none if it holds. `value_of` returns a value, or the reason why it is
    /// unknown.
    pub fn unmet(&self, value_of: impl Fn(&ShownOperand) -> Result<ShownValue, String>) -> Option<String> {
        let mut values: Vec<(&ShownOperand, Result<ShownValue, String>)> = Vec::new();
        for (operand, _) in self.values() {
            if !values.iter().any(|(known, _)| *known == operand) {
                values.push((operand, value_of(operand)));
            }
        }
        let value_of = |operand: &ShownOperand| {
            values.iter().find(|(known, _)| *known == operand).and_then(|(_, value)| value.clone().ok())
        };
        if self.holds(&value_of) == Some(true) {
            return None;
        }
        let is_alone = values.len() == 1;
        let mut reasons: Vec<String> = Vec::new();
        for (operand, value) in values {
            let reason = match value {
                Ok(value) if is_alone => format!("it is {value}"),
                Ok(value) => format!("{} is {value}", operand.path),
                Err(reason) => reason,
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Some(format!("when {self} does not hold: {}", reasons.join(", ")))
    }
}

impl<V: fmt::Display> fmt::Display for StepCondition<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |f: &mut fmt::Formatter<'_>, inner: &Self, is_loose: bool| {
            if is_loose { write!(f, "({inner})") } else { write!(f, "{inner}") }
        };
        match self {
            Self::Flag(value) => write!(f, "{value}"),
            Self::Comparison { value, relation, constant } => write!(f, "{value} {relation} {constant}"),
            Self::Not(condition) => {
                f.write_str("not ")?;
                inner(f, condition, matches!(**condition, Self::All(_) | Self::Any(_)))
            }
            Self::All(list) | Self::Any(list) => {
                let is_all = matches!(self, Self::All(_));
                for (place, one) in list.iter().enumerate() {
                    if place > 0 {
                        f.write_str(if is_all { " and " } else { " or " })?;
                    }
                    let is_loose = matches!(one, Self::Any(_)) || is_all && matches!(one, Self::All(_));
                    inner(f, one, is_loose)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for ShownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.step, self.output)?;
        self.field.as_ref().map_or(Ok(()), |field| write!(f, ".{field}"))
    }
}

impl fmt::Display for ShownOperand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, relation)| relation == self);
        f.write_str(found.map_or("", |(sign, _)| sign))
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

#[cfg(test)]
mod tests;
