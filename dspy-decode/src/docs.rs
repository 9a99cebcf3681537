//! Conversion of documentation comments to descriptions for a model.

use serde_json::Value;

/// Members of a schema that hold data instead of descriptions.
const DATA: [&str; 4] = ["enum", "const", "default", "examples"];

/// Returns the descriptive part of a documentation comment: the text before the first heading or code fence.
///
/// The remainder is intended for readers of rustdoc: examples, errors, panics.
pub fn brief(doc: &str) -> &str {
    let mut end = 0;
    for line in doc.split_inclusive('\n') {
        let text = line.trim_start();
        let level = text.bytes().take_while(|byte| *byte == b'#').count();
        let heading = (1..=6).contains(&level) && text[level..].starts_with([' ', '\t']);
        if heading || text.starts_with("```") || text.starts_with("~~~") {
            return doc[..end].trim();
        }
        end += line.len();
    }
    doc.trim()
}

/// Reduces every description of a schema to its descriptive part.
pub fn shorten(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(description)) = members.get_mut("description") {
                let short = brief(description).to_owned();
                if short.is_empty() {
                    members.shift_remove("description");
                } else if short.len() < description.len() {
                    *description = short;
                }
            }
            let schemas = members.iter_mut().filter(|(key, _)| !DATA.contains(&key.as_str()));
            schemas.for_each(|(_, part)| shorten(part));
        }
        Value::Array(parts) => parts.iter_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_meant_for_rustdoc_is_left_out() {
        for (doc, short) in [
            ("A town.", "A town."),
            (
                "A town.\n\nIt has people.\n\n# Examples\n\n```\nTown::new();\n```",
                "A town.\n\nIt has people.",
            ),
            ("A town.\n```\nTown::new();\n```\nMore.", "A town."),
            ("  # Errors\nNone.", ""),
            ("Issue #5 and #hash\n#no heading", "Issue #5 and #hash\n#no heading"),
            ("~~~\nx\n~~~", ""),
            ("", ""),
        ] {
            assert_eq!(brief(doc), short, "{doc}");
        }
    }

    #[test]
    fn schemas_keep_their_data() {
        let mut schema = json!({
            "description": "A.\n# Errors\nB.",
            "properties": {"description": {"type": "string", "description": "```\nx\n```"}},
            "default": {"description": "# kept"},
        });
        shorten(&mut schema);
        let short = json!({
            "description": "A.",
            "properties": {"description": {"type": "string"}},
            "default": {"description": "# kept"},
        });
        assert_eq!(schema, short);
    }
}
