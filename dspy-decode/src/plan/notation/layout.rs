//! How types are put on lines.

/// Objects longer than this are broken over lines.
pub(super) const LINE: usize = 72;

/// A written type.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether something that follows, such as `[]`, would not be taken to speak of all of it.
    pub(super) loose: bool,
}

impl Piece {
    pub(super) fn tight(text: impl Into<String>) -> Self {
        Piece { text: text.into(), loose: false }
    }

    pub(super) fn loose(text: impl Into<String>) -> Self {
        Piece { text: text.into(), loose: true }
    }

    /// The type such that something can follow.
    pub(super) fn closed(self) -> String {
        if self.loose { format!("({})", self.text) } else { self.text }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.text.contains('\n')
    }
}

/// A part of a type with what is said of it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) doc: Option<String>,
}

/// Members or items in brackets, on one line where they fit.
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

/// Alternatives: on one line, or one to a line if any of them is described or has several lines itself.
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

/// What is said of the part of a line before it.
pub(super) fn comment(doc: Option<&str>) -> String {
    doc.map_or_else(String::new, |doc| format!(" // {doc}"))
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}
