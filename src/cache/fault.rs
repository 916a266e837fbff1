//! Named places where a test build may die.
//!
//! `ABLATE_FAULT=<point>:<n>` kills the process at the n-th passage of a point (n counts from 1 and is 1 if left out), as a
//! power switch would: no unwinding, no destructors, no flush. Without the feature `faults` (and outside this crate's own
//! tests) a point is nothing at all.

/// Every point there is. A name that is not here would silently never fire, so [`point`] refuses it in test builds.
pub const POINTS: [&str; 10] = [
    "after-temp-write",
    "before-rename",
    "after-rename",
    "before-record",
    "after-record",
    "mid-train-step",
    "mid-rl-step",
    "mid-eval",
    "during-report",
    "during-gc",
];

/// Dies here if `ABLATE_FAULT` says so.
#[cfg(any(test, feature = "faults"))]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ORDER: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    assert!(POINTS.contains(&name), "`{name}` is not a fault point");
    let order = ORDER.get_or_init(|| std::env::var("ABLATE_FAULT").ok().and_then(|text| parse(&text)));
    if let Some((wanted, passage)) = order
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *passage
    {
        std::process::abort();
    }
}

/// Nothing: this is not a test build.
#[cfg(not(any(test, feature = "faults")))]
#[inline(always)]
pub fn point(_name: &str) {}

#[cfg(any(test, feature = "faults"))]
fn parse(text: &str) -> Option<(String, u64)> {
    let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
    Some((name.to_string(), passage.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_to_die_parses() {
        assert_eq!(parse("mid-eval:3"), Some(("mid-eval".into(), 3)));
        assert_eq!(parse("mid-eval"), Some(("mid-eval".into(), 1)));
        assert_eq!(parse("mid-eval:soon"), None);
    }
}
