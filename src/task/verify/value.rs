//! Values: rationals exactly as long as possible, then real balls, then complex pairs of them.

use super::ball::Ball;
use super::budget::{MAX_BITS, Meter, Stop};
use super::elementary;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

#[derive(Debug, Clone)]
pub enum Value {
    Exact(BigRational),
    Real(Ball),
    Complex(Ball, Ball),
}

/// How values are computed, and what was noticed on the way.
#[derive(Debug)]
pub struct Context<'m> {
    pub meter: &'m mut Meter,
    /// Rationals above this many bits become balls, or end the computation where `exact` holds.
    pub max_bits: u64,
    pub exact: bool,
    /// A root, logarithm or power of a negative number was taken.
    pub left_reals: bool,
}

/// Steps that one ball operation costs, and one elementary function.
const BALL: u64 = 4;
const SERIES: u64 = 60;

use Value::*;

pub fn integer(n: i64) -> Value {
    Exact(BigRational::from_integer(BigInt::from(n)))
}

fn bits(r: &BigRational) -> u64 {
    r.numer().bits().max(r.denom().bits())
}

impl Value {
    pub fn parts(&self) -> (Ball, Ball) {
        match self {
            Exact(r) => (Ball::rational(r), Ball::zero()),
            Real(b) => (b.clone(), Ball::zero()),
            Complex(a, b) => (a.clone(), b.clone()),
        }
    }

    pub fn real(&self) -> Result<Ball, Stop> {
        match self {
            Exact(r) => Ok(Ball::rational(r)),
            Real(b) => Ok(b.clone()),
            Complex(..) => Err(Stop::Unsupported),
        }
    }

    fn complex(re: Ball, im: Ball) -> Value {
        if im.is_exact_zero() { Real(re) } else { Complex(re, im) }
    }

    pub fn is_zero(&self) -> bool {
        match self {
            Exact(r) => r.is_zero(),
            Real(b) => b.is_exact_zero(),
            Complex(..) => false,
        }
    }

    /// The sign of a real value, where it is certain.
    pub fn sign(&self) -> Option<i8> {
        match self {
            Exact(r) => Some(r.is_positive() as i8 - r.is_negative() as i8),
            Real(b) => b.sign(),
            Complex(..) => None,
        }
    }

