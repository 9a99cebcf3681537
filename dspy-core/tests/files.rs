//! Files of users: what is not ours is left alone, what is ours is private and whole, and nothing blocks.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::lm::{Cache, Cassette, Lm, LmErrorKind, Message, Price, PriceTable, Request};
use dspy_core::predict::DynPredict;
use dspy_core::state::{ProgramState, StateError};
use dspy_core::types::File as Attachment;

/// A directory that is removed when the test is over.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("dspy-files-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of all that is in it.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn state() -> ProgramState {
    ProgramState::of(&program())
}

fn ask(text: &str) -> Request {
    Request::new(vec![Message::user(text)])
}

#[test]
fn a_foreign_file_is_not_replaced_by_a_program() {
    let dir = Dir::new();
    let path = dir.path("package.json");
    for foreign in [
        r#"{"name": "my-app", "dependencies": {}}"#,
        r#"{"format": "other/1"}"#,
        "[1, 2]",
        "just notes",
        "{\"format\": \"dspy-rust/1\", ",
    ] {
        fs::write(&path, foreign).unwrap();
        for result in [state().write(&path), state().write_python(&path)] {
            let error = result.unwrap_err();
            assert!(matches!(error, StateError::Foreign { .. }), "{foreign}: {error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    assert!(matches!(state().write(&path).unwrap_err(), StateError::Foreign { .. }));
    // What is ours, in either format and of any version, and an empty file, are replaced.
    let older = state().to_json().replace("dspy-rust/1", "dspy-rust/0");
    for ours in [String::new(), older, state().to_python_json(), format!("\u{feff}{}", state().to_json())] {
        fs::write(&path, ours).unwrap();
        state().write(&path).unwrap();
        assert_eq!(ProgramState::read(&path).unwrap(), state());
    }
    assert_eq!(dir.names(), ["package.json"]);
    let error = state().write(&dir.0).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn a_saved_program_may_begin_with_a_byte_order_mark() {
    let dir = Dir::new();
    for text in [state().to_json(), state().to_python_json()] {
        fs::write(dir.path("p.json"), format!("\u{feff}{text}")).unwrap();
        ProgramState::read(dir.path("p.json")).unwrap();
        ProgramState::from_json(&format!("\u{feff}{text}")).unwrap();
    }
}

#[test]
fn hostile_programs_are_errors_of_one_screen() {
    let deep = format!("{{\"format\": \"dspy-rust/1\", \"predictors\": {}", "[".repeat(100_000));
    let long = "x".repeat(1 << 20);
    let long_value = format!(r#"{{"format": "dspy-rust/1", "predictors": "{long}"}}"#);
    let long_format = format!(r#"{{"format": "{long}"}}"#);
    let long_path = format!(r#"{{"{long}": 1}}"#);
    let long_instruction =
        state().to_json().replace("\"predictors\": {", &format!("\"predictors\": {{\"{long}\": 1, "));
    for text in [&deep, &long_value, &long_format, &long_path, &long_instruction, "null", "", "{}", "\u{0}"] {
        let error = ProgramState::from_json(text).unwrap_err();
        assert!(error.to_string().len() < 4_000, "{} bytes", error.to_string().len());
    }
    let mut program = program();
    let mut saved = state();
    let predictor = saved.predictors.values().next().unwrap().clone();
    saved.predictors.insert(long.clone(), predictor);
    let error = saved.apply(&mut program).unwrap_err();
    assert!(error.to_string().len() < 4_000, "{} bytes", error.to_string().len());
}

#[test]
fn two_hundred_and_forty_saves_at_once_leave_a_whole_file() {
    let dir = Dir::new();
    let path = dir.path("program.json");
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..20 {
                    state().write(&path).unwrap();
                    assert_eq!(ProgramState::read(&path).unwrap(), state());
                }
            });
        }
    });
    assert_eq!(dir.names(), ["program.json"]);
}

#[tokio::test]
async fn a_foreign_file_is_not_recorded_over_and_nothing_is_paid() {
    let dir = Dir::new();
    let path = dir.path("notes.json");
    for foreign in [r#"{"name": "x"}"#, "just notes", "[]"] {
        fs::write(&path, foreign).unwrap();
        let lm = Lm::scripted(["paid"]);
        let error = lm.clone().layer(Cassette::record(&path)).complete(ask("?")).await.unwrap_err();
        assert_eq!(error.kind, LmErrorKind::Configuration, "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
        assert_eq!(lm.ask("?").await.unwrap(), "paid", "nothing was asked before");
    }
    // A cassette is recorded anew, if it is one of another version.
    fs::write(&path, r#"{"cassette": 99}"#).unwrap();
    Lm::scripted(["new"]).layer(Cassette::record(&path)).complete(ask("?")).await.unwrap();
    assert!(Cassette::replay(&path).is_ok());
    let error = Lm::scripted(["x"]).layer(Cassette::record(&dir.0)).complete(ask("?")).await.unwrap_err();
    assert!(error.message.contains("directory"), "{error}");
}

#[tokio::test]
async fn an_answer_from_the_future_is_not_good_for_longer() {
    let dir = Dir::new();
    let lm = |reply: &str| Lm::scripted([reply.to_owned()]);
    let cache = || Cache::builder().dir(&dir.0).ttl(std::time::Duration::from_hours(1)).build();
    lm("first").cache(&cache()).complete(ask("?")).await.unwrap();
    let shard = fs::read_dir(&dir.0).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let at = text.lines().find(|line| line.trim_start().starts_with("\"at\"")).unwrap();
    let text = text.replace(at, "  \"at\": 4070908800000,");
    // Its seal is made anew: the date is the only thing that is odd about it.
    let (body, _) = text.split_once(",\n  \"blake3\": \"").unwrap();
    let seal = blake3::hash(body.as_bytes()).to_hex();
    fs::write(&file, format!("{body},\n  \"blake3\": \"{seal}\"\n}}\n")).unwrap();
    let forever = Cache::at(&dir.0);
    assert!(lm("x").cache(&forever).complete(ask("?")).await.unwrap().cached, "the file is sound");
    assert!(!lm("second").cache(&cache()).complete(ask("?")).await.unwrap().cached);
}

#[tokio::test]
async fn prices_that_are_none_are_refused() {
    for rates in [
        r#"{"input": -1, "output": 1}"#,
        r#"{"input": 1, "output": -0.5}"#,
        r#"{"input": 1, "output": 1, "cache_read": -1}"#,
        r#"{"input": 1, "output": 1, "long": {"above": 5, "input": -1, "output": 1}}"#,
        r#"{"input": 1e999, "output": 1}"#,
        r#"{"input": null, "output": 1}"#,
    ] {
        let vendor = format!(r#"{{"provider": "p", "models": {{"m": {rates}}}}}"#);
        let table = format!(r#"{{"as_of": "2026-01-01", "vendors": [{vendor}]}}"#);
        assert!(PriceTable::from_json(&table).is_err(), "{rates}");
    }
    for price in [
        Price::per_million(f64::NAN, 1.0),
        Price::per_million(1.0, -1.0),
        Price::per_million(f64::INFINITY, 0.0),
    ] {
        let error = Lm::scripted(["x"]).price(price).complete(ask("?")).await.unwrap_err();
        assert!(error.message.contains("price"), "not known is not free: {error}");
        let lm = Lm::scripted(["x"]);
        let mut table = PriceTable::new();
        table.insert(lm.id(), price);
        let error = table.scope(async { lm.complete(ask("?")).await.unwrap_err() }).await;
        assert!(error.message.contains("price"), "{error}");
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    fn entries(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn what_holds_content_is_for_its_owner() {
        let dir = Dir::new();
        let (program, cassette, cache) = (dir.path("a/b/p.json"), dir.path("c/c.json"), dir.path("cache"));
        state().write(&program).unwrap();
        Lm::scripted(["x"]).layer(Cassette::record(&cassette)).complete(ask("?")).await.unwrap();
        Lm::scripted(["x"]).cache(&Cache::at(&cache)).complete(ask("?")).await.unwrap();
        let shard = entries(&cache).remove(0);
        for file in [&program, &cassette, &entries(&shard)[0]] {
            assert_eq!(mode(file), 0o600, "{}", file.display());
        }
        for folder in [&dir.path("a"), &dir.path("a/b"), &dir.path("c"), &cache, &shard] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        // What somebody has set stays.
        for set in [0o644, 0o600, 0o640] {
            fs::set_permissions(&program, fs::Permissions::from_mode(set)).unwrap();
            fs::set_permissions(&cassette, fs::Permissions::from_mode(set)).unwrap();
            state().write(&program).unwrap();
            Lm::scripted(["x"]).layer(Cassette::record(&cassette)).complete(ask("?")).await.unwrap();
            assert_eq!((mode(&program), mode(&cassette)), (set, set));
        }
    }

    #[test]
    fn planted_links_are_not_followed() {
        let dir = Dir::new();
        let (victim, program) = (dir.path("victim"), dir.path("p.json"));
        fs::write(&victim, "mine").unwrap();
        // As earlier versions named their temporary file.
        symlink(&victim, dir.path(&format!("p.json.{}.tmp", std::process::id()))).unwrap();
        state().write(&program).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        // A link in the place of the file itself is replaced, if it leads to a program, and what it leads to stays.
        let old = dir.path("old.json");
        state().write(&old).unwrap();
        let before = fs::read(&old).unwrap();
        let link = dir.path("link.json");
        symlink(&old, &link).unwrap();
        state().write_python(&link).unwrap();
        assert_eq!(fs::read(&old).unwrap(), before);
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
        let link = dir.path("foreign.json");
        symlink(&victim, &link).unwrap();
        assert!(matches!(state().write(&link).unwrap_err(), StateError::Foreign { .. }));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    /// The work, which must not wait for anything, on a thread of its own.
    fn done<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(work()));
        receiver.recv_timeout(std::time::Duration::from_mins(1)).unwrap()
    }

    #[test]
    fn pipes_and_devices_are_refused_and_nothing_waits() {
        let dir = Dir::new();
        let path = dir.path("pipe.txt");
        pipe(&path);
        for path in [path, PathBuf::from("/dev/zero"), PathBuf::from("/dev/tty")] {
            let errors = done(move || {
                [
                    Attachment::from_path(&path).unwrap_err().to_string(),
                    dspy_core::types::Image::from_path(&path).unwrap_err().to_string(),
                    ProgramState::read(&path).unwrap_err().to_string(),
                    state().write(&path).unwrap_err().to_string(),
                    Cassette::replay(&path).unwrap_err().to_string(),
                ]
            });
            for error in errors {
                assert!(error.contains("regular file") || error.contains("/dev/tty"), "{error}");
            }
        }
        assert!(fs::symlink_metadata("/dev/zero").unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_pipe_in_the_place_of_an_answer_is_a_miss() {
        let dir = Dir::new();
        let root = dir.0.clone();
        done(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                Lm::scripted(["x"]).cache(&Cache::at(&root)).complete(ask("?")).await.unwrap();
                let file = entries(&entries(&root)[0]).remove(0);
                fs::remove_file(&file).unwrap();
                pipe(&file);
                let cache = Cache::at(&root);
                let response = Lm::scripted(["again"]).cache(&cache).complete(ask("?")).await.unwrap();
                assert!(!response.cached);
                assert_eq!(cache.stats().write_errors, 1, "what is not ours is not replaced");
                assert!(fs::symlink_metadata(&file).unwrap().file_type().is_fifo());
                // A link to somewhere else is no answer either, whatever it leads to.
                let elsewhere = root.join("elsewhere");
                fs::remove_file(&file).unwrap();
                Lm::scripted(["x"]).cache(&Cache::at(&root)).complete(ask("?")).await.unwrap();
                fs::rename(&file, &elsewhere).unwrap();
                symlink(&elsewhere, &file).unwrap();
                let response = Lm::scripted(["y"]).cache(&Cache::at(&root)).complete(ask("?")).await.unwrap();
                assert!(!response.cached && elsewhere.exists());
            });
        });
    }

    #[test]
    fn a_link_to_a_device_is_not_replaced() {
        let dir = Dir::new();
        let path = dir.path("p.json");
        symlink("/dev/null", &path).unwrap();
        assert!(state().write(&path).is_err());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }
}
