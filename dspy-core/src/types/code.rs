//! Source code as a field.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A programming language of [`Code`]. Implement it for a custom type to name a language that is not in
/// [`language`].
///
/// ```
/// use dspy_core::types::{Code, Language};
///
/// enum Prolog {}
/// impl Language for Prolog {
///     const NAME: &'static str = "Prolog";
/// }
///
/// let program: Code<Prolog> = "likes(mary, wine).".into();
/// assert_eq!(program.lines().count(), 1);
/// ```
pub trait Language: 'static {
    /// The name of the language.
    const NAME: &'static str;
}

/// Languages for [`Code`].
///
/// ```
/// use dspy_core::types::{Code, language::Sql};
/// let query = Code::<Sql>::from("SELECT 1");
/// assert_eq!(query, "SELECT 1");
/// ```
pub mod language {
    macro_rules! languages {
        ($($name:ident $text:literal,)*) => {
            $(
                #[doc = concat!($text, ".")]
                #[derive(Debug, Clone, Copy)]
                pub enum $name {}

                impl super::Language for $name {
                    const NAME: &'static str = $text;
                }
            )*
        };
    }

    languages! {
        Bash "Bash", C "C", Cpp "C++", CSharp "C#", Css "CSS", Go "Go", Haskell "Haskell", Html "HTML", Java "Java",
        JavaScript "JavaScript", Json "JSON", Kotlin "Kotlin", Latex "LaTeX", Markdown "Markdown", Python "Python",
        Regex "regular expressions", Ruby "Ruby", Rust "Rust", Sql "SQL", Swift "Swift", Toml "TOML",
        TypeScript "TypeScript", Xml "XML", Yaml "YAML",
    }

    /// Any language; the default of `Code`.
    #[derive(Debug, Clone, Copy)]
    pub enum Any {}

    impl super::Language for Any {
        const NAME: &'static str = "";
    }
}

/// Source code in the language `L`, for input and output fields.
///
/// Prompts ask for the code in a fence of backticks. If the reply has one fence, its content is the code;
/// without a fence the whole reply is the code; several different fences are an error.
///
/// ```
/// use dspy_core::types::{Code, language::Python};
/// let program = Code::<Python>::from("print(1)");
/// assert!(program.starts_with("print"));
/// assert_eq!(program.to_string(), "print(1)");
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Code<L = language::Any> {
    text: String,
    #[serde(skip)]
    language: PhantomData<fn() -> L>,
}

impl<L> Code<L> {
    /// Returns the source code.
    pub fn into_inner(self) -> String {
        self.text
    }
}

impl<L: Language> JsonSchema for Code<L> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Code_{}", L::NAME).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string", (keyword::CODE): true });
        if !L::NAME.is_empty() {
            schema.insert(keyword::LANGUAGE.into(), L::NAME.into());
        }
        schema
    }
}

// Implemented by hand, because a derive would require the same trait of `L`, which is only a marker.
impl<L> Clone for Code<L> {
    fn clone(&self) -> Self {
        self.text.clone().into()
    }
}

impl<L> fmt::Debug for Code<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Code").field(&self.text).finish()
    }
}

impl<L> Default for Code<L> {
    fn default() -> Self {
        String::new().into()
    }
}

impl<L> PartialEq for Code<L> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<L> Eq for Code<L> {}

impl<L> PartialOrd for Code<L> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<L> Ord for Code<L> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<L> Hash for Code<L> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<L> PartialEq<str> for Code<L> {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl<L> PartialEq<&str> for Code<L> {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl<L> Deref for Code<L> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl<L> AsRef<str> for Code<L> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<L> fmt::Display for Code<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<L> From<String> for Code<L> {
    fn from(text: String) -> Self {
        Code { text, language: PhantomData }
    }
}

impl<L> From<&str> for Code<L> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
