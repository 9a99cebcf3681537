//! Outputs that may be absent do not get lost: what a reply says of them outside of its form is an error.

use std::sync::Arc;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, SignatureSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::forms::read;

const PLAN: &str = "q -> title, steps: list[str], budget: float, approved: bool";

/// A signature whose `budget` may be absent.
fn plan() -> Arc<SignatureSpec> {
    spec(PLAN, "budget")
}

fn spec(signature: &str, optional: &str) -> Arc<SignatureSpec> {
    let spec: SignatureSpec = signature.parse().unwrap();
    let fields = spec.fields().iter().cloned();
    let fields: Vec<FieldSpec> =
        fields.map(|field| if field.name() == optional { field.defaulted() } else { field }).collect();
    Arc::new(SignatureSpec::new("Plan", "", fields))
}

const XML: &str =
    "<title>Move</title>\n<steps><item>Pack</item><item>Drive</item></steps>\n<approved>true</approved>";
const JSON: &str = "{\"title\": \"Move\", \"steps\": [\"Pack\", \"Drive\"], \"approved\": true}";

fn without_budget() -> Value {
    json!({"title": "Move", "steps": ["Pack", "Drive"], "approved": true})
}

fn with_budget() -> Value {
    json!({"title": "Move", "steps": ["Pack", "Drive"], "budget": 500, "approved": true})
}

#[test]
fn what_stands_beside_elements() {
    for said in [
        "<bugdet>500</bugdet>",
        "<buget>500</buget>",
        "<budget_usd>500</budget_usd>",
        "<cost>500</cost>",
        "<cost value=\"500\"/>",
        "<cost>500",
        "500</cost>",
        "Budget: $500",
        "**Budget:** 500",
        "### Budget\n500",
        "- budget: 500",
        "The budget is 500.",
        "The budget may be 500.",
        "The budget would come to around $500.",
        "<budget 500>",
        "<bugdet 500>",
        "<budget: 500>",
        "&lt;budget&gt;500&lt;/budget&gt;",
        "[[ ## budget ## ]]\n500",
        "[[ ## budget ## ]] 500",
        "[[ ## buget ## ]]\n500",
        "{\"budget\": 500}",
        "<extra>\n<budget 500>\n</extra>",
    ] {
        for place in [XML.to_owned() + "\n" + said, XML.replace("<approved>", &format!("{said}\n<approved>"))]
        {
            for adapter in [&XmlAdapter as &dyn Adapter, &ChatAdapter] {
                let read = read(adapter, &plan(), &place);
                assert!(read.is_err(), "{}: {place}: {read:?}", adapter.name());
            }
        }
    }
    for cut in
        ["<budget", "<bud", "</", "<", "\n[[ ## bud", "<budget>50", "\nWait, approved should be false."]
    {
        let reply = format!("{XML}{cut}");
        let read = read(&XmlAdapter, &plan(), &reply);
        assert!(read.is_err() || cut == "\n[[ ## bud", "{reply}: {read:?}");
    }
    for (reply, value) in [
        (XML.to_owned(), without_budget()),
        (
            format!("Sure, here is the plan:\n\n{XML}\nI hope it helps! Let me know if you need more."),
            without_budget(),
        ),
        (format!("<plan>\n{XML}\n</plan>"), without_budget()),
        (format!("<response>\n{XML}"), without_budget()),
        (format!("```xml\n{XML}\n```"), without_budget()),
        (format!("{XML}<br/>\n<!-- <budget>5</budget> -->"), without_budget()),
        (format!("{XML}<budget>500</budget>\nThe budget is 500. I <3 it."), with_budget()),
        // Nothing is lost of an answer that has everything, as in an object with a further key.
        (format!("{XML}<budget>500</budget><owner>Bo</owner>"), with_budget()),
    ] {
        assert_eq!(read(&XmlAdapter, &plan(), &reply), Ok(value), "{reply}");
    }
    let error = read(&ChatAdapter, &plan(), &format!("{XML}<bugdet>500</bugdet>")).unwrap_err();
    assert!(error.contains("read as XML: `<bugdet>` is no output field"), "{error}");
}

