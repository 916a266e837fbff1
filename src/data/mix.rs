//! Which rows a training run reads, and in which order.
//!
//! Shares are shares of *tokens*: rows are handed out to corpora by largest remainder, so what a run reads equals what the
//! mixture says to within one row a corpus, whatever the documents' lengths. The alternative, drawing a corpus for each
//! row, is a lottery that differs between seeds, and mixture shares are what experiments here are about.
//!
//! A row is `row_tokens` ids and as many targets, each the id after it. Rows of a corpus are read in an order that its key
//! and the seed decide; corpora are spread evenly over the run. Everything is fixed at the start: `batch` has no state, so
//! a resumed run reads what an uninterrupted one would.

use super::shards::Shards;
use crate::recipe::train::Boundary;
use crate::recipe::{Key, Seed, Tokens, TrainRecipe};

/// A mixture that can't be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixError {
    #[error("failed to mix corpora: the mixture names {expected} and {found} were given")]
    Count { expected: usize, found: usize },
    #[error(
        "failed to mix corpora: the share of corpus {index} is {share}, expected a number from 0 to 1, and not all 0"
    )]
    Share { index: usize, share: f64 },
    #[error("failed to mix corpora: corpus {index} is named twice; add the shares")]
    Twice { index: usize },
    #[error("failed to mix corpora: rows of {row_tokens} tokens, {batch_rows} to a step; both must be at least 1")]
    EmptyBatch { row_tokens: usize, batch_rows: usize },
    #[error(
        "failed to mix corpora: corpus {index} should give {needed} tokens and has {available} in whole rows for \
         {epochs} epoch(s); make the corpus larger, the budget or its share smaller, or allow more epochs"
    )]
    TooSmall { index: usize, needed: Tokens, available: Tokens, epochs: u32 },
}

/// The rows of one optimizer step, end to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowBatch {
    pub ids: Vec<u32>,
    /// The id that follows each of `ids` in its corpus.
    pub targets: Vec<u32>,
    /// Where segments begin; the last entry is the number of ids. Attention and positions restart at each.
    pub starts: Vec<usize>,
}

/// All rows of a run, in order.
#[derive(Debug, Clone)]
pub struct Mix {
    corpora: Vec<Shards>,
    /// Corpus and row within it.
    rows: Vec<(u32, u32)>,
    row_tokens: usize,
    batch_rows: usize,
    boundary: Boundary,
}

impl Mix {
    /// `corpora` in the order of the recipe's mixture.
    pub fn new(recipe: &TrainRecipe, corpora: &[Shards]) -> Result<Mix, MixError> {
        let TrainRecipe { row_tokens, batch_rows, epochs, .. } = *recipe;
        if row_tokens == 0 || batch_rows == 0 {
            return Err(MixError::EmptyBatch { row_tokens, batch_rows });
        }
        if corpora.len() != recipe.mixture.len() {
            return Err(MixError::Count { expected: recipe.mixture.len(), found: corpora.len() });
        }
        let keys: Vec<Key> = recipe.mixture.iter().map(|part| part.corpus).collect();
        if let Some(index) = (0..keys.len()).find(|index| keys[..*index].contains(&keys[*index])) {
            return Err(MixError::Twice { index });
        }
        let shares: Vec<f64> = recipe.mixture.iter().map(|part| part.share).collect();
        let counts = apportion(recipe.steps().0 * batch_rows as u64, &shares)?;
        let mut orders = Vec::with_capacity(corpora.len());
        for (index, (corpus, count)) in corpora.iter().zip(&counts).enumerate() {
            let available = (corpus.len() - 1) / row_tokens as u64;
            if *count > available * epochs as u64 {
                let tokens = |rows| Tokens(rows * row_tokens as u64);
                let (needed, available) = (tokens(*count), tokens(available * epochs as u64));
                return Err(MixError::TooSmall { index, needed, available, epochs });
            }
            orders.push(order(recipe.seed, keys[index], available, *count));
        }
        let rows = interleave(&counts).map(|(corpus, nth)| (corpus as u32, orders[corpus][nth as usize])).collect();
        Ok(Mix { corpora: corpora.to_vec(), rows, row_tokens, batch_rows, boundary: recipe.boundary })
    }

    /// Optimizer steps in the run.
    pub fn steps(&self) -> u64 {
        (self.rows.len() / self.batch_rows) as u64
    }

    /// Size of the largest vocabulary among the corpora.
    pub fn vocab(&self) -> usize {
        self.corpora.iter().map(Shards::vocab).max().unwrap_or(0)
    }

    /// Tokens that the run reads of each corpus, in mixture order.
    pub fn realised(&self) -> Vec<Tokens> {
        let mut tokens = vec![Tokens(0); self.corpora.len()];
        for (corpus, _) in &self.rows {
            tokens[*corpus as usize].0 += self.row_tokens as u64;
        }
        tokens
    }

