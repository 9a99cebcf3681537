//! The messages of caught panics.

use std::any::Any;

/// Returns the message of a panic, if it has one.
pub fn message(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
