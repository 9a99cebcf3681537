//! The part of a signature that a model sees in text: without the fields that it handles natively (tool
//! calls, reasoning).

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

use super::error::{FieldProblem, ParseError, ParseErrorKind};
use super::message_builder::MessageBuilder;
use super::{Adapter, Parsed, Prompt, prompt_parts};
use crate::decode::thoughts;
use crate::lm::{self, Capabilities, Completion, FinishReason, Message, Request, ToolCall, ToolSpec};
use crate::signature::{Demo, FieldError, FieldSpec, Native, Playbook, Role, SignatureSpec, Values};
use crate::tools::{ToolCalls, check_calls, check_names};
use crate::types::{Trajectory, calls_with_results};

/// The kinds of fields of a signature that a model handles natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NativeKey {
    tools: bool,
    reasoning: bool,
}

impl NativeKey {
    pub(crate) fn new(spec: &SignatureSpec, able: Capabilities) -> Self {
        if !able.tools && !able.reasoning {
            return Self::default();
        }
        let has = |role, native| find(spec, role, native).is_some();
        let calls = has(Role::Output, Native::ToolCalls);
        let tools = able.tools && calls && has(Role::Input, Native::Tools);
        // At least one output must remain to be requested.
        let others = spec.outputs().any(|field| field.native() != Some(Native::Reasoning));
        NativeKey { tools, reasoning: able.reasoning && others && has(Role::Output, Native::Reasoning) }
    }
}

fn find(spec: &SignatureSpec, role: Role, native: Native) -> Option<&FieldSpec> {
    spec.fields().iter().find(|field| field.role() == role && field.native() == Some(native))
}

/// The part of a signature for the prompt, and the fields that are handled natively.
#[derive(Debug)]
pub(crate) struct View {
    /// The signature without natively handled fields.
    pub(crate) spec: Arc<SignatureSpec>,
    key: NativeKey,
    tools: Option<FieldSpec>,
    calls: Option<FieldSpec>,
    trajectory: Option<FieldSpec>,
    thought: Option<FieldSpec>,
    reasoning: Option<FieldSpec>,
}

impl View {
    pub(crate) fn new(spec: &Arc<SignatureSpec>, key: NativeKey) -> Self {
        let field = |role, native| find(spec, role, native).cloned();
        let mut view = View {
            spec: spec.clone(),
            key,
            tools: field(Role::Input, Native::Tools),
            calls: field(Role::Output, Native::ToolCalls),
            trajectory: field(Role::Input, Native::Trajectory).filter(|_| key.tools),
            thought: field(Role::Output, Native::Thought).filter(|_| key.tools),
            reasoning: field(Role::Output, Native::Reasoning).filter(|_| key.reasoning),
        };
        let beside = [&view.trajectory, &view.thought, &view.reasoning];
        let handled = [&view.tools, &view.calls].into_iter().filter(|_| key.tools).chain(beside);
        let handled: Vec<&FieldSpec> = handled.flatten().collect();
        if !handled.is_empty() {
            let left = handled.iter().fold((**spec).clone(), |spec, field| spec.hiding(field.name()));
            view.spec = Arc::new(with_own_instruction(spec, left));
        }
        view
    }

    /// Returns whether no output is left to request in the text.
    pub(crate) fn is_bare(&self) -> bool {
        self.spec.outputs().next().is_none()
    }

    /// Adds the tools in `inputs` to the request if the model supports tools.
    pub(crate) fn offer(&self, inputs: &Values, request: &mut Request) -> Result<(), FieldError> {
        if self.key.tools {
            request.tools = self.tools(inputs)?;
        }
        Ok(())
    }

    /// Returns whether the prompt describes the tools in words and the calls are in the reply's text.
    pub(crate) fn tells_of_tools(&self) -> bool {
        !self.key.tools && self.tools.is_some() && self.calls.is_some()
    }

    /// Returns the output with the tool calls, if there is one, and whether the calls are native.
    pub(crate) fn calls(&self) -> Option<(&FieldSpec, bool)> {
        self.calls.as_ref().map(|field| (field, self.key.tools))
    }

    /// Returns the output with the reasoning if the reasoning is native.
    pub(crate) fn reasoning(&self) -> Option<&FieldSpec> {
        self.reasoning.as_ref()
    }

    /// Returns the completion that has exactly these outputs.
    pub(crate) fn answer(&self, adapter: &dyn Adapter, outputs: &Values) -> Completion {
        let thought = self.thought.as_ref().and_then(|field| outputs.get(field.name())?.as_str());
        let text = match thought {
            Some(thought) if self.is_bare() => thought.to_owned(),
            _ => adapter.reply(&self.spec, outputs),
        };
        let mut completion = Completion::new(text);
        let reasoning = self.reasoning.as_ref().and_then(|field| outputs.get(field.name())?.as_str());
        completion.reasoning = reasoning.filter(|text| !text.is_empty()).map(str::to_owned);
        let calls = self.calls.as_ref().filter(|_| self.key.tools);
        let calls = calls.and_then(|field| ToolCalls::deserialize(outputs.get(field.name())?).ok());
        match calls {
            Some(calls) if !calls.is_empty() => completion.calling(calls),
            _ => completion,
        }
    }

