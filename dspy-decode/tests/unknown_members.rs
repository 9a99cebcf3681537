//! What a reply says beside the members of the type is left out only where it is clearly something else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod reading;

use std::collections::BTreeMap;

use dspy_decode::{Plan, RepairKind, decode};
use proptest::prelude::*;
use reading::{reads, refuses};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
struct Contact {
    name: String,
    phone: Option<String>,
    email: Option<String>,
    city: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Snippet {
    file: String,
    line: Option<u32>,
    code: String,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Review {
    notes: String,
    stars: u8,
}

fn jane(city: Option<&str>) -> Contact {
    Contact { name: "Jane Doe".into(), city: city.map(str::to_owned), ..Contact::default() }
}

#[test]
fn lines_of_other_members() {
    let replies = [
        "Name: Jane Doe\nAddress: 1 Main St\nCity: Paris",
        "Name: Jane Doe\nCity: Paris\nCompany: Acme",
        "Company: Acme\nName: Jane Doe\nCity: Paris",
        "**Name:** Jane Doe\n**Company:** Acme\n**City:** Paris",
        "- Name: Jane Doe\n- Company: Acme\n- City: Paris",
        "- Name: Jane Doe\n- City: Paris\n- Company: Acme",
        "- **Name**: Jane Doe\n- **Company**: Acme\n- **Job title**: CEO\n- **City**: Paris",
        "```yaml\nname: Jane Doe\ncompany: Acme\ncity: Paris\n```",
        "name: Jane Doe\nrole:\n  - CEO\n  - Chair\ncity: Paris",
        "name: Jane Doe\nroles:\n  main: CEO\n  other: Chair\ncity: Paris",
        "name: Jane Doe\nbio: |\n  Born: 1980\n  Lives: here\ncity: Paris",
        "name: \"Jane Doe\"\ncompany: \"Acme\"\ncity: \"Paris\"",
        "> Name: Jane Doe\n> Company: Acme\n> City: Paris",
        "👤 Name: Jane Doe\n🏢 Company: Acme\n📍 City: Paris",
        "Name: Jane Doe\nSkills: [a, b]\nCity: Paris",
    ];
    for reply in replies {
        reads(reply, &jane(Some("Paris")));
        let report = decode::<Contact>(reply).unwrap().report;
        assert!(report.repairs.iter().any(|repair| repair.kind == RepairKind::ExtraKey), "{reply}");
    }
    reads("- Name: Jane Doe\n  Company: Acme\n  City: Paris", &vec![jane(Some("Paris"))]);
    reads(
        "- Name: Jane Doe\n  Company: Acme\n- Name: Jane Doe\n  Company: Acme\n  City: Paris",
        &vec![jane(None), jane(Some("Paris"))],
    );
    let snippet = Snippet { file: "a.py".into(), line: Some(3), code: "x".into() };
    reads("file: a.py\nlanguage: python\nline: 3\ncode: x", &snippet);
    reads("file: a.py\nlanguage: python\nline: 3\ncode: |\n  x", &snippet);
    let review = |notes: &str| Review { notes: notes.into(), stars: 4 };
    reads("notes:\n- good\n- cheap\nauthor: Bo\nstars: 4", &review("- good\n- cheap"));
    reads("stars: 4\nauthor: Bo\nnotes: fine", &review("fine"));
}

#[test]
fn lines_that_may_be_text_of_the_one_above() {
    refuses::<Review>(&[
        "notes: Take care on the way.\nBring: a coat\nstars: 4",
        "notes: fine\nNote: bring a coat\nstars: 4",
        "notes: one\ntwo\nBring: a coat\nstars: 4",
        "notes: Step by step\nStep 1: open it\nstars: 4",
        "notes: fine\nHe said: no\nstars: 4",
        "notes: fine,\nColour: red\nstars: 4",
        "notes: fine\nColour: red\nstars: 4",
        "notes:\nColour: red\nstars: 4",
        "notes: fine\n\nColour: red\n\nstars: 4",
        "stars: 4\nnotes: fine\nCorrection: stars should be 3",
    ]);
    let review = |notes: &str| Review { notes: notes.into(), stars: 4 };
    for (reply, notes) in [
        ("notes: |\n  Note: bring a coat\n  Colour: red\nstars: 4", "Note: bring a coat\nColour: red"),
        ("notes:\n  Bring: a coat\n  Colour: red\nstars: 4", "Bring: a coat\n  Colour: red"),
        ("notes: it is\n  Colour: red\nstars: 4", "it is\n  Colour: red"),
        ("{\"notes\": \"a\\nColour: red\", \"stars\": 4}", "a\nColour: red"),
    ] {
        reads(reply, &review(notes));
    }
}

#[test]
fn other_names_of_absent_members() {
    for key in ["Phone number", "E-mail address", "E-mail", "Work email", "Emial"] {
        let replies = [
            format!("Name: Jane Doe\n{key}: x"),
            format!("{key}: x\nName: Jane Doe"),
            format!("- Name: Jane Doe\n- {key}: x"),
            format!("{{\"name\": \"Jane Doe\", \"{key}\": \"x\"}}"),
        ];
        for reply in replies {
            if let Ok(read) = decode::<Contact>(&reply) {
                let Contact { phone, email, city, .. } = read.value;
                assert!(phone.or(email).or(city).as_deref() == Some("x"), "{reply}");
            }
        }
    }
    refuses::<Contact>(&["name: Jane Doe\nmial: j@x.org", "{\"name\": \"Jane\", \"mial\": \"j@x.org\"}"]);
    let reachable = Contact { phone: Some("5".into()), ..jane(None) };
    reads("{\"name\": \"Jane Doe\", \"phone\": \"5\", \"mobile\": \"6\"}", &reachable);
    reads("{\"name\": \"Jane Doe\", \"mobile\": null, \"fax\": \"6\"}", &jane(None));
}

#[test]
fn members_inside_extra_ones() {
    refuses::<Contact>(&[
        "{\"name\":\"Jane Doe\",\"address\":{\"city\":\"Paris\"}}",
        "{\"name\":\"Jane Doe\",\"contact\":{\"phone\":\"5\",\"email\":\"j@x.org\"}}",
        "{\"name\":\"Jane Doe\",\"data\":{\"address\":{\"City\":\"Paris\"}}}",
        "{\"name\":\"Jane Doe\",\"places\":[{\"city\":\"Paris\"}]}",
        "{name: Jane Doe, address: {city: Paris}}",
        "name: Jane Doe\naddress:\n  city: Paris",
        "name: Jane Doe\nbio:\n  - x\n  - city: Paris",
        "{\"name\":\"Jane Doe\",\"places\":[\"x\",{\"city\":\"Paris\"}]}",
        "name: Jane Doe\naddress:\n  street: Main\n  city: Paris\nphone: 5",
    ]);
    let reply =
        "{\"name\":\"Jane Doe\",\"city\":\"Paris\",\"employer\":{\"name\":\"Acme\",\"city\":\"Rome\"}}";
    reads(reply, &jane(Some("Paris")));
    reads("{\"name\":\"Jane Doe\",\"address\":{\"city\":null,\"street\":\"x\"}}", &jane(None));
    reads("name: Jane Doe\naddress:\n  street: Main\n  city: Rome\ncity: Paris", &jane(Some("Paris")));
    let plan = Plan::new(schemars::schema_for!(Contact).as_value()).unwrap();
    let native = serde_json::json!({"name": "Jane Doe", "address": {"city": "Paris"}});
    assert!(plan.coerce(native).is_err());
}

#[test]
fn pairs_on_one_line() {
    refuses::<Contact>(&[
        "name: \"Jane Doe\" city: \"Paris\"",
        "name: 'Jane Doe' city: 'Paris'",
        "name=\"Jane Doe\" city=\"Paris\"",
        "name: “Jane Doe” city: “Paris”",
        "name: \"Jane Doe\" company: \"Acme\"",
        "name: Jane Doe city: Paris",
        "name: Jane Doe, born in Rome city: Paris",
        "{name: \"Jane Doe\" city: \"Paris\" }x",
    ]);
    reads("name: \"Jane Doe\", city: \"Paris\"", &jane(Some("Paris")));
    reads("name: Jane Doe, city: Paris", &jane(Some("Paris")));
}

#[test]
fn members_that_were_commented_out() {
    refuses::<BTreeMap<String, i32>>(&["a: 1\n# b: 2", "a: 1\n// b: 2", "```yaml\na: 1\n# b: 2\n```"]);
    refuses::<Contact>(&["name: Jane Doe\n# city: Paris", "name: Jane Doe\n// city: Paris\nphone: 5"]);
    reads("## Name: Jane Doe\n## City: Paris", &jane(Some("Paris")));
}

proptest! {
    /// A member beside those of the type changes none of them, wherever it stands, or is refused.
    #[test]
    fn a_line_of_another_member_changes_nothing(
        key in "[A-Z][a-z]{2,8}( [a-z]{2,6})?",
        value in "[a-zA-Z0-9 ]{1,20}",
        at in 0_usize..4,
        style in 0_usize..4,
    ) {
        let written = [("Name", "Jane Doe"), ("Phone", "5"), ("City", "Paris")];
        let mut lines: Vec<(&str, &str)> = written.to_vec();
        lines.insert(at.min(lines.len()), (&key, &value));
        let write = |(key, value): &(&str, &str)| match style {
            0 => format!("{key}: {value}"),
            1 => format!("- {key}: {value}"),
            2 => format!("**{key}:** {value}"),
            _ => format!("- **{key}**: {value}"),
        };
        let reply = lines.iter().map(write).collect::<Vec<_>>().join("\n");
        if let Ok(read) = decode::<Contact>(&reply) {
            let Contact { name, phone, city, .. } = &read.value;
            prop_assert_eq!(name, "Jane Doe", "{}", reply);
            prop_assert_eq!(phone.as_deref(), Some("5"), "{}", reply);
            prop_assert_eq!(city.as_deref(), Some("Paris"), "{}", reply);
        }
    }
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Move {
    title: String,
    steps: Vec<String>,
    budget: Option<f64>,
    approved: bool,
}

#[test]
fn words_behind_the_members() {
    let plan = || Move { title: "Move".into(), steps: vec!["Pack".into()], budget: None, approved: true };
    let written = "title: Move\nsteps:\n  - Pack\napproved: true";
    for behind in ["", "\n\nHope this helps!", "\nOwner: Bo", "\nowner: Bo", "\n\nNote: pack early."] {
        if let Ok(read) = decode::<Move>(&format!("{written}{behind}")) {
            assert_eq!(read.value, plan(), "{behind}");
        }
    }
    reads(&format!("{written}\n\nHope this helps!"), &plan());
    reads(&format!("{written}\nowner: Bo"), &plan());
    for behind in [
        "Note: the budget is 500.",
        "The budget is 500.",
        "Budget estimate: 500",
        "# budget: 500",
        "Correction: approved should be false.",
        "Wait, approved is false.",
        "Note: steps should be Drive",
    ] {
        refuses::<Move>(&[&format!("{written}\n{behind}"), &format!("{written}\n\n{behind}")]);
    }
}
