//! The notation of a plan in prompts: the output of `types::describe`, derived from the plan that replies are
//! read with.
//!
//! The plan is the only source. Alternative spellings that it accepts (aliases, other cases) are not shown,
//! and neither are limits that only state the range of a 32-bit or 64-bit number.

mod layout;
mod limits;
mod printer;

use serde_json::Value;

use super::{NodeId, NodeKind, Schema};
use crate::type_text::TypeText;
use printer::Printer;

impl Schema {
    /// Returns the notation of the whole type.
    pub(in super::super) fn text(&self) -> TypeText {
        let subject = self.subject();
        let mut printer = Printer::new(self, subject);
        let notation = printer.root();
        TypeText {
            notation,
            constraints: limits::phrases(self, subject),
            choices: self.described(subject, &mut printer),
            definitions: printer.into_definitions(),
        }
    }

    /// Returns the node that the limits and descriptions beside a type refer to: the type without null.
    fn subject(&self) -> NodeId {
        match &self.node(self.root).kind {
            NodeKind::Union(union) if union.options.len() == 1 && self.node(self.root).checks.is_empty() => {
                union.options[0]
            }
            _ => self.root,
        }
    }

    /// Returns the choices and variants of an enum that have a description, each by its own name.
    fn described(&self, id: NodeId, printer: &mut Printer<'_>) -> Vec<(String, String)> {
        match &self.node(id).kind {
            NodeKind::Choice(plan) => {
                let described = |item: &super::ChoiceItem| Some((item.value.to_string(), item.doc.clone()?));
                plan.items.iter().filter_map(described).collect()
            }
            NodeKind::Union(union) => {
                let mut all = Vec::new();
                for (&option, doc) in union.options.iter().zip(&union.docs) {
                    match (&self.node(option).kind, doc) {
                        (NodeKind::Choice(_), None) => all.extend(self.described(option, printer)),
                        (_, Some(doc)) => {
                            let name = self.variant(id, option).unwrap_or_else(|| printer.short(option));
                            all.push((name, doc.clone()));
                        }
                        _ => {}
                    }
                }
                all
            }
            _ => Vec::new(),
        }
    }

    /// Returns the name of a variant: its tag value, or its only key.
    fn variant(&self, union: NodeId, option: NodeId) -> Option<String> {
        let (NodeKind::Union(union), NodeKind::Object(plan)) =
            (&self.node(union).kind, &self.node(option).kind)
        else {
            return None;
        };
        if let Some(tag) = &union.tag {
            let prop = &plan.props[*plan.exact.get(&tag.key)?];
            return match &self.node(prop.node).kind {
                NodeKind::Choice(choice) => match &choice.items.first()?.value {
                    Value::String(name) => Some(name.clone()),
                    other => Some(other.to_string()),
                },
                _ => None,
            };
        }
        match plan.props.as_slice() {
            [only] if only.required => Some(only.name.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::type_text::describe;

    #[test]
    fn what_is_used_twice_is_written_once() {
        let place = json!({"type": "object", "properties": {
            "street": {"type": "string"}, "city": {"type": "string"}, "country": {"type": "string"},
        }, "required": ["street", "city", "country"]});
        let text = describe(&json!({
            "$defs": {"Place": place},
            "properties": {"from": {"$ref": "#/$defs/Place"}, "to": {"$ref": "#/$defs/Place"}},
            "required": ["from", "to"],
        }));
        assert_eq!(text.notation, "{ from: Place, to: Place }");
        assert_eq!(text.definitions.keys().collect::<Vec<_>>(), ["Place"]);
    }

    #[test]
    fn a_limit_does_not_end_the_comment_that_it_stands_in() {
        let text = describe(&json!({"type": "array", "items": {"type": "string", "pattern": "a*/b"}}));
        assert_eq!(text.notation.matches("*/").count(), 1, "{}", text.notation);
    }

    #[test]
    fn a_map_of_anything_tells_its_keys() {
        let text = describe(&json!({"type": "object", "propertyNames": {"enum": ["a", "b"]}}));
        assert!(text.notation.contains("\"a\" | \"b\""), "{}", text.notation);
        assert_eq!(describe(&json!({"type": "object"})).notation, "object");
    }
}
