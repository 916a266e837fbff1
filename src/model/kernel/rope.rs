//! Rotary position embeddings, rotate-half as in Hugging Face checkpoints, with Llama 3's frequency scaling.

use crate::recipe::ModelShape;
use std::f64::consts::TAU;

/// Cosines and sines for positions `0..positions`, each row of width `head_dim / 2`.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    pub half: usize,
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
}

impl Rotation {
    /// Angles are products in f32, as the reference implementation takes them.
    pub fn new(shape: &ModelShape, positions: usize) -> Rotation {
        let half = shape.head_dim / 2;
        let frequencies: Vec<f32> = (0..half).map(|pair| frequency(shape, pair)).collect();
        let angle = |index: usize| (index / half) as f32 * frequencies[index % half];
        let cos = (0..positions * half).map(|index| (angle(index) as f64).cos() as f32).collect();
        let sin = (0..positions * half).map(|index| (angle(index) as f64).sin() as f32).collect();
        Rotation { half, cos, sin }
    }

    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }
}

fn frequency(shape: &ModelShape, pair: usize) -> f32 {
    let plain = 1.0 / shape.rope_theta.powf(2.0 * pair as f64 / shape.head_dim as f64);
    let Some(scaling) = &shape.rope_scaling else { return plain as f32 };
    // Long waves are stretched by the factor, short ones kept, those between interpolated (transformers `_compute_llama3_parameters`).
    let context = scaling.original_max_position_embeddings as f64;
    let wavelength = TAU / plain;
    let scaled = if wavelength > context / scaling.low_freq_factor {
        plain / scaling.factor
    } else if wavelength < context / scaling.high_freq_factor {
        plain
    } else {
        let blend =
            (context / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        (1.0 - blend) * plain / scaling.factor + blend * plain
    };
    scaled as f32
}

vectorised! {
    /// Rotates every head of one row in place: `cos` and `sin` are those of the row's position.
    pub fn rotate(row: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        for head in row.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for index in 0..half {
                let (x, y) = (low[index], high[index]);
                low[index] = x.mul_add(cos[index], -(y * sin[index]));
                high[index] = y.mul_add(cos[index], x * sin[index]);
            }
        }
    }

    /// The transpose of [`rotate`]: turns a gradient back.
    pub fn rotate_back(row: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        for head in row.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for index in 0..half {
                let (x, y) = (low[index], high[index]);
                low[index] = x.mul_add(cos[index], y * sin[index]);
                high[index] = y.mul_add(cos[index], -(x * sin[index]));
            }
        }
    }
}
