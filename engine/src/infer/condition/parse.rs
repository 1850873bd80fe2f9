//! Reads the text of a condition. `not` binds tighter than `and`, and `and` tighter than `or`.

use super::{Constant, Relation, ShownPath, StepCondition};

/// The most conditions that stand in one another.
const DEPTH: usize = 32;

/// A comparison, for messages.
const EXAMPLE: &str = "a comparison, as voice.speech >= 0.5";

/// A part of the text.
#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    Not,
    And,
    Or,
    Relation(Relation),
    Number(f64),
    Text(String),
    /// Names with dots between them.
    Path(&'a str),
}

impl StepCondition {
    /// Reads a condition, such as `voice.speech >= 0.5 and not seen.class.label == 'dog'`.
    ///
    /// # Errors
    /// The first mistake, with its place in the text and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { text, tokens: &tokens, depth: 0 };
        let condition = parser.any()?;
        match parser.tokens.first() {
            None => Ok(condition),
            Some((at, Token::Close)) => {
                Err(parser.wrong(*at, "is a parenthesis too many; remove it, or write ( before it"))
            }
            Some((at, _)) => {
                Err(parser.wrong(*at, "stands where the condition has ended; write and or or before it"))
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The parts that remain, each with its first byte.
    tokens: &'a [(usize, Token<'a>)],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<(usize, &'a Token<'a>)> {
        let ((at, token), rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some((*at, token))
    }

    /// Takes a token if it comes next.
    fn take(&mut self, token: &Token<'_>) -> bool {
        let is_next = self.tokens.first().is_some_and(|(_, next)| next == token);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Conditions that `or` joins.
    fn any(&mut self) -> Result<StepCondition, String> {
        let first = self.all()?;
        let mut list = vec![first];
        while self.take(&Token::Or) {
            list.push(self.all()?);
        }
        Ok(joined(list, StepCondition::Any))
    }

    /// Conditions that `and` joins.
    fn all(&mut self) -> Result<StepCondition, String> {
        let first = self.one()?;
        let mut list = vec![first];
        while self.take(&Token::And) {
            list.push(self.one()?);
        }
        Ok(joined(list, StepCondition::All))
    }

    fn one(&mut self) -> Result<StepCondition, String> {
        let Some((at, token)) = self.next() else {
            return Err(format!("ends too early; write {EXAMPLE}"));
        };
        match token {
            Token::Not => self.within(at, |parser| Ok(StepCondition::Not(Box::new(parser.one()?)))),
            Token::Open => self.within(at, |parser| {
                let inner = parser.any()?;
                if parser.take(&Token::Close) {
                    return Ok(inner);
                }
                match parser.tokens.first() {
                    None => Err(parser.wrong(at, "is never closed; write )")),
                    Some((at, _)) => {
                        Err(parser.wrong(*at, "stands where ), and or or is expected; write one of them"))
                    }
                }
            }),
            Token::Path(path) => {
                let value = self.path(at, path)?;
                let Some((_, Token::Relation(relation))) = self.tokens.first() else {
                    return Ok(StepCondition::Flag(value));
                };
                self.next();
                Ok(StepCondition::Comparison { value, relation: *relation, constant: self.constant()? })
            }
            Token::Number(_) | Token::Text(_) => {
                Err(self.wrong(at, &format!("cannot begin a condition; write {EXAMPLE}")))
            }
            Token::Close | Token::And | Token::Or | Token::Relation(_) => {
                Err(self.wrong(at, &format!("has nothing before it; write {EXAMPLE}")))
            }
        }
    }

    /// Reads what stands in another condition. The depth is bounded, since each level takes memory of the stack.
    fn within(
        &mut self,
        at: usize,
        read: impl FnOnce(&mut Self) -> Result<StepCondition, String>,
    ) -> Result<StepCondition, String> {
        if self.depth == DEPTH {
            return Err(self.wrong(at, &format!("is nested more than {DEPTH} deep; write it flatter")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn path(&self, at: usize, path: &str) -> Result<ShownPath, String> {
        let names: Vec<&str> = path.split('.').collect();
        let (step, output, field) = match names.as_slice() {
            [step, output] => (step, output, None),
            [step, output, field] => (step, output, Some((*field).to_owned())),
            _ => {
                return Err(
                    self.wrong(at, "names no output of a step; write STEP.OUTPUT or STEP.OUTPUT.FIELD")
                );
            }
        };
        Ok(ShownPath { step: (*step).to_owned(), output: (*output).to_owned(), field })
    }

    fn constant(&mut self) -> Result<Constant, String> {
        match self.next() {
            Some((_, Token::Number(number))) => Ok(Constant::Number(*number)),
            Some((_, Token::Text(text))) => Ok(Constant::Text(text.clone())),
            Some((at, Token::Path(word))) => Err(self.wrong(
                at,
                &format!("is neither a number nor a text in quotes; write a number, or '{word}'"),
            )),
            Some((at, _)) => Err(self.wrong(at, "is no constant; write a number, or a text in quotes")),
            None => {
                Err("ends too early; write a number, or a text in quotes, after the comparison".to_owned())
            }
        }
    }

    fn wrong(&self, at: usize, what: &str) -> String {
        wrong(self.text, at, what)
    }
}

fn joined(mut list: Vec<StepCondition>, join: fn(Vec<StepCondition>) -> StepCondition) -> StepCondition {
    match list.pop() {
        Some(only) if list.is_empty() => only,
        last => {
            list.extend(last);
            join(list)
        }
    }
}

/// A mistake at a byte of the text: its place in characters, the part of the text, and the fault with its remedy.
fn wrong(text: &str, at: usize, what: &str) -> String {
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let length = match rest.find(|c| !is_word(c)) {
        Some(0) => rest.chars().next().map_or(0, char::len_utf8),
        Some(length) => length,
        None => rest.len(),
    };
    let part: String = rest.get(..length).unwrap_or_default().chars().take(40).collect();
    format!("at character {}: {part:?} {what}", before.chars().count() + 1)
}

fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        let relation = Relation::ALL.iter().find(|(sign, _)| rest.starts_with(sign));
        let (length, token) = match (c, relation) {
            (c, _) if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            (_, Some((sign, relation))) => (sign.len(), Token::Relation(*relation)),
            ('(', _) => (1, Token::Open),
            (')', _) => (1, Token::Close),
            ('\'' | '"', _) => {
                let Some((length, quoted)) = quoted(rest, c) else {
                    return Err(wrong(text, at, "begins a text that never ends; write the quote at its end"));
                };
                (length, Token::Text(quoted))
            }
            ('0'..='9' | '+' | '-' | '.', _) => number(rest).ok_or_else(|| {
                wrong(text, at, "begins no number; write a decimal number, as 0.5 or -1e-3")
            })?,
            (c, _) if c.is_ascii_alphabetic() => word(rest),
            ('=', _) => return Err(wrong(text, at, "is no comparison; write ==")),
            ('&', _) => return Err(wrong(text, at, "is unknown; write and")),
            ('|', _) => return Err(wrong(text, at, "is unknown; write or")),
            ('!', _) => return Err(wrong(text, at, "is unknown; write not, or != to compare")),
            _ => return Err(wrong(text, at, "is unknown; write names, comparisons, and, or, not")),
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// A quoted text and its length with the quotes. Two quotes inside it stand for one.
fn quoted(rest: &str, quote: char) -> Option<(usize, String)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some((at + 1, text));
        }
    }
    None
}

/// A finite decimal number and its length.
fn number(rest: &str) -> Option<(usize, Token<'_>)> {
    let mut before = ' ';
    let length = rest.find(|c: char| {
        let is_sign = matches!(c, '+' | '-') && matches!(before, ' ' | 'e' | 'E');
        before = c;
        !(is_sign || c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
    });
    let text = rest.get(..length.unwrap_or(rest.len()))?;
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E'));
    let number = text.parse::<f64>().ok().filter(|number| is_decimal && number.is_finite())?;
    Some((text.len(), Token::Number(number)))
}

/// A path or one of the words `and`, `or` and `not`, and its length.
fn word(rest: &str) -> (usize, Token<'_>) {
    let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    let word = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
    let token = match word {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        path => Token::Path(path),
    };
    (word.len(), token)
}
