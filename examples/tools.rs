//! A model that calls functions: checked arguments, concurrent runs, errors as values, and a final answer.
//!
//! Run: `cargo run --example tools`
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` that model decides which tools to call.

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;

/// Answer the question, or call the tools that help. Answer once the results say enough.
#[signature]
struct Assist {
    #[input]
    question: String,
    /// The results of earlier calls.
    #[input]
    results: Vec<String>,
    #[input]
    tools: Vec<ToolSpec>,
    #[output]
    answer: Option<String>,
    #[output]
    calls: ToolCalls,
}

/// The rain of a city.
#[field_type]
struct Weather {
    /// The name of a city.
    city: String,
}

fn weather() -> Tool {
    Tool::new("weather", "How many millimetres of rain fall today.", |place: Weather| async move {
        match place.city.to_lowercase().as_str() {
            "bergen" => Ok("12 mm"),
            "oslo" => Ok("0 mm"),
            _ => Err(format!("no station in {}", place.city)),
        }
    })
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not call tools.
    let lm = if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm };
    println!("model      {}", lm.id());
    dspy::configure(lm);

    let (tools, assist) = ([weather()], Predict::<Assist>::new());
    let question = "Where do I need an umbrella today, Bergen, Oslo or Atlantis?";
    println!("question   {question}");
    let mut results: Vec<String> = Vec::new();
    for _ in 0..4 {
        let reply = assist.call((question.to_owned(), results.clone(), Tool::specs(&tools))).await?;
        if let Some(answer) = &reply.answer {
            println!("answer     {answer}");
            return Ok(());
        }
        for result in reply.calls.run(&tools).await {
            println!("called     {}: {}", result.name, result.text());
            results.push(format!("{}: {}", result.name, result.text()));
        }
    }
    println!("no answer after four rounds");
    Ok(())
}

fn script(request: &Request) -> Completion {
    let asked = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    Completion::new(if asked.contains("12 mm") {
        "[[ ## answer ## ]]\nIn Bergen.\n\n[[ ## calls ## ]]\n[]\n\n[[ ## completed ## ]]"
    } else {
        "[[ ## answer ## ]]\nnull\n\n[[ ## calls ## ]]\n[{\"name\": \"weather\", \"arguments\": {\"city\": \"Bergen\"}}, \
         {\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}, \
         {\"name\": \"weather\", \"arguments\": {\"city\": \"Atlantis\"}}]\n\n[[ ## completed ## ]]"
    })
}
