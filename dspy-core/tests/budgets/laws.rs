//! Whatever calls cost and in whichever order they come and go: no limit is ever overshot.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy_core::lm::{
    BoxFuture, Budget, BudgetScope, Completion, FinishReason, LanguageModel, Lm, LmError, LmErrorKind, Price,
    Request, Response, Usage,
};
use proptest::prelude::*;

use crate::request;

/// Dollars for a million tokens, sent and generated.
const RATES: (f64, f64) = (2.0, 10.0);

/// One call as it will turn out.
#[derive(Debug, Clone)]
struct Plan {
    starts: u64,
    takes: u64,
    /// When its caller loses patience.
    dropped: Option<u64>,
    padding: usize,
    reply: u64,
    max_tokens: Option<u32>,
    fails: bool,
    /// Through which of the inner budgets it goes.
    inner: Option<usize>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let limit = prop_oneof![Just(None), (1u32..300).prop_map(Some)];
    let patience = prop_oneof![4 => Just(None), 1 => (0u64..60).prop_map(Some)];
    let inner = prop_oneof![Just(None), (0usize..2).prop_map(Some)];
    (0u64..50, 0u64..50, patience, 0usize..400, 0u64..600, limit, prop::bool::weighted(0.1), inner).prop_map(
        |(starts, takes, dropped, padding, reply, max_tokens, fails, inner)| Plan {
            starts,
            takes,
            dropped,
            padding,
            reply,
            max_tokens,
            fails,
            inner,
        },
    )
}

/// Limits of calls, tokens and thousandths of a cent.
type Limits = (Option<u64>, Option<u64>, Option<u64>);

fn limits() -> impl Strategy<Value = Limits> {
    (prop::option::of(0u64..20), prop::option::of(0u64..12_000), prop::option::weighted(0.7, 0u64..6_000))
}

fn budget((calls, tokens, usd): Limits) -> Budget {
    let mut budget = Budget::UNLIMITED;
    budget.calls = calls;
    budget.tokens = tokens;
    budget.usd = usd.map(|usd| usd as f64 / 1e5);
    budget
}

/// What has been used in truth, that of calls under way included, by budget: the outer one first.
#[derive(Default)]
struct Truth {
    used: [(u64, u64, f64); 3],
    worst: Vec<String>,
}

struct World {
    plans: Vec<Plan>,
    limits: [Limits; 3],
    truth: Mutex<Truth>,
}

impl World {
    fn book(&self, plan: &Plan, sign: i64, tokens: u64, usd: f64) {
        let mut truth = self.truth.lock().unwrap();
        for at in std::iter::once(0).chain(plan.inner.map(|inner| inner + 1)) {
            let used = &mut truth.used[at];
            used.0 = used.0.strict_add_signed(sign);
            used.1 = used.1.strict_add_signed(sign * tokens.cast_signed());
            used.2 += sign as f64 * usd;
            let used = *used;
            let (calls, most, cents) = self.limits[at];
            let over = calls.is_some_and(|calls| used.0 > calls)
                || most.is_some_and(|most| used.1 > most)
                || cents.is_some_and(|cents| used.2 > cents as f64 / 1e5 + 1e-9);
            if over {
                truth.worst.push(format!("budget {at} of {:?}: {used:?}", self.limits[at]));
            }
        }
    }
}

/// Gives back what a call that was dropped did not use in the end.
struct Booked<'a> {
    world: &'a World,
    plan: &'a Plan,
    tokens: u64,
    usd: f64,
    done: bool,
}

impl Drop for Booked<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.world.book(self.plan, -1, self.tokens, self.usd);
        }
    }
}

struct Model(Arc<World>);

impl LanguageModel for Model {
    fn id(&self) -> &'static str {
        "model"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let world = &*self.0;
            let text = request.messages[0].text().into_owned();
            let plan = &world.plans[text.split_whitespace().next().unwrap().parse::<usize>().unwrap()];
            let most = request.params.max_tokens.map_or(u64::MAX, u64::from);
            let usage = Usage::tokens(text.len() as u64, plan.reply.min(most));
            let millionths = usage.prompt_tokens as f64 * RATES.0 + usage.completion_tokens as f64 * RATES.1;
            let (tokens, usd) = (usage.total_tokens(), millionths / 1e6);
            world.book(plan, 1, tokens, usd);
            let mut booked = Booked { world, plan, tokens, usd, done: false };
            tokio::time::sleep(Duration::from_millis(plan.takes)).await;
            if plan.fails {
                return Err(LmError::new(LmErrorKind::Server, "model", "down"));
            }
            booked.done = true;
            let finish = if plan.reply > most { FinishReason::Length } else { FinishReason::Stop };
            let mut response = Response::text("").with_usage(usage);
            response.completions = vec![Completion::new("…").finished(finish)];
            Ok(response)
        })
    }
}

async fn run(world: Arc<World>) {
    let accounts = world.limits.map(|limits| budget(limits).start());
    let lm = Lm::custom(Model(world.clone())).price(Price::per_million(RATES.0, RATES.1));
    let tasks = (0..world.plans.len()).map(|index| {
        let (world, lm, accounts) = (world.clone(), lm.clone(), accounts.clone());
        tokio::spawn(async move {
            let plan = world.plans[index].clone();
            tokio::time::sleep(Duration::from_millis(plan.starts)).await;
            let mut asked = request(format!("{index} {}", "x".repeat(plan.padding)));
            asked.params.max_tokens = plan.max_tokens;
            let call = async {
                match plan.inner {
                    Some(inner) => accounts[inner + 1].enter(lm.complete(asked)).await,
                    None => lm.complete(asked).await,
                }
            };
            let call = accounts[0].enter(call);
            match plan.dropped {
                Some(after) => tokio::time::timeout(Duration::from_millis(after), call).await.ok(),
                None => Some(call.await),
            }
        })
    });
    let ended = tokio::time::timeout(Duration::from_mins(1), futures_util::future::join_all(tasks)).await;
    let results = ended.expect("nobody waits for ever");
    let answered = results.into_iter().filter(|result| matches!(result, Ok(Some(Ok(_))))).count() as u64;
    check_books(&world, &accounts, answered);
}

/// What the accounts say is what was used, and nothing is set aside any more.
fn check_books(world: &World, accounts: &[BudgetScope; 3], answered: u64) {
    let truth = world.truth.lock().unwrap();
    assert!(truth.worst.is_empty(), "{:?}", truth.worst);
    for ((account, (calls, tokens, usd)), limits) in accounts.iter().zip(truth.used).zip(world.limits) {
        let (spent, left) = (account.spent(), account.remaining());
        assert_eq!((spent.requests, spent.total_tokens()), (calls, tokens));
        assert!((spent.cost_usd.unwrap_or_default() - usd).abs() < 1e-9);
        assert_eq!(left.calls, limits.0.map(|most| most - calls));
        assert_eq!(left.tokens, limits.1.map(|most| most - tokens));
    }
    assert!(accounts[0].spent().requests >= answered);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_limit_is_overshot_at_any_moment(
        plans in prop::collection::vec(plan(), 1..40),
        outer in limits(),
        first in limits(),
        second in limits(),
    ) {
        let world = World { plans, limits: [outer, first, second], truth: Mutex::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(Arc::new(world)));
    }
}
