//! Checks of training rows before they are uploaded.

use super::error::FineTuneError;
use super::rows::TrainingRow;
use crate::lm::{Content, Message, Role};

/// The limits of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The minimum number of rows of a training file.
    pub rows: usize,
    /// The maximum number of tokens of one row, estimated.
    pub row_tokens: u64,
    /// The maximum size of a file in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    /// Returns the limits that OpenAI documents for most of its models: at least 10 rows, at most 65,536
    /// tokens in each, at most 512 MiB in total.
    fn default() -> Self {
        Limits { rows: 10, row_tokens: 65_536, bytes: 512 << 20 }
    }
}

impl Limits {
    /// Sets the minimum number of rows.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Sets the maximum number of tokens of one row.
    #[must_use]
    pub fn row_tokens(mut self, tokens: u64) -> Self {
        self.row_tokens = tokens;
        self
    }

    /// Sets the maximum size of a file in bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }
}

/// The size of a training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The number of rows.
    pub rows: usize,
    /// The number of tokens of all rows, estimated at four bytes each. A job trains on them once per epoch.
    pub tokens: u64,
    /// The number of tokens of the longest row.
    pub longest: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
}

/// A problem of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// The number of the row, from 1 like the lines of the file; 0 for the set as a whole.
    pub row: usize,
    /// The description of the problem.
    pub message: String,
}

pub(super) fn check(rows: &[TrainingRow], limits: &Limits) -> Result<Summary, FineTuneError> {
    let mut summary = Summary { rows: rows.len(), ..Summary::default() };
    let mut problems = Vec::new();
    if rows.len() < limits.rows {
        let message = format!("{} rows are too few; at least {} are needed", rows.len(), limits.rows);
        problems.push(RowProblem { row: 0, message });
    }
    let preferences = rows.iter().filter(|row| row.worse.is_some()).count();
    if preferences != 0 && preferences != rows.len() {
        let message = format!("{preferences} of {} rows are preferences; it must be all or none", rows.len());
        problems.push(RowProblem { row: 0, message });
    }
    for (index, row) in rows.iter().enumerate() {
        let mut wrong = |message: String| problems.push(RowProblem { row: index + 1, message });
        let replies = std::iter::once(&row.reply).chain(&row.worse);
        for reply in replies {
            if reply.role != Role::Assistant {
                wrong(format!("the reply has the role `{}`, not assistant", reply.role.as_str()));
            } else if says_nothing(reply) {
                wrong("the reply is empty".into());
            }
        }
        if !row.messages.iter().any(|message| message.role == Role::User) {
            wrong("there is no message of the user".into());
        }
        if row.messages.last().is_some_and(|message| message.role == Role::Assistant) {
            wrong("two assistant messages in a row".into());
        }
        if row.messages.iter().skip(1).any(|message| message.role == Role::System) {
            wrong("a system message is not first".into());
        }
        if row.worse.as_ref() == Some(&row.reply) {
            wrong("the preferred reply is the same as the other".into());
        }
        match row.to_json() {
            Ok(line) => {
                let tokens = line.len().div_ceil(4) as u64;
                summary.bytes += line.len() as u64 + 1;
                summary.tokens += tokens;
                summary.longest = summary.longest.max(tokens);
                if tokens > limits.row_tokens {
                    wrong(format!("about {tokens} tokens are more than {}", limits.row_tokens));
                }
            }
            Err(error) => wrong(error.to_string()),
        }
    }
    if summary.bytes > limits.bytes {
        let message = format!("{} bytes are more than {}", summary.bytes, limits.bytes);
        problems.push(RowProblem { row: 0, message });
    }
    if problems.is_empty() { Ok(summary) } else { Err(FineTuneError::Rows { problems }) }
}

fn says_nothing(message: &Message) -> bool {
    let calls = matches!(&message.content, Content::Calls { calls, .. } if !calls.is_empty());
    !calls && message.text().trim().is_empty()
}
