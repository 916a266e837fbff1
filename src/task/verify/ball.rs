//! Real numbers as balls: a 256-bit midpoint and a bound on its error.
//!
//! Two balls that do not touch are different numbers, without doubt; two that touch with radii below 2⁻¹²⁸ of their
//! size are taken as equal. Doubles cannot decide this: `e^{\pi\sqrt{163}}` is within 10⁻³⁰ of a whole number.

use super::budget::Stop;
use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// Bits of a midpoint.
pub const PRECISION: u64 = 256;
/// Largest binary exponent of a midpoint.
pub const MAX_EXPONENT: i64 = 1 << 40;

/// `mid · 2^exponent`, off by at most `2^error`.
#[derive(Debug, Clone)]
pub struct Ball {
    pub mid: BigInt,
    pub exponent: i64,
    /// log2 of the error bound; −∞ where exact.
    pub error: f64,
}

/// log2(2^a + 2^b), rounded up.
pub fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + (low - high).exp2().ln_1p() * std::f64::consts::LOG2_E + 1e-6
}

/// Shifts left, or right with floor.
pub fn shift(x: &BigInt, by: i64) -> BigInt {
    if by >= 0 { x << by as u64 } else { x >> by.unsigned_abs() }
}

impl Ball {
    pub fn zero() -> Ball {
        Ball { mid: BigInt::zero(), exponent: 0, error: f64::NEG_INFINITY }
    }

    pub fn integer(n: i64) -> Ball {
        Ball { mid: BigInt::from(n), exponent: 0, error: f64::NEG_INFINITY }
    }

    /// Rounds the midpoint to the precision and pays for it in the error.
    pub fn new(mid: BigInt, exponent: i64, error: f64) -> Result<Ball, Stop> {
        let bits = mid.bits();
        let mut ball = Ball { mid, exponent, error };
        if bits > PRECISION {
            let by = bits - PRECISION;
            ball.mid = &ball.mid >> by;
            ball.exponent += by as i64;
            ball.error = log_add(ball.error, ball.exponent as f64);
        }
        if ball.exponent.abs() > MAX_EXPONENT { Err(Stop::Budget) } else { Ok(ball) }
    }

    pub fn rational(r: &BigRational) -> Ball {
        let (n, d) = (r.numer(), r.denom());
        let exact = d.is_one() && n.bits() <= PRECISION;
        let by = if exact { 0 } else { (PRECISION + 8 + d.bits()) as i64 - n.bits() as i64 };
        let mid = if by >= 0 { (n << by as u64) / d } else { n / (d << by.unsigned_abs()) };
        let error = if exact { f64::NEG_INFINITY } else { -by as f64 };
        Ball { mid, exponent: -by, error }
    }

    pub fn is_exact_zero(&self) -> bool {
        self.mid.is_zero() && self.error == f64::NEG_INFINITY
    }

    /// Upper bound of log2 |midpoint|.
    pub fn size(&self) -> f64 {
        if self.mid.is_zero() { f64::NEG_INFINITY } else { (self.exponent + self.mid.bits() as i64) as f64 }
    }

    /// Upper bound of log2 of the largest magnitude in the ball.
    fn reach(&self) -> f64 {
        log_add(self.size(), self.error)
    }

    /// Lower bound of log2 of the smallest magnitude, where the ball stays clear of zero.
    fn clear(&self) -> Option<f64> {
        let low = self.size() - 1.0;
        (low > self.error + 1.0).then_some(low - 1.0)
    }

    pub fn contains_zero(&self) -> bool {
        self.clear().is_none()
    }

    /// The sign, where it is certain.
    pub fn sign(&self) -> Option<i8> {
        self.clear()?;
        Some(if self.mid.is_negative() { -1 } else { 1 })
    }

    pub fn negate(&self) -> Ball {
        Ball { mid: -&self.mid, ..*self }
    }

