//! Answer equality: is what a model wrote the gold answer in other words?
//!
//! # How it decides
//!
//! Text becomes tokens (total: layout leaves no trace in them), tokens become a tree (a Pratt parser over
//! the grammar below), and trees are compared: numbers as exact rationals; other constants in ball arithmetic of 256
//! bits, where balls that do not touch are *proved* different; rational expressions in variables modulo a 61-bit prime
//! at seeded points; all other expressions in ball arithmetic at seeded points. No tolerance is involved unless one is
//! asked for. The name of the [`Rule`] that decided is reported.
//!
//! An answer that is not in the grammar is no answer: it is only ever compared as a spelling. There is no fallback to a
//! number found inside of it, by which `1-1/e` would pass for `1+1/e`.
//!
//! Four outcomes: beyond the limits in [`budget`] (length, depth, digits, terms, steps; no clock) the verdict is
//! `GaveUp`, and so it is where 256 bits do not decide. Nothing here can hang, panic or overflow the stack: the parser's
//! depth is bounded and evaluation does not recurse.
//!
//! # The accepted grammar
//!
//! ```text
//! answer    = relation { ("," | ";" | "or" | "and") relation }          in any order
//! relation  = sum { ("=" | "≠" | "<" | "≤" | ">" | "≥" | "∈" | "≈") sum }
//! sum       = term { ("+" | "-" | "±" | "∓") term }                     with ∪ ∩ ∖ and ":" binding weaker
//! term      = factor { ["*" | "/"] factor }                             side by side is a product
//! factor    = ["-" | "+"] atom { "^" script | "!" | "%" | "°" }
//! atom      = numeral | mixed | numeral "_" base | name | π | e | i | ∞ | ∅
//!           | \frac a b | \sqrt[n] a | \binom n k | |a| | ⌊a⌋ | ⌈a⌉ | function argument
//!           | ("(" | "[") answer (")" | "]") | "\{" answer "\}" | "{" answer "}" | ⟨answer⟩ | matrix
//! numeral   = digits, 1,234  1{,}234  1\,234  1 234, .5, 4.5e33, 0.1\overline{6}
//! mixed     = integer \frac a b | integer " " integer "/" integer       a sum, not a product
//! name      = letter | Greek letter, with subscripts, primes, \dot, \ddot, \hat, \tilde, \overline
//! function  = sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp, sin^2, sin^{-1}, log_2
//! matrix    = pmatrix bmatrix vmatrix (a determinant) matrix array
//! unit      = words after a value: \text{…}, \mathrm{…}, (words), a known unit; before it: \$ € £
//! text      = words and punctuation
//! ```
//!
//! Spellings that are the same: `\dfrac \tfrac \cfrac \frac`, `\frac12`, `\left \right \big…`, `\! \, \; \:` and other
//! spaces, `$ \( \)`, `\boxed{}`, `\mathbf{}`, `\displaystyle`, `^\circ °`, `\% %`, Unicode for LaTeX (`− π √ ½ × ≤ ² ₁`),
//! a missing last brace or one too many, a full stop at the end, `**bold**`.
//!
//! # Conventions, where mathematics alone does not decide
//!
//! * `1,234` is one number; if it can also be a list it is read both ways and either may match. So is `2e-5`. `1,000` is
//!   no list. `4 (m)` is four metres and a product.
//! * A bare list has no order and its repetitions count; a set in braces has neither; a tuple has an order. `(1, 2)` is
//!   no list, no set, and not `[1, 2]`. A set of one value is that value.
//! * `x = 5` is also `5`, `f(x) = 2x` is also `2x`, `x \in [1, 2]` and `1 \le x \le 2` are also `[1, 2]`. Equations are
//!   equal up to a constant factor, inequalities up to a positive one.
//! * Names are case-sensitive; `f g h F G H` before brackets are functions, other names factors. Letters A to E alone are
//!   multiple-choice letters, in either case.
//! * Expressions are compared where both are real. A single name may be negative (`\sqrt{x^2}` is not `x`); several names
//!   without an absolute value are positive (`\sqrt{a^2 b} = a \sqrt b`); under floors, factorials and binomials names are
//!   whole. Odd roots of negative numbers are real.
//! * Degrees are a unit except inside a trigonometric function: `30°` is 30, `\sin 30°` is 1/2.
//! * `\log` without a base is read as natural and as decimal, on both sides alike, and either may match.
//! * `52_8` equals only the same digits in the same base. `3:45` is compared part by part.
//! * `p%` is p/100, and p under [`Options::percent_equivalence`]. Units: see [`Options::unit_tolerant`].
//!
//! # Left out
//!
//! A computer algebra system, unit conversion, solving inequalities, simplifying set expressions, `\sum`, `\int`, `\lim`,
//! set-builder notation, numbers in words. Such answers are compared as spellings.

pub mod budget;
pub mod rule;

