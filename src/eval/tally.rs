//! Per-item outcomes, and the numbers made of them.

use super::passk::{PassError, majority_is_correct, pass_at_k};
use crate::task::{Ending, Verdict};
use serde::{Deserialize, Serialize};

/// One item's outcome, as kept in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub benchmark: String,
    pub id: String,
    pub gold: String,
    /// The greedy response and what was found in it.
    pub response: String,
    pub answer: Option<String>,
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
    /// Response tokens.
    pub length: usize,
    pub ending: Ending,
    /// Sampled responses, and how many of them are right.
    pub sampled: usize,
    pub sampled_correct: usize,
}

/// One response as far as the numbers need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    pub answer: Option<String>,
    pub verdict: Verdict,
    pub length: usize,
    pub ending: Ending,
}

/// Shares of the four outcomes; they sum to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    pub correct: f64,
    pub wrong: f64,
    pub no_answer: f64,
    pub gave_up: f64,
}

/// Numbers of one way of answering (greedily, or by sampling).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub accuracy: f64,
    /// Standard error of the accuracy over items; none for a single item.
    pub standard_error: Option<f64>,
    /// Mean tokens of the correct responses; none if nothing is correct.
    pub response_length: Option<f64>,
    /// Mean tokens of all responses.
    pub response_length_all: f64,
    /// Share of responses that the length limit cut off.
    pub truncated: f64,
    pub outcomes: Shares,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkResult {
    pub name: String,
    pub greedy: Spread,
    /// Over all samples of all items; none if the protocol draws none.
    pub sampled: Option<Spread>,
    /// `(k, pass@k)`, means over items.
    pub pass_at: Vec<(usize, f64)>,
    /// Share of items whose most frequent sampled answer is right; answers are told apart by their text.
    pub majority: Option<f64>,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub benchmarks: Vec<BenchmarkResult>,
}

/// One number of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// A benchmark's name, or `all` for the mean over benchmarks with equal weights.
    pub benchmark: String,
    pub metric: String,
    pub value: f64,
}

impl Spread {
    /// From the responses to each item; every item has equally many, and there is at least one.
    pub fn of(items: &[&[Scored]]) -> Spread {
        let responses = || items.iter().flat_map(|item| item.iter());
        let count = responses().count() as f64;
        let share = |wanted: Verdict| responses().filter(|response| response.verdict == wanted).count() as f64 / count;
        let correct = || responses().filter(|response| response.verdict == Verdict::Correct);
        let tokens =
            |lengths: &mut dyn Iterator<Item = &Scored>| lengths.map(|response| response.length).sum::<usize>() as f64;
        let accuracies: Vec<f64> = items
            .iter()
            .map(|item| item.iter().filter(|r| r.verdict == Verdict::Correct).count() as f64 / item.len() as f64)
            .collect();
        Spread {
            accuracy: share(Verdict::Correct),
            standard_error: standard_error(&accuracies),
            response_length: correct().next().map(|_| tokens(&mut correct()) / correct().count() as f64),
            response_length_all: tokens(&mut responses()) / count,
            truncated: responses().filter(|response| response.ending == Ending::Length).count() as f64 / count,
            outcomes: Shares {
                correct: share(Verdict::Correct),
                wrong: share(Verdict::Wrong),
                no_answer: share(Verdict::NoAnswer),
                gave_up: share(Verdict::GaveUp),
            },
        }
    }

    /// Names and values; what is undefined is `None`.
    fn rows(&self, suffix: &str) -> Vec<(String, Option<f64>)> {
        let named = |name: &str, value| (format!("{name}{suffix}"), value);
        vec![
            named("accuracy", Some(self.accuracy)),
            named("standard_error", self.standard_error),
            named("response_length", self.response_length),
            named("response_length_all", Some(self.response_length_all)),
            named("truncated", Some(self.truncated)),
            named("wrong", Some(self.outcomes.wrong)),
            named("no_answer", Some(self.outcomes.no_answer)),
            named("gave_up", Some(self.outcomes.gave_up)),
        ]
    }
}

/// Standard error of a mean: unbiased standard deviation over √n.
fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

