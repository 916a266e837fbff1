//! Words: answers in prose, multiple-choice letters, and units beside numbers.

use super::lex::{Kind, Token};
use super::symbol;
use std::borrow::Cow;

fn is_prose(t: &Token<'_>) -> bool {
    t.kind == Kind::Word && t.s.len() > 1 && symbol::word_command(&t.s).is_none()
}

/// Words and punctuation only, with at least one word in them.
pub fn is_text(tokens: &[Token<'_>]) -> bool {
    let hour = |w: &[Token<'_>]| matches!(&*w[0].s, "a" | "p") && w[1].is(".") && w[2].s == "m";
    let prose = tokens.iter().any(is_prose) || tokens.windows(3).any(hour);
    prose
        && tokens.iter().all(|t| match t.kind {
            Kind::Word | Kind::Num | Kind::Other => true,
            Kind::Sym => ".,'-():;!?/\"&%".contains(&*t.s),
            _ => false,
        })
}

/// Prose without numbers in it.
pub fn is_plain_text(tokens: &[Token<'_>]) -> bool {
    is_text(tokens) && tokens.iter().all(|t| t.kind != Kind::Num)
}

/// A word that is no product of its letters, though it is short.
pub fn is_short_word(tokens: &[Token<'_>]) -> bool {
    const WORDS: &[&str] = &[
        "no", "on", "yes", "odd", "one", "two", "six", "ten", "red", "all", "old", "new", "sun", "mon", "tue", "wed",
        "fri", "sat", "may", "jun", "man", "dog", "cat", "up", "now", "won", "not", "too",
    ];
    matches!(tokens, [t] if is_prose(t) && (t.text || WORDS.contains(&t.s.to_ascii_lowercase().as_str())))
}

/// Do two texts say the same? In prose, letter case, quotes, hyphens and a leading article do not count.
pub fn same(a: &[Token<'_>], b: &[Token<'_>], prose: bool) -> bool {
    let article = |t: &[Token<'_>]| t.len() > 1 && ["the", "a", "an"].iter().any(|a| t[0].s.eq_ignore_ascii_case(a));
    let bare = |t: &[Token<'_>]| key(&t[usize::from(prose && article(t))..], prose);
    key(a, prose) == key(b, prose) || bare(a) == bare(b)
}

/// The tokens without the spaces between them, but for numerals.
fn key(tokens: &[Token<'_>], prose: bool) -> String {
    let mut out = String::new();
    let kind = |k: usize| tokens.get(k).map(|t| t.kind);
    for (k, t) in tokens.iter().enumerate() {
        let quiet = t.kind == Kind::Sym && matches!(&*t.s, "." | "'" | "\"");
        let hyphen = t.is("-") && k > 0 && kind(k - 1) == Some(Kind::Word) && kind(k + 1) == Some(Kind::Word);
        if prose && (quiet || hyphen) {
            continue;
        }
        if k > 0 && t.kind == Kind::Num && kind(k - 1) == Some(Kind::Num) {
            out.push(' ');
        }
        if prose {
            out.push_str(&t.s.to_lowercase());
        } else {
            out.push_str(&t.s);
        }
    }
    out
}

/// The letter of an answer such as `B`, `(B)`, `B.` or `(B) 12`.
pub fn choice(tokens: &[Token<'_>]) -> Option<char> {
    let letter = |t: &Token<'_>| {
        let c = t.s.chars().next()?.to_ascii_uppercase();
        (t.kind == Kind::Word && t.s.len() == 1 && ('A'..='E').contains(&c)).then_some(c)
    };
    let goes_on = |rest: &[Token<'_>]| match rest.first() {
        None => true,
        Some(t) => t.gap && !matches!(t.kind, Kind::Sym | Kind::Other | Kind::End),
    };
    match tokens {
        [t] => letter(t),
        [open, t, close, rest @ ..] if open.is("(") && close.is(")") && goes_on(rest) => letter(t),
        [t, mark, rest @ ..] if (mark.is(")") || mark.is(".") || mark.is(":")) && goes_on(rest) => letter(t),
        _ => None,
    }
}

/// Tokens without their unit, and the unit in a usual spelling.
pub struct Measured<'a> {
    pub tokens: Vec<Token<'a>>,
    pub unit: Option<Unit>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// In the usual spelling, separated by spaces.
    words: String,
    /// As it was written, without spaces and in lower case.
    letters: String,
}

fn symbol(s: &'static str) -> Token<'static> {
    Token { kind: Kind::Sym, s: Cow::Borrowed(s), gap: false, text: false }
}

/// Splits `5.4 \text{ cents}`, `9 (apples)`, `\$36`, `12 \mathrm{~km}/\mathrm{h}`.
pub fn measured<'a>(tokens: &[Token<'a>]) -> Measured<'a> {
    let currency = |t: &Token<'_>| match (t.kind, &*t.s) {
        (Kind::Sym, "$") => Some("dollar"),
        (Kind::Sym, "€") => Some("euro"),
        (Kind::Sym, "£") => Some("pound"),
        _ => None,
    };
    let named = |name: &str| Unit { words: name.to_owned(), letters: name.to_owned() };
    let mut unit = tokens.iter().find_map(currency).map(named);
    let end = tail(tokens).unwrap_or(tokens.len());
    let mut rest: Vec<Token<'a>> = tokens[..end].iter().filter(|t| currency(t).is_none()).cloned().collect();
    if end < tokens.len() {
        let mut words = spelled(&tokens[end..]);
        while let Some(scale) = words.first().and_then(|w| scale(w)) {
            rest.insert(0, symbol("("));
            rest.extend([symbol(")"), symbol("*")]);
            rest.push(Token { kind: Kind::Num, s: Cow::Borrowed(scale), gap: false, text: false });
            words.remove(0);
        }
        match words.as_slice() {
            [] => {}
            [only] if only == "percent" => rest.push(symbol("%")),
            _ => {
                let letters = tokens[end..].iter().filter(|t| t.kind == Kind::Word);
                let letters = letters.map(|t| t.s.to_lowercase()).collect();
                unit = Some(Unit { words: words.join(" "), letters });
            }
        }
    }
    Measured { tokens: rest, unit }
}

/// Where the unit begins.
fn tail(tokens: &[Token<'_>]) -> Option<usize> {
    let ends_value = |t: &Token<'_>| match t.kind {
        Kind::Num => true,
        Kind::Sym => ["}", ")", "]", "%", "°"].iter().any(|s| t.is(s)),
        Kind::Command => &*t.s == "pi",
        _ => false,
    };
    for k in 1..tokens.len() {
        let t = &tokens[k];
        if !ends_value(&tokens[k - 1]) {
            continue;
        }
        let begins = if t.is("(") {
            let inner = tokens.get(k + 1);
            inner.is_some_and(is_unit_word) || (t.gap && inner.is_some_and(is_prose)) || {
                let words = tokens[k + 1..].iter().filter(|t| t.kind == Kind::Word && t.s.len() > 2).count();
                words > 0 && inner.is_some_and(|t| t.kind == Kind::Word)
            }
        } else {
            t.kind == Kind::Word && (is_unit_word(t) && (t.gap || t.s.len() > 1) || t.gap && is_label(&tokens[k..]))
        };
        if begins && tokens[k..].iter().any(|t| t.kind == Kind::Word) && is_tail(&tokens[k..]) {
            return Some(k);
        }
    }
    None
}

/// Words that begin shortly but are no product of letters: `pet fish`, `sit-ups`, `CDs`.
fn is_label(words: &[Token<'_>]) -> bool {
    let prose = |t: &Token<'_>, length: usize| is_prose(t) && t.s.len() >= length && !matches!(&*t.s, "or" | "and");
    match words {
        [first, rest @ ..] if first.s.len() > 1 && rest.iter().any(|t| t.gap && prose(t, 4)) => true,
        [_, hyphen, second, ..] if hyphen.is("-") && !hyphen.gap && !second.gap => prose(second, 3),
        [only] => {
            only.s.len() > 2 && only.s.strip_suffix('s').is_some_and(|s| s.bytes().all(|b| b.is_ascii_uppercase()))
        }
        _ => false,
    }
}

/// `4 (m)`: a number with a unit of one letter, or a product. The number, and the unit.
pub fn lettered<'a>(tokens: &[Token<'a>]) -> Option<Measured<'a>> {
    let [number, open, letter, close] = tokens else { return None };
    let measure = letter.kind == Kind::Word && letter.s.len() == 1 && is_measure(&unit(&letter.s.to_lowercase()));
    (number.kind == Kind::Num && open.is("(") && close.is(")") && measure).then(|| {
        let (words, letters) = (unit(&letter.s.to_lowercase()), letter.s.to_lowercase());
        Measured { tokens: vec![number.clone()], unit: Some(Unit { words, letters }) }
    })
}

/// Words only, as in `sq. inches`, `km/h`, `m^2`, `(star-shaped stones)`.
fn is_tail(tokens: &[Token<'_>]) -> bool {
    tokens.iter().enumerate().all(|(k, t)| match t.kind {
        Kind::Word => symbol::word_command(&t.s).is_none() && !matches!(&*t.s, "or" | "and"),
        Kind::Num => k > 0 && tokens[k - 1].is("^"),
        Kind::Sym => ["(", ")", ".", "-", "/", "^", "'", "*"].iter().any(|s| t.is(s)),
        _ => false,
    })
}

/// A word that cannot be a product of variables, or is a unit by its name.
fn is_unit_word(t: &Token<'_>) -> bool {
    if t.kind != Kind::Word || symbol::word_command(&t.s).is_some() || matches!(&*t.s, "or" | "and") {
        return false;
    }
    let upper = t.s.bytes().all(|b| b.is_ascii_uppercase());
    let product = t.s.len() <= 3 || (upper && t.s.len() <= 5);
    t.text
        || !product
        || (t.s.len() > 1 && t.gap && is_measure(&unit(&t.s.to_lowercase())))
        || matches!(&*t.s, "cm" | "mm" | "km" | "kg" | "ft")
}

/// The words of a unit, each in its usual spelling.
fn spelled(tokens: &[Token<'_>]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (k, t) in tokens.iter().enumerate() {
        match t.kind {
            Kind::Word => words.push(unit(&t.s.to_lowercase())),
            Kind::Num => {
                let power = match &*t.s {
                    "2" => "square".to_owned(),
                    "3" => "cubic".to_owned(),
                    n => format!("^{n}"),
                };
                let at = words.len().saturating_sub(1);
                words.insert(at, power);
            }
            _ if t.is("/") => words.push("per".to_owned()),
            _ if t.is("-") && tokens.get(k + 1).is_some_and(|t| t.kind == Kind::Num) => words.push("-".to_owned()),
            _ => {}
        }
    }
    words
}

fn scale(word: &str) -> Option<&'static str> {
    Some(match word {
        "dozen" => "12",
        "hundred" => "100",
        "thousand" => "1000",
        "million" => "1e6",
        "billion" => "1e9",
        "trillion" => "1e12",
        _ => return None,
    })
}

const MEASURES: &[(&str, &[&str])] = &[
    ("cm", &["centimeter", "centimetre"]),
    ("mm", &["millimeter", "millimetre"]),
    ("km", &["kilometer", "kilometre"]),
    ("m", &["meter", "metre"]),
    ("kg", &["kilogram"]),
    ("g", &["gram"]),
    ("mg", &["milligram"]),
    ("second", &["s", "sec"]),
    ("minute", &["min"]),
    ("hour", &["h", "hr"]),
    ("day", &[]),
    ("week", &[]),
    ("month", &[]),
    ("year", &["yr"]),
    ("foot", &["ft", "feet"]),
    ("inch", &["in", "inches"]),
    ("yard", &["yd"]),
    ("mile", &["mi"]),
    ("mile per hour", &["mph"]),
    ("dollar", &["usd"]),
    ("cent", &[]),
    ("euro", &["eur"]),
    ("pound", &["lb", "lbs"]),
    ("ounce", &["oz"]),
    ("liter", &["l", "litre"]),
    ("ml", &["milliliter", "millilitre"]),
    ("gallon", &["gal"]),
    ("degree", &["deg"]),
    ("radian", &["rad"]),
    ("percent", &["pct"]),
    ("square", &["sq", "squared"]),
    ("cubic", &["cubed", "cu"]),
    ("unit", &[]),
    ("hz", &["hertz"]),
    ("ev", &[]),
    ("nm", &["nanometer", "nanometre"]),
    ("mol", &["mole"]),
];

/// A unit word in its usual spelling, in the singular.
fn unit(word: &str) -> String {
    let find = |w: &str| {
        MEASURES.iter().find(|(name, others)| *name == w || others.contains(&w)).map(|(name, _)| (*name).to_owned())
    };
    if let Some(name) = find(word) {
        return name;
    }
    match word.strip_suffix('s').filter(|w| w.len() > 1 && !w.ends_with('s')) {
        Some(single) => find(single).unwrap_or_else(|| single.to_owned()),
        None => word.to_owned(),
    }
}

fn is_measure(unit: &str) -> bool {
    MEASURES.iter().any(|(name, _)| *name == unit)
}

/// Whether two units can stand for the same thing: the same one, or (`Some(false)`) one of them missing, or a label
/// that says less than the other (`apples`, `red apples`).
pub fn compatible(a: Option<&Unit>, b: Option<&Unit>) -> Option<bool> {
    let (Some(a), Some(b)) = (a, b) else { return Some(a == b) };
    let (a, b, written) = (&*a.words, &*b.words, a.letters == b.letters);
    if a == b {
        return Some(true);
    }
    let measured = |u: &str| u.split(' ').all(|w| w == "per" || w.starts_with('^') || w == "-" || is_measure(w));
    let within = |a: &str, b: &str| a.split(' ').all(|w| b.split(' ').any(|v| v == w));
    if written {
        return Some(true);
    }
    (!measured(a) && !measured(b) && (within(a, b) || within(b, a))).then_some(false)
}
