//! `OnlineAce`: playbooks that learn from finished runs, one update at a time, with the acceptance test before each.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, one_step, question, right, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::{BoxFuture, Budget, Lm};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module as _, Trace, trace};
use dspy_core::signature::Values;
use dspy_optimizers::ace::{Feedback, Learned, OnlineAce};
use dspy_optimizers::proposer::{CurationRequest, Delta, Proposer, TextProposer, TextRequest};
use dspy_optimizers::{Ace, OptimizeError, Verify};

/// A curator that adds the feedback of each run, after it has waited for a while.
#[derive(Clone, Default)]
struct Clerk {
    gate: Option<Arc<tokio::sync::Semaphore>>,
    started: Arc<tokio::sync::Notify>,
}

impl TextProposer for Clerk {
    fn propose(&self, _request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
        Box::pin(async move {
            self.started.notify_one();
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let lessons = request.records.into_iter().filter_map(|record| record.feedback);
            Ok(lessons.map(|text| Delta::Add { section: "sounds".into(), text }).collect())
        })
    }
}

type Online = OnlineAce<DynPredict, Row>;

fn online(lm: &Arc<Obedient>, batch: usize, clerk: Clerk) -> Online {
    let ace = Ace::builder().metric(right).batch(batch).proposer(clerk).build();
    ace.online(one_step(lm), rows(5)).unwrap()
}

async fn run(online: &Online, animal: &str) -> Trace {
    let (answer, trace) = trace(online.program().call(question(animal))).await;
    answer.unwrap();
    trace
}

fn texts(online: &Online) -> Vec<String> {
    online.program().predictor().playbook().items().iter().map(|item| item.text().to_owned()).collect()
}

#[tokio::test]
async fn feedback_becomes_an_item_if_it_is_accepted() {
    let lm = Obedient::new();
    let online = online(&lm, 1, Clerk::default());
    let before = online.program();
    let learned = online.learn(run(&online, "cow").await, Feedback::new("cow=moo").score(0.0)).await.unwrap();
    let Learned::Adopted { version: 1, notes } = &learned else { panic!("{learned:?}") };
    assert_eq!(notes, &["adopted: 20.0 % on 5 rows, 0.0 % before"]);
    assert_eq!(online.program().call(question("cow")).await.unwrap()["answer"], "moo");
    assert!(before.predictor().playbook().is_empty(), "a program that is in use does not change");
    // 1 run of the user, and both programs on 5 rows.
    assert_eq!((lm.calls(), online.usage().requests), (12, 10));

    let known = online.learn(run(&online, "cow").await, "cow=moo").await.unwrap();
    assert_eq!(known, Learned::Unchanged { notes: vec!["dropped: a duplicate of `sou-1`".into()] });
    let good = Score::new(1.0).with_feedback("dog=woof");
    assert_eq!(
        online.learn(run(&online, "dog").await, good).await.unwrap(),
        Learned::Unchanged { notes: vec![] }
    );
    let spoil = async |request: TextRequest| Ok(vec![request.current.replace("moo", "meow")]);
    let spoiled = Ace::builder().metric(right).batch(1).proposer(spoil);
    let spoiled = spoiled.build().online(online.program(), rows(5)).unwrap();
    let learned = spoiled.learn(run(&online, "cow").await, "wrong").await.unwrap();
    assert!(
        matches!(&learned, Learned::Rejected { notes } if notes[0].starts_with("rejected")),
        "{learned:?}"
    );
    assert_eq!((spoiled.version(), spoiled.program().predictor().playbook().len()), (0, 1));
}

#[tokio::test]
async fn the_curator_sees_the_last_rejected_batches_again() {
    /// A curator that proposes something worse until it has seen enough runs, and keeps their number.
    struct Patient(usize, Arc<Mutex<Vec<usize>>>);

    impl TextProposer for Patient {
        fn propose(&self, _request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn curate(&self, request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
            let runs = request.records.len();
            self.1.lock().unwrap().push(runs);
            let text = if runs < self.0 { "moo is wrong" } else { "cow=moo" };
            let add = Delta::Add { section: "sounds".into(), text: format!("{text}{}", "!".repeat(runs)) };
            Box::pin(async { Ok(if self.0 == usize::MAX { Vec::new() } else { vec![add] }) })
        }
    }

    let lm = Obedient::new();
    let handle = |enough| {
        let seen = Arc::default();
        let ace = Ace::builder().metric(right).batch(1).proposer(Patient(enough, Arc::clone(&seen))).build();
        (ace.online(one_step(&lm), rows(5)).unwrap(), seen)
    };
    let (online, seen) = handle(usize::MAX);
    for _ in 0..7 {
        let learned = online.learn(run(&online, "cow").await, "cow=moo").await.unwrap();
        let Learned::Unchanged { notes } = learned else { panic!("{learned:?}") };
        assert!(notes[0].contains("1 empty answer for `self`"), "{notes:?}");
    }
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5, 5, 5], "of at most four batches before");
    let learned = online.learn(run(&online, "cow").await, Score::new(1.0)).await.unwrap();
    assert_eq!((learned, seen.lock().unwrap().len()), (Learned::Unchanged { notes: Vec::new() }, 7));

    let (online, seen) = handle(1);
    for _ in 0..2 {
        online.learn(run(&online, "cow").await, "cow=moo").await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [1, 1], "an adopted playbook begins anew");
}

