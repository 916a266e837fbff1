//! Rational expressions modulo the prime 2⁶¹ − 31, at seeded points.
//!
//! Reduction modulo a prime maps sums to sums and products to products, so expressions that differ at a point are
//! different; expressions that agree at every point are equal up to a chance of about degree / 2⁶¹ a point
//! (Schwartz–Zippel). π and e stand for themselves, as two more variables; i is a root of −1, which exists because the
//! prime is 1 modulo 4.

use super::ast::{Arena, Id, Node};
use super::budget::{Meter, Stop};
use super::eval::{Point, Sort, hash, is_function, mix, value};
use super::value::Value;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::ToPrimitive;

pub const PRIME: u64 = (1 << 61) - 31;
const ROOT_OF_MINUS_ONE: u64 = 583_529_827_753_931_384;

fn mul(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64
}

fn add(a: u64, b: u64) -> u64 {
    (a + b) % PRIME
}

fn negate(a: u64) -> u64 {
    (PRIME - a) % PRIME
}

fn power(mut base: u64, mut n: u64) -> u64 {
    let mut result = 1;
    while n > 0 {
        if n & 1 == 1 {
            result = mul(result, base);
        }
        base = mul(base, base);
        n >>= 1;
    }
    result
}

fn inverse(a: u64) -> Result<u64, Stop> {
    if a == 0 { Err(Stop::Undefined) } else { Ok(power(a, PRIME - 2)) }
}

fn modulo(n: &BigInt, m: u64) -> u64 {
    let m = i128::from(m);
    match n.to_i64() {
        Some(n) => i128::from(n).rem_euclid(m) as u64,
        None => (n % m).to_i128().unwrap_or(0).rem_euclid(m) as u64,
    }
}

fn rational(r: &BigRational) -> Result<u64, Stop> {
    let top = modulo(r.numer(), PRIME);
    if r.is_integer() {
        return Ok(top);
    }
    Ok(mul(top, inverse(modulo(r.denom(), PRIME))?))
}

/// The value of a tree without transcendental parts at point `number`.
pub fn residue(arena: &Arena, root: Id, number: u32, plus: bool, meter: &mut Meter) -> Result<u64, Stop> {
    let first = arena.first[root as usize];
    let mut values: Vec<u64> = Vec::with_capacity((root - first + 1) as usize);
    let seed = |name: &str| mix(hash(name) ^ u64::from(number).wrapping_mul(0xd6e8_feb8_6659_fd93)) % PRIME;
    for id in first..=root {
        meter.spend(1)?;
        let at = |child: Id| values[(child - first) as usize];
        let value = match arena.node(id) {
            Node::Number(n) => rational(&arena.numbers[n as usize])?,
            Node::Variable(name) => seed(&arena.names[name as usize]),
            Node::Pi => seed("the circle constant"),
            Node::Euler => seed("the base of logarithms"),
            Node::Imaginary => ROOT_OF_MINUS_ONE,
            Node::Negate(a) => negate(at(a)),
            Node::Add(a, b) => add(at(a), at(b)),
            Node::Subtract(a, b) => add(at(a), negate(at(b))),
            Node::Multiply(a, b) => mul(at(a), at(b)),
            Node::Divide(a, b) => mul(at(a), inverse(at(b))?),
            Node::Power(a, b) => {
                meter.spend(8)?;
                let point = Point { number, sort: Sort::Constant, plus, decimal: false };
                let (Value::Exact(n), _) = value(arena, b, point, meter)? else { return Err(Stop::Unsupported) };
                if !n.is_integer() {
                    return Err(Stop::Unsupported);
                }
                let base = at(a);
                match n.numer().sign() {
                    num_bigint::Sign::NoSign => 1,
                    num_bigint::Sign::Plus if base == 0 => 0,
                    _ if base == 0 => return Err(Stop::Undefined),
                    _ => power(base, modulo(n.numer(), PRIME - 1)),
                }
            }
            Node::PlusMinus(a, b, flipped) => add(at(a), if plus != flipped { at(b) } else { negate(at(b)) }),
            Node::Percent(a) => mul(at(a), inverse(100)?),
            Node::Degrees(a, false) => at(a),
            Node::Apply(f, a) => match arena.node(f) {
                Node::Variable(name) if is_function(&arena.names[name as usize]) => {
                    mix(hash(&arena.names[name as usize]) ^ mix(at(a))) % PRIME
                }
                _ => mul(at(f), at(a)),
            },
            _ => return Err(Stop::Unsupported),
        };
        values.push(value);
    }
    values.pop().ok_or(Stop::Unsupported)
}
