//! Laws of changes of playbooks.

use serde_json::{Value, json};

use super::{Synthetic, ask, only, prompt};
use crate::{Params, Request};

/// Asks for changes of the items of a playbook.
fn operations(records: String, playbook: &str, diagnoses: &str) -> Vec<Value> {
    let inputs = [
        ("playbook", playbook.to_owned()),
        ("examples", records),
        ("diagnoses", diagnoses.to_owned()),
        ("max_characters", "8000".to_owned()),
    ];
    let kind =
        "{ type: \"ADD\" | \"UPDATE\" | \"REMOVE\", id?: string, section?: string, content?: string }[]";
    let wanted = "From the examples, decide which items of the playbook to add, update or remove.";
    let mut request = Request::new(prompt(&inputs, &[("operations", kind)], wanted));
    request.rollout = Some(7);
    request.params = Params { temperature: Some(1.0), ..Params::default() };
    serde_json::from_str(&only(&ask(&request))).unwrap()
}

/// Returns the words of a rule that lists them, none for other rules.
fn words_of(rule: &str) -> Vec<String> {
    let list = rule.split_once("mentions ").and_then(|(_, rest)| rest.rsplit_once(" answer "));
    let words = list.map(|(words, _)| words.replace(" or ", ", ")).unwrap_or_default();
    words
        .split(", ")
        .filter(|word| !["", "usually"].contains(word))
        .map(|word| word.trim_end_matches(',').to_owned())
        .collect()
}

#[test]
fn items_are_added_updated_and_removed() {
    let task = Synthetic::of_words(3, &[], "", 120);
    let records = |from: usize| {
        let rows = task.rows[from..from + 40].to_vec();
        Synthetic { rows, ..task.clone() }.records(40, 2)
    };
    let diagnoses = "Cause: The answer was wrong.\nLesson: Read the whole text before anything else.\n";
    let first = operations(records(0), "", diagnoses);
    let of_kind =
        |changes: &[Value], kind: &str| changes.iter().filter(|change| change["type"] == kind).count();
    assert_eq!(of_kind(&first, "ADD"), first.len());
    let texts: Vec<&str> = first.iter().map(|change| change["content"].as_str().unwrap()).collect();
    assert!(texts.contains(&"Read the whole text before anything else."), "{texts:?}");
    let foreign = |text: &&&str| text.contains("8000") || text.starts_with("End ") || text.contains("Cause");
    assert_eq!(texts.iter().find(foreign), None);
    let lines = |texts: &[&str]| -> String {
        texts
            .iter()
            .enumerate()
            .map(|(at, text)| format!("[r-{at}] helpful=1 harmful=0 section=rules :: {text}\n"))
            .collect()
    };
    // The same rows again teach nothing new.
    assert_eq!(operations(records(0), &lines(&texts), diagnoses), [] as [Value; 0]);
    // Lists of words grow in place, and a rule with the labels exchanged goes.
    let second = operations(records(40), &lines(&texts), "");
    assert!(of_kind(&second, "UPDATE") >= task.labels.len(), "{second:?}");
    let listed: Vec<String> =
        second.iter().flat_map(|change| words_of(change["content"].as_str().unwrap_or_default())).collect();
    for change in second.iter().filter(|change| change["type"] == "UPDATE") {
        let at: usize = change["id"].as_str().unwrap().trim_start_matches("r-").parse().unwrap();
        let (old, new) = (texts[at], change["content"].as_str().unwrap());
        assert_eq!(old.rsplit("answer").next(), new.rsplit("answer").next(), "{old} → {new}");
        // What is only usual is set anew. Of other lists, no word is lost: it stays, or is in another list now.
        if !old.contains(", usually ") {
            let lost = words_of(old).into_iter().find(|word| !listed.contains(word));
            assert_eq!(lost, None, "{old} → {new}");
        }
    }
    assert!(texts.iter().any(|text| words_of(text).len() > 2), "there are lists: {texts:?}");
    let own = texts.iter().find(|text| text.contains(" mentions ") && !text.contains("usually")).unwrap();
    let words = words_of(own).join(", ");
    let other = task.labels.iter().find(|label| !own.ends_with(&format!("\"{label}\"."))).unwrap();
    let wrong = format!("Words such as {words} point to \"{other}\".");
    let third = operations(records(0), &format!("[x-1] :: {wrong}\n[x-2] :: Be kind."), "");
    let gone: Vec<&Value> = third.iter().filter(|change| change["type"] == "REMOVE").collect();
    assert_eq!(gone, [&json!({"type": "REMOVE", "id": "x-1"})]);
}
