//! Types with every way of serde to write them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use dspy_core::decode::decode;
use dspy_core::signature::FieldType;
use dspy_core::types::{BigInt, Code, describe};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{agree, show, times};

/// The law for a type and some of its values: they come back, and what the notation says is read by the type, too.
fn check<T>(values: impl IntoIterator<Item = T>)
where
    T: Serialize + DeserializeOwned + JsonSchema + PartialEq + std::fmt::Debug + Send + Sync + 'static,
{
    let schema = T::schema();
    let values: Vec<T> = values.into_iter().collect();
    let written: Vec<Value> = values.iter().map(|value| serde_json::to_value(value).unwrap()).collect();
    let text = describe(&schema);
    let (_, notation) = agree(&schema, &written, 7);
    for (value, written) in values.iter().zip(&written) {
        let json = written.to_string();
        let replies = if written.is_object() || written.is_array() {
            vec![format!("Here it is:\n```json\n{json}\n```"), json]
        } else {
            vec![written.as_str().map_or(json, str::to_owned)]
        };
        for reply in replies {
            let read =
                decode::<T>(&reply).unwrap_or_else(|error| panic!("{error}\n{reply}\n{}", show(&text)));
            assert_eq!(read.value, *value, "{reply}");
        }
    }
    for seed in 0..20 * times() {
        let drawn = notation.draw(seed);
        T::deserialize(&drawn).unwrap_or_else(|error| panic!("{error}: {drawn}\n{}", show(&text)));
        agree(&schema, &[drawn], seed);
    }
}

/// The notation with its definitions, to be compared.
fn shown<T: FieldType>() -> String {
    let text = describe(&T::schema());
    let mut out = text.notation;
    for (name, definition) in text.definitions {
        out.push_str(&format!("\n{name} = {definition}"));
    }
    out
}

