//! How much work something is.

use std::time::Duration;

/// The processor time that this thread has had, where the system tells: unlike the time of day it does not depend on
/// what else runs on the machine.
fn spent() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

/// Checks that four times the size is nothing like sixteen times the work. `run` works on something of that size.
pub(crate) fn assert_linear(what: &str, size: usize, mut run: impl FnMut(usize)) {
    let mut cost = |size| {
        let before = spent();
        run(size);
        spent().zip(before).map(|(after, before)| after.saturating_sub(before))
    };
    let (small, large) = (cost(size), cost(4 * size));
    // The system counts in steps, and the first run warms up.
    let noise = Duration::from_millis(20);
    let linear = small.zip(large).is_none_or(|(small, large)| large < 10 * small + noise);
    assert!(linear, "{what}: {small:?} for {size}, {large:?} for four times as much");
}
