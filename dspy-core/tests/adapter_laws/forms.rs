//! Replies in forms that models are known to write, one by one.

use std::sync::Arc;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, SignatureSpec};
use serde_json::{Value, json};

use super::ADAPTERS;
use super::streams::{Known, watch};

/// The signature with all outputs required, or with all of them optional.
fn spec(signature: &str, optional: bool) -> Arc<SignatureSpec> {
    let spec: SignatureSpec = signature.parse().unwrap();
    let fields = spec.fields().iter().cloned();
    let fields: Vec<FieldSpec> =
        if optional { fields.map(FieldSpec::defaulted).collect() } else { fields.collect() };
    Arc::new(SignatureSpec::new("Forms", "", fields))
}

/// Reads the reply, and checks that a stream of it, whatever its pieces, shows nothing else.
pub(super) fn read(adapter: &dyn Adapter, spec: &Arc<SignatureSpec>, reply: &str) -> Result<Value, String> {
    let parsed = adapter.parse(spec, &Completion::new(reply)).map_err(|error| error.feedback())?;
    for (field, known) in watch(adapter, spec, reply, &[3, 1, 7]).unwrap() {
        let value = &parsed.values[&field];
        match known {
            Known::Complete(shown) => assert_eq!(&shown, value, "{reply}"),
            Known::SoFar(Value::String(shown)) => {
                assert!(value.as_str().unwrap().starts_with(&shown), "{reply}");
            }
            Known::SoFar(_) => {}
            Known::Refused => panic!("{field} was refused: {reply}"),
        }
    }
    Ok(Value::Object(parsed.values))
}

const THOUGHT: &str = "q -> reasoning, answer";

#[test]
fn sections() {
    let real = "[[ ## reasoning ## ]]\nBecause.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]";
    let paris = json!({"reasoning": "Because.", "answer": "Paris"});
    for (reply, value) in [
        (format!("<think>First [[ ## reasoning ## ]], then [[ ## answer ## ]], then [[ ## completed ## ]].</think>\n{real}"), paris.clone()),
        (format!("<think>\n[[ ## answer ## ]]\nRome\n\n[[ ## completed ## ]]\n</think>\n\n{real}"), paris.clone()),
        (format!("Okay.\n<think>\n[[ ## answer ## ]]\nRome\n</think>\n{real}"), paris.clone()),
        (format!("I will fill [[ ## answer ## ]] with the city.\n</think>\n\n{real}"), paris.clone()),
        (format!("<think>a</think>{real}"), paris.clone()),
        (format!("```\n{real}\n```"), paris.clone()),
        (format!("{real}\n\n[[ ## q ## ]]\nWhat next?\n\n[[ ## answer ## ]]\nRome"), paris.clone()),
        (
            "[[ ## reasoning ## ]]\nI must fill `[[ ## answer ## ]]` with the city.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]".into(),
            json!({"reasoning": "I must fill `[[ ## answer ## ]]` with the city.", "answer": "Paris"}),
        ),
        (
            "[[ ## reasoning ## ]]\nSo.\n\n[[ ## answer ## ]]\nEnd every reply with `[[ ## completed ## ]]` on a line of its own.\n\n[[ ## completed ## ]]".into(),
            json!({"reasoning": "So.", "answer": "End every reply with `[[ ## completed ## ]]` on a line of its own."}),
        ),
        (
            "[[ ## reasoning ## ]]\nAs in\n[ ## foo ## ]]\nabove.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]".into(),
            json!({"reasoning": "As in\n[ ## foo ## ]]\nabove.", "answer": "Paris"}),
        ),
        // The first marker ends where a piece of the stream does.
        (format!("\n{}", real.replace("reasoning ## ]]", "reasoning ## ]]:")), paris.clone()),
        (
            "[[ ## reasoning ## ]] Because. [[ ## answer ## ]] Paris [[ ## completed ## ]]".into(),
            json!({"reasoning": "Because.", "answer": "Paris"}),
        ),
        (
            "[[ ## reasoning ## ]]\nIt says <think>no</think> here.\n\n[[ ## answer ## ]]\n<think>\n".into(),
            json!({"reasoning": "It says <think>no</think> here.", "answer": "<think>"}),
        ),
    ] {
        assert_eq!(read(&ChatAdapter, &spec(THOUGHT, false), &reply), Ok(value.clone()), "{reply}");
        assert_eq!(read(&ChatAdapter, &spec(THOUGHT, true), &reply), Ok(value), "{reply}");
    }
}

