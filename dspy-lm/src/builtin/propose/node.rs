//! Structured text: what a notation of records is parsed to.

/// A string, a list, or names with values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Returns the texts in it, one per line.
    pub(super) fn flat(&self) -> String {
        let mut out = String::new();
        self.push_flat(&mut out);
        out
    }

    fn push_flat(&self, out: &mut String) {
        match self {
            Node::Text(text) => {
                if !out.is_empty() && !text.is_empty() {
                    out.push('\n');
                }
                out.push_str(text);
            }
            Node::List(items) => items.iter().for_each(|item| item.push_flat(out)),
            Node::Object(members) => members.iter().for_each(|(_, member)| member.push_flat(out)),
        }
    }

    /// Returns whether it is an object or a list that contains one.
    pub(super) fn has_object(&self) -> bool {
        match self {
            Node::Text(_) => false,
            Node::List(items) => items.iter().any(Node::has_object),
            Node::Object(members) => !members.is_empty(),
        }
    }
}
