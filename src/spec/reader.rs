//! Tree → types. Readers never stop at a mistake: they note it and return `None`, and the caller reads on.

use super::mistake::{At, Mistakes, nearest, one_of, suggest};
use super::name::Name;
use super::yaml::{Entry, Node, Value, shorten};
use crate::recipe::{Steps, Tokens};

/// Reads a map field by field; [`Fields::finish`] reports what nobody asked for.
pub struct Fields<'n, 'm> {
    /// What is being read, for messages: "phase `web`".
    what: String,
    at: At,
    entries: &'n [Entry],
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
    /// Fields may be missing, as in an overlay.
    partial: bool,
    mistakes: &'m mut Mistakes,
}

impl<'n, 'm> Fields<'n, 'm> {
    pub fn of(node: &'n Node, what: impl Into<String>, mistakes: &'m mut Mistakes) -> Option<Fields<'n, 'm>> {
        Fields::new(node, what, false, mistakes)
    }

    /// As [`Fields::of`], and required fields may be missing if `partial`.
    pub fn new(
        node: &'n Node,
        what: impl Into<String>,
        partial: bool,
        mistakes: &'m mut Mistakes,
    ) -> Option<Fields<'n, 'm>> {
        let what = what.into();
        let entries = map(node, &what, mistakes)?;
        Some(Fields { what, at: node.at.clone(), entries, known: Vec::new(), missing: Vec::new(), partial, mistakes })
    }

    /// The value of a key that may be absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }

    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node, &mut Mistakes) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(node, self.mistakes)
    }

    /// As [`Fields::optional`], with a value for when it is absent (or wrong, which fails the file anyway).
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'n Node, &mut Mistakes) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'n Node, &mut Mistakes) -> Option<T>,
    ) -> Option<T> {
        match self.node(key) {
            Some(node) => read(node, self.mistakes),
            None => {
                self.missing.push(key);
                None
            }
        }
    }

    pub fn mistakes(&mut self) -> &mut Mistakes {
        self.mistakes
    }

    /// Reports keys that were not asked for, and required ones that are not there (unless one was misspelt).
    pub fn finish(mut self) {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) && !entry.key.text.starts_with("x-") {
                let meant = nearest(&entry.key.text, self.known.iter().copied());
                self.missing.retain(|key| Some(*key) != meant);
                self.mistakes.add_with_hint(
                    &entry.key.at,
                    format!("unknown key `{}` in {}", entry.key, self.what),
                    suggest(&entry.key.text, self.known.iter().copied()),
                );
            }
        }
        if !self.partial {
            for key in self.missing {
                self.mistakes.add(&self.at, format!("{} has no `{key}`", self.what));
            }
        }
    }
}

/// The entries of a map.
pub fn map<'n>(node: &'n Node, what: &str, mistakes: &mut Mistakes) -> Option<&'n [Entry]> {
    let entries = node.entries();
    if entries.is_none() {
        mistakes.add(&node.at, format!("{what} is a map of names to values, found {}", node.describe()));
    }
    entries
}

/// The items of a list, or the value alone.
pub fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

fn scalar<'n>(node: &'n Node, expected: &str, mistakes: &mut Mistakes) -> Option<&'n str> {
    let text = node.text();
    if text.is_none() {
        mistakes.add(&node.at, format!("expected {expected}, found {}", node.describe()));
    }
    text
}

pub fn text(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    scalar(node, "text", mistakes).map(|text| text.trim().to_string())
}

/// A template's text, in which white space at the ends matters.
pub fn verbatim(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        _ => scalar(node, "text", mistakes).map(str::to_string),
    }
}

/// A name that is used in arm ids, file names and metrics.
pub fn name(node: &Node, mistakes: &mut Mistakes) -> Option<Name> {
    let text = scalar(node, "a name", mistakes)?.to_string();
    let name = Name { text, at: node.at.clone() };
    check_name(&name, mistakes).then_some(name)
}

