//! Standard output of the commands.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints text and ends the line. A reader that closes the pipe early, as `head` does, stops no command: the rest of its work
/// still counts.
///
/// # Errors
/// When standard output fails otherwise, as on a full disk.
pub(crate) fn print_line(text: impl Display) -> io::Result<()> {
    unless_closed(write_line(&mut io::stdout().lock(), text))
}

fn write_line(out: &mut impl Write, text: impl Display) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}

fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that fails.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn output_errors_count_unless_the_reader_has_gone() {
        let written = |kind| unless_closed(write_line(&mut Failing(kind), "text"));
        assert!(written(ErrorKind::BrokenPipe).is_ok());
        assert!(written(ErrorKind::StorageFull).is_err());
    }
}
