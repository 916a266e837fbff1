//! From characters to tokens. Total: every input has tokens, and layout leaves no trace in them.

use super::budget::{MAX_TOKENS, Stop};
use super::symbol::{self, Command};
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A numeral without separators: digits, `.`, and an exponent as in `1e5`.
    Num,
    /// A run of ASCII letters.
    Word,
    /// A LaTeX command that is not layout, without its backslash.
    Command,
    /// `\begin{…}` and `\end{…}`, the environment as text.
    Begin,
    End,
    /// Punctuation and operators.
    Sym,
    /// Anything else.
    Other,
}

#[derive(Debug, Clone)]
pub struct Token<'a> {
    pub kind: Kind,
    pub s: Cow<'a, str>,
    /// White space came before it.
    pub gap: bool,
    /// It stood inside `\text{…}` or a relative.
    pub text: bool,
}

impl PartialEq for Token<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.s == other.s
    }
}

impl Token<'_> {
    pub fn is(&self, s: &str) -> bool {
        matches!(self.kind, Kind::Sym) && self.s == s
    }

    pub fn is_command(&self, s: &str) -> bool {
        self.kind == Kind::Command && self.s == s
    }
}

/// The tokens of an answer.
#[derive(Debug)]
pub struct Lexed<'a> {
    pub tokens: Vec<Token<'a>>,
    /// Read with `1,234` and `2e-5` as one number; they could also be a list and a difference.
    pub ambiguous: bool,
}

/// Spells characters outside ASCII in LaTeX, as far as they have a spelling.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut open = None;
    for c in text.chars() {
        let script = symbol::script(c);
        let level = script.map(|(up, _)| up);
        if open != level {
            if open.is_some() {
                out.push('}');
            }
            if let Some(up) = level {
                out.push_str(if up { "^{" } else { "_{" });
            }
            open = level;
        }
        match (script, c) {
            (Some((_, plain)), _) => out.push(plain),
            (None, '\u{ff01}'..='\u{ff5e}') => {
                out.push(char::from_u32(c as u32 - 0xfee0).unwrap_or(' '));
            }
            (None, _) => match symbol::unicode(c) {
                Some(s) => out.push_str(s),
                None => out.push(c),
            },
        }
    }
    if open.is_some() {
        out.push('}');
    }
    Cow::Owned(out)
}

struct Lexer<'a> {
    src: &'a str,
    at: usize,
    tokens: Vec<Token<'a>>,
    gap: bool,
    /// For each open brace, whether it opened a text group.
    braces: Vec<bool>,
    /// How many of them did.
    texts: usize,
    grouping: bool,
    ambiguous: bool,
}

