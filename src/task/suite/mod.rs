//! The paper's thirteen benchmarks, each with everything its number depends on: examples, prompt, stop strings, how the
//! answer is found, when it is right, and how the source writes its gold answers.
//!
//! A [`Suite`] is to a benchmark file what a template is to a question: data that can be hashed. Nothing here runs a
//! model. The examples are our own, written in the style that the paper names, because the originals' licences are unclear;
//! numbers are therefore comparable with each other and close to, not equal to, published few-shot numbers.
//!
//! Known defects of the authors' harness are corrected and named ([`Suite::quirks`]). `authors = true` brings back those
//! that change a grade, so that the distance between both can be measured on the same responses.
//!
//! Dropped: the authors' program-output step of the MATH extractor (no model here runs programs).

mod answer;
mod equality;
mod gold;
mod protocol;
mod shots;

pub use gold::{GoldProblem, LoadError, load_problems, read_problems};
pub use protocol::{
    BASE_MAX_NEW_TOKENS, BASE_PROTOCOL_SEED, RL_SUITES, RlTemplate, base_protocol, plain_template, rl_protocol,
};
pub use shots::Shot;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A benchmark of the paper's evaluation suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    Gsm8k,
    Svamp,
    Asdiv,
    Mawps,
    Tabmwp,
    Math,
    Math500,
    Amc23,
    Olympiadbench,
    Ocw,
    MathSat,
    MmluStem,
    Mathqa,
}

/// How a prompt reads; suites of one style share their examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `Q: … A: … The answer is N.`
    Gsm,
    /// `Problem: … Solution: … Final Answer: The final answer is $…$. I hope it is correct.`
    Minerva,
    /// As Minerva's, for physics, chemistry and economics.
    Ocw,
    /// `Problem: … (A) … Solution: … The final answer is (B).`
    Choice,
}

/// When an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equality {
    /// Numbers within 1e-3, or the same text, or equal expressions (the paper's rule 1).
    Number,
    /// Every element of one list has its equal in the other (rule 2).
    List,
    /// Equal expressions.
    Expression,
    /// Numbers within a relative 1e-5, equations, expressions (rule 4).
    Ocw,
    /// A letter.
    Choice,
    /// The letter or the wording of a choice, else as `Number`.
    Option,
}

/// What a suite's number depends on besides the model and the benchmark's file. Part of an evaluation's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteIdentity {
    pub suite: Suite,
    /// Worked examples before the question.
    pub shots: usize,
    /// Version of the examples' file.
    pub shots_version: u32,
    /// Version of the rules that find and compare answers.
    pub rules_version: u32,
    /// Grade as the authors' harness does, defects included.
    pub authors: bool,
}

/// Bump when a response could be graded otherwise than before.
pub const RULES_VERSION: u32 = 2;

/// No suite of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    #[error("failed to find suite `{name}`{}; there are {}", meant.map(|m| format!(", did you mean `{m}`?")).unwrap_or_default(), names())]
    Unknown { name: String, meant: Option<&'static str> },
    #[error("failed to build a prompt of {suite} with {asked} examples: there are {have}")]
    Shots { suite: Suite, asked: usize, have: usize },
}

fn names() -> String {
    Suite::ALL.map(Suite::name).join(", ")
}

impl Suite {
    /// All suites, in the order of the paper's table.
    pub const ALL: [Suite; 13] = [
        Suite::Gsm8k,
        Suite::Math,
        Suite::Math500,
        Suite::Svamp,
        Suite::Asdiv,
        Suite::Mawps,
        Suite::Tabmwp,
        Suite::Mathqa,
        Suite::MmluStem,
        Suite::MathSat,
        Suite::Ocw,
        Suite::Olympiadbench,
        Suite::Amc23,
    ];

