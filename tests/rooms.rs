//! The rooms of each crate import only what lies below them. The table is the architecture: a new arrow needs a line
//! here, and one that points upwards cannot have one.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A crate with its rooms from the lowest up, each with the rooms that it imports. A room is a folder or file directly
/// below `src`; what all may use (`error` helpers, macros) is no room.
type Crate = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const CRATES: &[Crate] = &[
    (
        "dspy-decode",
        &[
            ("block", &[]),
            ("code", &[]),
            ("docs", &[]),
            ("error", &[]),
            ("path", &[]),
            ("text", &[]),
            ("thoughts", &[]),
            ("type_text", &[]),
            ("plan", &["code", "docs", "error", "type_text"]),
            ("report", &["path"]),
            ("show", &["type_text"]),
            ("sample", &["plan"]),
            ("tree", &["report"]),
            ("loose", &["block", "code", "text", "report", "tree"]),
            ("strict", &["text", "plan", "tree"]),
            ("candidates", &["plan", "tree", "loose", "strict"]),
            ("repair", &["text", "plan", "report", "tree", "strict"]),
            ("soundness", &["report", "tree", "repair"]),
            (
                "coerce",
                &["block", "code", "error", "path", "text", "plan", "report", "tree", "loose", "soundness"],
            ),
            ("yaml", &["block", "report", "tree", "loose", "soundness"]),
            (
                "root",
                &[
                    "code",
                    "error",
                    "path",
                    "text",
                    "thoughts",
                    "plan",
                    "report",
                    "tree",
                    "loose",
                    "strict",
                    "candidates",
                    "repair",
                    "soundness",
                    "coerce",
                    "yaml",
                ],
            ),
        ],
    ),
    (
        "dspy-lm",
        &[
            ("types", &[]),
            ("secret", &[]),
            ("json", &[]),
            ("environment", &[]),
            ("price_table", &["types"]),
            ("observe", &["types", "secret"]),
            ("call", &["types", "secret", "price_table", "observe"]),
            ("money", &["types", "call"]),
            ("network", &["types", "secret", "json", "observe", "call"]),
            ("protocols", &["types", "json", "call", "network"]),
            ("providers", &["types", "environment", "protocols"]),
            ("embed", &["types", "json", "network", "protocols"]),
            (
                "endpoint",
                &["types", "secret", "environment", "call", "network", "protocols", "providers", "embed"],
            ),
            ("builtin", &["types", "call"]),
            ("model_name", &["types", "environment", "call", "providers", "embed", "endpoint", "builtin"]),
            ("scripted", &["types", "call"]),
            ("combine", &["types", "call"]),
            ("reuse", &["types", "secret", "environment", "observe", "call", "providers"]),
        ],
    ),
    (
        "dspy-core",
        &[
            ("suggest", &[]),
            ("types", &[]),
            ("signature", &["types"]),
            ("observe", &["signature"]),
            ("tools", &["types", "observe"]),
            ("adapter", &["types", "signature", "tools"]),
            ("recovery", &["adapter"]),
            ("error", &["signature", "observe", "adapter"]),
            ("settings", &["observe", "adapter", "recovery"]),
            ("retrieve", &["error"]),
            ("data", &["signature", "error"]),
            (
                "predictor",
                &["suggest", "types", "signature", "observe", "adapter", "recovery", "error", "settings"],
            ),
            ("state", &["types", "signature", "error", "predictor"]),
            (
                "program",
                &[
                    "signature",
                    "observe",
                    "tools",
                    "recovery",
                    "error",
                    "settings",
                    "data",
                    "predictor",
                    "state",
                ],
            ),
            ("predict", &["signature", "adapter", "error", "predictor", "program"]),
            ("evaluate", &["suggest", "signature", "error", "data", "predictor", "program", "predict"]),
            ("finetune", &["signature", "error", "predictor", "program"]),
            ("testing", &["signature", "tools", "adapter", "predictor"]),
            ("__private", &["signature", "tools", "program"]),
        ],
    ),
    (
        "dspy-strategies",
        &[
            ("visit", &[]),
            ("scope", &[]),
            ("reward", &["scope"]),
            ("majority", &[]),
            ("text", &[]),
            ("advice", &["text"]),
            ("account", &[]),
            ("react", &["visit", "text", "advice", "account"]),
            ("replay", &["scope"]),
            ("assertions", &["visit", "advice", "react", "replay", "scope"]),
            ("sampling", &["assertions", "react", "scope"]),
            ("attempts", &["sampling", "reward", "advice", "react", "scope"]),
            ("best_of_n", &["visit", "sampling", "reward", "scope"]),
            ("self_consistency", &["visit", "sampling", "majority"]),
            ("multi_chain", &["visit", "sampling"]),
            ("refine", &["visit", "advice", "attempts"]),
            ("reflexion", &["visit", "advice", "attempts"]),
            ("debate", &["visit", "majority", "multi_chain"]),
            ("parallel", &["assertions", "scope"]),
            ("code", &["visit", "text", "account"]),
        ],
    ),
    (
        "dspy-optimizers",
        &[
            ("counts", &[]),
            ("identity", &[]),
            ("component", &[]),
            ("words", &[]),
            ("playbook", &["counts", "words"]),
            ("budget", &[]),
            ("paired", &[]),
            ("fruitless", &["counts"]),
            ("headroom", &["counts", "paired"]),
            ("report", &["counts", "headroom"]),
            ("journal", &["counts", "budget", "report"]),
            ("report_html", &["counts", "report"]),
            ("events", &["counts", "report"]),
            ("samplers", &["counts"]),
            ("auto", &[]),
            ("strategy", &[]),
            ("error", &["counts", "component", "journal", "strategy"]),
            ("optimized", &["identity", "report", "error"]),
            ("data", &["error"]),
            ("verify", &["report", "error", "data"]),
            ("race", &["counts", "paired", "report", "error", "data"]),
            ("options", &["events", "verify"]),
            ("estimate", &["data"]),
            ("optimizer", &["optimized", "error", "data", "estimate"]),
            (
                "engine",
                &[
                    "counts",
                    "identity",
                    "component",
                    "budget",
                    "journal",
                    "fruitless",
                    "headroom",
                    "report",
                    "events",
                    "optimized",
                    "error",
                    "data",
                    "verify",
                    "race",
                    "options",
                    "estimate",
                ],
            ),
            ("minibatch", &["report", "data", "engine"]),
            ("proposer", &["identity", "component", "playbook", "fruitless", "error", "estimate", "engine"]),
            (
                "builder",
                &[
                    "counts",
                    "headroom",
                    "optimized",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "optimizer",
                    "engine",
                ],
            ),
            ("demos", &["data"]),
            ("labeled_few_shot", &["report", "optimized", "error", "data", "estimate", "optimizer", "demos"]),
            (
                "bootstrap_few_shot",
                &[
                    "counts",
                    "identity",
                    "report",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "engine",
                    "builder",
                    "demos",
                    "labeled_few_shot",
                ],
            ),
            (
                "random_search",
                &[
                    "report",
                    "error",
                    "data",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "builder",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "tpe_search",
                &[
                    "report",
                    "samplers",
                    "error",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "builder",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "better_together",
                &[
                    "headroom",
                    "report",
                    "optimized",
                    "strategy",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "optimizer",
                    "engine",
                    "builder",
                ],
            ),
            (
                "bootstrap_finetune",
                &[
                    "counts",
                    "report",
                    "error",
                    "options",
                    "estimate",
                    "engine",
                    "builder",
                    "demos",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "ensemble",
                &[
                    "counts",
                    "report",
                    "optimized",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "optimizer",
                    "engine",
                    "builder",
                ],
            ),
            (
                "gepa",
                &[
                    "counts",
                    "component",
                    "words",
                    "paired",
                    "report",
                    "auto",
                    "error",
                    "data",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "proposer",
                    "builder",
                    "demos",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "ace",
                &[
                    "counts",
                    "component",
                    "playbook",
                    "fruitless",
                    "report",
                    "error",
                    "data",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "proposer",
                    "builder",
                    "gepa",
                ],
            ),
            (
                "knn_few_shot",
                &[
                    "report",
                    "optimized",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "optimizer",
                    "engine",
                    "builder",
                    "demos",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "capo",
                &[
                    "fruitless",
                    "identity",
                    "report",
                    "error",
                    "data",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "proposer",
                    "builder",
                    "demos",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "copro",
                &["report", "error", "race", "options", "estimate", "engine", "proposer", "builder", "demos"],
            ),
            (
                "infer_rules",
                &[
                    "fruitless",
                    "identity",
                    "report",
                    "error",
                    "data",
                    "race",
                    "options",
                    "estimate",
                    "engine",
                    "proposer",
                    "builder",
                    "demos",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "simba",
                &[
                    "counts", "paired", "identity", "report", "samplers", "error", "data", "race", "options",
                    "estimate", "engine", "proposer", "builder", "gepa",
                ],
            ),
            (
                "module_opro",
                &[
                    "counts", "report", "error", "options", "estimate", "engine", "proposer", "builder",
                    "demos",
                ],
            ),
            (
                "mipro_v2",
                &[
                    "counts",
                    "report",
                    "samplers",
                    "auto",
                    "error",
                    "data",
                    "options",
                    "estimate",
                    "engine",
                    "proposer",
                    "builder",
                    "bootstrap_few_shot",
                ],
            ),
            (
                "portfolio",
                &[
                    "counts",
                    "budget",
                    "paired",
                    "headroom",
                    "report",
                    "optimized",
                    "auto",
                    "error",
                    "data",
                    "verify",
                    "race",
                    "options",
                    "estimate",
                    "optimizer",
                    "engine",
                    "builder",
                    "demos",
                    "labeled_few_shot",
                    "random_search",
                    "gepa",
                    "capo",
                    "copro",
                    "infer_rules",
                    "simba",
                    "module_opro",
                    "mipro_v2",
                ],
            ),
        ],
    ),
];

#[test]
fn rooms_import_only_rooms_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for (name, rooms) in CRATES {
        let src = root.join(name).join("src");
        if !src.exists() {
            println!("{name} is not beside this crate: skipped");
            continue;
        }
        let found = imports(&src);
        let known: BTreeMap<_, _> = rooms.iter().copied().collect();
        for (at, (room, allowed)) in rooms.iter().enumerate() {
            for target in *allowed {
                if !rooms[..at].iter().any(|(lower, _)| lower == target) {
                    problems.push(format!("{name}: `{room}` is to import `{target}`, which is not below it"));
                }
                if !found.get(*room).is_some_and(|targets| targets.contains_key(*target)) {
                    problems.push(format!("{name}: `{room}` does not import `{target}` any more"));
                }
            }
        }
        for (room, targets) in &found {
            let Some(allowed) = known.get(room.as_str()) else {
                problems.push(format!("{name}: the room `{room}` is not in the table"));
                continue;
            };
            for (target, files) in targets {
                if !allowed.contains(&target.as_str()) {
                    problems.push(format!("{name}: `{room}` imports `{target}` in {files:?}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// For each room the rooms that its files name, with the files.
fn imports(src: &Path) -> BTreeMap<String, BTreeMap<String, BTreeSet<PathBuf>>> {
    let files = rust_files(src);
    let exported = exports(&code(&fs::read_to_string(src.join("lib.rs")).unwrap()));
    let top = |file: &PathBuf| room(Path::new(file.strip_prefix(src).unwrap().iter().next().unwrap()));
    let rooms: BTreeSet<String> = files.iter().map(top).collect();
    let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<PathBuf>>> = BTreeMap::new();
    for file in &files {
        let path = file.strip_prefix(src).unwrap();
        let own = top(file);
        if own == "lib" {
            continue;
        }
        let targets = found.entry(own.clone()).or_default();
        for target in named(&code(&fs::read_to_string(file).unwrap()), path) {
            let target = exported.get(&target).cloned().unwrap_or(target);
            if target != own && rooms.contains(&target) {
                targets.entry(target).or_default().insert(path.to_owned());
            }
        }
    }
    found
}

/// The rooms of the names that the root of a crate exports: `use room::path::{A, B as C};` gives `A` and `C` the room.
fn exports(root: &str) -> BTreeMap<String, String> {
    let mut rooms = BTreeMap::new();
    for statement in root.split(';') {
        let Some((before, path)) = statement.split_once("use ") else { continue };
        if !before.chars().next_back().is_none_or(char::is_whitespace) {
            continue;
        }
        let Some(room) = first_name(path.trim_start().trim_start_matches("crate::")) else { continue };
        let names =
            path.rsplit_once('{').map_or_else(|| path.rsplit("::").next().unwrap(), |(_, names)| names);
        for name in names.trim_end_matches(|c: char| c == '}' || c.is_whitespace()).split(',') {
            let name = name.rsplit(" as ").next().unwrap().rsplit("::").next().unwrap().trim();
            if !name.is_empty() && name != room {
                rooms.insert(name.to_owned(), room.clone());
            }
        }
    }
    rooms
}

fn room(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Tests look into everything.
            if path.file_name().unwrap() != "tests" {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|end| end == "rs") && path.file_stem().unwrap() != "tests" {
            files.push(path);
        }
    }
    files
}

/// The code of a file without comments and without its tests, which may look into everything.
fn code(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\nmod ");
    let mut code = parts.next().unwrap().to_owned();
    for part in parts {
        // `mod tests;` may be followed by code, a module with a body is the end of its file.
        let Some((name, rest)) = part.split_once(';') else { break };
        if name.contains('{') {
            break;
        }
        code.push_str(rest);
    }
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms that code names: by `crate::…`, or by as many `super::` as lead to the root.
fn named(code: &str, path: &Path) -> BTreeSet<String> {
    let mut depth = path.iter().count() - usize::from(path.file_stem().unwrap() == "mod");
    let mut roots = vec!["crate::".to_owned()];
    if depth > 0 {
        roots.push("super::".repeat(std::mem::take(&mut depth)));
    }
    let mut names = BTreeSet::new();
    for root in roots {
        for (at, _) in code.match_indices(&root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(top_names(group)),
                None => names.extend(first_name(rest)),
            }
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The names at the top of a group `a::{b, c}, d}`.
fn top_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}
