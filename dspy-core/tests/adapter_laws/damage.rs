//! Laws of replies whose form is damaged: the fields of the last complete answer, or an error, whole and streamed.

use std::fmt::Write as _;
use std::sync::Arc;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::streams::{Known, is_beginning, watch};
use super::text;

fn spec() -> SignatureSpec {
    let field = |name: &'static str, schema: Value| FieldSpec::new(Role::Output, name, "", schema);
    SignatureSpec::new(
        "Damaged",
        "",
        [
            FieldSpec::text(Role::Input, "question", ""),
            FieldSpec::text(Role::Output, "reasoning", ""),
            FieldSpec::text(Role::Output, "answer", ""),
            FieldSpec::text(Role::Output, "note", "").defaulted(),
            field("count", i64::schema()).defaulted(),
            field("tags", Vec::<String>::schema()),
        ],
    )
}

/// Values in the order of the fields; optional ones may be absent.
fn answers() -> impl Strategy<Value = Values> {
    let tags = prop::collection::vec(text(), 0..3);
    (text(), text(), prop::option::of(text()), prop::option::of(any::<i64>()), tags).prop_map(
        |(reasoning, answer, note, count, tags)| {
            let all =
                json!({"reasoning": reasoning, "answer": answer, "note": note, "count": count, "tags": tags});
            let Value::Object(mut all) = all else { panic!() };
            all.retain(|_, value| !value.is_null());
            all
        },
    )
}

/// The rendered text of each field that has a value.
fn bodies(adapter: &dyn Adapter, values: &Values) -> Vec<(String, String)> {
    let spec = spec();
    let others = |name: &str| {
        let others = spec.outputs().filter(|field| field.name() != name).map(|field| field.name().to_owned());
        others.fold(spec.clone(), |spec, other| spec.without(&other))
    };
    let body = |name: &str| {
        let reply = adapter.reply(&others(name), values);
        let text = match adapter.name() {
            "chat" => {
                reply.strip_prefix(&marker(name)).unwrap().trim_end().strip_suffix(&marker("completed"))
            }
            _ => reply
                .trim_end()
                .strip_prefix(&format!("<{name}>"))
                .unwrap()
                .strip_suffix(&format!("</{name}>")),
        };
        text.unwrap().trim().to_owned()
    };
    spec.outputs()
        .filter(|field| values.contains_key(field.name()))
        .map(|field| (field.name().to_owned(), body(field.name())))
        .collect()
}

fn marker(name: &str) -> String {
    format!("[[ ## {name} ## ]]")
}

/// A reply and what it may be read as; an error is right as well, unless it must be one.
struct Case {
    kind: &'static str,
    reply: String,
    right: Vec<Values>,
}

/// A stream of small numbers.
struct Dice(Vec<u32>, usize);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.1 += 1;
        self.0[self.1 % self.0.len()] as usize % sides
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.roll(of.len())]
    }
}

