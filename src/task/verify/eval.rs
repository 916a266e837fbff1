//! One pass over a tree: its value at a point, or in a prime field.

use super::ast::{Arena, Function, Id, Node};
use super::ball::Ball;
use super::budget::{MAX_BITS, Meter, Stop};
use super::elementary;
use super::value::{Context, Value, integer};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

/// Where a tree is evaluated: which numbers its variables are, and which sign `±` has.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Which of the seeded points.
    pub number: u32,
    pub sort: Sort,
    /// The upper sign of `±`.
    pub plus: bool,
    /// `\log` without a base is decimal.
    pub decimal: bool,
}

/// What variables may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Variables are not expected: values are kept exact.
    Constant,
    Real,
    /// Above zero.
    Positive,
    /// Small whole numbers.
    Whole,
}

/// A value, and whether the reals were left on the way to it.
pub fn value(arena: &Arena, root: Id, point: Point, meter: &mut Meter) -> Result<(Value, bool), Stop> {
    let exact = point.sort == Sort::Constant;
    let max_bits = if exact { MAX_BITS } else { 512 };
    let mut c = Context { meter, max_bits, exact, left_reals: false };
    let first = arena.first[root as usize];
    let mut values: Vec<Value> = Vec::with_capacity((root - first + 1) as usize);
    for id in first..=root {
        let at = |child: Id| &values[(child - first) as usize];
        let value = node(arena, arena.node(id), &at, point, &mut c)?;
        values.push(value);
    }
    Ok((values.pop().ok_or(Stop::Unsupported)?, c.left_reals))
}

fn node<'v>(
    arena: &Arena,
    node: Node,
    at: &impl Fn(Id) -> &'v Value,
    point: Point,
    c: &mut Context<'_>,
) -> Result<Value, Stop> {
    c.meter.spend(1)?;
    match node {
        Node::Number(n) => Ok(Value::Exact(arena.numbers[n as usize].clone())),
        Node::Variable(name) => Ok(Value::Exact(coordinate(&arena.names[name as usize], point))),
        Node::Pi => Ok(Value::Real(elementary::pi()?)),
        Node::Euler => c.exp(&integer(1)),
        Node::Imaginary => Ok(Value::Complex(Ball::zero(), Ball::integer(1))),
        Node::Negate(a) => Ok(c.negate(at(a))),
        Node::Add(a, b) => c.add(at(a), at(b)),
        Node::Subtract(a, b) => c.sub(at(a), at(b)),
        Node::Multiply(a, b) => c.mul(at(a), at(b)),
        Node::Divide(a, b) => c.div(at(a), at(b)),
        Node::Power(a, b) => match arena.node(a) {
            Node::Euler => c.exp(at(b)),
            _ => c.power(at(a), at(b)),
        },
        Node::PlusMinus(a, b, flipped) => {
            if point.plus != flipped {
                c.add(at(a), at(b))
            } else {
                c.sub(at(a), at(b))
            }
        }
        Node::Call(f, a) => call(f, at(a), point, c),
        Node::Root(index, a) => match at(index) {
            Value::Exact(r) if r.is_integer() && r.is_positive() => {
                let index = r.numer().to_u32().filter(|n| *n <= 1000).ok_or(Stop::Budget)?;
                c.root(index, at(a))
            }
            index => {
                let power = c.div(&integer(1), index)?;
                c.power(at(a), &power)
            }
        },
        Node::LogBase(base, a) => c.log(at(base), at(a)),
        Node::Binomial(a, b) => c.binomial(at(a), at(b)),
        Node::Degrees(a, false) => Ok(at(a).clone()),
        Node::Degrees(a, true) => {
            let half_turn = Value::Real(elementary::pi()?);
            let turned = c.mul(at(a), &half_turn)?;
            c.div(&turned, &integer(180))
        }
        Node::Percent(a) => c.div(at(a), &integer(100)),
        Node::Apply(f, a) => match (arena.node(f), at(a)) {
            (Node::Variable(name), Value::Exact(x)) if is_function(&arena.names[name as usize]) => {
                let seed = mix(hash(&arena.names[name as usize]) ^ hash(&x.to_string()));
                Ok(integer((seed % 99_991) as i64 + 7))
            }
            (Node::Variable(name), _) if is_function(&arena.names[name as usize]) => Err(Stop::Unsupported),
            _ => c.mul(at(f), at(a)),
        },
        Node::Infinity | Node::Based(..) | Node::Many(..) => Err(Stop::Unsupported),
    }
}

