//! The language model that merges and varies instructions.

use dspy_core::Result;
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _, Settings};
use dspy_core::signature::{SignatureSpec, Values};
use serde_json::{Value, json};

use super::prompts;
use crate::identity::program_identity;
use crate::proposer::{clean, describe_signature};

/// The largest length of an instruction, in characters.
const LONGEST: usize = 10_000;

/// Two programs that write instructions.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    merge: DynPredict,
    paraphrase: DynPredict,
}

impl Writer {
    pub(super) fn new(lm: Option<&Lm>) -> Self {
        let program = |spec| {
            let mut program = DynPredict::new(spec);
            if let Some(lm) = lm {
                program.set_lm(lm.clone());
            }
            program
        };
        Writer { merge: program(prompts::merge()), paraphrase: program(prompts::paraphrase()) }
    }

    /// Returns what determines the instructions besides the requests.
    pub(super) fn identity(&self) -> Value {
        json!({"merge": program_identity(&self.merge), "paraphrase": program_identity(&self.paraphrase)})
    }

    /// Returns one instruction made of two; `None` if the reply has none.
    pub(super) async fn merge(
        &self,
        spec: &SignatureSpec,
        (first, second): (&str, &str),
        sample: u64,
    ) -> Result<Option<String>> {
        let given = [("first_instruction", first), ("second_instruction", second)];
        write(&self.merge, spec, &given, "merged_instruction", sample).await
    }

    /// Returns a variant of an instruction; `None` if the reply has none.
    pub(super) async fn paraphrase(
        &self,
        spec: &SignatureSpec,
        instruction: &str,
        sample: u64,
    ) -> Result<Option<String>> {
        write(&self.paraphrase, spec, &[("instruction_to_vary", instruction)], "paraphrase", sample).await
    }
}

async fn write(
    program: &DynPredict,
    spec: &SignatureSpec,
    given: &[(&str, &str)],
    output: &str,
    sample: u64,
) -> Result<Option<String>> {
    let mut inputs = Values::new();
    inputs.insert("task".into(), describe_signature(spec).into());
    inputs.extend(given.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())));
    let reply = Settings::new().rollout(sample).scope(program.call(inputs)).await?;
    Ok(clean(reply[output].as_str().unwrap_or_default(), LONGEST))
}