fn without(values: &Values, name: &str) -> Values {
    values.iter().filter(|(key, _)| *key != name).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Text that a thought may hold: drafts in all formats.
fn drafts(dice: &mut Dice) -> String {
    let drafts = [
        "First [[ ## reasoning ## ]], then [[ ## answer ## ]], then [[ ## completed ## ]].",
        "[[ ## reasoning ## ]]\nbecause\n\n[[ ## answer ## ]]\nRome\n\n[[ ## tags ## ]]\n[]\n\n[[ ## completed ## ]]",
        "[[ ## note ## ]]\nnone\n\n[[ ## count ## ]]\n3",
        "{\"reasoning\": \"x\", \"answer\": \"Rome\", \"tags\": [\"a\"], \"count\": 7}",
        "```json\n{\"answer\": \"Rome\"}\n```",
        "<reasoning>x</reasoning><answer>Rome</answer><count>7</count><tags>[]</tags>",
        "The tag `</think>` ends this.",
        "I might say <answer>Rome",
        "Just words.",
    ];
    (0..=dice.roll(3)).map(|_| format!("{}\n", dice.pick(&drafts))).collect()
}

fn thought(dice: &mut Dice, xml: bool) -> String {
    let names = ["think", "THINK", "thinking", "Thought", if xml { "think" } else { "reasoning" }];
    let name = dice.pick(&names);
    let inner = drafts(dice);
    match dice.roll(6) {
        0 => format!("◁think▷{inner}◁/think▷\n"),
        1 => format!("<{name} effort=\"high\">{inner}</{name}>\n"),
        2 => format!("<{name}>\n<{name}>{inner}</{name}>{}</{name}>\n\n", drafts(dice)),
        3 => format!("<{name}>{inner}</{name}><{name}>\n{}</{name}>", drafts(dice)),
        _ => format!("<{name}>\n{inner}</{name}>\n\n"),
    }
}

/// Deletes, doubles or swaps one of the characters of `structure` in `text`.
fn nick(text: &str, structure: &str, dice: &mut Dice) -> String {
    let places: Vec<usize> =
        text.char_indices().filter(|(_, c)| structure.contains(*c)).map(|(at, _)| at).collect();
    let mut bytes = text.as_bytes().to_vec();
    let at = places[dice.roll(places.len())];
    match dice.roll(3) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, bytes[at]),
        _ if at + 1 < bytes.len() => bytes.swap(at, at + 1),
        _ => bytes.swap(at - 1, at),
    }
    String::from_utf8(bytes).unwrap()
}

/// A damaged reply of sections.
fn sections(values: &Values, other: &Values, dice: &mut Dice) -> Case {
    let mut parts: Vec<(String, String)> =
        bodies(&ChatAdapter, values).into_iter().map(|(name, body)| (marker(&name), body)).collect();
    let names: Vec<String> = values.keys().cloned().collect();
    let mut right = vec![values.clone()];
    let mut end = marker("completed");
    let (mut before, mut after) = (String::new(), String::new());
    let at = dice.roll(parts.len());
    let join = |parts: &[(String, String)]| {
        parts.iter().fold(String::new(), |mut out, (head, body)| {
            let _ = write!(out, "{head}\n{body}\n\n");
            out
        })
    };
    // A fence around a text that opens one itself is closed by it.
    let fenced = parts.iter().any(|(_, body)| body.contains("```"));
    let kind = match dice.roll(17) {
        13 | 14 if fenced => "nothing",
        0 => {
            before = thought(dice, false);
            "a thought"
        }
        1 => {
            before = format!("{}</think>\n", drafts(dice));
            "a thought without an opening"
        }
        2 => {
            before = format!("<think>{}", drafts(dice));
            right.clear();
            "a thought without an end"
        }
        3 => {
            before = "Sure, here it is:\n\n".into();
            after = "\nI hope that helps!".into();
            "words around"
        }
        4 => {
            let mark = dice.pick(&["**", "__", "`", "***"]);
            parts.iter_mut().for_each(|(head, _)| *head = format!("{mark}{head}{mark}"));
            "bold markers"
        }
        5 => {
            let lead = dice.pick(&["    ", "### ", "- ", "\t", "##"]);
            parts.iter_mut().for_each(|(head, _)| *head = format!("{lead}{head}"));
            "markers behind something"
        }
        6 => {
            parts.remove(at);
            right = vec![without(values, &names[at])];
            if !matches!(&*names[at], "note" | "count") {
                right.clear();
            }
            "a section gone"
        }
        7 => {
            parts.push(parts[at].clone());
            "a section twice"
        }
        8 => {
            let place = dice.roll(parts.len());
            parts.swap(at, place);
            "sections swapped"
        }
        9 => {
            let other = bodies(&ChatAdapter, other).into_iter().find(|(name, _)| *name == names[at]);
            if let Some((_, body)) = other
                && body != parts[at].1
            {
                parts.push((parts[at].0.clone(), body));
                right.clear();
            }
            "a section twice with two values"
        }
        10 => {
            parts[at].0 = nick(&parts[at].0, "[]#", dice);
            "a marker nicked"
        }
        11 => {
            end = nick(&end, "[]#", dice);
            // What cannot be known to be a marker is a part of the last text.
            "the closing marker nicked"
        }
        12 => {
            let draft = bodies(&ChatAdapter, other).into_iter().map(|(name, body)| (marker(&name), body));
            before = join(&draft.collect::<Vec<_>>());
            before.push_str(dice.pick(&[
                "",
                "[[ ## completed ## ]]\n\n",
                "[[ ## completed ## ]]\n</think>\n",
            ]));
            "a draft before"
        }
        13 => {
            before = "```\n".into();
            after = "\n```".into();
            if dice.roll(2) == 0 {
                end = format!("```\n{end}");
                after.clear();
            }
            "a fence around"
        }
        14 => {
            let head = &parts[at].0;
            parts[at].0 = format!("```\n{head}");
            parts[at].1.push_str("\n```");
            "a fence around a section"
        }
        15 => {
            let head = parts[at].0.clone();
            parts[at].0 = format!("{head}\n{head}");
            "a marker twice"
        }
        _ => {
            let lead = dice.pick(&["So: ", "and now ", "> "]);
            parts[at].0.insert_str(0, lead);
            "a marker in mid-line"
        }
    };
    Case { kind, reply: format!("{before}{}{end}{after}", join(&parts)), right }
}

