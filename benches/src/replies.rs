//! Replies for the decoder: clean ones, typical ones of models, and hard ones.

use dspy::lm::Completion;
use dspy::prelude::*;
use dspy::signature::SignatureSpec;
use serde_json::{Value, json};

/// A reply and its schema.
#[derive(Debug)]
pub struct Case {
    /// The name in the results.
    pub name: &'static str,
    /// The schema of the value in the reply.
    pub schema: Value,
    /// The text of the reply.
    pub text: String,
}

fn list_of(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn person() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "notes": {"type": "array", "items": {"type": "string"}},
    }, "required": ["name", "age"]})
}

/// Returns the schema of a review: sentences, choices, numbers, a nested list of objects.
pub fn review_schema() -> Value {
    let finding = json!({"type": "object", "properties": {
        "title": {"type": "string"},
        "explanation": {"type": "string"},
        "severity": {"enum": ["low", "medium", "high", "critical"]},
        "line": {"type": "integer", "minimum": 1},
        "confidence": {"type": "number"},
        "suggestion": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }, "required": ["title", "explanation", "severity", "line", "confidence"]});
    json!({"type": "object", "properties": {
        "summary": {"type": "string"}, "findings": list_of(finding), "approve": {"type": "boolean"},
        "labels": list_of(json!({"type": "string"})),
    }, "required": ["summary", "findings", "approve", "labels"]})
}

/// Returns a review with `count` findings.
pub fn review(count: usize) -> Value {
    let severities = ["low", "medium", "high", "critical"];
    let finding = |index: usize| {
        json!({
            "title": "The retry loop never gives up",
            "explanation": "When the server answers with a 503 the loop waits and tries again, but nothing counts the \
                attempts, so that a dead server keeps the worker busy for ever. The \"max_retries\" setting is read and \
                then ignored.",
            "severity": severities[index % 4],
            "line": 40 + 13 * index,
            "confidence": 0.85,
            "suggestion": if index.is_multiple_of(2) { json!("Count the attempts and return the last error.") } else { Value::Null },
        })
    };
    json!({
        "summary": "The change does what it says, but two of the new code paths can wait without limit, and one test \
            passes for the wrong reason.",
        "findings": (0..count).map(finding).collect::<Vec<_>>(),
        "approve": false,
        "labels": ["bug", "needs tests", "networking"],
    })
}

/// Returns replies of valid JSON.
pub fn clean() -> Vec<Case> {
    let ada = json!({"name": "Ada Lovelace", "age": 36, "notes": ["wrote the first program", "London"]});
    let compact = |value: &Value| value.to_string();
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let case = |name, schema: &Value, text| Case { name, schema: schema.clone(), text };
    let (people, booleans) = (list_of(person()), list_of(json!({"type": "boolean"})));
    vec![
        case("one small object", &people, compact(&json!([ada]))),
        case("500 small objects", &people, compact(&json!(vec![&ada; 500]))),
        case("500 small objects, indented", &people, pretty(&json!(vec![&ada; 500]))),
        case("2_000 booleans", &booleans, compact(&json!(vec![true; 2_000]))),
        case("a review", &review_schema(), pretty(&review(6))),
        case("a long review", &review_schema(), compact(&review(300))),
    ]
}

/// Returns JSON in fences and prose, with the deviations that are typical of models.
pub fn dirty() -> Vec<Case> {
    let case = |name, text| Case { name, schema: review_schema(), text };
    let pretty = serde_json::to_string_pretty(&review(6)).unwrap();
    let long = serde_json::to_string_pretty(&review(300)).unwrap();
    let fenced = |json: &str| {
        format!("Here is my review of the change:\n\n```json\n{json}\n```\n\nLet me know if it helps!")
    };
    let commas =
        |json: &str| json.replace("\n    }", ",\n    }").replace("\"networking\"\n", "\"networking\",\n");
    // A comment, a trailing comma, Python's literals, raw quotes in a sentence, a number in quotes.
    let careless = |json: &str| {
        commas(json)
            .replace("\\\"max_retries\\\"", "\"max_retries\"")
            .replace("false", "False")
            .replace("null", "None")
            .replace("\"confidence\": 0.85", "\"confidence\": \"0.85\"")
            .replace("\"severity\": \"high\"", "// the worst one\n      \"severity\": \"High\"")
    };
    // JavaScript: bare keys, single quotes.
    let script = |json: &str| {
        let mut out = json.replace("\\\"", "").replace('"', "'");
        for key in [
            "summary",
            "findings",
            "approve",
            "labels",
            "title",
            "explanation",
            "severity",
            "line",
            "confidence",
            "suggestion",
        ] {
            out = out.replace(&format!("'{key}':"), &format!("{key}:"));
        }
        out
    };
    vec![
        case("a review in a fence and prose", fenced(&pretty)),
        case("a long review in a fence and prose", fenced(&long)),
        case("a review with trailing commas", fenced(&commas(&pretty))),
        case("a long review with trailing commas", fenced(&commas(&long))),
        case("a careless review", fenced(&careless(&pretty))),
        case("a long careless review", fenced(&careless(&long))),
        case("a review in JavaScript", fenced(&script(&pretty))),
        case("a long review in JavaScript", fenced(&script(&long))),
    ]
}

