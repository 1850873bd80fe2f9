//! The text of a caught panic.

use std::any::Any;

/// Returns the panic's message, or `no message` if its payload is not a string.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