/// A damaged reply of elements.
fn elements(values: &Values, other: &Values, dice: &mut Dice) -> Case {
    let parts = bodies(&XmlAdapter, values);
    let mut parts: Vec<[String; 3]> =
        parts.into_iter().map(|(name, body)| [format!("<{name}>"), body, format!("</{name}>")]).collect();
    let names: Vec<String> = values.keys().cloned().collect();
    let mut right = vec![values.clone()];
    let (mut before, mut after) = (String::new(), String::new());
    let at = dice.roll(parts.len());
    let join = |parts: &[[String; 3]]| {
        parts.iter().fold(String::new(), |mut out, [open, body, close]| {
            let _ = writeln!(out, "{open}{body}{close}");
            out
        })
    };
    let kind = match dice.roll(17) {
        0 => {
            before = thought(dice, true);
            "a thought"
        }
        1 => {
            before = format!("{}</think>\n", drafts(dice));
            "a thought without an opening"
        }
        2 => {
            before = format!("<think>{}", drafts(dice));
            right.clear();
            "a thought without an end"
        }
        3 => {
            before = "Sure, in `<answer>` tags:\n\n".into();
            after = "\nI hope that helps!".into();
            "words around"
        }
        4 => {
            parts[at][0] = parts[at][0].replace('>', " type=\"a > b\" n='1'>");
            "attributes"
        }
        5 => {
            parts[at][0] = parts[at][0].to_uppercase();
            "upper case"
        }
        6 => {
            parts.remove(at);
            right = vec![without(values, &names[at])];
            if !matches!(&*names[at], "note" | "count") {
                right.clear();
            }
            "an element gone"
        }
        7 => {
            parts.push(parts[at].clone());
            "an element twice"
        }
        8 => {
            let place = dice.roll(parts.len());
            parts.swap(at, place);
            "elements swapped"
        }
        9 => {
            let other = bodies(&XmlAdapter, other).into_iter().find(|(name, _)| *name == names[at]);
            if let Some((name, body)) = other
                && body != parts[at][1]
            {
                parts.push([format!("<{name}>"), body, format!("</{name}>")]);
                right.clear();
            }
            "an element twice with two values"
        }
        10 => {
            let part = 2 * dice.roll(2);
            parts[at][part] = nick(&parts[at][part], "<>/", dice);
            "a tag nicked"
        }
        11 => {
            let part = 2 * dice.roll(2);
            parts[at][part].clear();
            right.clear();
            "a tag gone"
        }
        12 => {
            let draft = bodies(&XmlAdapter, other).into_iter();
            before = draft.map(|(name, body)| format!("<{name}>{body}</{name}>\n")).collect();
            before.push_str(dice.pick(&["", "</think>\n", "Better:\n"]));
            "a draft before"
        }
        13 => {
            before = dice
                .pick(&[
                    "```xml\n",
                    "<?xml version=\"1.0\"?>\n",
                    "<response>\n",
                    "<![CDATA[",
                    "<!-- <answer>Rome</answer> -->",
                ])
                .into();
            "something around"
        }
        14 => {
            if let Some(text) = values[&names[at]].as_str().filter(|text| !text.contains("]]>")) {
                parts[at][1] = format!("<![CDATA[{text}]]>");
            }
            "CDATA"
        }
        15 => {
            parts[at][2] = format!("{0}{0}", parts[at][2]);
            "a closing tag twice"
        }
        _ => {
            let stray = parts[at][2].clone();
            before = format!("{stray}\n");
            "a stray closing tag"
        }
    };
    Case { kind, reply: format!("{before}{}{after}", join(&parts)), right }
}

