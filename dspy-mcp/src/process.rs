//! Servers that are processes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use rmcp::RoleClient;
use rmcp::service::TxJsonRpcMessage;
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::guard::{Fault, Watch};
use crate::line::{Received, Written, read};

/// The time for a process to end after its input has been closed.
const TO_END: Duration = Duration::from_secs(2);

/// The time in which a process that has closed its output is expected to end.
const TO_REPORT: Duration = Duration::from_millis(300);

/// The number of bytes of the error output that are kept.
const KEPT: usize = 2 * 1024;

/// A process whose messages are lines of its input and output. It is killed when this is dropped.
pub(crate) struct Process {
    child: Arc<tokio::sync::Mutex<Child>>,
    input: Arc<Mutex<Option<ChildStdin>>>,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
    /// The messages of the last line that are not received yet.
    batch: VecDeque<Received>,
    errors: Errors,
    watch: Arc<Watch>,
    max_line: usize,
    /// The time to write a message. A process that does not read its input is given up.
    to_write: Duration,
}

impl Process {
    pub(crate) fn start(
        command: &mut Command,
        watch: Arc<Watch>,
        max_line: usize,
        to_write: Duration,
    ) -> io::Result<Self> {
        use std::process::Stdio;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = Errors::of(child.stderr.take().ok_or_else(missing)?);
        let (input, output) = (Arc::new(Mutex::new(Some(input))), BufReader::new(output));
        let child = Arc::new(tokio::sync::Mutex::new(child));
        let (line, batch) = (Vec::new(), VecDeque::new());
        Ok(Process { child, input, output, line, batch, errors, watch, max_line, to_write })
    }

    /// Reads a line into `line`. Returns whether there is one; `line` is kept if the future is dropped.
    async fn read_line(&mut self) -> bool {
        loop {
            let Ok(available) = self.output.fill_buf().await else { return false };
            if available.is_empty() {
                return false;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            if self.line.len() + taken > self.max_line {
                self.watch.end(Fault::Limit(format!(
                    "a message of more than {} bytes; raise `max_message_bytes`",
                    self.max_line
                )));
                return false;
            }
            self.line.extend_from_slice(&available[..taken]);
            self.output.consume(taken);
            if end.is_some() {
                return true;
            }
        }
    }

    /// Records the end of the process.
    async fn ended(&mut self) {
        let otherwise = "the process closed its output".to_owned();
        let cause = reason(&self.child, &self.errors, otherwise).await;
        self.watch.end(Fault::Ended(cause));
    }
}

/// Returns the reason for the end of a process: its exit status, or else this one, and the end of its error output.
async fn reason(child: &tokio::sync::Mutex<Child>, errors: &Errors, otherwise: String) -> String {
    let status = timeout(TO_REPORT, async { child.lock().await.wait().await }).await;
    let mut cause = match status {
        Ok(Ok(status)) => {
            errors.all().await;
            format!("the process ended ({status})")
        }
        _ => otherwise,
    };
    let errors = errors.text();
    if !errors.is_empty() {
        cause.push_str("; its last error output: ");
        cause.push_str(&errors);
    }
    cause
}

/// The end of the error output of a process.
#[derive(Clone)]
struct Errors {
    kept: Arc<std::sync::Mutex<Vec<u8>>>,
    /// Closed once the whole output is read.
    reading: tokio::sync::watch::Receiver<()>,
}

impl Errors {
    fn of(mut output: ChildStderr) -> Self {
        let (read, reading) = tokio::sync::watch::channel(());
        let errors = Errors { kept: Arc::default(), reading };
        let kept = errors.kept.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = output.read(&mut buffer).await {
                let mut kept = kept.lock_any();
                kept.extend_from_slice(&buffer[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
            drop(read);
        });
        errors
    }

    /// Waits until the output of a process that has ended is read. Processes that it has started may hold it open.
    async fn all(&self) {
        let _ = timeout(TO_REPORT, self.reading.clone().changed()).await;
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock_any()).trim().to_owned()
    }
}

impl Transport<RoleClient> for Process {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (input, limit, watch) = (self.input.clone(), self.to_write, self.watch.clone());
        let (child, errors) = (self.child.clone(), self.errors.clone());
        async move {
            let mut message = serde_json::to_vec(&item)?;
            message.push(b'\n');
            let mut input = input.lock().await;
            let Some(pipe) = input.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
            let written = timeout(limit, async {
                pipe.write_all(&message).await?;
                pipe.flush().await
            });
            let written = written.await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the process does not read its input"))
            });
            if let Err(error) = &written {
                // A part of a message may have been written.
                *input = None;
                // If the process has ended, its end says more. Its output may not be read yet.
                let cause = reason(&child, &errors, error.to_string()).await;
                watch.end(Fault::Ended(cause));
            }
            written
        }
    }

    async fn receive(&mut self) -> Option<Received> {
        loop {
            if let Some(message) = self.batch.pop_front() {
                return Some(message);
            }
            if !self.read_line().await {
                if self.watch.fault().is_none() {
                    self.ended().await;
                }
                return None;
            }
            let written = read(&self.line, self.watch.mark());
            let blank = self.line.trim_ascii().is_empty();
            self.line.clear();
            match written {
                Written::Messages(messages) => self.batch.extend(messages),
                // Many servers print other lines to their output.
                Written::Noise if blank || self.watch.unasked() => {}
                Written::Noise => return None,
                Written::Broken(problem) => {
                    self.watch.end(Fault::Broken(problem));
                    return None;
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        // A write in flight holds the lock; the process is killed then.
        if let Ok(mut input) = self.input.try_lock() {
            *input = None;
            let ended = async { self.child.lock().await.wait().await };
            if self.watch.fault().is_none() && timeout(TO_END, ended).await.is_ok() {
                return Ok(());
            }
        }
        self.child.lock().await.kill().await
    }
}
