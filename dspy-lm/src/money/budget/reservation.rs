//! The reservation of a call: the amount that an account holds for it until its cost is known.

use std::sync::Arc;

use super::account::{Account, Settlement};
use super::verdict::Grant;

/// The reservation for one call, released when dropped.
pub(super) struct Reservation {
    account: Arc<Account>,
    claim: Option<Claim>,
    /// The number of the call in the log of the account.
    logged: Option<u64>,
}

/// The part of an account that is reserved for one call, and the facts that its settlement needs.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) grant: Grant,
    /// The most tokens of the prompt.
    pub(super) prompt: u64,
    /// The number of sampled completions.
    pub(super) completions: u64,
}

impl Reservation {
    pub(super) fn new(account: Arc<Account>, claim: Claim) -> Self {
        Reservation { account, claim: Some(claim), logged: None }
    }

    /// Drops the reservation without releasing it.
    pub(super) fn forget(mut self) {
        self.claim = None;
    }

    /// Returns the most tokens that a completion may have.
    pub(super) fn cap(&self) -> Option<u32> {
        self.claim.and_then(|claim| claim.grant.cap)
    }

    /// Writes the start of the call to the log of the account, if it has one.
    pub(super) fn log(&mut self) -> Result<(), String> {
        if let (Some(log), Some(claim)) = (&self.account.log, &self.claim) {
            self.logged = Some(log.reserved(&self.account.worst(&claim.grant))?);
        }
        Ok(())
    }

    /// Records the cost of the call.
    pub(super) fn settle(mut self, model: &str, outcome: &Settlement<'_>) {
        if let Some(claim) = self.claim.take() {
            let booked = self.account.settle(&claim, model, outcome);
            if let (Some(log), Some(call)) = (&self.account.log, self.logged) {
                let mut usage = booked.usage();
                usage.requests = booked.calls;
                log.settled(call, &usage);
            }
        }
    }
}

impl Drop for Reservation {
    /// Releases a cancelled call. It stays open in the log, because it may have been charged.
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.account.settle(&claim, "", &Settlement::Free);
        }
    }
}
