//! Rust source for the rules: code without comments and literals, and the paths that it names.

/// Returns the code of a file without comments, literals and inline tests, which import and name freely.
pub(crate) fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    // A visibility such as `pub(in crate::publish)` is no import.
    code_only(&text[..end]).replace("(in crate::", "(in_crate::").replace("(in super::", "(in_super::")
}

/// Returns the code with every comment, string and character literal blanked out, line by line.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => {
                at + bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at)
            }
            b'/' if bytes[at..].starts_with(b"/*") => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !within_word(bytes, at) && raw_hashes(bytes, at).is_some() => {
                end_of_raw_string(bytes, at)
            }
            b'\'' if is_char_literal(bytes, at) => end_of_char(bytes, at),
            byte => {
                // The rules know only paths in ASCII.
                out.push(if byte.is_ascii() { char::from(byte) } else { ' ' });
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn within_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the number of `#` of the raw string that starts here, if one does.
fn raw_hashes(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|&&b| b == b'#').count();
    (bytes.get(start + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn end_of_raw_string(bytes: &[u8], start: usize) -> usize {
    let hashes = raw_hashes(bytes, start).unwrap_or(0);
    let close = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
    let body = start + hashes + 2;
    let length = bytes[body..].windows(close.len()).position(|w| w == close);
    length.map_or(bytes.len(), |length| body + length + close.len())
}

/// Returns true for `'x'` and `'\n'`, but not for the lifetime `'a`.
fn is_char_literal(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at + 1) {
        Some(b'\\') => true,
        Some(_) => bytes[at + 1..].iter().take(6).skip(1).position(|&b| b == b'\'').is_some_and(|gap| {
            // One character has as many bytes as its UTF-8 form.
            std::str::from_utf8(&bytes[at + 1..at + 2 + gap]).is_ok_and(|s| s.chars().count() == 1)
        }),
        None => false,
    }
}

fn end_of_char(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'\'' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns every path that the code names, with groups expanded: `use a::{b, c::d}` gives `a::b` and `a::c::d`. A single name is
/// a path only in a `use`.
pub(crate) fn paths(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_name(&tokens[at]) && (at == 0 || tokens[at - 1] != "::") {
            let in_use = at > 0 && tokens[at - 1] == "use";
            let before = found.len();
            let after = path_at(&tokens, at, "", &mut found);
            if !in_use {
                let written: Vec<String> = found.drain(before..).filter(|path| path.contains("::")).collect();
                found.extend(written);
            }
            at = after.max(at + 1);
        } else {
            at += 1;
        }
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Reads one path or group at `at`, adds its paths, and returns its end.
fn path_at(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    while let Some(token) = tokens.get(at) {
        if is_name(token) || token == "*" {
            path = if path.is_empty() { token.clone() } else { format!("{path}::{token}") };
            at += 1;
        } else if token == "{" && !path.is_empty() {
            return group_at(tokens, at + 1, &path, found);
        } else {
            break;
        }
        if tokens.get(at).is_some_and(|t| t == "::") {
            at += 1;
        } else {
            break;
        }
    }
    found.push(path);
    at
}

fn group_at(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            name if is_name(name) || name == "*" => at = path_at(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_only_blanks_comments_and_literals() {
        let text =
            "a /* b /* c */ d */ e // f\n\"g \\\" h\" i 'j' k '\\'' l r#\"m \" n\"# o<'p>(q: &'p str) 'é' r";
        let code: String = code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code, "a e i k l o<'p>(q: &'p str) r");
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }

    #[test]
    fn paths_expands_groups() {
        let code = "use a::{b, c::{d, e as f}, g::*}; use h; let x = i::j(k); struct L { m: n::O }";
        assert_eq!(paths(code), ["a::b", "a::c::d", "a::c::e", "a::g::*", "h", "i::j", "n::O"]);
    }
}