    /// Equal, different, or undecided.
    pub fn equals(&self, other: &Value) -> Option<bool> {
        if let (Exact(a), Exact(b)) = (self, other) {
            return Some(a == b);
        }
        let ((a, c), (b, d)) = (self.parts(), other.parts());
        // An imaginary part is small or not beside the whole number, not beside itself.
        match (a.equals(&b), c.equals(&d)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

impl Context<'_> {
    fn exact(&mut self, r: BigRational) -> Result<Value, Stop> {
        let size = bits(&r);
        self.meter.pay(size)?;
        if size <= self.max_bits {
            Ok(Exact(r))
        } else if self.exact {
            Err(Stop::Budget)
        } else {
            Ok(Real(Ball::rational(&r)))
        }
    }

    pub fn negate(&mut self, a: &Value) -> Value {
        match a {
            Exact(r) => Exact(-r),
            Real(b) => Real(b.negate()),
            Complex(x, y) => Complex(x.negate(), y.negate()),
        }
    }

    pub fn add(&mut self, a: &Value, b: &Value) -> Result<Value, Stop> {
        if let (Exact(a), Exact(b)) = (a, b) {
            return self.exact(if a.is_integer() && b.is_integer() {
                BigRational::from_integer(a.numer() + b.numer())
            } else {
                a + b
            });
        }
        self.meter.spend(BALL)?;
        let ((a, c), (b, d)) = (a.parts(), b.parts());
        Ok(Value::complex(a.add(&b)?, c.add(&d)?))
    }

    pub fn sub(&mut self, a: &Value, b: &Value) -> Result<Value, Stop> {
        let b = self.negate(b);
        self.add(a, &b)
    }

    pub fn mul(&mut self, a: &Value, b: &Value) -> Result<Value, Stop> {
        match (a, b) {
            (Exact(a), Exact(b)) => {
                self.meter.pay(bits(a) + bits(b))?;
                let product = if a.is_integer() && b.is_integer() {
                    BigRational::from_integer(a.numer() * b.numer())
                } else {
                    a * b
                };
                return self.exact(product);
            }
            _ if a.is_zero() || b.is_zero() => return Ok(integer(0)),
            _ => {}
        }
        self.meter.spend(BALL)?;
        let ((a, c), (b, d)) = (a.parts(), b.parts());
        if c.is_exact_zero() && d.is_exact_zero() {
            return Ok(Real(a.mul(&b)?));
        }
        let re = a.mul(&b)?.sub(&c.mul(&d)?)?;
        let im = a.mul(&d)?.add(&c.mul(&b)?)?;
        Ok(Value::complex(re, im))
    }

    pub fn div(&mut self, a: &Value, b: &Value) -> Result<Value, Stop> {
        if b.is_zero() {
            return Err(Stop::Undefined);
        }
        if let (Exact(a), Exact(b)) = (a, b) {
            self.meter.pay(2 * (bits(a) + bits(b)))?;
            return self.exact(a / b);
        }
        self.meter.spend(BALL)?;
        if let Complex(x, y) = b {
            let conjugate = Complex(x.clone(), y.negate());
            let norm = Real(x.mul(x)?.add(&y.mul(y)?)?);
            let top = self.mul(a, &conjugate)?;
            return self.div(&top, &norm);
        }
        let (re, im) = a.parts();
        let b = b.real()?;
        let im = if im.is_exact_zero() { im } else { im.div(&b)? };
        Ok(Value::complex(re.div(&b)?, im))
    }

    pub fn exp(&mut self, a: &Value) -> Result<Value, Stop> {
        self.meter.spend(SERIES)?;
        match a {
            Exact(r) if r.is_zero() => Ok(integer(1)),
            Complex(x, y) => {
                let size = elementary::exp(x)?;
                let (sin, cos) = elementary::sin_cos(y)?;
                Ok(Complex(size.mul(&cos)?, size.mul(&sin)?))
            }
            _ => Ok(Real(elementary::exp(&a.real()?)?)),
        }
    }

    /// The principal logarithm.
    pub fn ln(&mut self, a: &Value) -> Result<Value, Stop> {
        self.meter.spend(SERIES)?;
        match a {
            Exact(r) if r.is_one() => Ok(integer(0)),
            Exact(r) if r.is_zero() => Err(Stop::Undefined),
            Complex(x, y) => {
                let norm = x.mul(x)?.add(&y.mul(y)?)?;
                let re = elementary::ln(&norm)?.div(&Ball::integer(2))?;
                Ok(Complex(re, elementary::angle(y, x)?))
            }
            _ => {
                let x = a.real()?;
                match x.sign() {
                    Some(1) => Ok(Real(elementary::ln(&x)?)),
                    Some(_) => {
                        self.left_reals = true;
                        Ok(Complex(elementary::ln(&x.negate())?, elementary::pi()?))
                    }
                    None => Err(Stop::Precision),
                }
            }
        }
    }

    /// log of `a` to the base `base`, exactly where it is a whole number.
    pub fn log(&mut self, base: &Value, a: &Value) -> Result<Value, Stop> {
        let top = self.ln(a)?;
        let bottom = self.ln(base)?;
        let quotient = self.div(&top, &bottom)?;
        if let (Exact(base), Exact(a), Real(q)) = (base, a, &quotient)
            && let Some(n) = q.nearest().filter(|n| n.unsigned_abs() < 4096)
            && bits(base) * n.unsigned_abs() <= MAX_BITS
            && q.equals(&Ball::integer(n)) == Some(true)
            && num_traits::Pow::pow(base, &BigInt::from(n)) == *a
        {
            return Ok(integer(n));
        }
        Ok(quotient)
    }

    pub fn power(&mut self, a: &Value, n: &Value) -> Result<Value, Stop> {
        let Exact(n) = n else {
            if a.is_zero() {
                return Err(Stop::Undefined);
            }
            let log = self.ln(a)?;
            let product = self.mul(n, &log)?;
            return self.exp(&product);
        };
        if n.is_integer() {
            return self.whole_power(a, n.numer());
        }
        if a.is_zero() {
            return if n.is_positive() { Ok(integer(0)) } else { Err(Stop::Undefined) };
        }
        let (Some(top), Some(index)) = (n.numer().to_i64(), n.denom().to_u32()) else {
            let log = self.ln(a)?;
            let product = self.mul(&Real(Ball::rational(n)), &log)?;
            return self.exp(&product);
        };
        let root = self.root(index, a)?;
        self.whole_power(&root, &BigInt::from(top))
    }

    fn whole_power(&mut self, a: &Value, n: &BigInt) -> Result<Value, Stop> {
        if n.is_negative() && a.is_zero() {
            return Err(Stop::Undefined);
        }
        if n.is_zero() {
            return Ok(integer(1));
        }
        if let Exact(r) = a {
            if r.is_one() || (r.is_zero() && n.is_positive()) {
                return Ok(a.clone());
            }
            if (-r).is_one() {
                return Ok(integer(if n.is_even() { 1 } else { -1 }));
            }
            let size = n.abs().to_u64().and_then(|n| n.checked_mul(bits(r)));
            if let Some(size) = size.filter(|s| *s <= self.max_bits) {
                self.meter.pay(size)?;
                let exponent = n.to_i32().ok_or(Stop::Budget)?;
                return Ok(Exact(num_traits::Pow::pow(r, exponent)));
            }
            if self.exact {
                return Err(Stop::Budget);
            }
        }
        let mut left = n.abs().to_u64().filter(|n| *n < 1 << 40).ok_or(Stop::Budget)?;
        let (mut power, mut square) = (integer(1), a.clone());
        loop {
            if left & 1 == 1 {
                power = self.mul(&power, &square)?;
            }
            left >>= 1;
            if left == 0 {
                break;
            }
            square = self.mul(&square, &square)?;
        }
        if n.is_negative() { self.div(&integer(1), &power) } else { Ok(power) }
    }

    /// The `index`-th root: of a negative number the real one where the index is odd, else the principal one.
    pub fn root(&mut self, index: u32, a: &Value) -> Result<Value, Stop> {
        if index == 0 {
            return Err(Stop::Undefined);
        }
        if index == 1 || a.is_zero() {
            return Ok(a.clone());
        }
        if let Exact(r) = a {
            if r.is_negative() {
                let positive = self.root(index, &Exact(-r))?;
                if index.is_odd() {
                    return Ok(self.negate(&positive));
                }
                self.left_reals = true;
                if index == 2 {
                    return self.mul(&positive, &Complex(Ball::zero(), Ball::integer(1)));
                }
            } else {
                self.meter.pay(bits(r))?;
                let (top, bottom) = (r.numer().nth_root(index), r.denom().nth_root(index));
                if num_traits::pow(top.clone(), index as usize) == *r.numer()
                    && num_traits::pow(bottom.clone(), index as usize) == *r.denom()
                {
                    return Ok(Exact(BigRational::new_raw(top, bottom)));
                }
            }
        }
        if let Ok(x) = a.real() {
            match x.sign() {
                Some(-1) if index.is_odd() => {
                    let positive = self.root(index, &Real(x.negate()))?;
                    return Ok(self.negate(&positive));
                }
                Some(-1) => {
                    self.left_reals = true;
                    if index == 2 {
                        return Ok(Complex(Ball::zero(), x.negate().sqrt()?));
                    }
                }
                _ if index == 2 => {
                    self.meter.spend(BALL)?;
                    return Ok(Real(x.sqrt()?));
                }
                Some(_) => {}
                None => return Err(Stop::Precision),
            }
        }
        let log = self.ln(a)?;
        let part = self.div(&log, &integer(index as i64))?;
        self.exp(&part)
    }

    /// (sin, cos) of a real value.
    pub fn sin_cos(&mut self, a: &Value) -> Result<(Value, Value), Stop> {
        self.meter.spend(SERIES)?;
        if a.is_zero() {
            return Ok((integer(0), integer(1)));
        }
        let (sin, cos) = elementary::sin_cos(&a.real()?)?;
        Ok((Real(sin), Real(cos)))
    }

    /// The angle of the point (x, y).
    pub fn angle(&mut self, y: &Value, x: &Value) -> Result<Value, Stop> {
        self.meter.spend(SERIES)?;
        if y.is_zero() && x.sign() == Some(1) {
            return Ok(integer(0));
        }
        Ok(Real(elementary::angle(&y.real()?, &x.real()?)?))
    }

    pub fn abs(&mut self, a: &Value) -> Result<Value, Stop> {
        match a {
            Exact(r) => Ok(Exact(r.abs())),
            Real(b) => Ok(Real(if b.is_negative() { b.negate() } else { b.clone() })),
            Complex(x, y) => {
                let norm = Real(x.mul(x)?.add(&y.mul(y)?)?);
                self.root(2, &norm)
            }
        }
    }

    pub fn floor(&mut self, a: &Value, up: bool) -> Result<Value, Stop> {
        match a {
            Exact(r) => Ok(Exact(if up { r.ceil() } else { r.floor() })),
            Real(b) => {
                let n = b.nearest().ok_or(Stop::Budget)?;
                match b.sub(&Ball::integer(n))?.sign().ok_or(Stop::Precision)? {
                    1 => Ok(integer(n + i64::from(up))),
                    _ => Ok(integer(n - i64::from(!up))),
                }
            }
            Complex(..) => Err(Stop::Unsupported),
        }
    }

    fn small(&self, a: &Value) -> Result<u64, Stop> {
        match a {
            Exact(r) if r.is_integer() && !r.is_negative() => {
                r.numer().to_u64().filter(|n| *n <= 2000).ok_or(Stop::Budget)
            }
            Exact(r) if r.is_integer() => Err(Stop::Undefined),
            _ => Err(Stop::Unsupported),
        }
    }

    pub fn factorial(&mut self, a: &Value) -> Result<Value, Stop> {
        let n = self.small(a)?;
        self.meter.spend(n * 4)?;
        let product = (2..=n).fold(BigInt::one(), |p, k| p * k);
        self.exact(BigRational::from_integer(product))
    }

    pub fn binomial(&mut self, n: &Value, k: &Value) -> Result<Value, Stop> {
        let (n, k) = (self.small(n)?, self.small(k)?);
        if k > n {
            return Ok(integer(0));
        }
        self.meter.spend(n * 4)?;
        let k = k.min(n - k);
        let value = (1..=k).fold(BigInt::one(), |b, j| b * (n - k + j) / j);
        self.exact(BigRational::from_integer(value))
    }
}
