//! Strategies that let models write code, over the sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy::lm::{Completion, Request, Response, ScriptedLm, Usage};
use dspy::prelude::*;
use dspy::sandbox::Sandbox;
use dspy::strategies::{CodeAct, CodeTurn, ProgramOfThought, Rlm};

/// Returns the sum.
#[signature]
#[derive(Clone)]
struct Sum {
    #[input]
    numbers: Vec<i64>,
    #[output]
    sum: i64,
}

#[dspy::field_type]
struct Number {
    number: i64,
}

/// Count the complaints.
#[signature]
struct Count {
    #[input]
    log: String,
    #[output]
    complaints: u32,
}

/// No arguments.
#[dspy::field_type]
struct Nothing {}

/// Returns a sandbox, or none where Python cannot be prepared, unless it is required.
async fn python() -> Option<Sandbox> {
    let python = Sandbox::builder().wall_time(Duration::from_secs(20)).build();
    match python.prepare().await {
        Ok(()) => Some(python),
        Err(error) if std::env::var_os("DSPY_SANDBOX_REQUIRED").is_none() => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn fenced(field: &str, code: &str) -> String {
    format!("[[ ## reasoning ## ]]\nCompute.\n\n[[ ## {field} ## ]]\n```python\n{code}\n```")
}

fn last(request: &Request) -> String {
    request.messages.last().unwrap().text().into_owned()
}

#[tokio::test]
async fn a_program_of_thought_computes_and_repairs_its_code() {
    let Some(python) = python().await else { return };
    let script = Arc::new(ScriptedLm::new([
        fenced("generated_code", "submit(sum=sum(number))"),
        fenced("generated_code", "print(len(numbers))\nsubmit(sum=str(sum(numbers)))"),
    ]));
    let mut program = ProgramOfThought::<Sum>::new(python).unwrap();
    program.set_lm(Lm::shared(script.clone()));
    let output = program.call(vec![1, 2, 39]).await.unwrap();
    assert_eq!((output.sum, output.usage().requests), (42, 2));
    assert_eq!(output.added_as::<String>("code_output").unwrap().trim(), "3");
    let error = last(&script.requests()[1]);
    assert!(
        error.contains("NameError: name 'number' is not defined") && error.contains("(line 1)"),
        "{error}"
    );
}

#[tokio::test]
async fn an_agent_keeps_variables_from_turn_to_turn_and_calls_tools() {
    let Some(python) = python().await else { return };
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let double = Tool::new("double", "Doubles a number.", move |Number { number }: Number| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { number * 2 }
    });
    let script = Arc::new(ScriptedLm::new([
        fenced("code", "doubled = [double(n) for n in numbers]\nprint(doubled)"),
        fenced("code", "double('many')"),
        fenced("code", "submit(sum=sum(doubled))"),
    ]));
    let mut agent = CodeAct::<Sum>::new([double], python).unwrap();
    agent.set_lm(Lm::shared(script));
    let output = agent.call(vec![1, 20]).await.unwrap();
    assert_eq!((output.sum, called.load(Ordering::SeqCst)), (42, 2));
    let turns = output.added_as::<Vec<CodeTurn>>("trajectory").unwrap();
    assert_eq!(turns[0].output.trim(), "[2, 40]");
    assert!(turns[1].output.contains("TypeError"), "{}", turns[1].output);
}

#[tokio::test]
async fn hostile_code_of_a_model_is_an_observation_and_the_run_goes_on() {
    let Some(_) = python().await else { return };
    let python = Sandbox::builder().wall_time(Duration::from_secs(2)).memory(32 << 20).stdout(10_000).build();
    let paid = Arc::new(AtomicUsize::new(0));
    let count = paid.clone();
    let pay = Tool::new("pay", "Pays.", move |_: Nothing| {
        count.fetch_add(1, Ordering::SeqCst);
        async { "paid" }
    })
    .with_approval_if(|_| true);
    let hostile = [
        "while True:\n    try:\n        pass\n    except BaseException:\n        pass",
        "x = []\nwhile True: x.append(bytearray(1_000_000))",
        "while True: print('x' * 1000)",
        "import subprocess\nsubprocess.run(['id'])",
        "open('/etc/passwd').read()",
        "import os\nos._exit(0)",
        "def f(): f()\nf()",
        "pay()",
        "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)",
    ];
    let replies = hostile.into_iter().chain(["numbers = [40, 2]\nsubmit(sum=sum(numbers))"]);
    let script = Arc::new(ScriptedLm::new(replies.map(|code| fenced("code", code))));
    let mut agent = CodeAct::<Sum>::new([pay], python).unwrap().max_turns(20);
    agent.set_lm(Lm::shared(script));
    let output = agent.call(vec![1]).await.unwrap();
    let turns = output.added_as::<Vec<CodeTurn>>("trajectory").unwrap();
    assert_eq!((output.sum, turns.len(), paid.load(Ordering::SeqCst)), (42, hostile.len() + 1, 0));
    let told = |turn: usize, what: &str| assert!(turns[turn].output.contains(what), "{}", turns[turn].output);
    told(0, "ran too long");
    told(1, "memory");
    told(2, "printed too much");
    told(4, "Error");
    told(7, "approval");
}

#[tokio::test]
async fn a_large_text_stays_out_of_the_prompts() {
    let Some(python) = python().await else { return };

    let mut lines = vec!["all is well"; 20_000];
    lines[7_000] = "my parcel is late";
    lines[19_000] = "my parcel is lost";
    let log = lines.join("\n");
    let lm = ScriptedLm::from_fn(|request: &Request| {
        let text = last(request);
        assert!(text.len() < 10_000, "{} bytes", text.len());
        Completion::new(if request.messages[0].text().contains("`repl_history`") {
            let code = "found = [line for line in log.splitlines() if line != 'all is well']\n\
                        print(len(log), len(found))\n\
                        replies = llm_query_batched(prompts=['Is it a complaint? ' + line for line in found + ['all is well']])\n\
                        submit(complaints=replies.count('yes'))";
            fenced("code", code)
        } else {
            (if text.contains("parcel") { "yes" } else { "no" }).to_owned()
        })
    });
    let mut rlm = Rlm::<Count>::new([], python).unwrap();
    rlm.set_lm(Lm::custom(lm));
    let output = rlm.call(log.clone()).await.unwrap();
    assert_eq!((output.complaints, output.usage().requests), (2, 4));
    let turns = output.added_as::<Vec<CodeTurn>>("trajectory").unwrap();
    assert!(turns[0].output.starts_with(&format!("{} 2", log.len())), "{}", turns[0].output);
}

#[tokio::test]
async fn inputs_outlive_the_session_that_code_has_broken() {
    let Some(_) = python().await else { return };
    let python = Sandbox::builder().wall_time(Duration::from_secs(2)).build();
    let script = Arc::new(ScriptedLm::new([
        fenced("code", "while True: pass"),
        fenced("code", "import os\nprint(len(log))\nos.abort()"),
        fenced("code", "print(len(log))\nsubmit(complaints=log.count('late'))"),
    ]));
    let mut rlm = Rlm::<Count>::new([], python).unwrap();
    rlm.set_lm(Lm::shared(script.clone()));
    let output = rlm.call("late ".repeat(20_000)).await.unwrap();
    assert_eq!(output.complaints, 20_000);
    let turns = output.added_as::<Vec<CodeTurn>>("trajectory").unwrap();
    assert!(turns[0].output.contains("the inputs are there"), "{}", turns[0].output);
    assert!(turns[1].output.starts_with("100000\n"), "{}", turns[1].output);
    assert!(!last(&script.requests()[0]).contains("stay from one run"));
}

#[tokio::test]
async fn dropping_a_run_stops_its_code() {
    let Some(python) = python().await else { return };
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let (beats, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let beat = Tool::new("beat", "Beats.", move |_: Nothing| {
        count.fetch_add(1, Ordering::SeqCst);
        let _ = beats.send(());
        async {}
    });
    let lm = Lm::from_fn(|_| async { fenced("code", "while True: beat()") });
    let mut agent = CodeAct::<Sum>::new([beat], python).unwrap();
    agent.set_lm(lm);
    let run = agent.call(vec![1]);
    tokio::select! {
        _ = run => panic!("an endless loop ended"),
        () = async { for _ in 0..10 { heard.recv().await.unwrap(); } } => {}
    }
    let before = called.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(called.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn limits_bound_the_queries_of_code_in_the_sandbox() {
    let Some(python) = python().await else { return };
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let lm = Lm::custom(ScriptedLm::from_fn(move |request: &Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let system = request.messages[0].text().into_owned();
        let code = "for at in range(100):\n    rlm_query(task='Go on.', context=at) if at % 2 else llm_query(prompt=str(at))";
        let text = if system.contains("`code`") {
            fenced("code", code)
        } else if system.contains("`repl_history`") {
            "[[ ## reasoning ## ]]\nSo.\n\n[[ ## complaints ## ]]\n7".to_owned()
        } else {
            "A".to_owned()
        };
        Response::text(text).with_usage(Usage::tokens(90, 10))
    }));
    for (program, most) in [
        (Rlm::<Count>::new([], python.clone()).unwrap().max_tokens(950), 11),
        (Rlm::<Count>::new([], python.clone()).unwrap().max_calls(8).max_turns(3), 12),
    ] {
        let mut program = program.max_depth(1);
        program.set_lm(lm.clone());
        assert_eq!(program.call("x").await.unwrap().complaints, 7);
        let made = calls.swap(0, Ordering::SeqCst);
        assert!(made + 1 >= most && made <= most, "{made} of {most}");
    }
}