#[test]
fn items_whose_tags_do_not_balance() {
    for steps in [
        "<item>Pack</item><item>Drive",
        "<item>Pack</item>and<item>Drive</item>",
        "<item>Pack<item>Drive",
        "<item>Pack<item>Drive</item></item>",
        "Pack</item><item>Drive</item>",
        "So:\n<item>Pack</item>\n<item>Drive</item>",
        "<item>Pack</item>\n<item>Drive</itm>",
        "<item n=\"1\">Pack</item>",
    ] {
        let reply = XML.replace("<item>Pack</item><item>Drive</item>", steps);
        let read = read(&XmlAdapter, &plan(), &reply);
        assert!(read.is_err(), "{reply}: {read:?}");
    }
    for (steps, value) in [
        ("- Use <b>bold</b>\n- Vec<String>", json!(["Use <b>bold</b>", "Vec<String>"])),
        ("[\"<p>a\", \"b\"]", json!(["<p>a", "b"])),
        ("<item>Pack <b>all</b></item><item>Drive</item>", json!(["Pack <b>all</b>", "Drive"])),
    ] {
        let reply = XML.replace("<item>Pack</item><item>Drive</item>", steps);
        let read = read(&XmlAdapter, &plan(), &reply).expect(&reply);
        assert_eq!(read["steps"], value, "{reply}");
    }
}

#[test]
fn markers_cut_off_at_the_end() {
    let reply =
        "[[ ## title ## ]]\nMove\n\n[[ ## steps ## ]]\n- Pack\n- Drive\n\n[[ ## approved ## ]]\ntrue\n";
    let text = "[[ ## steps ## ]]\n- Pack\n\n[[ ## approved ## ]]\ntrue\n\n[[ ## title ## ]]\nMove\n";
    for reply in [reply, text] {
        let marker = "[[ ## budget ## ]]\n";
        for end in 1..=marker.len() {
            let reply = format!("{reply}\n{}", &marker[..end]);
            let read = read(&ChatAdapter, &plan(), &reply);
            assert!(read.is_err(), "{reply}: {read:?}");
        }
    }
    for end in ["\n[[ ## comple", "\n[[ ##"] {
        let read = read(&ChatAdapter, &plan(), &format!("{reply}[[ ## budget ## ]]\n5\n{end}"));
        assert!(read.is_err(), "{end}: {read:?}");
    }
    assert_eq!(read(&ChatAdapter, &plan(), reply), Ok(without_budget()));
    let score = spec("q -> title, score: float", "");
    assert!(read(&ChatAdapter, &score, "[[ ## title ## ]]\nx\n\n[[ ## score ## ]]\n0.").is_err());
    assert!(read(&ChatAdapter, &score, "[[ ## title ## ]]\nx\n\n[[ ## score ## ]]\n0.5").is_ok());
    let said = format!("{reply}\n\nNote: the budget should be 600.");
    assert!(read(&ChatAdapter, &plan(), &said).is_err());
}

#[test]
fn words_behind_an_object() {
    let all = JSON.replace('}', ", \"budget\": 500}");
    for adapter in [&JsonAdapter as &dyn Adapter, &ChatAdapter, &XmlAdapter] {
        for words in [
            " and budget is 500",
            "\nBudget: 500",
            "\n\n(correction: the title is Stay)",
            "\n\nActually, only one step is needed.",
            "\n<budget>500</budget>",
            "\n[[ ## budget ## ]]\n500",
        ] {
            let read = read(adapter, &plan(), &format!("{JSON}{words}"));
            assert!(read.is_err(), "{}: {words}: {read:?}", adapter.name());
        }
        for words in
            ["\n\nNote: the budget should be 600.", "\nWait, approved should be false.", "\nbudget = 600"]
        {
            let read = read(adapter, &plan(), &format!("```json\n{all}\n```{words}"));
            assert!(read.is_err(), "{}: {words}: {read:?}", adapter.name());
        }
        for words in [
            "\nI hope this helps!",
            "\nLet me know if you need more.",
            "\nWould you like another budget instead?",
            "\nThe budget is 500, as you wished.",
            "\nI can't wait to hear from you. This is what you actually need.",
            "\nSteps 1 and 2 go together.",
            "\n\n- `budget`: what you have left at the end of the year",
        ] {
            let reply = format!("Here it is:\n```json\n{all}\n```\n{words}");
            assert_eq!(read(adapter, &plan(), &reply), Ok(with_budget()), "{}: {words}", adapter.name());
        }
    }
}