/// Returns replies with a repair in every other token, without long runs of text that could be skipped.
pub fn hard() -> Vec<Case> {
    let careless = "{name: 'Ada Lovelace', age: '36', \"notes\": ['wrote the first program', \"London\",],}";
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(", "));
    let fenced = |json: &str| format!("Here you go:\n```json\n{json}\n```\nAnything else?");
    let people = list_of(person());
    let (booleans, integers) = (list_of(json!({"type": "boolean"})), list_of(json!({"type": "integer"})));
    let case = |name, schema: &Value, text| Case { name, schema: schema.clone(), text };
    vec![
        case("one small object, 9 repairs", &people, fenced(&format!("[{careless}]"))),
        case("500 small objects, 4_500 repairs", &people, fenced(&many(careless, 500))),
        case("100_000 times True", &booleans, many("True", 100_000)),
        case("20_000 numbers in quotes", &integers, many("'12'", 20_000)),
    ]
}

/// Returns replies of one megabyte of hostile text, which need not be readable.
pub fn adversarial() -> Vec<Case> {
    const SIZE: usize = 1_000_000;
    let of = |name, pattern: &str| Case {
        name,
        schema: review_schema(),
        text: pattern.repeat(SIZE / pattern.len()),
    };
    vec![
        of("1 MB of {", "{"),
        of("1 MB of [", "["),
        of("1 MB of [[1,", "[[1,"),
        of("1 MB of \"", "\""),
        of("1 MB of {\"a\": \"", "{\"a\": \""),
        of("1 MB of fences", "```json\n{\n"),
        of("1 MB of prose with brackets", "see [this] and {that}, "),
        of("1 MB of backslashes", "{\"a\": \"\\\\\\"),
        of("1 MB of (", "("),
        of("1 MB of line breaks", "{a: x\n\n\n"),
    ]
}

#[field_type]
enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[field_type]
struct Finding {
    title: String,
    explanation: String,
    severity: Severity,
    line: u32,
    confidence: f64,
    suggestion: Option<String>,
}

/// Review the change.
#[signature]
struct Review {
    #[input]
    diff: String,
    #[output]
    summary: String,
    #[output]
    findings: Vec<Finding>,
    #[output]
    approve: bool,
    #[output]
    labels: Vec<String>,
}

/// Returns the signature of the chat replies.
pub fn chat_spec() -> &'static SignatureSpec {
    Review::spec()
}

/// Returns reviews with markers: well-formed ones, and ones with bold markers, fences and trailing commas.
pub fn chat() -> Vec<(&'static str, Completion)> {
    let reply = |review: &Value, dirty: bool| {
        let mut findings = serde_json::to_string_pretty(&review["findings"]).unwrap();
        for (lower, upper) in
            [("low", "Low"), ("medium", "Medium"), ("high", "High"), ("critical", "Critical")]
        {
            findings = findings
                .replace(&format!("\"severity\": \"{lower}\""), &format!("\"severity\": \"{upper}\""));
        }
        let (mut star, mut labels, mut approve) = ("", review["labels"].to_string(), "false");
        if dirty {
            findings = format!("```json\n{}\n```", findings.replace("\n  }", ",\n  }"));
            star = "**";
            "- bug\n- needs tests\n- networking".clone_into(&mut labels);
            approve = "No";
        }
        let mut text = String::new();
        let summary = review["summary"].as_str().unwrap();
        for (name, value) in
            [("summary", summary), ("findings", &findings), ("approve", approve), ("labels", &labels)]
        {
            text.push_str(&format!("{star}[[ ## {name} ## ]]{star}\n{value}\n\n"));
        }
        Completion::new(text + "[[ ## completed ## ]]")
    };
    vec![
        ("a review", reply(&review(6), false)),
        ("a long review", reply(&review(300), false)),
        ("a careless review", reply(&review(6), true)),
        ("a long careless review", reply(&review(300), true)),
    ]
}
