//! Tests of the decoder as a whole: tables of literal cases.

use serde_json::{Value, json};

use super::{Plan, ProblemKind, decode_value};

/// The expected result of a case: the value, or a kind of problem.
enum Want {
    Is(Value),
    Fails(ProblemKind),
}
use Want::{Fails, Is};

fn check(schema: &Value, cases: Vec<(&str, Want)>) {
    let plan = Plan::new(schema).unwrap();
    let mut wrong = Vec::new();
    for (text, want) in cases {
        let got = plan.decode(text);
        let ok = match (&got, &want) {
            (Ok(read), Is(value)) => super::plan::same(&read.value, value),
            (Err(error), Fails(kind)) => error.is(*kind),
            _ => false,
        };
        if !ok {
            let want = match want {
                Is(v) => v.to_string(),
                Fails(k) => format!("{k:?}"),
            };
            let got = match got {
                Ok(read) => read.value.to_string(),
                Err(e) => format!("{:?} {e}", e.problems.iter().map(|p| p.kind).collect::<Vec<_>>()),
            };
            wrong.push(format!("{text:?}\n    want {want}\n    got  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", schema, wrong.join("\n"));
}

#[test]
fn integers() {
    check(
        &json!({"type": "integer"}),
        vec![
            ("3", Is(json!(3))),
            (" 3.0 ", Is(json!(3))),
            ("3.5", Fails(ProblemKind::WrongType)),
            ("\"3\"", Is(json!(3))),
            ("**42**", Is(json!(42))),
            ("The answer is 42.", Is(json!(42))),
            ("1,234", Is(json!(1234))),
            ("1 234", Is(json!(1234))),
            ("1_000", Is(json!(1000))),
            ("12 km", Is(json!(12))),
            ("3 apples", Is(json!(3))),
            ("8/10", Fails(ProblemKind::Ambiguous)),
            ("8 out of 10", Fails(ProblemKind::Ambiguous)),
            ("5-6", Fails(ProblemKind::Ambiguous)),
            ("between 3 and 5", Fails(ProblemKind::Ambiguous)),
            ("more than 5", Fails(ProblemKind::Ambiguous)),
            ("99999999999999999999", Fails(ProblemKind::Constraint)),
            ("three", Is(json!(3))),
            ("-5", Is(json!(-5))),
            ("−5", Is(json!(-5))),
            ("minus 5", Is(json!(-5))),
            ("3 million", Is(json!(3_000_000))),
            ("$5M", Fails(ProblemKind::Ambiguous)),
            ("12:30", Fails(ProblemKind::Ambiguous)),
            ("I cannot say; there are 3 options", Fails(ProblemKind::Ambiguous)),
            ("{\"answer\": 3}", Is(json!(3))),
            ("```json\n3\n```", Is(json!(3))),
            ("[3]", Is(json!(3))),
            ("[3, 4]", Fails(ProblemKind::WrongType)),
            ("", Fails(ProblemKind::Empty)),
            ("true", Fails(ProblemKind::WrongType)),
            ("50%", Is(json!(50))),
            ("GPT-4 scored 87", Is(json!(87))),
        ],
    );
    check(
        &json!({"type": "integer", "minimum": 1, "maximum": 10}),
        vec![
            ("8/10", Is(json!(8))),
            ("10/10", Fails(ProblemKind::Ambiguous)),
            ("11", Fails(ProblemKind::Constraint)),
        ],
    );
}

#[test]
fn floats() {
    check(
        &json!({"type": "number"}),
        vec![
            ("1,234.5", Is(json!(1234.5))),
            ("1.234,5", Is(json!(1234.5))),
            ("$1,234.56", Is(json!(1234.56))),
            ("50%", Is(json!(50))),
            ("1/8", Is(json!(0.125))),
            ("1/5", Fails(ProblemKind::Ambiguous)),
            ("8 out of 10", Fails(ProblemKind::Ambiguous)),
            (".5", Is(json!(0.5))),
            ("3.", Is(json!(3))),
            ("3,25", Is(json!(3.25))),
            ("-$5.20", Is(json!(-5.2))),
            ("5 €", Is(json!(5))),
            ("1e400", Fails(ProblemKind::Constraint)),
        ],
    );
    check(
        &json!({"type": "number", "minimum": 0, "maximum": 1}),
        vec![
            ("50%", Is(json!(0.5))),
            ("1%", Fails(ProblemKind::Ambiguous)),
            ("7 %", Is(json!(0.07))),
            ("8/10", Is(json!(0.8))),
        ],
    );
}

#[test]
fn booleans() {
    check(
        &json!({"type": "boolean"}),
        vec![
            ("True.", Is(json!(true))),
            ("yes", Is(json!(true))),
            ("Yes, it is.", Is(json!(true))),
            ("No, it isn't.", Is(json!(false))),
            ("**False**", Is(json!(false))),
            ("The statement is true.", Is(json!(true))),
            ("It is not true.", Fails(ProblemKind::Ambiguous)),
            ("yes and no", Fails(ProblemKind::Ambiguous)),
            ("Yes, if it rains.", Fails(ProblemKind::Ambiguous)),
            ("1", Is(json!(true))),
            ("2", Fails(ProblemKind::WrongType)),
            ("maybe", Fails(ProblemKind::WrongType)),
            ("There is no doubt.", Fails(ProblemKind::Ambiguous)),
        ],
    );
}

#[test]
fn choices() {
    check(
        &json!({"enum": ["urgent", "not urgent", "very_high", "high", "Café"]}),
        vec![
            ("urgent", Is(json!("urgent"))),
            ("URGENT!", Is(json!("urgent"))),
            ("Very High", Is(json!("very_high"))),
            ("cafe", Is(json!("Café"))),
            ("The label is: very high.", Is(json!("very_high"))),
            ("It is not urgent.", Is(json!("not urgent"))),
            ("It is not high.", Fails(ProblemKind::Ambiguous)),
            ("urgent or high", Fails(ProblemKind::Ambiguous)),
            ("something else", Fails(ProblemKind::WrongType)),
        ],
    );
    check(
        &json!({"enum": ["A", "B", "C"]}),
        vec![
            ("B)", Is(json!("B"))),
            ("A good answer is B.", Is(json!("B"))),
            ("b", Is(json!("B"))),
            ("A good reason exists", Fails(ProblemKind::WrongType)),
        ],
    );
    check(
        &json!({"oneOf": [{"const": "lo", "description": "Can wait"}, {"const": "hi", "x-aliases": ["asap"]}, {"enum": ["mid"]}]}),
        vec![("can wait", Is(json!("lo"))), ("ASAP", Is(json!("hi"))), ("mid.", Is(json!("mid")))],
    );
    check(
        &json!({"enum": [1, 2, 3]}),
        vec![("2", Is(json!(2))), ("\"2\"", Is(json!(2))), ("4", Fails(ProblemKind::WrongType))],
    );
}

#[test]
fn lists() {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    check(
        &strings,
        vec![
            ("[\"a\", \"b\",]", Is(json!(["a", "b"]))),
            ("Sure! [\"a\"]", Is(json!(["a"]))),
            ("- a\n- b", Is(json!(["a", "b"]))),
            ("Here:\n1. one two\n2. three\n\nHope it helps!", Is(json!(["one two", "three"]))),
            ("red, green, blue", Is(json!(["red", "green", "blue"]))),
            ("Paris, France", Fails(ProblemKind::Ambiguous)),
            ("Paris", Is(json!(["Paris"]))),
            ("[\"a\", \"b\"", Fails(ProblemKind::Truncated)),
            ("['it's', 'b']", Is(json!(["it's", "b"]))),
            ("[\"He said \"hi\", then left\", \"b\"]", Is(json!(["He said \"hi\", then left", "b"]))),
            ("[a, b c]", Is(json!(["a", "b c"]))),
            ("[\"a\", ...]", Fails(ProblemKind::Truncated)),
            ("('a', 'b')", Is(json!(["a", "b"]))),
            ("{\"items\": [\"a\"]}", Is(json!(["a"]))),
        ],
    );
    check(
        &json!({"type": "array", "items": {"type": "integer"}}),
        vec![
            ("1, 2, 3", Is(json!([1, 2, 3]))),
            ("\"[1, 2]\"", Is(json!([1, 2]))),
            ("1. 5\n2. 7", Is(json!([5, 7]))),
            ("7", Is(json!([7]))),
            ("[1, 2", Fails(ProblemKind::Truncated)),
            ("[1] and [2]", Fails(ProblemKind::Ambiguous)),
        ],
    );
}

#[test]
fn objects() {
    let person = json!({"type": "object", "properties": {"user_name": {"type": "string"}, "age": {"type": "integer"}, "mail": {"type": ["string", "null"]}}, "required": ["user_name", "age"]});
    check(
        &person,
        vec![
            ("{\"user_name\": \"Al\", \"age\": 3}", Is(json!({"user_name": "Al", "age": 3}))),
            ("{userName: 'Al', AGE: '3', x: 1,}", Is(json!({"user_name": "Al", "age": 3}))),
            (
                "Sure!\n```json\n{\"user_name\": \"Al\" // who\n \"age\": 3}\n```\nBye {}",
                Is(json!({"user_name": "Al", "age": 3})),
            ),
            (
                "{\"user_name\": \"A \"big\" cat\", \"age\": 3}",
                Is(json!({"user_name": "A \"big\" cat", "age": 3})),
            ),
            ("{user_name: Al of the hills, age: 3}", Is(json!({"user_name": "Al of the hills", "age": 3}))),
            ("{\"user_name\": \"Al\", \"age\": 3", Fails(ProblemKind::Truncated)),
            ("{\"user_name\": \"Al\"}", Fails(ProblemKind::Missing)),
            ("user_name: Al\nage: 3", Is(json!({"user_name": "Al", "age": 3}))),
            ("- **User name**: Al\n- **Age**: 3 years", Is(json!({"user_name": "Al", "age": 3}))),
            ("{\"user_name\": \"Al\", \"age\": 3, \"age\": 4}", Fails(ProblemKind::Ambiguous)),
            (
                "{\"user_name\": \"Al\", \"age\": 3} or {\"user_name\": \"Bo\", \"age\": 3}",
                Fails(ProblemKind::Ambiguous),
            ),
            ("{\"person\": {\"user_name\": \"Al\", \"age\": 3}}", Is(json!({"user_name": "Al", "age": 3}))),
            ("{\"user_name\": \"Al\", \"age\": null}", Fails(ProblemKind::WrongType)),
            ("{\"user_name\": None, \"age\": 3}", Fails(ProblemKind::WrongType)),
            ("\"user_name\": \"Al\", \"age\": 3", Is(json!({"user_name": "Al", "age": 3}))),
            ("\"{\\\"user_name\\\": \\\"Al\\\", \\\"age\\\": 3}\"", Is(json!({"user_name": "Al", "age": 3}))),
            ("{\"user_name\": \"\"\"Al\nBo\"\"\", \"age\": 3}", Is(json!({"user_name": "Al\nBo", "age": 3}))),
            ("{\"user_name\": `Al`, \"age\": 3}", Is(json!({"user_name": "Al", "age": 3}))),
            ("{“user_name”: “Al”, “age”: 3}", Is(json!({"user_name": "Al", "age": 3}))),
            (
                "{\"user_name\": \"```py\\nx\\n```\", \"age\": 1,}",
                Is(json!({"user_name": "```py\nx\n```", "age": 1})),
            ),
        ],
    );
}

#[test]
fn strings_and_null() {
    check(
        &json!({"type": "string"}),
        vec![
            (" \"Paris\"\n", Is(json!(" \"Paris\"\n"))),
            ("```\nx\n```", Is(json!("```\nx\n```"))),
            ("", Is(json!(""))),
        ],
    );
    check(
        &json!({"type": ["string", "null"]}),
        vec![("null", Is(json!(null))), ("N/A", Is(json!("N/A"))), ("None", Is(json!(null)))],
    );
    check(
        &json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        vec![
            ("N/A", Is(json!(null))),
            ("", Is(json!(null))),
            ("null", Is(json!(null))),
            ("3 km", Is(json!(3))),
            ("none.", Is(json!(null))),
        ],
    );
    check(
        &json!({"type": "string", "minLength": 1, "maxLength": 1}),
        vec![("\"A\"", Is(json!("A"))), ("x\n", Is(json!("x"))), ("AB", Fails(ProblemKind::Constraint))],
    );
    check(
        &json!({"type": "string", "format": "date"}),
        vec![
            ("2024-02-30", Fails(ProblemKind::Constraint)),
            ("It was on 2024-05-01.", Is(json!("2024-05-01"))),
            ("2024-05-01 to 2024-05-02", Fails(ProblemKind::Ambiguous)),
        ],
    );
}

#[test]
fn unions() {
    check(
        &json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        vec![("3", Is(json!(3))), ("\"3\"", Is(json!("3"))), ("hello", Is(json!("hello")))],
    );
    let shape = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "required": ["kind", "r"]},
        {"type": "object", "properties": {"kind": {"const": "square"}, "a": {"type": "number"}}, "required": ["kind", "a"]}]});
    check(
        &shape,
        vec![
            ("{kind: Circle, r: 2}", Is(json!({"kind": "circle", "r": 2}))),
            ("{\"kind\": \"square\", \"r\": 2}", Fails(ProblemKind::Missing)),
        ],
    );
    let ext = json!({"oneOf": [{"enum": ["Unit"]}, {"type": "object", "properties": {"New": {"type": "integer"}}, "required": ["New"], "additionalProperties": false}]});
    check(&ext, vec![("unit", Is(json!("Unit"))), ("{\"new\": \"3\"}", Is(json!({"New": 3})))]);
}

