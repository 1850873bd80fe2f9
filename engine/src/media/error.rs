//! The error of content types.

/// A content type that Lockstep cannot use. In a header it makes the record a dead letter, with
/// [`Reason::UnknownContentType`](crate::fault::Reason::UnknownContentType).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContentTypeError(String);

impl From<String> for ContentTypeError {
    fn from(message: String) -> Self {
        Self(message)
    }
}