/// A JSON object with something around it.
fn object(values: &Values, other: &Values, dice: &mut Dice) -> Case {
    let json = JsonAdapter.reply(&spec(), values);
    let mut right = vec![values.clone()];
    let (kind, reply) = match dice.roll(6) {
        0 => ("a thought", format!("{}{json}", thought(dice, false))),
        1 => ("a thought without an opening", format!("{}</think>\n{json}", drafts(dice))),
        2 => {
            right.clear();
            ("a thought without an end", format!("<think>{}{json}", drafts(dice)))
        }
        3 => ("words around", format!("Sure:\n{json}\nI hope that helps!")),
        4 => ("a fence around", format!("```json\n{json}\n```")),
        _ => {
            let draft = JsonAdapter.reply(&spec(), other);
            ("a draft in a thought", format!("<think>\n{draft}\n</think>\n```json\n{json}\n```"))
        }
    };
    Case { kind, reply, right }
}

fn cases() -> u32 {
    let times = std::env::var("DSPY_LONG").ok().and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    500 * times
}

type Make = fn(&Values, &Values, &mut Dice) -> Case;

/// Runs the law for one adapter; prints how often each damage was read right.
fn law(adapter: &dyn Adapter, make: Make) {
    let spec = Arc::new(spec());
    let config = Config { failure_persistence: None, ..Config::with_cases(cases()) };
    let counts = std::cell::RefCell::new(std::collections::BTreeMap::<&str, (u32, u32)>::new());
    let dice = prop::collection::vec(any::<u32>(), 24);
    let sizes = prop::collection::vec(1..40usize, 1..6);
    let outcome =
        TestRunner::new(config).run(&(answers(), answers(), dice, sizes), |(values, other, dice, sizes)| {
            let Case { kind, reply, right } = make(&values, &other, &mut Dice(dice, 0));
            let parsed = adapter.parse(&spec, &Completion::new(reply.as_str()));
            let mut counts = counts.borrow_mut();
            let count = counts.entry(kind).or_default();
            count.1 += 1;
            let Ok(parsed) = parsed else {
                return Ok(());
            };
            prop_assert!(right.contains(&parsed.values), "{kind}\n{reply}\n\nread as {:?}", parsed.values);
            count.0 += 1;
            for (field, known) in watch(adapter, &spec, &reply, &sizes).map_err(TestCaseError::fail)? {
                let value = parsed.values.get(&field);
                let true_so_far = match &known {
                    Known::SoFar(begun) => value.is_some_and(|value| is_beginning(begun, value)),
                    Known::Complete(shown) => value == Some(shown),
                    Known::Refused => false,
                };
                prop_assert!(true_so_far, "{kind}: {known:?} was shown of {value:?}\n{reply}");
            }
            Ok(())
        });
    for (kind, (right, all)) in counts.into_inner() {
        println!("{}: {kind}: {right} of {all} read, the others refused", adapter.name());
    }
    if let Err(error) = outcome {
        panic!("{}: {error}", adapter.name());
    }
}

#[test]
fn damaged_sections_are_read_right_or_refused() {
    law(&ChatAdapter, sections);
}

#[test]
fn damaged_elements_are_read_right_or_refused() {
    law(&XmlAdapter, elements);
}

#[test]
fn objects_with_thoughts_around_are_read_right_or_refused() {
    law(&JsonAdapter, object);
}
