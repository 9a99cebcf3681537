//! Server processes for tests: this test binary, started again in another role.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dspy_mcp::McpClient;
use serde_json::{Value, json};

/// The variable that makes the test binary a server.
pub(crate) const ROLE: &str = "DSPY_MCP_TEST_ROLE";
const LOG: &str = "DSPY_MCP_TEST_LOG";

/// A file in which a server notes the calls that it receives.
pub(crate) struct Calls(PathBuf);

impl Calls {
    pub(crate) fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("dspy-mcp-{}-{name}", std::process::id()));
        drop(std::fs::remove_file(&file));
        Calls(file)
    }

    pub(crate) fn count(&self) -> usize {
        std::fs::read_to_string(&self.0).map_or(0, |text| text.lines().filter(|line| *line == "call").count())
    }

    pub(crate) fn starts(&self) -> usize {
        std::fs::read_to_string(&self.0)
            .map_or(0, |text| text.lines().filter(|line| *line == "start").count())
    }

    pub(crate) fn lists(&self) -> usize {
        std::fs::read_to_string(&self.0).map_or(0, |text| text.lines().filter(|line| *line == "list").count())
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Returns a client of this test binary in the given role.
pub(crate) fn client(role: &str, calls: &Calls) -> McpClient {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "server_process", "--nocapture"]).env(ROLE, role).env(LOG, &calls.0);
    McpClient::stdio(command)
}

fn note(line: &str) {
    let Some(file) = std::env::var_os(LOG) else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(Path::new(&file)).unwrap();
    writeln!(file, "{line}").unwrap();
}

pub(crate) fn say(message: &Value) {
    let mut output = std::io::stdout().lock();
    // A client that has gone is the end of the server.
    if writeln!(output, "{message}").and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

pub(crate) fn answer(request: &Value, result: Value) {
    say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
}

pub(crate) fn tool(name: &str) -> Value {
    json!({"name": name, "description": "A tool.", "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}}})
}

pub(crate) fn welcome(request: &Value) -> Value {
    let version = &request["params"]["protocolVersion"];
    json!({"protocolVersion": version, "capabilities": {"tools": {"listChanged": true}}, "serverInfo": {"name": "raw", "version": "1"}})
}

/// Runs a server that speaks raw JSON-RPC. `list` answers requests for tools; `call` answers calls.
pub(crate) fn raw(list: impl Fn(&Value), call: impl Fn(&Value)) {
    note("start");
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match request["method"].as_str() {
            Some("initialize") => answer(&request, welcome(&request)),
            Some("tools/list") => {
                note("list");
                list(&request);
            }
            Some("tools/call") => {
                note("call");
                call(&request);
            }
            _ => {}
        }
    }
    std::process::exit(0);
}

pub(crate) fn forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
