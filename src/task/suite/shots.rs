//! Worked examples and the prompts made of them.
//!
//! The rendered text goes into a [`Template`], so an edited example moves the key of every evaluation that shows it;
//! the version in the file is for people who compare tables.

use super::{Style, Suite, SuiteError};
use crate::recipe::Template;
use crate::recipe::template::{Begin, Extract};
use serde::Deserialize;
use std::sync::LazyLock;

/// One worked example.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shot {
    pub question: String,
    pub solution: String,
    /// As it stands in the closing sentence.
    pub answer: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub version: u32,
    pub examples: Vec<Shot>,
}

fn parse(text: &str) -> File {
    serde_json::from_str(text).expect("example files are checked by the tests")
}

pub(super) fn file(suite: Suite) -> &'static File {
    static GSM: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/gsm.json")));
    static MATH: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/math.json")));
    static OCW: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/ocw.json")));
    static MATH_SAT: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/math_sat.json")));
    static MMLU_STEM: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/mmlu_stem.json")));
    static MATHQA: LazyLock<File> = LazyLock::new(|| parse(include_str!("shots/mathqa.json")));
    match suite {
        Suite::Gsm8k | Suite::Svamp | Suite::Asdiv | Suite::Mawps | Suite::Tabmwp | Suite::Amc23 => &GSM,
        Suite::Math | Suite::Math500 | Suite::Olympiadbench => &MATH,
        Suite::Ocw => &OCW,
        Suite::MathSat => &MATH_SAT,
        Suite::MmluStem => &MMLU_STEM,
        Suite::Mathqa => &MATHQA,
    }
}

impl Suite {
    /// The worked examples that there are, in the order in which prompts take them.
    pub fn examples(self) -> &'static [Shot] {
        &file(self).examples
    }

    /// The prompt with the first `shots` examples.
    pub fn template(self, shots: usize) -> Result<Template, SuiteError> {
        let examples = self.examples();
        if shots > examples.len() {
            return Err(SuiteError::Shots { suite: self, asked: shots, have: examples.len() });
        }
        let style = self.style();
        let (ask, answer) = style.markers();
        let mut before = String::new();
        for shot in &examples[..shots] {
            before.push_str(&format!(
                "{ask}{}{answer}{}\n\n",
                shot.question,
                style.response(&shot.solution, &shot.answer)
            ));
        }
        before.push_str(ask);
        let stop = format!("\n{}", ask.trim_end());
        let (after, extract) = (answer.to_string(), style.extract());
        Ok(Template { before, after, extract, stop: vec![stop], begin: Begin::Tokenizer, special_tokens: false })
    }

    /// What a model that follows the examples writes after the prompt.
    pub fn response(self, solution: &str, answer: &str) -> String {
        self.style().response(solution, answer)
    }
}

impl Style {
    /// What stands before a question, and between it and the solution.
    pub(super) fn markers(self) -> (&'static str, &'static str) {
        match self {
            Style::Gsm => ("Q: ", "\nA:"),
            Style::Minerva | Style::Ocw | Style::Choice => ("Problem:\n", "\n\nSolution:"),
        }
    }

    fn extract(self) -> Extract {
        match self {
            Style::Gsm => Extract::LastNumber,
            Style::Minerva | Style::Ocw => Extract::Minerva,
            Style::Choice => Extract::Letter,
        }
    }

    fn response(self, solution: &str, answer: &str) -> String {
        match self {
            Style::Gsm => format!(" {solution} The answer is {answer}."),
            Style::Minerva => {
                format!("\n{solution}\nFinal Answer: The final answer is ${answer}$. I hope it is correct.")
            }
            Style::Ocw => format!("\n{solution}\nFinal answer: The final answer is {answer}. I hope it is correct."),
            Style::Choice => format!("\n{solution} The final answer is ({answer})."),
        }
    }
}
