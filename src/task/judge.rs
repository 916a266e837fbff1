//! Extraction, then equality.

use super::extract::extract;
use crate::recipe::template::Extract;
use serde::{Deserialize, Serialize};

/// What became of a response. `NoAnswer` and `GaveUp` are kept apart from `Wrong` so that a broken template or a
/// checker out of its depth shows in the metrics instead of looking like a weak model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Correct,
    Wrong,
    NoAnswer,
    GaveUp,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Which rule decided.
    pub rule: &'static str,
    pub answer: Option<String>,
}

/// Whether a response answers a question whose gold answer is known.
///
/// The maths world's numbers and choice letters are compared as such; every other answer goes to the equality of
/// mathematical expressions.
pub fn judge(response: &str, gold: &str, rule: Extract) -> Judgement {
    let Some(answer) = extract(response, rule) else {
        return Judgement { verdict: Verdict::NoAnswer, rule: "no-answer", answer: None };
    };
    let (verdict, rule) = match rule {
        Extract::LastAnswerIs => (right_if(integer(answer) == integer(gold)), "integer"),
        Extract::Letter => {
            let gold = gold.trim().trim_matches(['(', ')', '.']);
            (right_if(answer.eq_ignore_ascii_case(gold)), "letter")
        }
        _ => equal(gold, answer),
    };
    Judgement { verdict, rule, answer: Some(answer.to_string()) }
}

fn right_if(equal: bool) -> Verdict {
    if equal { Verdict::Correct } else { Verdict::Wrong }
}

/// Digits without sign and leading zeros, so that numbers of any length compare.
fn integer(text: &str) -> (bool, &str) {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let shortest = digits.trim_start_matches('0');
    (digits.len() < text.len() && !shortest.is_empty(), shortest)
}

fn equal(gold: &str, answer: &str) -> (Verdict, &'static str) {
    (right_if(gold.trim() == answer.trim()), "same-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_outcomes_are_told_apart() {
        let verdict = |response, gold| judge(response, gold, Extract::LastAnswerIs).verdict;
        assert_eq!(verdict("answer is 07 .", "7"), Verdict::Correct);
        assert_eq!(verdict("answer is 0", "0"), Verdict::Correct);
        assert_eq!(verdict("answer is -0", "0"), Verdict::Correct);
        assert_eq!(verdict("answer is -7", "7"), Verdict::Wrong);
        assert_eq!(verdict("answer is 8 .", "7"), Verdict::Wrong);
        assert_eq!(verdict("it is 7 .", "7"), Verdict::NoAnswer);
        assert_eq!(serde_json::to_string(&Verdict::GaveUp).unwrap(), "\"gave-up\"");
    }

    #[test]
    fn choices_compare_without_case() {
        assert_eq!(judge("The answer is (B)", "b", Extract::Letter).verdict, Verdict::Correct);
        assert_eq!(judge("The answer is (B)", "(C)", Extract::Letter).verdict, Verdict::Wrong);
    }

    #[test]
    fn a_judgement_keeps_the_answer_it_judged() {
        let judged = judge(r"thus \boxed{x}", "x", Extract::LastBoxed);
        assert_eq!((judged.verdict, judged.answer.as_deref()), (Verdict::Correct, Some("x")));
    }
}
