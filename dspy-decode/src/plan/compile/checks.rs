//! Assertions that do not determine the shape of a value, and references that lead back to themselves.

use serde_json::{Map, Value, json};

use super::super::super::error::SchemaError;
use super::super::keywords::strings;
use super::super::{Check, NodeId, NodeKind};
use super::{Compiled, Compiler};

impl Compiler<'_> {
    pub(super) fn checks(&mut self, map: &Map<String, Value>, at: &str) -> Compiled<Vec<Check>> {
        let mut checks = Vec::new();
        if let Some(schema) = map.get("not") {
            checks.push(Check::Not(self.node(schema, &format!("{at}/not"))?));
        }
        if let Some(test) = map.get("if") {
            let side = |key: &str, this: &mut Self| -> Compiled<Option<NodeId>> {
                map.get(key).map(|schema| this.node(schema, &format!("{at}/{key}"))).transpose()
            };
            let (then, or_else) = (side("then", self)?, side("else", self)?);
            checks.push(Check::If { test: self.node(test, &format!("{at}/if"))?, then, or_else });
        }
        if let Some(schema) = map.get("contains") {
            let limit = |key: &str| map.get(key).and_then(Value::as_u64).map(|n| n as usize);
            checks.push(Check::Contains {
                node: self.node(schema, &format!("{at}/contains"))?,
                min: limit("minContains").unwrap_or(1),
                max: limit("maxContains").unwrap_or(usize::MAX),
            });
        }
        if let Some(schema) = map.get("propertyNames") {
            checks.push(Check::Names(self.node(schema, &format!("{at}/propertyNames"))?));
        }
        if let Some(Value::Object(needs)) = map.get("dependentRequired") {
            for (key, also) in needs {
                checks.push(Check::Needs { key: key.clone(), also: strings(Some(also)) });
            }
        }
        if let Some(Value::Object(schemas)) = map.get("dependentSchemas") {
            for (key, schema) in schemas {
                let test = self.node(&json!({"type": "object", "required": [key]}), at)?;
                let then = Some(self.node(schema, at)?);
                checks.push(Check::If { test, then, or_else: None });
            }
        }
        Ok(checks)
    }

    /// Rejects unions that contain themselves as a branch, because walking them would not terminate.
    pub(super) fn reject_cycles(&self) -> Compiled<()> {
        // 0 = new, 1 = on the path, 2 = done
        let mut state = vec![0_u8; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut stack = vec![(start, false)];
            while let Some((id, leaving)) = stack.pop() {
                if leaving {
                    state[id] = 2;
                    continue;
                }
                match state[id] {
                    1 => {
                        return Err(SchemaError::RefCycle {
                            at: self.nodes[id].name.clone().unwrap_or_else(|| "#".into()),
                        });
                    }
                    2 => continue,
                    _ => {}
                }
                state[id] = 1;
                stack.push((id, true));
                let node = &self.nodes[id];
                if let NodeKind::Union(union) = &node.kind {
                    stack.extend(union.options.iter().map(|&o| (o, false)));
                }
                for check in &node.checks {
                    match check {
                        Check::Also(n) | Check::Not(n) => stack.push((*n, false)),
                        Check::If { test, then, or_else } => {
                            stack.push((*test, false));
                            stack.extend(then.iter().chain(or_else).map(|&n| (n, false)));
                        }
                        Check::Contains { .. } | Check::Names(_) | Check::Needs { .. } => {}
                    }
                }
            }
        }
        Ok(())
    }
}
