//! Two expressions that stand for single values: exactly if they are numbers, else in a prime field, else in balls.

use super::Options;
use super::ast::{Arena, Id, Node, flag};
use super::budget::{Meter, Stop};
use super::eval::{Point, Sort, value};
use super::field::residue;
use super::rule::Rule;
use super::value::{Context, Value};
use std::collections::HashMap;

/// What a comparison found, and the rule that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Equal(Rule),
    Different(Rule),
    Unknown(Rule),
}

use Outcome::*;

/// A tree, with the sign that `±` has in it where one has been chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub id: Id,
    pub sign: Option<bool>,
}

impl Item {
    pub fn new(id: Id) -> Item {
        Item { id, sign: None }
    }

    pub fn child(self, id: Id) -> Item {
        Item { id, ..self }
    }

    fn plus(self) -> bool {
        self.sign.unwrap_or(true)
    }
}

/// An item, or the difference of the two sides of a relation.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    pub item: Item,
    pub minus: Option<Id>,
}

/// One comparison: the trees of both sides and what is left of the budget.
#[derive(Debug)]
pub struct Comparison<'o> {
    pub arena: Arena,
    pub meter: Meter,
    pub options: &'o Options,
    /// `\log` without a base is decimal.
    pub decimal: bool,
    /// Values of constants.
    constants: HashMap<(Id, bool, bool), Result<Value, Stop>>,
}

/// Two values, or the graver of what stopped them: the same, whichever is looked at first. An exhausted budget is the gravest,
/// since what is looked at after it has none.
fn both<T>(x: Result<T, Stop>, y: Result<T, Stop>) -> Result<(T, T), Stop> {
    let grave = |stop: &Stop| match stop {
        Stop::Budget => 4,
        Stop::Unsupported => 3,
        Stop::Precision => 2,
        Stop::Undefined => 1,
        Stop::Syntax => 0,
    };
    match (x, y) {
        (Ok(x), Ok(y)) => Ok((x, y)),
        (Err(a), Err(b)) => Err(if grave(&a) >= grave(&b) { a } else { b }),
        (Err(stop), _) | (_, Err(stop)) => Err(stop),
    }
}

fn stopped(stop: Stop) -> Outcome {
    match stop {
        Stop::Budget => Unknown(Rule::Budget),
        Stop::Precision => Unknown(Rule::Precision),
        Stop::Undefined => Different(Rule::Undefined),
        Stop::Unsupported | Stop::Syntax => Different(Rule::Unparsable),
    }
}