#[test]
fn sections_that_nobody_can_tell() {
    for (reply, part) in [
        ("<think>[[ ## reasoning ## ]]\na\n\n[[ ## answer ## ]]\nRome", "never closed"),
        ("<think>a<think>b</think>[[ ## reasoning ## ]]\na\n\n[[ ## answer ## ]]\nRome", "never closed"),
        (
            "[[ ## reasoning ## ]]\na\n\n[[ ## answer ## ]]\nRome\n</think>\n[[ ## answer ## ]]\nParis",
            "thought ends after",
        ),
        ("[[ ## reasoning ## ]]\na\n\n[[ ## answer ## ]]\nRome\n\n[[ ## answer ## ]]\nParis", "duplicate"),
        ("[[ ## reasoning ## ]]\nI leave [[ ## answer ## ]] out.", "mid-line"),
        ("[[ ## reasoning ## ]] It goes last. `[[ ## answer ## ]]` Paris", "mid-line"),
        (
            "[[ ## reasoning ## ]]\na\n\n[[ ## answer ## ]]\nEnd it with [[ ## completed ## ]] on its own line.",
            "mid-line",
        ),
        (
            "[[ ## reasoning ## ]]\nUse:\n[[ ## field ## ]]\nvalue\n\n[[ ## answer ## ]]\nParis",
            "no output field",
        ),
        ("[[ ## reasoning ## ]]\na\n\n[[ ## anser ## ]]\nParis\n\n[[ ## completed ## ]]", "anser"),
        ("[[ ## reasoning ## ]]\na\n\n## answer ## ]]\nParis\n\n[[ ## completed ## ]]", "answer"),
        ("[[ ## reasoning ## ]]\na\n\nAnswer: Paris", "answer"),
        ("[[ ## reasoning ## ]]\na\n\n**Answer:** Paris", "answer"),
        ("[[ ## reasoning ## ]]\na\n\n### Answer\nParis", "answer"),
        ("[[ ## reasoning ## ]]\na\n\n<answer>Paris</answer>", "answer"),
        ("> [[ ## reasoning ## ]]\n> a\n\n> [[ ## answer ## ]]\n> Paris", "mid-line"),
        ("I am sorry.", ""),
    ] {
        for optional in [false, true] {
            let error = read(&ChatAdapter, &spec(THOUGHT, optional), reply).expect_err(reply);
            assert!(error.contains(part), "{reply}: {error}");
            assert!(error.contains("- "), "a problem is named: {error}");
        }
    }
    let slip = "[[ ## n ## ]]\n4\n\n[[ ## nte ## ]]\nParis\n\n[[ ## completed ## ]]";
    let error = read(&ChatAdapter, &spec("q -> n: int, note", true), slip).unwrap_err();
    assert!(error.contains("`[[ ## nte ## ]]` is no output field"), "{error}");
    let markers = "[[ ## a ## ]]\n".repeat(64);
    let error = read(&ChatAdapter, &spec("q -> out: dict[str, int]", false), &markers).unwrap_err();
    assert!(error.contains("missing; write it below `[[ ## out ## ]]`"), "{error}");
}

