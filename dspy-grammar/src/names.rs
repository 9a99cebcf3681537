//! The tables of words: names of types, and names that fields cannot have.

use std::ops::RangeInclusive;

use crate::{KnownType, Temporal};

/// Makes an enum of types that are written by their name.
macro_rules! named_types {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// Returns the name, which is that of the type in Rust.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            /// Returns the type of that name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

named_types! {
    /// A number of Rust.
    Number {
        /// From -128 to 127.
        I8 = "i8",
        /// A signed integer of 16 bits.
        I16 = "i16",
        /// A signed integer of 32 bits.
        I32 = "i32",
        /// A signed integer of 64 bits; `int` in Python.
        I64 = "i64",
        /// A signed integer of 128 bits.
        I128 = "i128",
        /// A signed integer of the size of an address.
        Isize = "isize",
        /// From 0 to 255.
        U8 = "u8",
        /// An unsigned integer of 16 bits.
        U16 = "u16",
        /// An unsigned integer of 32 bits.
        U32 = "u32",
        /// An unsigned integer of 64 bits.
        U64 = "u64",
        /// An unsigned integer of 128 bits.
        U128 = "u128",
        /// An unsigned integer of the size of an address.
        Usize = "usize",
        /// A floating-point number of 32 bits.
        F32 = "f32",
        /// A floating-point number of 64 bits; `float` in Python.
        F64 = "f64",
    }
}

named_types! {
    /// A type of `dspy`. Most of them can also be written as in Python, such as `dspy.Image`.
    Own {
        /// An image.
        Image = "Image",
        /// A sound.
        Audio = "Audio",
        /// A file.
        File = "File",
        /// A document to quote from.
        Document = "Document",
        /// Quotes from documents.
        Citations = "Citations",
        /// Earlier turns of the conversation.
        History = "History",
        /// The text of a program.
        Code = "Code",
        /// An integer of any size.
        BigInt = "BigInt",
        /// The reasoning of the model.
        Reasoning = "Reasoning",
        /// A function that the model may call.
        Tool = "Tool",
        /// Calls of functions.
        ToolCalls = "ToolCalls",
    }
}

/// A spelling of a type, its meaning, and the number of its arguments.
type Spelling = (&'static str, KnownType, RangeInclusive<usize>);

/// The spellings of all types but those that are named by themselves.
const SPELLINGS: [Spelling; 24] = [
    ("str", KnownType::Text, 0..=0),
    ("String", KnownType::Text, 0..=0),
    ("int", KnownType::Number(Number::I64), 0..=0),
    ("float", KnownType::Number(Number::F64), 0..=0),
    ("bool", KnownType::Bool, 0..=0),
    ("char", KnownType::Char, 0..=0),
    ("Any", KnownType::Any, 0..=0),
    ("list", KnownType::List, 0..=1),
    ("List", KnownType::List, 0..=1),
    ("Vec", KnownType::List, 0..=1),
    ("set", KnownType::Set, 0..=1),
    ("Set", KnownType::Set, 0..=1),
    ("dict", KnownType::Dict, 0..=2),
    ("Dict", KnownType::Dict, 0..=2),
    ("BTreeMap", KnownType::Dict, 0..=2),
    ("HashMap", KnownType::HashMap, 2..=2),
    ("tuple", KnownType::Tuple, 1..=16),
    ("Tuple", KnownType::Tuple, 1..=16),
    ("Optional", KnownType::Optional, 1..=1),
    ("Option", KnownType::Optional, 1..=1),
    ("date", KnownType::Temporal(Temporal::Date), 0..=0),
    ("time", KnownType::Temporal(Temporal::Time), 0..=0),
    ("datetime", KnownType::Temporal(Temporal::DateTime), 0..=0),
    ("timedelta", KnownType::Temporal(Temporal::TimeDelta), 0..=0),
];

/// Words with a grammar of their own, and the type of any JSON in Rust.
const OTHERS: [&str; 4] = ["Union", "Literal", "None", "Value"];

/// Names that a field cannot have in Rust, whether the string is parsed at compile time or at run time.
const UNNAMEABLE: [&str; 5] = ["self", "Self", "super", "crate", "_"];

/// Returns the meaning of a word and its possible numbers of arguments. Types of `dspy` are not included: without
/// a module, such a word may be a type of the caller.
pub(crate) fn known(word: &str) -> Option<(KnownType, RangeInclusive<usize>)> {
    if let Some(number) = Number::named(word) {
        return Some((KnownType::Number(number), 0..=0));
    }
    SPELLINGS.iter().find(|(name, ..)| *name == word).map(|(_, known, arguments)| (*known, arguments.clone()))
}

/// Spellings in lower case; other words in lower case are not types.
pub(crate) fn lower() -> impl Iterator<Item = &'static str> {
    let spellings = SPELLINGS.iter().map(|(name, ..)| *name).filter(|name| !is_capital(name));
    spellings.chain(Number::ALL.iter().map(|number| number.name()))
}

/// Spellings with a capital.
pub(crate) fn capital() -> impl Iterator<Item = &'static str> {
    SPELLINGS.iter().map(|(name, ..)| *name).filter(|name| is_capital(name)).chain(OTHERS)
}

/// Returns the names of the types of `dspy`.
pub(crate) fn own() -> impl Iterator<Item = &'static str> {
    Own::ALL.iter().map(|own| own.name())
}

fn is_capital(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Returns the existing meaning of a name in prompts and saved files, if it has one.
pub fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "completed" => Some("the end of a reply"),
        "augmented" => Some("the mark of generated demonstrations"),
        _ => None,
    }
}

/// Returns the reason why a field cannot have this name, if there is one.
pub(crate) fn refusal(name: &str) -> Option<String> {
    if let Some(purpose) = reserved(name) {
        return Some(format!("`{name}` is reserved for {purpose}; choose another name"));
    }
    UNNAMEABLE.contains(&name).then(|| format!("`{name}` is not a name in Rust; choose another"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_one_meaning() {
        let all: Vec<&str> = lower().chain(capital()).chain(own()).collect();
        for (at, word) in all.iter().enumerate() {
            assert!(!all[..at].contains(word), "{word}");
        }
        for (name, known_as, arguments) in &SPELLINGS {
            assert_eq!(known(name), Some((*known_as, arguments.clone())));
        }
        for own in Own::ALL {
            assert_eq!((Own::named(own.name()), known(own.name())), (Some(*own), None));
        }
    }

    #[test]
    fn names_that_no_field_can_have_are_refused() {
        for (name, part) in [
            ("self", "not a name in Rust"),
            ("_", "not a name in Rust"),
            ("completed", "the end of a reply"),
            ("augmented", "the mark of generated demonstrations"),
        ] {
            assert!(refusal(name).is_some_and(|message| message.contains(part)), "{name}");
        }
        for name in ["type", "match", "selfie", "_x"] {
            assert_eq!(refusal(name), None);
        }
    }
}
