//! Fine-tuning against a server that keeps files and jobs, and fails and hangs when told to.

#![allow(clippy::panic, reason = "in tests a panic is the report")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy_core::finetune::{FineTune, FineTuneError, FineTuning, JobStatus, Limits, TrainingRow, TrainingSet};
use dspy_core::lm::{Lm, LmErrorKind, Message, ToolSpec};
use dspy_core::predict::{DynPredict, Predictor};
use dspy_core::program::{HasPredictors, Module, Settings, trace};
use dspy_core::signature::{Demo, FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::tools::ToolCalls;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::endpoint;
use dspy_test_server::{Act, Seen, Server, chat, reply};

mod odd;

/// What happens to one request beside what it asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Refused with this status before anything is done.
    Status(u16),
    /// Never answered; nothing is done.
    HangBefore,
    /// Done, but never answered.
    HangAfter,
    /// Done, but the connection breaks in the answer.
    CutAfter,
    /// The connection breaks before anything is done.
    CutBefore,
    /// Answered with a page; nothing is done.
    Page,
    /// Done, but answered with this status.
    StatusAfter(u16),
    /// Done, but answered with a page.
    PageAfter,
}

#[derive(Default)]
struct Store {
    files: Vec<(String, String, usize)>,
    jobs: Vec<Value>,
    /// The states that jobs go through, one with each look at them.
    course: Vec<Value>,
    looks: usize,
    /// Whether requests with metadata are refused.
    no_metadata: bool,
    /// The number of looks at the list that do not show the latest job.
    hidden: usize,
}