#[test]
fn elements() {
    for (signature, reply, value) in [
        ("q -> answer", "<answer><![CDATA[a < b & c &amp;]]></answer>", json!({"answer": "a < b & c &amp;"})),
        (
            "q -> answer",
            "<answer>see <![CDATA[<b>]]> &amp; <![CDATA[</answer>]]></answer>",
            json!({"answer": "see <b> & </answer>"}),
        ),
        (
            "q -> answer",
            "<answer>a <answer>b</answer> c</answer>",
            json!({"answer": "a <answer>b</answer> c"}),
        ),
        ("q -> answer", "<answer lang=\"en\" note='>'>Paris</answer>", json!({"answer": "Paris"})),
        ("q -> why, answer", "<why/><answer>Paris</answer>", json!({"why": "", "answer": "Paris"})),
        ("q -> why, answer", "<why />\n<ANSWER>Paris</Answer>", json!({"why": "", "answer": "Paris"})),
        (
            "q -> answer",
            "<?xml version=\"1.0\"?>\n<reply><answer>Paris</answer></reply>",
            json!({"answer": "Paris"}),
        ),
        ("q -> answer", "<!-- <answer>Rome</answer> --><answer>Paris</answer>", json!({"answer": "Paris"})),
        ("q -> answer", "<answer><!-- the city -->Paris</answer>", json!({"answer": "Paris"})),
        ("q -> answer", "<answer><p>a</p><!-- b --></answer>", json!({"answer": "<p>a</p><!-- b -->"})),
        (
            "q -> answer",
            "<answer>Caf&#233;&nbsp;&quot;A&quot; &unknown;</answer>",
            json!({"answer": "Café\u{a0}\"A\" &unknown;"}),
        ),
        ("q -> answer", "</answer><answer>Paris</answer></answer>", json!({"answer": "Paris"})),
        ("q -> answer", "```xml\n<answer>Paris</answer>\n```", json!({"answer": "Paris"})),
        (
            "q -> answer",
            "Use `<answer>`: <answer>as `</answer>` says</answer>",
            json!({"answer": "as `</answer>` says"}),
        ),
        (
            "q -> answer",
            "<think><answer>Rome</answer></think><answer>Paris</answer>",
            json!({"answer": "Paris"}),
        ),
        ("q -> answer", "It is <answer>Rome</answer>? No.</think><answer>Paris</answer>", json!("error")),
        ("q -> answer", "I start with <answer>\n</think><answer>Paris</answer>", json!("error")),
        (
            "q -> reasoning, answer",
            "<reasoning>a</reasoning><answer>b</answer>",
            json!({"reasoning": "a", "answer": "b"}),
        ),
        ("q -> tags: list[str]", "<tags><item>a</item><!-- b --><item/></tags>", json!({"tags": ["a", ""]})),
        (
            "q -> tags: list[str]",
            "<tags><item><![CDATA[<a>]]></item><item>b</item></tags>",
            json!({"tags": ["<a>", "b"]}),
        ),
        ("q -> n: int", "<n><![CDATA[ 4 ]]></n>", json!({"n": 4})),
    ] {
        let outcome = read(&XmlAdapter, &spec(signature, false), reply);
        if value == "error" {
            outcome.expect_err(reply);
        } else {
            assert_eq!(outcome, Ok(value), "{reply}");
        }
    }
}

#[test]
fn elements_that_nobody_can_tell() {
    for (reply, part) in [
        ("<answer>The <answer> tag</answer>", "do not balance"),
        ("<answer>Use </answer> to close.</answer>", "closes nothing"),
        ("<answer>Paris<answer>", "do not balance"),
        ("<answer>Paris</answer", "never closed"),
        ("answer>Paris</answer>", "closes nothing"),
        ("<answer>>Paris</answer>", "too many"),
        ("<answer>Paris<</answer>", "too many"),
        ("<answer value=\"Paris\"/>", "attributes"),
        ("<answer/>Paris</answer>", "closes nothing"),
        ("<think><answer>Rome</answer>", "never closed"),
        ("<answer>Rome</answer><answer>Paris</answer>", "duplicate"),
    ] {
        for optional in [false, true] {
            let error = read(&XmlAdapter, &spec("q -> answer", optional), reply).expect_err(reply);
            assert!(error.contains(part), "{reply}: {error}");
        }
    }
    let lost = "<why>foo</answer><answer>Paris</why>";
    let error = read(&XmlAdapter, &spec("q -> why, answer", true), lost).unwrap_err();
    assert!(error.contains("stands inside of `<why>`"), "{error}");
    // A draft and an answer, of fields that do not meet.
    let draft = "<why>Hm.</why>\n</think>\n<answer>Paris</answer>";
    let error = read(&XmlAdapter, &spec("q -> why, answer", true), draft).unwrap_err();
    assert!(error.contains("thought ends after"), "{error}");
}

