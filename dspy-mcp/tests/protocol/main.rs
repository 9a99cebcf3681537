//! Clients and servers of the protocol, each server in a process of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;
mod hostile;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_hostile;
#[cfg(all(feature = "http", feature = "http-server"))]
mod http_server;
mod processes;

/// The servers, in processes of their own; nothing in the process of the tests.
#[test]
fn server_process() {
    match std::env::var(common::ROLE).as_deref() {
        Ok("good") => processes::serve(),
        #[cfg(all(feature = "http", feature = "http-server"))]
        Ok("http") => http_server::serve(),
        Ok(role) => hostile::serve(role),
        Err(_) => {}
    }
}
