//! Transport of telemetry: the library's own HTTP client, in a separate thread.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::sync::{mpsc, oneshot};

use dspy_lm::internal::client_for;

/// The time limit for a response of the collector.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest number of bytes of a response that are read.
const ANSWER: usize = 64 << 10;
/// The capacity of the queue; spans and metrics each wait for their last request before they send another.
const WAITING: usize = 4;

/// A client that can be used from any runtime or none: exporters run in threads without a runtime.
#[derive(Debug)]
pub(super) struct Courier(mpsc::Sender<Job>);

#[derive(Debug)]
struct Job {
    request: Request<Bytes>,
    answer: oneshot::Sender<Result<Response<Bytes>, HttpError>>,
}

impl Courier {
    /// Starts the thread, which ends when the last handle is dropped.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut jobs) = mpsc::channel::<Job>(WAITING);
        std::thread::Builder::new().name("dspy-otlp".to_owned()).spawn(move || {
            runtime.block_on(async move {
                while let Some(Job { request, answer }) = jobs.recv().await {
                    // The caller may have stopped waiting for the response.
                    let _ = answer.send(send(request).await);
                }
            });
        })?;
        Ok(Courier(sender))
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let client = client_for(&request.uri().to_string())?;
    let mut request = reqwest::Request::try_from(request)?;
    *request.timeout_mut() = Some(PATIENCE);
    // The address may contain a key.
    let mut response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        let room = ANSWER - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER {
            break;
        }
    }
    Ok(answer.body(body.into())?)
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Courier {
    fn send_bytes<'s, 'f>(&'s self, request: Request<Bytes>) -> Sending<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.0
                .send(Job { request, answer })
                .await
                .map_err(|_| "the thread that sends telemetry has ended")?;
            answered.await?
        })
    }
}