#[test]
fn objects() {
    for (signature, reply, value) in [
        (
            "q -> answer",
            "<think>{\"answer\": \"Rome\"}</think>{\"answer\": \"Paris\"}",
            json!({"answer": "Paris"}),
        ),
        ("q -> answer", "I think so.</think>\n{\"answer\": \"Paris\"}", json!({"answer": "Paris"})),
        ("q -> answer", "{\"answer\": \"a </think>\"}", json!({"answer": "a </think>"})),
        ("q -> tags: list[str]", "[\"a\", \"b\"]", json!({"tags": ["a", "b"]})),
        ("q -> tags: list[str]", "```json\n[\"a\"]\n```", json!({"tags": ["a"]})),
        ("q -> tags: list[str]", "[]", json!({"tags": []})),
        ("q -> n: int", "{\"n\": 4}", json!({"n": 4})),
    ] {
        assert_eq!(read(&JsonAdapter, &spec(signature, false), reply), Ok(value), "{reply}");
    }
    // Another object is refused below; one that has a member of ours is ours.
    let nothing = read(&JsonAdapter, &spec("q -> answer, note", true), "{\"answer\": null, \"sure\": 1}");
    assert_eq!(nothing, Ok(json!({})));
    for (signature, reply) in [
        ("q -> answer", "<think>{\"answer\": \"Rome\"}"),
        ("q -> answer", "{\"answer\": \"Rome\"}\n</think>\n{\"answer\": \"Paris\"}"),
        ("q -> answer", "Paris"),
        ("q -> answer, note", "{\"error\": \"rate limited\"}"),
        ("q -> tags: list[str]", "I saw [a] there."),
        ("q -> tags: list[str]", "[\"a\", \"b"),
    ] {
        for optional in [false, true] {
            read(&JsonAdapter, &spec(signature, optional), reply).expect_err(reply);
        }
    }
}

#[test]
fn the_only_field_without_its_marker() {
    let number = spec("q -> n: int", false);
    for reply in ["4", "**4**", "```\n4\n```"] {
        assert_eq!(read(&ChatAdapter, &number, reply), Ok(json!({"n": 4})), "{reply}");
    }
    // A number in a sentence may be about anything.
    let error = read(&ChatAdapter, &number, "I would say that it is 4 in the end.").unwrap_err();
    assert!(error.contains("only in a sentence"), "{error}");
}

#[test]
fn labels_stand_once_in_a_prompt() {
    let labels: Vec<String> = (0..77).map(|n| format!("'label number {n}'")).collect();
    let spec: SignatureSpec = format!("q -> label: Literal[{}]", labels.join(", ")).parse().unwrap();
    let inputs = [("q".to_owned(), "x".into())].into_iter().collect();
    let prompt = dspy_core::adapter::Prompt { spec: &spec, demos: &[] };
    for adapter in ADAPTERS {
        let mut text: String =
            adapter.preamble(prompt).iter().map(|message| message.text().into_owned()).collect();
        // The JSON adapter shows the shape of the object in its instructions, too.
        let (described, _) = text.split_once("The reply is one JSON object").unwrap_or((&text, ""));
        text = described.to_owned();
        text.push_str(&adapter.input(prompt, &inputs).text());
        assert_eq!(text.matches("label number 76").count(), 1, "{}: {text}", adapter.name());
    }
}

