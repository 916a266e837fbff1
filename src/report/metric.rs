//! What a metric is called and in which unit it is shown.

/// How the numbers of a metric are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Multiplied before printing: shares are shown as percentages.
    pub percent: bool,
    /// After a value, and after a difference.
    pub value: &'static str,
    pub difference: &'static str,
    pub decimals: usize,
}

const SHARE: Unit = Unit { percent: true, value: "%", difference: "points", decimals: 1 };
const TOKENS: Unit = Unit { percent: false, value: "tokens", difference: "tokens", decimals: 1 };
const PLAIN: Unit = Unit { percent: false, value: "", difference: "", decimals: 3 };

impl Unit {
    pub fn of(metric: &str) -> Unit {
        match base(metric).trim_end_matches("_sampled") {
            m if m.starts_with("pass@") => SHARE,
            "accuracy" | "truncated" | "clip_fraction" | "correct" | "wrong" | "no_answer" | "gave_up" => SHARE,
            "response_length" | "response_length_all" => TOKENS,
            _ => PLAIN,
        }
    }

    pub fn scale(self, value: f64) -> f64 {
        if self.percent { value * 100.0 } else { value }
    }
}

/// `rl.accuracy/math500` → `accuracy`.
pub fn base(metric: &str) -> &str {
    let name = metric.split_once('/').map_or(metric, |(name, _)| name);
    name.split_once('.').map_or(name, |(_, name)| name)
}

/// The metric in words, capitalised, without stage and benchmark.
pub fn title(metric: &str) -> String {
    let base = base(metric);
    if let Some(greedy) = base.strip_suffix("_sampled") {
        return title(greedy) + ", sampled";
    }
    match base {
        "accuracy" => "Accuracy".into(),
        "response_length" => "Response length, correct".into(),
        "response_length_all" => "Response length, all".into(),
        "truncated" => "Truncated responses".into(),
        "entropy" => "Entropy".into(),
        "reward" => "Mean reward".into(),
        other => {
            let mut words = other.replace('_', " ");
            if let Some(first) = words.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            words
        }
    }
}

/// `rl.accuracy/math500` as a phrase: `accuracy on MATH500 after RL`.
pub fn phrase(metric: &str) -> String {
    let (name, bench) = metric.split_once('/').unwrap_or((metric, ""));
    let (stage, _) = name.split_once('.').unwrap_or(("", name));
    let mut text = title(metric);
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_lowercase();
    }
    if !bench.is_empty() && bench != "all" {
        text += &format!(" on {}", benchmark(bench));
    }
    text + &match stage {
        "" => String::new(),
        "rl" => " after RL".to_string(),
        "rl0" => " before RL".to_string(),
        "gain" => ", gain by RL".to_string(),
        "peak" => " at its best during RL".to_string(),
        "base" => " of the base model".to_string(),
        stage => format!(" after stage {stage}"),
    }
}

/// A benchmark as a column is headed.
pub fn benchmark(name: &str) -> String {
    match name {
        "all" => "All benchmarks".into(),
        "" => "Training".into(),
        "math500" => "MATH500".into(),
        "gsm8k" => "GSM8K".into(),
        "olympiadbench" => "OlympiadBench".into(),
        "amc23" => "AMC23".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_in_the_paper() {
        assert_eq!(phrase("rl.accuracy/math500"), "accuracy on MATH500 after RL");
        assert_eq!(phrase("gain.accuracy_sampled/all"), "accuracy, sampled, gain by RL");
        assert_eq!(phrase("peak.accuracy/math500"), "accuracy on MATH500 at its best during RL");
        assert_eq!(phrase("stable.response_length/gsm8k"), "response length, correct on GSM8K after stage stable");
        assert_eq!(title("rl.grad_norm"), "Grad norm");
        assert_eq!(title("rl.truncated_sampled/all"), "Truncated responses, sampled");
        assert_eq!(Unit::of("rl.response_length_sampled/all"), Unit::of("rl.response_length/all"));
        assert!(Unit::of("rl.accuracy/all").percent && Unit::of("pass@8").percent && !Unit::of("rl.entropy").percent);
    }
}
