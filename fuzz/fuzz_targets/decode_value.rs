//! Any text for any schema: no panic, the same outcome twice, a value that satisfies the schema, spans within
//! the text.
#![no_main]

use dspy_fuzz::{pick, satisfies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((case, text)) = pick(data) else { return };
    let outcome = case.plan.decode(text);
    assert_eq!(outcome, case.plan.decode(text), "two outcomes for one text");
    match outcome {
        Ok(read) => {
            assert!(satisfies(&read.value, &case.schema, &case.schema), "{} is no {}", read.value, case.schema);
            let again = case.plan.coerce(read.value.clone()).expect("the value satisfies its own schema");
            assert!(again.report.is_clean(), "{} needs {:?}", read.value, again.report);
            for repair in &read.report.repairs {
                assert!(text.get(repair.span.clone()).is_some(), "{repair:?} lies outside");
                assert_eq!(repair.cost, repair.kind.cost());
            }
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                let span = problem.span.clone().unwrap_or(0..0);
                assert!(text.get(span).is_some(), "{problem:?} lies outside");
            }
        }
    }
});
