//! The parser's atoms: numerals, names, functions, fractions, roots, groups, matrices.

use super::ast::{Function, Id, Many, Node};
use super::budget::{MAX_ITEMS, Stop};
use super::eval::is_function;
use super::lex::Kind;
use super::parse::{Parser, rational};
use super::symbol;
use num_bigint::BigInt;
use num_rational::BigRational;

impl Parser<'_, '_> {
    pub(super) fn primary(&mut self) -> Result<Id, Stop> {
        if let Some(rest) = self.take_split() {
            return if rest.as_bytes()[0].is_ascii_alphabetic() { self.letters(&rest) } else { self.numeral(&rest) };
        }
        let t = self.token().ok_or(Stop::Syntax)?;
        match t.kind {
            Kind::Num => {
                self.at += 1;
                self.numeric(&t.s)
            }
            Kind::Word => {
                if let Some(name) = symbol::word_command(&t.s) {
                    return self.named(name);
                }
                // Words of prose are no products.
                if t.s.len() > 1 && (t.text || t.s.len() > 5 || (t.s.len() > 3 && !is_upper(&t.s))) {
                    return Err(Stop::Syntax);
                }
                for name in ["sin", "cos", "tan", "ln"] {
                    if let Some(rest) = t.s.strip_prefix(name).filter(|r| r.len() == 1) {
                        self.at += 1;
                        let argument = self.letters(rest)?;
                        return self.call(name, argument);
                    }
                }
                self.at += 1;
                self.letters(&t.s)
            }
            Kind::Command => self.named(&t.s),
            Kind::Begin => {
                self.at += 1;
                self.deeper(|p| p.matrix(&t.s))
            }
            Kind::Sym => self.group(&t.s),
            Kind::End | Kind::Other => Err(Stop::Syntax),
        }
    }

    /// A numeral, maybe with a base (`52_8`) or repeating digits.
    fn numeric(&mut self, s: &str) -> Result<Id, Stop> {
        if self.accept("_") {
            let braced = self.accept("{");
            let base = self.token().filter(|t| t.kind == Kind::Num).ok_or(Stop::Syntax)?;
            let base: u32 = base.s.parse().map_err(|_| Stop::Syntax)?;
            self.at += 1;
            if braced {
                self.close("}")?;
            }
            if s.contains(['.', 'e', 'E']) {
                return Err(Stop::Syntax);
            }
            let digits = s.trim_start_matches('0').to_owned();
            let digits = self.arena.name(&digits);
            return self.arena.push(Node::Based(digits, base));
        }
        if self.token().is_some_and(|t| t.is_command("overline")) && s.contains('.') {
            self.at += 1;
            let braced = self.accept("{");
            let cycle = self.token().filter(|t| t.kind == Kind::Num && !t.s.contains(['.', 'e', 'E']));
            let cycle = cycle.ok_or(Stop::Syntax)?.s.clone();
            self.at += 1;
            if braced {
                self.close("}")?;
            }
            let places = s.len() - s.find('.').unwrap_or(0) - 1;
            let head = rational(s)?;
            let tail = rational(&cycle)?;
            let ten = BigInt::from(10);
            let unit = ten.pow(places as u32) * (ten.pow(cycle.len() as u32) - 1);
            return self.arena.number(head + tail / BigRational::from_integer(unit));
        }
        self.numeral(s)
    }