#[test]
fn replies_in_another_format() {
    let fields = "q -> answer: int, why";
    let value = json!({"answer": 5, "why": "x y"});
    for reply in [
        "{\"answer\": 5, \"why\": \"x y\"}",
        "Sure:\n```json\n{\"answer\": 5, \"why\": \"x y\"}\n```",
        "<answer>5</answer>\n<why>x y</why>",
        "Sure:\n<answer>\n5\n</answer>\n<why>x y</why>\nBye.",
        "[[ ## answer ## ]]\n5\n\n[[ ## why ## ]]\nx y\n\n[[ ## completed ## ]]",
        "[[ ## answer ## ]] 5 [[ ## why ## ]] x y [[ ## completed ## ]]",
        "[## answer ##]\n5\n\n[ ## why ## ]\nx y",
        "```\n[[ ## answer ## ]]\n5\n[[ ## why ## ]]\nx y\n```\nDone.",
        "### answer\n5\n\n### Why\nx y",
        "**answer**: 5\n**why:** x y",
        "<think>### answer\n4</think>**Answer**: 5\n\n**Why**: x y",
    ] {
        for adapter in ADAPTERS {
            assert_eq!(
                read(adapter, &spec(fields, false), reply),
                Ok(value.clone()),
                "{}: {reply}",
                adapter.name()
            );
        }
    }
    // A format is told of in the report, unless it is the one that was asked for.
    let told = |adapter: &dyn Adapter, reply: &str| {
        let parsed = adapter.parse(&spec(fields, false), &Completion::new(reply)).unwrap();
        !parsed.report.is_clean()
    };
    assert!(told(&ChatAdapter, "<answer>5</answer><why>x</why>"));
    assert!(!told(&XmlAdapter, "<answer>5</answer><why>x</why>"));
}

#[test]
fn parts_of_another_format_are_none() {
    for (adapter, reply) in [
        // One output of two.
        (&ChatAdapter as &dyn Adapter, "### answer\n5"),
        (&ChatAdapter, "<answer>5</answer>"),
        (&JsonAdapter, "[[ ## answer ## ]]\n5"),
        // Twice.
        (&ChatAdapter, "### answer\n5\n### why\nx\n### answer\n6"),
        // A mention, and what stands in a text of something else.
        (&ChatAdapter, "Put <answer>5</answer> and <why>x</why> into tags."),
        (&JsonAdapter, "{\"answer\": 5, \"why\": \"so:\n[[ ## answer ## ]]\n6\n[[ ## why ## ]]\ny"),
        (&JsonAdapter, "{\"answer\": 5, \"why\": \"so:\n<answer>6</answer>\n<why>y</why>"),
        // Headings of two kinds.
        (&ChatAdapter, "### answer\n5\n**why**: x"),
        // Two formats that differ.
        (&ChatAdapter, "<answer>5</answer><why>x</why> or {\"answer\": 6, \"why\": \"x\"}"),
        (&ChatAdapter, "### answer\n5\n### why\nx\n<answer>6</answer>\n<why>y</why>"),
    ] {
        let read = read(adapter, &spec("q -> answer: int, why", false), reply);
        assert!(read.is_err(), "{}: {reply}: {read:?}", adapter.name());
    }
}

#[test]
fn fences_around_sections() {
    for (reply, value) in [
        (
            "```\n[[ ## reasoning ## ]]\na\n```\n\n```\n[[ ## answer ## ]]\nb\n```\nBye.",
            json!({"reasoning": "a", "answer": "b"}),
        ),
        (
            "````\n[[ ## reasoning ## ]]\n```py\na\n```\n[[ ## answer ## ]]\n```\nb\n```\n````\nBye.",
            json!({"reasoning": "```py\na\n```", "answer": "```\nb\n```"}),
        ),
        (
            "[[ ## reasoning ## ]]\n```py\na\n```\n[[ ## answer ## ]]\nSo:\n```\nb\n```\nc",
            json!({"reasoning": "```py\na\n```", "answer": "So:\n```\nb\n```\nc"}),
        ),
    ] {
        assert_eq!(read(&ChatAdapter, &spec(THOUGHT, false), reply), Ok(value), "{reply}");
    }
}

