//! The codecs, which write requests and read replies: one for each protocol, on shared foundations.

#[cfg(feature = "http")]
pub(crate) mod anthropic;
#[cfg_attr(not(any(feature = "http", test)), expect(dead_code, reason = "the transport asks for it"))]
pub(crate) mod dialect;
#[cfg(feature = "http")]
mod gemini;
#[cfg(feature = "http")]
pub(crate) mod openai;
pub(crate) mod protocol;
#[cfg(feature = "http")]
mod responses;
#[cfg(feature = "http")]
pub(crate) mod wire;
