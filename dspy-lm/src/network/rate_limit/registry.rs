//! The rate limiters of the process, by endpoint and key.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use tokio::time::Instant;

use super::endpoint_limiter::EndpointLimiter;
use super::model_pacing::ModelPacing;
use super::{Circuit, Limits, RateLimiter};
use crate::Secret;
use dspy_base::locks::MutexExt as _;

/// The maximum number of limiters kept for endpoints without a handle.
const UNUSED: usize = 256;

/// The default limits of an endpoint: a concurrency below the usual limit of 1,024 open files, and the default
/// circuit breaker.
const DEFAULTS: Limits = Limits::new().max_concurrent(512).circuit(Circuit::USUAL);

/// A digest of endpoint and key, so that only handles hold keys.
type Id = [u8; 32];

static ENDPOINTS: LazyLock<Registry<EndpointLimiter>> = LazyLock::new(Registry::default);
static MODELS: LazyLock<Registry<ModelPacing>> = LazyLock::new(Registry::default);

/// Returns the rate limiter of a model at an address, whose second part is never shown. All handles to one endpoint
/// with one key share its limits, and those to one model also share its pacing. The limits set here apply to all of
/// them from now on.
pub(crate) fn rate_limiter<'a>(
    endpoint: [&str; 2],
    secrets: impl Iterator<Item = &'a Secret>,
    model: &str,
    limits: &Limits,
) -> RateLimiter {
    let mut hash = blake3::Hasher::new();
    let mut put = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    endpoint.into_iter().for_each(&mut put);
    secrets.for_each(|secret| put(secret.expose()));
    let id = *hash.finalize().as_bytes();
    hash.update(model.as_bytes());
    let endpoint = ENDPOINTS.get(id, EndpointLimiter::is_idle);
    endpoint.set(limits, &DEFAULTS);
    RateLimiter { model: MODELS.get(*hash.finalize().as_bytes(), ModelPacing::is_idle), endpoint }
}

#[derive(Debug)]
struct Registry<T>(Mutex<Entries<T>>);

#[derive(Debug)]
struct Entries<T> {
    shared: HashMap<Id, Arc<T>>,
    /// The size at which the next sweep for removable entries starts.
    sweep_at: usize,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Registry(Mutex::new(Entries { shared: HashMap::new(), sweep_at: UNUSED }))
    }
}

impl<T: Default> Registry<T> {
    /// Returns the entry of this id. An entry without handles is kept while it has state, so that handles created for
    /// each request are limited like a permanent one.
    fn get(&self, id: Id, is_idle: fn(&T, Instant) -> bool) -> Arc<T> {
        let Entries { shared, sweep_at } = &mut *self.0.lock_any();
        if let Some(known) = shared.get(&id) {
            if Arc::strong_count(known) > 1 || !is_idle(known, Instant::now()) {
                return known.clone();
            }
            // The settings of handles that no longer exist do not apply.
            shared.remove(&id);
        }
        if shared.len() >= *sweep_at {
            let now = Instant::now();
            shared.retain(|_, known| Arc::strong_count(known) > 1 || !is_idle(known, now));
            let mut unused = shared.values().filter(|known| Arc::strong_count(known) == 1).count();
            shared.retain(|_, known| {
                let surplus = unused > UNUSED && Arc::strong_count(known) == 1;
                unused -= usize::from(surplus);
                !surplus
            });
            *sweep_at = 2 * shared.len().max(UNUSED / 2);
        }
        shared.entry(id).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    fn len(registry: &Registry<EndpointLimiter>) -> usize {
        registry.0.lock().unwrap().shared.len()
    }

    #[test]
    fn handles_to_one_endpoint_share_a_limiter() {
        let limits = Limits::new();
        let (key, other) = (Secret::from("a"), Secret::from("b"));
        let way = |endpoint, key, model| rate_limiter([endpoint, ""], std::iter::once(key), model, &limits);
        let first = way("http://h/v1", &key, "m");
        for (second, same_endpoint, same_model) in [
            (way("http://h/v1", &key, "m"), true, true),
            (way("http://h/v1", &key, "n"), true, false),
            (way("http://h/v1", &other, "m"), false, false),
            (way("http://h/v2", &key, "m"), false, false),
        ] {
            assert_eq!(
                (Arc::ptr_eq(&first.endpoint, &second.endpoint), Arc::ptr_eq(&first.model, &second.model)),
                (same_endpoint, same_model)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_something_to_remember_is_kept() {
        let registry = Registry::<EndpointLimiter>::default();
        let far = crate::network::rate_limit::fifo_queue::far();
        registry
            .get(id(0), EndpointLimiter::is_idle)
            .set(&Limits::new().requests_per_minute(1), &Limits::new());
        let limiter = registry.get(id(0), EndpointLimiter::is_idle);
        limiter.set(&Limits::new().requests_per_minute(1), &Limits::new());
        drop(limiter.enter(crate::network::rate_limit::Estimate::default(), far).await.unwrap());
        let address = Arc::as_ptr(&limiter);
        drop(limiter);
        assert_eq!(Arc::as_ptr(&registry.get(id(0), EndpointLimiter::is_idle)), address);
        tokio::time::advance(std::time::Duration::from_mins(1)).await;
        let start = Instant::now();
        let anew = registry.get(id(0), EndpointLimiter::is_idle);
        for _ in 0..5 {
            drop(anew.enter(crate::network::rate_limit::Estimate::default(), far).await.unwrap());
        }
        assert_eq!(start.elapsed(), std::time::Duration::ZERO, "old limits are forgotten");
    }

    #[test]
    fn nothing_piles_up() {
        let registry = Registry::<EndpointLimiter>::default();
        let kept: Vec<_> =
            (0..100).map(|number| registry.get(id(number), EndpointLimiter::is_idle)).collect();
        for number in 100..10_000 {
            registry.get(id(number), EndpointLimiter::is_idle);
        }
        assert!(len(&registry) <= UNUSED, "{}", len(&registry));
        // Entries with state are removed too.
        let broken = crate::LmError::new(crate::LmErrorKind::Transport, "m", "no");
        let broken = crate::network::rate_limit::AttemptOutcome::Down(broken.into());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for number in 10_000..12_000 {
                let limiter = registry.get(id(number), EndpointLimiter::is_idle);
                let far = crate::network::rate_limit::fifo_queue::far();
                let mut permit =
                    limiter.enter(crate::network::rate_limit::Estimate::default(), far).await.unwrap();
                permit.settle(Instant::now(), &broken);
            }
        });
        assert!(len(&registry) <= 3 * UNUSED, "{}", len(&registry));
        assert!(Arc::ptr_eq(&kept[7], &registry.get(id(7), EndpointLimiter::is_idle)));
    }
}