#[test]
fn plain_labels() {
    let feeling = spec("q -> reasoning, sentiment: Literal['positive', 'negative'], confidence: float", "");
    let value = json!({"reasoning": "It says so.", "sentiment": "positive", "confidence": 0.9});
    for reply in [
        "Reasoning: It says so.\nSentiment: positive\nConfidence: 0.9",
        "reasoning: It says so.\n\nsentiment: positive\n\nconfidence: 0.9\n",
        "REASONING:\nIt says so.\n\nSentiment:\npositive\n\nConfidence:\n0.9",
        "Sure, here it is:\n\nSentiment: positive\nConfidence: 0.9\nReasoning: It says so.",
        "<think>Sentiment: negative</think>\nReasoning: It says so.\nSentiment: positive\nConfidence: 0.9",
        "```\nReasoning: It says so.\nSentiment: positive\nConfidence: 0.9\n```",
    ] {
        for adapter in [&ChatAdapter as &dyn Adapter, &XmlAdapter] {
            assert_eq!(read(adapter, &feeling, reply), Ok(value.clone()), "{}: {reply}", adapter.name());
        }
    }
    for (reply, part) in [
        ("Reasoning: x\nSentiment: positive\nConfidence: 0.9\nSentiment: negative", "duplicate `sentiment`"),
        ("Reasoning: x\nSentiment: positive", "`confidence` is missing"),
        ("Reasoning: x\nOwner: Bo\nSentiment: positive\nConfidence: 0.9", "`Owner` is no output field"),
        ("Reasoning: x\n**Owner:** Bo\nSentiment: positive\nConfidence: 0.9", "`Owner` is no output field"),
        (
            "**Reasoning:** x\n**Sentiment:** positive\n**Confidence:** 0.9\n**Owner:** Bo",
            "`Owner` is no output",
        ),
        ("## Reasoning\nx\n## Owner\nBo\n## Sentiment\npositive\n## Confidence\n0.9", "`Owner` is no output"),
        ("Reasoning: x\nSentiment: so so\nConfidence: 0.9", "`sentiment`: expected one of"),
    ] {
        let error = read(&ChatAdapter, &feeling, reply).expect_err(reply);
        assert!(error.contains(part), "{reply}: {error}");
    }
    // What belongs to a text stays in it.
    let text = "Reasoning:\nStep 1: add.\nStep 2: see https://a.org\n```yaml\nnote: 1\n```\nSentiment: positive\nConfidence: 0.9";
    assert!(read(&ChatAdapter, &feeling, text).unwrap()["reasoning"].as_str().unwrap().contains("note: 1"));
    let right = "Title: Move\nSteps:\n- Pack\n- Drive\nApproved: yes";
    assert_eq!(read(&ChatAdapter, &plan(), right), Ok(without_budget()));
    assert_eq!(read(&ChatAdapter, &plan(), &format!("{right}\nBudget: 500")), Ok(with_budget()));
    for reply in [
        right.replace("Move", "Move. Budget: 500"),
        format!("{right}\nBugdet: 500"),
        format!("{right}\n- Budget: 500"),
        format!("Cost: 500\n{right}"),
        right.replace("Move", "|\n  Move"),
    ] {
        let read = read(&ChatAdapter, &plan(), &reply);
        assert!(read.is_err(), "{reply}: {read:?}");
    }
}

#[test]
fn what_is_wrong_in_the_form_that_a_reply_nearly_has_is_said() {
    let all = JSON.replace('}', ", \"budget\": 500}");
    for (reply, part) in [
        (JSON.replace('}', ", \"bugdet\": 500}"), "bugdet"),
        (format!("{XML}<bugdet>500</bugdet>"), "bugdet"),
        (XML.replace("</approved>", ""), "read as XML: `approved`: never closed"),
        (all.replace("true", "perhaps"), "`approved`: expected"),
    ] {
        let error = ChatAdapter.parse(&plan(), &Completion::new(reply.as_str())).unwrap_err().feedback();
        assert!(error.contains(part), "{reply}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever the slip in a name, the value does not vanish.
    #[test]
    fn no_value_vanishes_by_its_name(name in "[a-z]{2,9}", number in 1..1_000_000u32, place in 0..2usize) {
        prop_assume!(!["title", "steps", "approved", "think", "thought", "thinking"].contains(&&*name));
        let said = [
            format!("<{name}>{number}</{name}>"),
            format!("<{name} {number}>"),
            format!("[[ ## {name} ## ]]\n{number}"),
        ];
        for said in said {
            let reply = match place {
                0 => format!("{XML}\n{said}"),
                _ => XML.replace("<steps>", &format!("{said}\n<steps>")),
            };
            for adapter in [&XmlAdapter as &dyn Adapter, &ChatAdapter] {
                if let Ok(value) = read(adapter, &plan(), &reply) {
                    prop_assert_eq!(value["budget"].as_f64(), Some(f64::from(number)), "{}", reply);
                }
            }
        }
    }
}