fn call(f: Function, a: &Value, point: Point, c: &mut Context<'_>) -> Result<Value, Stop> {
    use Function::*;
    match f {
        Sin => Ok(c.sin_cos(a)?.0),
        Cos => Ok(c.sin_cos(a)?.1),
        Tan | Sec | Cot | Csc => {
            let (sin, cos) = c.sin_cos(a)?;
            let one = integer(1);
            let (top, bottom) = match f {
                Tan => (&sin, &cos),
                Sec => (&one, &cos),
                Cot => (&cos, &sin),
                _ => (&one, &sin),
            };
            // A denominator that cannot be told from zero is taken for a pole.
            c.div(top, bottom).map_err(|stop| if stop == Stop::Precision { Stop::Undefined } else { stop })
        }
        Arcsin | Arccos => {
            // The angle of (√(1 − a²), a).
            let square = c.mul(a, a)?;
            let rest = c.sub(&integer(1), &square)?;
            if rest.sign() == Some(-1) {
                return Err(Stop::Undefined);
            }
            let other = c.root(2, &rest)?;
            if f == Arcsin { c.angle(a, &other) } else { c.angle(&other, a) }
        }
        Arctan => c.angle(a, &integer(1)),
        Sinh | Cosh | Tanh => {
            let up = c.exp(a)?;
            let minus = c.negate(a);
            let down = c.exp(&minus)?;
            let sum = c.add(&up, &down)?;
            let difference = c.sub(&up, &down)?;
            match f {
                Sinh => c.div(&difference, &integer(2)),
                Cosh => c.div(&sum, &integer(2)),
                _ => c.div(&difference, &sum),
            }
        }
        Ln => c.ln(a),
        Log if point.decimal => c.log(&integer(10), a),
        Log => c.ln(a),
        Exp => c.exp(a),
        Abs => c.abs(a),
        Floor => c.floor(a, false),
        Ceil => c.floor(a, true),
        Factorial => c.factorial(a),
    }
}

/// Names that are functions when brackets follow; after other names, brackets mean a product.
pub fn is_function(name: &str) -> bool {
    matches!(name.trim_end_matches('\'').split('_').next(), Some("f" | "g" | "h" | "F" | "G" | "H"))
}

/// FNV-1a, finished by a mixer: the same on every machine.
pub fn hash(s: &str) -> u64 {
    mix(s.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finaliser of SplitMix64.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The coordinate of a variable at a seeded point: it depends on its name alone, not on who else is there.
fn coordinate(name: &str, point: Point) -> BigRational {
    let h = hash(name);
    let k = u64::from(point.number);
    if point.sort == Sort::Whole {
        // Every variable runs through 1..=16, each in its own order.
        let stride = (h >> 8) % 8 * 2 + 1;
        return BigRational::from_integer(BigInt::from((h.wrapping_add(k * stride)) % 16 + 1));
    }
    // Positive coordinates; then every name with one sign and with the other; then either.
    let negative = match k {
        0..=2 => false,
        3 | 4 => (h ^ k) & 1 == 1,
        _ => mix(h.wrapping_add(k)) & 1 == 1,
    };
    let negative = negative && point.sort == Sort::Real;
    let h = mix(h ^ k.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Sizes about one, and every other pair of points small ones, for what is defined near zero alone.
    let (low, width) = if k % 4 < 2 || k < 6 { (300, 3700) } else { (30, 600) };
    let size = low + (h >> 8) % width;
    let n = if negative { -(size as i64) } else { size as i64 };
    let value = BigRational::new(BigInt::from(n), BigInt::from(1024));
    if value.is_zero() { BigRational::from_integer(BigInt::from(1)) } else { value }
}