mod ast;
mod ball;
mod compare;
mod elementary;
mod eval;
mod field;
mod lex;
mod parse;
mod primary;
mod scalar;
mod symbol;
mod text;
mod value;

use super::verdict::Verdict;
use ast::{Id, flag};
use budget::{MAX_BYTES, Stop};
use lex::Token;
pub use rule::Rule;
use scalar::{Comparison, Item, Outcome};
use std::borrow::Cow;

/// What counts as equal beyond the value itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `50\%` is 1/2 in any case; with this, it is also equal to 50.
    pub percent_equivalence: bool,
    /// A missing unit is no difference, nor are labels such as `apples` against `fruits`. Two measures that differ
    /// (`5 cm`, `5 m`) always are.
    pub unit_tolerant: bool,
    /// Numbers this close are equal: |a − b| ≤ tolerance · max(|a|, |b|). The paper's evaluation of base models used
    /// 1e-3. It is no equivalence: 1 equals 1.0009, which equals 1.0018, which does not equal 1.
    pub relative_tolerance: Option<f64>,
}

impl Options {
    /// Values and units as they are written.
    pub const STRICT: Options = Options { percent_equivalence: false, unit_tolerant: false, relative_tolerance: None };
}

impl Default for Options {
    fn default() -> Options {
        Options { percent_equivalence: true, unit_tolerant: true, relative_tolerance: None }
    }
}

/// Is `answer` equal to `gold`? The verdict, and the name of the rule that decided. Symmetric but for empty sides.
pub fn equal(gold: &str, answer: &str) -> (Verdict, &'static str) {
    equal_with(gold, answer, &Options::default())
}

/// As [`equal`], under other options.
pub fn equal_with(gold: &str, answer: &str, options: &Options) -> (Verdict, &'static str) {
    let (verdict, rule) = decide(gold, answer, options);
    (verdict, rule.name())
}

/// As [`equal`], for bytes that may not be UTF-8: what is not is replaced by U+FFFD.
pub fn equal_bytes(gold: &[u8], answer: &[u8]) -> (Verdict, &'static str) {
    equal(&String::from_utf8_lossy(gold), &String::from_utf8_lossy(answer))
}

/// Why a text cannot serve as a gold answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GoldError {
    #[error("the gold answer is empty; drop the item or give its answer")]
    Empty,
    #[error("the gold answer is not in the accepted grammar, so only its own spelling would be counted as correct")]
    Unparsable,
    #[error("the gold answer has no value, such as a division by zero")]
    Undefined,
    #[error("the gold answer is beyond the limits on length, depth, digits, terms or steps")]
    Budget,
}

/// Can this text serve as a gold answer? To be asked once, when a set is built: a gold answer that cannot be read
/// makes every response wrong, silently.
pub fn check_gold(gold: &str) -> Result<(), GoldError> {
    if gold.len() > MAX_BYTES {
        return Err(GoldError::Budget);
    }
    let spelled = lex::ascii(gold);
    let error = |stop| match stop {
        Stop::Budget | Stop::Precision => GoldError::Budget,
        Stop::Undefined => GoldError::Undefined,
        Stop::Unsupported | Stop::Syntax => GoldError::Unparsable,
    };
    let lexed = lex::lex(&spelled, true).map_err(error)?;
    if lexed.tokens.is_empty() {
        return Err(GoldError::Empty);
    }
    if text::is_plain_text(&lexed.tokens) || text::choice(&lexed.tokens).is_some() {
        return Ok(());
    }
    let options = Options::default();
    let mut comparison = Comparison::new(&options);
    let measured = text::measured(&lexed.tokens);
    match parse::parse(&measured.tokens, &mut comparison.arena) {
        Ok(id) => {
            if comparison.arena.has(id, flag::VARIABLE | flag::MANY | flag::INFINITY) {
                return Ok(());
            }
            match comparison.constant(Item::new(id)) {
                Ok(_) | Err(Stop::Unsupported) => Ok(()),
                Err(stop) => Err(error(stop)),
            }
        }
        Err(_) if text::is_text(&lexed.tokens) => Ok(()),
        Err(stop) => Err(error(stop)),
    }
}

/// The readings of one side: with `1,234` as a number, and as a list where it can be one.
struct Side<'a> {
    tokens: Vec<Token<'a>>,
    other: Option<Vec<Token<'a>>>,
}

fn side(spelled: &str) -> Result<Side<'_>, Stop> {
    let lexed = lex::lex(spelled, true)?;
    let other = if lexed.ambiguous { Some(lex::lex(spelled, false)?.tokens) } else { None };
    Ok(Side { tokens: lexed.tokens, other })
}