#[test]
fn bounds() {
    let any = json!({"type": "array"});
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000), "[{".repeat(50_000)] {
        assert!(decode_value(&text, &any).unwrap_err().is(ProblemKind::TooDeep), "{}", &text[..10]);
    }
}

#[test]
fn a_fence_alone_is_how_code_is_asked_for() {
    let plan = Plan::new(&json!({"type": "string", "x-code": true})).unwrap();
    let clean = |text: &str| plan.decode(text).unwrap().report.is_clean();
    assert!(clean("```python\nprint(1)\n```"));
    assert!(!clean("Here:\n```python\nprint(1)\n```"), "prose around it is left out");
    assert!(!clean("<think>hm</think>\n```python\nprint(1)\n```"), "so are thoughts");
}

#[test]
fn a_quoted_text_in_a_fence_loses_its_quotes() {
    let list = json!({"type": "array", "items": {"type": "string"}});
    check(
        &list,
        vec![("```\n'drizzle'\n```", Is(json!(["drizzle"]))), ("```\ndrizzle\n```", Is(json!(["drizzle"])))],
    );
}

#[test]
fn beginnings_take_nothing_back() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string"}, "bee": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}
    }});
    let plan = crate::Plan::new(&schema).unwrap();
    for text in [
        "{a: \"x\", bee: \"y\"}",
        "{a: 'x', bee: 'it\u{2019}s'}",
        "{\"a\": \"x\" /* why */, \"bee\": \"y\"}",
        "{\"a\": \"x\", // why\n \"bee\": \"y\"}",
        "{\"a\": \"he said \"no\" twice\", \"bee\": \"y\"}",
        "{\"a\": \"x, \"bee\": \"y\"}",
        "Here: {\"list\": [\"a\", 'b', c], \"a\": \"x\"}",
        "see [1] and {this}: {\"a\": \"x\"}",
    ] {
        let mut last: Option<Value> = None;
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let now = plan.decode_partial(&text[..end]).value;
            if let Some(early) = &last {
                let late = now.as_ref().unwrap_or_else(|| panic!("{:?} took back {early}", &text[..end]));
                assert!(grows(early, late), "{:?}: {early} and then {late}", &text[..end]);
            }
            last = now;
        }
    }
}

fn grows(early: &Value, late: &Value) -> bool {
    match (early, late) {
        (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
        (Value::Array(a), Value::Array(b)) => a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b)),
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(k, a)| b.get(k).is_some_and(|b| grows(a, b))),
        _ => early == late,
    }
}