impl Store {
    fn answer(&mut self, seen: &Seen) -> Act {
        let method = seen.head.split(' ').next().unwrap_or_default().to_owned();
        let path = seen.path().split('?').next().unwrap_or_default().trim_start_matches("/v1").to_owned();
        let ok = |value: Value| reply(200, &[], &value.to_string());
        match (method.as_str(), path.as_str()) {
            ("GET", "/files") => ok(json!({"object": "list", "data": self.files.iter().rev()
                .map(|(id, name, bytes)| json!({"id": id, "filename": name, "bytes": bytes, "purpose": "fine-tune",
                    "status": "processed", "object": "file"})).collect::<Vec<_>>()})),
            ("POST", "/files") => {
                let (name, content) = form(seen);
                let id = format!("file-{}", self.files.len() + 1);
                self.files.push((id.clone(), name.clone(), content.len()));
                ok(json!({"id": id, "filename": name, "bytes": content.len(), "purpose": "fine-tune"}))
            }
            ("DELETE", _) if path.starts_with("/files/") => {
                self.files.retain(|(id, ..)| !path.ends_with(id.as_str()));
                ok(json!({"deleted": true}))
            }
            ("GET", "/fine_tuning/jobs") => {
                let late = usize::from(self.hidden > 0 && !self.jobs.is_empty());
                self.hidden -= late;
                let jobs: Vec<&Value> = self.jobs.iter().rev().skip(late).collect();
                ok(json!({"data": jobs, "has_more": false}))
            }
            ("POST", "/fine_tuning/jobs") => {
                let mut job = seen.json();
                if self.no_metadata && job.get("metadata").is_some() {
                    return reply(400, &[], r#"{"error": {"message": "Unknown parameter: 'metadata'."}}"#);
                }
                job["id"] = format!("ftjob-{}", self.jobs.len() + 1).into();
                job["status"] = "validating_files".into();
                self.jobs.push(job.clone());
                ok(job)
            }
            ("POST", _) if path.ends_with("/cancel") => {
                let job = self.jobs.last_mut().unwrap();
                job["status"] = "cancelled".into();
                ok(job.clone())
            }
            ("GET", _) if path.ends_with("/events") => ok(json!({"data": [
                {"id": "e2", "level": "info", "message": "Step 2", "data": {"train_loss": 0.5}},
                {"id": "e1", "level": "info", "message": "Created"}], "has_more": true})),
            ("GET", _) => {
                let job = self.jobs.last_mut().unwrap();
                if let Some(change) = self.course.get(self.looks.min(self.course.len().max(1) - 1)) {
                    job.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
                }
                self.looks += 1;
                ok(job.clone())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The name and the content of the file in a form.
fn form(seen: &Seen) -> (String, String) {
    let boundary = seen.header("content-type").unwrap().split("boundary=").nth(1).unwrap().to_owned();
    let body = String::from_utf8(seen.body.clone()).unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    let [before, purpose, file, after] = parts.as_slice() else { panic!("{body}") };
    assert_eq!((*before, *after), ("", "--\r\n"));
    assert!(purpose.contains("name=\"purpose\"\r\n\r\nfine-tune\r\n"), "{purpose}");
    let (head, content) = file.split_once("\r\n\r\n").unwrap();
    let name = head.split("filename=\"").nth(1).unwrap().split('"').next().unwrap();
    (name.to_owned(), content.strip_suffix("\r\n").unwrap().to_owned())
}

/// A server, with a fault for the request of each number, and a notice when one hangs.
struct Tuner {
    server: Server,
    store: Arc<Mutex<Store>>,
    hung: Arc<Notify>,
}

impl Tuner {
    async fn new(
        course: Vec<Value>,
        fault: impl Fn(usize, &Seen) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let store = Arc::new(Mutex::new(Store { course, ..Store::default() }));
        let hung = Arc::new(Notify::new());
        let (kept, notice) = (store.clone(), hung.clone());
        let server = Server::start(move |number, seen| {
            let fault = fault(number, seen);
            let answer = || kept.lock().unwrap().answer(seen);
            if matches!(fault, Some(Fault::StatusAfter(_) | Fault::PageAfter)) {
                answer();
            }
            match fault {
                None => answer(),
                Some(Fault::Status(status) | Fault::StatusAfter(status)) => {
                    reply(status, &[], r#"{"error": {"message": "not now"}}"#)
                }
                Some(Fault::Page | Fault::PageAfter) => {
                    reply(200, &[("content-type", "text/html")], "<html>Hello</html>")
                }
                Some(Fault::CutBefore) => Act::SendAndClose(Vec::new()),
                Some(Fault::HangBefore) => {
                    notice.notify_one();
                    Act::Hang
                }
                Some(Fault::HangAfter) => {
                    answer();
                    notice.notify_one();
                    Act::Hang
                }
                Some(Fault::CutAfter) => {
                    answer();
                    Act::SendAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\"".to_vec())
                }
            }
        })
        .await;
        Tuner { server, store, hung }
    }

    /// One that does all that it is asked.
    async fn willing() -> Self {
        Self::new(done(), |_, _| None).await
    }

    fn client(&self) -> FineTuning {
        let endpoint = endpoint(&self.server.url()).api_key("sk-very-private-key");
        FineTuning::new(endpoint).polling(Duration::from_millis(1), Duration::from_millis(2))
    }

    /// How many files and jobs there are.
    fn counts(&self) -> (usize, usize) {
        let store = self.store.lock().unwrap();
        (store.files.len(), store.jobs.len())
    }
}

fn done() -> Vec<Value> {
    vec![
        json!({"status": "queued"}),
        json!({"status": "reticulating"}),
        json!({"status": "running"}),
        json!({"status": "succeeded", "fine_tuned_model": "ft:m:org::1", "trained_tokens": 321}),
    ]
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn rows(count: usize) -> TrainingSet {
    let predictor = Predictor::new("question -> answer".parse::<SignatureSpec>().unwrap());
    let row = |number: usize| {
        let question = format!("What is {number} + 1?");
        let answer = (number + 1).to_string();
        TrainingRow::of(&predictor, &values(&[("question", &question)]), &values(&[("answer", &answer)]))
            .unwrap()
    };
    (0..count).map(row).collect()
}

fn tune() -> FineTune {
    FineTune::new("m", rows(12))
        .validation(rows(2))
        .suffix("sums")
        .seed(3)
        .hyperparameters(json!({"n_epochs": 2}))
}

/// A path of its own for each test, removed in the end.
struct StateFile(PathBuf);

impl StateFile {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        StateFile(std::env::temp_dir().join(format!("dspy-tune-{}-{number}/state.json", std::process::id())))
    }
}

impl AsRef<Path> for StateFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[tokio::test]
async fn rows_become_a_model() {
    let tuner = Tuner::willing().await;
    let state = StateFile::new();
    let tuned = tuner.client().run(&tune(), &state).await.unwrap();
    assert_eq!((tuned.name(), tuned.job().trained_tokens), ("ft:m:org::1", Some(321)));
    assert_eq!(tuned.lm().unwrap().id(), "ft:m:org::1");
    assert_eq!(tuner.counts(), (2, 1));
    let seen = tuner.server.seen();
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer sk-very-private-key")));
    let (name, content) = form(seen.iter().find(|seen| seen.head.starts_with("POST")).unwrap());
    assert!(name.starts_with("dspy-") && name.ends_with("-training.jsonl"), "{name}");
    assert_eq!(content, rows(12).to_jsonl().unwrap());
    let job = tuner.store.lock().unwrap().jobs[0].clone();
    assert_eq!(job["model"], "m");
    assert_eq!((&job["training_file"], &job["validation_file"]), (&json!("file-1"), &json!("file-2")));
    assert_eq!((&job["suffix"], &job["seed"]), (&json!("sums"), &json!(3)));
    let method = json!({"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}});
    assert_eq!(job["method"], method);
    // Nothing is sent again for what is done, and no key is written down.
    let again = tuner.client().run(&tune(), &state).await.unwrap();
    assert_eq!((again.name(), tuner.counts()), ("ft:m:org::1", (2, 1)));
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(text.contains("ftjob-1") && !text.contains("private"), "{text}");
    assert!(!format!("{:?}", tuner.client()).contains("private"));
}

#[tokio::test]
async fn a_run_that_is_killed_anywhere_goes_on_and_does_nothing_twice() {
    let whole = Tuner::willing().await;
    whole.client().run(&tune(), StateFile::new()).await.unwrap();
    let requests = whole.server.seen().len();
    assert!(requests > 7, "{requests}");
    for number in 0..requests {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let tuner = Tuner::new(done(), move |at, _| (at == number).then_some(fault)).await;
            let (state, client, tune) = (StateFile::new(), tuner.client(), tune());
            tokio::select! {
                outcome = client.run(&tune, &state) => panic!("not killed at {number}: {outcome:?}"),
                () = tuner.hung.notified() => {}
            }
            let mut outcome = client.run(&tune, &state).await;
            let killed = tuner.server.seen()[number].head.clone();
            let is_open = fault == Fault::HangBefore && killed.starts_with("POST /v1/fine_tuning");
            assert_eq!(
                matches!(outcome, Err(FineTuneError::Unknown { listed: true, .. })),
                is_open,
                "{killed}"
            );
            if is_open {
                // The job may have been created, so that a look at the server is needed.
                std::fs::remove_file(&state).unwrap();
                outcome = client.run(&tune, &state).await;
            }
            assert_eq!(outcome.unwrap().name(), "ft:m:org::1");
            assert_eq!(tuner.counts(), (2, 1), "killed at {number}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_state_file_costs_nothing() {
    let tuner = Tuner::willing().await;
    tuner.client().run(&tune(), StateFile::new()).await.unwrap();
    tuner.client().run(&tune(), StateFile::new()).await.unwrap();
    assert_eq!(tuner.counts(), (2, 1));
    // Another seed is another model.
    tuner.client().run(&tune().seed(4), StateFile::new()).await.unwrap();
    assert_eq!(tuner.counts(), (4, 2));
}

#[tokio::test]
async fn faults_of_every_step_are_outlasted() {
    let whole = Tuner::willing().await;
    whole.client().run(&tune(), StateFile::new()).await.unwrap();
    for number in 0..whole.server.seen().len() {
        for fault in [Fault::Status(429), Fault::Status(503), Fault::CutAfter] {
            let tuner = Tuner::new(done(), move |at, _| (at == number).then_some(fault)).await;
            let tuned = tuner.client().run(&tune(), StateFile::new()).await;
            let tuned = tuned.unwrap_or_else(|error| panic!("{fault:?} at {number}: {error}"));
            assert_eq!((tuned.name(), tuner.counts()), ("ft:m:org::1", (2, 1)), "{fault:?} at {number}");
        }
    }
}

#[tokio::test]
async fn what_will_not_pass_ends_the_run() {
    for (fault, kind) in
        [(Fault::Status(401), LmErrorKind::Auth), (Fault::Status(400), LmErrorKind::InvalidRequest)]
    {
        let is_create = |seen: &Seen| seen.head.starts_with("POST /v1/fine_tuning");
        let tuner = Tuner::new(done(), move |_, seen| is_create(seen).then_some(fault)).await;
        let error = tuner.client().run(&tune(), StateFile::new()).await.unwrap_err();
        assert!(matches!(&error, FineTuneError::Endpoint(error) if error.kind == kind), "{error}");
        assert!(!format!("{error} {error:?}").contains("sk-very"), "{error}");
        assert_eq!(tuner.counts(), (2, 0));
    }
}

#[tokio::test]
async fn a_refused_note_is_left_out() {
    let tuner = Tuner::willing().await;
    tuner.store.lock().unwrap().no_metadata = true;
    for _ in 0..2 {
        tuner.client().run(&tune(), StateFile::new()).await.unwrap();
        assert_eq!(tuner.counts(), (2, 1));
    }
}

#[tokio::test]
async fn failed_and_cancelled_jobs_are_errors() {
    let failure = json!({"status": "failed", "error": {"code": "invalid_training_file", "message": "Row 3 is odd.",
        "param": "training_file"}});
    let tuner = Tuner::new(vec![failure], |_, _| None).await;
    let state = StateFile::new();
    for _ in 0..2 {
        let error = tuner.client().run(&tune(), &state).await.unwrap_err();
        let text = "the fine-tuning job ftjob-1 failed: Row 3 is odd. (invalid_training_file, training_file)";
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(tuner.counts(), (2, 1));
    // Without the file it is tried again, as the failed job is of no use.
    let _ = tuner.client().run(&tune(), StateFile::new()).await.unwrap_err();
    assert_eq!(tuner.counts(), (2, 2));

    let tuner = Tuner::new(vec![json!({})], |_, _| None).await;
    let client = tuner.client();
    let job = client.start(&tune(), StateFile::new()).await.unwrap();
    assert_eq!(job.status, JobStatus::ValidatingFiles);
    assert_eq!(client.cancel(&job.id).await.unwrap().status, JobStatus::Cancelled);
    let error = client.wait(&job.id).await.unwrap_err();
    assert!(matches!(&error, FineTuneError::Cancelled { job } if job == "ftjob-1"), "{error}");
}

#[tokio::test]
async fn waiting_has_an_end() {
    let tuner = Tuner::new(vec![json!({"status": "running"})], |_, _| None).await;
    let client = tuner.client().deadline(Duration::from_millis(20));
    let error = client.run(&tune(), StateFile::new()).await.unwrap_err();
    assert!(matches!(&error, FineTuneError::Deadline { job, .. } if job == "ftjob-1"), "{error}");
}

#[tokio::test]
async fn single_steps_can_be_taken() {
    let tuner = Tuner::willing().await;
    let client = tuner.client();
    let file = client.upload("a \"b\".jsonl", b"{}\n".to_vec()).await.unwrap();
    assert_eq!((file.filename.as_str(), file.bytes), ("a _b_.jsonl", 3));
    assert_eq!(client.files(None).await.unwrap().data[0].id, "file-1");
    client.delete_file("file-1").await.unwrap();
    assert_eq!(tuner.counts(), (0, 0));
    let request = json!({"model": "m", "training_file": "file-1"});
    let job = client.create(request.as_object().unwrap()).await.unwrap();
    let events = client.events(&job.id, Some("e9")).await.unwrap();
    assert_eq!((events.data[0].message.as_str(), events.has_more), ("Step 2", true));
    assert_eq!(events.data[0].data, Some(json!({"train_loss": 0.5})));
    assert_eq!(client.jobs(None).await.unwrap().data[0].id, job.id);
    let seen = tuner.server.seen();
    assert!(seen.iter().any(|seen| seen.path().contains("/events?limit=100&after=e9")));
    assert!(seen.iter().any(|seen| seen.path() == "/v1/files?purpose=fine-tune&limit=1000&order=desc"));
    let error = client.job("../models").await.unwrap_err();
    assert!(error.to_string().contains("is not an id"), "{error}");
}

#[tokio::test]
async fn a_state_file_serves_one_run_only() {
    let tuner = Tuner::willing().await;
    let state = StateFile::new();
    tuner.client().start(&tune(), &state).await.unwrap();
    for tune in [tune().seed(9), tune().with("n", 1), FineTune::new("other", rows(12))] {
        let error = tuner.client().start(&tune, &state).await.unwrap_err();
        assert!(error.to_string().contains("another path"), "{error}");
    }
    std::fs::write(&state, "{").unwrap();
    let error = tuner.client().start(&tune(), &state).await.unwrap_err();
    assert!(matches!(error, FineTuneError::State { .. }), "{error}");
    assert_eq!(tuner.counts(), (2, 1));
    // Where nothing can be written down nothing is sent.
    let before = tuner.server.seen().len();
    let error = tuner.client().start(&tune(), state.0.join("below a file")).await.unwrap_err();
    assert!(matches!(error, FineTuneError::State { .. }), "{error}");
    assert_eq!(tuner.server.seen().len(), before);
}

#[test]
fn unusable_rows_are_named() {
    let problems = |rows: TrainingSet, limits: Limits| match rows.check(&limits) {
        Err(FineTuneError::Rows { problems }) => problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.row, problem.message))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(problems(rows(3), Limits::default()), ["0: 3 rows are too few; at least 10 are needed"]);
    let user = || Message::user("Hi");
    let odd: TrainingSet = [
        TrainingRow::new([user()], Message::assistant(" ")),
        TrainingRow::new([user()], user()),
        TrainingRow::new([Message::system("Be kind.")], Message::assistant("Yes.")),
        TrainingRow::new([user(), Message::assistant("Hm.")], Message::assistant("Yes.")),
        TrainingRow::new([user(), Message::system("Be kind.")], Message::assistant("Yes.")),
        TrainingRow::new([Message::user("long ".repeat(200))], Message::assistant("Yes.")),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        problems(odd, Limits::default().rows(1).row_tokens(100)),
        [
            "1: the reply is empty",
            "2: the reply has the role `user`, not assistant",
            "3: there is no message of the user",
            "4: two assistant messages in a row",
            "5: a system message is not first",
            "6: about 271 tokens are more than 100",
        ]
    );
    let summary = rows(12).check(&Limits::default()).unwrap();
    assert_eq!((summary.rows, summary.bytes), (12, rows(12).to_jsonl().unwrap().len() as u64));
    assert!(summary.longest * 12 >= summary.tokens && summary.tokens * 4 >= summary.bytes - 12);
}

#[tokio::test]
async fn traces_become_rows_that_look_like_calls() {
    let server = Server::script(vec![chat("[[ ## answer ## ]]\n3\n\n[[ ## completed ## ]]\n")]).await;
    let lm = endpoint(&server.url()).model("m").unwrap();
    let mut program = DynPredict::new("question -> answer: int".parse().unwrap());
    program.predictor_mut().set_demos([Demo::new(
        [("question".to_owned(), "1 + 1?".into()), ("answer".to_owned(), 2.into())].into_iter().collect(),
    )]);
    let call = program.call(values(&[("question", "1 + 2?")]));
    let (answer, trace) = Settings::new().lm(lm).scope(trace(call)).await;
    assert_eq!(answer.unwrap()["answer"], 3);
    let mut rows = TrainingSet::new();
    assert_eq!(rows.add_trace(&program, &trace).unwrap(), 1);
    let row: Value = serde_json::from_str(&rows.rows()[0].to_json().unwrap()).unwrap();
    let mut learnt = row["messages"].as_array().unwrap().clone();
    let last = learnt.pop().unwrap();
    assert_eq!(
        last,
        json!({"role": "assistant", "content": "[[ ## answer ## ]]\n3\n\n[[ ## completed ## ]]\n"})
    );
    // Demonstrations are not learnt from.
    assert_eq!(learnt[2]["role"], "assistant");
    assert_eq!(learnt[2].as_object_mut().unwrap().remove("weight"), Some(0.into()));
    assert_eq!(Value::from(learnt), server.seen()[0].json()["messages"]);

    let mut other = TrainingSet::new();
    let mut strange = trace.clone();
    strange.steps[0].predictor = "elsewhere".into();
    assert!(other.add_trace(&program, &strange).unwrap_err().to_string().contains("`elsewhere`"));
    other.add_demos(program.predictor(), program.predictor().demos()).unwrap();
    assert_eq!(other.rows().len(), 1);
    assert_eq!(program.named_predictors().len(), 1);
}

#[test]
fn tools_and_preferences_have_their_places() {
    let tool = ToolSpec::new("weather", "The weather.", json!({"type": "object", "properties": {}}));
    let spec = SignatureSpec::new(
        "Act",
        "",
        [
            FieldSpec::text(Role::Input, "question", ""),
            FieldSpec::new(Role::Input, "tools", "", Vec::<ToolSpec>::schema()),
            FieldSpec::new(Role::Output, "calls", "", ToolCalls::schema()),
        ],
    );
    let mut predictor = Predictor::new(spec);
    let able = dspy_core::lm::Capabilities::NONE.tools(true);
    let model = dspy_core::lm::ScriptedLm::new(Vec::<&str>::new()).with_capabilities(able);
    predictor.set_lm(Lm::custom(model));
    let mut inputs = values(&[("question", "Rain?")]);
    inputs.insert("tools".into(), json!([tool]));
    let calls =
        |name: &str| Values::from_iter([("calls".to_owned(), json!([{"name": name, "arguments": {}}]))]);
    let row = TrainingRow::of(&predictor, &inputs, &calls("weather")).unwrap();
    let row = row.rather_than(&predictor, &inputs, &calls("guess")).unwrap();
    let json: Value = serde_json::from_str(&row.to_json().unwrap()).unwrap();
    assert_eq!(json["input"]["tools"][0]["function"]["name"], "weather");
    let call = |name: &str| {
        json!([{"role": "assistant", "content": null, "tool_calls": [{"id": "call_0", "type": "function",
            "function": {"name": name, "arguments": "{}"}}]}])
    };
    assert_eq!(
        (&json["preferred_output"], &json["non_preferred_output"]),
        (&call("weather"), &call("guess"))
    );
}
