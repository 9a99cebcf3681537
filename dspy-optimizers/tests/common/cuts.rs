//! Runs that are killed at every event of their journal.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

use std::path::PathBuf;

use crate::common::{calls_in, folder, journal_of, leave};

/// Runs to the end, then from every beginning of the journal that a kill can leave: the result is the same, and no
/// recorded call is made again. A run returns its result and the number of calls that it has made.
pub async fn same_after_every_kill<T: PartialEq + std::fmt::Debug>(
    name: &str,
    run: impl AsyncFn(PathBuf) -> (T, usize),
) {
    let (whole, part) = (folder(&format!("{name}-whole")), folder(&format!("{name}-part")));
    let (unbroken, total) = run(whole.clone()).await;
    let journal = journal_of(&whole);
    assert_eq!(calls_in(&journal), total, "every call is in the journal");
    for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
        leave(&part, &journal[..end]);
        let (resumed, calls) = run(part.clone()).await;
        assert_eq!(resumed, unbroken, "cut at byte {end}");
        assert_eq!(calls, total - calls_in(&journal[..end]), "cut at byte {end}");
        std::fs::remove_dir_all(&part).unwrap();
    }
    std::fs::remove_dir_all(whole).unwrap();
}
