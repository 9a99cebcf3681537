//! Runtimes that lack what the transport needs.

use dspy_lm::{Lm, LmErrorKind, Message, Request};
use futures_util::FutureExt as _;

/// A model that nobody serves: nothing may be sent to it.
fn lm() -> Lm {
    crate::endpoint("http://127.0.0.1:9/v1").retries(0).model("m").unwrap()
}

async fn kinds() -> [LmErrorKind; 3] {
    let stream = lm().stream(Request::new(vec![Message::user("Hi")]));
    let embedder = crate::endpoint("http://127.0.0.1:9/v1").retries(0).embedder("m").unwrap();
    [
        lm().ask("Hi").await.unwrap_err().kind,
        stream.finish().await.unwrap_err().kind,
        embedder.embed(["Hi"]).await.unwrap_err().kind,
    ]
}

#[test]
fn without_timers_or_io_the_error_says_what_is_missing() {
    for (timers, io) in [(false, false), (true, false), (false, true)] {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        if timers {
            builder.enable_time();
        }
        if io {
            builder.enable_io();
        }
        let runtime = builder.build().unwrap();
        assert_eq!(runtime.block_on(kinds()), [LmErrorKind::Configuration; 3], "timers {timers}, I/O {io}");
        let error = runtime.block_on(lm().ask("Hi")).unwrap_err();
        assert!(error.message.contains("enable_all()"), "{error}");
    }
}

#[test]
fn without_any_runtime_too() {
    let kinds = kinds().now_or_never().unwrap();
    assert_eq!(kinds, [LmErrorKind::Configuration; 3]);
}

#[test]
fn with_all_of_it_the_server_is_missed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(lm().ask("Hi")).unwrap_err().kind, LmErrorKind::Transport);
}
