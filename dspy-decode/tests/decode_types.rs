//! Decoding into Rust types: what serde and schemars derive, the report, and the errors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, HashMap};

use dspy_decode::{DecodeError, MAX_DEPTH, Plan, ProblemKind, RepairKind, SchemaError, decode};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
enum Colour {
    /// The colour of blood
    Red,
    Blue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Command {
    Stop,
    Wait(u8),
    Move(i32, i32),
    Say { text: String, loud: Option<bool> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Link {
    weight: f32,
    next: Option<Box<Link>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shape {
    Chain(Link),
    Square { side: f64 },
    Point,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
enum Event {
    Linked(Link),
    Gone,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Loose {
    Chain(Link),
    Bytes(Vec<u8>),
    Words(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Metres(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Everything {
    command: Command,
    shape: Shape,
    event: Event,
    loose: Loose,
    by_number: HashMap<u32, String>,
    by_colour: BTreeMap<Colour, i64>,
    pair: (i32, String),
    colour: Option<Colour>,
    #[serde(default)]
    count: i32,
    letter: char,
    any: Value,
    bytes: [u8; 3],
    length: Metres,
    big: u64,
    nothing: (),
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Extra {
    note: String,
}

fn everything() -> Everything {
    Everything {
        command: Command::Say { text: "hi \"you\"\n```".into(), loud: Some(true) },
        shape: Shape::Chain(Link { weight: 1.5, next: Some(Box::new(Link { weight: -2.0, next: None })) }),
        event: Event::Gone,
        loose: Loose::Bytes(vec![1, 2]),
        by_number: HashMap::from([(7, "seven".into())]),
        by_colour: BTreeMap::from([(Colour::Blue, -1)]),
        pair: (-3, "x".into()),
        colour: None,
        count: 4,
        letter: 'é',
        any: json!({"a": [1, null, "x"]}),
        bytes: [0, 128, 255],
        length: Metres(0.1),
        big: u64::MAX,
        nothing: (),
        rest: Extra { note: String::new() },
    }
}

#[test]
fn every_kind_of_type_comes_back() {
    let value = everything();
    for text in [
        serde_json::to_string(&value).unwrap(),
        format!("Of course!\n```json\n{}\n```\nDone.", serde_json::to_string_pretty(&value).unwrap()),
    ] {
        assert_eq!(decode::<Everything>(&text).unwrap().value, value);
    }
}

#[test]
fn enums_of_all_representations_forgive() {
    assert_eq!(decode::<Colour>("the colour of blood").unwrap().value, Colour::Red);
    assert_eq!(decode::<Command>("STOP.").unwrap().value, Command::Stop);
    assert_eq!(decode::<Command>("{wait: '5'}").unwrap().value, Command::Wait(5));
    assert_eq!(decode::<Command>("{'Move': (1, -2)}").unwrap().value, Command::Move(1, -2));
    assert_eq!(decode::<Shape>("{Kind: 'Square', side: '2 m'}").unwrap().value, Shape::Square { side: 2.0 });
    assert_eq!(decode::<Shape>("{kind: point}").unwrap().value, Shape::Point);
    let linked = Event::Linked(Link { weight: 1.0, next: None });
    assert_eq!(decode::<Event>("{type: linked, data: {weight: 1}}").unwrap().value, linked);
    assert_eq!(decode::<Loose>("[1, 2,]").unwrap().value, Loose::Bytes(vec![1, 2]));
    assert_eq!(decode::<Loose>("just words").unwrap().value, Loose::Words("just words".into()));
}

#[test]
fn a_report_names_kind_path_and_place() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Order {
        items: Vec<Item>,
    }
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Item {
        price: f64,
    }
    let text = "{items: [{\"price\": 1}, {\"Price\": \"$2,000\"}]}";
    let read = decode::<Order>(text).unwrap();
    assert_eq!(read.value.items[1].price, 2000.0);
    let seen: Vec<_> = read
        .report
        .repairs
        .iter()
        .map(|r| format!("{} {} {}", r.kind, r.path, &text[r.span.clone()]))
        .collect();
    assert_eq!(
        seen,
        [
            "UnquotedKey $ items",
            "KeySpelling $.items[1].price \"Price\"",
            "Grouping $.items[1].price \"$2,000\"",
            "Currency $.items[1].price \"$2,000\"",
        ]
    );
    assert!(decode::<Order>("{\"items\": []}").unwrap().report.is_clean());
    let fenced = decode::<Vec<u8>>("So:\n```json\n[1]\n```\nBye").unwrap().report.repairs;
    assert_eq!(
        fenced.iter().map(|r| r.kind).collect::<Vec<_>>(),
        [RepairKind::Fence, RepairKind::Prose, RepairKind::Prose]
    );
}

#[test]
fn errors_tell_the_model_what_to_mend() {
    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Review {
        #[schemars(range(min = 1, max = 5))]
        stars: u8,
        mood: Colour,
        title: String,
    }
    let error = decode::<Review>("{\"stars\": 9, \"mood\": \"green\"}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "stars: expected at most 5, found `9`\n\
         mood: expected one of \"Blue\", \"Red\", found the text \"green\"\n\
         title: missing; expected a string"
    );
    let kinds: Vec<_> = error.problems.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProblemKind::Constraint, ProblemKind::WrongType, ProblemKind::Missing]);
}

#[test]
fn a_cut_reply_says_what_was_read() {
    let plan = Plan::new(schema_for!(Extra).as_value()).unwrap();
    let error: DecodeError = plan.decode("{\"note\": \"half a sen").unwrap_err();
    assert!(error.is(ProblemKind::Truncated));
    assert_eq!(error.read, Some(json!({"note": "half a sen"})));
}

#[test]
fn values_that_are_json_already_are_forgiven_inside() {
    let plan = Plan::new(schema_for!(Everything).as_value()).unwrap();
    let mut value = serde_json::to_value(everything()).unwrap();
    let good = value.clone();
    value["count"] = json!("4");
    value["command"]["Say"]["loud"] = json!("yes");
    let read = plan.coerce(value).unwrap();
    assert_eq!(read.value, good);
    assert!(read.report.repairs.iter().all(|r| r.span.is_empty()));
    let mut deep = json!(1);
    for _ in 0..MAX_DEPTH + 10 {
        deep = json!([deep]);
    }
    assert!(plan.coerce(deep).unwrap_err().is(ProblemKind::TooDeep));
}

#[test]
fn impossible_schemas_are_refused() {
    use SchemaError as E;
    let refusal = |schema: Value| Plan::new(&schema).unwrap_err();
    assert!(matches!(refusal(json!({"enum": ["low", "LOW"]})), E::ClashingNames { .. }));
    assert!(matches!(refusal(json!({"enum": []})), E::Contradiction { .. }));
    assert!(matches!(
        refusal(json!({"type": "integer", "minimum": 3, "maximum": 2})),
        E::Contradiction { .. }
    ));
    assert!(matches!(
        refusal(json!({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 3})),
        E::Contradiction { .. }
    ));
    assert!(matches!(
        refusal(json!({"type": "string", "minLength": 3, "maxLength": 2})),
        E::Contradiction { .. }
    ));
    assert!(matches!(refusal(json!({"type": "string", "pattern": "("})), E::BadPattern { .. }));
    assert!(matches!(refusal(json!({"type": "number", "multipleOf": 0})), E::BadKeyword { .. }));
    assert!(matches!(refusal(json!({"type": "shape"})), E::BadKeyword { .. }));
    assert!(matches!(refusal(json!({"$ref": "#/$defs/Gone"})), E::DanglingRef { .. }));
    assert!(matches!(refusal(json!({"$ref": "#"})), E::RefCycle { .. }));
    let knot =
        json!({"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}, "$ref": "#/$defs/A"});
    assert!(matches!(refusal(knot), E::RefCycle { .. }));
    let closed = json!({"properties": {"a": false}, "required": ["a"]});
    assert!(matches!(refusal(closed), E::Contradiction { .. }));
}

#[test]
fn unions_of_unions_over_deep_trees_end() {
    let schema = json!({"$defs": {"E": {"anyOf": [
        {"type": "number"},
        {"properties": {"l": {"$ref": "#/$defs/E"}, "r": {"$ref": "#/$defs/E"}}, "required": ["l", "r"]},
        {"properties": {"l": {"$ref": "#/$defs/E"}, "m": {"$ref": "#/$defs/E"}}, "required": ["l"]},
        {"properties": {"l": {"$ref": "#/$defs/E"}}, "required": ["l"]}]}}, "$ref": "#/$defs/E"});
    let plan = Plan::new(&schema).unwrap();
    let deep = format!("{}'x'{}", "{l: ".repeat(60), "}".repeat(60));
    assert!(plan.decode(&deep).is_err());
    let fine = format!("{}'1'{}", "{l: ".repeat(5), "}".repeat(5));
    assert!(plan.decode(&fine).is_ok());
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let plan = Plan::new(schema_for!(Value).as_value()).unwrap();
    let chain = Plan::new(schema_for!(Link).as_value()).unwrap();
    for depth in [MAX_DEPTH - 2, MAX_DEPTH] {
        let lists = format!("{}1{}", "[".repeat(depth), ",]".repeat(depth));
        assert!(plan.decode(&lists).is_ok(), "{depth}");
        let links =
            format!("{}{{weight: 1}}{}", "{weight: 1, next: ".repeat(depth - 1), "}".repeat(depth - 1));
        assert!(chain.decode(&links).is_ok(), "{depth}");
        assert!(!chain.decode_partial(&links[..links.len() - 1]).complete);
    }
}

#[test]
fn odd_bytes_are_no_trouble() {
    let plan = Plan::new(&json!({"type": "object", "properties": {"a": {"type": "integer"}}})).unwrap();
    for text in
        ["\0", "\u{feff}", "{\0}", "{\"a\": \0}", "\u{202e}{a: 1}", "{\"\\ud800\": 1}", "{a:\u{2028}1}"]
    {
        let _ = plan.decode(text);
        let _ = plan.decode_partial(text);
    }
}

#[test]
fn contradictory_schemas_are_refused() {
    for contradiction in [
        json!({"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5, "multipleOf": 0.5}),
        json!({"enum": ["a", "b"], "minLength": 3}),
        json!({"enum": [1, 2], "minimum": 3}),
        json!({"const": "low", "pattern": "^[A-Z]+$"}),
        json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true, "minItems": 3}),
        json!({"type": "array", "items": {"enum": ["a"]}, "uniqueItems": true, "minItems": 2}),
        // A type that must hold itself has no finite value.
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
        json!({"type": "array", "items": {"$ref": "#"}, "minItems": 1}),
        json!({"$defs": {
            "A": {"properties": {"b": {"$ref": "#/$defs/B"}}, "required": ["b"]},
            "B": {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]},
        }, "$ref": "#/$defs/A"}),
    ] {
        let refusal = Plan::new(&contradiction).unwrap_err();
        assert!(matches!(refusal, SchemaError::Contradiction { .. }), "{contradiction}: {refusal}");
    }
    for fine in [
        json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}),
        json!({"type": "number", "minimum": 0.3, "maximum": 0.3, "multipleOf": 0.1}),
        json!({"enum": ["a", "abc"], "minLength": 3}),
    ] {
        assert!(Plan::new(&fine).is_ok(), "{fine}");
    }
}

#[test]
fn numbers_beyond_64_bits_keep_their_digits_or_are_refused() {
    let long = "123456789012345678901234567890";
    for text in
        [long.to_owned(), format!("The answer is {long}."), "123456789012345678901 million".to_owned()]
    {
        assert!(decode::<i128>(&text).is_err(), "{text}");
        assert!(decode::<u128>(&text).is_err(), "{text}");
        assert!(decode::<u64>(&text).is_err(), "{text}");
    }
    assert_eq!(decode::<u128>("18446744073709551615").unwrap().value, u128::from(u64::MAX));
    let plan =
        Plan::new(&json!({"properties": {"n": {"type": "string"}, "v": true}, "required": ["n"]})).unwrap();
    assert_eq!(plan.decode(&format!("{{\"n\": {long}}}")).unwrap().value, json!({"n": long}));
    // As any value it would become a float and lose digits.
    assert!(plan.decode(&format!("{{\"n\": \"\", \"v\": {long}}}")).is_err());
    assert!(plan.decode("{\"n\": \"\", \"v\": 1e300}").is_ok());
    assert!(decode::<i64>("9007199254740993 thousand").is_err());
}

#[test]
fn code_is_what_the_only_fence_holds() {
    let plan = Plan::new(&json!({"type": "string", "x-code": true})).unwrap();
    for (reply, code) in [
        ("```python\nx = 1\n```", "x = 1"),
        ("Here it is:\n\n```\nx = 1\n\ny\n```\n\nIt sets x.", "x = 1\n\ny"),
        ("\n\n    x = 1\n    y\n\n", "    x = 1\n    y"),
        ("print(\"`\")", "print(\"`\")"),
        ("<think>```\nno\n```</think>\n```\nyes\n```", "yes"),
    ] {
        assert_eq!(plan.decode(reply).unwrap().value, code);
    }
    assert!(plan.decode("```\na\n```\nor\n```\nb\n```").unwrap_err().is(ProblemKind::Ambiguous));
    assert!(plan.decode("```py\nx = 1\n").unwrap_err().is(ProblemKind::Truncated));
    assert!(plan.decode(" \n").unwrap_err().is(ProblemKind::Empty));
    let schema = json!({"properties": {"code": {"type": "string", "x-code": true}}, "required": ["code"]});
    let member = Plan::new(&schema).unwrap();
    for (code, read) in [
        ("```py\nx\n```", "x"),
        ("x = 1", "x = 1"),
        // A fence in the middle is part of the text.
        ("a = \"\n```\nb\n```\n\"", "a = \"\n```\nb\n```\n\""),
    ] {
        assert_eq!(member.decode(&json!({"code": code}).to_string()).unwrap().value, json!({"code": read}));
    }
    assert_eq!(plan.decode_partial("So:\n```py\nx = 1\ny").value, Some(json!("x = 1\ny")));
    assert_eq!(plan.decode_partial("x = 1").value, None);
}
