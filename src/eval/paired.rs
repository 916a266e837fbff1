//! Two models on the same items.
//!
//! Greedy outcomes are compared by McNemar's exact test, which is the sign test on the items that one model gets right and
//! the other doesn't. Sampled outcomes, a share an item, are compared by a permutation test that swaps the two models item
//! by item. Pairing is what makes a small difference visible: most items are right or wrong for both.

use super::summary::ItemRecord;
use crate::recipe::Seed;
use crate::task::Verdict;
use std::collections::BTreeMap;

/// Swaps tried by the permutation test where there are too many to try all.
const PERMUTATIONS: u32 = 20_000;
/// Up to this many items that differ, all swaps are tried.
const ALL_SWAPS: usize = 14;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairedError {
    #[error("failed to pair items: no id occurs in both evaluations")]
    Disjoint,
    #[error("failed to pair items: `{id}` has the gold answer `{left}` in one evaluation and `{right}` in the other")]
    Gold { id: String, left: String, right: String },
    #[error("failed to pair items: `{id}` occurs twice in one evaluation")]
    Twice { id: String },
}

/// Outcomes of two models, item by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    /// Items right for both, for one alone, and for neither.
    pub both: u64,
    pub only_left: u64,
    pub only_right: u64,
    pub neither: u64,
    /// Two-sided exact McNemar test: the probability of a split of the discordant items at least as uneven as this one
    /// if the models were equally good.
    pub p: f64,
    /// Accuracy of the left model less that of the right one.
    pub difference: Shift,
    /// The same of the shares of right samples, if both have any.
    pub sampled: Option<SampledShift>,
    /// Items that only one evaluation has; they take no part.
    pub unpaired: usize,
}

/// A mean of paired differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    pub mean: f64,
    /// Over items; none for a single one.
    pub standard_error: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledShift {
    pub shift: Shift,
    /// Two-sided permutation test.
    pub p: f64,
}

impl Pairing {
    pub fn items(&self) -> u64 {
        self.both + self.only_left + self.only_right + self.neither
    }
}

/// Compares two models by the items that both evaluations have.
pub fn pair(left: &[ItemRecord], right: &[ItemRecord]) -> Result<Pairing, PairedError> {
    let (left, right) = (by_id(left)?, by_id(right)?);
    let pairs: Vec<(&ItemRecord, &ItemRecord)> =
        left.iter().filter_map(|(id, item)| Some((*item, *right.get(id)?))).collect();
    if pairs.is_empty() {
        return Err(PairedError::Disjoint);
    }
    if let Some((a, b)) = pairs.iter().find(|(a, b)| a.gold != b.gold) {
        return Err(PairedError::Gold { id: a.id.clone(), left: a.gold.clone(), right: b.gold.clone() });
    }
    let right_share = |item: &ItemRecord| {
        let right = item.samples.iter().filter(|sample| sample.verdict == Verdict::Correct).count();
        right as f64 / item.samples.len() as f64
    };
    let correct = |item: &ItemRecord| item.greedy.verdict == Verdict::Correct;
    let mut counts = [0; 4];
    pairs.iter().for_each(|(a, b)| counts[2 * usize::from(correct(a)) + usize::from(correct(b))] += 1);
    let [neither, only_right, only_left, both] = counts;
    let greedy: Vec<f64> =
        pairs.iter().map(|(a, b)| f64::from(u8::from(correct(a))) - f64::from(u8::from(correct(b)))).collect();
    let sampled = pairs.iter().all(|(a, b)| !a.samples.is_empty() && !b.samples.is_empty()).then(|| {
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| right_share(a) - right_share(b)).collect();
        SampledShift { shift: shift(&differences), p: permutation_test(&differences) }
    });
    Ok(Pairing {
        both,
        only_left,
        only_right,
        neither,
        p: sign_test(only_left, only_right),
        difference: shift(&greedy),
        sampled,
        unpaired: left.len() + right.len() - 2 * pairs.len(),
    })
}

fn by_id(items: &[ItemRecord]) -> Result<BTreeMap<&str, &ItemRecord>, PairedError> {
    let mut found = BTreeMap::new();
    for item in items {
        if found.insert(item.id.as_str(), item).is_some() {
            return Err(PairedError::Twice { id: item.id.clone() });
        }
    }
    Ok(found)
}

fn shift(differences: &[f64]) -> Shift {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    Shift { mean, standard_error: (differences.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) }
}