    /// The name under which files and tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Gsm8k => "gsm8k",
            Suite::Svamp => "svamp",
            Suite::Asdiv => "asdiv",
            Suite::Mawps => "mawps",
            Suite::Tabmwp => "tabmwp",
            Suite::Math => "math",
            Suite::Math500 => "math500",
            Suite::Amc23 => "amc23",
            Suite::Olympiadbench => "olympiadbench",
            Suite::Ocw => "ocw",
            Suite::MathSat => "math_sat",
            Suite::MmluStem => "mmlu_stem",
            Suite::Mathqa => "mathqa",
        }
    }

    /// The suite that a file's name begins with, whatever follows: `gsm8k.jsonl`, `math-500_test.jsonl`, `MATH_SAT.jsonl`.
    pub fn of_file(path: &Path) -> Option<Suite> {
        let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let stem = path.file_name()?.to_str()?;
        let stem = stem.split('.').next().unwrap_or(stem);
        // Whole words, so that `mathematics` is not `math`; the longest name, so that `math_sat` is not either.
        let words: Vec<&str> =
            stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let heads = (1..=words.len()).rev().map(|count| plain(&words[..count].concat()));
        heads.flat_map(|head| Suite::ALL.into_iter().find(|suite| plain(suite.name()) == head)).next()
    }

    /// Items of the full set; a file may hold fewer.
    pub fn items(self) -> usize {
        match self {
            Suite::Gsm8k => 1319,
            Suite::Svamp | Suite::Mathqa | Suite::Tabmwp => 1000,
            Suite::Asdiv => 2215,
            Suite::Mawps => 2065,
            Suite::Math => 5000,
            Suite::Math500 => 500,
            Suite::Amc23 => 40,
            Suite::Olympiadbench => 675,
            Suite::Ocw => 272,
            Suite::MathSat => 32,
            Suite::MmluStem => 3018,
        }
    }

    /// Worked examples in the paper's prompts.
    pub fn default_shots(self) -> usize {
        match self {
            Suite::Gsm8k | Suite::Svamp | Suite::Asdiv | Suite::Mawps | Suite::Tabmwp => 8,
            Suite::Amc23 => 0,
            _ => 4,
        }
    }

    pub(crate) fn style(self) -> Style {
        match self {
            Suite::Gsm8k | Suite::Svamp | Suite::Asdiv | Suite::Mawps | Suite::Tabmwp | Suite::Amc23 => Style::Gsm,
            Suite::Math | Suite::Math500 | Suite::Olympiadbench => Style::Minerva,
            Suite::Ocw => Style::Ocw,
            Suite::MathSat | Suite::MmluStem | Suite::Mathqa => Style::Choice,
        }
    }

    pub(crate) fn equality(self) -> Equality {
        match self {
            Suite::Gsm8k | Suite::Svamp | Suite::Asdiv | Suite::Mawps | Suite::Amc23 => Equality::Number,
            Suite::Tabmwp => Equality::Option,
            Suite::Math | Suite::Math500 => Equality::List,
            Suite::Olympiadbench => Equality::Expression,
            Suite::Ocw => Equality::Ocw,
            Suite::MathSat | Suite::MmluStem | Suite::Mathqa => Equality::Choice,
        }
    }

    /// What the authors' harness does otherwise, for reports. `authors` grading brings back each of these.
    pub fn quirks(self) -> &'static [&'static str] {
        match self {
            Suite::Mathqa => &["letters e are gold answers but are never extracted, so those items can't be right"],
            Suite::Ocw => &[
                "equal answers that are zero or negative are wrong",
                "expressions are compared as text only, so that another spelling is wrong",
            ],
            Suite::Asdiv => &["answers that are no number (names, ratios, times) are never extracted"],
            Suite::Tabmwp => &[],
            Suite::Math | Suite::Math500 => {
                &["numbers a hundred times too large or too small are right", "all commas of a number are dropped"]
            }
            Suite::Gsm8k | Suite::Svamp | Suite::Mawps | Suite::Amc23 => {
                &["numbers a hundred times too large or too small are right"]
            }
            Suite::Olympiadbench | Suite::MathSat | Suite::MmluStem => &[],
        }
    }

    /// The part of an evaluation's identity that a suite brings.
    pub fn identity(self, shots: usize, authors: bool) -> SuiteIdentity {
        let shots_version = shots::file(self).version;
        SuiteIdentity { suite: self, shots, shots_version, rules_version: RULES_VERSION, authors }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = SuiteError;

    fn from_str(name: &str) -> Result<Suite, SuiteError> {
        if let Some(suite) = Suite::ALL.into_iter().find(|suite| suite.name() == name) {
            return Ok(suite);
        }
        let near =
            Suite::ALL.map(|suite| (strsim::damerau_levenshtein(&name.to_lowercase(), suite.name()), suite.name()));
        let meant = near.into_iter().min().filter(|(distance, _)| *distance <= 2).map(|(_, name)| name);
        Err(SuiteError::Unknown { name: name.to_string(), meant })
    }
}