    pub fn add(&self, other: &Ball) -> Result<Ball, Stop> {
        let (a, b) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if b.mid.is_zero() || a.mid.is_zero() {
            let kept = if b.mid.is_zero() { a } else { b };
            return Ok(Ball { error: log_add(a.error, b.error), ..kept.clone() });
        }
        let error = log_add(a.error, b.error);
        let gap = (a.exponent - b.exponent) as u64;
        if gap > 4 * PRECISION {
            return Ok(Ball { error: log_add(error, b.size()), ..a.clone() });
        }
        Ball::new((&a.mid << gap) + &b.mid, b.exponent, error)
    }

    pub fn sub(&self, other: &Ball) -> Result<Ball, Stop> {
        self.add(&other.negate())
    }

    pub fn mul(&self, other: &Ball) -> Result<Ball, Stop> {
        let error = if self.error == f64::NEG_INFINITY && other.error == f64::NEG_INFINITY {
            f64::NEG_INFINITY
        } else {
            log_add(log_add(self.size() + other.error, other.size() + self.error), self.error + other.error)
        };
        let error = if error.is_nan() { f64::NEG_INFINITY } else { error };
        Ball::new(&self.mid * &other.mid, self.exponent + other.exponent, error)
    }

    pub fn div(&self, other: &Ball) -> Result<Ball, Stop> {
        if other.is_exact_zero() {
            return Err(Stop::Undefined);
        }
        let low = other.clear().ok_or(Stop::Precision)?;
        let by = (PRECISION + 8 + other.mid.bits()) as i64 - self.mid.bits() as i64;
        let by = by.max(0);
        let mid = (&self.mid << by as u64) / &other.mid;
        let exponent = self.exponent - other.exponent - by;
        let error = log_add(self.error - low, self.reach() + other.error - 2.0 * low);
        Ball::new(mid, exponent, log_add(error, exponent as f64))
    }

    pub fn sqrt(&self) -> Result<Ball, Stop> {
        if self.is_exact_zero() {
            return Ok(Ball::zero());
        }
        let Some(low) = self.clear() else {
            // Somewhere in [0, reach]: the root too.
            return Ok(Ball { mid: BigInt::zero(), exponent: 0, error: self.reach() / 2.0 + 1.0 });
        };
        let mut by = (2 * PRECISION + 16) as i64 - self.mid.bits() as i64;
        by = by.max(0);
        by += (self.exponent - by).rem_euclid(2);
        let exponent = (self.exponent - by) / 2;
        let mid = (&self.mid << by as u64).sqrt();
        let error = log_add(self.error - 1.0 - low / 2.0 + 1.0, exponent as f64);
        Ball::new(mid, exponent, error)
    }

    /// Do the balls touch? `None` where they do but are too wide for that to mean equality.
    pub fn equals(&self, other: &Ball) -> Option<bool> {
        let Ok(difference) = self.sub(other) else { return None };
        if difference.size() - 1.0 > difference.error {
            return Some(false);
        }
        let size = self.size().max(other.size());
        let tight = difference.error <= size - 128.0 || difference.error <= -192.0;
        tight.then_some(true)
    }

    /// The midpoint as a fixed-point number with `bits` fractional bits.
    pub fn fixed(&self, bits: i64) -> BigInt {
        shift(&self.mid, self.exponent + bits)
    }

    /// The whole number nearest the midpoint, if it is not huge.
    pub fn nearest(&self) -> Option<i64> {
        if self.size() > 60.0 {
            return None;
        }
        let twice = self.fixed(1);
        i64::try_from((twice + 1) >> 1u32).ok()
    }

    /// The midpoint as a double, where it fits.
    pub fn to_f64(&self) -> f64 {
        let bits = self.mid.bits() as i64;
        let top = shift(&self.mid, 60 - bits);
        let top = i64::try_from(&top).unwrap_or(0) as f64;
        top * ((self.exponent + bits - 60).clamp(-1000, 1000) as f64).exp2()
    }

    pub fn is_negative(&self) -> bool {
        self.mid.sign() == Sign::Minus
    }
}