/// Whether a name holds plain letters, digits, `.`, `_`, `+` and `-` only; reports it if not.
pub fn check_name(name: &Name, mistakes: &mut Mistakes) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    // Names become folders: one that begins with a dot could be hidden, or another folder altogether. And they become words
    // of commands: one that begins with a hyphen would be a flag.
    let first = !name.text.starts_with(['.', '-']);
    let ok = !name.text.is_empty() && name.text.len() <= 64 && first && name.text.chars().all(fine);
    if !ok {
        mistakes.add(
            &name.at,
            format!(
                "`{name}` can't be a name: a to z, A to Z, digits, `_`, `+`, and `.` and `-` (not first) only, at most 64"
            ),
        );
    }
    ok
}

pub fn flag(node: &Node, mistakes: &mut Mistakes) -> Option<bool> {
    match node.text() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => {
            mistakes.add(&node.at, format!("expected `true` or `false`, found {}", node.describe()));
            None
        }
    }
}

/// One of a closed set of names.
pub fn choice<T: Clone>(options: &[(&'static str, T)], node: &Node, mistakes: &mut Mistakes) -> Option<T> {
    let names = options.iter().map(|(name, _)| *name);
    let expected = one_of(names.clone());
    let typed = scalar(node, &expected, mistakes)?;
    let found = options.iter().find(|(name, _)| *name == typed);
    if found.is_none() {
        let message = format!("expected {expected}, found `{typed}`");
        match nearest(typed, names) {
            Some(name) => mistakes.add_with_hint(&node.at, message, format!("did you mean `{name}`?")),
            None => mistakes.add(&node.at, message),
        }
    }
    found.map(|(_, value)| value.clone())
}

/// A finite number, `_` between digits allowed.
pub fn number(node: &Node, mistakes: &mut Mistakes) -> Option<f64> {
    let typed = scalar(node, "a number", mistakes)?;
    parse_number(typed).or_else(|| {
        mistakes.add(&node.at, format!("expected a number, found `{typed}`"));
        None
    })
}

/// A number above 0, or at least 0 where `zero` is fine.
pub fn positive(node: &Node, zero: bool, mistakes: &mut Mistakes) -> Option<f64> {
    let value = number(node, mistakes)?;
    if value > 0.0 || (zero && value == 0.0) {
        return Some(value);
    }
    let least = if zero { "of at least" } else { "above" };
    mistakes.add(&node.at, format!("expected a number {least} 0, found {}", node.describe()));
    None
}

fn parse_number(typed: &str) -> Option<f64> {
    plain_number(typed).filter(|value| value.is_finite())
}

/// Digits that say more than a float can hold are infinite.
fn plain_number(typed: &str) -> Option<f64> {
    let clean = typed.trim().replace('_', "");
    let plain = clean.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && clean.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    clean.parse().ok().filter(|_| plain)
}

/// The largest count; a float holds it exactly.
const MOST: u64 = 1 << 53;

/// A whole number of at least `least`.
pub fn count(node: &Node, least: u64, mistakes: &mut Mistakes) -> Option<u64> {
    let expected = format!("a whole number from {least} on");
    let typed = scalar(node, &expected, mistakes)?;
    let digits = typed.replace('_', "");
    let value = digits.parse().ok().filter(|value| (least..=MOST).contains(value));
    if value.is_none() {
        let too_large = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) && digits.parse() != Ok(0);
        let too_large = too_large && digits.parse().map_or(true, |value: u64| value > MOST);
        let expected = if too_large { format!("a whole number from {least} to {MOST}") } else { expected };
        mistakes.add(&node.at, format!("expected {expected}, found {}", node.describe()));
    }
    value
}

pub fn size(node: &Node, mistakes: &mut Mistakes) -> Option<usize> {
    count(node, 1, mistakes).map(|value| value as usize)
}

pub fn steps(node: &Node, mistakes: &mut Mistakes) -> Option<Steps> {
    count(node, 1, mistakes).map(Steps)
}

/// A share of a whole: `90%` or `0.9`, from 0 to 1.
pub fn share(node: &Node, mistakes: &mut Mistakes) -> Option<f64> {
    let typed = scalar(node, "a share such as `90%`", mistakes)?.trim();
    let value = match typed.strip_suffix('%') {
        // Shifted as text: 0.1% is the number closest to 0.001, not that closest to 0.1 divided by 100.
        Some(percent) if !percent.contains(['e', 'E']) && parse_number(percent).is_some() => {
            format!("{}e-2", percent.trim().replace('_', "")).parse().ok()
        }
        Some(_) => None,
        None => parse_number(typed),
    };
    let Some(value) = value else {
        mistakes.add(&node.at, format!("expected a share such as `90%` or `0.9`, found `{typed}`"));
        return None;
    };
    if !(0.0..=1.0).contains(&value) {
        let hint = format!("did you mean `{typed}%`?");
        let message = format!("a share lies between 0% and 100%, found `{typed}`");
        match typed.ends_with('%') || !(0.0..=100.0).contains(&value) {
            true => mistakes.add(&node.at, message),
            false => mistakes.add_with_hint(&node.at, message, hint),
        }
        return None;
    }
    Some(value)
}

/// An amount of tokens with its unit: `20B tokens`, `4096 tokens`, `1.5M tokens`.
pub fn tokens(node: &Node, mistakes: &mut Mistakes) -> Option<Tokens> {
    let typed = scalar(node, "an amount such as `20B tokens`", mistakes)?.trim();
    let mut wrong = |message: String, hint: String| {
        mistakes.add_with_hint(&node.at, message, hint);
        None
    };
    let Some(amount) = typed.strip_suffix("tokens").map(str::trim) else {
        let looks_right = parse_tokens(typed).is_some();
        return match looks_right {
            true => wrong(format!("`{typed}` has no unit"), format!("write `{typed} tokens`")),
            false => wrong(
                format!("`{}` is not an amount of tokens", shorten(typed)),
                "write it like `20B tokens`".to_string(),
            ),
        };
    };
    let like = || "a number and k, M, B or T, like `20B tokens`".to_string();
    let shown = shorten(typed);
    match counted(amount) {
        Some(0.0) => wrong("an amount of tokens is at least 1".to_string(), "leave the phase out".to_string()),
        Some(value) if value < 0.0 => wrong(format!("an amount of tokens is at least 1, found `{shown}`"), like()),
        Some(value) if value >= MOST_TOKENS => {
            let message = format!("`{shown}` is too large: an amount stays below 1000000T tokens");
            wrong(message, like())
        }
        Some(value) => match whole(value) {
            Some(tokens) => Some(tokens),
            None => wrong(format!("`{shown}` is not a whole number of tokens"), like()),
        },
        None => wrong(format!("`{shown}` is not an amount of tokens"), like()),
    }
}

/// Amounts of tokens are smaller: sums of many of them still fit into 64 bits.
const MOST_TOKENS: f64 = 1e18;

/// A number with its `k`, `M`, `B` or `T`; infinite if it is larger than any.
fn counted(amount: &str) -> Option<f64> {
    let (digits, zeros) = match amount.chars().last()? {
        'k' => (&amount[..amount.len() - 1], 3),
        'M' => (&amount[..amount.len() - 1], 6),
        'B' => (&amount[..amount.len() - 1], 9),
        'T' => (&amount[..amount.len() - 1], 12),
        _ => (amount, 0),
    };
    Some(plain_number(digits)? * 10f64.powi(zeros))
}

fn whole(value: f64) -> Option<Tokens> {
    let whole = (value.round() - value).abs() < 1e-6 * value.max(1.0);
    (whole && (0.0..MOST_TOKENS).contains(&value)).then(|| Tokens(value.round() as u64))
}

fn parse_tokens(amount: &str) -> Option<Tokens> {
    whole(counted(amount)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!(parse_tokens("20B"), Some(Tokens(20_000_000_000)));
        assert_eq!(parse_tokens("0.3M"), Some(Tokens(300_000)));
        assert_eq!(parse_tokens("4_096"), Some(Tokens(4096)));
        for wrong in ["", "B", "20b", "-1k", "nan", "1.5", "inf", "20 B B", "1e40"] {
            assert_eq!(parse_tokens(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_finite_and_plain() {
        assert_eq!(parse_number("1e-5"), Some(1e-5));
        assert_eq!(parse_number("1_000"), Some(1000.0));
        assert_eq!(parse_number(".5"), Some(0.5));
        for wrong in ["nan", ".nan", "inf", "-.inf", "1e999", "0x10", "", "infinity", "1 2"] {
            assert_eq!(parse_number(wrong), None, "{wrong}");
        }
    }
}