#[test]
fn texts_that_may_be_absent() {
    let fields = "q -> note: Optional[str], n: int";
    for (adapter, reply, note) in [
        (&ChatAdapter as &dyn Adapter, "[[ ## note ## ]]\nnull.\n[[ ## n ## ]]\n1", Value::Null),
        (&ChatAdapter, "[[ ## note ## ]]\n\n[[ ## n ## ]]\n1", Value::Null),
        (&ChatAdapter, "[[ ## note ## ]]\n5\n[[ ## n ## ]]\n1", json!("5")),
        (&ChatAdapter, "[[ ## note ## ]]\nnull and void\n[[ ## n ## ]]\n1", json!("null and void")),
        (&ChatAdapter, "[[ ## note ## ]]\n[[ \\## n ## ]]\n[[ ## n ## ]]\n1", json!("[[ ## n ## ]]")),
        (&XmlAdapter, "<note/><n>1</n>", Value::Null),
        (&XmlAdapter, "<note>null</note><n>1</n>", Value::Null),
        (&XmlAdapter, "<note><![CDATA[null]]></note><n>1</n>", json!("null")),
    ] {
        assert_eq!(read(adapter, &spec(fields, false), reply), Ok(json!({"note": note, "n": 1})), "{reply}");
    }
}

#[test]
fn a_model_is_told_the_place_and_the_fault() {
    let rows = json!({"type": "array", "items": {
        "type": "object", "properties": {"name": {"type": "string"}, "pt": {"type": "integer"}, "team": {"enum": ["red", "blue"]}},
        "required": ["name", "pt"],
    }});
    let fields = [FieldSpec::new(dspy_core::signature::Role::Output, "rows", "", rows)];
    let spec = SignatureSpec::new("Rows", "", fields);
    let list = |second: &str| {
        let row = |n| format!("  {{\"name\": \"row {n}\", \"pt\": {n}}}");
        let rows = [row(0), format!("  {second}")].into_iter().chain((2..40).map(row)).collect::<Vec<_>>();
        format!("```json\n[\n{}\n]\n```", rows.join(",\n"))
    };
    let cut = |text: String| text[..text.len() - 30].to_owned();
    for (reply, told) in [
        (list("{\"name\": \"b\"}"), "- `rows[1].pt`: missing; expected an integer\n"),
        (
            list("{\"name\": \"b\", \"pt\": \"x\"}"),
            "- `rows[1].pt`: expected an integer, found the text \"x\"\n",
        ),
        (
            list("{\"name\": \"b\", \"pt\": 1, \"team\": \"green\"}"),
            "- `rows[1].team`: expected one of \"red\", \"blue\", found the text \"green\"\n",
        ),
    ] {
        let object = format!("{{\"rows\": {}}}", reply.replace("```json\n", "").replace("\n```", ""));
        let section = format!("[[ ## rows ## ]]\n{reply}");
        let replies: [(&dyn Adapter, &str); 6] = [
            (&ChatAdapter, &reply),
            (&ChatAdapter, &section),
            (&ChatAdapter, &object),
            (&JsonAdapter, &reply),
            (&JsonAdapter, &object),
            (&XmlAdapter, &format!("<rows>{reply}</rows>")),
        ];
        for (adapter, reply) in replies {
            let error = adapter.parse(&spec, &Completion::new(reply)).unwrap_err();
            let feedback = error.feedback();
            let problems: Vec<&str> = feedback.lines().filter(|line| line.starts_with("- ")).collect();
            assert_eq!(problems, [told.trim_end()], "{}: {reply}", adapter.name());
            assert!(error.to_string().lines().count() < 12 && error.to_string().len() < 1_000, "{error}");
            assert_eq!(error.reply, reply);
        }
    }
    let section = cut(format!("[[ ## rows ## ]]\n{}", list("{\"name\": \"b\", \"pt\": 1}")));
    let error = ChatAdapter.parse(&spec, &Completion::new(section)).unwrap_err().feedback();
    assert!(error.contains("truncated text: `…") && error.contains("\"row 38\""), "{error}");
    let all = format!("[[ ## rows ## ]]\n{}", list("0").replace("\"pt\"", "\"points\""));
    let error = ChatAdapter.parse(&spec, &Completion::new(all)).unwrap_err().feedback();
    assert!(error.lines().count() < 14 && error.contains("more of its parts are wrong"), "{error}");
}

