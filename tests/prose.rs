//! The wording of docs, by the rules in CONTRIBUTING.md: how a doc comment begins, and words that have a better one.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

/// Words with a term of the field in their place.
const GLOSSARY: &[(&str, &str)] = &[
    (r"at first", "by default, initially"),
    (r"stands? (here|there) twice", "duplicate"),
    (r"truth values?", "boolean"),
    (r"beyond (all )?measure", "out of range"),
    (r"to be mended|mends?|mended", "fix, repair"),
    (r"re-?asks?|ask(s|ed|ing)? again", "re-prompt, retry"),
    (r"cuts? off", "truncated"),
    (r"set aside", "reserved"),
    (r"under way", "in flight"),
    (r"of (one's|my|your|a user's) own", "custom, own"),
    (r"broken? down", "failed, panicked"),
    (r"a text", "a string, text"),
    (r"nobody|somebody", "name the caller, the code or the process"),
    (r"patience", "retry policy"),
    (r"the (door|gate)", "dispatch, rate limiter"),
];

#[test]
fn docs_keep_to_the_glossary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let opening = Regex::new(r"^\s*//[/!] (What|Which|How|Who|Whose|Why|Where|When)\b").unwrap();
    let glossary: Vec<_> = GLOSSARY
        .iter()
        .map(|(words, better)| (Regex::new(&format!(r"(?i)\b({words})\b")).unwrap(), *better))
        .collect();
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    collect(root, &mut files);
    for file in &files {
        let shown = file.strip_prefix(root).unwrap().display();
        let in_examples = file.components().any(|part| part.as_os_str() == "examples");
        let (mut in_code, mut in_doc) = (false, false);
        for (line, text) in
            fs::read_to_string(file).unwrap().lines().enumerate().map(|(at, text)| (at + 1, text))
        {
            // The doc comments of signatures are prompts, which speak to a model.
            if text.trim_start().starts_with("///") && in_examples {
                continue;
            }
            let doc = text.trim_start().starts_with("///") || text.trim_start().starts_with("//!");
            if doc
                && !in_doc
                && let Some(word) = opening.captures(text)
            {
                findings
                    .push(format!("{shown}:{line}: opens with `{}`: begin with a verb or a noun", &word[1]));
            }
            in_doc = doc;
            let prose = match text.split_once("//") {
                _ if file.extension().is_some_and(|end| end == "md") => text,
                Some((_, comment)) => comment,
                None => continue,
            };
            if prose.trim_start_matches(['/', '!', ' ']).starts_with("```") {
                in_code = !in_code;
            }
            if !in_code {
                let hits = glossary.iter().filter_map(|(words, better)| Some((words.find(prose)?, better)));
                findings.extend(
                    hits.map(|(hit, better)| format!("{shown}:{line}: `{}`: better {better}", hit.as_str())),
                );
            }
        }
    }
    assert!(files.len() > 10, "{files:?}");
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

/// The Rust and Markdown files of the repository without tests, builds and the log of changes.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "tests", "data", "fuzz"].contains(&name) {
                collect(&path, files);
            }
        } else if !["tests.rs", "snapshots.rs"].contains(&name)
            && path.extension().is_some_and(|end| end == "rs" || end == "md")
            && name != "CHANGELOG.md"
        {
            files.push(path);
        }
    }
}
