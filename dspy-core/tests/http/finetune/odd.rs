//! Servers without a list of jobs or with a late one, and odd replies: no job is paid twice, and none is lost.

use super::*;

fn is_create(seen: &Seen) -> bool {
    seen.head.starts_with("POST /v1/fine_tuning/jobs")
}

fn is_list(seen: &Seen) -> bool {
    seen.head.starts_with("GET /v1/fine_tuning/jobs?")
}

fn is_status(seen: &Seen) -> bool {
    seen.head.starts_with("GET /v1/fine_tuning/jobs/")
}

/// A server without a list of jobs, with a fault for each request that creates one.
async fn without_list(fault: Option<Fault>) -> Tuner {
    Tuner::new(done(), move |_, seen| match fault {
        _ if is_list(seen) => Some(Fault::Status(404)),
        Some(fault) if is_create(seen) => Some(fault),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn without_a_list_a_job_that_may_exist_is_not_created_again() {
    for fault in [Fault::StatusAfter(500), Fault::StatusAfter(409), Fault::CutAfter, Fault::PageAfter] {
        let tuner = without_list(Some(fault)).await;
        let (state, client) = (StateFile::new(), tuner.client());
        for first in [true, false, false] {
            let error = client.run(&tune(), &state).await.unwrap_err();
            assert!(matches!(&error, FineTuneError::Unknown { source, .. } if source.is_some() == first));
            let text = error.to_string();
            assert!(text.contains("may have been created") && text.contains("state.json"), "{text}");
            assert!(text.contains("`FineTuning::adopt`") && text.contains("delete"), "{text}");
            assert!(!format!("{text} {error:?}").contains("sk-very"), "{text}");
            assert_eq!(tuner.counts(), (2, 1), "{fault:?}");
        }
        // With the id, the run collects the job that was paid.
        assert!(client.adopt(StateFile::new(), "ftjob-1").await.is_err());
        assert_eq!(client.adopt(&state, "ftjob-1").await.unwrap().id, "ftjob-1");
        assert_eq!(client.run(&tune(), &state).await.unwrap().name(), "ft:m:org::1");
        let error = client.adopt(&state, "ftjob-2").await.unwrap_err();
        assert!(error.to_string().contains("the job ftjob-1 already"), "{error}");
        assert_eq!(tuner.counts(), (2, 1));
        // Without the file, it begins anew.
        let _ = client.run(&tune(), StateFile::new()).await.unwrap_err();
        assert_eq!(tuner.counts().1, 2);
    }
}

/// A server with a list of jobs, which shows a new one after this many looks.
async fn with_late_list(fault: Fault, hidden: usize) -> Tuner {
    let tuner = Tuner::new(done(), move |_, seen| is_create(seen).then_some(fault)).await;
    tuner.store.lock().unwrap().hidden = hidden;
    tuner
}

#[tokio::test]
async fn a_job_that_the_list_shows_late_is_found_and_not_created_again() {
    for hidden in 0..9 {
        let tuner = with_late_list(Fault::CutAfter, hidden).await;
        let (state, client) = (StateFile::new(), tuner.client());
        let mut outcome = client.run(&tune(), &state).await;
        // The first look and five more.
        assert_eq!(outcome.is_err(), hidden > 5, "{hidden}");
        if let Err(error) = outcome {
            assert!(
                matches!(&error, FineTuneError::Unknown { listed: true, source: Some(_), .. }),
                "{error}"
            );
            assert!(error.to_string().contains("is not in the endpoint's list of jobs"), "{error}");
            // A later run looks again.
            outcome = client.run(&tune(), &state).await;
        }
        assert_eq!(outcome.unwrap().name(), "ft:m:org::1");
        assert_eq!(tuner.counts(), (2, 1), "{hidden}");
    }
}

#[tokio::test]
async fn a_creation_of_unknown_outcome_is_not_repeated_although_there_is_a_list() {
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::Page, Fault::PageAfter, Fault::StatusAfter(500)] {
        let tuner = with_late_list(fault, 1_000).await;
        let (state, client) = (StateFile::new(), tuner.client());
        for first in [true, false] {
            let error = client.run(&tune(), &state).await.unwrap_err();
            let FineTuneError::Unknown { source, listed: true, .. } = &error else { panic!("{error}") };
            assert_eq!(source.is_some(), first, "{fault:?}");
            assert_eq!(tuner.server.seen().iter().filter(|seen| is_create(seen)).count(), 1, "{fault:?}");
        }
        if tuner.counts().1 == 1 {
            client.adopt(&state, "ftjob-1").await.unwrap();
            assert_eq!(client.run(&tune(), &state).await.unwrap().name(), "ft:m:org::1");
        }
    }
}

#[tokio::test]
async fn a_server_that_was_not_available_is_asked_again_if_its_list_shows_no_job() {
    let asked = AtomicUsize::new(0);
    let tuner = Tuner::new(done(), move |_, seen| {
        let refuses = is_create(seen) && asked.fetch_add(1, Ordering::SeqCst) == 0;
        refuses.then_some(Fault::Status(503))
    })
    .await;
    assert_eq!(tuner.client().run(&tune(), StateFile::new()).await.unwrap().name(), "ft:m:org::1");
    assert_eq!(tuner.counts(), (2, 1));
    // It was: the list shows the job after a while.
    let tuner = with_late_list(Fault::StatusAfter(503), 3).await;
    assert_eq!(tuner.client().run(&tune(), StateFile::new()).await.unwrap().name(), "ft:m:org::1");
    assert_eq!(tuner.counts(), (2, 1));
}

#[tokio::test]
async fn a_creation_that_found_no_connection_was_not_sent() {
    // The server goes away after it has shown its list.
    let slot: Arc<Mutex<Option<Server>>> = Arc::default();
    let own = slot.clone();
    let server = Server::start(move |_, seen| {
        let body = if seen.head.starts_with("POST") {
            json!({"id": "file-1", "filename": "f", "bytes": 1})
        } else {
            json!({"data": []})
        };
        if is_list(seen) {
            drop(own.lock().unwrap().take());
        }
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        Act::SendAndClose((head + &body).into_bytes())
    })
    .await;
    let client =
        FineTuning::new(endpoint(&server.url())).polling(Duration::from_millis(1), Duration::from_millis(2));
    *slot.lock().unwrap() = Some(server);
    let state = StateFile::new();
    let error = client.run(&tune(), &state).await.unwrap_err();
    assert!(
        matches!(&error, FineTuneError::Endpoint(error) if error.kind == LmErrorKind::Transport),
        "{error}"
    );
    assert!(slot.lock().unwrap().is_none(), "the list was shown");
    // The next run may create the job.
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(text.contains("file-1") && !text.contains("creating"), "{text}");
}

#[tokio::test]
async fn a_job_of_another_file_is_not_adopted() {
    let tuner = without_list(Some(Fault::StatusAfter(500))).await;
    let (state, client) = (StateFile::new(), tuner.client());
    let _ = client.run(&tune(), &state).await.unwrap_err();
    tuner.store.lock().unwrap().jobs[0]["training_file"] = "file-9".into();
    let error = client.adopt(&state, "ftjob-1").await.unwrap_err();
    assert!(error.to_string().contains("of the training file file-9, not of file-1"), "{error}");
}

#[tokio::test]
async fn without_a_list_a_killed_creation_is_not_repeated() {
    let tuner = without_list(Some(Fault::HangAfter)).await;
    let (state, client, tune) = (StateFile::new(), tuner.client(), tune());
    tokio::select! {
        outcome = client.run(&tune, &state) => panic!("{outcome:?}"),
        () = tuner.hung.notified() => {}
    }
    let error = client.run(&tune, &state).await.unwrap_err();
    assert!(matches!(error, FineTuneError::Unknown { source: None, .. }), "{error}");
    assert_eq!(tuner.counts(), (2, 1));
}

#[tokio::test]
async fn without_a_list_a_refusal_is_known() {
    let tuner = without_list(Some(Fault::Status(400))).await;
    let state = StateFile::new();
    for _ in 0..2 {
        let error = tuner.client().run(&tune(), &state).await.unwrap_err();
        assert!(
            matches!(&error, FineTuneError::Endpoint(error) if error.kind == LmErrorKind::InvalidRequest)
        );
    }
    // The state is that of a run without a job: a server that is willing now creates it.
    let mended = without_list(None).await;
    let _ = mended.client().run(&tune(), StateFile::new()).await.unwrap();
    let tuner = without_list(None).await;
    tuner.store.lock().unwrap().no_metadata = true;
    assert_eq!(
        tuner.client().run(&tune(), &state).await.unwrap_err().to_string().matches("another path").count(),
        1
    );
    assert_eq!(tuner.client().run(&tune(), StateFile::new()).await.unwrap().name(), "ft:m:org::1");
    assert_eq!(tuner.counts(), (2, 1));
}

#[tokio::test]
async fn a_refused_creation_is_tried_again() {
    let refused = AtomicUsize::new(0);
    let tuner = Tuner::new(done(), move |_, seen| match () {
        () if is_list(seen) => Some(Fault::Status(404)),
        () if is_create(seen) && refused.fetch_add(1, Ordering::SeqCst) < 2 => Some(Fault::Status(403)),
        () => None,
    })
    .await;
    let state = StateFile::new();
    for _ in 0..2 {
        let error = tuner.client().run(&tune(), &state).await.unwrap_err();
        assert!(
            matches!(&error, FineTuneError::Endpoint(error) if error.kind == LmErrorKind::Auth),
            "{error}"
        );
    }
    assert_eq!(tuner.client().run(&tune(), &state).await.unwrap().name(), "ft:m:org::1");
    assert_eq!(tuner.counts(), (2, 1));
}

#[tokio::test]
async fn a_model_without_a_name_is_an_error() {
    for name in [json!(""), json!(" \n"), Value::Null] {
        let course = vec![json!({"status": "succeeded", "fine_tuned_model": name})];
        let tuner = Tuner::new(course, |_, _| None).await;
        let error = tuner.client().run(&tune(), StateFile::new()).await.unwrap_err();
        assert!(error.to_string().contains("without the name of a model"), "{error}");
    }
}

#[tokio::test]
async fn one_bad_status_reply_does_not_end_the_wait() {
    for fault in [Fault::Page, Fault::Status(404), Fault::Status(500)] {
        let failed = AtomicUsize::new(0);
        let tuner = Tuner::new(done(), move |_, seen| {
            (is_status(seen) && failed.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)).then_some(fault)
        })
        .await;
        let state = StateFile::new();
        assert_eq!(tuner.client().run(&tune(), &state).await.unwrap().name(), "ft:m:org::1");
        // The first query of a run that waits again is one of them.
        assert_eq!(tuner.client().run(&tune(), &state).await.unwrap().name(), "ft:m:org::1", "{fault:?}");
    }
}

#[tokio::test]
async fn a_job_that_is_gone_or_never_seen_ends_the_wait() {
    let tuner = Tuner::new(done(), |_, seen| is_status(seen).then_some(Fault::Status(404))).await;
    let error = tuner.client().run(&tune(), StateFile::new()).await.unwrap_err();
    assert!(matches!(&error, FineTuneError::Missing { job, .. } if job == "ftjob-1"), "{error}");
    assert!(error.to_string().contains("has no fine-tuning job ftjob-1"), "{error}");
    let tuner = Tuner::new(done(), |_, seen| is_status(seen).then_some(Fault::Page)).await;
    let client = tuner.client().deadline(Duration::from_millis(30));
    let error = client.run(&tune(), StateFile::new()).await.unwrap_err();
    assert!(matches!(&error, FineTuneError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn reasons_of_failed_jobs_are_shown_in_all_forms() {
    for (reason, text) in [
        (json!("Row 3 is odd."), "Row 3 is odd."),
        (json!({"message": "Row 3 is odd.", "code": 7}), "Row 3 is odd. (7)"),
        (json!(["Row 3"]), "[\"Row 3\"]"),
        (Value::Null, "no reason given"),
    ] {
        let tuner = Tuner::new(vec![json!({"status": "failed", "error": reason})], |_, _| None).await;
        let error = tuner.client().run(&tune(), StateFile::new()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the fine-tuning job ftjob-1 failed: {text}"));
    }
}

#[tokio::test]
async fn unknown_sizes_and_odd_ids_are_fine() {
    let server = Server::start(|_, seen| {
        let ok = |value: Value| reply(200, &[], &value.to_string());
        let path = seen.path().split('?').next().unwrap_or_default().to_owned();
        match (seen.head.split(' ').next().unwrap(), path.as_str()) {
            ("GET", "/v1/files") => ok(json!({"data": [{"id": "old", "filename": null, "bytes": null}]})),
            ("POST", "/v1/files") => ok(json!({"id": "f", "filename": null, "bytes": null, "purpose": null})),
            ("GET", "/v1/fine_tuning/jobs") => ok(json!({"data": [], "has_more": null})),
            ("POST", _) => ok(json!({"id": "projects/1/jobs/a b", "status": "queued", "model": null})),
            (_, "/v1/fine_tuning/jobs/projects%2F1%2Fjobs%2Fa%20b") => {
                ok(json!({"id": "projects/1/jobs/a b", "status": "succeeded", "fine_tuned_model": "tuned"}))
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    let client =
        FineTuning::new(endpoint(&server.url())).polling(Duration::from_millis(1), Duration::from_millis(2));
    let state = StateFile::new();
    for _ in 0..2 {
        assert_eq!(client.run(&tune(), &state).await.unwrap().name(), "tuned");
    }
    let creations = server.seen().iter().filter(|seen| is_create(seen)).count();
    assert_eq!(creations, 1);
    for id in ["", "../models", ".", "a\nb"] {
        assert!(client.job(id).await.unwrap_err().to_string().contains("is not an id"));
    }
}
