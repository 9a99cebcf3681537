//! Any object or array of a schema, written in styles of models: decoding returns it, and every prefix is a
//! part of it.
#![no_main]

use dspy_fuzz::{Bytes, CASES, grows, same, value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let case = &CASES[usize::from(bytes.byte()) % CASES.len()];
    let style = bytes.byte();
    let Some(value) = value(&case.schema, &case.schema, &mut bytes, 0) else { return };
    if !value.is_array() && !value.is_object() {
        return;
    }
    // Values that do not match a format or a pattern are skipped.
    if !case.plan.coerce(value.clone()).is_ok_and(|read| read.report.is_clean()) {
        return;
    }
    let line = value.to_string();
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    let text = match style % 6 {
        0 => line,
        1 => pretty,
        2 => format!("```json\n{pretty}\n```"),
        3 => format!("Here is the result:\n\n{pretty}\n\nLet me know if you need more."),
        4 => format!("<think>It has {{a}} in it.</think>\n```\n{line}\n```\nDone."),
        _ => format!("// as asked\n{pretty}"),
    };
    let read = case.plan.decode(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    assert!(same(&read.value, &value), "{value} became {} in {text}", read.value);

    let step = text.len() / 200 + 1;
    let mut last: Option<serde_json::Value> = None;
    for end in (0..=text.len()).step_by(step).filter(|&i| text.is_char_boundary(i)) {
        let now = case.plan.decode_partial(&text[..end]);
        if let Some(shown) = &now.value {
            assert!(grows(shown, &value), "{shown} is no beginning of {value} at {:?}", &text[..end]);
            assert!(last.as_ref().is_none_or(|l| grows(l, shown)), "{last:?} then {shown}");
        } else {
            assert!(last.is_none(), "{last:?} vanished at {:?}", &text[..end]);
        }
        assert!(!now.complete || now.value.as_ref().is_some_and(|v| same(v, &value)));
        last = now.value;
    }
});
