//! Boxed errors, and the text of error chains.

use std::fmt;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Shortens a message that may repeat a long value to about 1,000 bytes, by omitting its middle.
pub fn clipped(message: impl Into<String>) -> String {
    clipped_to(1_000, message.into())
}

/// Shortens a message to about `limit` bytes, by omitting its middle.
pub fn clipped_to(limit: usize, message: String) -> String {
    if message.len() <= limit {
        return message;
    }
    let (head, tail) = (limit * 2 / 3, message.len() - limit / 3);
    let (head, tail) = (message.floor_char_boundary(head), message.ceil_char_boundary(tail));
    format!("{}… ({} bytes) …{}", &message[..head], tail - head, &message[tail..])
}

/// Writes an error as `main` shows it: its text, then each of its sources that the text does not quote.
///
/// # Errors
/// If the formatter cannot be written to.
pub fn write_chain(error: &dyn std::error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_chain_noting(error, None, f)
}

/// Writes an error like [`write_chain`], with a note in parentheses after its own text unless that contains
/// the note.
///
/// # Errors
/// If the formatter cannot be written to.
pub fn write_chain_noting(
    error: &dyn std::error::Error,
    note: Option<&str>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut shown = error.to_string();
    f.write_str(&shown)?;
    if let Some(note) = note.filter(|note| !shown.contains(note)) {
        write!(f, " ({note})")?;
    }
    let sources = std::iter::successors(error.source(), |error| error.source());
    // The limit stops at a chain that contains itself.
    for source in sources.take(32) {
        let text = source.to_string();
        if !shown.contains(&text) {
            write!(f, "\ncaused by: {text}")?;
            shown.push_str(&text);
        }
    }
    Ok(())
}

/// Implements `Debug` of an error by [`write_chain`], because `Debug` is the output of a `main` that returns
/// the error.
#[macro_export]
macro_rules! readable_debug {
    ($($error:ty),+) => {
        $(impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::error::write_chain(self, f)
            }
        })+
    };
}
pub use readable_debug;
