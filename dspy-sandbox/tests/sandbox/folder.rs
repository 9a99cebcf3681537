//! The folder of the prepared interpreter: no other user can put code into it, and damage is noticed.

#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dspy_strategies::Interpreter as _;
use serde_json::json;

use crate::common::{prepared, strict};
use crate::folder_source::Folder;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder for one test, empty.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

/// Returns the files and folders below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn a_file_is_read_only_as_the_user_has_written_it() {
    let path = fresh("file");
    let folder = Folder::open(Some(&path)).unwrap();
    assert_eq!(mode(&path), 0o700);
    let write = || folder.write("a", b"the contents").unwrap();
    write();
    let file = path.join("a");
    assert_eq!((folder.read("a").as_deref(), mode(&file)), (Some(&b"the contents"[..]), 0o600));
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        assert_eq!(folder.read("a"), None, "byte {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert_eq!(folder.read("a"), None, "{at} bytes");
    }
    write();
    for open in [0o620, 0o602, 0o666] {
        set_mode(&file, open);
        assert_eq!(folder.read("a"), None, "{open:o}");
    }
    fs::rename(&file, path.join("b")).unwrap();
    set_mode(&path.join("b"), 0o600);
    assert!(folder.read("b").is_some());
    symlink("b", &file).unwrap();
    assert_eq!(folder.read("a"), None);
    write();
    assert!(folder.read("a").is_some());
    // Only root can give files away.
    if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
        assert_eq!(folder.read("a"), None);
    }
    fs::remove_dir_all(&path).unwrap();
}

#[test]
fn every_level_of_the_native_code_is_checked() {
    let path = fresh("levels");
    let folder = Folder::open(Some(&path)).unwrap();
    assert_eq!(folder.contents("native"), None);
    let native = folder.create("native").unwrap();
    assert_eq!((mode(&native), folder.contents("native")), (0o700, None));
    fs::create_dir(native.join("modules")).unwrap();
    fs::write(native.join("modules/code"), "code").unwrap();
    fs::write(native.join("modules/code.stats"), "no code").unwrap();
    for path in below(&native) {
        set_mode(&path, if path.is_dir() { 0o777 } else { 0o666 });
    }
    assert_eq!(folder.contents("native"), None);
    folder.close_off("native").unwrap();
    let listed = folder.contents("native").unwrap();
    assert_eq!(listed, format!("{} native/modules/code\n", blake3::hash(b"code").to_hex()));
    for path in below(&native) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    for (name, open, closed) in
        [("", 0o777, 0o700), ("modules", 0o720, 0o700), ("modules/code", 0o602, 0o600)]
    {
        set_mode(&native.join(name), open);
        assert_eq!(folder.contents("native"), None, "{name}");
        set_mode(&native.join(name), closed);
        assert!(folder.contents("native").is_some(), "{name}");
    }
    fs::write(native.join("modules/more"), "more").unwrap();
    assert_ne!(folder.contents("native").unwrap_or_default(), listed);
    fs::remove_file(native.join("modules/more")).unwrap();
    symlink("/bin/sh", native.join("modules/more")).unwrap();
    assert_eq!(folder.contents("native"), None);
    fs::remove_dir_all(&path).unwrap();
}

#[test]
fn folders_above_must_not_let_others_replace_it() {
    let above = fresh("above");
    let path = above.join("middle").join("python");
    Folder::open(Some(&path)).unwrap();
    for (name, open, part) in [
        ("", 0o777, Some("others can rename what is in it")),
        ("middle", 0o720, Some("others can rename what is in it")),
        ("middle", 0o1777, None),
        ("middle/python", 0o777, Some("others can write to it")),
        ("middle/python", 0o755, None),
    ] {
        set_mode(&above.join(name), open);
        let opened = Folder::open(Some(&path)).map(drop).map_err(|error| error.to_string());
        match part {
            None => assert_eq!(opened, Ok(())),
            Some(part) => {
                assert!(opened.as_ref().is_err_and(|told| told.contains(part)), "{name}: {opened:?}");
            }
        }
        set_mode(&above.join(name), 0o700);
    }
    if std::os::unix::fs::chown(above.join("middle"), Some(12_345), None).is_ok() {
        let told = Folder::open(Some(&path)).unwrap_err().to_string();
        assert!(told.contains("it belongs to another user"), "{told}");
    }
    fs::remove_dir_all(&above).unwrap();
}

/// Returns the prepared component in a folder.
fn component(folder: &Path) -> PathBuf {
    let is_component = |path: &PathBuf| path.extension().is_some_and(|end| end == "wasm");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(is_component).unwrap()
}

