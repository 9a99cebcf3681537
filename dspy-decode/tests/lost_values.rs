//! Nothing that a reply says about a value is left out without an error.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod reading;

use std::collections::BTreeMap;

use dspy_decode::decode;
use proptest::prelude::*;
use reading::{reads, refuses};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Note {
    title: String,
    text: String,
    tags: Vec<String>,
}

#[test]
fn blocks_beside_lists_in_brackets() {
    let note = |text: &str| Note { title: "A".into(), text: text.into(), tags: vec!["a".into(), "b".into()] };
    for tags in ["[a, b]", "[\"a\", \"b\"]", "\n  - a\n  - b"] {
        for (block, text) in [
            ("|\n  one\n  two", "one\ntwo"),
            ("|-\n  one: x\n  two", "one: x\ntwo"),
            (">\n  one\n  two", "one two"),
            ("|\n  one [c]\n", "one [c]"),
        ] {
            reads(&format!("title: A\ntext: {block}\ntags: {tags}"), &note(text));
            reads(&format!("title: A\ntags: {tags}\ntext: {block}"), &note(text));
            reads(&format!("title: \"A\"\ntext: {block}\ntags: {tags}\n"), &note(text));
        }
    }
    refuses::<Note>(&[
        "{title: A, text: |\n  one\n  two\n, tags: [a, b]}",
        "{\"title\": \"A\", \"tags\": [\"a\"], \"text\": |\n  one\n  two\n}",
        "title: A\ntext: |\n  one\n two\ntags: [a, b]",
        "title: A\ntags: [a, b]\nand c\ntext: |\n  one",
        "title: A\ntags: [a,\n  b]\ntext: |\n  one",
    ]);
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Place {
    city: String,
    zip: u32,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Person {
    name: String,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Record {
    n: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Pair {
    a: Option<u32>,
    b: Option<u32>,
}

#[test]
fn flattened_members_line_by_line() {
    let record = |n, city: &str| Record { n, rest: BTreeMap::from([("city".into(), city.into())]) };
    reads("n: 1\ncity: X", &record(1, "X"));
    reads("city: X\nn: 1", &record(1, "X"));
    reads("- n: 1\n  city: X\n- n: 2\n  city: Y", &vec![record(1, "X"), record(2, "Y")]);
    let person =
        |name: &str, city: &str, zip| Person { name: name.into(), place: Place { city: city.into(), zip } };
    let two = vec![person("a", "X", 1), person("b", "Y", 2)];
    reads("- name: a\n  city: X\n  zip: 1\n- name: b\n  city: Y\n  zip: 2", &two);
    reads("name: a, city: X, zip: 1\nname: b, city: Y, zip: 2", &two);
    refuses::<Vec<Record>>(&["n: 1\ncity: X\nn: 2\ncity: Y"]);
    refuses::<Record>(&["n: 1\ncity: X and\nmore", "Here:\nn: 1\ncity: X"]);
    refuses::<Vec<Person>>(&["name: a\ncity: X\nzip: 1\nname: b\ncity: Y\nzip: 2"]);
}

#[test]
fn rows_are_not_torn_into_their_members() {
    refuses::<Vec<Pair>>(&["a: 1\nb: 2", "a: 1\nb: 2\na: 3\nb: 4", "a: 1\n\nb: 2"]);
    let (one, two) = (Pair { a: Some(1), b: Some(2) }, Pair { a: Some(3), b: Some(4) });
    reads("a: 1, b: 2\na: 3, b: 4", &vec![one, two]);
    reads("a: 1\na: 3", &vec![Pair { a: Some(1), b: None }, Pair { a: Some(3), b: None }]);
}

#[test]
fn keys_without_a_value() {
    let replies = [
        "{a: 1, b}",
        "{a: 1; b}",
        "{a: 1\n b}",
        "{a: 1, b:}",
        "{\"a\": 1, \"b\"}",
        "{a, b: 2}",
        "a:\nb: 2",
        "a:\n\nb: 2",
        "- a:\n- b: 2",
        "New York:\nParis: 2",
        "a: 1\nb",
        "a: 1\nb:",
        "a: 1\nb:\nc: 3",
    ];
    refuses::<BTreeMap<String, u32>>(&replies);
    refuses::<BTreeMap<String, Option<u32>>>(&replies);
    refuses::<BTreeMap<String, String>>(&replies);
    refuses::<Contact>(&["{name: a, notes}", "{name: a, notes, email: x}"]);
    let both = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    for reply in ["Here are the counts:\na: 1\nb: 2", "Result:\n- a: 1\n- b: 2", "{a: 1, b: 2}"] {
        reads(reply, &both);
    }
    let text = |a: &str| BTreeMap::from([("a".to_owned(), a.to_owned()), ("b".to_owned(), "z".to_owned())]);
    reads("a: x, y\nb: z", &text("x, y"));
    reads("{a: x y, b: z}", &text("x y"));
    reads("{a: \"x, y\", b: z}", &text("x, y"));
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Contact {
    name: String,
    notes: Option<String>,
    email: Option<String>,
    #[serde(default)]
    children: Vec<String>,
    id: Option<u32>,
    tag: Option<String>,
    height: Option<u32>,
    line_1: Option<String>,
}

fn contact() -> Contact {
    Contact {
        name: "a".into(),
        notes: None,
        email: None,
        children: Vec::new(),
        id: None,
        tag: None,
        height: None,
        line_1: None,
    }
}

#[test]
fn misspelt_keys() {
    refuses::<Contact>(&[
        "{name: a, nots: \"x\"}",
        "{\"name\": \"a\", \"emial\": \"x\"}",
        "{\"name\": \"a\", \"Emial\": \"x\"}",
        "{\"name\": \"a\", \"notez\": \"x\"}",
        "{\"name\": \"a\", \"children\": [\"x\"], \"childred\": [\"y\"]}",
        "{\"name\": \"a\", \"children\": [\"x\"], \"chidlren\": [\"y\"]}",
        "{\"name\": \"a\", \"children\": [\"x\"], \"childrren\": [\"y\"]}",
        "name: a\nemial: x",
        "name: a\nnots: x\nemail: y",
        "emial: x\nname: a",
        "name: a\n\nemial: x",
    ]);
    // Other names, and slips that lose nothing.
    reads("{\"name\": \"a\", \"id\": 1, \"ids\": 2}", &Contact { id: Some(1), ..contact() });
    reads("{\"name\": \"a\", \"tag\": \"x\", \"tags\": []}", &Contact { tag: Some("x".into()), ..contact() });
    reads(
        "{\"name\": \"a\", \"email\": \"x\", \"emails\": []}",
        &Contact { email: Some("x".into()), ..contact() },
    );
    reads("{\"name\": \"a\", \"height\": 1, \"weight\": 2}", &Contact { height: Some(1), ..contact() });
    reads(
        "{\"name\": \"a\", \"line_1\": \"x\", \"line_2\": \"y\"}",
        &Contact { line_1: Some("x".into()), ..contact() },
    );
    reads("{\"name\": \"a\", \"emial\": null}", &contact());
    reads("{\"name\": \"a\", \"age\": 3}", &contact());
}

#[test]
fn separators_that_may_be_decimal() {
    refuses::<u32>(&["1,00", "1,0", "12,00", "1,00 €", "$1,00", "1,5"]);
    refuses::<Vec<u32>>(&["1,00", "1,02", "1,00, 2,00", "1,000"]);
    reads("1.00", &1_u32);
    reads("1,000", &1_000_u32);
    reads("1.234,00", &1_234_u32);
    reads("1,00", &1.0_f64);
    // A part of four is a fraction; one of five, ten, twenty or a hundred may be a mark.
    reads("3/4", &0.75_f64);
    refuses::<f64>(&["3/5", "3/10", "7/20", "3/100"]);
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Shape {
    Circle { radius: f64, label: Option<String> },
    Square { side: f64 },
    Dot,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
enum Event {
    Moved(u32),
    Gone,
}

#[test]
fn members_of_two_variants() {
    refuses::<Shape>(&[
        "{\"kind\": \"circle\", \"radius\": 1, \"side\": 2}",
        "{\"kind\": \"square\", \"side\": 1, \"label\": \"x\"}",
        "{\"kind\": \"dot\", \"radius\": 1}",
        "{\"radius\": 1, \"kind\": \"dot\"}",
        "kind: square\nside: 2\nlabel: x",
    ]);
    refuses::<Vec<Shape>>(&["[{\"kind\": \"dot\"}, {\"kind\": \"dot\", \"side\": 2}]"]);
    refuses::<Event>(&["{\"type\": \"gone\", \"data\": 3}"]);
    let circle = || Shape::Circle { radius: 1.0, label: None };
    reads("{\"kind\": \"circle\", \"radius\": 1, \"side\": null, \"colour\": 2}", &circle());
    reads("{\"kind\": \"circle\", \"radius\": 1, \"label\": null}", &circle());
    reads("{\"type\": \"gone\", \"data\": null}", &Event::Gone);
    reads("{\"type\": \"gone\", \"data\": {}}", &Event::Gone);
}

#[test]
fn quotation_marks_without_a_partner() {
    refuses::<Vec<String>>(&[
        "\"",
        "`",
        "\"green the blue",
        "green \"the blue",
        "green the blue\"",
        "\"\"ta",
        "'green",
        "“green",
        "green”",
        "«green",
        "- \"a\n- b",
        "- a\n- b\"",
        "\"a\n\"b\"",
        "a, \"b",
        "\"a\", \"b",
    ]);
    for item in ["it's", "don't go", "5\" pipe", "he said \"hi\"", "the “green” one"] {
        reads(item, &vec![item.to_owned()]);
        reads(&format!("- {item}\n- x"), &vec![item.to_owned(), "x".to_owned()]);
    }
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Work {
    Feature,
    InProgress,
    Bug,
}

#[test]
fn choices_inside_longer_names() {
    refuses::<Work>(&[
        "in_feature",
        "feature_in",
        "feature_request",
        "is_bug",
        "label: in_feature",
        "It is `no_bug_here`.",
        "bug_2",
    ]);
    for reply in ["`feature`", "_feature_", "In feature", "feature_", "**Feature**", "the feature one"] {
        reads(reply, &Work::Feature);
    }
    reads("the in_progress one", &Work::InProgress);
    reads("in progress", &Work::InProgress);
}

#[test]
fn numbers_with_an_and() {
    for reply in ["1, 2 and 3", "1, 2, and 3", "1, 2 & 3"] {
        reads(reply, &vec![1_u32, 2, 3]);
    }
    refuses::<Vec<u32>>(&["1, 2 or 3", "1,000 and 2", "1, 2 and more", "1, 2 and 3 km and 4"]);
}

/// The name with one slip: two letters swapped, one replaced, one left out, one put in.
fn slipped(name: &str, kind: u8, at: usize, letter: &str) -> String {
    let mut name: Vec<char> = name.chars().collect();
    let letter = letter.chars().next().unwrap();
    match kind {
        0 => name.swap(at, at + 1),
        1 => name[at] = letter,
        2 => drop(name.remove(at)),
        _ => name.insert(at, letter),
    }
    name.into_iter().collect()
}

proptest! {
    /// One slip in the name of an optional member never drops its value.
    #[test]
    fn a_slip_in_a_key_loses_nothing(at in 0_usize..7, letter in "[a-z]", kind in 0_u8..4) {
        let key = slipped("children", kind, at, &letter);
        let reply = format!("{{\"name\": \"a\", \"{key}\": [\"x\"]}}");
        if let Ok(read) = decode::<Contact>(&reply) {
            prop_assert_eq!(read.value.children, ["x"], "{}", reply);
        }
    }

    /// Nor does one where the members stand line by line.
    #[test]
    fn nor_one_line_by_line(at in 0_usize..4, letter in "[a-z]", kind in 0_u8..4, first: bool) {
        let key = slipped("email", kind, at, &letter);
        let reply = if first { format!("{key}: x\nname: a") } else { format!("name: a\n{key}: x\nid: 3") };
        if let Ok(read) = decode::<Contact>(&reply) {
            prop_assert_eq!(read.value.email.as_deref(), Some("x"), "{}", reply);
        }
    }
}