    /// A run of letters: a product of one-letter names, of which the last may carry a subscript, primes or arguments.
    pub(super) fn letters(&mut self, s: &str) -> Result<Id, Stop> {
        let mut product = None;
        for (k, c) in s.char_indices() {
            let last = k + c.len_utf8() == s.len();
            let id = match c {
                'e' if !self.peek_is("_") || !last => self.arena.push(Node::Euler)?,
                'i' if !self.peek_is("_") || !last => self.arena.push(Node::Imaginary)?,
                _ => {
                    let name = if last { self.decorated(&s[k..]) } else { c.to_string() };
                    let name = self.arena.name(&name);
                    self.arena.push(Node::Variable(name))?
                }
            };
            let id = if last { self.applied(id)? } else { id };
            product = Some(match product {
                None => id,
                Some(before) => {
                    // `ab^2` is a·b², so the exponent goes to the last letter.
                    let id = if last { self.postfix(id)? } else { id };
                    self.arena.push(Node::Multiply(before, id))?
                }
            });
        }
        product.ok_or(Stop::Syntax)
    }

    /// `name` with the subscripts and primes that follow it.
    fn decorated(&mut self, name: &str) -> String {
        let mut out = name.to_owned();
        // `x1` in plain text is a name.
        if let Some(t) = self.token()
            && t.kind == Kind::Num
            && !t.gap
            && !t.s.contains(['.', 'e', 'E'])
            && name.len() == 1
            && !self.tokens().get(self.at + 1).is_some_and(|t| t.is("^"))
            && self.at > 0
            && self.tokens()[self.at - 1].kind == Kind::Word
        {
            out.push('_');
            out.push_str(&t.s);
            self.at += 1;
        }
        loop {
            if self.accept("'") {
                out.push('\'');
            } else if self.accept("_") {
                out.push('_');
                if self.accept("{") {
                    let mut open = 1;
                    while let Some(t) = self.token() {
                        self.at += 1;
                        open += i32::from(t.is("{")) - i32::from(t.is("}"));
                        if open == 0 {
                            break;
                        }
                        out.push_str(&t.s);
                    }
                } else if let Some(t) = self.token() {
                    out.push_str(&t.s);
                    self.at += 1;
                }
            } else {
                return out;
            }
        }
    }

    /// `f(x)`: an application where brackets follow a name at once.
    fn applied(&mut self, id: Id) -> Result<Id, Stop> {
        // `f^{-1}(x)`
        let ahead = self.tokens().get(self.at..self.at + 6).unwrap_or(&[]);
        let inverse = ["^", "{", "-", "1", "}", "("].iter().zip(ahead).all(|(s, t)| t.s == *s) && ahead.len() == 6;
        let mut id = id;
        if let Node::Variable(name) = self.arena.node(id)
            && inverse
            && is_function(&self.arena.names[name as usize])
        {
            self.at += 5;
            let name = format!("{}_inverse", self.arena.names[name as usize]);
            let name = self.arena.name(&name);
            id = self.arena.push(Node::Variable(name))?;
        }
        let bracket = self.token().is_some_and(|t| t.is("(") && !t.gap);
        if !bracket || !matches!(self.arena.node(id), Node::Variable(_)) {
            return Ok(id);
        }
        self.at += 1;
        let argument = self.bracketed()?;
        self.close(")")?;
        self.arena.push(Node::Apply(id, argument))
    }

