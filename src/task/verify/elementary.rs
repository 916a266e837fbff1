//! Exponential, logarithm, sine, cosine and angle of balls, by Taylor series in fixed point.

use super::ball::{Ball, shift};
use super::budget::Stop;
use num_bigint::BigInt;
use num_traits::{One, Zero};
use std::sync::OnceLock;

/// Fractional bits inside the series.
const BITS: i64 = 352;
/// Fractional bits of the constants, so that large arguments can be reduced.
const LONG: i64 = 448;
/// Bound on the error of a series, in bits; generous.
const SERIES: f64 = -280.0;

/// `scale · atan(1/n)` or, with `hyperbolic`, `scale · atanh(1/n)`.
fn inverse_series(n: i64, scale: i64, hyperbolic: bool) -> BigInt {
    let square = BigInt::from(n * n);
    let mut term = (BigInt::from(scale) << (LONG + 32) as u64) / n;
    let mut sum = BigInt::zero();
    let mut k = 1i64;
    while !term.is_zero() {
        let part = &term / k;
        if hyperbolic || k % 4 == 1 {
            sum += part;
        } else {
            sum -= part;
        }
        term /= &square;
        k += 2;
    }
    sum >> 32u32
}

fn pi_long() -> &'static BigInt {
    static PI: OnceLock<BigInt> = OnceLock::new();
    PI.get_or_init(|| inverse_series(5, 16, false) - inverse_series(239, 4, false))
}

fn ln2_long() -> &'static BigInt {
    static LN2: OnceLock<BigInt> = OnceLock::new();
    LN2.get_or_init(|| inverse_series(26, 18, true) - inverse_series(4801, 2, true) + inverse_series(8749, 8, true))
}

pub fn pi() -> Result<Ball, Stop> {
    Ball::new(pi_long().clone(), -LONG, -(LONG as f64) + 8.0)
}

fn one() -> BigInt {
    BigInt::one() << BITS as u64
}

fn times(a: &BigInt, b: &BigInt) -> BigInt {
    (a * b) >> BITS as u64
}

/// exp(r) for a small fixed-point r.
fn exp_fixed(r: &BigInt) -> BigInt {
    const HALVINGS: u32 = 10;
    let r = r >> HALVINGS;
    let mut sum = one() + &r;
    let mut term = r.clone();
    let mut k = 2;
    while !term.is_zero() && term != BigInt::from(-1) {
        term = times(&term, &r) / k;
        sum += &term;
        k += 1;
    }
    for _ in 0..HALVINGS {
        sum = times(&sum, &sum);
    }
    sum
}

pub fn exp(x: &Ball) -> Result<Ball, Stop> {
    if x.size() > 30.0 {
        return Err(Stop::Budget);
    }
    if x.error > -4.0 {
        return Err(Stop::Precision);
    }
    let fixed = x.fixed(LONG);
    let turns = &fixed / ln2_long();
    let rest = shift(&(fixed - &turns * ln2_long()), BITS - LONG);
    let turns = i64::try_from(&turns).map_err(|_| Stop::Budget)?;
    let mid = exp_fixed(&rest);
    let size = (mid.bits() as i64 - BITS + turns) as f64;
    let error = super::ball::log_add(size + SERIES, size + x.error + 1.0);
    Ball::new(mid, turns - BITS, error)
}

/// The natural logarithm of a ball of positive numbers.
pub fn ln(x: &Ball) -> Result<Ball, Stop> {
    if x.is_exact_zero() {
        return Err(Stop::Undefined);
    }
    if x.sign() != Some(1) {
        return Err(Stop::Precision);
    }
    let bits = x.mid.bits() as i64;
    // x = m · 2^k with m in [1/2, 1).
    let k = x.exponent + bits;
    let m = shift(&x.mid, BITS - bits);
    let guess = Ball { mid: m.clone(), exponent: -BITS, error: 0.0 }.to_f64().ln();
    let guess = BigInt::from((guess * (1i64 << 53) as f64) as i64) << (BITS - 53) as u64;
    // m · exp(−guess) = 1 + d, and ln(1 + d) = 2 atanh(d / (2 + d)).
    let d = times(&m, &exp_fixed(&-&guess)) - one();
    let s = (&d << BITS as u64) / (&d + (one() << 1u32));
    let square = times(&s, &s);
    let mut term = s;
    let mut sum = BigInt::zero();
    let mut n = 1;
    while !term.is_zero() && term != BigInt::from(-1) && n < 64 {
        sum += &term / n;
        term = times(&term, &square);
        n += 2;
    }
    let fixed = guess + (sum << 1u32) + shift(&(ln2_long() * k), BITS - LONG);
    // d ln(x) = dx / x, and |x| ≥ 2^(k−1) − error.
    let error = super::ball::log_add(SERIES, x.error - (k as f64 - 2.0));
    Ball::new(fixed, -BITS, error)
}

