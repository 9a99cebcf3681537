//! What a report says is what has happened: equal causes have equal words, and a few rows are not all rows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::{Obedient, Row, one_step, right, rows};
use dspy_core::lm::{Lm, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::Settings;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::TextRequest;
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, Budget, Capo, Copro, Data, Gepa, InferRules, MiproV2, Optimizer,
};

const NOTHING: &str = "[[ ## instruction ## ]]\n[[ ## completed ## ]]";

/// The warnings of a run whose other model calls answer with markers alone, too.
async fn warnings<O: Optimizer<DynPredict, Row>>(optimizer: O) -> Vec<String> {
    let lm = Obedient::new();
    let silent = Lm::custom(ScriptedLm::from_fn(|request| {
        let system = request.messages[0].text();
        let fields = ["merged_instruction", "paraphrase", "revised_text", "rules", "instruction"];
        let field =
            fields.into_iter().find(|field| system.contains(&format!("`{field}`"))).unwrap_or("summary");
        format!("[[ ## {field} ## ]]\n\n[[ ## completed ## ]]")
    }));
    let run = optimizer.compile(one_step(&lm), Data::new(rows(20)).valset(rows(20)));
    Settings::new().lm(silent).scope(run).await.unwrap().report().warnings.clone()
}

#[tokio::test]
async fn a_text_of_markers_alone_is_blank_for_every_optimizer() {
    let nothing = async |request: TextRequest| Ok(vec![NOTHING.to_owned(); request.count]);
    let count = |warnings: &[String]| {
        let count = warnings.iter().find_map(|warning| {
            let rest = warning.strip_prefix("the proposer has returned ")?;
            let (count, rest) = rest.split_once(" blank text")?;
            assert!(rest.ends_with(" for `self`; none of them was scored"), "{warning}");
            count.parse::<usize>().ok()
        });
        assert!(warnings.iter().all(|warning| !warning.contains("empty")), "{warnings:?}");
        count.unwrap_or_else(|| panic!("{warnings:?}"))
    };
    let copro = Copro::builder().metric(right).breadth(3).depth(2);
    assert_eq!(count(&warnings(copro.clone().proposer(nothing).build()).await), 5);
    assert!(count(&warnings(copro.build()).await) > 0, "the default proposer");
    let capo = Capo::builder().metric(right).population(3).crossovers(1).steps(1).max_shots(0);
    // Two of the proposer, and a paraphrase.
    assert_eq!(count(&warnings(capo.proposer(nothing).build()).await), 3);
    let gepa = || Gepa::builder().metric(right).max_rollouts(60);
    let proposals = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = proposals.clone();
    let counted = move |request: TextRequest| {
        counter.fetch_add(request.count.max(1), std::sync::atomic::Ordering::SeqCst);
        async { Ok(vec![NOTHING.to_owned()]) }
    };
    let found = count(&warnings(gepa().proposer(counted).build()).await);
    assert_eq!(found, proposals.load(std::sync::atomic::Ordering::SeqCst));
    assert!(found > 0 && count(&warnings(gepa().build()).await) > 0);
    let mipro = MiproV2::builder().metric(right).num_candidates(3).num_trials(2).proposer(nothing).build();
    assert!(count(&warnings(mipro).await) > 0);
    let rules = InferRules::builder().metric(right).num_candidates(2).build();
    assert!(count(&warnings(rules).await) > 0);
}

#[tokio::test]
async fn a_few_rows_of_zero_say_nothing_about_the_metric() {
    let said = async |size: usize, budget: Budget| {
        let lm = ScriptedLm::from_fn(|_| "[[ ## answer ## ]]\nsilence\n\n[[ ## completed ## ]]");
        let mut program = DynPredict::new("question -> answer".parse().unwrap());
        dspy_core::program::HasPredictors::set_lm(&mut program, Lm::custom(lm));
        let search = BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(0).budget(budget);
        let search = search.metric(|_: &Row, _: &Values| 0.0).build();
        let optimized = search.compile(program, &rows(size)).await.unwrap();
        let warnings = optimized.report().warnings.clone();
        warnings.into_iter().find(|warning| warning.starts_with("every score is 0"))
    };
    for (size, seen) in [(40, 0), (40, 1), (40, 9), (5, 4)] {
        assert_eq!(said(size, Budget::calls(seen)).await, None, "{seen} of {size}");
    }
    for (size, seen) in [(40, 10), (40, 25), (5, 5), (1, 1)] {
        let warning = said(size, Budget::calls(seen)).await.unwrap_or_default();
        let rows = if seen == 1 { "1 row".to_owned() } else { format!("{seen} rows") };
        assert!(warning.starts_with(&format!("every score is 0, on {rows}, ")), "{warning}");
    }
    assert!(said(40, Budget::UNLIMITED).await.unwrap().contains("on 40 rows,"));
}

/// The files below a folder, with their content up to their own tests.
fn sources(folder: &Path, all: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((path, text.split("#[cfg(test)]").next().unwrap().to_owned()));
        }
    }
}

/// The methods of builders that are defined in a text.
fn setters(text: &str) -> BTreeSet<String> {
    let named = |line: &str| {
        let line = line.trim().strip_prefix("pub ")?;
        let (name, rest) =
            line.strip_prefix("const ").unwrap_or(line).strip_prefix("fn ")?.split_once('(')?;
        let is_setter = rest.starts_with("mut self") || rest.starts_with("mut $self");
        is_setter.then(|| name.split('<').next().unwrap().to_owned())
    };
    text.lines().filter_map(named).collect()
}

/// The names in backticks in the strings of a text, which may have the name of an optimizer before them.
fn advised(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let words = code.split('`').skip(1);
    let is_name = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn messages_name_only_methods_that_the_optimizer_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let of_macro = |file: &str, from: &str| {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        setters(text.split(from).nth(1).unwrap())
    };
    let options = of_macro("options.rs", "macro_rules! option_setters");
    let teacher = of_macro("bootstrap_few_shot/settings.rs", "macro_rules! teacher_setters");
    // The methods of each room, which is a folder or a file of an optimizer or a part that several share.
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut all = options.clone();
    for (path, text) in &files {
        let room = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let own = rooms.entry(room).or_default();
        own.extend(setters(text));
        if text.contains("teacher_setters!();") || text.contains("bootstrap_setters!();") {
            own.extend(teacher.clone());
        }
        all.extend(setters(text));
    }
    assert!(all.len() > 80 && rooms["gepa"].contains("max_chars") && teacher.contains("metric_threshold"));
    // The parts of these errors and warnings that optimizers without the method do not have.
    let only = [
        ("error.rs", "metric_threshold", "bootstrap_finetune"),
        ("strategy.rs", "optimizer", "better_together"),
    ];
    for (path, text) in &files {
        let room = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
        for name in advised(text).into_iter().filter(|name| all.contains(name)) {
            let of = only.iter().find(|(known, method, _)| *known == room && *method == name);
            let known = of.map_or(room, |(.., of)| of);
            let is_known = options.contains(&name) || rooms[known].contains(&name);
            assert!(is_known, "{} advises `{name}`, which its optimizer does not have", path.display());
        }
    }
}
