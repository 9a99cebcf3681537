//! The host's side of a session: functions that the interpreter calls, and limits of memory and output.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use wasmtime::ResourceLimiter;
use wasmtime::component::{Accessor, HasSelf, ResourceTable};
use wasmtime_wasi::{HostWallClock, RngCore, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::bindings::eryx::net::{tcp, tls};
use crate::bindings::{CallbackInfo, SandboxImports, SandboxImportsWithStore};
use crate::output::Output;
use crate::pending::Pending;
use crate::strict;
use crate::tools::Tools;

/// The port of a connection that calls a tool.
const CALL: u16 = 1;
/// The port of a connection that reads what the host has for the interpreter.
const INPUT: u16 = 2;
/// The port of a connection that takes the answer of the interpreter.
const ANSWER: u16 = 3;
/// The bytes that an answer may have beyond those of a value: an error with its message.
const ANSWER_SLACK: usize = 64 << 10;
/// The depth of the arguments in a call: the call, and the lists of arguments by position and by name.
const ENVELOPE: usize = 2;
/// The number of connections at once. One is needed.
const CONNECTIONS: usize = 16;
/// The linear memory of the interpreter while it starts.
const STARTING: usize = 1 << 30;

/// The state of a session.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    /// The bytes of all memories.
    memory: usize,
    memory_limit: usize,
    /// Whether memory was refused since the last run began.
    pub(crate) refused: bool,
    pub(crate) tools: Tools,
    /// The call that the code waits for.
    pub(crate) pending: Pending,
    pub(crate) stdout: Output,
    /// The bytes that the interpreter reads next.
    input: Vec<u8>,
    /// The answer of the interpreter.
    answer: Option<Vec<u8>>,
    connections: HashMap<u32, Connection>,
    last: u32,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("memory", &self.memory).finish_non_exhaustive()
    }
}

struct Connection {
    port: u16,
    written: Vec<u8>,
    /// The reply, and how much of it was read.
    reply: Option<(Vec<u8>, usize)>,
}

impl Host {
    pub(crate) fn new(tools: Tools, stdout_limit: usize, seed: u64, clock: bool) -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(1 << 20);
        wasi.secure_random(Random(seed)).insecure_random(Random(!seed)).insecure_random_seed(seed.into());
        if !clock {
            wasi.wall_clock(OwnClock(std::time::Instant::now()));
        }
        Host::with(wasi, tools, stdout_limit)
    }

    pub(crate) fn with(mut wasi: WasiCtxBuilder, tools: Tools, stdout_limit: usize) -> Self {
        let stdout = Output::new(stdout_limit);
        wasi.stdout(stdout.clone()).stderr(stdout.clone());
        Host {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            memory: 0,
            memory_limit: STARTING,
            refused: false,
            tools,
            pending: Pending::default(),
            stdout,
            input: Vec::new(),
            answer: None,
            connections: HashMap::new(),
            last: 0,
        }
    }

    /// Limits the memory to what is in use plus `more`.
    pub(crate) fn limit_memory(&mut self, more: usize) {
        self.memory_limit = self.memory.saturating_add(more);
    }

    /// Prepares a run: nothing printed, no calls made, the input waiting.
    pub(crate) fn begin(&mut self, input: Vec<u8>) {
        self.input = input;
        self.answer = None;
        self.stdout.clear();
        self.refused = false;
        self.connections.clear();
        self.pending.clear();
        self.tools.begin();
    }

    pub(crate) fn take_answer(&mut self) -> Option<Vec<u8>> {
        self.answer.take()
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, now: usize, wanted: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(now).saturating_add(wanted);
        let granted = total <= self.memory_limit && most.is_none_or(|most| wanted <= most);
        if granted {
            self.memory = total;
        } else {
            self.refused = true;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(wanted <= 100_000)
    }
}

impl SandboxImportsWithStore for HasSelf<Host> {
    fn invoke<T>(
        _: &Accessor<T, Self>,
        _: String,
        _: String,
    ) -> impl Future<Output = Result<String, String>> + Send {
        std::future::ready(Err("tools are plain functions".to_owned()))
    }
}

impl SandboxImports for Host {
    fn list_callbacks(&mut self) -> Vec<CallbackInfo> {
        Vec::new()
    }

    fn report_trace(&mut self, _: u32, _: String, _: String) {}