    /// Returns the earlier turns of an agent as messages, which follow the inputs.
    pub(crate) fn turns(&self, inputs: &Values) -> Vec<Message> {
        let value = self.trajectory.as_ref().and_then(|field| inputs.get(field.name()));
        value.map(|value| Trajectory::of(value).messages()).unwrap_or_default()
    }

    /// Returns the name of the input with the turns of an agent, if the adapter shows it.
    pub(crate) fn shown_trajectory(&self) -> Option<&str> {
        let fields = self.spec.inputs();
        fields.filter(|field| field.native() == Some(Native::Trajectory)).map(FieldSpec::name).next()
    }

    /// Returns the demonstrations that the adapter shows, and the turns of the conversation that show the others: with a
    /// model that calls tools natively, complete demonstrations of calls are their inputs, the earlier turns, and the
    /// calls.
    pub(crate) fn demos<'d>(
        &self,
        adapter: &dyn Adapter,
        demos: &'d [Demo],
    ) -> (Cow<'d, [Demo]>, Vec<Message>) {
        let Some(calls) = self.calls.as_ref().filter(|_| self.key.tools) else {
            return (demos.into(), Vec::new());
        };
        let (mut told, mut messages) = (Vec::new(), Vec::new());
        for demo in demos {
            let has = |field: &FieldSpec| demo.values.contains_key(field.name());
            let mut fields = self.spec.shown_inputs().chain(self.spec.outputs());
            let completion = self.answer(adapter, &demo.values);
            let says = !completion.tool_calls.is_empty() || !completion.text.is_empty();
            if !says || !has(calls) || !fields.all(|field| field.is_optional() || has(field)) {
                told.push(demo.clone());
                continue;
            }
            messages.push(adapter.input(Prompt { spec: &self.spec, demos: &[] }, &demo.values));
            messages.extend(self.turns(&demo.values));
            messages.extend(calls_with_results(&completion.text, &completion.tool_calls, None, |_| None));
        }
        (told.into(), messages)
    }

    /// Returns the tools in `inputs`.
    ///
    /// # Errors
    /// If one of them is not a tool, or the names break a rule of [`check_names`].
    pub(crate) fn tools(&self, inputs: &Values) -> Result<Vec<ToolSpec>, FieldError> {
        let Some(field) = &self.tools else { return Ok(Vec::new()) };
        let value = match inputs.get(field.name()) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(tools)) => Cow::Borrowed(tools),
            Some(one) => Cow::Owned(vec![one.clone()]),
        };
        let tools =
            value.iter().map(|tool| serde_json::from_value(tool.clone())).collect::<Result<Vec<_>, _>>();
        let tools: Vec<ToolSpec> =
            tools.map_err(|error| FieldError::new(field.name(), format!("not a tool: {error}")))?;
        check_names(tools.iter().map(|tool| tool.name.as_str()), &[])
            .map_err(|error| FieldError::new(field.name(), error.to_string()))?;
        Ok(tools)
    }

    /// Returns the values of the natively handled outputs.
    pub(crate) fn native_values(
        &self,
        adapter: &str,
        inputs: &Values,
        completion: &Completion,
    ) -> Result<Parsed, ParseError> {
        let mut parsed = Parsed::default();
        if let Some(field) = &self.reasoning
            && (completion.reasoning.is_some() || !field.is_optional())
        {
            // If the model did not reason, the value is the empty string: nothing is made up.
            let text = completion.reasoning.clone().unwrap_or_default();
            parsed.values.insert(field.name().to_owned(), text.into());
        }
        if let Some(field) = &self.thought {
            let said = thoughts::answer(&completion.text).map_or("", |start| completion.text[start..].trim());
            parsed.values.insert(field.name().to_owned(), said.into());
        }
        if let Some(field) = self.calls.as_ref().filter(|_| self.key.tools) {
            let calls = ToolCalls(completion.tool_calls.clone());
            parsed.values.insert(field.name().to_owned(), serde_json::to_value(calls).unwrap_or_default());
            self.check(adapter, inputs, &mut parsed, &reply_text(completion))?;
        }
        Ok(parsed)
    }

    /// Checks the calls in the values against the tools in `inputs`.
    pub(crate) fn check(
        &self,
        adapter: &str,
        inputs: &Values,
        parsed: &mut Parsed,
        reply: &str,
    ) -> Result<(), ParseError> {
        let (Some(field), Some(_)) = (&self.calls, &self.tools) else { return Ok(()) };
        let Parsed { values, report } = parsed;
        let Some(value) = values.get_mut(field.name()).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        let fail = |messages: Vec<String>| {
            let problems =
                messages.into_iter().map(|message| FieldProblem::new(field.name(), message)).collect();
            ParseError::new(ParseErrorKind::Malformed, adapter, reply, problems)
        };
        let mut calls = serde_json::from_value::<ToolCalls>(value.take())
            .map_err(|error| fail(vec![error.to_string()]))?;
        let tools = self.tools(inputs).map_err(|error| fail(vec![error.to_string()]))?;
        let problems = check_calls(&mut calls.0, &tools, field.name(), report);
        if !problems.is_empty() {
            return Err(fail(problems));
        }
        *value = serde_json::to_value(calls).unwrap_or_default();
        Ok(())
    }

    /// Reads all outputs: the native ones, and those in the text. With a model that calls tools natively, text is never a
    /// call: it may quote what the model refuses to do.
    pub(crate) fn read(
        &self,
        adapter: &dyn Adapter,
        inputs: &Values,
        completion: &Completion,
    ) -> Result<Parsed, ParseError> {
        if matches!(completion.finish, FinishReason::ContentFilter | FinishReason::Other) {
            // The reply is incomplete, however the adapter treats finish reasons.
            super::whole_reply(adapter.name(), completion)?;
        }
        if completion.finish == FinishReason::Length && !completion.tool_calls.is_empty() {
            // A truncated list of calls is an error, not a shorter list.
            let reply = reply_text(completion);
            return Err(ParseError::new(ParseErrorKind::Truncated, adapter.name(), reply, Vec::new()));
        }
        let native = self.native_values(adapter.name(), inputs, completion)?;
        // Models often write no text with tool calls, which is valid if no other output is required.
        let called = self.key.tools && !completion.tool_calls.is_empty();
        let silent = called && is_silent(&completion.text);
        let mut parsed = if silent && self.spec.outputs().all(FieldSpec::is_optional) {
            Parsed::default()
        } else {
            adapter.parse(&self.spec, completion)?
        };
        parsed.report.shift(native.report, 0);
        parsed.values.extend(native.values);
        if !self.key.tools {
            self.check(adapter.name(), inputs, &mut parsed, &completion.text)?;
        }
        Ok(parsed)
    }
}