impl BenchmarkResult {
    /// `greedy` has one response an item, `sampled` as many as the protocol draws.
    pub fn of(
        name: &str,
        items: Vec<Item>,
        greedy: &[Scored],
        sampled: &[Vec<Scored>],
        pass_at: &[usize],
    ) -> Result<BenchmarkResult, PassError> {
        let drawn = sampled.iter().any(|item| !item.is_empty());
        let right = |item: &Vec<Scored>| item.iter().filter(|response| response.verdict == Verdict::Correct).count();
        let pass = |k: usize| -> Result<(usize, f64), PassError> {
            let passes: Result<Vec<f64>, PassError> =
                sampled.iter().map(|item| pass_at_k(item.len(), right(item), k)).collect();
            Ok((k, passes?.iter().sum::<f64>() / sampled.len() as f64))
        };
        let majority = || {
            let votes = |item: &Vec<Scored>| item.iter().map(|r| (r.answer.clone(), r.verdict)).collect::<Vec<_>>();
            let right = |item: &&Vec<Scored>| majority_is_correct(&votes(item), |a, b| a == b);
            sampled.iter().filter(right).count() as f64 / sampled.len() as f64
        };
        Ok(BenchmarkResult {
            name: name.to_string(),
            greedy: Spread::of(&greedy.iter().map(std::slice::from_ref).collect::<Vec<_>>()),
            sampled: drawn.then(|| Spread::of(&sampled.iter().map(Vec::as_slice).collect::<Vec<_>>())),
            pass_at: pass_at.iter().map(|&k| pass(k)).collect::<Result<_, _>>()?,
            majority: drawn.then(majority),
            items,
        })
    }

    fn rows(&self) -> Vec<(String, Option<f64>)> {
        let mut rows = self.greedy.rows("");
        if let Some(sampled) = &self.sampled {
            rows.extend(sampled.rows("_sampled"));
        }
        rows.extend(self.pass_at.iter().map(|(k, value)| (format!("pass@{k}"), Some(*value))));
        rows.extend(self.majority.map(|value| ("majority".to_string(), Some(value))));
        rows
    }
}

impl Evaluation {
    /// Every number, benchmark after benchmark, and last their means under `all`. An undefined number has no row, and a
    /// mean over benchmarks exists only where all of them have the number. The standard error of a mean takes the
    /// benchmarks as independent.
    pub fn rows(&self) -> Vec<Row> {
        let per_benchmark: Vec<Vec<(String, Option<f64>)>> =
            self.benchmarks.iter().map(BenchmarkResult::rows).collect();
        let mut rows = Vec::new();
        for (benchmark, values) in self.benchmarks.iter().zip(&per_benchmark) {
            for (metric, value) in values {
                let benchmark = benchmark.name.clone();
                rows.extend(value.map(|value| Row { benchmark, metric: metric.clone(), value }));
            }
        }
        let count = per_benchmark.len() as f64;
        for (index, (metric, _)) in per_benchmark.first().into_iter().flatten().enumerate() {
            let values: Option<Vec<f64>> = per_benchmark.iter().map(|values| values[index].1).collect();
            let Some(values) = values else { continue };
            let value = if metric.starts_with("standard_error") {
                values.iter().map(|error| error * error).sum::<f64>().sqrt() / count
            } else {
                values.iter().sum::<f64>() / count
            };
            rows.push(Row { benchmark: "all".to_string(), metric: metric.clone(), value });
        }
        rows
    }

    /// All items, benchmark after benchmark.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.benchmarks.iter().flat_map(|benchmark| &benchmark.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(verdict: Verdict, length: usize, ending: Ending) -> Scored {
        Scored { answer: None, verdict, length, ending }
    }

    #[test]
    fn response_length_is_over_correct_responses_only() {
        let responses = [
            scored(Verdict::Correct, 10, Ending::Eos),
            scored(Verdict::Wrong, 40, Ending::Length),
            scored(Verdict::NoAnswer, 40, Ending::Length),
            scored(Verdict::Correct, 20, Ending::Eos),
        ];
        let items: Vec<&[Scored]> = responses.iter().map(std::slice::from_ref).collect();
        let spread = Spread::of(&items);
        assert_eq!((spread.accuracy, spread.response_length, spread.response_length_all), (0.5, Some(15.0), 27.5));
        assert_eq!((spread.truncated, spread.outcomes.wrong, spread.outcomes.no_answer), (0.5, 0.25, 0.25));
        // Unbiased variance of 0, 0, 1, 1 is 1/3.
        assert!((spread.standard_error.unwrap() - (1.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&items[1..3]).response_length, None);
        assert_eq!(Spread::of(&items[..1]).standard_error, None);
    }

    #[test]
    fn what_one_benchmark_lacks_has_no_mean() {
        let result = |name: &str, verdict| {
            BenchmarkResult::of(name, vec![], &[scored(verdict, 4, Ending::Eos)], &[vec![]], &[]).unwrap()
        };
        let benchmarks = vec![result("a", Verdict::Correct), result("b", Verdict::Wrong)];
        let rows = Evaluation { benchmarks }.rows();
        let value = |benchmark: &str, metric: &str| {
            rows.iter().find(|row| row.benchmark == benchmark && row.metric == metric).map(|row| row.value)
        };
        assert_eq!(value("all", "accuracy"), Some(0.5));
        assert_eq!((value("a", "response_length"), value("b", "response_length")), (Some(4.0), None));
        assert_eq!(value("all", "response_length"), None);
        assert_eq!(value("all", "accuracy_sampled"), None);
    }
}
