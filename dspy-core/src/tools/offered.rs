//! The tools of a call, which are read once for as long as they stay the same.

use std::sync::{Arc, Mutex, OnceLock};

use dspy_base::locks::MutexExt as _;
use serde_json::Value;

use super::ToolSpec;
use crate::decode::Plan;

/// Tools with the plans by which arguments are read.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    pub(crate) specs: Vec<ToolSpec>,
    plans: Vec<OnceLock<Result<Plan, String>>>,
    text: OnceLock<String>,
}

impl Offered {
    pub(crate) fn new(specs: Vec<ToolSpec>) -> Self {
        let plans = specs.iter().map(|_| OnceLock::new()).collect();
        Offered { specs, plans, text: OnceLock::new() }
    }

    /// Returns the description in words, which is rendered once.
    pub(crate) fn text(&self, render: impl FnOnce() -> String) -> &str {
        self.text.get_or_init(render)
    }

    /// Returns a tool by its name, with the plan of its arguments, or the reason why there is none.
    pub(crate) fn find(&self, name: &str) -> Option<(&ToolSpec, Result<&Plan, &str>)> {
        let at = self.specs.iter().position(|tool| tool.name == name)?;
        let tool = &self.specs[at];
        let plan = || Plan::new(&tool.parameters).map_err(|error| error.to_string());
        Some((tool, self.plans[at].get_or_init(plan).as_ref().map_err(String::as_str)))
    }
}

/// The tools of the last call, with the value that they were read from.
#[derive(Debug, Default)]
pub(crate) struct LastOffered(Mutex<Option<(Value, Arc<Offered>)>>);

impl LastOffered {
    /// Returns the tools of this value; only those of another value than the last one are read.
    pub(crate) fn of<E>(
        &self,
        value: &Value,
        read: impl FnOnce() -> Result<Vec<ToolSpec>, E>,
    ) -> Result<Arc<Offered>, E> {
        if let Some((last, offered)) = &*self.0.lock_any()
            && are_identical(last, value)
        {
            return Ok(offered.clone());
        }
        let offered = Arc::new(Offered::new(read()?));
        *self.0.lock_any() = Some((value.clone(), offered.clone()));
        Ok(offered)
    }
}

/// Returns whether two values are the same, also in the order of their members: it is that of the prompt.
fn are_identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |((a, x), (b, y)): ((&String, &Value), (&String, &Value))| a == b && are_identical(x, y);
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_identical(a, b))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_read_anew_only_if_they_differ() {
        let last = LastOffered::default();
        let tools = |name: &str| {
            let schema =
                json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}});
            json!([{"name": name, "description": "", "parameters": schema}])
        };
        let read = |value: &Value| {
            let specs = || serde_json::from_value::<Vec<ToolSpec>>(value.clone());
            last.of(value, specs).unwrap()
        };
        let first = read(&tools("search"));
        assert!(Arc::ptr_eq(&first, &read(&tools("search"))));
        assert!(!Arc::ptr_eq(&first, &read(&tools("find"))));
        let reordered =
            json!({"type": "object", "properties": {"b": {"type": "null"}, "a": {"type": "string"}}});
        let mut other = tools("find");
        other[0]["parameters"] = reordered;
        assert_eq!(other, tools("find"));
        let second = read(&other);
        assert_eq!(second.specs[0].parameters["properties"].as_object().unwrap().keys().next().unwrap(), "b");
        assert!(last.of(&json!("x"), || Err("no tools")).is_err());
        assert!(Arc::ptr_eq(&second, &read(&other)), "an error is not remembered");
        assert!(second.find("find").unwrap().1.is_ok() && second.find("search").is_none());
    }
}