    fn report_output(&mut self, _: u32, text: String) {
        self.stdout.push(text.as_bytes());
    }
}

impl tcp::Host for Host {
    async fn connect(&mut self, host: String, port: u16, _: u32) -> Result<u32, tcp::TcpError> {
        if host != "dspy" || !matches!(port, CALL | INPUT | ANSWER) {
            return Err(tcp::TcpError::NotPermitted("there is no network".to_owned()));
        }
        if port == ANSWER {
            // Whatever code has left open, the interpreter can answer.
            self.connections.clear();
        }
        if self.connections.len() >= CONNECTIONS {
            return Err(tcp::TcpError::NotPermitted("too many connections".to_owned()));
        }
        self.last = self.last.wrapping_add(1);
        self.connections.insert(self.last, Connection { port, written: Vec::new(), reply: None });
        Ok(self.last)
    }

    async fn write(&mut self, handle: u32, _: u32, data: Vec<u8>) -> Result<u32, tcp::TcpError> {
        let limit = self.tools.limit_bytes();
        let connection = self.connections.get_mut(&handle).ok_or(tcp::TcpError::InvalidHandle)?;
        let limit = if connection.port == ANSWER { limit.saturating_add(ANSWER_SLACK) } else { limit };
        if connection.reply.is_some() || connection.written.len() + data.len() > limit {
            return Err(tcp::TcpError::NotPermitted("the arguments are too large".to_owned()));
        }
        connection.written.extend_from_slice(&data);
        Ok(u32::try_from(data.len()).unwrap_or(u32::MAX))
    }

    async fn read(&mut self, handle: u32, most: u32, _: u32) -> Result<Vec<u8>, tcp::TcpError> {
        let connection = self.connections.get_mut(&handle).ok_or(tcp::TcpError::InvalidHandle)?;
        if connection.reply.is_none() {
            let (port, written) = (connection.port, std::mem::take(&mut connection.written));
            let reply = match port {
                INPUT => {
                    self.stdout.open(true);
                    std::mem::take(&mut self.input)
                }
                ANSWER => {
                    self.stdout.open(false);
                    self.answer = Some(written);
                    Vec::new()
                }
                _ => match strict::read_inside(&written, ENVELOPE) {
                    Ok(call) => match self.tools.call(&call) {
                        Ok(call) => self.pending.reply(call).await,
                        Err(reply) => reply,
                    },
                    Err(problem) => refused(&format!("the arguments do not fit JSON: {problem}")),
                },
            };
            let connection = self.connections.get_mut(&handle).ok_or(tcp::TcpError::InvalidHandle)?;
            connection.reply = Some((reply, 0));
        }
        let connection = self.connections.get_mut(&handle).ok_or(tcp::TcpError::InvalidHandle)?;
        let Some((reply, read)) = &mut connection.reply else { return Err(tcp::TcpError::InvalidHandle) };
        let end = reply.len().min(read.saturating_add(most as usize));
        let part = reply[*read..end].to_vec();
        *read = end;
        Ok(part)
    }

    fn close(&mut self, handle: u32) {
        self.connections.remove(&handle);
    }
}

/// Returns the reply to a call with wrong arguments.
fn refused(message: &str) -> Vec<u8> {
    json!({"error": message, "type": true}).to_string().into_bytes()
}

impl tls::Host for Host {
    async fn upgrade(&mut self, _: u32, _: String, _: u32) -> Result<u32, tls::TlsError> {
        Err(tls::TlsError::InvalidHandle)
    }

    async fn read(&mut self, _: u32, _: u32, _: u32) -> Result<Vec<u8>, tls::TlsError> {
        Err(tls::TlsError::InvalidHandle)
    }

    async fn write(&mut self, _: u32, _: u32, _: Vec<u8>) -> Result<u32, tls::TlsError> {
        Err(tls::TlsError::InvalidHandle)
    }

    fn close(&mut self, _: u32) {}
}

/// The hours from 1970 to the start of a session's own clock.
const SINCE_1970: u64 = 262_968;

/// The clock of a session without a real one: it starts on 1 January 2000.
struct OwnClock(std::time::Instant);

impl HostWallClock for OwnClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_hours(SINCE_1970) + self.0.elapsed()
    }
}

/// SplitMix64: random enough for programs, the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
