//! The next token of every row, without its logits coming to the host.
//!
//! As the host draws: first the block of tokens that a random number falls in, then the place in the block. The device
//! sums weights by block and the host is sent the sums, then one block of each row: of 128,256 logits the 2004 sums and 64
//! of them. Which token a number falls on is the host's but for the rounding of sums.

use super::forward::{HIDDEN, Spread};
use crate::model::generate::Sampling;
use candle_core::{D, Device, Result, Tensor};

/// Tokens of a block.
const BLOCK: usize = 64;

/// What a wave's draws share.
pub struct Draws<'a> {
    sampling: &'a Sampling,
    /// [`HIDDEN`] at tokens that are never drawn, `[1, vocab]`; none if there are no such.
    banned: Option<Tensor>,
}

/// A token; its log-probability and the entropy are of the model itself, as in [`crate::model::generate::Completion`].
pub struct Drawn {
    pub token: u32,
    pub logprob: f32,
    pub entropy: f32,
}

impl<'a> Draws<'a> {
    pub fn new(sampling: &'a Sampling, vocab: usize, device: &Device) -> Result<Draws<'a>> {
        let mut hidden = vec![0.0; vocab];
        for token in &sampling.banned {
            if let Some(at) = hidden.get_mut(*token as usize) {
                *at = HIDDEN;
            }
        }
        let banned =
            if sampling.banned.is_empty() { None } else { Some(Tensor::from_vec(hidden, (1, vocab), device)?) };
        Ok(Draws { sampling, banned })
    }

    /// Of each row of logits `[rows, vocab]` the token that its number, in `[0, 1)`, falls on.
    pub fn tokens(&self, logits: &Tensor, uniforms: &[f32]) -> Result<Vec<Drawn>> {
        let Spread { powers, whole, entropy, .. } = Spread::of(logits)?;
        let allowed = match &self.banned {
            Some(banned) => logits.broadcast_add(banned)?,
            None => logits.clone(),
        };
        let temperature = self.sampling.temperature;
        let tokens = if temperature == 0.0 {
            allowed.argmax(D::Minus1)?.to_vec1::<u32>()?
        } else if temperature == 1.0 && self.banned.is_none() {
            fall(&powers, uniforms)?
        } else {
            let below = allowed.broadcast_sub(&allowed.max_keepdim(D::Minus1)?)?;
            fall(&(below * (1.0 / temperature) as f64)?.exp()?, uniforms)?
        };

        let chosen = Tensor::from_slice(&tokens, (tokens.len(), 1), logits.device())?;
        let said = Tensor::cat(&[(logits.gather(&chosen, 1)? - whole)?, entropy], 1)?.to_vec2::<f32>()?;
        let drawn = |(token, said): (u32, Vec<f32>)| Drawn { token, logprob: said[0], entropy: said[1] };
        Ok(tokens.into_iter().zip(said).map(drawn).collect())
    }
}

/// The index that each number falls on when the weights of its row, `[rows, vocab]`, are laid end to end.
fn fall(weights: &Tensor, uniforms: &[f32]) -> Result<Vec<u32>> {
    let (rows, vocab) = weights.dims2()?;
    let blocks = vocab.div_ceil(BLOCK);
    let weights = match blocks * BLOCK - vocab {
        0 => weights.clone(),
        short => weights.pad_with_zeros(1, 0, short)?,
    };
    let weights = weights.reshape((rows, blocks, BLOCK))?;
    let sums = weights.sum(D::Minus1)?.to_vec2::<f32>()?;
    let in_block = |(sums, uniform): (&Vec<f32>, &f32)| within(sums, uniform * sums.iter().sum::<f32>());
    let found: Vec<(usize, f32)> = sums.iter().zip(uniforms).map(in_block).collect();
    let chosen: Vec<u32> = found.iter().enumerate().map(|(row, (block, _))| (row * blocks + block) as u32).collect();
    let chosen = Tensor::new(chosen, weights.device())?;
    let chosen = weights.reshape((rows * blocks, BLOCK))?.index_select(&chosen, 0)?.to_vec2::<f32>()?;
    let place = |((block, left), weights): ((usize, f32), Vec<f32>)| (block * BLOCK + within(&weights, left).0) as u32;
    Ok(found.into_iter().zip(chosen).map(place).collect())
}

/// Where `left` falls, and what of it is left there. Rounding may carry it past the end: then it is the last weight that is
/// not 0.
fn within(weights: &[f32], mut left: f32) -> (usize, f32) {
    for (place, weight) in weights.iter().enumerate() {
        if left < *weight {
            return (place, left);
        }
        left -= weight;
    }
    let last = weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0);
    (last, weights.get(last).copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights_and_never_fall_on_zero() {
        for device in super::super::present() {
            let weight = |i: usize| if i.is_multiple_of(3) || i > 190 { 0.0 } else { (i % 5) as f32 };
            let weights: Vec<f32> = (0..200).map(weight).collect();
            let (total, draws) = (weights.iter().sum::<f32>(), 4000);
            let rows = Tensor::new(&weights[..], &device).unwrap().broadcast_as((draws, 200)).unwrap();
            let uniforms: Vec<f32> = (0..draws).map(|i| i as f32 / draws as f32).collect();
            let mut counts = vec![0; 200];
            let fallen = fall(&rows.contiguous().unwrap(), &uniforms).unwrap();
            fallen.into_iter().for_each(|token| counts[token as usize] += 1);
            for (weight, count) in weights.iter().zip(counts) {
                assert!((count as f32 / draws as f32 - weight / total).abs() < 5e-4 && (*weight > 0.0 || count == 0));
            }
            let last = Tensor::new(&[[0.0f32, 0.0, 1.0, 0.0]], &device).unwrap();
            assert_eq!(fall(&last, &[1.0 - f32::EPSILON / 2.0]).unwrap(), [2]);
        }
    }
}