impl<'o> Comparison<'o> {
    pub fn new(options: &'o Options) -> Comparison<'o> {
        Comparison {
            arena: Arena::default(),
            meter: Meter::default(),
            options,
            decimal: false,
            constants: HashMap::new(),
        }
    }

    fn point(&self, item: Item, number: u32, sort: Sort) -> Point {
        Point { number, sort, plus: item.plus(), decimal: self.decimal }
    }

    /// The value of an expression without variables.
    pub fn constant(&mut self, item: Item) -> Result<Value, Stop> {
        if let Node::Number(n) = self.arena.node(item.id) {
            return Ok(Value::Exact(self.arena.numbers[n as usize].clone()));
        }
        let key = (item.id, item.plus(), self.decimal);
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        let point = self.point(item, 0, Sort::Constant);
        let found = value(&self.arena, item.id, point, &mut self.meter).map(|(v, _)| v);
        self.constants.insert(key, found.clone());
        found
    }

    pub fn scalar(&mut self, a: Item, b: Item) -> Outcome {
        let (fa, fb) = (self.arena.flags(a.id), self.arena.flags(b.id));
        let either = fa | fb;
        if either & flag::INFINITY != 0 {
            return match (self.infinite(a.id), self.infinite(b.id)) {
                (Some(a), Some(b)) if a == b => Equal(Rule::Constant),
                (Some(_), _) | (_, Some(_)) => Different(Rule::Constant),
                _ => self.by_structure(a, b),
            };
        }
        if either & flag::VARIABLE == 0 {
            return self.constants(a, b);
        }
        if either & flag::TRANSCENDENTAL == 0 {
            match self.in_field(a, b) {
                Err(Stop::Unsupported) => {}
                Ok(outcome) => return outcome,
                Err(stop) => return stopped(stop),
            }
        }
        self.at_points(a, b)
    }

    /// `±∞` as `Some(negative)`.
    pub fn infinite(&self, id: Id) -> Option<bool> {
        match self.arena.node(id) {
            Node::Infinity => Some(false),
            Node::Negate(a) if matches!(self.arena.node(a), Node::Infinity) => Some(true),
            _ => None,
        }
    }

    fn constants(&mut self, a: Item, b: Item) -> Outcome {
        let (x, y) = match both(self.constant(a), self.constant(b)) {
            Ok(values) => values,
            Err(Stop::Unsupported) => return self.by_structure(a, b),
            Err(stop) => return stopped(stop),
        };
        let rule = match (&x, &y) {
            (Value::Exact(_), Value::Exact(_)) => Rule::Number,
            _ => Rule::Constant,
        };
        match x.equals(&y) {
            Some(true) => Equal(rule),
            None => Unknown(Rule::Precision),
            Some(false) => match self.options.relative_tolerance {
                Some(tolerance) if near(&x, &y, tolerance) => Equal(Rule::Tolerance),
                _ => Different(rule),
            },
        }
    }

    fn in_field(&mut self, a: Item, b: Item) -> Result<Outcome, Stop> {
        for number in 0..3 {
            let x = residue(&self.arena, a.id, number, a.plus(), &mut self.meter);
            let y = residue(&self.arena, b.id, number, b.plus(), &mut self.meter);
            let (x, y) = both(x, y)?;
            if x != y {
                return Ok(Different(Rule::Identity));
            }
        }
        Ok(Equal(Rule::Identity))
    }

    /// How many variables there are in these trees, as far as two.
    fn name_count(&self, ids: &[Option<Id>]) -> usize {
        let mut first = None;
        for &id in ids.iter().flatten() {
            for node in &self.arena.nodes[self.arena.first[id as usize] as usize..=id as usize] {
                if let Node::Variable(name) = node
                    && *first.get_or_insert(name) != name
                {
                    return 2;
                }
            }
        }
        usize::from(first.is_some())
    }

    /// The value of an item, less that of what is to be subtracted from it.
    fn difference(&mut self, side: Side, point: Point) -> Result<(Value, bool), Stop> {
        let (x, left) = value(&self.arena, side.item.id, point, &mut self.meter)?;
        let Some(minus) = side.minus else { return Ok((x, left)) };
        let (y, gone) = value(&self.arena, minus, point, &mut self.meter)?;
        let mut c = Context { meter: &mut self.meter, max_bits: 512, exact: false, left_reals: false };
        Ok((c.sub(&x, &y)?, left || gone))
    }

    /// The values of both at points where both are defined without leaving the reals, or `None` where no such point
    /// is found. `take` sees them one after the other and ends the search with an answer.
    fn sample<T>(
        &mut self,
        a: Side,
        b: Side,
        mut take: impl FnMut(&mut Self, &Value, &Value) -> Result<Option<T>, Stop>,
    ) -> Result<(Option<T>, u32), Stop> {
        let ids = [Some(a.item.id), a.minus, Some(b.item.id), b.minus];
        let flags = ids.iter().flatten().fold(0, |f, &id| f | self.arena.flags(id));
        let sort = match (flags & flag::INTEGER != 0, flags & flag::ABS != 0) {
            (true, _) => Sort::Whole,
            (false, false) if self.name_count(&ids) > 1 => Sort::Positive,
            _ => Sort::Real,
        };
        let imaginary = flags & flag::IMAGINARY != 0;
        // Signs in all combinations take more points than values do.
        let enough = if sort == Sort::Whole || flags & flag::ABS != 0 { 16 } else { 5 };
        for complex in [false, true] {
            let mut seen = 0;
            let mut number = 0;
            while number < 24 && seen < enough {
                let (p, q) = (self.point(a.item, number, sort), self.point(b.item, number, sort));
                number += 1;
                let x = self.difference(a, p);
                let y = self.difference(b, q);
                let ((x, left), (y, gone)) = match both(x, y) {
                    Err(stop @ (Stop::Budget | Stop::Unsupported)) => return Err(stop),
                    Ok(values) => values,
                    Err(_) => continue,
                };
                if (left || gone) && !complex && !imaginary {
                    continue;
                }
                seen += 1;
                if let Some(answer) = take(self, &x, &y)? {
                    return Ok((Some(answer), seen));
                }
            }
            if seen > 0 {
                return Ok((None, seen));
            }
        }
        Ok((None, 0))
    }

    fn at_points(&mut self, a: Item, b: Item) -> Outcome {
        let mut undecided = false;
        let found = self.sample(Side { item: a, minus: None }, Side { item: b, minus: None }, |_, x, y| {
            let equal = x.equals(y);
            undecided |= equal.is_none();
            Ok((equal == Some(false)).then_some(()))
        });
        match found {
            Err(Stop::Unsupported) => self.by_structure(a, b),
            Err(stop) => stopped(stop),
            Ok((Some(()), _)) => Different(Rule::Expression),
            Ok((None, 0)) => self.by_structure(a, b),
            Ok((None, _)) if undecided => Unknown(Rule::Precision),
            Ok((None, _)) => Equal(Rule::Expression),
        }
    }

    /// Is `a` a constant multiple of `b`, neither being zero throughout? The sign of the factor, if real.
    pub fn proportional(&mut self, a: Side, b: Side) -> Result<Option<i8>, Stop> {
        let mut reference: Option<(Value, Value)> = None;
        let mut sign = 0;
        let found = self.sample(a, b, |me, x, y| {
            let zero = super::value::integer(0);
            let (no_x, no_y) = (x.equals(&zero), y.equals(&zero));
            if no_x != no_y {
                return Ok(Some(()));
            }
            if no_x != Some(false) {
                return Ok(None);
            }
            match &reference {
                None => {
                    sign = x.sign().unwrap_or(0) * y.sign().unwrap_or(0);
                    reference = Some((x.clone(), y.clone()));
                    Ok(None)
                }
                Some((x0, y0)) => {
                    let mut c = Context { meter: &mut me.meter, max_bits: 4096, exact: false, left_reals: false };
                    let (left, right) = (c.mul(x0, y)?, c.mul(x, y0)?);
                    Ok((left.equals(&right) == Some(false)).then_some(()))
                }
            }
        })?;
        Ok(match found {
            (None, seen) if seen > 1 && reference.is_some() => Some(sign),
            _ => None,
        })
    }

    /// The same tree, node by node.
    fn by_structure(&mut self, a: Item, b: Item) -> Outcome {
        let arena = &self.arena;
        let (p, q) = (arena.first[a.id as usize], arena.first[b.id as usize]);
        let same =
            a.plus() == b.plus() && a.id - p == b.id - q && (0..=a.id - p).all(|k| alike(arena, p + k, q + k, p, q));
        if same { Equal(Rule::Structure) } else { Different(Rule::Structure) }
    }
}

/// Nodes `i` and `j` of trees that begin at `p` and `q`.
fn alike(arena: &Arena, i: Id, j: Id, p: Id, q: Id) -> bool {
    use Node::*;
    let same = |x: Id, y: Id| x.wrapping_sub(p) == y.wrapping_sub(q);
    match (arena.node(i), arena.node(j)) {
        (Number(x), Number(y)) => arena.numbers[x as usize] == arena.numbers[y as usize],
        (Negate(x), Negate(y)) | (Percent(x), Percent(y)) => same(x, y),
        (Degrees(x, s), Degrees(y, t)) => s == t && same(x, y),
        (Call(f, x), Call(g, y)) => f == g && same(x, y),
        (Add(x, y), Add(z, w))
        | (Subtract(x, y), Subtract(z, w))
        | (Multiply(x, y), Multiply(z, w))
        | (Divide(x, y), Divide(z, w))
        | (Power(x, y), Power(z, w))
        | (Root(x, y), Root(z, w))
        | (LogBase(x, y), LogBase(z, w))
        | (Binomial(x, y), Binomial(z, w))
        | (Apply(x, y), Apply(z, w)) => same(x, z) && same(y, w),
        (PlusMinus(x, y, s), PlusMinus(z, w, t)) => s == t && same(x, z) && same(y, w),
        (Many(k, ..), Many(l, ..)) => {
            let (x, y) = (arena.many(i), arena.many(j));
            k == l
                && x.len() == y.len()
                && x.iter().zip(y).all(|(&x, &y)| same(x, y))
                && arena.operators(i) == arena.operators(j)
        }
        (x, y) => x == y,
    }
}

/// |x − y| ≤ tolerance · max(|x|, |y|), for real values.
fn near(x: &Value, y: &Value, tolerance: f64) -> bool {
    let (Ok(x), Ok(y)) = (x.real(), y.real()) else { return false };
    let top = x.size().max(y.size());
    if !top.is_finite() {
        return true;
    }
    // Scaled together, so that neither overflows a double.
    let scale = |b: &super::ball::Ball| {
        super::ball::Ball { mid: b.mid.clone(), exponent: b.exponent - top as i64, error: 0.0 }.to_f64()
    };
    let (x, y) = (scale(&x), scale(&y));
    (x - y).abs() <= tolerance * x.abs().max(y.abs())
}