#[tokio::test]
async fn runs_wait_for_a_batch() {
    let lm = Obedient::new();
    let online = online(&lm, 3, Clerk::default());
    for (number, hint) in HINTS.iter().enumerate() {
        let animal = hint.split('=').next().unwrap();
        let learned = online.learn(run(&online, animal).await, *hint).await.unwrap();
        match number % 3 {
            2 => assert!(matches!(learned, Learned::Adopted { .. }), "{learned:?}"),
            at => assert_eq!(learned, Learned::Waiting { runs: at + 1 }),
        }
    }
    assert_eq!((online.waiting(), texts(&online).len()), (2, 3));
    assert!(matches!(online.update().await.unwrap(), Learned::Adopted { version: 2, .. }));
    assert_eq!((online.waiting(), texts(&online).len()), (0, 5));
    assert_eq!(online.update().await.unwrap(), Learned::Waiting { runs: 0 });
}

#[tokio::test]
async fn snapshots_are_restored() {
    let lm = Obedient::new();
    let online = online(&lm, 1, Clerk::default());
    for hint in ["cow=moo", "cat=meow"] {
        online.learn(run(&online, "cow").await, hint).await.unwrap();
    }
    assert_eq!(
        online.snapshots().iter().map(|known| known.playbooks["self"].len()).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(online.roll_back(1), Some(3));
    assert_eq!((texts(&online), online.version()), (vec!["cow=moo".to_owned()], 3));
    assert_eq!(online.roll_back(17), None);
    online.learn(run(&online, "dog").await, "dog=woof").await.unwrap();
    let ids: Vec<String> =
        online.program().predictor().playbook().items().iter().map(|item| item.id().to_owned()).collect();
    assert_eq!(ids, ["sou-1", "sou-3"], "the id of a removed item is not used again");
}

#[tokio::test]
async fn a_dropped_update_changes_nothing_and_its_runs_wait() {
    let (lm, gate) = (Obedient::new(), Arc::new(tokio::sync::Semaphore::new(0)));
    let clerk = Clerk { gate: Some(gate.clone()), ..Clerk::default() };
    let started = clerk.started.clone();
    let online = online(&lm, 1, clerk);
    let trace = run(&online, "cow").await;
    {
        let learning = online.learn(trace, "cow=moo");
        tokio::select! {
            learned = learning => panic!("{learned:?}"),
            () = started.notified() => {}
        }
    }
    assert_eq!((online.waiting(), online.version(), texts(&online).len()), (1, 0, 0));
    gate.add_permits(1);
    assert!(matches!(online.update().await.unwrap(), Learned::Adopted { version: 1, .. }));
    assert_eq!(texts(&online), ["cow=moo"]);
}

#[tokio::test]
async fn an_update_does_not_apply_to_a_program_that_was_rolled_back() {
    let (lm, gate) = (Obedient::new(), Arc::new(tokio::sync::Semaphore::new(1)));
    let clerk = Clerk { gate: Some(gate.clone()), ..Clerk::default() };
    let started = clerk.started.clone();
    let online = Arc::new(online(&lm, 1, clerk));
    online.learn(run(&online, "cow").await, "cow=moo").await.unwrap();
    started.notified().await;
    let trace = run(&online, "cat").await;
    let learning = tokio::spawn({
        let online = online.clone();
        async move { online.learn(trace, "cat=meow").await }
    });
    started.notified().await;
    assert_eq!(online.roll_back(0), Some(2));
    gate.add_permits(1);
    assert_eq!(learning.await.unwrap().unwrap(), Learned::Overtaken);
    assert_eq!((online.waiting(), texts(&online).len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_handle() {
    let lm = Obedient::new();
    let online = Arc::new(online(&lm, 1, Clerk::default()));
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let online = online.clone();
            tokio::spawn(async move {
                let hint = HINTS[number % 5];
                let trace = run(&online, hint.split('=').next().unwrap()).await;
                online.learn(trace, hint).await.unwrap()
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        if let Learned::Adopted { version, .. } = task.await.unwrap() {
            versions.push(version);
        }
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5], "each lesson is learnt once");
    let mut found = texts(&online);
    found.sort();
    let mut all = HINTS.to_vec();
    all.sort_unstable();
    assert_eq!((found, online.waiting()), (all.into_iter().map(str::to_owned).collect(), 0));
}

#[tokio::test]
async fn a_budget_limits_all_updates_together() {
    let lm = Obedient::new();
    let ace =
        Ace::builder().metric(right).batch(1).proposer(Clerk::default()).budget(Budget::calls(23)).build();
    let online = ace.online(one_step(&lm), rows(5)).unwrap();
    let mut adopted = 0;
    for (number, hint) in HINTS.iter().enumerate() {
        match online.learn(run(&online, "cow").await, *hint).await.unwrap() {
            Learned::Adopted { .. } => adopted += 1,
            Learned::OutOfBudget(_) => assert!(number >= 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(adopted, 2);
    assert!(online.usage().requests <= 23 && online.waiting() == 3, "{online:?}");
}

#[tokio::test]
async fn an_outage_keeps_the_run() {
    let lm = Obedient::new();
    let proposer = Proposer::new().with_lm(Lm::shared(Obedient::down_from(0)));
    let online = Ace::builder().metric(right).batch(1).proposer(proposer).build();
    let online = online.online(one_step(&lm), rows(5)).unwrap();
    let mut tried = Vec::new();
    for number in 1..210 {
        match online.learn(run(&online, "cow").await, "cow=moo").await {
            Ok(learned) => assert_eq!(learned, Learned::Waiting { runs: number.min(200) }),
            Err(error) => {
                assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
                tried.push(number);
            }
        }
        assert_eq!(online.waiting(), number.min(200), "what waits is bounded");
    }
    // An update that fails costs money each time, so the next one is tried ever later.
    assert_eq!(tried[..8], [1, 2, 4, 8, 16, 32, 64, 128]);
    assert!(matches!(online.update().await, Err(OptimizeError::Outage { .. })), "at once");
    assert_eq!(online.version(), 0);
}

#[tokio::test]
async fn errors_advise_what_an_online_form_can_do() {
    struct Panics;
    impl TextProposer for Panics {
        fn propose(&self, _request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn curate(&self, _request: CurationRequest) -> BoxFuture<'_, dspy_core::Result<Vec<Delta>>> {
            panic!("no ink")
        }
    }

    let lm = Obedient::new();
    let down = Proposer::new().with_lm(Lm::shared(Obedient::down_from(0)));
    let broken = |_: &Row, _: &Values| Err::<bool, _>(std::io::Error::other("no ruler"));
    let clerk = Clerk::default;
    let handles: [Online; 3] = [
        Ace::builder().metric(right).batch(1).proposer(down).build().online(one_step(&lm), rows(5)).unwrap(),
        Ace::builder()
            .metric(broken)
            .batch(1)
            .proposer(clerk())
            .build()
            .online(one_step(&lm), rows(5))
            .unwrap(),
        Ace::builder()
            .metric(right)
            .batch(1)
            .proposer(Panics)
            .build()
            .online(one_step(&lm), rows(5))
            .unwrap(),
    ];
    for (online, cause) in handles.iter().zip(["out of reach", "no ruler", "no ink"]) {
        let error = online.learn(run(online, "cow").await, "cow=moo").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(cause) && !text.contains("run_dir"), "{text}");
        assert!(text.contains("`OnlineAce::update` tries them again"), "{text}");
        // It does what the advice says.
        assert_eq!(online.waiting(), 1);
        assert!(online.update().await.unwrap_err().to_string().contains(cause));
    }
}

#[tokio::test]
async fn bad_input_is_a_typed_error() {
    let lm = Obedient::new();
    let online = online(&lm, 1, Clerk::default());
    let trace = run(&online, "cow").await;
    let nan = online.learn(trace.clone(), Feedback::new("x").score(f64::NAN)).await.unwrap_err();
    assert!(matches!(nan, OptimizeError::Option { option: "score", .. }), "{nan}");
    let mut unknown = Feedback::new("x");
    unknown.predictors.insert("sefl".to_owned(), "x".to_owned());
    let unknown = online.learn(trace.clone(), unknown).await.unwrap_err();
    assert!(unknown.to_string().contains("sefl"), "{unknown}");
    let foreign = online.learn(Trace::default(), "x").await.unwrap_err();
    assert!(matches!(foreign, OptimizeError::Option { option: "trace", .. }), "{foreign}");
    assert_eq!(online.waiting(), 0);
    let ace = || Ace::builder().metric(right).proposer(Clerk::default());
    let empty = ace().build().online(one_step(&lm), Vec::new()).unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { .. }), "{empty}");
    let folder =
        ace().run_dir("x").verify(Verify::rows(100)).build().online(one_step(&lm), rows(5)).unwrap_err();
    assert!(matches!(folder, OptimizeError::Option { option: "run_dir", .. }), "{folder}");
    let nonsense = "z".repeat(100_000);
    let learned = online.learn(trace, nonsense).await.unwrap();
    let reason = "dropped: a text of more than 1000 characters".to_owned();
    assert_eq!(learned, Learned::Unchanged { notes: vec![reason] });
}
