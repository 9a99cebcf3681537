//! Replies that an outsider wrote: each is read as meant, or refused where two readings are as good.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy_decode::{Plan, ProblemKind};
use serde_json::{Value, json};

fn strings() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn numbers() -> Value {
    json!({"type": "array", "items": {"type": "number"}})
}

fn reads(schema: &Value, reply: &str, value: &Value) {
    match Plan::new(schema).unwrap().decode(reply) {
        Ok(read) => assert_eq!(&read.value, value, "{reply:?}"),
        Err(error) => panic!("{reply:?} is refused: {error}"),
    }
}

fn refuses(schema: &Value, reply: &str) {
    if let Ok(read) = Plan::new(schema).unwrap().decode(reply) {
        panic!("{reply:?} is read as {}", read.value);
    }
}

#[test]
fn a_blank_before_the_closing_bracket_is_no_item() {
    reads(&strings(), r#"["a", "b", ]"#, &json!(["a", "b"]));
    reads(&numbers(), "[1, 2.5, ]", &json!([1, 2.5]));
    let object = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    reads(&object, r#"{"a": "x", }"#, &json!({"a": "x"}));
}

#[test]
fn citations_are_no_lists() {
    for reply in [
        "The review mentions price and support [1].",
        "I cannot answer that [policy].",
        "None [0]",
        "See [1].",
    ] {
        refuses(&strings(), reply);
        refuses(&numbers(), reply);
    }
    reads(&numbers(), "The answer is [1].", &json!([1]));
    reads(&strings(), "The colours are [red, green].", &json!(["red", "green"]));
}

#[test]
fn commas_beside_semicolons_are_decimal_ones() {
    reads(&numbers(), "1,5; 2,5", &json!([1.5, 2.5]));
    reads(&numbers(), "0,5; 0,75; 1,0", &json!([0.5, 0.75, 1.0]));
    refuses(&numbers(), "1,5, 2,5");
    reads(&numbers(), "1, 5, 2, 5", &json!([1, 5, 2, 5]));
    refuses(&strings(), "a, b; c");
}

#[test]
fn several_items_on_a_line_are_not_one() {
    for reply in [
        "(1) red (2) green",
        "- red - green",
        r#""red" "green""#,
        "<item>a</item><item>b</item>",
        "> - a\n> - b",
    ] {
        refuses(&strings(), reply);
    }
    reads(&strings(), r#"[["red", "green"]]"#, &json!(["red", "green"]));
    reads(&strings(), "apples, pears, and plums", &json!(["apples", "pears", "plums"]));
    refuses(&strings(), "apples and pears, plums");
}

#[test]
fn relations_to_a_date_are_no_date() {
    let date = json!({"type": "string", "format": "date"});
    for word in ["before", "after", "since", "until", "by", "around", "circa", "the day after", "the week of"]
    {
        refuses(&date, &format!("{word} 2024-05-03"));
    }
    refuses(&date, "2024-05-03 or later");
    reads(&date, "The date is 2024-05-03.", &json!("2024-05-03"));
}

#[test]
fn what_is_said_not_to_be_so_is_no_choice() {
    let choice = json!({"enum": ["Positive", "Negative"]});
    for reply in [
        "false positive",
        "less positive",
        "previously Positive",
        "I was tempted to say Positive",
        "positive=0.9",
    ] {
        refuses(&choice, reply);
    }
    reads(&choice, "The review is positive.", &json!("Positive"));
}

#[test]
fn numbers_beside_words_that_change_them() {
    let number = json!({"type": "number"});
    for reply in ["5 thousandths", "5 hundredths", "two hundred and", "7-", "$(5)", "Total: 5 + tax"] {
        refuses(&number, reply);
    }
    reads(&number, "five (5)", &json!(5));
    reads(&number, "5 (five)", &json!(5));
    reads(&number, "thirty (30) days", &json!(30));
    refuses(&number, "five (6)");
}

#[test]
fn corrections_behind_an_answer_are_not_left_out() {
    let plan = Plan::new(&strings()).unwrap();
    for tail in ["Actually, remove b.", "Wait, b is wrong.", "Correction: only a.", "(Correction: only a)"] {
        let error = plan.decode(&format!("[\"a\", \"b\"]\n\n{tail}")).unwrap_err();
        assert_eq!(error.problems[0].kind, ProblemKind::Ambiguous, "{tail}");
    }
    refuses(&strings(), "1. a\n2. b\n\nCorrection: 2. c");
    reads(&strings(), "1. a\n2. b\n\nLet me know!", &json!(["a", "b"]));
    reads(&strings(), "[\"a\", \"b\"]\n\nI hope this helps. Let me know!", &json!(["a", "b"]));
}

#[test]
fn what_may_be_two_items_is_not_one() {
    for reply in [
        r#"["a, "b, "c"]"#,
        r#"[a", b"]"#,
        "[\n  \"yes and\n  tall\",\n  \"x\"\n]",
        r#"[""quick answer""]"#,
        r#"["new } se "rain of", }yes", "b"]"#,
        r#"["a, "b" c", "d"]"#,
    ] {
        refuses(&strings(), reply);
    }
    reads(&strings(), r#"["say "yes", now", "b"]"#, &json!(["say \"yes\", now", "b"]));
    for reply in ["[559.6,3 258.62]", "[null,null2,71234]"] {
        refuses(&json!({"type": "array", "items": {"type": ["number", "null"]}}), reply);
    }
    refuses(&json!({"type": "array", "items": numbers()}), "[[1, 2], 3, 4]");
}

#[test]
fn brackets_and_marks_that_went_astray() {
    let objects = json!({"type": "object", "additionalProperties": {"type": "object"}});
    refuses(&objects, r#"{"the Dr": }{}"#);
    reads(&objects, "{}{}", &json!({}));
    let person = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}
    }});
    refuses(&person, r#"{"name": "Al), "age": 3}"#);
    reads(&person, r#"{"name": "Al (x)", "age": 3}"#, &json!({"name": "Al (x)", "age": 3}));
    let rows = json!({"type": "array", "items": strings()});
    reads(&rows, "[\n  [\n    \"7\",\n    \"a\\\"b\n  ]\n]", &json!([["7", "a\"b"]]));
    reads(&numbers(), "[94186-,72]", &json!([94186, -72]));
}