macro_rules! data {
    ($($(#[$meta:meta])* $kind:ident $name:ident $(<$($generic:ident),*>)? { $($body:tt)* })*) => {
        $(
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
            $(#[$meta])*
            $kind $name $(<$($generic),*>)? { $($body)* }
        )*
    };
}

data! {
    struct Circle { size: f64 }
    struct Square { size: f64 }
    #[serde(tag = "t")]
    enum Shape { Circle(Circle), Square(Square) }

    struct Drawing { id: u8, #[serde(flatten)] shape: Shape, title: Option<String> }

    #[serde(tag = "kind")]
    enum Event {
        /// Somebody opened it.
        Opened { by: String },
        /// Nobody needs it any more.
        Closed,
    }
    struct Log { events: Vec<Event>, last: Option<Event> }

    #[serde(rename_all = "snake_case")]
    enum Command {
        /// Do nothing.
        WaitALittle,
        Stop,
        /// Go there.
        MoveTo(i32, i32),
        #[serde(rename = "say!", alias = "speak")]
        Say { #[serde(rename = "the words")] words: String, loud: Option<bool>, #[serde(default)] times: u8 },
        Do(Box<Command>),
        Nothing(()),
        Tuple(()),
    }

    #[serde(tag = "type", content = "data")]
    enum Adjacent {
        /// A number.
        Number(i64),
        /// Two of them.
        Pair(u8, u8),
        Named { x: f32 },
        /// None.
        Unit,
    }

    #[serde(untagged)]
    enum Loose {
        /// A place on a map.
        Place { lat: f64, lon: f64 },
        Words(String),
        /// Many.
        Many(Vec<i64>),
        Nothing,
    }

    /// A person somebody knows.
    ///
    /// # Examples
    ///
    /// ```
    /// let no = "example";
    /// ```
    struct Person {
        /// Full name.
        name: String,
        #[schemars(range(min = 0, max = 150))]
        age: Option<i64>,
        friends: Vec<Person>,
        best: Option<Box<Person>>,
    }

    struct Wrapper<T> { value: T, note: Option<String> }
    struct Both { text: Wrapper<String>, number: Wrapper<Vec<i32>>, more: Vec<Wrapper<String>> }

    struct Nothing {}
    #[serde(deny_unknown_fields)]
    struct Closed {}
    #[serde(deny_unknown_fields)]
    struct Strict { a: u8, b: Option<Nothing> }

    struct Rest { id: u8, #[serde(flatten)] rest: BTreeMap<String, i64> }
    struct Parts { #[serde(flatten)] circle: Circle, #[serde(flatten)] event: Event, colour: Colour }

    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    enum Colour {
        /// The colour of blood.
        DarkRed,
        Blue,
    }
    struct Moods { mine: Colour, yours: Vec<Colour>, theirs: BTreeMap<String, Colour> }

    #[serde(transparent)]
    struct Metres { length: f64 }
    struct Tree { leaves: BTreeMap<String, Tree>, kind: Option<Kind> }
    enum Kind { Tree(Box<Tree>), Leaf }

    struct Limits {
        #[schemars(length(min = 1, max = 3))]
        tags: Vec<String>,
        #[schemars(range(min = 1, max = 5))]
        stars: u8,
        #[schemars(regex(pattern = "^[a-z]+$"))]
        slug: String,
        scores: Vec<u8>,
        matrix: [[i16; 2]; 2],
        letter: char,
        ratio: Option<f32>,
    }

    #[serde(tag = "op", rename_all = "lowercase")]
    enum Expr { Lit { value: i64 }, Add { left: Box<Expr>, right: Box<Expr> } }

    struct Attributes {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        list: Vec<u8>,
        #[serde(rename = "type")]
        kind: String,
        #[serde(alias = "n", default)]
        number: i32,
        #[serde(skip)]
        cache: u8,
        nested: (u8, (String, Option<bool>)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
enum Key {
    Red,
    Blue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Pair(u8, String);

#[test]
fn scalars_and_containers() {
    check([0_u8, 255]);
    check([i8::MIN, 127]);
    check([0_u32, 7]);
    check([i64::MIN, i64::MAX]);
    check([u64::MAX]);
    check([1.5_f64, -2.0]);
    check([true, false]);
    check(['é', '"']);
    check([String::new(), "null".to_owned(), "a \"b\"\n".to_owned()]);
    check([(), ()]);
    check([Some(3_u16), None]);
    check([Some("x".to_owned()), None]);
    check([vec![1_u8, 2], vec![]]);
    check([vec![Some(1_i8), None]]);
    check([(1_u8, "x".to_owned(), vec![(true, None::<i32>)])]);
    check([[1_u8, 2, 3]]);
    check([BTreeSet::from([1_u8, 2])]);
    check([HashMap::from([(7_u32, "x".to_owned())]), HashMap::new()]);
    check([BTreeMap::from([(-7_i64, vec![1_u8])])]);
    check([BTreeMap::from([(Key::Red, 1_u8)])]);
    check([Ok::<u8, String>(1), Err("no".to_owned())]);
    check([Box::new(4_i32)]);
    check([Cow::<'static, str>::Borrowed("x")]);
    check([Unit]);
    check([Pair(1, "x".to_owned())]);
    check([BigInt::from(7_i64)]);
    check([Code::<dspy_core::types::language::Python>::from("x = 1")]);
    check([json!({"a": [1, null]}), json!([])]);
    check([std::time::Duration::from_millis(1500)]);
    check([std::net::IpAddr::from([127, 0, 0, 1])]);
    check(vec![std::ops::Range { start: 1_u8, end: 5 }]);
}

#[test]
fn enums_of_every_tagging() {
    check([Shape::Circle(Circle { size: 1.0 }), Shape::Square(Square { size: 2.0 })]);
    check([Drawing { id: 1, shape: Shape::Square(Square { size: 2.0 }), title: None }]);
    check([vec![Event::Opened { by: "me".into() }, Event::Closed]]);
    check([Log { events: vec![Event::Closed], last: Some(Event::Opened { by: "you".into() }) }]);
    check([
        Command::WaitALittle,
        Command::MoveTo(1, -1),
        Command::Say { words: "hi".into(), loud: None, times: 0 },
        Command::Do(Box::new(Command::Do(Box::new(Command::Stop)))),
    ]);
    check([Adjacent::Number(-1), Adjacent::Pair(1, 2), Adjacent::Named { x: 0.5 }, Adjacent::Unit]);
    check([
        Loose::Place { lat: 1.0, lon: 2.0 },
        Loose::Words("x".into()),
        Loose::Many(vec![1]),
        Loose::Nothing,
    ]);
    check([Some(Adjacent::Unit), None]);
    check([Expr::Add { left: Box::new(Expr::Lit { value: 1 }), right: Box::new(Expr::Lit { value: 2 }) }]);
    check([Colour::DarkRed, Colour::Blue]);
}

#[test]
fn structs_of_every_kind() {
    let friend = Person { name: "Bo".into(), age: None, friends: vec![], best: None };
    check([Person {
        name: "Al".into(),
        age: Some(3),
        friends: vec![friend.clone()],
        best: Some(Box::new(friend)),
    }]);
    check([Both {
        text: Wrapper { value: "x".into(), note: None },
        number: Wrapper { value: vec![1], note: Some("n".into()) },
        more: vec![],
    }]);
    check([Nothing {}]);
    check([Closed {}]);
    check([Strict { a: 1, b: Some(Nothing {}) }]);
    check([Rest { id: 1, rest: BTreeMap::from([("x".into(), 2)]) }]);
    check([Parts { circle: Circle { size: 1.0 }, event: Event::Closed, colour: Colour::Blue }]);
    check([Moods { mine: Colour::Blue, yours: vec![Colour::DarkRed], theirs: BTreeMap::new() }]);
    check([Metres { length: 1.0 }]);
    check([Tree {
        leaves: BTreeMap::from([("a".into(), Tree { leaves: BTreeMap::new(), kind: None })]),
        kind: Some(Kind::Leaf),
    }]);
    check([Limits {
        tags: vec!["a".into()],
        stars: 5,
        slug: "abc".into(),
        scores: vec![255],
        matrix: [[1, 2], [3, 4]],
        letter: 'x',
        ratio: None,
    }]);
    check([Attributes {
        list: vec![],
        kind: "k".into(),
        number: 3,
        cache: 0,
        nested: (1, ("x".into(), None)),
    }]);
}

#[test]
fn the_prompt_says_the_tag() {
    assert_eq!(shown::<Shape>(), "{ t: \"Circle\", size: number } | { t: \"Square\", size: number }");
    assert_eq!(
        shown::<Vec<Event>>(),
        "Event[]\nEvent = (\n  | { kind: \"Opened\", by: string } // Somebody opened it.\n  | { kind: \"Closed\" } // Nobody \
         needs it any more.\n)"
    );
    assert_eq!(
        shown::<Vec<Shape>>(),
        "({ t: \"Circle\", size: number } | { t: \"Square\", size: number })[]"
    );
    assert_eq!(
        shown::<Drawing>(),
        "Drawing\nDrawing = (\n  | {\n    id: integer /* from 0 to 255 */,\n    title?: string | null,\n    t: \"Circle\",\n    \
         size: number,\n  }\n  | {\n    id: integer /* from 0 to 255 */,\n    title?: string | null,\n    t: \"Square\",\n    \
         size: number,\n  }\n)"
    );
}

#[test]
fn variants_are_described_under_their_own_names() {
    let choices = |schema: Value| describe(&schema).choices.into_iter().collect::<BTreeMap<_, _>>();
    let of = |all: &[(&str, &str)]| {
        all.iter().map(|(name, doc)| ((*name).to_owned(), (*doc).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let event = of(&[("Opened", "Somebody opened it."), ("Closed", "Nobody needs it any more.")]);
    assert_eq!(choices(Event::schema()), event);
    assert_eq!(choices(Option::<Event>::schema()), event);
    let command = of(&[("\"wait_a_little\"", "Do nothing."), ("move_to", "Go there.")]);
    assert_eq!(choices(Command::schema()), command);
    let adjacent = of(&[("Number", "A number."), ("Pair", "Two of them."), ("Unit", "None.")]);
    assert_eq!(choices(Adjacent::schema()), adjacent);
    let loose = of(&[("{ lat: number, lon: number }", "A place on a map."), ("integer[]", "Many.")]);
    assert_eq!(choices(Loose::schema()), loose);
    assert_eq!(choices(Colour::schema()), of(&[("\"DARK-RED\"", "The colour of blood.")]));
}

#[test]
fn names_docs_and_limits() {
    for text in [
        shown::<Person>(),
        shown::<Both>(),
        shown::<Moods>(),
        shown::<Limits>(),
        shown::<Parts>(),
        shown::<Command>(),
        shown::<Tree>(),
        shown::<Rest>(),
        shown::<HashMap<u32, String>>(),
        shown::<Strict>(),
        shown::<Log>(),
        shown::<Attributes>(),
        shown::<Expr>(),
        shown::<Adjacent>(),
        shown::<Loose>(),
        shown::<Result<u8, String>>(),
    ] {
        println!("{text}\n");
    }
}
