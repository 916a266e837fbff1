//! The paper's two evaluations as recipes: few-shot on base models, and zero-shot within RL.
//!
//! They differ by design and their numbers must never be compared: the first shows examples and reads the answer from
//! text, the second uses the RL template and wants a box.

use super::{Suite, SuiteError};
use crate::recipe::eval::{Benchmark, Items};
use crate::recipe::template::{Begin, Extract};
use crate::recipe::{EvalProtocol, Key, Seed, Template};

/// Longest response of the base-model evaluation, in tokens.
pub const BASE_MAX_NEW_TOKENS: usize = 1024;

/// Greedy decoding draws nothing; a fixed seed keeps the key of a base evaluation the same in every experiment.
pub const BASE_PROTOCOL_SEED: Seed = Seed(0);

/// The suites evaluated during RL, before the first rollout step and then every four.
pub const RL_SUITES: [Suite; 4] = [Suite::Math500, Suite::Gsm8k, Suite::Olympiadbench, Suite::Amc23];

/// Few-shot, greedy, one answer an item (the paper's §3.1). `content` is the digest of the benchmark's file.
pub fn base_protocol(suite: Suite, shots: usize, content: Key) -> Result<EvalProtocol, SuiteError> {
    Ok(EvalProtocol {
        benchmarks: vec![Benchmark { name: suite.name().to_string(), items: Items::Dataset { content, limit: None } }],
        template: suite.template(shots)?,
        max_new_tokens: BASE_MAX_NEW_TOKENS,
        samples: 0,
        temperature: 0.0,
        pass_at: Vec::new(),
        seed: BASE_PROTOCOL_SEED,
    })
}

/// Zero-shot with the template of the RL run, greedy, one answer an item; `max_new_tokens` is what the length schedule
/// says at the rollout step (the paper's §2.5). The answer is found and compared as the reward does.
pub fn rl_protocol(template: Template, max_new_tokens: usize, contents: &[(Suite, Key)]) -> EvalProtocol {
    let benchmark = |&(suite, content): &(Suite, Key)| Benchmark {
        name: suite.name().to_string(),
        items: Items::Dataset { content, limit: None },
    };
    EvalProtocol {
        benchmarks: contents.iter().map(benchmark).collect(),
        template,
        max_new_tokens,
        samples: 0,
        temperature: 0.0,
        pass_at: Vec::new(),
        seed: BASE_PROTOCOL_SEED,
    }
}

/// The paper's two RL templates, word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RlTemplate {
    /// Never asks for the box that the reward needs.
    Simple,
    /// A conversation, after Open-Reasoner-Zero, that asks for a box.
    Complex,
}

impl RlTemplate {
    pub fn template(self) -> Template {
        let (before, after) = match self {
            RlTemplate::Simple => ("Question:\n", "\nAnswer:\n"),
            RlTemplate::Complex => (
                "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant \
                 first thinks about the reasoning process in the mind and then provides the user with the answer. User: You \
                 must put your answer inside \\boxed{} and Your final answer will be extracted automatically by the \\boxed{} \
                 tag.\n",
                "\nAssistant:",
            ),
        };
        let stop = ["User:", "Assistant:", "Question:", "Answer:"].map(str::to_string).to_vec();
        Template {
            before: before.into(),
            after: after.into(),
            extract: Extract::LastBoxed,
            stop,
            begin: Begin::Tokenizer,
            special_tokens: false,
        }
    }
}

/// The prompt of a benchmark that is no suite: a question, no examples, and the answer wherever the model marks it.
pub fn plain_template() -> Template {
    Template {
        before: "Question: ".into(),
        after: "\nAnswer:".into(),
        extract: Extract::FinalAnswer,
        stop: vec!["\nQuestion:".into()],
        begin: Begin::Tokenizer,
        special_tokens: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_templates_are_word_for_word() {
        let complex = RlTemplate::Complex.template();
        assert!(complex.before.contains("in the mind and then provides the user with the answer. User: You must put your answer inside \\boxed{} and Your final answer will be extracted automatically by the \\boxed{} tag.\n"), "{}", complex.before);
        assert_eq!(complex.after, "\nAssistant:");
        assert_eq!(crate::task::render(&RlTemplate::Simple.template(), "1+1?"), "Question:\n1+1?\nAnswer:\n");
    }
}
