//! Keywords that `dspy` adds to JSON Schema.
//!
//! Field types write them, the decoder and the adapters read them, and they are removed from the schemas that
//! are sent to endpoints. All begin with [`PREFIX`], which JSON Schema leaves to its users.
//!
//! | keyword | beside | value | read by |
//! |---|---|---|---|
//! | [`ALIASES`] | a member's schema, a `const` | list of strings | decoder |
//! | [`ENUM_ALIASES`] | an `enum` or a `const` | object: value → list of strings | decoder |
//! | [`ENUM_DESCRIPTIONS`] | an `enum` | object: value → string | decoder |
//! | [`BIG_INT`] | an integer or a string of digits | `true` | decoder |
//! | [`CODE`], [`LANGUAGE`] | a string | `true`, string | decoder, adapters |
//! | [`DOCUMENT`], [`HISTORY`] | an object | `true` | adapters |
//! | [`MEDIA`] | an object | `"image"`, `"audio"` or `"file"` | adapters |
//! | [`NATIVE`] | the schema of a field or of its items | see there | adapters |
//! | [`OUTPUTS`] | the parameters of a tool | `true` | tools |
//!
//! `dspy-macros` writes [`ALIASES`] as text, because a proc macro would compile this crate a second time.

/// Prefix of every keyword of this module.
pub const PREFIX: &str = "x-";

/// Other names that a reply may use for a member, or for the choice of a `const`.
pub const ALIASES: &str = "x-aliases";

/// Other names that a reply may use for the values of an `enum`, by value.
///
/// In a member's schema, [`ALIASES`] are names of the member; this keyword always applies to values.
pub const ENUM_ALIASES: &str = "x-enum-aliases";

/// Descriptions of the values of an `enum`, by value. A reply that uses one means its value.
pub const ENUM_DESCRIPTIONS: &str = "x-enum-descriptions";

/// An integer of any size, written as a string of digits if it is out of range for JSON numbers.
pub const BIG_INT: &str = "x-big-int";

/// A string that holds code: if it is the whole reply, its value is the content of the only code fence.
pub const CODE: &str = "x-code";

/// The programming language of a [`CODE`] string, e.g. `"Python"`.
pub const LANGUAGE: &str = "x-language";

/// A document that prompts show with its title and its source.
pub const DOCUMENT: &str = "x-document";

/// The earlier turns of a conversation, which are sent as messages.
pub const HISTORY: &str = "x-history";

/// An image, audio or another file, which is sent as a separate part of the message, not in its text.
pub const MEDIA: &str = "x-media";

/// A field that some models accept or return beside the text: `"tool"`, `"tool_calls"`, `"trajectory"`, `"thought"` or
/// `"reasoning"`.
pub const NATIVE: &str = "x-native";

/// Parameters of a tool that are the outputs of a signature, and are decoded as leniently as replies.
pub const OUTPUTS: &str = "x-outputs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_begins_with_the_prefix() {
        let all = [
            ALIASES,
            ENUM_ALIASES,
            ENUM_DESCRIPTIONS,
            BIG_INT,
            CODE,
            LANGUAGE,
            DOCUMENT,
            HISTORY,
            MEDIA,
            NATIVE,
            OUTPUTS,
        ];
        for (at, keyword) in all.iter().enumerate() {
            assert!(keyword.starts_with(PREFIX), "{keyword}");
            assert!(!all[..at].contains(keyword), "{keyword} is the name of two");
        }
    }
}
