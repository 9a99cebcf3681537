//! What the macros say about wrong input, and that they say nothing about right input.
//!
//! One defect per file. After a change of wording: `TRYBUILD=overwrite cargo test --test ui`, and read the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::process::Command;

/// The compiler whose words stand in `ui/rustc`.
const RUSTC: &str = "rustc 1.95.";

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    for topic in [
        "structure",
        "role",
        "name",
        "attribute",
        "doc",
        "demo",
        "all",
        "module",
        "string",
        "check",
        "embedded",
        "tool",
    ] {
        cases.compile_fail(format!("tests/ui/{topic}/*.rs"));
    }
    // Errors that rustc itself reports, at our tokens and with our notes, but in words that change with its version.
    let version =
        Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    if String::from_utf8_lossy(&version).starts_with(RUSTC) {
        cases.compile_fail("tests/ui/rustc/*.rs");
        // Saved programs that do not fit the code.
        cases.compile_fail("tests/ui/drift/*.rs");
        // What is tried first, and must lead to what is right.
        cases.compile_fail("tests/ui/first/*.rs");
    }
}