/// Two processes find half of a prepared file. One of them prepares it, the other one waits; whatever the `umask`, what they
/// leave is the user's alone.
#[tokio::test]
async fn two_processes_repair_a_damaged_file_once() {
    const CHILD: &str = "DSPY_SANDBOX_FOLDER";
    if let Some(folder) = std::env::var_os(CHILD) {
        let sandbox = strict().folder(&folder).build();
        sandbox.prepare().await.unwrap();
        let ran = sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await;
        assert_eq!(ran.outcome, Ok(json!(42)));
        let found = fs::metadata(component(Path::new(&folder))).unwrap();
        println!("\nprepared {} {}", found.ino(), found.mtime());
        return;
    }
    if !prepared(&strict().build()).await {
        return;
    }
    let path = fresh("damaged");
    Folder::open(Some(&path)).unwrap();
    let source = component(Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/python")));
    let damaged = path.join(source.file_name().unwrap());
    fs::write(&damaged, &fs::read(&source).unwrap()[..1_000_000]).unwrap();
    let child = || {
        Command::new("sh")
            .args(["-c", "umask 0; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "folder::two_processes_repair_a_damaged_file_once", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [child(), child()];
    let told = children.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let told = String::from_utf8(output.stdout).unwrap();
        told.lines().find(|line| line.starts_with("prepared ")).unwrap().to_owned()
    });
    assert_eq!(told[0], told[1]);
    for path in below(&path) {
        // The cache keeps its statistics in files with a dot, below a folder that only the user can enter.
        let counts = path.is_dir() || !path.file_name().unwrap().to_str().unwrap().contains(".stats");
        assert!(!counts || mode(&path).trailing_zeros() >= 6, "{}: {:o}", path.display(), mode(&path));
    }
    fs::remove_dir_all(&path).unwrap();
}

/// A prepared folder that cannot be written to, such as a part of an image, is used as it is.
#[tokio::test]
async fn a_prepared_folder_need_not_be_writable() {
    const CHILD: &str = "DSPY_SANDBOX_CLOSED";
    /// Root writes everywhere, and becomes another user.
    const USER: u32 = 12_345;
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = Path::new(&folder);
        let sandbox = strict().folder(folder.join("whole")).build();
        sandbox.prepare().await.unwrap();
        let ran = sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await;
        assert_eq!(ran.outcome, Ok(json!(42)));
        let told = strict().folder(folder.join("empty")).build().prepare().await.unwrap_err().to_string();
        assert!(told.contains("cannot be written to") && told.contains("`Sandbox::prepare`"), "{told}");
        println!("\nused as it is");
        return;
    }
    if !prepared(&strict().build()).await {
        return;
    }
    let path = std::env::temp_dir().join(format!("dspy-closed-{}", std::process::id()));
    let (whole, empty) = (path.join("whole"), path.join("empty"));
    Folder::open(Some(&whole)).unwrap();
    Folder::open(Some(&empty)).unwrap();
    let source = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/python"));
    for from in below(source) {
        let to = whole.join(from.strip_prefix(source).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        if from.is_file() {
            fs::copy(&from, &to).unwrap();
        }
    }
    let is_root = std::os::unix::fs::chown(&path, Some(USER), None).is_ok();
    for file in below(&path) {
        set_mode(&file, if file.is_dir() { 0o500 } else { 0o400 });
        if is_root {
            std::os::unix::fs::chown(&file, Some(USER), None).unwrap();
        }
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "folder::a_prepared_folder_need_not_be_writable", "--nocapture"])
        .env(CHILD, &path);
    if is_root {
        std::os::unix::process::CommandExt::uid(&mut child, USER);
    }
    match child.output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stdout);
            let failed = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.contains("used as it is"), "{told}{failed}");
        }
        Err(error) => println!("skipped: another user cannot run this program: {error}"),
    }
    for file in below(&path).into_iter().filter(|path| path.is_dir()) {
        set_mode(&file, 0o700);
    }
    fs::remove_dir_all(&path).unwrap();
}

#[tokio::test]
async fn damaged_native_code_is_compiled_anew() {
    if !prepared(&strict().build()).await {
        return;
    }
    let (source, path) = (Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/python")), fresh("native"));
    Folder::open(Some(&path)).unwrap();
    for from in below(source) {
        let to = path.join(from.strip_prefix(source).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        if from.is_file() {
            fs::copy(&from, &to).unwrap();
        }
    }
    let mut flipped = Vec::new();
    for file in below(&path).into_iter().filter(|path| path.is_dir()) {
        set_mode(&file, 0o700);
    }
    for file in below(&path).into_iter().filter(|path| path.is_file()) {
        if file.extension().is_none() && fs::metadata(&file).unwrap().len() > 1_000_000 {
            let whole = fs::read(&file).unwrap();
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 0x40;
            fs::write(&file, damaged).unwrap();
            flipped.push((file, whole));
        }
    }
    assert!(!flipped.is_empty());
    let sandbox = strict().folder(&path).build();
    sandbox.prepare().await.unwrap();
    let ran = sandbox.open(Vec::new()).await.unwrap().run("6 * 7").await;
    assert_eq!(ran.outcome, Ok(json!(42)));
    // Code of other versions of the compiler stays as it is: it is not loaded.
    assert!(flipped.iter().any(|(file, whole)| fs::read(file).is_ok_and(|now| now == *whole)));
    fs::remove_dir_all(&path).unwrap();
}