    /// The rows of a step. Panics at or beyond [`Mix::steps`].
    pub fn batch(&self, step: u64) -> RowBatch {
        let first = step as usize * self.batch_rows;
        let length = self.batch_rows * self.row_tokens;
        let (mut ids, mut targets) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut starts = Vec::with_capacity(self.batch_rows + 1);
        for (corpus, row) in &self.rows[first..first + self.batch_rows] {
            let corpus = &self.corpora[*corpus as usize];
            let begin = *row as u64 * self.row_tokens as u64;
            let here = ids.len();
            starts.push(here);
            if self.boundary == Boundary::Document {
                let inside = corpus.starts_within(begin + 1, begin + self.row_tokens as u64);
                starts.extend(inside.map(|at| here + (at - begin) as usize));
            }
            ids.extend(corpus.ids(begin, self.row_tokens));
            targets.extend(corpus.ids(begin + 1, self.row_tokens));
        }
        starts.push(ids.len());
        RowBatch { ids, targets, starts }
    }
}

/// Rows for each share by largest remainder; ties go to the earlier corpus.
fn apportion(rows: u64, shares: &[f64]) -> Result<Vec<u64>, MixError> {
    let sum: f64 = shares.iter().sum();
    if shares.is_empty() {
        return Err(MixError::Count { expected: 1, found: 0 });
    }
    if let Some(index) = shares.iter().position(|share| !(0.0..=1.0).contains(share) || sum <= 0.0) {
        return Err(MixError::Share { index, share: shares[index] });
    }
    let exact: Vec<f64> = shares.iter().map(|share| share / sum * rows as f64).collect();
    let mut counts: Vec<u64> = exact.iter().map(|rows| rows.floor() as u64).collect();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    let remainder = |index: usize| exact[index] - exact[index].floor();
    by_remainder.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)).then(a.cmp(b)));
    let left = rows - counts.iter().sum::<u64>();
    for index in by_remainder.into_iter().take(left as usize) {
        counts[index] += 1;
    }
    debug_assert_eq!(counts.iter().sum::<u64>(), rows);
    Ok(counts)
}

/// The first `count` rows of a corpus: all of them in one random order, then all in another, and so on.
fn order(seed: Seed, corpus: Key, available: u64, count: u64) -> Vec<u32> {
    let available = u32::try_from(available).expect("a corpus has fewer than 2^32 rows");
    // The corpus is addressed by what it is, so that arms that share it read it in the same order.
    let address = u64::from_str_radix(&corpus.to_string()[..16], 16).expect("a key is written in hex");
    let mut rows = Vec::with_capacity(count as usize);
    for epoch in 0.. {
        if rows.len() as u64 >= count {
            break;
        }
        let mut all: Vec<u32> = (0..available).collect();
        seed.stream("order").at(&[address, epoch]).shuffle(&mut all);
        all.truncate(count as usize - rows.len());
        rows.extend(all);
    }
    rows
}

