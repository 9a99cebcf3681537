//! A range whose upper end may be unknown.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A range from `least` to `most`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span<T> {
    /// The lower end.
    pub least: T,
    /// The upper end; `None` if only the budget limits it.
    pub most: Option<T>,
}

impl<T: Copy> Span<T> {
    /// Creates a range of one value.
    pub const fn exactly(value: T) -> Self {
        Span { least: value, most: Some(value) }
    }

    /// Creates a range.
    pub const fn between(least: T, most: T) -> Self {
        Span { least, most: Some(most) }
    }

    /// Creates a range without an upper end.
    pub const fn at_least(least: T) -> Self {
        Span { least, most: None }
    }

    pub(crate) fn map<U>(self, change: impl Fn(T) -> U) -> Span<U> {
        Span { least: change(self.least), most: self.most.map(change) }
    }
}

impl<T: Copy + PartialOrd> Span<T> {
    /// Returns whether a value is in the range.
    pub fn contains(&self, value: T) -> bool {
        self.least <= value && self.most.is_none_or(|most| value <= most)
    }

    /// Returns the range without the values above `limit`.
    pub(crate) fn up_to(self, limit: T) -> Self {
        let lower = |value: T| if value < limit { value } else { limit };
        Span { least: lower(self.least), most: Some(self.most.map_or(limit, lower)) }
    }
}

impl Add for Span<u64> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let most = self.most.zip(other.most).map(|(a, b)| a.saturating_add(b));
        Span { least: self.least.saturating_add(other.least), most }
    }
}

impl Add for Span<f64> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Span { least: self.least + other.least, most: self.most.zip(other.most).map(|(a, b)| a + b) }
    }
}
