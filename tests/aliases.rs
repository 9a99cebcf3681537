//! `#[serde(alias = "…")]`: in replies as in data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![deny(warnings)]
// Variants without documentation are what is tested.
#![allow(missing_docs)]

use std::sync::Arc;

use dspy::adapter::{Adapter, ChatAdapter, JsonAdapter, ParseError, Parsed, XmlAdapter};
use dspy::lm::{Capabilities, Completion, ResponseFormat};
use dspy::prelude::*;
use dspy::signature::SignatureSpec;
use serde_json::{Value, json};

/// How it looks.
#[field_type]
#[derive(Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[serde(alias = "urgent", alias = "ASAP")]
    HighPriority,
    /// Can wait.
    #[serde(alias = "whenever")]
    Low,
    Medium,
}

/// Without documentation on any variant.
#[field_type]
#[derive(Debug, PartialEq)]
pub enum Plain {
    #[serde(alias = "aye")]
    Yes,
    No,
}

/// What to do.
#[field_type]
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Look it up.
    #[serde(alias = "lookup")]
    Search {
        /// For what.
        #[serde(alias = "q")]
        query: String,
    },
    #[serde(alias = "anything")]
    Free(Value),
    #[serde(alias = "stop")]
    Finish,
}

/// The same with a tag.
#[field_type]
#[derive(Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Tagged {
    #[serde(alias = "lookup")]
    Search {
        #[serde(alias = "q")]
        query: String,
    },
    #[serde(alias = "stop")]
    Finish,
}

/// The same with tag and content.
#[field_type]
#[derive(Debug, PartialEq)]
#[serde(tag = "kind", content = "data")]
pub enum Beside {
    #[serde(alias = "lookup")]
    Search(String),
    #[serde(alias = "stop")]
    Finish,
}

/// Somebody.
#[field_type]
#[derive(Debug, PartialEq)]
pub struct Person {
    /// In full.
    #[serde(alias = "full name", alias = "title")]
    pub name: String,
    /// Whatever else.
    #[serde(alias = "misc")]
    pub extra: Value,
    /// Nested.
    #[serde(alias = "importance")]
    pub level: Option<Level>,
}

/// Sort.
#[signature]
struct Sort {
    #[input]
    text: String,
    #[output]
    #[serde(alias = "priority", alias = "how urgent")]
    level: Level,
    #[output]
    #[serde(alias = "confirmed")]
    plain: Plain,
    #[output]
    #[serde(alias = "next_step")]
    action: Action,
    #[output]
    #[serde(alias = "author")]
    person: Person,
    #[output]
    #[serde(alias = "rest")]
    any: Value,
}

fn read(adapter: &dyn Adapter, reply: &str) -> Result<SortOutput, ParseError> {
    let Parsed { values, .. } = adapter.parse(Sort::spec(), &Completion::new(reply))?;
    Ok(SortOutput::from_values(values).unwrap())
}

#[test]
fn aliases_count_in_every_format() {
    let chat = "[[ ## how urgent ## ]]\nurgent\n\n[[ ## Confirmed ## ]]\nAye\n\n[[ ## next-step ## ]]\n\
                {\"lookup\": {\"q\": \"x\"}}\n\n[[ ## author ## ]]\n{\"Title\": \"Dr\", \"misc\": [1], \"importance\": \
                \"whenever\"}\n\n[[ ## rest ## ]]\n7\n\n[[ ## completed ## ]]";
    let xml = "<priority>asap</priority><CONFIRMED>aye</CONFIRMED><next_step>{\"lookup\": {\"q\": \"x\"}}</next_step>\
               <author><title>Dr</title><misc>[1]</misc><importance>whenever</importance></author><rest>7</rest>";
    let json = r#"{"priority": "urgent", "confirmed": "aye", "next_step": {"lookup": {"q": "x"}}, "author": {"full name": "Dr", "misc": [1], "importance": "whenever"}, "rest": 7}"#;
    for (adapter, reply) in [(&ChatAdapter as &dyn Adapter, chat), (&XmlAdapter, xml), (&JsonAdapter, json)] {
        let output = read(adapter, reply).unwrap();
        assert_eq!(output.level, Level::HighPriority, "{}", adapter.name());
        assert_eq!(output.plain, Plain::Yes);
        assert_eq!(output.action, Action::Search { query: "x".into() });
        assert_eq!((output.person.name.as_str(), &output.person.level), ("Dr", &Some(Level::Low)));
        assert_eq!(output.any, json!(7));
    }
}

