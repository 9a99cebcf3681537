//! The training file: one JSON object per line.

use dspy_lm::internal::{message_value, tool_value};
use serde_json::{Value, json};

use super::check::{self, Limits, Summary};
use super::error::FineTuneError;
use super::rows::{TrainingRow, TrainingSet};
use crate::lm::{Message, Role};

impl TrainingRow {
    /// Returns the row as a line of the training file.
    ///
    /// # Errors
    /// If a message holds media that the format does not support.
    pub fn to_json(&self) -> Result<String, FineTuneError> {
        let value = |message: &Message| {
            message_value(message).map_err(|error| FineTuneError::Row { message: error.to_string() })
        };
        let tools = self.tools.iter().map(tool_value).collect::<Result<Vec<Value>, _>>();
        let tools = tools.map_err(|error| FineTuneError::Row { message: error.to_string() })?;
        let mut messages = self.messages.iter().map(value).collect::<Result<Vec<Value>, _>>()?;
        let reply = value(&self.reply)?;
        let row = match &self.worse {
            Some(worse) => {
                let mut input = json!({"messages": messages});
                if !tools.is_empty() {
                    input["tools"] = tools.into();
                }
                json!({"input": input, "preferred_output": [reply], "non_preferred_output": [value(worse)?]})
            }
            None => {
                // Demonstrations are part of the prompt and are not trained on.
                for message in
                    messages.iter_mut().filter(|message| message["role"] == Role::Assistant.as_str())
                {
                    message["weight"] = 0.into();
                }
                messages.push(reply);
                let mut row = json!({"messages": messages});
                if !tools.is_empty() {
                    row["tools"] = tools.into();
                }
                row
            }
        };
        Ok(row.to_string())
    }
}

impl TrainingSet {
    /// Returns the training file: one JSON object per line.
    ///
    /// # Errors
    /// The same as those of [`TrainingRow::to_json`].
    pub fn to_jsonl(&self) -> Result<String, FineTuneError> {
        let mut out = String::new();
        for row in self.rows() {
            out.push_str(&row.to_json()?);
            out.push('\n');
        }
        Ok(out)
    }

    /// Checks the rows against the limits of an endpoint and returns their sizes.
    ///
    /// # Errors
    /// [`FineTuneError::Rows`] with each invalid row.
    pub fn check(&self, limits: &Limits) -> Result<Summary, FineTuneError> {
        check::check(self.rows(), limits)
    }

    /// Returns whether the rows are preferences.
    pub(super) fn is_preference(&self) -> bool {
        self.rows().iter().any(|row| row.worse.is_some())
    }
}
