//! Prefixes of any text: no panic and, if the text can be read, later values extend earlier ones.
#![no_main]

use dspy_fuzz::{grows, pick};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((case, text)) = pick(data) else { return };
    let step = text.len() / 400 + 1;
    // If the text cannot be read, the values of its prefixes need not extend each other.
    let readable = case.plan.decode(text).is_ok();
    let mut last = None;
    let mut ends: Vec<usize> = (0..text.len()).step_by(step).filter(|&i| text.is_char_boundary(i)).collect();
    ends.push(text.len());
    for end in ends {
        let now = case.plan.decode_partial(&text[..end]);
        if let Some(early) = last.as_ref().filter(|_| readable) {
            let late = now.value.as_ref();
            assert!(
                late.is_some_and(|late| grows(early, late)),
                "{early} became {late:?} at {:?}",
                &text[..end]
            );
        }
        if now.complete {
            // Streaming ends here. The rest may be prose, the address of a link, or a string that continues.
            return;
        }
        last = now.value.or(last);
    }
});