/// Spreads each corpus evenly: its row `n` of `count` wants to stand at `(n + ½) / count` of the run. Yields `(corpus, n)`.
fn interleave(counts: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    let mut places: Vec<(usize, u64)> =
        counts.iter().enumerate().flat_map(|(corpus, count)| (0..*count).map(move |nth| (corpus, nth))).collect();
    let counts = counts.to_vec();
    places.sort_by(|(a, n), (b, m)| {
        let left = (2 * n + 1) as u128 * counts[*b] as u128;
        let right = (2 * m + 1) as u128 * counts[*a] as u128;
        left.cmp(&right).then(a.cmp(b))
    });
    places.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Optimizer;
    use crate::recipe::optimizer::{AdamW, DecayMask};
    use crate::recipe::schedule::Schedule;
    use crate::recipe::train::{Init, MixturePart, Precision};
    use proptest::prelude::*;

    fn recipe(shares: &[f64], tokens: u64) -> TrainRecipe {
        let part = |(index, share): (usize, &f64)| MixturePart { corpus: Key::of(&[index as u8]), share: *share };
        let adamw = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay: DecayMask::All };
        TrainRecipe {
            init: Init::From { weights: Key::of(b"weights") },
            mixture: shares.iter().enumerate().map(part).collect(),
            tokens: Tokens(tokens),
            row_tokens: 8,
            batch_rows: 4,
            boundary: Boundary::Row,
            epochs: 1,
            schedule: Schedule::Constant { warmup: 0.0 },
            optimizer: Optimizer::AdamW(adamw),
            max_grad_norm: 1.0,
            precision: Precision::F32,
            seed: Seed(3),
            held_out: None,
        }
    }

    /// Corpus `index` counts `index · 10000 + 1, …` in documents of five ids.
    fn corpus(index: u32, tokens: u32) -> Shards {
        let dir = tempfile::tempdir().unwrap();
        let document = |nth: u32| (1..=5).map(|id| index * 10_000 + nth * 5 + id).collect();
        Shards::write(dir.path(), &mut (0..tokens / 6).map(document), 100_000, 0).unwrap();
        Shards::open(dir.path()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn realised_tokens_are_the_shares_to_within_a_row(
            weights in prop::collection::vec(0.001f64..1.0, 1..6), rows in 1u64..5000
        ) {
            let sum: f64 = weights.iter().sum();
            let counts = apportion(rows, &weights.iter().map(|w| w / sum).collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(counts.iter().sum::<u64>(), rows);
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!((*count as f64 - weight / sum * rows as f64).abs() < 1.0 + 1e-6);
            }
        }

        #[test]
        fn every_stretch_of_a_run_holds_the_shares(a in 1u64..200, b in 1u64..200, c in 1u64..200) {
            let counts = [a, b, c];
            let places: Vec<(usize, u64)> = interleave(&counts).collect();
            for end in 1..=places.len() {
                for (corpus, count) in counts.iter().enumerate() {
                    let seen = places[..end].iter().filter(|(of, _)| *of == corpus).count() as f64;
                    let fair = end as f64 * *count as f64 / (a + b + c) as f64;
                    prop_assert!((seen - fair).abs() < 2.0, "{} of {} after {}", seen, fair, end);
                }
            }
        }
    }

    #[test]
    fn a_run_reads_each_row_once_and_the_declared_shares() {
        let corpora = [corpus(0, 2000), corpus(1, 600)];
        let mix = Mix::new(&recipe(&[0.8, 0.2], 1600), &corpora).unwrap();
        assert_eq!(mix.steps(), 50);
        assert_eq!(mix.realised(), [Tokens(1280), Tokens(320)]);
        let mut seen = std::collections::HashSet::new();
        for step in 0..mix.steps() {
            let batch = mix.batch(step);
            assert_eq!(batch.starts, [0, 8, 16, 24, 32]);
            for row in 0..4 {
                let ids = &batch.ids[8 * row..8 * row + 8];
                assert_eq!(ids[1..], batch.targets[8 * row..8 * row + 7], "targets are the ids shifted by one");
                assert!(seen.insert(ids.to_vec()), "row read twice: {ids:?}");
            }
        }
    }

    #[test]
    fn batches_do_not_depend_on_the_order_in_which_they_are_read() {
        let corpora = [corpus(0, 2000), corpus(1, 600)];
        let recipe = recipe(&[0.8, 0.2], 1600);
        let mix = Mix::new(&recipe, &corpora).unwrap();
        let forwards: Vec<RowBatch> = (0..50).map(|step| mix.batch(step)).collect();
        let again = Mix::new(&recipe, &corpora).unwrap();
        assert!((0..50).rev().all(|step| again.batch(step) == forwards[step as usize]));
        let other = Mix::new(&TrainRecipe { seed: Seed(4), ..recipe }, &corpora).unwrap();
        assert_ne!(other.batch(0), forwards[0]);
    }

    #[test]
    fn segments_start_where_documents_do() {
        let corpora = [corpus(0, 2000)];
        let recipe = TrainRecipe { boundary: Boundary::Document, ..recipe(&[1.0], 1600) };
        let mix = Mix::new(&recipe, &corpora).unwrap();
        for step in 0..mix.steps() {
            let batch = mix.batch(step);
            let expected: Vec<usize> = (0..32).filter(|at| at % 8 == 0 || batch.ids[*at] == 0).chain([32]).collect();
            assert_eq!(batch.starts, expected);
        }
    }

    #[test]
    fn asking_for_more_than_there_is_names_the_corpus() {
        let corpora = [corpus(0, 2000), corpus(1, 300)];
        let recipe = recipe(&[0.8, 0.2], 1600);
        let error = Mix::new(&recipe, &corpora).unwrap_err();
        let (needed, available) = (Tokens(320), Tokens(296));
        assert_eq!(error, MixError::TooSmall { index: 1, needed, available, epochs: 1 });
        assert!(error.to_string().contains("corpus 1 should give 320 tokens and has 296"), "{error}");
        let mix = Mix::new(&TrainRecipe { epochs: 2, ..recipe.clone() }, &corpora).unwrap();
        assert_eq!(mix.realised(), [Tokens(1280), Tokens(320)]);
        let twice = TrainRecipe { mixture: vec![recipe.mixture[0].clone(), recipe.mixture[0].clone()], ..recipe };
        assert_eq!(Mix::new(&twice, &corpora).unwrap_err(), MixError::Twice { index: 1 });
    }

    #[test]
    fn arms_that_share_a_corpus_read_it_in_the_same_order() {
        let all = Mix::new(&recipe(&[1.0], 320), &[corpus(0, 2000)]).unwrap();
        let some = Mix::new(&recipe(&[0.5, 0.5], 320), &[corpus(0, 2000), corpus(1, 2000)]).unwrap();
        let of_first = |mix: &Mix| mix.rows.iter().filter(|(c, _)| *c == 0).map(|(_, r)| *r).collect::<Vec<_>>();
        assert_eq!(of_first(&some), of_first(&all)[..of_first(&some).len()]);
    }
}