/// Tokens of ASCII-spelled `src`. With `grouping`, `1,234` and `1 234` are one number.
pub fn lex(src: &str, grouping: bool) -> Result<Lexed<'_>, Stop> {
    let mut lexer = Lexer {
        src,
        at: 0,
        tokens: Vec::with_capacity(16),
        gap: false,
        braces: Vec::new(),
        texts: 0,
        grouping,
        ambiguous: false,
    };
    while lexer.at < src.len() {
        lexer.step();
        if lexer.tokens.len() > MAX_TOKENS {
            return Err(Stop::Budget);
        }
    }
    let mut tokens = lexer.tokens;
    merge(&mut tokens);
    trim(&mut tokens);
    Ok(Lexed { tokens, ambiguous: lexer.ambiguous })
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.src.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind, s: impl Into<Cow<'a, str>>) {
        let text = self.texts > 0;
        self.tokens.push(Token { kind, s: s.into(), gap: self.gap, text });
        self.gap = false;
    }

    fn skip_space(&mut self) {
        while self.peek(0).is_ascii_whitespace() {
            self.at += 1;
        }
    }

    fn step(&mut self) {
        let start = self.at;
        let c = self.peek(0);
        match c {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b'~' | b'$' => {
                self.gap = true;
                self.at += 1;
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' => {
                while self.peek(0).is_ascii_alphabetic() {
                    self.at += 1;
                }
                self.push(Kind::Word, &self.src[start..self.at]);
            }
            b'\\' => self.command(),
            b'{' => {
                self.braces.push(false);
                self.at += 1;
                self.push(Kind::Sym, "{");
            }
            b'}' => {
                self.at += 1;
                if self.braces.pop() == Some(true) {
                    self.texts -= 1;
                } else {
                    self.push(Kind::Sym, "}");
                }
            }
            b'<' | b'>' | b'!' | b'=' | b'*' => {
                let two = self.src.get(start..start + 2).unwrap_or("");
                let (s, len) = match two {
                    "<=" | "=<" => ("<=", 2),
                    ">=" => (">=", 2),
                    "!=" => ("!=", 2),
                    "==" => ("=", 2),
                    "**" => ("^", 2),
                    _ => (&self.src[start..start + 1], 1),
                };
                self.at += len;
                self.push(Kind::Sym, s);
            }
            0x21..=0x7e => {
                self.at += 1;
                self.push(Kind::Sym, &self.src[start..start + 1]);
            }
            _ => {
                let len = self.src[start..].chars().next().map_or(1, char::len_utf8);
                self.at += len;
                self.push(Kind::Other, &self.src[start..start + len]);
            }
        }
    }

    fn command(&mut self) {
        let start = self.at + 1;
        self.at = start;
        while self.peek(0).is_ascii_alphabetic() {
            self.at += 1;
        }
        let name = &self.src[start..self.at];
        if name.is_empty() {
            let c = self.peek(0);
            self.at += usize::from(c.is_ascii() && c != 0);
            match c {
                b'{' => self.push(Kind::Sym, "\\{"),
                b'}' => self.push(Kind::Sym, "\\}"),
                b'%' => self.push(Kind::Sym, "%"),
                b'$' => self.push(Kind::Sym, "$"),
                b'|' => self.push(Kind::Sym, "||"),
                b'\\' => self.push(Kind::Sym, "\\\\"),
                b'_' | b'&' | b'#' => self.push(Kind::Other, &self.src[start..start + 1]),
                // Thin spaces of either sign, the italic correction and the delimiters of formulas.
                _ => self.gap = true,
            }
            return;
        }
        match symbol::command(name) {
            Command::Drop => {
                if matches!(name, "left" | "right") {
                    self.skip_space();
                    self.at += usize::from(self.peek(0) == b'.');
                }
                self.gap = true;
            }
            Command::Gap => self.gap = true,
            Command::Text => {
                self.at += usize::from(self.peek(0) == b'*');
                self.skip_space();
                if self.peek(0) == b'{' {
                    self.at += 1;
                    self.braces.push(true);
                    self.texts += 1;
                }
                self.gap = true;
            }
            Command::Sym(s) => self.push(Kind::Sym, s),
            Command::Name(s) => self.push(Kind::Command, s),
            Command::Plain if matches!(name, "begin" | "end") => {
                let rest = &self.src[self.at..];
                let inner = rest.trim_start().strip_prefix('{').and_then(|r| r.split_once('}'));
                let kind = if name == "begin" { Kind::Begin } else { Kind::End };
                match inner {
                    Some((env, after)) => {
                        self.at = self.src.len() - after.len();
                        self.push(kind, env.trim());
                    }
                    None => self.push(Kind::Other, name),
                }
            }
            Command::Plain => {
                // `\cotx`: a known name, run into what follows.
                let known = |n: &str| {
                    symbol::letter(n) || symbol::function(n).is_some() || matches!(n, "pi" | "cdot" | "times")
                };
                let cut = if known(name) { None } else { (2..name.len()).rev().find(|&k| known(&name[..k])) };
                match cut {
                    Some(k) if (k > 2 || &name[..k] == "pi") && name.len() <= k + 2 => {
                        self.at = start + k;
                        match symbol::command(&name[..k]) {
                            Command::Sym(s) => self.push(Kind::Sym, s),
                            Command::Name(s) => self.push(Kind::Command, s),
                            _ => self.push(Kind::Command, &name[..k]),
                        }
                    }
                    _ => self.push(Kind::Command, name),
                }
            }
        }
    }

    fn digits(&self, from: usize) -> usize {
        self.src.as_bytes()[from..].iter().take_while(|b| b.is_ascii_digit()).count()
    }

    /// The length of a thousands separator at `from`, and whether it could be something else.
    fn separator(&self, from: usize) -> Option<(usize, bool)> {
        let rest = &self.src.as_bytes()[from..];
        let spaces = |k: usize| rest[k..].iter().take_while(|b| **b == b' ').count();
        for mark in ["{,}", "\\,", "\\;", "\\ ", "\\:", "~"] {
            if rest.starts_with(mark.as_bytes()) {
                return Some((mark.len() + spaces(mark.len()), false));
            }
        }
        let comma = spaces(0);
        if rest.get(comma) == Some(&b',') {
            let thin = comma + 1 + spaces(comma + 1);
            if rest[thin..].starts_with(b"\\!") {
                return Some((thin + 2 + spaces(thin + 2), false));
            }
        }
        if self.grouping && rest.get(comma) == Some(&b',') {
            return Some((comma + 1 + spaces(comma + 1), true));
        }
        (self.grouping && rest.starts_with(b" ")).then_some((1, true))
    }

    /// The end of an exponent such as `e33`, `e-5` or `e - 5` at `from`, and whether it has a sign. It is written to
    /// `out` without spaces.
    fn exponent(&self, from: usize, out: &mut String) -> Option<(usize, bool)> {
        let bytes = self.src.as_bytes();
        let e = *bytes.get(from).filter(|b| matches!(b, b'e' | b'E'))?;
        let spaces = |at: usize| bytes[at..].iter().take_while(|b| **b == b' ').count();
        let mut at = from + 1;
        let sign = bytes.get(at + spaces(at)).filter(|b| matches!(b, b'+' | b'-'));
        if sign.is_some() {
            at += spaces(at) + 1;
            at += spaces(at);
        }
        let digits = self.digits(at.min(bytes.len()));
        let after = bytes.get(at + digits).copied().unwrap_or(0);
        if digits == 0 || after.is_ascii_alphabetic() || after == b'.' || after == b'^' {
            return None;
        }
        out.push('e');
        out.extend(sign.map(|s| char::from(*s)));
        out.push_str(&self.src[at..at + digits]);
        Some((at + digits, sign.is_some() && e == b'e'))
    }

    fn number(&mut self) {
        let start = self.at;
        let first = self.digits(start);
        let mut end = start + first;
        let mut groups: Vec<(usize, usize)> = vec![(start, end)];
        let (mut guess, mut spaced) = (false, false);
        // Digits, a comma and this numeral: already a list, so no separators are guessed in the rest of it.
        let in_run = matches!(self.tokens.as_slice(), [.., num, comma] if num.kind == Kind::Num && comma.is(","))
            && !self.gap
            && self.tokens.last().is_some_and(|t| !t.gap);
        if (1..=3).contains(&first) && self.src.as_bytes()[start] != b'0' {
            let mut mark = None;
            while let Some((len, plain)) = self.separator(end) {
                let kind = (plain, self.src.as_bytes()[end]);
                if *mark.get_or_insert(kind) != kind || self.digits(end + len) != 3 {
                    break;
                }
                guess |= plain;
                spaced |= plain && len > 1;
                groups.push((end + len, end + len + 3));
                end += len + 3;
            }
            let bytes = self.src.as_bytes();
            // Nobody writes a list as `276,000`, however it is spaced. Without such zeros a space makes it a list.
            guess &= groups[1..].iter().all(|&(from, _)| bytes[from] != b'0');
            let list_goes_on = bytes.get(end) == Some(&b',') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if guess && (in_run || list_goes_on || spaced) {
                groups.truncate(1);
                end = start + first;
                guess = false;
            }
        }
        let grouped = groups.len() > 1;
        let mut tail = end;
        if self.src.as_bytes().get(tail) == Some(&b'.') {
            tail += 1 + self.digits(tail + 1);
        }
        let mut exponent = String::new();
        if let Some((to, signed)) = self.exponent(tail, &mut exponent) {
            // `2e-5` could also be a difference.
            guess |= signed;
            if self.grouping || !signed {
                tail = to;
            } else {
                exponent.clear();
            }
        }
        self.at = tail;
        self.ambiguous |= guess;
        if grouped || !exponent.is_empty() {
            let mut s: String = groups.iter().map(|&(a, b)| &self.src[a..b]).collect();
            s.push_str(self.src[end..tail].split(['e', 'E']).next().unwrap_or(""));
            s.push_str(&exponent);
            self.push(Kind::Num, s);
        } else {
            self.push(Kind::Num, &self.src[start..tail]);
        }
    }
}

