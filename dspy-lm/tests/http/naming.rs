//! From names and variables to models, without a request.

use std::collections::HashMap;

use dspy_lm::{Endpoint, Lm, LmError, LmErrorKind};

/// The model that an environment with just these variables leads to.
fn found(vars: &[(&str, &str)]) -> Result<Lm, LmError> {
    let vars: HashMap<_, _> = vars.iter().copied().collect();
    Lm::from_vars(|name| vars.get(name).map(ToString::to_string))
}

#[test]
fn what_the_environment_leads_to() {
    for (vars, id, endpoint, reason) in [
        (
            &[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k"), ("OLLAMA_HOST", "box")][..],
            "openai/gpt-6-luna",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY is set",
        ),
        (
            &[
                ("DSPY_MODEL", "openrouter/meta-llama/llama-3"),
                ("OPENROUTER_API_KEY", "k"),
                ("OPENAI_API_KEY", "k"),
            ],
            "openrouter/meta-llama/llama-3",
            "https://openrouter.ai/api/v1",
            "DSPY_MODEL is set",
        ),
        (
            &[("OPENAI_API_KEY", " "), ("GOOGLE_API_KEY", "k")],
            "gemini/gemini-3.5-flash-lite",
            "https://generativelanguage.googleapis.com/v1beta",
            "GOOGLE_API_KEY is set",
        ),
        (&[("OLLAMA_HOST", "box")], "ollama/llama3.2", "http://box:11434/v1", "OLLAMA_HOST is set"),
        (&[("OLLAMA_MODEL", "qwen3")], "ollama/qwen3", "http://localhost:11434/v1", "OLLAMA_MODEL is set"),
        (
            &[("DSPY_MODEL", "vllm/Qwen/Qwen3-8B"), ("VLLM_BASE_URL", "http://gpu:9000/v1/")],
            "vllm/Qwen/Qwen3-8B",
            "http://gpu:9000/v1",
            "DSPY_MODEL is set",
        ),
        (
            &[("DSPY_MODEL", "ollama_chat/qwen3")],
            "ollama/qwen3",
            "http://localhost:11434/v1",
            "DSPY_MODEL is set",
        ),
        (
            &[("OPENAI_API_KEY", "k"), ("OPENAI_API_BASE", "http://proxy")],
            "openai/gpt-6-luna",
            "http://proxy/v1",
            "OPENAI_API_KEY is set",
        ),
        (
            &[("DSPY_MODEL", "openai/m"), ("OPENAI_BASE_URL", "http://localhost:8000/v1")],
            "openai/m",
            "http://localhost:8000/v1",
            "DSPY_MODEL is set",
        ),
    ] {
        let lm = found(vars).unwrap();
        assert_eq!((lm.id(), lm.endpoint(), lm.chosen_because()), (id, endpoint, Some(reason)));
    }
}

#[test]
fn wrong_names_are_explained() {
    for (model, part) in [
        ("gpt-4o-mini", "`provider/model`"),
        ("opnai/gpt-4o", "unknown provider `opnai`; known are openai, anthropic"),
        ("openai/gpt-4o", "OPENAI_API_KEY"),
        ("gemini/x", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("ollama/", "name is missing"),
        ("/x", "unknown provider ``"),
    ] {
        let error = found(&[("DSPY_MODEL", model)]).unwrap_err();
        assert_eq!(error.kind, LmErrorKind::Configuration);
        assert!(error.message.contains(part), "{error}");
    }
    assert!(Endpoint::provider("nobody").unwrap_err().message.contains("known are"));
}

#[test]
fn capabilities_follow_provider_and_model() {
    let json = |model: &str| {
        let capabilities =
            found(&[("DSPY_MODEL", model), ("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")]).unwrap();
        let capabilities = capabilities.capabilities();
        (capabilities.json_object, capabilities.json_schema)
    };
    assert_eq!(json("openai/gpt-4o-mini"), (true, true));
    assert_eq!(json("openai/gpt-3.5-turbo"), (true, false));
    assert_eq!(json("groq/llama-3.1-8b-instant"), (true, false));
    assert_eq!(json("lmstudio/qwen"), (false, true));
    let plain = Endpoint::new("http://h/v1").model("gpt-4o-mini").unwrap().capabilities();
    assert_eq!((plain.json_object, plain.json_schema), (false, false));
}
