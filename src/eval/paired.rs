//! Two models on the same items.

use super::tally::Item;
use crate::task::Verdict;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairedError {
    #[error("failed to pair items: one model has {left}, the other {right}")]
    Count { left: usize, right: usize },
    #[error("failed to pair items: item {index} is `{left}` for one model and `{right}` for the other")]
    Identity { index: usize, left: String, right: String },
}

/// Greedy outcomes of two models, item by item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairing {
    pub both: u64,
    pub only_left: u64,
    pub only_right: u64,
    pub neither: u64,
    /// Two-sided exact McNemar test: the probability of a split of the discordant items at least as uneven as this one
    /// if the models were equally good.
    pub p: f64,
}

/// Compares two models by their greedy outcomes; the items must be the same in the same order.
pub fn mcnemar(left: &[Item], right: &[Item]) -> Result<Pairing, PairedError> {
    if left.len() != right.len() {
        return Err(PairedError::Count { left: left.len(), right: right.len() });
    }
    let mut counts = [0; 4];
    for (index, (left, right)) in left.iter().zip(right).enumerate() {
        if (&left.benchmark, &left.id) != (&right.benchmark, &right.id) {
            let name = |item: &Item| format!("{}/{}", item.benchmark, item.id);
            return Err(PairedError::Identity { index, left: name(left), right: name(right) });
        }
        let correct = |item: &Item| usize::from(item.verdict == Verdict::Correct);
        counts[2 * correct(left) + correct(right)] += 1;
    }
    let [neither, only_right, only_left, both] = counts;
    Ok(Pairing { both, only_left, only_right, neither, p: sign_test(only_left, only_right) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Ending;

    fn item(id: usize, correct: bool) -> Item {
        Item {
            benchmark: "b".into(),
            id: id.to_string(),
            gold: "1".into(),
            response: String::new(),
            answer: None,
            verdict: if correct { Verdict::Correct } else { Verdict::Wrong },
            rule: "integer".into(),
            length: 1,
            ending: Ending::Eos,
            sampled: 0,
            sampled_correct: 0,
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
        let left: Vec<Item> = (0..20).map(|id| item(id, id < 15)).collect();
        let right: Vec<Item> = (0..20).map(|id| item(id, id < 10)).collect();
        let pairing = mcnemar(&left, &right).unwrap();
        assert_eq!((pairing.both, pairing.only_left, pairing.only_right, pairing.neither), (10, 5, 0, 5));
        assert!((pairing.p - 0.0625).abs() < 1e-12);
    }

    #[test]
    fn other_items_are_refused() {
        assert!(matches!(mcnemar(&[item(0, true)], &[]), Err(PairedError::Count { left: 1, right: 0 })));
        let error = mcnemar(&[item(0, true)], &[item(1, true)]).unwrap_err();
        assert!(error.to_string().contains("`b/0`"), "{error}");
    }
}
