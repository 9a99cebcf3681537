//! What to do about replies that cannot be read.

/// What to do about a reply that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How often the model gets its own reply back with the problems, asked to mend it.
    pub reasks: u32,
    /// Whether a last attempt asks for a JSON object instead.
    pub json_fallback: bool,
    /// Up to how many tokens a completion may be asked for again when the limit has cut it off. The limit is doubled
    /// each time; where none was set, this is the first. `None` makes a reply that is cut off an error.
    pub longer: Option<u32>,
    /// Whether a stream is broken off as soon as a finished field breaks a check, to ask again at once. It saves the
    /// rest of a useless reply, and hides from the model what else is wrong with it.
    pub abort_early: bool,
}

impl Recovery {
    /// No recovery: the first unreadable reply is an error.
    pub const NONE: Recovery = Recovery { reasks: 0, json_fallback: false, longer: None, abort_early: false };

    /// The same, with another number of re-asks.
    #[must_use]
    pub const fn reasks(mut self, reasks: u32) -> Self {
        self.reasks = reasks;
        self
    }

    /// The same, with or without the JSON fallback.
    #[must_use]
    pub const fn json_fallback(mut self, on: bool) -> Self {
        self.json_fallback = on;
        self
    }

    /// The same, with replies that are cut off asked for again at up to `max_tokens` tokens.
    #[must_use]
    pub const fn longer(mut self, max_tokens: u32) -> Self {
        self.longer = Some(max_tokens);
        self
    }

    /// The same, with streams broken off by the first failed check, or not.
    #[must_use]
    pub const fn abort_early(mut self, on: bool) -> Self {
        self.abort_early = on;
        self
    }
}

impl Default for Recovery {
    /// One re-ask, then one JSON attempt.
    fn default() -> Self {
        Recovery { reasks: 1, json_fallback: true, ..Recovery::NONE }
    }
}
