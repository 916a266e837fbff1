//! How often at least one of `k` answers is right, and whether most of them are.

use crate::task::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    #[error("failed to estimate pass@{k}: {samples} samples are too few; draw at least {k}")]
    TooFewSamples { samples: usize, k: usize },
    #[error("failed to estimate pass@0: k counts answers and starts at 1")]
    Zero,
    #[error("failed to estimate pass@k: {correct} of {samples} samples cannot be correct")]
    TooManyCorrect { samples: usize, correct: usize },
}

/// Unbiased estimate of the probability that at least one of `k` answers to one question is right, from `samples`
/// answers of which `correct` are right: `1 - C(samples - correct, k) / C(samples, k)` (Chen et al., arXiv 2107.03374).
pub fn pass_at_k(samples: usize, correct: usize, k: usize) -> Result<f64, PassError> {
    if k == 0 {
        return Err(PassError::Zero);
    }
    if k > samples {
        return Err(PassError::TooFewSamples { samples, k });
    }
    if correct > samples {
        return Err(PassError::TooManyCorrect { samples, correct });
    }
    let wrong = samples - correct;
    if wrong < k {
        return Ok(1.0);
    }
    let all_wrong: f64 = (wrong + 1..=samples).map(|n| 1.0 - k as f64 / n as f64).product();
    Ok(1.0 - all_wrong)
}

/// Whether the most frequent answer is right (maj@n). Responses without an answer have no vote; of equally frequent
/// answers the one given first wins. `same` tells answers apart: an answer votes with the first that it is the same as.
pub fn majority_is_correct(votes: &[(Option<String>, Verdict)], same: impl Fn(&str, &str) -> bool) -> bool {
    let mut ballots: Vec<(&str, usize, Verdict)> = Vec::new();
    for (answer, verdict) in votes {
        let Some(answer) = answer else { continue };
        match ballots.iter_mut().find(|(text, ..)| same(text, answer)) {
            Some((_, count, _)) => *count += 1,
            None => ballots.push((answer, 1, *verdict)),
        }
    }
    let most = ballots.iter().map(|(_, count, _)| *count).max();
    ballots.iter().find(|(_, count, _)| Some(*count) == most).is_some_and(|(.., verdict)| *verdict == Verdict::Correct)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition itself: the share of all k-subsets with at least one right answer.
    fn by_enumeration(samples: usize, correct: usize, k: usize) -> f64 {
        let subsets = (0u32..1 << samples).filter(|set| set.count_ones() as usize == k);
        let (mut hits, mut all) = (0, 0);
        for set in subsets {
            all += 1;
            hits += usize::from(set & ((1 << correct) - 1) != 0);
        }
        hits as f64 / all as f64
    }

    #[test]
    fn pass_at_k_is_the_share_of_subsets_with_a_right_answer() {
        for samples in 1..9 {
            for correct in 0..=samples {
                for k in 1..=samples {
                    let ours = pass_at_k(samples, correct, k).unwrap();
                    let exact = by_enumeration(samples, correct, k);
                    assert!((ours - exact).abs() < 1e-12, "{samples} {correct} {k}: {ours} {exact}");
                }
            }
        }
    }

    #[test]
    fn pass_at_k_refuses_what_it_cannot_know() {
        assert_eq!(pass_at_k(4, 1, 5), Err(PassError::TooFewSamples { samples: 4, k: 5 }));
        assert_eq!(pass_at_k(4, 5, 2), Err(PassError::TooManyCorrect { samples: 4, correct: 5 }));
        assert_eq!(pass_at_k(4, 1, 0), Err(PassError::Zero));
    }

    #[test]
    fn the_first_of_the_most_frequent_answers_wins() {
        let vote = |text: &str| {
            let verdict = if text.parse() == Ok(7.0) { Verdict::Correct } else { Verdict::Wrong };
            (Some(text.to_string()), verdict)
        };
        let silent = (None, Verdict::NoAnswer);
        let majority = |votes: &[(Option<String>, Verdict)]| majority_is_correct(votes, |a, b| a == b);
        assert!(majority(&[vote("7"), vote("8"), vote("7")]));
        assert!(!majority(&[vote("8"), vote("7")]));
        assert!(majority(&[silent.clone(), silent.clone(), vote("7")]));
        assert!(!majority(&[silent]));
        assert!(!majority(&[]));
        // Spellings of one answer vote together.
        let spelled = [vote("8"), vote("8"), vote("7"), vote("07"), vote("7.0")];
        assert!(!majority(&spelled));
        assert!(majority_is_correct(&spelled, |a, b| a.parse::<f64>() == b.parse::<f64>()));
    }
}
