//! Replies whose members are told apart by indentation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod reading;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};

use dspy_decode::decode;
use proptest::prelude::*;
use reading::refuses;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Read alone, behind an introduction and in a fence.
fn reads<T: DeserializeOwned + JsonSchema + Debug + PartialEq + 'static>(reply: &str, value: &T) {
    let led = format!("Sure, here is what you asked for:\n\n{reply}");
    for reply in [reply.to_owned(), led, format!("Here it is:\n```yaml\n{reply}\n```")] {
        reading::reads(&reply, value);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Contact {
    name: String,
    city: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Config {
    name: Option<String>,
    env: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Amount {
    name: String,
    amount: u32,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Recipe {
    title: String,
    ingredients: Vec<Amount>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Tree {
    label: String,
    #[serde(default)]
    children: Vec<Tree>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Snippet {
    file: String,
    line: Option<u32>,
    code: String,
}

fn map<T: Clone>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn maps_of_lists_and_of_structs() {
    let fruits = map(&[("fruits", strings(&["apple", "pear"])), ("veg", strings(&["leek"]))]);
    reads("fruits:\n  - apple\n  - pear\nveg:\n  - leek", &fruits);
    reads("fruits:\n- apple\n- pear\nveg:\n- leek", &fruits);
    reads("fruits:\n  * apple\n  * pear\nveg:\n  * leek", &fruits);
    reads("fruits: [apple, pear]\nveg: [leek]", &fruits);
    reads("fruits: [\"apple\", \"pear\"]\nveg:\n  - leek", &fruits);
    reads("x: [a, b]", &map(&[("x", strings(&["a", "b"]))]));
    let contact =
        |name: &str, city: Option<&str>| Contact { name: name.into(), city: city.map(str::to_owned) };
    let people = map(&[("jane", contact("Jane", Some("Paris"))), ("bob", contact("Bob", None))]);
    reads("jane: {name: Jane, city: Paris}\nbob: {name: Bob}", &people);
    reads("jane:\n  name: Jane\n  city: Paris\nbob:\n  name: Bob", &people);
    reads("jane:\n  city: Paris\n  name: \"Jane\"\nbob: {\"name\": \"Bob\"}", &people);
    refuses::<BTreeMap<String, Vec<String>>>(&[
        "fruits:\n  - apple\n - pear",
        "fruits:\n  - apple\nand pears",
        "fruits:\nveg:\n  - leek",
        "x: [a, b] and c",
        "x: [a, b]\nx: [c]",
        "x: [a, b",
        "x: [a, b]]",
    ]);
    refuses::<BTreeMap<String, Contact>>(&[
        "jane:\n  name: Jane\n   city: Paris",
        "jane:\n  name: Jane\n city: Paris",
        "jane: {name: Jane, city}",
        "jane:\n  name: Jane\n  ctiy: Paris",
    ]);
}

#[test]
fn structs_inside_structs() {
    let config = |name: Option<&str>| Config {
        name: name.map(str::to_owned),
        env: map(&[("A", "1".to_owned()), ("B", "x y".to_owned())]),
    };
    reads("name: web\nenv:\n  A: 1\n  B: x y", &config(Some("web")));
    reads("env:\n  A: 1\n  B: x y", &config(None));
    reads("env: {A: \"1\", B: \"x y\"}\nname: web", &config(Some("web")));
    let recipe = Recipe {
        title: "Bread".into(),
        ingredients: vec![
            Amount { name: "flour".into(), amount: 200 },
            Amount { name: "water".into(), amount: 100 },
        ],
    };
    reads(
        "title: Bread\ningredients:\n  - {name: flour, amount: 200}\n  - {name: water, amount: 100}",
        &recipe,
    );
    reads(
        "title: Bread\ningredients:\n  - name: flour\n    amount: 200\n  - name: water\n    amount: 100",
        &recipe,
    );
    reads(
        "title: Bread\ningredients:\n- name: flour\n  amount: 200\n-\n  name: water\n  amount: 100",
        &recipe,
    );
    let leaf = |label: &str| Tree { label: label.into(), children: Vec::new() };
    let tree = Tree {
        label: "a".into(),
        children: vec![Tree { children: vec![leaf("c")], ..leaf("b") }, leaf("d")],
    };
    reads("label: a\nchildren:\n  - label: b\n    children:\n      - label: c\n  - label: d", &tree);
    reads(
        "label: a\nchildren:\n  - label: b\n    children: [{label: c}]\n  - label: d\n    children: []",
        &tree,
    );
    reads("label: a\nchildren: [{label: d}]", &Tree { children: vec![leaf("d")], ..leaf("a") });
    reads("children: [{label: d}]\nlabel: a", &Tree { children: vec![leaf("d")], ..leaf("a") });
    refuses::<Tree>(&["label: a, see {label: d}", "see: a, and {label: d}\nlabel: b"]);
    refuses::<Recipe>(&[
        "title: Bread\ningredients:\n  - name: flour\n  amount: 200",
        "title: Bread\ningredients:\n  - name: flour\n    amount: 200\n    amount: 300",
        "title: Bread\ningredients:\n  - name: flour\n    amount:",
        "title: Bread\ningredients:\n  - {name: flour, amount: 200\n  - {name: water, amount: 100}",
    ]);
}

#[test]
fn brackets_inside_blocks_and_values() {
    let snippet = |line, code: &str| Snippet { file: "a.py".into(), line, code: code.into() };
    reads("file: a.py\ncode: |\n  return {\"a\": 1}", &snippet(None, "return {\"a\": 1}"));
    reads(
        "file: a.py\nline: 3\ncode: |\n  x = [1, 2]\n  return {\"a\": x}",
        &snippet(Some(3), "x = [1, 2]\nreturn {\"a\": x}"),
    );
    reads(
        "code: |\n  if a:\n    return {\"file\": 1}\nfile: a.py",
        &snippet(None, "if a:\n  return {\"file\": 1}"),
    );
    reads("file: a.py\ncode: x = {\"a\": 1}", &snippet(None, "x = {\"a\": 1}"));
    reads("file: a.py\ncode: print(x[0])", &snippet(None, "print(x[0])"));
    refuses::<Snippet>(&[
        "file: a.py\ncode: x = {\"a\": 1}\nmore",
        "file: a.py\ncode: |\n  a\n b = {\"a\": 1}",
    ]);
}

#[test]
fn what_is_missing_is_told_and_nothing_else() {
    let error = decode::<Recipe>("title: Bread\ningredients:\n  - {name: flour}").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("amount") && !text.contains("title"), "{text}");
}

fn write(out: &mut String, tree: &Tree, first: &str, indent: usize, tight: bool) {
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "{first}label: {}", tree.label);
    if !tree.children.is_empty() {
        let _ = writeln!(out, "{pad}children:");
        let inner = if tight { indent } else { indent + 2 };
        for child in &tree.children {
            write(out, child, &format!("{}- ", " ".repeat(inner)), inner + 2, tight);
        }
    }
}

proptest! {
    /// A tree written by indentation is that tree; with a line moved by one column it is that tree or an error.
    #[test]
    fn trees_by_indentation(
        tree in "[a-z]{1,6}( [a-z]{1,6})?".prop_map(|label| Tree { label, children: Vec::new() }).prop_recursive(
            4, 12, 3,
            |inner| ("[a-z]{1,6}", prop::collection::vec(inner, 0..3))
                .prop_map(|(label, children)| Tree { label, children }),
        ),
        tight: bool,
        moved in 0_usize..20,
    ) {
        let mut reply = String::new();
        write(&mut reply, &tree, "", 0, tight);
        let read = decode::<Tree>(&reply).map_err(|e| TestCaseError::fail(format!("{reply}: {e}")))?;
        prop_assert_eq!(&read.value, &tree, "{}", reply);
        let shifted: Vec<String> = reply
            .lines()
            .enumerate()
            .map(|(i, line)| if i == moved { format!(" {line}") } else { line.to_owned() })
            .collect();
        if let Ok(read) = decode::<Tree>(&shifted.join("\n")) {
            prop_assert_eq!(&read.value, &tree, "{}", shifted.join("\n"));
        }
    }
}
