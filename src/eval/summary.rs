//! From kept responses to records and numbers. A pure function: judging anew needs no model.

use super::ask::{Manner, Question};
use super::passk::{majority_is_correct, pass_at_k};
use super::responses::{Response, Responses};
use super::tally::{Scored, Shares, Spread};
use crate::recipe::{Backend, Key};
use crate::task::{Ending, Grader, Judgement, Problem, Verdict};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A judged response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub response: String,
    /// What was found in it.
    pub answer: Option<String>,
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
    /// Tokens.
    pub length: usize,
    pub ending: Ending,
}

/// One item's line of `items.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    pub id: String,
    pub gold: String,
    pub prompt: String,
    /// The greedy response.
    #[serde(flatten)]
    pub greedy: Judged,
    /// The sampled ones, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Judged>,
}

/// Numbers over all items. Shares are in 0..=1, lengths in tokens; what is undefined is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Share of items whose greedy response is right.
    pub accuracy: f64,
    /// Items.
    pub n: usize,
    /// Standard error of the accuracy over items.
    pub stderr: Option<f64>,
    /// Unbiased pass@k by k, from the samples; without samples pass@1 of the greedy responses.
    #[serde(deserialize_with = "by_number")]
    pub pass_at_k: BTreeMap<usize, f64>,
    /// Share of items whose most frequent answer among k samples is right; equal answers vote together.
    #[serde(deserialize_with = "by_number")]
    pub maj_at_k: BTreeMap<usize, f64>,
    /// Mean tokens of the correct greedy responses (the paper's response length).
    pub response_length: Option<f64>,
    pub response_length_all: f64,
    /// Share of greedy responses that the limit cut off.
    pub truncated: f64,
    pub outcomes: Shares,
    /// The same of all samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Spread>,
}

/// A map by numbers, whose keys are text in JSON. Said by hand, since `#[serde(flatten)]` around it leaves them text.
fn by_number<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<usize, f64>, D::Error> {
    let text: BTreeMap<String, f64> = Deserialize::deserialize(from)?;
    text.into_iter().map(|(k, value)| Ok((k.parse().map_err(D::Error::custom)?, value))).collect()
}

/// The records of all items, in their order.
///
/// None if a response is missing.
pub fn records(
    questions: &[Question],
    manner: &Manner,
    grader: Grader,
    responses: &Responses,
) -> Option<Vec<ItemRecord>> {
    let record = |question: &Question| {
        let problem = &question.problem;
        let judged = |sample: Option<usize>| {
            responses.get(&problem.id, &question.digest, sample).map(|response| judged(grader, response, problem))
        };
        Some(ItemRecord {
            id: problem.id.clone(),
            gold: problem.gold.clone(),
            prompt: question.text.clone(),
            greedy: judged(None)?,
            samples: (0..manner.samples).map(|sample| judged(Some(sample))).collect::<Option<_>>()?,
        })
    };
    questions.iter().map(record).collect()
}

fn judged(grader: Grader, response: Response, problem: &Problem) -> Judged {
    let Judgement { verdict, rule, answer } = grader.judge(&response.text, problem);
    let Response { text, length, ending, .. } = response;
    Judged { response: text, answer, verdict, rule: rule.to_string(), length, ending }
}

/// The k for which pass@k is given: powers of two, and all samples.
fn ks(samples: usize) -> Vec<usize> {
    let mut ks: Vec<usize> = (0..).map(|power| 1 << power).take_while(|k| *k <= samples).collect();
    if samples > 0 && ks.last() != Some(&samples) {
        ks.push(samples);
    }
    ks
}