    fn named(&mut self, name: &str) -> Result<Id, Stop> {
        self.at += 1;
        match name {
            "pi" => self.arena.push(Node::Pi),
            "infty" => self.arena.push(Node::Infinity),
            "emptyset" => self.arena.push_many(Many::Set, &[], &[]),
            "frac" | "binom" => {
                let a = self.digit()?;
                let b = self.digit()?;
                self.arena.push(if name == "frac" { Node::Divide(a, b) } else { Node::Binomial(a, b) })
            }
            "sqrt" => {
                let index = if self.accept("[") {
                    let index = self.bracketed()?;
                    self.close("]")?;
                    index
                } else {
                    self.numeral("2")?
                };
                let radicand = self.deeper(|p| p.argument())?;
                self.arena.push(Node::Root(index, radicand))
            }
            "lfloor" | "lceil" => {
                let inner = self.bracketed()?;
                let (close, f) = if name == "lfloor" { ("rfloor", Function::Floor) } else { ("rceil", Function::Ceil) };
                if !self.token().is_some_and(|t| t.is_command(close)) {
                    return Err(Stop::Syntax);
                }
                self.at += 1;
                self.arena.push(Node::Call(f, inner))
            }
            "langle" => {
                let items = self.bracketed()?;
                if !self.token().is_some_and(|t| t.is_command("rangle")) {
                    return Err(Stop::Syntax);
                }
                self.at += 1;
                self.tuple(items, b'<', b'>')
            }
            "dot" | "ddot" | "hat" | "tilde" | "overline" => {
                let braced = self.accept("{");
                let t = self.token().ok_or(Stop::Syntax)?;
                let inner = match t.kind {
                    Kind::Word => t.s.clone(),
                    Kind::Command if symbol::letter(&t.s) => t.s.clone(),
                    _ => return Err(Stop::Syntax),
                };
                self.at += 1;
                if braced {
                    self.close("}")?;
                }
                let name = self.decorated(&format!("{name} {inner}"));
                let name = self.arena.name(&name);
                let id = self.arena.push(Node::Variable(name))?;
                self.applied(id)
            }
            _ if symbol::letter(name) => {
                let name = self.decorated(name);
                let name = self.arena.name(&name);
                let id = self.arena.push(Node::Variable(name))?;
                self.applied(id)
            }
            _ => match symbol::function(name) {
                Some(name) => self.deeper(|p| p.function(name)),
                None => Err(Stop::Syntax),
            },
        }
    }

    /// A function with what comes between its name and its argument.
    fn function(&mut self, name: &str) -> Result<Id, Stop> {
        let base = if matches!(name, "log") && self.accept("_") { Some(self.argument()?) } else { None };
        let mut exponent = None;
        let mut name = name;
        if self.accept("^") {
            let id = self.deeper(|p| p.argument())?;
            let inverse = match self.arena.node(id) {
                Node::Negate(one) => self.is_one(one),
                _ => false,
            };
            match (name, inverse) {
                ("sin", true) => name = "arcsin",
                ("cos", true) => name = "arccos",
                ("tan", true) => name = "arctan",
                _ => exponent = Some(id),
            }
        }
        let argument = self.function_argument()?;
        let value = match base {
            Some(base) => self.arena.push(Node::LogBase(base, argument))?,
            None => self.call(name, argument)?,
        };
        match exponent {
            Some(exponent) => self.arena.push(Node::Power(value, exponent)),
            None => Ok(value),
        }
    }

    fn is_one(&self, id: Id) -> bool {
        matches!(self.arena.node(id), Node::Number(n) if self.arena.numbers[n as usize] == BigRational::from_integer(1.into()))
    }

    fn call(&mut self, name: &str, argument: Id) -> Result<Id, Stop> {
        use Function::*;
        let f = match name {
            "sin" => Sin,
            "cos" => Cos,
            "tan" => Tan,
            "cot" => Cot,
            "sec" => Sec,
            "csc" => Csc,
            "arcsin" => Arcsin,
            "arccos" => Arccos,
            "arctan" => Arctan,
            "sinh" => Sinh,
            "cosh" => Cosh,
            "tanh" => Tanh,
            "ln" => Ln,
            "log" => Log,
            "exp" => Exp,
            "lg" => {
                let ten = self.numeral("10")?;
                return self.arena.push(Node::LogBase(ten, argument));
            }
            // `max`, `min`, `gcd`, `lcm` of a list.
            _ => return Err(Stop::Unsupported),
        };
        if matches!(f, Sin | Cos | Tan | Cot | Sec | Csc) {
            self.arena.mark_angle(argument);
        }
        self.arena.push(Node::Call(f, argument))
    }