#[test]
fn a_name_and_its_alias_are_the_same_section() {
    let reply = "[[ ## level ## ]]\nlow\n\n[[ ## priority ## ]]\nmedium\n\n[[ ## completed ## ]]";
    let error = read(&ChatAdapter, reply).unwrap_err();
    assert!(error.to_string().contains("`level`: duplicate, with different values"), "{error}");
}

#[test]
fn choices_with_data_and_tags_have_aliases() {
    fn all<T: serde::de::DeserializeOwned + JsonSchema + std::fmt::Debug + PartialEq + 'static>(
        cases: &[(&str, T)],
    ) {
        for (text, value) in cases {
            assert_eq!(&dspy::decode::decode::<T>(text).expect(text).value, value, "{text}");
        }
    }
    use dspy::JsonSchema;
    all(&[
        (r#"{"lookup": {"query": "x"}}"#, Action::Search { query: "x".into() }),
        (r#"{"Anything": 3}"#, Action::Free(json!(3))),
        ("stop", Action::Finish),
    ]);
    all(&[
        (r#"{"kind": "lookup", "q": "x"}"#, Tagged::Search { query: "x".into() }),
        (r#"{"kind": "Stop"}"#, Tagged::Finish),
    ]);
    all(&[
        (r#"{"kind": "lookup", "data": "x"}"#, Beside::Search("x".into())),
        (r#"{"kind": "stop"}"#, Beside::Finish),
    ]);
}

mod bare {
    //! The same types without aliases.
    use dspy::prelude::*;
    use serde_json::Value;

    /// How it looks.
    #[field_type]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Level {
        HighPriority,
        /// Can wait.
        Low,
        Medium,
    }

    /// Without documentation on any variant.
    #[field_type]
    pub(super) enum Plain {
        Yes,
        No,
    }

    /// What to do.
    #[field_type]
    pub(super) enum Action {
        /// Look it up.
        Search {
            /// For what.
            query: String,
        },
        Free(Value),
        Finish,
    }

    /// Somebody.
    #[field_type]
    pub(super) struct Person {
        /// In full.
        pub(super) name: String,
        /// Whatever else.
        pub(super) extra: Value,
        /// Nested.
        pub(super) level: Option<Level>,
    }

    /// Sort.
    #[signature]
    pub(super) struct Sort {
        #[input]
        text: String,
        #[output]
        level: Level,
        #[output]
        plain: Plain,
        #[output]
        action: Action,
        #[output]
        person: Person,
        #[output]
        any: Value,
    }
}

fn prompt(spec: &Arc<SignatureSpec>, adapter: &dyn Adapter) -> String {
    let prompt = dspy::adapter::Prompt { spec, demos: &[] };
    adapter.preamble(prompt)[0].text().into_owned()
}

#[test]
fn nobody_but_the_decoder_sees_aliases() {
    let (with, without) = (Sort::spec(), bare::Sort::spec());
    assert_eq!(with.fingerprint(), without.fingerprint(), "a new alias does not make saved state stale");
    for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &XmlAdapter] {
        assert_eq!(prompt(with, adapter), prompt(without, adapter), "{}", adapter.name());
    }
    let mut able = Capabilities::default();
    able.json_schema = true;
    let sent = |spec| match JsonAdapter.format(spec, able) {
        ResponseFormat::JsonSchema { schema, .. } => schema,
        other => panic!("{other:?}"),
    };
    assert_eq!(sent(with), sent(without));
    assert!(with.reply_schema().to_string().contains("x-aliases"));
    assert_eq!(with.reply_schema()["properties"]["level"]["x-aliases"], json!(["priority", "how urgent"]));
}

#[test]
fn another_name_of_a_section_is_reported() {
    use dspy::decode::RepairKind;

    #[signature]
    struct Verdict {
        #[input]
        text: String,
        #[output]
        #[serde(alias = "mood")]
        sentiment: String,
    }

    let kinds = |adapter: &dyn Adapter, reply: &str| {
        let parsed = adapter.parse(Verdict::spec(), &Completion::new(reply)).unwrap();
        assert_eq!(parsed.values["sentiment"], "glad");
        parsed.report.repairs.iter().map(|repair| repair.kind).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&ChatAdapter, "[[ ## mood ## ]]\nglad\n\n[[ ## completed ## ]]"),
        [RepairKind::KeyAlias]
    );
    assert_eq!(
        kinds(&ChatAdapter, "[[ ## Sentiment ## ]]\nglad\n\n[[ ## completed ## ]]"),
        [RepairKind::KeySpelling]
    );
    assert_eq!(kinds(&XmlAdapter, "<mood>glad</mood>"), [RepairKind::KeyAlias]);
    assert_eq!(kinds(&ChatAdapter, "[[ ## sentiment ## ]]\nglad\n\n[[ ## completed ## ]]"), []);
}
