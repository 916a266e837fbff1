//! Two answers of any shape: lists, sets, tuples, unions, matrices, relations, down to single values.

use super::ast::{Function, Id, Many, Node, Relation, flag};
use super::rule::Rule;
use super::scalar::{Comparison, Item, Outcome, Side};
use Outcome::*;

/// All parts must be equal; the first difference decides.
fn all(rule: Rule, parts: impl Iterator<Item = Outcome>) -> Outcome {
    let mut unknown = None;
    for part in parts {
        match part {
            Equal(_) => {}
            Different(_) => return Different(rule),
            Unknown(why) => unknown = unknown.or(Some(why)),
        }
    }
    unknown.map_or(Equal(rule), Unknown)
}

/// The rule of a success that needed one more step.
fn through(rule: Rule, outcome: Outcome) -> Outcome {
    match outcome {
        Equal(_) => Equal(rule),
        other => other,
    }
}

impl Comparison<'_> {
    fn kind(&self, id: Id) -> Option<Many> {
        match self.arena.node(id) {
            Node::Many(kind, ..) => Some(kind),
            _ => None,
        }
    }

    /// More than one value: a list, a set, or a `±` whose sign is open.
    fn is_several(&self, item: Item) -> bool {
        matches!(self.kind(item.id), Some(Many::List | Many::Set))
            || (item.sign.is_none() && self.arena.has(item.id, flag::PLUS_MINUS))
    }

    /// The values of a list or set, `±` written out.
    fn items(&self, item: Item) -> Vec<Item> {
        let children = match self.kind(item.id) {
            Some(Many::List | Many::Set) => self.arena.many(item.id),
            _ => std::slice::from_ref(&item.id),
        };
        let mut items = Vec::with_capacity(children.len());
        for &id in children {
            if item.sign.is_none() && self.arena.has(id, flag::PLUS_MINUS) && !self.is_inner_list(id) {
                items.push(Item { id, sign: Some(true) });
                items.push(Item { id, sign: Some(false) });
            } else {
                items.push(item.child(id));
            }
        }
        items
    }

    fn is_inner_list(&self, id: Id) -> bool {
        matches!(self.kind(id), Some(Many::List | Many::Set))
    }

    /// Are two answers equal?
    pub fn same(&mut self, a: Item, b: Item) -> Outcome {
        if self.meter.spend(1).is_err() {
            return Unknown(Rule::Budget);
        }
        if self.is_several(a) || self.is_several(b) {
            return self.several(a, b);
        }
        let (ka, kb) = (self.kind(a.id), self.kind(b.id));
        match (ka, kb) {
            (Some(Many::Relation), Some(Many::Relation)) => self.relations(a, b),
            (Some(Many::Relation), _) => self.relation_or_value(a, b),
            (_, Some(Many::Relation)) => self.relation_or_value(b, a),
            (Some(k), Some(l)) => self.shapes(k, l, a, b),
            (None, None) => match (self.arena.node(a.id), self.arena.node(b.id)) {
                (Node::Based(x, p), Node::Based(y, q)) if x == y && p == q => Equal(Rule::Base),
                (Node::Based(..), _) | (_, Node::Based(..)) => Different(Rule::Base),
                _ => self.with_percent(a, b),
            },
            _ => Different(Rule::Shape),
        }
    }

    fn shapes(&mut self, k: Many, l: Many, a: Item, b: Item) -> Outcome {
        let (x, y) = (self.arena.many(a.id).to_vec(), self.arena.many(b.id).to_vec());
        let rule = match k {
            Many::Tuple(..) => Rule::Tuple,
            Many::Matrix(..) => Rule::Matrix,
            Many::Ratio => Rule::Ratio,
            Many::Difference => Rule::Union,
            Many::Union | Many::Intersection if k == l => {
                let items = |list: Vec<Id>, of: Item| list.into_iter().map(|id| of.child(id)).collect::<Vec<_>>();
                return self.unordered(items(x, a), items(y, b), Rule::Union, true);
            }
            _ => Rule::Shape,
        };
        if k != l || x.len() != y.len() {
            let alike = std::mem::discriminant(&k) == std::mem::discriminant(&l);
            return Different(if alike { rule } else { Rule::Shape });
        }
        let parts: Vec<Outcome> = x.iter().zip(&y).map(|(&x, &y)| self.same(a.child(x), b.child(y))).collect();
        all(rule, parts.into_iter())
    }

    /// `p%` is p/100, and also p where that is asked for.
    fn with_percent(&mut self, a: Item, b: Item) -> Outcome {
        let outcome = self.scalar(a, b);
        if !self.options.percent_equivalence || !matches!(outcome, Different(_)) {
            return outcome;
        }
        match (self.arena.node(a.id), self.arena.node(b.id)) {
            (Node::Percent(_), Node::Percent(_)) => outcome,
            (Node::Percent(inner), _) => through(Rule::Percent, self.scalar(a.child(inner), b)),
            (_, Node::Percent(inner)) => through(Rule::Percent, self.scalar(a, b.child(inner))),
            _ => outcome,
        }
    }

    fn several(&mut self, a: Item, b: Item) -> Outcome {
        let set = [a, b].iter().any(|i| self.kind(i.id) == Some(Many::Set));
        let rule = if set { Rule::Set } else { Rule::List };
        // `x ∈ {1, 2}`, `x = ±2` against bare values.
        for (named, other) in [(a, b), (b, a)] {
            if self.kind(named.id) == Some(Many::Relation)
                && let Some(value) = self.prefixed(named.id)
                && !self.items(other).iter().any(|i| self.kind(i.id) == Some(Many::Relation))
            {
                return through(Rule::Prefix, self.same(named.child(value), other));
            }
        }
        if let Some(outcome) = self.union_of_inequalities(a, b) {
            return outcome;
        }
        let (x, y) = (self.items(a), self.items(b));
        let (names_x, names_y) = (self.names(&x), self.names(&y));
        match (names_x, names_y) {
            (Some((x, true)), None) => through(Rule::Prefix, self.unordered(x, y, rule, set)),
            (None, Some((y, true))) => through(Rule::Prefix, self.unordered(x, y, rule, set)),
            // `x = 1, y = 2` against `1, 2`: in this order only.
            (Some((x, false)), None) => through(Rule::Prefix, self.ordered(x, y)),
            (None, Some((y, false))) => through(Rule::Prefix, self.ordered(x, y)),
            _ => self.unordered(x, y, rule, set),
        }
    }

    fn ordered(&mut self, x: Vec<Item>, y: Vec<Item>) -> Outcome {
        if x.len() != y.len() {
            return Different(Rule::List);
        }
        let parts: Vec<Outcome> = x.iter().zip(&y).map(|(&x, &y)| self.same(x, y)).collect();
        all(Rule::List, parts.into_iter())
    }

    /// The values of `x = 1, x = 2` (`true`) or `x = 1, y = 2` (`false`).
    fn names(&mut self, items: &[Item]) -> Option<(Vec<Item>, bool)> {
        let first = items.first()?;
        if self.kind(first.id) != Some(Many::Relation) {
            return None;
        }
        let name = *self.arena.many(first.id).first()?;
        let mut values = Vec::new();
        let mut same = true;
        for &item in items {
            if self.kind(item.id) == Some(Many::Relation) {
                values.push(item.child(self.prefixed(item.id)?));
                let other = *self.arena.many(item.id).first()?;
                same &= matches!(self.scalar(Item::new(name), Item::new(other)), Equal(_));
            } else {
                values.push(item);
            }
        }
        Some((values, same))
    }

    /// `x < 2` or `x > 5` against a union of intervals.
    fn union_of_inequalities(&mut self, a: Item, b: Item) -> Option<Outcome> {
        for (list, union) in [(a, b), (b, a)] {
            if self.kind(list.id) == Some(Many::List) && self.kind(union.id) == Some(Many::Union) {
                let mut sets = Vec::new();
                for id in self.arena.many(list.id).to_vec() {
                    sets.push(Item::new(self.as_set(id)?.1));
                }
                let union = self.arena.many(union.id).iter().map(|&id| Item::new(id)).collect();
                return Some(through(Rule::Inequality, self.unordered(sets, union, Rule::Union, true)));
            }
        }
        None
    }

    /// The same values in any order; as sets, repetitions do not count.
    fn unordered(&mut self, x: Vec<Item>, y: Vec<Item>, rule: Rule, set: bool) -> Outcome {
        if (!set && x.len() != y.len()) || x.is_empty() != y.is_empty() {
            return Different(rule);
        }
        let mut pairs = vec![None; x.len() * y.len()];
        let mut pair =
            |me: &mut Self, i: usize, k: usize| *pairs[i * y.len() + k].get_or_insert_with(|| me.same(x[i], y[k]));
        let mut taken = vec![false; y.len()];
        let mut found = vec![false; x.len()];
        for (i, found) in found.iter_mut().enumerate() {
            for (k, taken) in taken.iter_mut().enumerate() {
                if *taken && (*found || !set) {
                    continue;
                }
                if matches!(pair(self, i, k), Equal(_)) {
                    (*taken, *found) = (true, true);
                    if !set {
                        break;
                    }
                }
            }
        }
        if found.iter().chain(&taken).all(|one| *one) {
            return Equal(rule);
        }
        // What is missing may have been given up on. Every pair is looked at, so that neither the verdict nor what it
        // costs depends on which side is which.
        let all: Vec<Outcome> = (0..x.len() * y.len()).map(|at| pair(self, at / y.len(), at % y.len())).collect();
        let different = |i: usize, k: usize| matches!(all[i * y.len() + k], Different(_));
        let absent = (0..x.len()).any(|i| (0..y.len()).all(|k| different(i, k)))
            || (0..y.len()).any(|k| (0..x.len()).all(|i| different(i, k)));
        let unknown = |pair: &Outcome| if let Unknown(why) = pair { Some(*why) } else { None };
        let why = all.iter().filter_map(unknown).min_by_key(|why| *why as usize);
        match why {
            Some(why) if self.meter.is_empty() || !absent => Unknown(why),
            _ => Different(rule),
        }
    }

    /// The value in `name = value` or `value = name`, and the set in `name ∈ set`. Chains, and `3 + 2 = 5`, must agree
    /// with themselves.
    fn prefixed(&mut self, id: Id) -> Option<Id> {
        let sides = self.arena.many(id).to_vec();
        let operators = self.arena.operators(id).to_vec();
        let (first, last) = (*sides.first()?, *sides.last()?);
        let free = |me: &Self, id: Id| !me.arena.has(id, flag::VARIABLE);
        let named = self.is_name(first) || (free(self, last) && self.is_quantity(first));
        match operators.as_slice() {
            [Relation::In | Relation::Eq] if named => Some(last),
            [Relation::Eq] if self.is_name(last) && free(self, first) => Some(first),
            _ if operators.iter().all(|r| *r == Relation::Eq) => {
                let inner = if named { &sides[1..] } else { &sides[..] };
                let known = named || sides.iter().all(|&s| free(self, s));
                let agree = known
                    && inner.iter().all(|&s| s == last || matches!(self.same(Item::new(s), Item::new(last)), Equal(_)));
                agree.then_some(last)
            }
            _ => None,
        }
    }

    /// `x`, `f(x)`, `f(x, y)`, `(x, y)`.
    fn is_name(&self, id: Id) -> bool {
        let plain = |id: Id| matches!(self.arena.node(id), Node::Variable(_) | Node::Euler | Node::Imaginary);
        match self.arena.node(id) {
            Node::Apply(_, argument) => match self.kind(argument) {
                Some(Many::List) => self.arena.many(argument).iter().all(|&a| plain(a)),
                _ => plain(argument),
            },
            Node::Many(Many::Tuple(..), ..) => self.arena.many(id).iter().all(|&a| plain(a)),
            _ => plain(id),
        }
    }

    /// What may be said to have a constant value: `AB`, `|AB|`, `∠ABC`, `P(X = 3)`.
    fn is_quantity(&self, id: Id) -> bool {
        match self.arena.node(id) {
            Node::Apply(name, argument) => self.is_name(name) && self.kind(argument) != Some(Many::List),
            Node::Call(Function::Abs, inner) => self.is_quantity(inner),
            _ => (self.arena.first[id as usize]..=id).all(|n| {
                matches!(
                    self.arena.node(n),
                    Node::Variable(_) | Node::Multiply(..) | Node::Euler | Node::Imaginary | Node::Apply(..)
                )
            }),
        }
    }

    /// The variable and the set of an inequality solved for it, or of `x ∈ set`.
    fn as_set(&mut self, id: Id) -> Option<(Id, Id)> {
        if self.kind(id) != Some(Many::Relation) {
            return None;
        }
        let sides = self.arena.many(id).to_vec();
        let operators = self.arena.operators(id).to_vec();
        if let [Relation::In] = operators.as_slice() {
            return Some((sides[0], sides[1]));
        }
        let is_variable = |me: &Self, id: Id| matches!(me.arena.node(id), Node::Variable(_));
        let is_bound = |me: &Self, id: Id| !me.arena.has(id, flag::VARIABLE | flag::MANY);
        // Rewritten as lower < x < upper.
        let (name, lower, upper) = match (sides.as_slice(), operators.as_slice()) {
            (&[x, c], &[r]) | (&[c, x], &[r]) if is_variable(self, x) && is_bound(self, c) => {
                let r = if sides[0] == x { r } else { r.flip() };
                match r {
                    Relation::Lt | Relation::Le => (x, None, Some((c, r == Relation::Le))),
                    Relation::Gt | Relation::Ge => (x, Some((c, r == Relation::Ge)), None),
                    _ => return None,
                }
            }
            (&[p, x, q], &[r, s]) if is_variable(self, x) && is_bound(self, p) && is_bound(self, q) => {
                let closed = |r| matches!(r, Relation::Le | Relation::Ge);
                let up = |r| matches!(r, Relation::Lt | Relation::Le);
                let down = |r| matches!(r, Relation::Gt | Relation::Ge);
                if up(r) && up(s) {
                    (x, Some((p, closed(r))), Some((q, closed(s))))
                } else if down(r) && down(s) {
                    (x, Some((q, closed(s))), Some((p, closed(r))))
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        let (low, open) = match lower {
            Some((id, closed)) => (id, if closed { b'[' } else { b'(' }),
            None => {
                let infinity = self.arena.push(Node::Infinity).ok()?;
                (self.arena.push(Node::Negate(infinity)).ok()?, b'(')
            }
        };
        let (high, close) = match upper {
            Some((id, closed)) => (id, if closed { b']' } else { b')' }),
            None => (self.arena.push(Node::Infinity).ok()?, b')'),
        };
        let set = self.arena.push_many(Many::Tuple(open, close), &[low, high], &[]).ok()?;
        Some((name, set))
    }

    fn relation_or_value(&mut self, relation: Item, value: Item) -> Outcome {
        if let Some(inner) = self.prefixed(relation.id) {
            return through(Rule::Prefix, self.same(relation.child(inner), value));
        }
        match self.as_set(relation.id) {
            Some((_, set)) => through(Rule::Inequality, self.same(relation.child(set), value)),
            None => Different(Rule::Shape),
        }
    }

    fn relations(&mut self, a: Item, b: Item) -> Outcome {
        let (x, y) = (self.arena.many(a.id).to_vec(), self.arena.many(b.id).to_vec());
        let (p, q) = (self.arena.operators(a.id).to_vec(), self.arena.operators(b.id).to_vec());
        if p.iter().chain(&q).any(|r| *r != Relation::Eq && *r != Relation::Ne)
            && let (Some((v, s)), Some((w, t))) = (self.as_set(a.id), self.as_set(b.id))
        {
            return match self.same(a.child(v), b.child(w)) {
                Equal(_) => through(Rule::Inequality, self.same(a.child(s), b.child(t))),
                other => other,
            };
        }
        match (p.as_slice(), q.as_slice()) {
            (&[r], &[s]) => self.two_sided((a.child(x[0]), r, a.child(x[1])), (b.child(y[0]), s, b.child(y[1]))),
            _ => {
                // Chains: `y = a = b` by its ends if it agrees with itself, else link by link.
                if let (Some(v), Some(w)) = (self.prefixed(a.id), self.prefixed(b.id)) {
                    let names = self.same(a.child(x[0]), b.child(y[0]));
                    let values = self.same(a.child(v), b.child(w));
                    return all(Rule::Equation, [names, values].into_iter());
                }
                let rule = Rule::Inequality;
                if x.len() != y.len() {
                    return Different(rule);
                }
                let flipped: Vec<Relation> = q.iter().rev().map(|r| r.flip()).collect();
                let y: Vec<Id> = if p == q {
                    y
                } else if p == flipped {
                    y.into_iter().rev().collect()
                } else {
                    return Different(rule);
                };
                let parts: Vec<Outcome> = x.iter().zip(&y).map(|(&x, &y)| self.same(a.child(x), b.child(y))).collect();
                all(rule, parts.into_iter())
            }
        }
    }

    /// One equation or inequality against another.
    fn two_sided(&mut self, a: (Item, Relation, Item), b: (Item, Relation, Item)) -> Outcome {
        let rising = |(l, r, h): (Item, Relation, Item)| match r {
            Relation::Gt | Relation::Ge => (h, r.flip(), l),
            _ => (l, r, h),
        };
        let ((x, r, y), (z, s, w)) = (rising(a), rising(b));
        let equation = [r, s].iter().all(|r| matches!(r, Relation::Eq | Relation::Ne | Relation::In));
        let rule = if equation { Rule::Equation } else { Rule::Inequality };
        if r != s {
            return Different(rule);
        }
        let sides = [(x, y), (z, w)].map(|(l, h)| [l, h].iter().all(|i| !self.arena.has(i.id, flag::MANY)));
        let left = self.same(x, z);
        if let Equal(_) = left {
            let right = self.same(y, w);
            if !matches!(right, Different(_)) || sides != [true, true] {
                return all(rule, [right].into_iter());
            }
        }
        if r == Relation::In || sides != [true, true] {
            return all(rule, [left, Different(rule)].into_iter());
        }
        let difference = |l: Item, h: Item| Side { item: h, minus: Some(l.id) };
        match self.proportional(difference(x, y), difference(z, w)) {
            Ok(Some(sign)) if equation || sign > 0 => Equal(rule),
            Ok(_) => Different(rule),
            Err(super::budget::Stop::Budget) => Unknown(Rule::Budget),
            Err(_) => Different(rule),
        }
    }
}
