//! The only source of randomness.
//!
//! Every random number is addressed: `seed.stream("rollout").at(&[step, prompt, sample])`. There is no generator that
//! several places share and advance, so nothing depends on the order in which work is done, on how many threads do it,
//! or on where an interrupted run was taken up again.
//!
//! A stream is SHA-256(seed, purpose); an address is SHA-256(stream, indices), which keys a ChaCha8 generator. Hashing
//! costs a few hundred nanoseconds an address, which is nothing beside what is done with the numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A replicate of an arm. Arms share seeds, so that comparisons between arms are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// All random numbers of one purpose under one seed.
#[derive(Debug, Clone)]
pub struct Stream([u8; 32]);

/// A generator for one address of a stream.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Seed {
    /// The stream of one purpose, such as `"init"`, `"order"` or `"rollout"`. Streams of different purposes are independent.
    pub fn stream(self, purpose: &str) -> Stream {
        let mut hash = Sha256::new();
        hash.update(b"ablate stream v1\0");
        hash.update(self.0.to_le_bytes());
        hash.update(purpose.as_bytes());
        Stream(hash.finalize().into())
    }
}

impl Stream {
    /// The generator at an address, e.g. `[step, prompt, sample]`.
    pub fn at(&self, address: &[u64]) -> Rng {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for index in address {
            hash.update(index.to_le_bytes());
        }
        Rng(ChaCha8Rng::from_seed(hash.finalize().into()))
    }
}

impl Rng {
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)` with 24 bits.
    pub fn f32(&mut self) -> f32 {
        (self.u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub fn f64(&mut self) -> f64 {
        (self.u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..n` without bias. Panics if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0) has no value");
        // Lemire's method: multiply, and reject the few values that would bias the low bucket.
        let mut product = self.u64() as u128 * n as u128;
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = self.u64() as u128 * n as u128;
            }
        }
        (product >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.f64() < p
    }

    /// One item, uniformly. Panics if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// An index drawn in proportion to `weights`, which need not sum to 1 but must have a positive sum.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.f64() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.iter().rposition(|weight| *weight > 0.0).expect("weights have a positive sum")
    }

    /// Standard normal by Box–Muller (one of the pair; the other is dropped so that a draw has a fixed cost).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.f64()).cos()
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_golden() {
        let mut rng = Seed(0).stream("init").at(&[0]);
        let drawn: Vec<u64> = (0..3).map(|_| rng.u64()).collect();
        assert_eq!(
            drawn, GOLDEN,
            "the random streams changed: every key and every number would silently mean something else"
        );
    }
    const GOLDEN: [u64; 3] = [8_711_194_628_142_526_899, 16_851_779_915_970_808_831, 8_900_140_790_647_805_323];

    #[test]
    fn addresses_and_purposes_are_independent() {
        let draw = |seed, purpose, at: &[u64]| Seed(seed).stream(purpose).at(at).u64();
        let base = draw(1, "rollout", &[1, 2]);
        assert_eq!(base, draw(1, "rollout", &[1, 2]));
        assert_ne!(base, draw(2, "rollout", &[1, 2]));
        assert_ne!(base, draw(1, "order", &[1, 2]));
        assert_ne!(base, draw(1, "rollout", &[2, 1]));
        assert_ne!(base, draw(1, "rollout", &[1]));
    }

    #[test]
    fn draws_stay_in_range_and_cover_it() {
        let mut rng = Seed(7).stream("test").at(&[]);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
            let x = rng.f32();
            assert!((0.0..1.0).contains(&x));
            assert!((-3..=3).contains(&rng.range(-3, 3)));
            assert_eq!(rng.weighted(&[0.0, 1.0, 0.0]), 1);
        }
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
        let normals: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = normals.iter().sum::<f64>() / normals.len() as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / normals.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }
}
