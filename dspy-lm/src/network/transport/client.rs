//! The one HTTP client of the process, shared by all endpoints.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients, built on first use.
#[derive(Debug)]
struct Clients {
    remote: reqwest::Client,
    /// For servers on this machine, which no proxy of the environment can reach.
    local: reqwest::Client,
    /// Why no certificate of a server can be verified, if so.
    no_certificates: Option<String>,
}

static CLIENTS: OnceLock<Result<Clients, String>> = OnceLock::new();

fn clients() -> Result<&'static Clients, String> {
    CLIENTS.get_or_init(build).as_ref().map_err(Clone::clone)
}

/// The shared client, for servers on this machine or elsewhere.
pub(super) fn client(local: bool) -> Result<reqwest::Client, String> {
    clients().map(|clients| if local { clients.local.clone() } else { clients.remote.clone() })
}

/// Why no certificate can be verified on this machine, if so.
pub(super) fn no_certificates() -> Option<&'static str> {
    clients().ok()?.no_certificates.as_deref()
}

fn build() -> Result<Clients, String> {
    let (tls, no_certificates) = tls()?;
    // Redirects are left alone: followed ones could carry the key, or the prompt, to another host.
    let builder = || {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("dspy-rust/", env!("CARGO_PKG_VERSION")))
    };
    let client = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
    Ok(Clients { remote: client(builder())?, local: client(builder().no_proxy())?, no_certificates })
}

/// The TLS settings, and why they verify no certificate, if so.
///
/// The cryptography provider is passed in here rather than installed for the process: which one that is
/// belongs to the application.
fn tls() -> Result<(ClientConfig, Option<String>), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())
    };
    match builder()?.with_platform_verifier() {
        Ok(builder) => Ok((builder.with_no_client_auth(), None)),
        // A bare container has no certificates. Servers over plain HTTP must work there all the same.
        Err(error) => {
            let config = builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            Ok((config, Some(error.to_string())))
        }
    }
}
