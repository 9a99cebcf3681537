//! Prefixes of any text: no panic; and of a text that can be read, what was shown stays.
#![no_main]

use dspy_fuzz::{grows, pick};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((case, text)) = pick(data) else { return };
    let step = text.len() / 400 + 1;
    // A text that means nothing may change its mind; whoever shows it holds on to what was shown.
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
            // Whoever streams stops here; what follows may be prose, a link's address, a string that goes on.
            return;
        }
        last = now.value.or(last);
    }
});
