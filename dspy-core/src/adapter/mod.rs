//! Adapters: a signature and its input become messages, a reply becomes field values.
//!
//! The only room that knows both sides: signatures and language models.
