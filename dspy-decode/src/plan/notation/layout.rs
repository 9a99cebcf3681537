//! Line layout of written types.

/// The maximum length of an object on one line, in characters; longer ones are broken over several lines.
pub(super) const LINE: usize = 72;

/// A written type.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether a suffix such as `[]` would apply only to a part of the type.
    pub(super) loose: bool,
}

impl Piece {
    pub(super) fn tight(text: impl Into<String>) -> Self {
        Piece { text: text.into(), loose: false }
    }

    pub(super) fn loose(text: impl Into<String>) -> Self {
        Piece { text: text.into(), loose: true }
    }

    /// Returns the type in a form that a suffix can follow.
    pub(super) fn closed(self) -> String {
        if self.loose { format!("({})", self.text) } else { self.text }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.text.contains('\n')
    }
}

/// A part of a type with its comment.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) doc: Option<String>,
}

/// Writes members or items in brackets, on one line if they fit.
pub(super) fn bracketed(open: &str, rows: &[Row], close: &str) -> String {
    let plain = rows.iter().all(|row| row.doc.is_none() && !row.text.contains('\n'));
    let length: usize = rows.iter().map(|row| row.text.len() + 2).sum();
    if plain && length <= LINE {
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let space = if open == "{" { " " } else { "" };
        return format!("{open}{space}{}{space}{close}", texts.join(", "));
    }
    let lines = rows.iter().map(|row| format!("  {},{}\n", indented(&row.text), comment(row.doc.as_deref())));
    format!("{open}\n{}{close}", lines.collect::<String>())
}

/// Writes alternatives on one line, or one per line if any of them has a comment or several lines.
pub(super) fn alternatives(rows: Vec<Row>) -> Piece {
    let loose = rows.len() > 1;
    let broken = loose && rows.iter().any(|row| row.text.contains('\n'));
    if !broken && rows.iter().all(|row| row.doc.is_none()) {
        let texts: Vec<String> = rows.into_iter().map(|row| row.text).collect();
        return Piece { text: texts.join(" | "), loose };
    }
    let lines =
        rows.iter().map(|row| format!("  | {}{}\n", indented(&row.text), comment(row.doc.as_deref())));
    Piece::tight(format!("(\n{})", lines.collect::<String>()))
}

/// Returns the comment for the preceding part of the line.
pub(super) fn comment(doc: Option<&str>) -> String {
    doc.map_or_else(String::new, |doc| format!(" // {doc}"))
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}
