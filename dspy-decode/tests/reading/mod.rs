//! Checks of what a reply is read as.

use std::fmt::Debug;

use dspy_decode::decode;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub(crate) fn reads<T: DeserializeOwned + JsonSchema + Debug + PartialEq + 'static>(reply: &str, value: &T) {
    match decode::<T>(reply) {
        Ok(read) => assert_eq!(&read.value, value, "{reply}"),
        Err(error) => panic!("{reply}: {error}"),
    }
}

pub(crate) fn refuses<T: DeserializeOwned + JsonSchema + Debug + 'static>(replies: &[&str]) {
    for reply in replies {
        if let Ok(read) = decode::<T>(reply) {
            panic!("{reply:?} was read as {:?}", read.value);
        }
    }
}
