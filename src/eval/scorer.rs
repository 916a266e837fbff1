//! Asks a model every question of a protocol and judges what it says.
//!
//! A sampled answer's generator is addressed by (benchmark, item, sample), so it is the same for every model, batch size
//! and number of threads. There is no few-shot prompt here: a template holds its examples, if it has any.

use super::passk::PassError;
use super::tally::{BenchmarkResult, Evaluation, Item, Scored};
use crate::data::{Tokenizer, TokenizerError};
use crate::model::generate::{Prompt, Sampling, generate};
use crate::model::{Decoder, DeviceError};
use crate::recipe::EvalProtocol;
use crate::task::{Judgement, Problem, Response, judge, respond};

/// Prompts answered at once. A matter of memory and speed alone.
const BATCH: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error("failed to evaluate on `{benchmark}`: it has no items")]
    Empty { benchmark: String },
    #[error("failed to make the prompt of `{benchmark}` item `{id}`: {source}")]
    Prompt { benchmark: String, id: String, source: TokenizerError },
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error("failed to evaluate: {0}")]
    Device(#[from] DeviceError),
}

/// Scores a model on named benchmarks, in the order given.
///
/// Errors if a benchmark is empty, if a question can't be encoded, or if the protocol asks for a pass@k with more answers
/// than it draws.
pub fn evaluate(
    model: &Decoder,
    protocol: &EvalProtocol,
    benchmarks: &[(String, Vec<Problem>)],
    tokenizer: &Tokenizer,
    threads: usize,
) -> Result<Evaluation, EvalError> {
    evaluate_in_batches(model, protocol, benchmarks, tokenizer, threads, BATCH)
}

fn evaluate_in_batches(
    model: &Decoder,
    protocol: &EvalProtocol,
    benchmarks: &[(String, Vec<Problem>)],
    tokenizer: &Tokenizer,
    threads: usize,
    batch: usize,
) -> Result<Evaluation, EvalError> {
    if let Some(&k) = protocol.pass_at.iter().find(|&&k| k > protocol.samples) {
        return Err(PassError::TooFewSamples { samples: protocol.samples, k }.into());
    }
    let mut results = Vec::new();
    for (name, problems) in benchmarks {
        if problems.is_empty() {
            return Err(EvalError::Empty { benchmark: name.clone() });
        }
        let asker = Asker { model, protocol, name, tokenizer, threads };
        let prompts = asker.prompts(problems)?;
        let (mut items, mut greedy, mut sampled) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..problems.len()).step_by(batch) {
            let range = start..(start + batch).min(problems.len());
            let once = asker.ask(&prompts[range.clone()], start, 1, 0.0)?;
            let often = asker.ask(&prompts[range.clone()], start, protocol.samples, protocol.temperature)?;
            for ((problem, once), often) in problems[range].iter().zip(once).zip(often) {
                let often: Vec<Scored> = often.into_iter().map(|response| asker.score(&response, problem).0).collect();
                let (scored, judgement) = asker.score(&once[0], problem);
                items.push(asker.item(problem, &once[0], judgement, &often));
                greedy.push(scored);
                sampled.push(often);
            }
        }
        results.push(BenchmarkResult::of(name, items, &greedy, &sampled, &protocol.pass_at)?);
    }
    Ok(Evaluation { benchmarks: results })
}

/// One model before one benchmark.
struct Asker<'a> {
    model: &'a Decoder,
    protocol: &'a EvalProtocol,
    name: &'a str,
    tokenizer: &'a Tokenizer,
    threads: usize,
}

