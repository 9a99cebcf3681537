//! Model calls in printable form.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::history::LmRecord;
use crate::lm::{Completion, Content, Message, Part, Role, ToolCall, Usage};
use dspy_base::shown::shown;
use dspy_lm::observe::placeholder;

const HINT: &str = "No calls are kept here. To keep the latest ones, say once\n\n    \
                    dspy::configure(Settings::new().observe(LmHistory::default()));\n\n\
                    or bind an `LmHistory` to a model with `lm.layer(history.clone())` and print `history.inspect(n)`.\n";

/// Conversations with models in printable form; made by [`inspect_history`](super::inspect_history) and
/// [`LmHistory::inspect`](super::LmHistory::inspect).
///
/// Coloured if the standard output is a terminal and `NO_COLOR` is not set.
#[derive(Debug, Clone)]
pub struct Inspection {
    records: Vec<Arc<LmRecord>>,
    dropped: u64,
    /// Whether there is a history at all.
    kept: bool,
    colours: bool,
}

impl Inspection {
    pub(super) fn new(records: Vec<Arc<LmRecord>>, dropped: u64, kept: bool) -> Self {
        let no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Inspection { records, dropped, kept, colours: !no && std::io::stdout().is_terminal() }
    }

    /// Sets whether the output is coloured.
    #[must_use]
    pub fn colours(mut self, on: bool) -> Self {
        self.colours = on;
        self
    }

    /// Returns the calls that are shown, oldest first.
    pub fn records(&self) -> &[Arc<LmRecord>] {
        &self.records
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Whole<'a>(&'a Inspection);
        impl fmt::Display for Whole<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(f)
            }
        }
        // A server may echo a key that was sent to it.
        f.write_str(&dspy_lm::internal::hide_live(&Whole(self).to_string()))
    }
}

impl Inspection {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.kept {
            return f.write_str(HINT);
        }
        if self.records.is_empty() {
            f.write_str("No model was called yet.\n")?;
            if self.dropped > 0 {
                writeln!(f, "{} calls did not fit into the history.", self.dropped)?;
            }
            return Ok(());
        }
        let mut page = Page { f, colours: self.colours };
        self.records.iter().try_for_each(|record| page.record(record))
    }
}

/// The output and its style.
struct Page<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    colours: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const BLUE: &str = "34";

impl Page<'_, '_> {
    fn record(&mut self, record: &LmRecord) -> fmt::Result {
        let call = &record.call;
        let mut title = format!("── {}", call.model);
        if let Some(predictor) = &call.predictor {
            title += &format!(" · {predictor}");
        }
        title += &format!(" · {} ──", ago(record.ended));
        self.line(BOLD, &title)?;
        for message in &call.request.messages {
            self.message(message)?;
        }
        if !call.request.tools.is_empty() {
            let names: Vec<_> = call.request.tools.iter().map(|tool| &*tool.name).collect();
            self.line(DIM, &format!("tools: {}", names.join(", ")))?;
        }
        match &record.outcome {
            Ok(response) => {
                for completion in &response.completions {
                    self.completion(completion)?;
                }
                self.line(DIM, &summary(record, &response.usage, response.cached))?;
            }
            Err(error) => {
                self.line(RED, "Error")?;
                self.body(&error.to_string())?;
                self.line(DIM, &summary(record, &Usage::default(), false))?;
            }
        }
        writeln!(self.f)
    }

    fn message(&mut self, message: &Message) -> fmt::Result {
        self.line(BLUE, heading(message.role))?;
        match &message.content {
            Content::Text(text) | Content::ToolResult { text, .. } => self.body(text),
            Content::Parts(parts) => parts.iter().try_for_each(|part| match part {
                Part::Text(text) => self.body(text),
                Part::Media(media) => self.body(&placeholder(media)),
                other => self.body(&format!("{other:?}")),
            }),
            Content::Calls { text, calls, .. } => {
                if !text.is_empty() {
                    self.body(text)?;
                }
                calls.iter().try_for_each(|call| self.call(call))
            }
            other => self.body(&format!("{other:?}")),
        }
    }

