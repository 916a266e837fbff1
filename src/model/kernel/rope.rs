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
    /// Rotates the first `heads` heads of each row, rows `stride` apart, by the row's position.
    ///
    /// `turn` is 1, or -1 to rotate back, which is also the way gradients take.
    pub fn rotate(rows: &mut [f32], stride: usize, heads: usize, positions: &[usize], rotation: &Rotation, turn: f32) {
        let half = rotation.half;
        for (row, position) in rows.chunks_mut(stride).zip(positions) {
            let angles = position * half..(position + 1) * half;
            let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
            for head in row[..heads * 2 * half].chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    let (x, y, sin) = (*low, *high, turn * sin);
                    *low = x.mul_add(*cos, -(y * sin));
                    *high = y.mul_add(*cos, x * sin);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_lengths_and_turns_back() {
        let half = 4;
        let angle = |i: usize| (i / half) as f64 * 0.3 * (1 + i % half) as f64;
        let rotation = Rotation {
            half,
            cos: (0..8 * half).map(|i| angle(i).cos() as f32).collect(),
            sin: (0..8 * half).map(|i| angle(i).sin() as f32).collect(),
        };
        // Two rows of three heads, of which the last is left alone.
        let before: Vec<f32> = (0..48).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut rows = before.clone();
        rotate(&mut rows, 24, 2, &[0, 5], &rotation, 1.0);
        assert_eq!((&rows[..24], &rows[40..]), (&before[..24], &before[40..]));
        assert_ne!(rows[24..40], before[24..40]);
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
        assert!((length(&rows[24..32]) - length(&before[24..32])).abs() < 1e-4);
        rotate(&mut rows, 24, 2, &[0, 5], &rotation, -1.0);
        assert!(rows.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    #[test]
    fn gradients_go_back_the_way_the_rotation_came() {
        let rotation = Rotation { half: 2, cos: vec![0.8, -0.28], sin: vec![0.6, 0.96] };
        let (row, weights) = ([0.3, -1.2, 0.7, 2.0], [1.0, 0.5, -2.0, 0.25]);
        let value = |row: [f32; 4]| {
            let mut turned = row;
            rotate(&mut turned, 4, 1, &[0], &rotation, 1.0);
            turned.iter().zip(&weights).map(|(y, w)| y * w).sum::<f32>()
        };
        let mut gradient = weights;
        rotate(&mut gradient, 4, 1, &[0], &rotation, -1.0);
        for at in 0..4 {
            let nudge = |by: f32| {
                let mut row = row;
                row[at] += by;
                value(row)
            };
            let slope = (nudge(0.5) - nudge(-0.5)) / 1.0;
            assert!((slope - gradient[at]).abs() < 1e-5, "{at}: {slope} and {}", gradient[at]);
        }
    }
}