/// The numbers of at least one record; every record has equally many samples.
pub fn numbers(records: &[ItemRecord], questions: &[Question], grader: Grader) -> Numbers {
    let scored = |judged: &Judged| Scored {
        answer: judged.answer.clone(),
        verdict: judged.verdict,
        length: judged.length,
        ending: judged.ending,
    };
    let greedy: Vec<Scored> = records.iter().map(|record| scored(&record.greedy)).collect();
    let sampled: Vec<Vec<Scored>> = records.iter().map(|record| record.samples.iter().map(scored).collect()).collect();
    let spread = Spread::of(&greedy.iter().map(std::slice::from_ref).collect::<Vec<_>>());
    let samples = sampled.first().map_or(0, Vec::len);
    let n = records.len() as f64;
    let right = |item: &Vec<Scored>| item.iter().filter(|scored| scored.verdict == Verdict::Correct).count();
    let pass = |k: usize| {
        let of = |item: &Vec<Scored>| pass_at_k(samples, right(item), k).expect("k is at most the number of samples");
        (k, sampled.iter().map(of).sum::<f64>() / n)
    };
    let mut pass_at_k: BTreeMap<usize, f64> = ks(samples).into_iter().map(pass).collect();
    let mut maj_at_k = BTreeMap::new();
    if samples == 0 {
        pass_at_k.insert(1, spread.accuracy);
    } else {
        let votes = |item: &Vec<Scored>| item.iter().map(|s| (s.answer.clone(), s.verdict)).collect::<Vec<_>>();
        let majority = |(item, question): &(&Vec<Scored>, &Question)| {
            majority_is_correct(&votes(item), |a, b| grader.same(a, b, &question.problem))
        };
        maj_at_k.insert(samples, sampled.iter().zip(questions).filter(majority).count() as f64 / n);
    }
    Numbers {
        accuracy: spread.accuracy,
        n: records.len(),
        stderr: spread.standard_error,
        pass_at_k,
        maj_at_k,
        response_length: spread.response_length,
        response_length_all: spread.response_length_all,
        truncated: spread.truncated,
        outcomes: spread.outcomes,
        sampled: (samples > 0).then(|| Spread::of(&sampled.iter().map(Vec::as_slice).collect::<Vec<_>>())),
    }
}

/// `summary.json`: the numbers, and everything that they depend on. Nothing in it depends on the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the person called the model.
    pub model: String,
    /// The benchmark's file name.
    pub benchmark: String,
    pub suite: String,
    #[serde(flatten)]
    pub numbers: Numbers,
    pub decoding: Decoding,
    pub prompt: PromptIdentity,
    /// Whose rules find and compare answers, with their version.
    pub extractor: String,
    /// Graded with the defects of the paper's harness.
    pub authors_compatible: bool,
    /// What those defects are for this suite, whether or not they were brought back.
    pub quirks: Vec<String>,
    /// Items that were left out because no answer could be right, by id.
    pub gold_problems: Vec<crate::task::suite::GoldProblem>,
    /// Items whose gold answer can't be read as mathematics, so that only its own spelling is right.
    pub spelled_golds: Vec<String>,
    pub content: Content,
}

/// The effective way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Of the response that `accuracy` counts: always 0, greedy.
    pub temperature: f64,
    pub max_new_tokens: usize,
    pub stop: Vec<String>,
    /// Sampled responses an item, for pass@k and maj@k, from the whole distribution.
    pub samples: usize,
    pub sample_temperature: f64,
    pub sample_top_p: f64,
    pub seed: u64,
}

/// Which prompt was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptIdentity {
    pub template: String,
    pub shots: usize,
    /// Version of the file with the examples; none for a prompt without.
    pub shots_version: Option<u32>,
    /// Whether the tokenizer's own begin token stands before the prompt.
    pub begin_token: bool,
}

/// Digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    pub weights: Key,
    pub tokenizer: Key,
    /// The family of devices that computed the responses.
    #[serde(default, skip_serializing_if = "Backend::is_cpu")]
    pub backend: Backend,
    pub benchmark: Key,
    /// The file of responses that the numbers were made from.
    pub responses: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_is_given_for_powers_of_two_and_all() {
        assert_eq!(ks(0), [] as [usize; 0]);
        assert_eq!(ks(1), [1]);
        assert_eq!(ks(6), [1, 2, 4, 6]);
        assert_eq!(ks(8), [1, 2, 4, 8]);
    }
}
