//! The HTTP clients of the process, shared by all endpoints.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The time limit for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients, created on first use.
#[derive(Debug)]
struct Clients {
    remote: reqwest::Client,
    /// The client for servers on this machine, which a proxy from the environment cannot reach.
    local: reqwest::Client,
    /// The reason why server certificates cannot be verified, if so.
    no_certificates: Option<String>,
}

static CLIENTS: OnceLock<Result<Clients, String>> = OnceLock::new();

fn clients() -> Result<&'static Clients, String> {
    CLIENTS.get_or_init(build).as_ref().map_err(Clone::clone)
}

/// Returns the shared client, for servers on this machine or elsewhere.
pub(super) fn client(local: bool) -> Result<reqwest::Client, String> {
    clients().map(|clients| if local { clients.local.clone() } else { clients.remote.clone() })
}

/// Returns the reason why certificates cannot be verified on this machine, if so.
pub(super) fn no_certificates() -> Option<&'static str> {
    clients().ok()?.no_certificates.as_deref()
}

fn build() -> Result<Clients, String> {
    let (tls, no_certificates) = tls()?;
    // Redirects are not followed: they could carry the key, or the prompt, to another host.
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

/// Returns the TLS settings, and the reason why they cannot verify certificates, if so.
///
/// The cryptography provider is passed in here rather than installed for the process, because that choice belongs to
/// the application.
fn tls() -> Result<(ClientConfig, Option<String>), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())
    };
    match builder()?.with_platform_verifier() {
        Ok(builder) => Ok((builder.with_no_client_auth(), None)),
        // A bare container has no certificates. Servers over plain HTTP must still work there.
        Err(error) => {
            let config = builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            Ok((config, Some(error.to_string())))
        }
    }
}
