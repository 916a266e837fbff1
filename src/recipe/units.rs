//! Amounts with their unit in the type: nothing that counts tokens or steps is a bare `usize`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tokens(pub u64);

/// A number of optimizer steps (training) or rollout steps (RL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Steps(pub u64);

impl fmt::Display for Tokens {
    /// `20B`, `1.5M`, `300k`, `12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        let (value, unit) = match self.0 {
            0..1_000 => return write!(f, "{}", self.0),
            1_000..1_000_000 => (n / 1e3, "k"),
            1_000_000..1_000_000_000 => (n / 1e6, "M"),
            1_000_000_000..1_000_000_000_000 => (n / 1e9, "B"),
            _ => (n / 1e12, "T"),
        };
        let text = format!("{value:.2}");
        write!(f, "{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_print_as_people_write_them() {
        for (n, text) in [(0, "0"), (999, "999"), (1_500, "1.5k"), (2_000_000, "2M"), (20_000_000_000, "20B")] {
            assert_eq!(Tokens(n).to_string(), text);
        }
    }
}
