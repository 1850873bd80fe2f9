//! The token that who changes anything over HTTP has to show: from the environment or a file, never from the command line,
//! which others on the machine can read.

use std::path::Path;

use lockstep_engine::pipeline::HttpToken;

/// The variable that holds it, and the one that names the file that does.
const TOKEN: &str = "LOCKSTEP_HTTP_TOKEN";
const TOKEN_FILE: &str = "LOCKSTEP_HTTP_TOKEN_FILE";

/// The token that the environment names, if it does.
///
/// # Errors
/// Which variable is wrong, and how.
pub fn from_environment() -> Result<Option<HttpToken>, String> {
    // Empty is as good as unset: compose files pass on what the shell does not have.
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(token) = set(TOKEN) {
        let token = HttpToken::new(&token.to_string_lossy());
        return token.map(Some).map_err(|why| format!("the token in the variable {TOKEN} {why}"));
    }
    match set(TOKEN_FILE) {
        Some(path) => {
            let token = from_file(Path::new(&path));
            token.map(Some).map_err(|why| format!("the variable {TOKEN_FILE} {why}"))
        }
        None => Ok(None),
    }
}

/// The token that stands in a file.
///
/// # Errors
/// The mistake in the file.
pub fn from_file(path: &Path) -> Result<HttpToken, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("names {shown}, which cannot be read: {error}; write the path of a file with the token")
    })?;
    HttpToken::new(&text).map_err(|why| format!("names {shown}, in which the token {why}"))
}