    /// A group alone, or the factors up to the next operator or function.
    fn function_argument(&mut self) -> Result<Id, Stop> {
        if ["(", "[", "{"].iter().any(|s| self.peek_is(s)) {
            return self.primary();
        }
        if self.accept("-") {
            let inner = self.deeper(|p| p.function_argument())?;
            return self.arena.push(Node::Negate(inner));
        }
        let mut product = self.deeper(|p| p.postfixed())?;
        while let Some(t) = self.token() {
            let function = symbol::function(&t.s).is_some();
            if function || t.kind == Kind::Num || !self.starts_factor() || t.is("[") {
                break;
            }
            let next = self.deeper(|p| p.postfixed())?;
            product = self.arena.push(Node::Multiply(product, next))?;
        }
        Ok(product)
    }

    fn tuple(&mut self, items: Id, open: u8, close: u8) -> Result<Id, Stop> {
        match self.arena.node(items) {
            Node::Many(Many::List, ..) => {
                let items = self.arena.many(items).to_vec();
                self.arena.push_many(Many::Tuple(open, close), &items, &[])
            }
            _ => Ok(items),
        }
    }

    fn group(&mut self, open: &str) -> Result<Id, Stop> {
        self.at += 1;
        match open {
            "(" | "[" => {
                let items = self.bracketed()?;
                let listed = matches!(self.arena.node(items), Node::Many(Many::List, ..));
                let close = match (self.peek_is(")"), self.peek_is("]")) {
                    (true, _) if listed || open == "(" => b')',
                    (_, true) if listed || open == "[" => b']',
                    _ => return Err(Stop::Syntax),
                };
                self.at += 1;
                self.tuple(items, open.as_bytes()[0], close)
            }
            "{" => {
                let items = self.bracketed()?;
                self.close("}")?;
                self.set_of_list(items)
            }
            "\\{" => {
                if self.accept("\\}") {
                    return self.arena.push_many(Many::Set, &[], &[]);
                }
                let items = self.bracketed()?;
                // `\{1, 2}`: the backslash is often forgotten at the end.
                if !self.accept("\\}") {
                    self.close("}")?;
                }
                match self.arena.node(items) {
                    Node::Many(Many::List, ..) => self.set_of_list(items),
                    _ => self.arena.push_many(Many::Set, &[items], &[]),
                }
            }
            "|" => self.deeper(|p| p.barred("|")),
            _ => Err(Stop::Syntax),
        }
    }

    fn set_of_list(&mut self, items: Id) -> Result<Id, Stop> {
        match self.arena.node(items) {
            Node::Many(Many::List, ..) => {
                let items = self.arena.many(items).to_vec();
                self.arena.push_many(Many::Set, &items, &[])
            }
            _ => Ok(items),
        }
    }

    fn matrix(&mut self, env: &str) -> Result<Id, Stop> {
        let determinant = match env {
            "pmatrix" | "bmatrix" | "matrix" | "smallmatrix" | "Bmatrix" => false,
            "vmatrix" => true,
            "array" => {
                // The column layout.
                if self.accept("{") {
                    while let Some(t) = self.token() {
                        self.at += 1;
                        if t.is("}") {
                            break;
                        }
                    }
                }
                false
            }
            _ => return Err(Stop::Syntax),
        };
        let mut entries = Vec::new();
        let mut rows = 1u32;
        loop {
            entries.push(self.bracketed()?);
            if entries.len() > MAX_ITEMS {
                return Err(Stop::Budget);
            }
            let separated = self.token().is_some_and(|t| t.is("&"));
            if separated {
                self.at += 1;
                continue;
            }
            let broken = self.accept("\\\\");
            if self.token().is_some_and(|t| t.kind == Kind::End) {
                self.at += 1;
                break;
            }
            if !broken {
                return Err(Stop::Syntax);
            }
            rows += 1;
        }
        if !entries.len().is_multiple_of(rows as usize) {
            return Err(Stop::Syntax);
        }
        self.arena.push_many(Many::Matrix(rows, determinant), &entries, &[])
    }
}

fn is_upper(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_uppercase())
}