impl Asker<'_> {
    fn prompts(&self, problems: &[Problem]) -> Result<Vec<Vec<u32>>, EvalError> {
        let ids = |problem: &Problem| {
            self.tokenizer.prompt(&self.protocol.template, &problem.question).map_err(|source| EvalError::Prompt {
                benchmark: self.name.to_string(),
                id: problem.id.clone(),
                source,
            })
        };
        problems.iter().map(ids).collect()
    }

    /// `samples` responses to each prompt; the first prompt is item `first` of the benchmark.
    fn ask(
        &self,
        prompts: &[Vec<u32>],
        first: usize,
        samples: usize,
        temperature: f64,
    ) -> Result<Vec<Vec<Response>>, DeviceError> {
        if samples == 0 {
            return Ok(vec![vec![]; prompts.len()]);
        }
        let stream = self.protocol.seed.stream(&format!("eval {}", self.name));
        let draw = |prompt: usize, sample: usize| stream.at(&[(first + prompt) as u64, sample as u64]);
        let sampling = Sampling {
            temperature: temperature as f32,
            max_new: self.protocol.max_new_tokens,
            eos: self.tokenizer.eos(),
            banned: self.tokenizer.pad().into_iter().collect(),
        };
        let asked: Vec<Prompt> = prompts.iter().map(|ids| Prompt { ids: ids.clone(), samples }).collect();
        let read = |tokens: &[u32]| {
            respond(&self.protocol.template, tokens, self.tokenizer.eos(), |ids| self.tokenizer.decode(ids))
        };
        let completions = generate(self.model, &asked, &sampling, &draw, self.threads)?;
        Ok(completions.iter().map(|group| group.iter().map(|completion| read(&completion.tokens)).collect()).collect())
    }

    fn score(&self, response: &Response, problem: &Problem) -> (Scored, Judgement) {
        let judgement = judge(&response.text, &problem.gold, self.protocol.template.extract);
        let scored = Scored {
            answer: judgement.answer.clone(),
            verdict: judgement.verdict,
            length: response.tokens,
            ending: response.ending,
        };
        (scored, judgement)
    }

    fn item(&self, problem: &Problem, response: &Response, judgement: Judgement, sampled: &[Scored]) -> Item {
        let right = |scored: &&Scored| scored.verdict == crate::task::Verdict::Correct;
        Item {
            benchmark: self.name.to_string(),
            id: problem.id.clone(),
            gold: problem.gold.clone(),
            response: response.text.clone(),
            answer: judgement.answer,
            verdict: judgement.verdict,
            rule: judgement.rule.to_string(),
            length: response.tokens,
            ending: response.ending,
            sampled: sampled.len(),
            sampled_correct: sampled.iter().filter(right).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::WordTokenizer;
    use crate::recipe::shape::{Architecture, ModelShape};
    use crate::recipe::template::{Extract, Template};
    use crate::recipe::{EvalProtocol, Seed};
    use crate::task::{Ending, Verdict};

    fn tokenizer() -> Tokenizer {
        Tokenizer::Words(WordTokenizer::new(["1", "2", "3", "a", "b", ":"].map(str::to_string)))
    }

    fn model() -> Decoder {
        let shape = ModelShape {
            architecture: Architecture::Llama,
            vocab: tokenizer().vocab_size(),
            hidden: 32,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
            ffn: 32,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            tied: true,
        };
        Decoder::random(shape, 0.05, 0.2, Seed(1))
    }

    fn protocol() -> EvalProtocol {
        EvalProtocol {
            benchmarks: vec![],
            template: Template {
                after: " :".into(),
                extract: Extract::LastNumber,
                stop: vec!["3 3".into()],
                ..Template::default()
            },
            max_new_tokens: 5,
            samples: 6,
            temperature: 1.0,
            pass_at: vec![1, 4],
            seed: Seed(5),
        }
    }

    fn benchmarks() -> Vec<(String, Vec<Problem>)> {
        let problem = |id: usize| Problem {
            id: format!("item-{id}"),
            question: ["a", "b", "a a b", "b 1 b 2"][id % 4].into(),
            gold: ["1", "2", "3"][id % 3].into(),
        };
        vec![("first".into(), (0..9).map(problem).collect()), ("second".into(), (3..7).map(problem).collect())]
    }

    #[test]
    fn neither_batch_nor_threads_change_a_result() {
        let score = |batch, threads| {
            evaluate_in_batches(&model(), &protocol(), &benchmarks(), &tokenizer(), threads, batch).unwrap()
        };
        let expected = score(128, 1);
        for (batch, threads) in [(1, 1), (1, 2), (4, 2), (128, 2), (7, 1)] {
            assert_eq!(score(batch, threads), expected, "batch {batch}, {threads} threads");
        }
        assert!(expected.items().any(|item| item.sampled_correct > 0), "the test tests nothing");
    }

    #[test]
    fn numbers_agree_with_the_items_behind_them() {
        let evaluation = evaluate(&model(), &protocol(), &benchmarks(), &tokenizer(), 1).unwrap();
        for (result, (name, problems)) in evaluation.benchmarks.iter().zip(benchmarks()) {
            assert_eq!((&result.name, result.items.len()), (&name, problems.len()));
            let n = problems.len() as f64;
            let correct = result.items.iter().filter(|item| item.verdict == Verdict::Correct).count() as f64;
            assert_eq!(result.greedy.accuracy, correct / n);
            let sampled: usize = result.items.iter().map(|item| item.sampled_correct).sum();
            let spread = result.sampled.unwrap();
            assert!((spread.accuracy - sampled as f64 / (6.0 * n)).abs() < 1e-12);
            assert!((result.pass_at[0].1 - spread.accuracy).abs() < 1e-12, "pass@1 is the mean accuracy");
            assert!(result.pass_at[1].1 >= result.pass_at[0].1);
            for (item, problem) in result.items.iter().zip(&problems) {
                assert_eq!((&item.id, &item.gold, item.sampled), (&problem.id, &problem.gold, 6));
                assert!(item.length <= 5 && !item.response.contains("3 3"));
                assert!(item.ending != Ending::Length || item.length == 5);
            }
        }
        let text = serde_json::to_string(&evaluation).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation);
    }

    #[test]
    fn without_samples_there_are_greedy_numbers_only() {
        let protocol = EvalProtocol { samples: 0, pass_at: vec![], ..protocol() };
        let evaluation = evaluate(&model(), &protocol, &benchmarks(), &tokenizer(), 1).unwrap();
        assert!(evaluation.benchmarks.iter().all(|result| result.sampled.is_none() && result.majority.is_none()));
        assert!(evaluation.rows().iter().all(|row| !row.metric.contains("sampled")));
    }

    #[test]
    fn mistaken_protocols_are_refused() {
        let error = |protocol: &EvalProtocol, benchmarks: &[(String, Vec<Problem>)]| {
            evaluate(&model(), protocol, benchmarks, &tokenizer(), 1).unwrap_err().to_string()
        };
        let greedy = EvalProtocol { samples: 3, ..protocol() };
        assert!(error(&greedy, &benchmarks()).contains("pass@4: 3 samples"));
        assert!(error(&protocol(), &[("empty".into(), vec![])]).contains("`empty`: it has no items"));
        let mut strange = benchmarks();
        strange[1].1[0].question = "c".into();
        assert!(error(&protocol(), &strange).contains("`second` item `item-3`"));
    }
}
