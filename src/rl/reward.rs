//! What a response earns, and how often each of the four outcomes occurred.

use crate::recipe::rl::Reward;
use crate::task::Verdict;

/// The reward of one response.
pub fn reward(rule: &Reward, verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Correct => rule.correct,
        Verdict::Wrong => rule.wrong,
        Verdict::NoAnswer => rule.no_answer,
        Verdict::GaveUp => rule.gave_up,
    }
}

/// Outcomes, counted apart whatever they earn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub correct: u64,
    pub wrong: u64,
    pub no_answer: u64,
    pub gave_up: u64,
}

impl Outcomes {
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for verdict in verdicts {
            match verdict {
                Verdict::Correct => outcomes.correct += 1,
                Verdict::Wrong => outcomes.wrong += 1,
                Verdict::NoAnswer => outcomes.no_answer += 1,
                Verdict::GaveUp => outcomes.gave_up += 1,
            }
        }
        outcomes
    }

    pub fn total(&self) -> u64 {
        self.correct + self.wrong + self.no_answer + self.gave_up
    }

    /// The share of one outcome, e.g. `outcomes.share(outcomes.wrong)`.
    pub fn share(&self, count: u64) -> f64 {
        count as f64 / self.total() as f64
    }
}
