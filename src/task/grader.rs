//! Whose rules find and compare an answer.
//!
//! The paper's few-shot evaluation reads answers as each benchmark's harness does; within RL the same items are judged as
//! the reward judges them. Both are numbers about one model, and must never be taken for each other.

use super::judge::judge;
use super::suite::RULES_VERSION;
use super::verdict::Verdict;
use super::{Judgement, Problem, Suite};
use crate::recipe::template::Extract;
use serde::{Deserialize, Serialize};

/// Finds the answer in a response and says whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grader {
    /// As the suite does; `authors` brings back the defects of the paper's harness.
    Suite { suite: Suite, authors: bool },
    /// A template's extraction, then equality of mathematical expressions: what an RL reward does.
    Extract(Extract),
}

impl Grader {
    /// Whether a response answers a problem.
    pub fn judge(self, response: &str, problem: &Problem) -> Judgement {
        match self {
            Grader::Suite { suite, authors } => suite.judge(response, problem, authors),
            Grader::Extract(rule) => judge(response, &problem.gold, rule),
        }
    }

    /// Whether two extracted answers to one problem are the same answer. Not quite transitive: numbers within a tolerance
    /// are the same.
    pub fn same(self, a: &str, b: &str, problem: &Problem) -> bool {
        let equal = match self {
            Grader::Suite { suite, authors } => suite.compare(&problem.question, a, b, authors).0,
            Grader::Extract(rule) => super::judge::compare(a, b, rule).0,
        };
        a == b || equal == Verdict::Correct
    }

    /// In words, for records.
    pub fn describe(self) -> String {
        match self {
            Grader::Suite { suite, authors: false } => format!("{suite}, rules {RULES_VERSION}"),
            Grader::Suite { suite, authors: true } => format!("{suite}, rules {RULES_VERSION}, authors-compatible"),
            Grader::Extract(rule) => {
                let name = serde_json::to_value(rule).expect("a name");
                format!("{}, rules {RULES_VERSION}", name.as_str().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_value() {
        let problem = Problem { id: "a".into(), question: "?".into(), gold: "0.5".into() };
        let boxed = Grader::Extract(Extract::LastBoxed);
        assert!(boxed.same("\\frac12", "1/2", &problem) && !boxed.same("1", "2", &problem));
        let suite = Grader::Suite { suite: Suite::Gsm8k, authors: false };
        assert!(suite.same("1,000", "1000.0", &problem) && !suite.same("50", "0.5", &problem));
        assert!(Grader::Suite { suite: Suite::Gsm8k, authors: true }.same("50", "0.5", &problem));
        assert!(boxed.same("what? {", "what? {", &problem), "an answer that can't be read is still itself");
    }

    #[test]
    fn the_reward_wants_a_box_where_the_suite_reads_text() {
        let problem = Problem { id: "a".into(), question: "?".into(), gold: "5".into() };
        let judged = |grader: Grader| grader.judge(" 2 + 3 = 5. The answer is 5.", &problem).verdict;
        assert_eq!(judged(Grader::Suite { suite: Suite::Gsm8k, authors: false }), Verdict::Correct);
        assert_eq!(judged(Grader::Extract(Extract::LastBoxed)), Verdict::NoAnswer);
        assert_eq!(judged(Grader::Extract(Extract::FinalAnswer)), Verdict::Correct);
    }
}
