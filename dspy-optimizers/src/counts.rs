//! Numbers of things in words.

use std::fmt::Display;

/// Formats a number of things, such as `1 row` and `2 rows`. `noun` is the singular.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let noun = named(number == N::from(1), noun);
    format!("{number} {noun}")
}

/// Returns the name of one thing, or of any other number of them. `noun` is the singular.
pub(crate) fn named(is_one: bool, noun: &str) -> String {
    let plural = if is_one { "" } else { "s" };
    format!("{noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular() {
        let shown = [counted(0_usize, "row"), counted(1_u64, "call"), counted(12_u32, "held-out row")];
        assert_eq!(shown, ["0 rows", "1 call", "12 held-out rows"]);
    }
}