/// `^\circ`, `^{\circ}` to a degree sign; `^{\prime}` to a prime; braces around a single token after `^` and `_` go.
fn merge(tokens: &mut Vec<Token<'_>>) {
    if !tokens.iter().any(|t| t.is("^") || t.is("_")) {
        return;
    }
    let old = std::mem::take(tokens);
    let mut rest = old.into_iter().peekable();
    while let Some(t) = rest.next() {
        if !(t.is("^") || t.is("_")) {
            tokens.push(t);
            continue;
        }
        let mut inner: Vec<Token<'_>> = Vec::new();
        if rest.peek().is_some_and(|n| n.is("{")) {
            inner.extend(rest.next());
            inner.extend(rest.next());
            if rest.peek().is_some_and(|n| n.is("}")) && inner.len() == 2 && !inner[1].is("{") && !inner[1].is("}") {
                rest.next();
                inner.remove(0);
            }
        } else {
            inner.extend(rest.next());
        }
        if let ([only], true) = (inner.as_slice(), t.is("^")) {
            let mark = match (only.kind, &*only.s) {
                (Kind::Command, "circ") | (Kind::Sym, "°") => Some("°"),
                (Kind::Sym, "'") => Some("'"),
                _ => None,
            };
            if let Some(mark) = mark {
                tokens.push(Token { s: Cow::Borrowed(mark), kind: Kind::Sym, gap: t.gap, text: false });
                continue;
            }
        }
        // A one-letter script stays a script; what follows a script stays apart from it.
        tokens.push(t);
        tokens.extend(inner);
    }
}

/// Drops the full stop of a sentence, quotes and bold marks around the whole.
fn trim(tokens: &mut Vec<Token<'_>>) {
    // `**5**`
    if tokens.len() > 2 && tokens[0].is("^") && tokens[tokens.len() - 1].is("^") {
        tokens.pop();
        tokens.remove(0);
    }
    while tokens.last().is_some_and(|t| [".", ",", ";", ":", "*", "\"", "`", "\\\\"].iter().any(|s| t.is(s))) {
        tokens.pop();
    }
    if tokens.len() > 1
        && tokens.last().is_some_and(|t| t.is("!"))
        && tokens[tokens.len() - 2].kind == Kind::Word
        && tokens[tokens.len() - 2].s.len() > 1
    {
        tokens.pop();
    }
    let lead = tokens.iter().take_while(|t| ["*", "\"", "`", "\\\\", ","].iter().any(|s| t.is(s))).count();
    tokens.drain(..lead);
    if let Some(last) = tokens.last_mut()
        && last.kind == Kind::Num
        && last.s.ends_with('.')
    {
        let s = last.s.trim_end_matches('.').to_owned();
        last.s = Cow::Owned(s);
    }
}