    fn completion(&mut self, completion: &Completion) -> fmt::Result {
        self.line(GREEN, "Reply")?;
        if let Some(reasoning) = &completion.reasoning {
            self.line(DIM, "  (reasoning)")?;
            self.body(reasoning)?;
            self.line(DIM, "  (answer)")?;
        }
        if !completion.text.is_empty() {
            self.body(&completion.text)?;
        }
        completion.tool_calls.iter().try_for_each(|call| self.call(call))
    }

    fn call(&mut self, call: &ToolCall) -> fmt::Result {
        self.body(&format!("calls {}({})", call.name, call.arguments))
    }

    /// Writes `text`, indented. Characters that a terminal obeys are not written, since replies are untrusted.
    fn body(&mut self, text: &str) -> fmt::Result {
        for line in text.trim_end().lines() {
            writeln!(self.f, "  {}", shown(line))?;
        }
        Ok(())
    }

    fn line(&mut self, colour: &str, text: &str) -> fmt::Result {
        if self.colours {
            writeln!(self.f, "\x1b[{colour}m{text}\x1b[0m")
        } else {
            writeln!(self.f, "{text}")
        }
    }
}

const fn heading(role: Role) -> &'static str {
    match role {
        Role::System => "System",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
        _ => "Message",
    }
}

/// Returns a line with usage, time and attempts.
fn summary(record: &LmRecord, usage: &Usage, cached: bool) -> String {
    let mut parts = Vec::new();
    if cached {
        parts.push("cached".to_owned());
    }
    if usage.total_tokens() > 0 {
        parts.push(format!("{} + {} tokens", usage.prompt_tokens, usage.completion_tokens));
    }
    if let Some(cost) = usage.cost_usd.filter(|_| !cached) {
        parts.push(format!("${cost:.6}"));
    }
    parts.push(seconds(record.elapsed));
    if let Some(first) = record.first_token {
        parts.push(format!("first token after {}", seconds(first)));
    }
    match record.retries {
        0 => {}
        1 => parts.push("sent twice".to_owned()),
        more => parts.push(format!("sent {} times", more + 1)),
    }
    format!("[{}]", parts.join(", "))
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        time if time < 1.0 => format!("{:.0} ms", time * 1e3),
        time => format!("{time:.1} s"),
    }
}

fn ago(time: SystemTime) -> String {
    match SystemTime::now().duration_since(time).unwrap_or_default().as_secs() {
        0 => "just now".to_owned(),
        seconds @ 1..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LmHistory, inspect_history};
    use crate::lm::{Completion, Lm, Message, Reply, Request, ScriptedLm};
    use crate::program::Settings;

    #[tokio::test]
    async fn conversations_are_printed() {
        let history = LmHistory::default();
        let settings = Settings::new().observe(history.clone());
        settings
            .scope(async {
                let reply = Completion::new("Paris\x1b[31m").with_reasoning("It is known.");
                let lm = Lm::custom(ScriptedLm::from_fn(move |_| Reply::from(reply.clone())));
                let request = Request::new(vec![Message::system("Be brief."), Message::user("Capital?\nNow.")]);
                lm.complete(request).await.unwrap();
                let shown = inspect_history(5).colours(false).to_string();
                let (start, end) = shown.split_once(" ──\n").unwrap();
                assert!(start.starts_with("── scripted · "), "{shown}");
                let expected = "System\n  Be brief.\nUser\n  Capital?\n  Now.\nReply\n  (reasoning)\n  It is known.\n  \
                                (answer)\n  Paris␛[31m\n[";
                assert!(end.starts_with(expected), "{shown}");
                assert!(end.contains(" tokens, ") && end.trim_end().ends_with(" ms]"), "{shown}");
                assert!(inspect_history(5).colours(true).to_string().contains("\x1b[34mUser\x1b[0m"));
            })
            .await;
        let lm = Lm::scripted(Vec::<String>::new()).layer(history.clone());
        lm.ask("What?").await.unwrap_err();
        let shown = history.inspect(1).colours(false).to_string();
        assert!(
            shown.contains("User\n  What?\nError\n  scripted: the script has no more replies"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn who_keeps_nothing_is_told_how() {
        let shown = inspect_history(3).to_string();
        assert!(shown.contains("LmHistory::default()"), "{shown}");
        let shown = LmHistory::default().inspect(3).to_string();
        assert_eq!(shown, "No model was called yet.\n");
    }
}
