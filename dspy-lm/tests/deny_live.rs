//! A process whose requests are denied. It is a test binary of its own, as nothing can undo it.

#![cfg(feature = "http")]

use dspy_lm::{Endpoint, Lm, LmErrorKind, deny_live_requests};
use dspy_test_server::{Server, chat};

#[tokio::test]
async fn nothing_is_sent_from_any_task_and_models_in_process_go_on() {
    let server = Server::script(vec![chat("hi")]).await;
    let lm = Endpoint::new(server.url()).model("m").unwrap();
    assert_eq!(lm.ask("Hi").await.unwrap(), "hi");
    deny_live_requests();
    deny_live_requests();
    let spawned = tokio::spawn({
        let lm = lm.clone();
        async move { lm.ask("Hi").await }
    });
    for error in [lm.ask("Hi").await.unwrap_err(), spawned.await.unwrap().unwrap_err()] {
        assert_eq!((error.kind, error.model.as_str()), (LmErrorKind::Denied, "m"));
        assert!(error.to_string().contains("`deny_live_requests`"), "{error}");
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(Lm::scripted(["yes"]).ask("Hi").await.unwrap(), "yes");
    assert!(Lm::builtin().ask("Hi").await.is_ok());
}
