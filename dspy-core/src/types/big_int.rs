//! Integers of any size.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An integer of any size, stored as its digits, so that no precision is lost.
///
/// It has no arithmetic; convert it to `i128`, or pass its digits to a crate for big numbers. As JSON it is
/// an integer if it fits into 64 bits, and otherwise a string of digits.
///
/// ```
/// use dspy_core::types::BigInt;
/// let factorial: BigInt = "15511210043330985984000000".parse()?;
/// assert!(factorial > BigInt::from(u64::MAX));
/// assert_eq!(i128::try_from(&factorial)?, 15_511_210_043_330_985_984_000_000);
/// assert_eq!("-007".parse::<BigInt>()?.to_string(), "-7");
/// # Ok::<(), dspy_core::types::BigIntError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BigInt {
    negative: bool,
    /// The digits without leading zeros; `0` is never negative.
    digits: String,
}

/// A string that is no integer, or a number that is out of range of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BigIntError {
    /// The string is not an optional sign followed by digits.
    NotAnInteger,
    /// The number is too large or too small for the type.
    OutOfRange {
        /// The type that cannot hold it.
        type_name: &'static str,
    },
}

impl fmt::Display for BigIntError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BigIntError::NotAnInteger => f.write_str("expected a whole number: an optional sign and digits"),
            BigIntError::OutOfRange { type_name } => write!(f, "the number does not fit `{type_name}`"),
        }
    }
}

impl std::error::Error for BigIntError {}

impl BigInt {
    /// Returns whether the number is less than zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Returns the digits without the sign.
    pub fn digits(&self) -> &str {
        &self.digits
    }
}

impl FromStr for BigInt {
    type Err = BigIntError;

    fn from_str(text: &str) -> Result<Self, BigIntError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BigIntError::NotAnInteger);
        }
        let digits = unsigned.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(BigInt::default());
        }
        Ok(BigInt { negative: text.starts_with('-'), digits: digits.to_owned() })
    }
}

impl Default for BigInt {
    /// Returns zero.
    fn default() -> Self {
        BigInt { negative: false, digits: "0".to_owned() }
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(!self.negative, "", &self.digits)
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for BigInt {
    fn cmp(&self, other: &Self) -> Ordering {
        let sizes =
            || self.digits.len().cmp(&other.digits.len()).then_with(|| self.digits.cmp(&other.digits));
        match (self.negative, other.negative) {
            (false, false) => sizes(),
            (true, true) => sizes().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for BigInt {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! conversions {
    ($($number:ident)*) => {$(
        impl From<$number> for BigInt {
            fn from(number: $number) -> Self {
                // The string form of an integer always parses.
                number.to_string().parse().unwrap_or_default()
            }
        }

        impl TryFrom<&BigInt> for $number {
            type Error = BigIntError;

            fn try_from(number: &BigInt) -> Result<Self, BigIntError> {
                let out_of_range = |_| BigIntError::OutOfRange { type_name: stringify!($number) };
                number.to_string().parse().map_err(out_of_range)
            }
        }

        impl TryFrom<BigInt> for $number {
            type Error = BigIntError;

            fn try_from(number: BigInt) -> Result<Self, BigIntError> {
                (&number).try_into()
            }
        }
    )*};
}

conversions!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(number) = i64::try_from(self) {
            serializer.serialize_i64(number)
        } else if let Ok(number) = u64::try_from(self) {
            serializer.serialize_u64(number)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = BigInt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, as a string of digits if 64 bits are too few")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<BigInt, E> {
                Ok(number.into())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<BigInt, E> {
                Ok(number.into())
            }

            fn visit_i128<E: de::Error>(self, number: i128) -> Result<BigInt, E> {
                Ok(number.into())
            }

            fn visit_u128<E: de::Error>(self, number: u128) -> Result<BigInt, E> {
                Ok(number.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BigInt, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for BigInt {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "BigInt".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": "^-?[0-9]+$", (keyword::BIG_INT): true })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::decode::decode;
    use crate::types::describe;

    fn number(text: &str) -> BigInt {
        text.parse().unwrap()
    }

    #[test]
    fn texts_that_are_no_whole_numbers_are_refused() {
        for text in ["", "-", "+", "1.0", "1e3", " 1", "--1", "٣", "0x1"] {
            assert_eq!(text.parse::<BigInt>(), Err(BigIntError::NotAnInteger), "{text}");
        }
        assert_eq!(number("-000"), BigInt::default());
        assert_eq!(format!("{:>+6}", number("12")), "   +12");
        assert!(serde_json::from_value::<BigInt>(json!(1e30)).is_err());
        let error = u8::try_from(number("256")).unwrap_err();
        assert_eq!(error.to_string(), "the number does not fit `u8`");
    }

    #[test]
    fn models_write_it_as_they_like() {
        let large = "123456789012345678901234567890";
        for reply in [large.to_owned(), format!("\"{large}\""), format!("```json\n{large}\n```")] {
            assert_eq!(decode::<BigInt>(&reply).unwrap().value, number(large), "{reply}");
        }
        assert_eq!(decode::<Vec<BigInt>>(&format!("[1, -{large}, {large}]")).unwrap().value.len(), 3);
        assert!(decode::<BigInt>("1e30").is_err());
        assert!(decode::<BigInt>("many").is_err());
        let text = describe(schemars::schema_for!(Vec<Option<BigInt>>).as_value());
        assert_eq!((text.notation.as_str(), text.constraints.len()), ("(integer | null)[]", 0));
        assert_eq!(describe(schemars::schema_for!(BigInt).as_value()).constraints, ["of any size"]);
    }

    proptest! {
        #[test]
        fn order_and_conversions_are_those_of_numbers(a in any::<i128>(), b in any::<i128>()) {
            prop_assert_eq!(BigInt::from(a).cmp(&BigInt::from(b)), a.cmp(&b));
            prop_assert_eq!(i128::try_from(BigInt::from(a)), Ok(a));
        }

        #[test]
        fn what_is_written_is_read(text in "-?[1-9][0-9]{0,40}") {
            let value = number(&text);
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&serde_json::from_str::<BigInt>(&json).unwrap(), &value);
            prop_assert_eq!(&decode::<BigInt>(&json).unwrap().value, &value);
            prop_assert_eq!(value.to_string(), text);
        }
    }
}
