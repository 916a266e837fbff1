//! Extraction, then equality.

use super::extract::extract;
use super::verdict::Verdict;
use super::verify;
use crate::recipe::template::Extract;

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
    let (verdict, rule) = compare(gold, answer, rule);
    Judgement { verdict, rule, answer: Some(answer.to_string()) }
}

/// Whether an answer that a rule has found equals the gold answer.
pub(super) fn compare(gold: &str, answer: &str, rule: Extract) -> (Verdict, &'static str) {
    match rule {
        Extract::LastAnswerIs => (right_if(integer(answer) == integer(gold)), "integer"),
        Extract::Letter => {
            let gold = gold.trim().trim_matches(['(', ')', '.']);
            (right_if(answer.eq_ignore_ascii_case(gold)), "letter")
        }
        _ => verify::equal(gold, answer),
    }
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
    }

    #[test]
    fn choices_compare_without_case() {
        assert_eq!(judge("The answer is (B)", "b", Extract::Letter).verdict, Verdict::Correct);
        assert_eq!(judge("The answer is (B)", "(C)", Extract::Letter).verdict, Verdict::Wrong);
    }

    #[test]
    fn a_judgement_keeps_the_answer_it_judged() {
        let judged = judge(r"thus \boxed{\frac{1}{2}}", "0.5", Extract::LastBoxed);
        assert_eq!((judged.verdict, judged.answer.as_deref()), (Verdict::Correct, Some(r"\frac{1}{2}")));
    }
}
