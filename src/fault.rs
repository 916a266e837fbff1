//! Named places where a test build may die.
//!
//! `ABLATE_FAULT=<point>:<n>` kills the process at the n-th passage of a point (n counts from 1 and is 1 if left out), as a
//! power switch would: no unwinding, no destructors, no flush. Without the feature `faults` (and outside this crate's own
//! tests) a point is nothing at all, and a set `ABLATE_FAULT` is refused rather than ignored.
//!
//! This stands below everything else, so that the middle of an optimizer step can be a point as well as the moment before
//! a rename. Test builds also save step checkpoints after every step ([`SAVE_EVERY`]), so that what they hold is under test.

use std::time::Duration;

/// Every point there is, and where it lies. `ablate faults` prints them in test builds.
pub const POINTS: [(&str, &str); 23] = [
    ("mid-corpus", "between two documents of a corpus"),
    ("mid-checkpoint", "a checkpoint has been read and is not written yet"),
    ("mid-train-step", "before a step of training"),
    ("mid-optimizer-step", "between two tensors of an update"),
    ("mid-rl-step", "before a rollout step"),
    ("mid-rollout", "before a token is sampled, in RL and in evaluation"),
    ("between-inner-updates", "between two updates on the same rollouts"),
    ("mid-eval", "before an evaluation's first question"),
    ("mid-contamination", "between two documents that benchmarks are looked for in"),
    ("mid-save", "a step checkpoint is written and not yet in its place"),
    ("after-save", "a step checkpoint is in its place, the one before it still there"),
    ("after-temp-write", "an artifact's files are written and not yet synced"),
    ("before-rename", "an artifact is synced and not yet in its place"),
    ("after-rename", "an artifact is in its place and has no record"),
    ("before-record", "the record is about to be written"),
    ("after-record", "an artifact is finished and its scratch not yet removed"),
    ("before-results", "a trial is settled and its rows are not written"),
    ("mid-results", "curves.csv is written, trials.jsonl is not"),
    ("during-report", "before each file of a report"),
    ("mid-report", "half a file of a report is written"),
    ("during-gc", "before each entry that gc drops"),
    ("mid-discard", "an entry is out of sight and not yet removed"),
    ("mid-quarantine", "a damaged entry is set aside and the reason not yet noted"),
];

/// How much work an interruption may cost.
pub const SAVE_EVERY: Duration =
    if cfg!(any(test, feature = "faults")) { Duration::ZERO } else { Duration::from_secs(20) };

/// Says what is wrong with `ABLATE_FAULT`, if it is set.
pub fn check() -> Result<(), String> {
    match std::env::var("ABLATE_FAULT") {
        Err(_) => Ok(()),
        Ok(_) if cfg!(not(any(test, feature = "faults"))) => {
            Err("ABLATE_FAULT is set, but this build has no fault points; unset it, or build with --features faults"
                .to_string())
        }
        Ok(text) => parse(&text).map(|_| ()),
    }
}

/// Dies here if `ABLATE_FAULT` says so.
#[cfg(any(test, feature = "faults"))]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ORDER: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    debug_assert!(POINTS.iter().any(|(known, _)| *known == name), "`{name}` is not a fault point");
    let order = ORDER.get_or_init(|| std::env::var("ABLATE_FAULT").ok().and_then(|text| parse(&text).ok()));
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

fn parse(text: &str) -> Result<(String, u64), String> {
    let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
    if !POINTS.iter().any(|(known, _)| *known == name) {
        let known: Vec<&str> = POINTS.iter().map(|(known, _)| *known).collect();
        return Err(format!("ABLATE_FAULT names `{name}`, which is no fault point; there are: {}", known.join(", ")));
    }
    match passage.parse() {
        Ok(passage) if passage > 0 => Ok((name.to_string(), passage)),
        _ => Err(format!("ABLATE_FAULT asks for passage `{passage}` of `{name}`; passages count from 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_to_die_parses_or_says_what_is_wrong() {
        assert_eq!(parse("mid-eval:3"), Ok(("mid-eval".into(), 3)));
        assert_eq!(parse("mid-eval"), Ok(("mid-eval".into(), 1)));
        for (text, words) in [("mid-eval:soon", "count from 1"), ("mid-eval:0", "count from 1"), ("mid", "mid-rollout")]
        {
            assert!(parse(text).unwrap_err().contains(words), "{text}");
        }
    }

    #[test]
    fn every_point_stands_somewhere_in_the_source() {
        let mut text = String::new();
        for entry in walkdir::WalkDir::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")) {
            let path = entry.unwrap().into_path();
            let name = path.to_string_lossy().replace('\\', "/");
            if name.ends_with(".rs") && !name.contains("/tests/") && !name.ends_with("/fault.rs") {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
        for (point, _) in POINTS {
            assert!(text.contains(&format!("\"{point}\"")), "`{point}` is never passed");
        }
    }
}
