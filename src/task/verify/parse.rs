//! From tokens to a tree: a Pratt parser over the grammar stated in the module's documentation.

use super::ast::{Arena, Function, Id, Many, Node, Relation};
use super::budget::{MAX_DEPTH, MAX_DIGITS, MAX_ITEMS, Stop};
use super::lex::{Kind, Token};
use super::symbol;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Num, Zero};
use std::borrow::Cow;

/// Binding powers, weakest first.
mod power {
    pub const SET: u8 = 10;
    pub const RATIO: u8 = 15;
    pub const SUM: u8 = 20;
    pub const PRODUCT: u8 = 30;
    pub const SIGN: u8 = 40;
}

pub(super) struct Parser<'t, 'a> {
    tokens: &'t [Token<'a>],
    pub(super) at: usize,
    /// The token at `at`, where a part of it has been consumed (`\frac12` takes `1` of `12`).
    split: Option<String>,
    depth: usize,
    /// Open `|`, inside which a `|` closes.
    bars: usize,
    pub(super) arena: &'t mut Arena,
}

/// Parses a whole answer. Nothing may be left over.
pub fn parse(tokens: &[Token<'_>], arena: &mut Arena) -> Result<Id, Stop> {
    let mut parser = Parser { tokens, at: 0, split: None, depth: 0, bars: 0, arena };
    let id = parser.list(true)?;
    // A closing brace too many does no harm to what it closes.
    while parser.peek_is("}") {
        parser.at += 1;
    }
    if parser.at < tokens.len() { Err(Stop::Syntax) } else { Ok(id) }
}

impl<'t, 'a> Parser<'t, 'a> {
    fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_is(&self, s: &str) -> bool {
        self.split.is_none() && self.peek().is_some_and(|t| t.is(s))
    }

    fn peek_command(&self, s: &str) -> bool {
        self.peek().is_some_and(|t| t.is_command(s))
    }

    fn eat(&mut self, s: &str) -> bool {
        let hit = self.peek_is(s);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, s: &str) -> Result<(), Stop> {
        // A brace left open at the end of the answer is closed by it.
        if self.eat(s) || (s == "}" && self.at >= self.tokens.len()) { Ok(()) } else { Err(Stop::Syntax) }
    }

    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Budget);
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    /// `a, b; c or d`. One item is itself.
    pub(super) fn list(&mut self, words: bool) -> Result<Id, Stop> {
        let mut items = vec![self.relation()?];
        loop {
            let word = self.peek().is_some_and(|t| t.kind == Kind::Word && matches!(&*t.s, "or" | "and"));
            let comma = self.peek_is(",") || self.peek_is(";");
            if !(comma || (words && word)) {
                break;
            }
            self.at += 1;
            if comma && words && self.peek().is_some_and(|t| t.kind == Kind::Word && matches!(&*t.s, "or" | "and")) {
                self.at += 1;
            }
            items.push(self.relation()?);
            if items.len() > MAX_ITEMS {
                return Err(Stop::Budget);
            }
        }
        if items.len() == 1 { Ok(items[0]) } else { self.arena.push_many(Many::List, &items, &[]) }
    }

    fn operator(&self) -> Option<Relation> {
        let t = self.peek()?;
        Some(match (t.kind, &*t.s) {
            (Kind::Sym, "=") => Relation::Eq,
            (Kind::Sym, "!=") => Relation::Ne,
            (Kind::Sym, "<") => Relation::Lt,
            (Kind::Sym, "<=") => Relation::Le,
            (Kind::Sym, ">") => Relation::Gt,
            (Kind::Sym, ">=") => Relation::Ge,
            (Kind::Command, "in") => Relation::In,
            (Kind::Command, "approx" | "simeq" | "equiv") => Relation::Eq,
            _ => return None,
        })
    }

    fn relation(&mut self) -> Result<Id, Stop> {
        let mut sides = vec![self.expression(0)?];
        let mut operators = Vec::new();
        while let Some(op) = self.operator() {
            self.at += 1;
            operators.push(op);
            sides.push(self.expression(0)?);
            if sides.len() > MAX_ITEMS {
                return Err(Stop::Budget);
            }
        }
        if operators.is_empty() { Ok(sides[0]) } else { self.arena.push_many(Many::Relation, &sides, &operators) }
    }

    fn expression(&mut self, min: u8) -> Result<Id, Stop> {
        self.nested(|p| {
            let left = p.prefix()?;
            p.infix(left, min)
        })
    }

    fn prefix(&mut self) -> Result<Id, Stop> {
        if self.eat("-") {
            let inner = self.expression(power::SIGN)?;
            return self.arena.push(Node::Negate(inner));
        }
        if self.eat("+") {
            return self.expression(power::SIGN);
        }
        if self.peek_command("pm") || self.peek_command("mp") {
            let flipped = self.peek_command("mp");
            self.at += 1;
            let zero = self.arena.number(BigRational::zero())?;
            let inner = self.expression(power::PRODUCT)?;
            return self.arena.push(Node::PlusMinus(zero, inner, flipped));
        }
        self.postfixed()
    }

    fn infix(&mut self, mut left: Id, min: u8) -> Result<Id, Stop> {
        loop {
            let Some(t) = self.peek() else { return Ok(left) };
            let (bp, op) = match (t.kind, &*t.s) {
                _ if self.split.is_some() => (power::PRODUCT, "juxtaposed"),
                (Kind::Command, s @ ("cup" | "cap" | "setminus")) => (power::SET, s),
                (Kind::Sym, ":") => (power::RATIO, ":"),
                (Kind::Sym, s @ ("+" | "-")) => (power::SUM, s),
                (Kind::Command, s @ ("pm" | "mp")) => (power::SUM, s),
                (Kind::Sym, s @ ("*" | "/")) => (power::PRODUCT, s),
                _ if self.starts_factor() => (power::PRODUCT, "juxtaposed"),
                _ => return Ok(left),
            };
            if bp <= min {
                return Ok(left);
            }
            if op != "juxtaposed" {
                self.at += 1;
            }
            left = match op {
                "juxtaposed" => self.juxtaposed(left)?,
                "cup" | "cap" | "setminus" | ":" => self.chain(left, op, bp)?,
                _ => {
                    let right = self.expression(bp)?;
                    self.arena.push(match op {
                        "+" => Node::Add(left, right),
                        "-" => Node::Subtract(left, right),
                        "*" => Node::Multiply(left, right),
                        "/" => Node::Divide(left, right),
                        _ => Node::PlusMinus(left, right, op == "mp"),
                    })?
                }
            };
        }
    }

    fn chain(&mut self, left: Id, op: &str, bp: u8) -> Result<Id, Stop> {
        let mut items = vec![left, self.expression(bp)?];
        while self.peek_is(op) || self.peek_command(op) {
            self.at += 1;
            items.push(self.expression(bp)?);
            if items.len() > MAX_ITEMS {
                return Err(Stop::Budget);
            }
        }
        let kind = match op {
            "cup" => Many::Union,
            "cap" => Many::Intersection,
            "setminus" => Many::Difference,
            _ => Many::Ratio,
        };
        self.arena.push_many(kind, &items, &[])
    }

    /// Two factors side by side: a product, except `1 \frac{4}{5}` and `2 1/2`, which are sums.
    fn juxtaposed(&mut self, left: Id) -> Result<Id, Stop> {
        let negative = match self.arena.node(left) {
            Node::Negate(inner) => Some(inner),
            _ => None,
        };
        let number = self.arena.node(negative.unwrap_or(left));
        let whole = matches!(number, Node::Number(n) if self.arena.numbers[n as usize].is_integer());
        // −1½ is −(1 + ½).
        let mixed = |part| if negative.is_some() { Node::Subtract(left, part) } else { Node::Add(left, part) };
        let digits = |t: Option<&Token<'_>>| t.is_some_and(|t| t.kind == Kind::Num && !t.s.contains(['.', 'e', 'E']));
        if whole && self.peek_command("frac") && !self.after_scripted() {
            let right = self.postfixed()?;
            let proper = match self.arena.node(right) {
                Node::Divide(a, b) => {
                    matches!((self.arena.node(a), self.arena.node(b)), (Node::Number(_), Node::Number(_)))
                }
                _ => false,
            };
            return self.arena.push(if proper { mixed(right) } else { Node::Multiply(left, right) });
        }
        if self.split.is_none() && self.peek().is_some_and(|t| t.kind == Kind::Num) {
            // A numeral after a numeral is only read in a mixed number.
            let slash = self.tokens.get(self.at + 1).is_some_and(|t| t.is("/"));
            let after = self.tokens.get(self.at + 3);
            let plain = digits(self.peek()) && slash && digits(self.tokens.get(self.at + 2));
            let alone = after.is_none_or(|t| t.kind == Kind::Sym && !t.is("^") && !t.is("("));
            if whole && plain && alone && !self.after_scripted() {
                let a = self.postfixed()?;
                self.at += 1;
                let b = self.postfixed()?;
                let part = self.arena.push(Node::Divide(a, b))?;
                return self.arena.push(mixed(part));
            }
            let number_before = self.at > 0 && self.tokens[self.at - 1].kind == Kind::Num;
            if number_before && !self.after_scripted() {
                return Err(Stop::Syntax);
            }
        }
        let right = self.expression(power::PRODUCT)?;
        self.arena.push(Node::Multiply(left, right))
    }

    /// The token before is an exponent or a subscript.
    fn after_scripted(&self) -> bool {
        self.at >= 2 && (self.tokens[self.at - 2].is("^") || self.tokens[self.at - 2].is("_"))
    }

    pub(super) fn starts_factor(&self) -> bool {
        let Some(t) = self.peek() else { return false };
        match t.kind {
            Kind::Num => true,
            Kind::Word => !matches!(&*t.s, "or" | "and"),
            Kind::Command => {
                symbol::letter(&t.s)
                    || symbol::function(&t.s).is_some()
                    || matches!(&*t.s, "frac" | "sqrt" | "binom" | "pi" | "infty" | "lfloor" | "lceil" | "dot" | "ddot")
                    || matches!(&*t.s, "hat" | "tilde" | "overline" | "langle" | "emptyset")
            }
            Kind::Begin => true,
            Kind::Sym => matches!(&*t.s, "(" | "[" | "{" | "\\{") || (t.s == "|" && self.bars == 0),
            Kind::End | Kind::Other => false,
        }
    }

    /// A primary with its exponents, factorials, percent and degree signs.
    pub(super) fn postfixed(&mut self) -> Result<Id, Stop> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    pub(super) fn postfix(&mut self, mut left: Id) -> Result<Id, Stop> {
        loop {
            if self.split.is_some() {
                return Ok(left);
            }
            if self.eat("^") {
                let exponent = self.nested(|p| p.exponent())?;
                left = self.arena.push(Node::Power(left, exponent))?;
            } else if self.eat("!") {
                left = self.arena.push(Node::Call(Function::Factorial, left))?;
            } else if self.eat("%") {
                left = self.arena.push(Node::Percent(left))?;
            } else if self.eat("°") {
                left = self.arena.push(Node::Degrees(left, false))?;
            } else {
                return Ok(left);
            }
        }
    }

    fn exponent(&mut self) -> Result<Id, Stop> {
        if self.eat("-") {
            let inner = self.nested(|p| p.exponent())?;
            return self.arena.push(Node::Negate(inner));
        }
        self.eat("+");
        // `^{T}`-like scripts and powers of powers bind to the right.
        let base = self.argument()?;
        if self.eat("^") {
            let exponent = self.nested(|p| p.exponent())?;
            return self.arena.push(Node::Power(base, exponent));
        }
        Ok(base)
    }

    /// One braced group, or one token as TeX would take it, with whole numerals and whole names.
    pub(super) fn argument(&mut self) -> Result<Id, Stop> {
        let t = self.peek().ok_or(Stop::Syntax)?;
        if t.kind == Kind::Word && t.s.len() > 1 && symbol::word_command(&t.s).is_none() {
            // `x^ab`: the first letter is the argument.
            let (head, tail) = t.s.split_at(1);
            let rest = self.split.take().unwrap_or_else(|| tail.to_owned());
            let id = self.letters(head)?;
            self.split = Some(rest);
            return Ok(id);
        }
        self.primary()
    }

    /// An argument of `\frac`: there a numeral gives its first digit only.
    pub(super) fn digit(&mut self) -> Result<Id, Stop> {
        let Some(t) = self.peek() else { return Err(Stop::Syntax) };
        if t.kind != Kind::Num {
            return self.nested(|p| p.argument());
        }
        let s: Cow<'_, str> = match self.split.take() {
            Some(rest) => Cow::Owned(rest),
            None => Cow::Borrowed(&*t.s),
        };
        if !s.as_bytes()[0].is_ascii_digit() {
            return Err(Stop::Syntax);
        }
        let id = self.numeral(&s[..1])?;
        if s.len() > 1 {
            self.split = Some(s[1..].to_owned());
        } else {
            self.at += 1;
        }
        Ok(id)
    }

    pub(super) fn take_split(&mut self) -> Option<String> {
        self.split.take().inspect(|_| self.at += 1)
    }

    pub(super) fn token(&self) -> Option<&'t Token<'a>> {
        self.peek()
    }

    pub(super) fn tokens(&self) -> &'t [Token<'a>] {
        self.tokens
    }

    pub(super) fn close(&mut self, s: &str) -> Result<(), Stop> {
        self.expect(s)
    }

    pub(super) fn accept(&mut self, s: &str) -> bool {
        self.eat(s)
    }

    pub(super) fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.nested(f)
    }

    /// What stands between two bars.
    pub(super) fn barred(&mut self, close: &str) -> Result<Id, Stop> {
        let before = std::mem::replace(&mut self.bars, 1);
        let inner = self.expression(0);
        self.bars = before;
        let inner = inner?;
        self.expect(close)?;
        self.arena.push(Node::Call(Function::Abs, inner))
    }

    /// What stands between brackets, where bars start anew.
    pub(super) fn bracketed(&mut self) -> Result<Id, Stop> {
        let before = std::mem::replace(&mut self.bars, 0);
        let inner = self.nested(|p| p.list(false));
        self.bars = before;
        inner
    }

    pub(super) fn numeral(&mut self, s: &str) -> Result<Id, Stop> {
        let value = rational(s)?;
        self.arena.number(value)
    }
}

/// The exact value of a numeral such as `12`, `.5`, `3.`, `4.5e-33`.
pub fn rational(s: &str) -> Result<BigRational, Stop> {
    let (mantissa, exponent) = match s.find(['e', 'E']) {
        Some(k) => (&s[..k], &s[k + 1..]),
        None => (s, "0"),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if s.len() > MAX_DIGITS || exponent.len() > 9 {
        return Err(Stop::Budget);
    }
    let exponent: i64 = exponent.parse().map_err(|_| Stop::Syntax)?;
    if exponent.unsigned_abs() as usize > MAX_DIGITS {
        return Err(Stop::Budget);
    }
    let scale = exponent - part.len() as i64;
    if whole.len() <= 17 && part.is_empty() && scale == 0 {
        return Ok(BigRational::from_integer(BigInt::from(whole.parse::<i64>().map_err(|_| Stop::Syntax)?)));
    }
    let digits = format!("{whole}{part}");
    let digits = BigInt::from_str_radix(&digits, 10).map_err(|_| Stop::Syntax)?;
    let ten = BigInt::from(10).pow(scale.unsigned_abs() as u32);
    Ok(if scale >= 0 { BigRational::from_integer(digits * ten) } else { BigRational::new(digits, ten) })
}