/// Returns whether `text` is empty apart from reasoning blocks.
fn is_silent(text: &str) -> bool {
    thoughts::answer(text).is_some_and(|start| text[start..].trim().is_empty())
}

/// Returns `left`; a generated instruction is generated again, so that it does not name fields that only
/// `spec` has.
fn with_own_instruction(spec: &SignatureSpec, left: SignatureSpec) -> SignatureSpec {
    let unwritten = SignatureSpec::new(spec.name(), "", spec.fields().iter().cloned());
    let nothing_left = left.outputs().next().is_none();
    let (own, playbook) = Playbook::split(spec.instruction());
    if nothing_left || **unwritten.instruction() != *own {
        return left;
    }
    let left = SignatureSpec::new(left.name(), "", left.fields().iter().cloned());
    let shown = playbook.below(left.instruction());
    left.with_instruction(shown)
}

/// Returns a reply with its native calls, to be quoted in errors.
fn reply_text(completion: &Completion) -> String {
    let mut text = completion.text.clone();
    for ToolCall { name, arguments, .. } in &completion.tool_calls {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{name}({arguments})"));
    }
    text
}

/// Returns the model's unreadable reply and its problems as the next turns of the conversation.
pub(crate) fn correction(
    completion: Option<&Completion>,
    error: &ParseError,
    feedback: Message,
) -> Vec<Message> {
    let calls = completion.map(|completion| completion.tool_calls.as_slice()).unwrap_or_default();
    let Some(completion) = completion.filter(|_| !calls.is_empty()) else {
        return vec![Message::assistant(error.reply.as_str()), feedback];
    };
    let said = calls_with_results(&completion.text, calls, completion.opaque.as_ref(), |_| None);
    said.into_iter().chain([feedback]).collect()
}

/// The adapter for replies without text outputs: its prompt has only the task and the input.
#[derive(Debug)]
pub(crate) struct Bare;

impl Adapter for Bare {
    fn name(&self) -> &'static str {
        "native"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let mut system = String::new();
        prompt_parts::push_fields(&mut system, prompt.spec);
        if !system.is_empty() {
            system.push('\n');
        }
        prompt_parts::push_task(&mut system, prompt.spec);
        vec![Message::system(system)]
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = MessageBuilder::default();
        prompt_parts::push_input_sections(&mut canvas, prompt.spec, inputs);
        canvas.text.push_str("Call the tools that the task needs.");
        canvas.into_message(lm::Role::User)
    }

    fn parse(&self, _: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        if completion.tool_calls.is_empty() {
            super::whole_reply(self.name(), completion)?;
        }
        Ok(Parsed::default())
    }

    fn reply(&self, _: &SignatureSpec, _: &Values) -> String {
        String::new()
    }
}
