//! Digests of types, computed by macros and by the compiler with the same result.

/// The digest of a type; `None` if a part of it has no shape.
pub type Shape = Option<u64>;

/// Returns the FNV-1a digest of `text`, continued from `state`.
pub const fn mix(mut state: u64, text: &[u8]) -> u64 {
    let mut at = 0;
    while at < text.len() {
        state = (state ^ text[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    // Without this, `ab` + `c` would be `a` + `bc`.
    (state ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

/// Returns the state of a digest that starts with a name.
pub const fn start(name: &str) -> u64 {
    mix(0xcbf2_9ce4_8422_2325, name.as_bytes())
}

/// Returns the shape of a type constructor `name` with these parameters.
pub const fn of(name: &str, parameters: &[Shape]) -> Shape {
    let mut state = start(name);
    let mut at = 0;
    while at < parameters.len() {
        let Some(part) = parameters[at] else { return None };
        state = mix(state, &part.to_le_bytes());
        at += 1;
    }
    Some(state)
}

/// Returns the shape of a type with the text of its constraints.
pub const fn constrained(shape: Shape, constraints: &str) -> Shape {
    match shape {
        Some(shape) if !constraints.is_empty() => {
            Some(mix(mix(start("constrained"), &shape.to_le_bytes()), constraints.as_bytes()))
        }
        shape => shape,
    }
}

/// Returns the shape of a standard type without parameters by its name in code.
pub fn of_name(name: &str) -> Shape {
    let known = match name {
        "bool" | "char" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64"
        | "i128" | "isize" | "f32" | "f64" => name,
        "String" => "str",
        _ => return None,
    };
    of(known, &[])
}

/// Returns the shape of a standard type constructor by its name in code, with these parameters.
pub fn of_constructor(name: &str, parameters: &[Shape]) -> Shape {
    let known = match (name, parameters.len()) {
        ("Option", 1) => "optional",
        ("Vec", 1) => "list",
        ("BTreeSet" | "HashSet", 1) => "set",
        ("BTreeMap" | "HashMap", 2) => "map",
        _ => return None,
    };
    of(known, parameters)
}
