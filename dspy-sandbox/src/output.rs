//! The output of code: through Python's streams, or past them through the system's.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::bytes::Bytes;

/// The bytes that one write may have.
const CHUNK: usize = 64 << 10;

/// The output of a run, up to a limit in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    printed: Arc<Mutex<Printed>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Printed {
    bytes: Vec<u8>,
    overflowed: bool,
    /// Whether code runs. The interpreter itself prints complaints before and after.
    open: bool,
}

impl Output {
    pub(crate) fn new(limit: usize) -> Self {
        Output { printed: Arc::default(), limit }
    }

    fn printed(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        *self.printed() = Printed::default();
    }

    /// Starts or ends to take what is printed.
    pub(crate) fn open(&self, open: bool) {
        self.printed().open = open;
    }

    /// Appends up to the limit. Returns whether all of it fits.
    pub(crate) fn push(&self, bytes: &[u8]) -> bool {
        let mut printed = self.printed();
        if !printed.open {
            return true;
        }
        let room = self.limit.saturating_sub(printed.bytes.len());
        printed.overflowed |= bytes.len() > room;
        printed.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len() <= room
    }

    /// Returns whether output was dropped.
    pub(crate) fn overflowed(&self) -> bool {
        self.printed().overflowed
    }

    /// Takes the output as text: bytes that are no UTF-8 become `\u{FFFD}`.
    pub(crate) fn take(&self) -> String {
        let mut bytes = std::mem::take(&mut self.printed().bytes);
        if bytes.len() >= self.limit
            && let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            // A character that the limit has split.
            bytes.truncate(error.valid_up_to());
        }
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        text.truncate(text.floor_char_boundary(self.limit));
        text
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Code that writes here could ignore an error for ever.
        if self.push(&bytes) { Ok(()) } else { Err(StreamError::trap("too much output")) }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl Pollable for Output {
    fn ready<'s, 'f>(&'s mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