/// A side's trees, with the units beside them.
fn readings(side: &Side<'_>, comparison: &mut Comparison<'_>) -> Result<Vec<(Id, Option<text::Unit>)>, Stop> {
    let mut found = Vec::with_capacity(2);
    let mut failed = Stop::Syntax;
    for tokens in std::iter::once(&side.tokens).chain(&side.other) {
        for measured in std::iter::once(text::measured(tokens)).chain(text::lettered(tokens)) {
            match parse::parse(&measured.tokens, &mut comparison.arena) {
                Ok(id) => found.push((id, measured.unit)),
                Err(stop) => failed = stop,
            }
        }
    }
    if found.is_empty() { Err(failed) } else { Ok(found) }
}

fn decide(gold: &str, answer: &str, options: &Options) -> (Verdict, Rule) {
    let (gold, answer) = (gold.trim(), answer.trim());
    if answer.is_empty() {
        return (Verdict::NoAnswer, Rule::Empty);
    }
    if gold == answer {
        return (Verdict::Correct, Rule::Same);
    }
    if gold.len() > MAX_BYTES || answer.len() > MAX_BYTES {
        return (Verdict::GaveUp, Rule::Budget);
    }
    let (gold, answer): (Cow<'_, str>, Cow<'_, str>) = (lex::ascii(gold), lex::ascii(answer));
    let (Ok(x), Ok(y)) = (side(&gold), side(&answer)) else { return (Verdict::GaveUp, Rule::Budget) };
    if y.tokens.is_empty() {
        return (Verdict::NoAnswer, Rule::Empty);
    }
    if x.tokens.is_empty() {
        return (Verdict::Wrong, Rule::Empty);
    }
    if x.tokens == y.tokens {
        return (Verdict::Correct, Rule::Same);
    }
    if let (Some(a), Some(b)) = (text::choice(&x.tokens), text::choice(&y.tokens)) {
        return (if a == b { Verdict::Correct } else { Verdict::Wrong }, Rule::Choice);
    }
    if text::is_plain_text(&x.tokens) && text::is_plain_text(&y.tokens) {
        if text::same(&x.tokens, &y.tokens, true) {
            return (Verdict::Correct, Rule::Text);
        }
        if text::is_short_word(&x.tokens) || text::is_short_word(&y.tokens) {
            return (Verdict::Wrong, Rule::Text);
        }
    }
    let mut comparison = Comparison::new(options);
    let (a, b) = (readings(&x, &mut comparison), readings(&y, &mut comparison));
    match (a, b) {
        (Ok(a), Ok(b)) => conclude(best(&a, &b, &mut comparison)),
        (a, b) => {
            let prose = text::is_text(&x.tokens) && text::is_text(&y.tokens);
            if (prose || (a.is_err() && b.is_err())) && text::same(&x.tokens, &y.tokens, prose) {
                return (Verdict::Correct, Rule::Text);
            }
            let budget = matches!(a, Err(Stop::Budget)) || matches!(b, Err(Stop::Budget));
            match budget {
                true => (Verdict::GaveUp, Rule::Budget),
                false if prose => (Verdict::Wrong, Rule::Text),
                false => (Verdict::Wrong, Rule::Unparsable),
            }
        }
    }
}

fn conclude(outcome: Outcome) -> (Verdict, Rule) {
    match outcome {
        Outcome::Equal(rule) => (Verdict::Correct, rule),
        Outcome::Different(rule) => (Verdict::Wrong, rule),
        Outcome::Unknown(rule) => (Verdict::GaveUp, rule),
    }
}

/// The best outcome over the readings of both sides.
fn best(x: &[(Id, Option<text::Unit>)], y: &[(Id, Option<text::Unit>)], comparison: &mut Comparison<'_>) -> Outcome {
    let mut best = None;
    for (a, unit_a) in x {
        for (b, unit_b) in y {
            let units = text::compatible(unit_a.as_ref(), unit_b.as_ref());
            let logarithms = comparison.arena.has(*a, flag::PLAIN_LOG) || comparison.arena.has(*b, flag::PLAIN_LOG);
            comparison.decimal = false;
            let mut outcome = comparison.same(Item::new(*a), Item::new(*b));
            if logarithms && matches!(outcome, Outcome::Different(_)) {
                comparison.decimal = true;
                outcome = comparison.same(Item::new(*a), Item::new(*b));
            }
            let outcome = match (outcome, units) {
                (Outcome::Equal(rule), Some(true)) => Outcome::Equal(rule),
                (Outcome::Equal(_), Some(false)) if comparison.options.unit_tolerant => Outcome::Equal(Rule::Unit),
                (Outcome::Equal(_), _) => Outcome::Different(Rule::Unit),
                (other, _) => other,
            };
            match (outcome, best) {
                (Outcome::Equal(_), _) => return outcome,
                (Outcome::Unknown(_), _) | (_, None) => best = Some(outcome),
                _ => {}
            }
        }
    }
    best.unwrap_or(Outcome::Different(Rule::Unparsable))
}