/// Two-sided exact binomial test of a fair coin.
fn sign_test(left: u64, right: u64) -> f64 {
    let n = left + right;
    // ln C(n, i) - n ln 2, summed in linear space: terms below 1e-300 are nothing beside the largest.
    let mut ln_choose = 0.0;
    let mut tail = 0.0;
    for i in 0..=left.min(right) {
        tail += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
        ln_choose += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// The probability of a sum of differences at least this large, in either direction, if each had either sign with equal
/// probability. Exact for few items; else from a fixed set of random swaps, with the observed one among them.
fn permutation_test(differences: &[f64]) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    // Sums of the same terms in another order differ in their last digits.
    let observed = differences.iter().sum::<f64>().abs() - 1e-9;
    let signed = |swapped: &mut dyn FnMut(usize) -> bool| {
        let terms = differences
            .iter()
            .enumerate()
            .map(|(item, difference)| if swapped(item) { -difference } else { *difference });
        terms.sum::<f64>().abs() >= observed
    };
    if differences.len() <= ALL_SWAPS {
        let all = 1u32 << differences.len();
        let extreme = (0..all).filter(|swaps| signed(&mut |item| swaps >> item & 1 == 1)).count();
        return extreme as f64 / f64::from(all);
    }
    let stream = Seed(0).stream("permutation test");
    let extreme = (0..PERMUTATIONS).filter(|index| {
        let mut rng = stream.at(&[u64::from(*index)]);
        signed(&mut |_| rng.chance(0.5))
    });
    (extreme.count() as f64 + 1.0) / (f64::from(PERMUTATIONS) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::summary::Judged;
    use crate::task::Ending;

    fn judged(correct: bool) -> Judged {
        Judged {
            response: String::new(),
            answer: None,
            verdict: if correct { Verdict::Correct } else { Verdict::Wrong },
            rule: "number".into(),
            length: 1,
            ending: Ending::Eos,
        }
    }

    fn item(id: usize, correct: bool, samples: &[bool]) -> ItemRecord {
        ItemRecord {
            id: id.to_string(),
            gold: "1".into(),
            prompt: String::new(),
            greedy: judged(correct),
            samples: samples.iter().map(|correct| judged(*correct)).collect(),
        }
    }

    #[test]
    fn the_sign_test_is_exact() {
        for (left, right, p) in
            [(0, 0, 1.0), (1, 0, 1.0), (0, 5, 0.0625), (2, 8, 112.0 / 1024.0), (5, 5, 1.0), (0, 10, 2.0 / 1024.0)]
        {
            assert!((sign_test(left, right) - p).abs() < 1e-12, "{left} {right}: {}", sign_test(left, right));
            assert_eq!(sign_test(left, right), sign_test(right, left));
        }
        assert!(sign_test(2000, 1000) < 1e-50);
    }

    #[test]
    fn only_discordant_items_decide() {
        let left: Vec<ItemRecord> = (0..20).map(|id| item(id, id < 15, &[])).collect();
        let right: Vec<ItemRecord> = (0..25).rev().map(|id| item(id, id < 10, &[])).collect();
        let pairing = pair(&left, &right).unwrap();
        assert_eq!((pairing.both, pairing.only_left, pairing.only_right, pairing.neither), (10, 5, 0, 5));
        assert_eq!((pairing.items(), pairing.unpaired, pairing.sampled), (20, 5, None));
        assert!((pairing.p - 0.0625).abs() < 1e-12);
        assert!((pairing.difference.mean - 0.25).abs() < 1e-12);
    }

    #[test]
    fn swapping_items_tells_how_often_chance_does_as_well() {
        // Five differences of the same sign and size: two of 32 swaps are as extreme.
        assert!((permutation_test(&[0.5, 0.5, 0.5, 0.5, 0.5, 0.0]) - 2.0 / 32.0).abs() < 1e-12);
        assert_eq!(permutation_test(&[0.0, 0.0]), 1.0);
        assert_eq!(permutation_test(&[0.25, -0.25]), 1.0);
        // Many items: the sign test's tail, within the error of the draws.
        let many: Vec<f64> = (0..40).map(|item| if item < 27 { 1.0 } else { -1.0 }).collect();
        assert!((permutation_test(&many) - sign_test(27, 13)).abs() < 0.01);
    }

    #[test]
    fn samples_are_compared_where_both_have_them() {
        let left: Vec<ItemRecord> = (0..6).map(|id| item(id, true, &[true, true])).collect();
        let right: Vec<ItemRecord> = (0..6).map(|id| item(id, true, &[true, false])).collect();
        let sampled = pair(&left, &right).unwrap().sampled.unwrap();
        assert!((sampled.shift.mean - 0.5).abs() < 1e-12 && (sampled.p - 2.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn other_items_are_refused() {
        assert_eq!(pair(&[item(0, true, &[])], &[item(1, true, &[])]), Err(PairedError::Disjoint));
        let other = ItemRecord { gold: "2".into(), ..item(0, true, &[]) };
        let error = pair(&[item(0, true, &[])], &[other]).unwrap_err().to_string();
        assert!(error.contains("`0` has the gold answer `1`"), "{error}");
        assert!(pair(&[item(0, true, &[]), item(0, true, &[])], &[item(0, true, &[])]).is_err());
    }
}
