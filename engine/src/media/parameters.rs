//! The parts of a content type: the type itself and its parameters, in the syntax of MIME and of GStreamer.

use super::error::ContentTypeError;

/// Names of parameters that do not change the meaning of the bytes of any type.
const HARMLESS: [&str; 2] = ["name", "filename"];

/// A parsed content type.
pub(super) struct ContentType {
    /// The type and subtype in lower case.
    pub(super) essence: String,
    /// The parameters in order.
    pub(super) parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// The name in lower case, without hyphens and underscores.
    pub(super) name: String,
    /// The value without quotes and without GStreamer's type.
    pub(super) value: String,
    /// The original text, for messages.
    pub(super) written: String,
}

impl ContentType {
    /// Parses a content type. MIME separates parameters by semicolons, GStreamer by commas; both are accepted. Quotes
    /// around the whole text, which some serializers add, are removed.
    pub(super) fn of(text: &str) -> Result<Self, ContentTypeError> {
        let text = text.trim();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim();
        let mut pieces = split(text).into_iter().map(str::trim);
        let essence = pieces.next().unwrap_or_default().to_ascii_lowercase();
        // GStreamer's shared memory does not change the meaning of the bytes.
        let essence = match essence.strip_suffix("(memory:systemmemory)") {
            Some(plain) => plain.trim_end().to_owned(),
            None => essence,
        };
        let mut parameters: Vec<Parameter> = Vec::new();
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let Some((name, value)) = piece.split_once('=') else {
                return Err(format!(
                    "{essence}: {} is not a parameter; write NAME=VALUE, or leave it out",
                    short(piece)
                )
                .into());
            };
            let parameter =
                Parameter { name: plain(name), value: value_of(value), written: short(piece).to_owned() };
            let twice = parameters.iter().find(|known| known.name == parameter.name);
            if let Some(other) = twice.filter(|known| !known.value.eq_ignore_ascii_case(&parameter.value)) {
                return Err(format!(
                    "{essence}: {} and {} contradict each other; write one of them",
                    other.written, parameter.written
                )
                .into());
            }
            parameters.push(parameter);
        }
        Ok(Self { essence, parameters })
    }

    /// The parameter with one of these plain names.
    pub(super) fn get(&self, names: &[&str]) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| names.contains(&parameter.name.as_str()))
    }

    /// A whole number. Parameters with the same meaning must have the same value.
    pub(super) fn number(&self, names: &[&str], most: u32) -> Result<Option<u32>, ContentTypeError> {
        let mut found: Option<(u32, &Parameter)> = None;
        for parameter in self.parameters.iter().filter(|p| names.contains(&p.name.as_str())) {
            let number =
                parameter.value.parse::<u32>().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
                    format!(
                        "{};{}: {} must be a whole number from 1 to {most}",
                        self.essence,
                        parameter.written,
                        names.first().unwrap_or(&"it")
                    )
                })?;
            match found {
                Some((other, by)) if other != number => {
                    return Err(format!(
                        "{}: {} and {} contradict each other; write one of them",
                        self.essence, by.written, parameter.written
                    )
                    .into());
                }
                _ => found = Some((number, parameter)),
            }
        }
        Ok(found.map(|(number, _)| number))
    }

    /// A required whole number.
    pub(super) fn required(&self, names: &[&str], most: u32) -> Result<u32, ContentTypeError> {
        let essence = &self.essence;
        let name = names.first().unwrap_or(&"it");
        self.number(names, most)?
            .ok_or_else(|| format!("{essence} needs the parameter {name}, as in {essence};{name}=…").into())
    }

    /// Refuses a parameter that is neither one of `known` nor known to be harmless.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ContentTypeError> {
        let unknown = self.parameters.iter().find(|parameter| {
            let name = parameter.name.as_str();
            !known.contains(&name) && !HARMLESS.contains(&name)
        });
        match unknown {
            None => Ok(()),
            Some(parameter) => Err(format!(
                "{};{}: the parameter is not known and may change what the bytes mean; leave it out",
                self.essence, parameter.written
            )
            .into()),
        }
    }
}

/// A name in lower case, without hyphens and underscores: `big-endian`, `big_endian` and `bigEndian` are the same.
pub(super) fn plain(name: &str) -> String {
    name.trim().chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// A value without GStreamer's type: `(string)S16LE` is `S16LE`.
fn value_of(text: &str) -> String {
    let text = text.trim();
    let text = match text.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((kind, value)) if kind.chars().all(|c| c.is_ascii_alphanumeric()) => value.trim(),
        _ => text,
    };
    text.trim_matches('"').trim().to_owned()
}

/// Splits a text at semicolons and commas outside of quotes and of GStreamer's lists.
fn split(text: &str) -> Vec<&str> {
    let (mut quoted, mut depth) = (false, 0_usize);
    text.split(|c| {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        !quoted && depth == 0 && matches!(c, ';' | ',')
    })
    .collect()
}

/// The beginning of a text, for a message.
pub(super) fn short(text: &str) -> &str {
    match text.char_indices().nth(80) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
