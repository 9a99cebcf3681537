//! Agents inside the tools of agents: approval, ids and limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod agents;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy::lm::{Request, Response, ScriptedLm, Usage};
use dspy::prelude::*;
use dspy::strategies::{AgentState, ApprovalNeeded, ApprovalUnavailable, Decision, ResumeError, WaitingCall};
use dspy::tools::ToolContext;
use dspy::types::Trajectory;
use serde_json::{Value, json};

use agents::{
    Item, Log, Order, OrderInput, OrderOutput, Wish, agent, call, done, helper, resume_error, stored, text,
    turn, waiting,
};

fn ids(state: &AgentState) -> Vec<String> {
    state.waiting().into_iter().map(|call| call.id).collect()
}

/// The inner agent: it looks and buys at once, then ends. The scripts are those of the two processes.
fn inner(log: &Log, turns: impl IntoIterator<Item = Value>) -> ReAct<Order> {
    agent([log.tool("look"), log.tool("buy").with_approval()], turns)
}

fn look_and_buy() -> Value {
    json!([call("look", "tea"), call("buy", "tea")])
}

#[tokio::test]
async fn calls_of_an_inner_agent_wait_and_go_on_in_another_process() {
    let log = Log::default();
    let outer = agent(
        [log.tool("note"), helper(inner(&log, [look_and_buy()]))],
        [json!([call("note", "start"), call("helper", "tea")])],
    );
    let state = waiting(outer.run("tea").await);
    assert_eq!(log.take(), ["note start", "look tea"], "what needs no approval has run");
    assert_eq!(ids(&state), ["call_1_2/call_1_2"]);
    let first = &state.waiting()[0];
    assert_eq!((first.tool.as_str(), &first.arguments), ("buy", &json!({"item": "tea"})));

    // Another process: the same agents from their code, with models that know only what comes next.
    let outer = agent(
        [log.tool("note"), helper(inner(&log, [json!([call("finish", "inner")])]))],
        [json!([call("finish", "outer")])],
    );
    // Without a decision it waits on, and nothing is called.
    let state = waiting(outer.resume(stored(&state), []).await);
    assert_eq!(log.take(), [""; 0]);
    let decision = state.waiting()[0].approve();
    let decision: Decision = serde_json::from_value(serde_json::to_value(decision).unwrap()).unwrap();
    let output = done(outer.resume(stored(&state), [decision]).await);
    assert_eq!(output.receipt, "outer");
    assert_eq!(log.take(), ["buy tea"], "nothing ran twice");
    let trajectory: Trajectory = output.added_as("trajectory").unwrap();
    let results: Vec<_> = trajectory.turns[0].results.iter().map(|result| result.text.as_str()).collect();
    assert_eq!(results, ["note done: start", r#"{"receipt":"inner"}"#]);
}

#[tokio::test]
async fn inner_agents_wait_several_times_and_beside_one_another() {
    let log = Log::default();
    let each = || json!([call("buy", "a")]);
    let turns = [
        each(),
        each(),
        json!([call("buy", "b")]),
        json!([call("finish", "x")]),
        json!([call("finish", "y")]),
    ];
    let (both, end) = (json!([call("helper", "1"), call("helper", "2")]), json!([call("finish", "end")]));
    let outer = agent([helper(inner(&log, turns).concurrency(1))], [both, end]).concurrency(1);
    let state = waiting(outer.run("two").await);
    assert_eq!(ids(&state), ["call_1_1/call_1_1", "call_1_2/call_1_1"]);
    // One of them goes on, and waits again with another call; the other one stays.
    let state = waiting(outer.resume(stored(&state), [state.waiting()[0].approve()]).await);
    assert_eq!(log.take(), ["buy a"]);
    assert_eq!(ids(&state), ["call_1_1/call_2_1", "call_1_2/call_1_1"]);
    let decisions: Vec<_> = state.waiting().iter().map(|call| call.deny("no")).collect();
    let output = done(outer.resume(stored(&state), decisions).await);
    assert_eq!((output.receipt.as_str(), log.take().len()), ("end", 0), "denied calls do not run");
}

#[tokio::test]
async fn agents_wait_at_any_depth() {
    let log = Log::default();
    let build = |first: bool| {
        let of = |now: Value| if first { now } else { json!([call("finish", "up")]) };
        let mut program = inner(&log, [of(look_and_buy())]);
        for _ in 0..7 {
            program = agent(
                [helper(program), log.tool("note")],
                [of(json!([call("note", "n"), call("helper", "h")]))],
            );
        }
        program
    };
    let state = waiting(build(true).run("deep").await);
    assert_eq!(ids(&state), [["call_1_2"; 8].join("/")]);
    assert_eq!(log.take(), [&["note n"; 7][..], &["look tea"]].concat());
    let state = stored(&state);
    let decisions = [state.waiting()[0].approve()];
    let output = done(build(false).resume(state, decisions).await);
    assert_eq!((output.receipt.as_str(), log.take()), ("up", vec!["buy tea".to_owned()]));
}

#[tokio::test]
async fn decisions_about_inner_calls_are_checked_before_anything_runs() {
    let log = Log::default();
    let turns = [look_and_buy(), json!([call("finish", "inner")])];
    let outer =
        agent([helper(inner(&log, turns))], [json!([call("helper", "tea")]), json!([call("finish", "o")])]);
    let state = waiting(outer.run("tea").await);
    log.take();
    let real = state.waiting().remove(0);
    let changed = |change: &dyn Fn(&mut WaitingCall)| {
        let mut call = real.clone();
        change(&mut call);
        call.approve()
    };
    for (decision, expected) in [
        (changed(&|call| call.arguments = json!({"item": "gold"})), "OtherCall"),
        (changed(&|call| call.id = "call_1_1/call_9_9".into()), "NotWaiting"),
        (changed(&|call| call.id = "call_1_1".into()), "NotWaiting"),
        (changed(&|call| call.id = "call_1_2".into()), "NotWaiting"),
        (changed(&|call| call.run = "0".into()), "OtherRun"),
    ] {
        let error = outer.resume(stored(&state), [decision]).await.unwrap_err();
        assert!(format!("{:?}", resume_error(&error)).starts_with(expected), "{error:?}");
        assert_eq!(error.state.waiting(), std::slice::from_ref(&real), "the state is not lost");
    }
    assert_eq!(log.take(), [""; 0]);
    done(outer.resume(state, [real.approve()]).await);
    assert_eq!(log.take(), ["buy tea"]);
}

#[tokio::test]
async fn an_inner_agent_that_was_changed_is_refused_and_nothing_is_lost() {
    let log = Log::default();
    let outer = |inner: Tool| agent([inner], [json!([call("helper", "tea")]), json!([call("finish", "o")])]);
    let turns = || [look_and_buy(), json!([call("finish", "inner")])];
    let state = waiting(outer(helper(inner(&log, turns()))).run("tea").await);
    log.take();
    let decisions = || state.waiting().iter().map(WaitingCall::approve).collect::<Vec<_>>();

    let other = helper(agent([log.tool("buy").with_approval()], turns()));
    let error = outer(other).resume(stored(&state), decisions()).await.unwrap_err();
    assert_eq!(resume_error(&error), &ResumeError::OtherAgent);
    assert_eq!(error.state.waiting(), state.waiting());
    // The tool is no agent at all any more.
    let mut plain = Predict::<Order>::new();
    plain.set_lm(Lm::scripted(["[[ ## receipt ## ]]\nx"]));
    let plain = Tool::of_program("helper", "Fulfils a wish.", plain);
    let error = outer(plain).resume(*error.state, decisions()).await.unwrap_err();
    assert_eq!(resume_error(&error), &ResumeError::OtherAgent);
    assert_eq!(log.take(), [""; 0]);

    let mut turns = turns().into_iter().skip(1);
    let agent = agent([helper(inner(&log, turns.by_ref()))], [json!([call("finish", "o")])]);
    done(agent.resume(*error.state, decisions()).await);
    assert_eq!(log.take(), ["buy tea"]);
}

#[module]
struct Shop {
    first: Predict<Order>,
    agent: ReAct<Order>,
}

impl Module for Shop {
    type Input = OrderInput;
    type Output = OrderOutput;

    async fn forward(&self, input: OrderInput) -> dspy::Result<Prediction<OrderOutput>> {
        let first = self.first.call(input.wish.clone()).await?;
        self.agent.call(first.receipt.clone()).await
    }
}

#[tokio::test]
async fn an_agent_that_cannot_be_continued_is_refused_before_it_does_anything() {
    let log = Log::default();
    let shop = || {
        let mut shop = Shop { first: Predict::new(), agent: inner(&log, [look_and_buy()]) };
        shop.first.set_lm(Lm::scripted(["[[ ## receipt ## ]]\ntea"; 2]));
        shop
    };
    // A step of a larger program, an agent in the code of a tool, and a tool around the agent's tool.
    let larger = Tool::of_program("helper", "", shop());
    let in_code = inner(&log, [look_and_buy()]);
    let in_code = Tool::new("helper", "", move |Item { item }: Item| {
        let agent = in_code.clone();
        async move { agent.call(item).await.map(|output| output.receipt.clone()) }
    });
    // In a task that a tool starts, too.
    let in_task = inner(&log, [look_and_buy()]);
    let in_task = Tool::new("helper", "", move |Item { item }: Item| {
        let agent = in_task.clone();
        async move {
            let run = async move { agent.call(item).await.map(|output| output.receipt.clone()) };
            dspy::spawn(run).await.unwrap()
        }
    });
    let around = helper(inner(&log, [look_and_buy()]));
    let around = Tool::from_spec(around.spec().clone(), move |arguments| {
        let tool = around.clone();
        async move { Ok(tool.call(&arguments).await?) }
    });
    for (tool, argument) in [(larger, "wish"), (in_code, "item"), (in_task, "item"), (around, "wish")] {
        let ask = json!([{"name": "helper", "arguments": {argument: "x"}}]);
        let outer = agent([tool.clone()], [ask, json!([call("finish", "o")])]);
        let error = outer.run("x").await.unwrap_err();
        let unavailable = ApprovalUnavailable::of(&error.source).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(
            (unavailable.inside.as_str(), &unavailable.tools[..]),
            ("helper", &["buy".to_owned()][..])
        );
        // The run can go on; the call is not made again.
        assert_eq!(done(outer.resume(stored(&error.state), []).await).receipt, "o");

        // The same without an agent around it, as from the code of an interpreter.
        let error = tool.call(&json!({argument: "x"})).await.unwrap_err();
        assert!(ApprovalUnavailable::of(&error).is_some(), "{error}");
    }
    assert_eq!(log.take(), [""; 0]);
    // Without tools that need approval it runs.
    let plain = Tool::of_program("helper", "", agent([log.tool("look")], [json!([call("finish", "free")])]));
    assert_eq!(plain.call(&json!({"wish": "x"})).await.unwrap(), json!({"receipt": "free"}));
}

#[tokio::test]
async fn the_agents_below_one_that_cannot_wait_cannot_either() {
    let log = Log::default();
    let middle = agent([helper(inner(&log, [look_and_buy()]))], [json!([call("helper", "x")])]);
    let middle = Tool::new("middle", "", move |Wish { wish }: Wish| {
        let agent = middle.clone();
        async move { agent.call(wish).await.map(|output| output.receipt.clone()) }
    });
    let outer = agent([middle], [json!([call("middle", "x")])]);
    let error = outer.run("x").await.unwrap_err();
    assert!(ApprovalUnavailable::of(&error.source).is_some(), "{error:?}");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn an_agent_in_another_task_is_an_error_with_its_state() {
    let log = Log::default();
    let program = inner(&log, [look_and_buy()]);
    let tool = Tool::new("helper", "", move |Wish { wish }: Wish| {
        let agent = program.clone();
        async move {
            let work = tokio::spawn(async move { agent.call(wish).await });
            work.await.unwrap().map(|output| output.receipt.clone())
        }
    });
    let outer = agent([tool], [json!([call("helper", "x")]), json!([call("finish", "o")])]);
    let error = outer.run("x").await.unwrap_err();
    let needed = ApprovalNeeded::of(&error.source).unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(needed.state.waiting().len(), 1);
    done(outer.resume(*error.state, []).await);
    assert_eq!(log.take(), ["look tea"], "it did not run again");
}

#[tokio::test]
async fn tools_know_the_run_and_the_call() {
    let log = Log::default();
    let told = log.clone();
    let id = Tool::new_with_context("id", "", move |_: Item, context: ToolContext| {
        told.push(format!("{} {}", context.run_id().unwrap(), context.call_id().unwrap()));
        async { "ok" }
    });
    let ask = || [json!([call("id", "x")]), json!([call("id", "y")]), json!([call("finish", "i")])];
    let program = agent([id.clone().with_approval_if(|arguments| arguments["item"] == "y")], ask());
    let outer = agent(
        [helper(program), id],
        [json!([call("id", "o"), call("helper", "x")]), json!([call("finish", "o")])],
    );
    let state = waiting(outer.run("x").await);
    let run = state.run_id().to_owned();
    let path = format!("{run}/call_1_2");
    assert_eq!(log.take(), [format!("{run} call_1_1"), format!("{path} call_1_1")]);
    assert_eq!(state.waiting()[0].run, run);
    let decisions = [state.waiting()[0].approve()];
    done(outer.resume(stored(&state), decisions).await);
    assert_eq!(log.take(), [format!("{path} call_2_1")], "the id stays when the run goes on");
}

#[tokio::test]
async fn two_agents_in_one_call_have_different_ids() {
    let log = Log::default();
    let told = log.clone();
    let id = Tool::new_with_context("id", "", move |_: Item, context: ToolContext| {
        told.push(context.run_id().unwrap().to_owned());
        async { "ok" }
    });
    let one = json!([call("id", "x")]);
    let end = json!([call("finish", "i")]);
    let program = agent([id], [one.clone(), end.clone(), one, end]);
    let twice = Tool::new("helper", "", move |Wish { wish }: Wish| {
        let agent = program.clone();
        async move {
            agent.call(wish.clone()).await?;
            agent.call(wish).await.map(|output| output.receipt.clone())
        }
    });
    done(agent([twice], [json!([call("helper", "x")]), json!([call("finish", "o")])]).run("x").await);
    let runs = log.take();
    assert_eq!(runs.len(), 2);
    assert_ne!(runs[0], runs[1]);
}

fn answer(text: String, usage: Usage) -> Response {
    Response::text(text).with_usage(usage)
}

/// A model that calls `helper` or `look` without end, and counts its calls.
fn endless(usage: Usage) -> (Lm, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let lm = Lm::custom(ScriptedLm::from_fn(move |request: &Request| {
        let at = counted.fetch_add(1, Ordering::SeqCst);
        let prompt = text(request);
        let reply = if prompt.contains("[[ ## reasoning ## ]]") {
            "[[ ## reasoning ## ]]\nr\n\n[[ ## receipt ## ]]\nx".to_owned()
        } else if prompt.contains("helper: ") {
            turn(json!([call("helper", &at.to_string())]))
        } else {
            turn(json!([call("look", &at.to_string())]))
        };
        answer(reply, usage)
    }));
    (lm, calls)
}

#[tokio::test]
async fn limits_of_the_outer_agent_bound_everything_below_it() {
    let log = Log::default();
    for (usage, tokens, dollars, termination) in [
        (Usage::tokens(90, 10), Some(2_000), None, "max_tokens"),
        (Usage::tokens(90, 10).at_cost(0.01), None, Some(0.20), "max_cost"),
    ] {
        for depth in [0, 1, 2, 3] {
            let mut program = ReAct::<Order>::new([log.tool("look")]).unwrap().max_turns(50);
            for _ in 0..depth {
                program = ReAct::new([helper(program)]).unwrap().max_turns(50);
            }
            program = match (tokens, dollars) {
                (Some(tokens), _) => program.max_tokens(tokens),
                (_, dollars) => program.max_cost(dollars.unwrap()),
            };
            let (lm, calls) = endless(usage);
            let output = Settings::new().lm(lm).scope(program.call("x")).await.unwrap();
            assert_eq!(output.added_as::<String>("termination").unwrap(), termination);
            // 20 calls reach the limit, and one reads the outputs.
            assert_eq!(calls.load(Ordering::SeqCst), 21, "{termination} at depth {depth}");
        }
    }
}

#[tokio::test]
async fn limits_bound_programs_that_are_no_agents() {
    let (lm, calls) = endless(Usage::tokens(90, 10));
    let many = Tool::new("look", "", move |Item { item }: Item| async move {
        let program = ChainOfThought::<Order>::new();
        for _ in 0..1_000 {
            program.call(item.clone()).await.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>("done")
    });
    let agent = ReAct::<Order>::new([many]).unwrap().max_tokens(1_000);
    let output = Settings::new().lm(lm).scope(agent.call("x")).await.unwrap();
    assert_eq!(output.added_as::<String>("termination").unwrap(), "max_tokens");
    assert_eq!(calls.load(Ordering::SeqCst), 11);
    let log: Trajectory = output.added_as("trajectory").unwrap();
    let result = &log.turns[0].results[0];
    assert!(result.is_error && result.text.contains("the limit `max_tokens`"), "{result:?}");
}

#[tokio::test]
async fn the_spending_of_inner_agents_counts_in_all_parts_of_a_run() {
    let log = Log::default();
    let lm = |replies: [String; 2]| {
        let usage = Usage::tokens(9, 1).at_cost(0.5);
        Lm::custom(ScriptedLm::new(replies.map(|reply| answer(reply, usage))))
    };
    let mut program = inner(&log, []);
    program.set_lm(lm([turn(look_and_buy()), turn(json!([call("finish", "i")]))]));
    let mut outer = agent([helper(program)], []).max_tokens(20);
    let extracted = "[[ ## reasoning ## ]]\nr\n\n[[ ## receipt ## ]]\nx".to_owned();
    outer.set_lm(lm([turn(json!([call("helper", "x")])), extracted]));
    let state = waiting(outer.run("x").await);
    assert_eq!((state.usage().requests, state.usage().cost_usd), (2, Some(1.0)));
    let decisions = [state.waiting()[0].approve()];
    // The limit holds for both parts together: the inner agent has no further turn.
    let output = done(outer.resume(stored(&state), decisions).await);
    assert_eq!(output.added_as::<String>("termination").unwrap(), "max_tokens");
    assert_eq!((output.usage().requests, log.take().len()), (1, 2));
}

/// A program that is repeated, around an agent and its tool.
fn repeated(
    agent: impl Module<Input = OrderInput, Output = OrderOutput> + Clone + 'static,
) -> [BoxModule<OrderInput, OrderOutput>; 4] {
    let reward = |_: &OrderInput, _: &OrderOutput| 0.5;
    let chains = MultiChainComparison::<Order>::new(3).unwrap().over(agent.clone());
    [
        BestOfN::new(agent.clone(), 3, reward).boxed(),
        Refine::new(agent.clone(), 3, reward).boxed(),
        SelfConsistency::new(agent, 3).boxed(),
        chains.boxed(),
    ]
}

#[tokio::test]
async fn strategies_that_repeat_an_agent_refuse_approvals_before_anything_runs() {
    let log = Log::default();
    let names = ["BestOfN", "Refine", "SelfConsistency", "MultiChainComparison"];
    for (program, name) in repeated(inner(&log, [])).into_iter().zip(names) {
        let error = program.call("x").await.unwrap_err();
        let unavailable = ApprovalUnavailable::of(&error).unwrap_or_else(|| panic!("{name}: {error:?}"));
        assert_eq!((unavailable.inside.as_str(), unavailable.is_repeated), (name, true));
        assert!(error.to_string().contains("`ReAct::run`"), "{error}");
    }
    assert_eq!(log.take(), [""; 0]);
    // An agent inside a tool is known to need one when it is called; no other run begins.
    let ask = json!([call("look", "tea"), call("helper", "tea")]);
    let outer = agent([log.tool("look"), helper(inner(&log, []))], [ask.clone(), ask]);
    let refined = Refine::new(outer, 3, |_: &OrderInput, _: &OrderOutput| 0.5);
    let error = refined.call("x").await.unwrap_err();
    assert!(ApprovalUnavailable::of(&error).is_some(), "{error:?}");
    assert_eq!(log.take(), ["look tea"]);
    // A single run can wait.
    let single = BestOfN::new(inner(&log, [look_and_buy()]), 1, |_: &OrderInput, _: &OrderOutput| 0.5);
    let error = single.call("x").await.unwrap_err();
    assert!(ApprovalNeeded::of(&error).is_some(), "{error:?}");
}
