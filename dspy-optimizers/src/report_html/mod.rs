//! The report of an optimization as a page for a browser.
//!
//! The page is one file. It loads nothing, runs no script, and its size is bounded for any number of trials: tables show
//! the best, and say how many they leave out. All text is escaped, as instructions and errors may contain markup.

mod changes;
mod chart;
mod diff;
mod front;
mod matrix;
mod summary;
mod table;
mod text;
mod tree;

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use self::text::Text;
use crate::report::{Report, write_file};

const STYLE: &str = include_str!("style.css");

/// The largest number of characters of a label, a note or a warning.
const LABEL: usize = 300;

impl Report {
    /// Returns the report as one self-contained HTML page: scores, candidates, changes, results by row, costs.
    ///
    /// The page loads nothing and has no script. Its size is bounded for any number of trials: it shows the best ones
    /// and says how many it leaves out.
    ///
    /// ```
    /// # use dspy_core::predict::DynPredict;
    /// # use dspy_optimizers::{Report, Trial};
    /// let program = DynPredict::new("question -> answer".parse()?);
    /// let mut report = Report::new("PickInstruction", &program);
    /// report.trials.push(Trial::new("a <b> candidate", &program));
    /// assert!(report.to_html().contains("a &lt;b&gt; candidate"));
    /// # Ok::<(), dspy_core::Error>(())
    /// ```
    pub fn to_html(&self) -> String {
        Page(self).to_string()
    }

    /// Writes the page of [`to_html`](Self::to_html) to a file, completely or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_html(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write_file(path.as_ref(), |file| write!(file, "{}", Page(self)))
    }
}

struct Page<'a>(&'a Report);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let ranked = report.ranked();
        let name = Text(&report.optimizer).most(LABEL);
        // The policy is a second barrier behind the escaping.
        writeln!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}: report of an \
             optimization</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta \
             name=\"color-scheme\" content=\"light dark\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <main>"
        )?;
        summary::write(f, report)?;
        chart::write(f, report)?;
        changes::write(f, report, &ranked)?;
        table::write(f, report, &ranked)?;
        front::write(f, report, &ranked)?;
        tree::write(f, report, &ranked)?;
        matrix::write(f, report, &ranked)?;
        summary::spend(f, report)?;
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

/// Writes the beginning of a section.
fn open(f: &mut fmt::Formatter<'_>, id: &str, title: &str) -> fmt::Result {
    writeln!(f, "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>")
}

/// Writes the end of a section.
fn close(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "</section>")
}
