//! What a reply says beside the members of the type is left out only where it is clearly something else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use dspy_core::decode::{Plan, RepairKind, decode};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn reads<T: DeserializeOwned + JsonSchema + Debug + PartialEq + 'static>(reply: &str, value: &T) {
    match decode::<T>(reply) {
        Ok(read) => assert_eq!(&read.value, value, "{reply}"),
        Err(error) => panic!("{reply}: {error}"),
    }
}

fn refuses<T: DeserializeOwned + JsonSchema + Debug + 'static>(replies: &[&str]) {
    for reply in replies {
        if let Ok(read) = decode::<T>(reply) {
            panic!("{reply:?} was read as {:?}", read.value);
        }
    }
}

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
    for key in
        ["Tel", "Phone number", "Mobile", "E-mail address", "E-mail", "Mail", "Work email", "Town", "Emial"]
    {
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

#[test]
fn probe() {
    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Cfg {
        name: Option<String>,
        env: BTreeMap<String, String>,
    }
    let show = |r: &str| {
        println!(
            "{r:?}\n    => {}",
            decode::<Contact>(r).map_or_else(
                |e| format!("ERR {}", e.to_string().replace('\n', " | ")),
                |d| format!("{:?}", d.value)
            )
        )
    };
    for r in [
        "name: Jane Doe\nemail: null",
        "name: Jane Doe\nemail: ~\ncity: None",
        "name: Jane\nbio:\n  - x\n  - city: Paris",
        "name: Jane\ntel: 5",
        "Name: Jane Doe\n\nCompany: Acme\n\nCity: Paris",
        "Name: Jane Doe\nCompany: Acme\n\nHope this helps!",
        "Name: Jane Doe\nCompany: Acme\nHope this helps!",
        "Name: Jane Doe\ncompany: Acme\nCity: Paris",
        "Here is the contact:\nName: Jane\nCompany: Acme",
        "Name: Jane Doe\nWebsite: https://x.org\nCity: Paris",
        "Name: Jane Doe\nSkills: [a, b]\nCity: Paris",
        "Name: Jane Doe\nSkills: \"a\"\nCity: Paris",
        "Name: Jane Doe\nRole\nCity: Paris",
        "Name: Jane Doe\nHours: 9:00\nCity: Paris",
        "1. Name: Jane\n2. Company: Acme\n3. City: Paris",
        "| Name | Jane |\n| City | Paris |",
        "Name = Jane\nCompany = Acme\nCity = Paris",
        "### Name: Jane\n### Company: Acme\n### City: Paris",
        "Name: Jane Doe, Company: Acme, City: Paris",
        "Name: Jane Doe; Company: Acme; City: Paris",
        "Name: Jane Doe\tCity: Paris",
        "Name: Jane Doe | City: Paris",
        "name: Jane - city: Paris",
        "name: Jane Doe company: Acme",
        "Name: Jane Doe (Company: Acme)\nCity: Paris",
        "Name: Jane Doe\nCompany:\nCity: Paris",
        "Name: Jane Doe\nNotes:\n- city: Paris",
        "Name: Jane Doe\nContact:\n  Phone: 5\n  Email: x",
        "Contact:\n  Name: Jane\n  City: Paris",
        "contact:\n  name: Jane\n  address:\n    city: Paris",
        "Name - Jane Doe\nCity - Paris",
        "Name: Jane Doe\r\nCompany: Acme\r\nCity: Paris",
        "* Name: Jane\n* Company: Acme\n* City: Paris\n\nLet me know!",
        "`name`: Jane\n`company`: Acme\n`city`: Paris",
        "Name: \nJane\nCompany: Acme",
        "_Name_: Jane\n_Company_: Acme",
        "Name：Jane\nCity：Paris",
        "> Name: Jane\n> Company: Acme\n> City: Paris",
        "name: Jane\n---\ncompany: Acme",
        "name: 'Jane'\ncompany: Acme\ncity: Paris",
        "name: \"Jane\" # the name\ncity: \"Paris\"",
        "name: Jane # the name\ncity: Paris",
    ] {
        show(r);
    }
    let show = |r: &str| {
        println!(
            "{r:?}\n    => {}",
            decode::<Cfg>(r).map_or_else(
                |e| format!("ERR {}", e.to_string().replace('\n', " | ")),
                |d| format!("{:?}", d.value)
            )
        )
    };
    for r in [
        "name: x\nenv:\n  A: 1\n  name: y",
        "env:\n  A: 1\n  B: \nname: x",
        "env:\n  A: 1\n# B: 2\n  C: 3",
        "env:\n  - A: 1\n  - B: 2",
        "env:\n    A: 1\n    B: \"2\"\n",
        "name: x\nenv: {}",
        "A: 1\nB: 2",
        "env: {A: 1, B: 2}",
        "env:\nA: 1",
        "env:\n  A: 1 # one\n",
        "Here you go:\n\nenv:\n  A: 1\n  B: 2\n",
        "env:\n  A: 1\n\nHope it helps!",
        "name: null\nenv:\n  A: 1",
        "name: None\nenv:\n  A: null",
        "env:\n  - 1\n  - 2",
        "env:\n  A: |\n    x: y\n    z\n  B: 2",
    ] {
        show(r);
    }
}