/// (sin x, cos x).
pub fn sin_cos(x: &Ball) -> Result<(Ball, Ball), Stop> {
    if x.size() > 60.0 {
        return Err(Stop::Budget);
    }
    if x.error > -4.0 {
        return Err(Stop::Precision);
    }
    let fixed = x.fixed(LONG);
    let quarter = pi_long() >> 1u32;
    // Rounded to the nearest quarter turn.
    let turns = (&fixed + (&quarter >> 1u32)) / &quarter;
    let r = shift(&(fixed - &turns * &quarter), BITS - LONG);
    let square = times(&r, &r);
    let (mut sin, mut cos) = (BigInt::zero(), BigInt::zero());
    let (mut a, mut b) = (r, one());
    let mut n = 0i64;
    while (!a.is_zero() && a != BigInt::from(-1)) || !b.is_zero() {
        if n % 2 == 0 {
            cos += &b;
            sin += &a;
        } else {
            cos -= &b;
            sin -= &a;
        }
        b = times(&b, &square) / ((2 * n + 1) * (2 * n + 2));
        a = times(&a, &square) / ((2 * n + 2) * (2 * n + 3));
        n += 1;
        if n > 200 {
            return Err(Stop::Precision);
        }
    }
    let turns = i64::try_from(&(turns % 4)).unwrap_or(0).rem_euclid(4);
    let (sin, cos) = match turns {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    };
    let error = super::ball::log_add(SERIES, x.error);
    Ok((Ball::new(sin, -BITS, error)?, Ball::new(cos, -BITS, error)?))
}

/// The angle of the point (x, y), in (−π, π].
pub fn angle(y: &Ball, x: &Ball) -> Result<Ball, Stop> {
    if y.is_exact_zero() && x.sign() == Some(1) {
        return Ok(Ball::zero());
    }
    if y.is_exact_zero() && x.sign() == Some(-1) {
        return pi();
    }
    if y.contains_zero() && x.contains_zero() {
        return Err(if y.is_exact_zero() && x.is_exact_zero() { Stop::Undefined } else { Stop::Precision });
    }
    if y.contains_zero() && x.is_negative() {
        // On the cut, where the sign of the angle is not known.
        return Err(Stop::Precision);
    }
    let scale = -(x.size().max(y.size()) as i64);
    let near = |b: &Ball| Ball { mid: b.mid.clone(), exponent: b.exponent + scale, error: 0.0 }.to_f64();
    let guess = near(y).atan2(near(x));
    let guess = BigInt::from((guess * (1i64 << 50) as f64) as i64);
    let guess = Ball { mid: guess, exponent: -50, error: f64::NEG_INFINITY };
    let (sin, cos) = sin_cos(&guess)?;
    // Turned back by the guess, the point lies almost on the axis.
    let along = x.mul(&cos)?.add(&y.mul(&sin)?)?;
    let across = y.mul(&cos)?.sub(&x.mul(&sin)?)?;
    let t = across.div(&along)?;
    let square = t.mul(&t)?;
    let (mut sum, mut term) = (t.clone(), t);
    for n in 1..5 {
        term = term.mul(&square)?.negate();
        sum = sum.add(&term.div(&Ball::integer(2 * n + 1))?)?;
    }
    sum.error = super::ball::log_add(sum.error, SERIES);
    guess.add(&sum)
}

#[cfg(test)]
mod tests {
    use super::super::ball::PRECISION;
    use super::*;
    use num_rational::BigRational;

    /// Sixty decimals of π, e, ln 2 and sin 1.
    const PI: &str = "3141592653589793238462643383279502884197169399375105820974944";
    const E: &str = "2718281828459045235360287471352662497757247093699959574966967";
    const LN_2: &str = "0693147180559945309417232121458176568075500134360255254120680";
    const SIN_1: &str = "0841470984807896506652502321630298999622563060798371065672751";

    /// Does the ball lie within a decimal's last place of it, with a radius far below?
    fn check(ball: &Ball, decimals: &str) {
        let n: BigInt = decimals.parse().unwrap();
        let known = Ball::rational(&BigRational::new(n, BigInt::from(10).pow(60)));
        let gap = ball.sub(&known).unwrap();
        assert!(gap.size() < -197.0, "{decimals}");
        assert!(ball.error < -240.0, "{}", ball.error);
    }

    #[test]
    fn constants_have_their_known_decimals() {
        let one = Ball::integer(1);
        check(&pi().unwrap(), PI);
        check(&exp(&one).unwrap(), E);
        check(&ln(&Ball::integer(2)).unwrap(), LN_2);
        check(&sin_cos(&one).unwrap().0, SIN_1);
        check(&angle(&Ball::zero(), &Ball::integer(-3)).unwrap(), PI);
    }

    #[test]
    fn inverse_functions_undo_each_other_at_every_size() {
        for k in [1i64, 3, 77, 1_000_003, -5, -999] {
            for d in [1i64, 7, 1024, 1_000_000_007] {
                let x = Ball::rational(&BigRational::new(BigInt::from(k), BigInt::from(d)));
                if k.abs() / d < 1000 {
                    let back = ln(&exp(&x).unwrap()).unwrap();
                    assert_eq!(back.equals(&x), Some(true), "ln exp {k}/{d}");
                }
                let (sin, cos) = sin_cos(&x).unwrap();
                let one = sin.mul(&sin).unwrap().add(&cos.mul(&cos).unwrap()).unwrap();
                assert_eq!(one.equals(&Ball::integer(1)), Some(true), "circle {k}/{d}");
                let turned = angle(&sin, &cos).unwrap();
                assert_eq!(sin_cos(&turned).unwrap().0.equals(&sin), Some(true), "angle {k}/{d}");
                let root = x.mul(&x).unwrap().sqrt().unwrap();
                assert_eq!(root.equals(&if k < 0 { x.negate() } else { x }), Some(true), "root {k}/{d}");
            }
        }
    }

    #[test]
    fn balls_a_hair_apart_are_different_and_wide_balls_undecided() {
        let one = Ball::integer(1);
        let hair = Ball { mid: BigInt::one(), exponent: -(PRECISION as i64) + 8, error: f64::NEG_INFINITY };
        assert_eq!(one.equals(&one.add(&hair).unwrap()), Some(false));
        let wide = Ball { error: -20.0, ..one.clone() };
        assert_eq!(one.equals(&wide), None);
    }
}
