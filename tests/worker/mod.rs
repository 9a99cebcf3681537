//! A program of modules, predictors, a tool and a spawned task, and those who watch it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::sync::{Arc, Mutex};

use dspy::lm::{Reply, ScriptedLm};
use dspy::prelude::*;
use dspy::program::Event;

/// Plan the work.
#[signature]
pub struct Plan {
    #[input]
    pub goal: String,
    #[output]
    pub step: String,
}

/// Do the step.
#[signature]
pub struct Act {
    #[input]
    pub step: String,
    #[output]
    pub done: bool,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Look {
    pub place: String,
}

/// Plans one step, looks around and does it three times at once, one of them in a task of its own.
#[module]
pub struct Worker {
    pub plan: ChainOfThought<Plan>,
    pub hands: Hands,
    #[module(skip)]
    pub look: Tool,
}

#[module]
pub struct Hands {
    pub act: Predict<Act>,
}

impl Module for Worker {
    type Input = PlanInput;
    type Output = ActOutput;

    async fn forward(&self, input: PlanInput) -> dspy::Result<Prediction<ActOutput>> {
        let step = self.plan.call(input).await?.step.clone();
        self.look.call(&serde_json::json!({"place": "here"})).await.map_err(dspy::Error::other)?;
        let (hands, other) = (self.hands.clone(), step.clone());
        let spawned = dspy::spawn(async move { hands.call(other).await });
        let (first, second) = futures_util::join!(self.hands.call(step.clone()), self.hands.call(step));
        first?;
        second?;
        spawned.await.map_err(dspy::Error::other)?
    }
}

impl Module for Hands {
    type Input = ActInput;
    type Output = ActOutput;

    async fn forward(&self, input: ActInput) -> dspy::Result<Prediction<ActOutput>> {
        self.act.call(input).await
    }
}

pub const PLANNED: &str =
    "[[ ## reasoning ## ]]\nIt is near.\n\n[[ ## step ## ]]\nGo there.\n\n[[ ## completed ## ]]";
pub const DONE: &str = "[[ ## done ## ]]\nyes, true\n\n[[ ## completed ## ]]";

pub fn worker() -> Worker {
    let look = Tool::new("look", "Looks.", |look: Look| async move { format!("nothing at {}", look.place) });
    Worker { plan: ChainOfThought::new(), hands: Hands { act: Predict::new() }, look }
}

/// A model that plans when it is asked for a plan, and acts otherwise.
pub fn lm() -> Lm {
    Lm::custom(ScriptedLm::from_fn(|request| {
        let planning = request.messages[0].text().contains("Plan the work.");
        Reply::from(if planning { PLANNED } else { DONE })
    }))
}

/// Keeps the events that it is told.
#[derive(Clone, Default, Debug)]
pub struct Events(pub Arc<Mutex<Vec<Event>>>);

impl Events {
    pub fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let events = self.0.clone();
        move |event: &Event| events.lock().unwrap().push(event.clone())
    }

    /// The events in a line each, with the names of call and parent.
    pub fn lines(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let name = |call: u64| events.iter().find(|event| event.call == call).unwrap().source.clone();
        let line = |event: &Event| {
            let kind = format!("{:?}", event.kind);
            let kind = kind.split([' ', '(', '{']).next().unwrap();
            let parent = event.parent.map(|parent| format!(" in {}", name(parent))).unwrap_or_default();
            format!("{kind} {}{parent}", event.source)
        };
        events.iter().map(line).collect()
    }
}