#[test]
fn text_behind_the_end() {
    let good = "[[ ## answer ## ]]\n5\n\n[[ ## why ## ]]\nx y\n\n[[ ## completed ## ]]";
    let fields = spec("q -> answer: int, why", false);
    for farewell in [
        "\n",
        "\n```",
        "\n---\n",
        "\n\nI hope this helps! Let me know if you have any questions.",
        "<|im_end|>",
    ] {
        let read = read(&ChatAdapter, &fields, &format!("{good}{farewell}"));
        assert_eq!(read, Ok(json!({"answer": 5, "why": "x y"})), "{farewell}");
    }
    let repeated = format!("{good}\n\n{good}");
    assert_eq!(read(&ChatAdapter, &fields, &repeated), Ok(json!({"answer": 5, "why": "x y"})));
    for change in [
        "6",
        "Correction: the answer is 6.",
        "Wait, that is wrong.",
        "answer: 6",
        "I hope this helps! Sorry, I meant 6.",
        "{\"answer\": 6, \"why\": \"z\"}",
        "```json\n{\"answer\": 6}\n```",
        "[[ ## correction ## ]]\n6",
        "[[ ## answer ## ]]\n6",
        "That was six.\n\n[[ ## q ## ]]\nWhat is next?",
    ] {
        let read = read(&ChatAdapter, &fields, &format!("{good}\n\n{change}"));
        assert!(read.is_err(), "{change}: {read:?}");
    }
    // What a model makes up as the next task is no part of the answer.
    let next = format!("{good}\n\n[[ ## q ## ]]\nWhat is next?\n\n[[ ## answer ## ]]\n7");
    assert_eq!(read(&ChatAdapter, &fields, &next), Ok(json!({"answer": 5, "why": "x y"})));
}

#[test]
fn headings_of_outputs_that_may_be_absent() {
    let fields = "q -> answer: int, note: Optional[str]";
    let spec_of = || {
        let spec: SignatureSpec = fields.parse().unwrap();
        let fields = spec.fields().iter().cloned();
        let defaulted = |f: FieldSpec| if f.name() == "note" { f.defaulted() } else { f };
        Arc::new(SignatureSpec::new("Headings", "", fields.map(defaulted)))
    };
    for (reply, value) in [
        ("### answer\n5\n\n### note\nx", json!({"answer": 5, "note": "x"})),
        ("### answer\n5", json!({"answer": 5})),
        ("**Answer**: 5", json!({"answer": 5})),
    ] {
        assert_eq!(read(&ChatAdapter, &spec_of(), reply), Ok(value), "{reply}");
    }
    for reply in [
        "### answer\n5\n\n### Notse\nx",
        "### answer\n5\n\nnote: x",
        "### answer\n5\n\n**note**: x",
        "### answer\n5\n\n### Remarks\nx",
        "### note\nx",
    ] {
        let read = read(&ChatAdapter, &spec_of(), reply);
        assert!(read.is_err(), "{reply}: {read:?}");
    }
}
