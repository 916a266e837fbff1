//! Mistakes in a file, all of them at once, each with its place and, where there is one, a way to mend it.
//!
//! A place carries the text it points into, so that a mistake prints itself without anybody keeping files around, and
//! mistakes found in an experiment and in a lab can stand in one list.

use std::fmt;
use std::sync::Arc;

/// A file as it was read.
#[derive(Debug)]
pub struct Source {
    /// The path as the user gave it, or `labs/proxy.yaml (built in)`.
    pub name: String,
    pub text: String,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source { name: name.into(), text: text.into() })
    }
}

/// A place in a file: line and column from 1, and the number of characters it spans on that line.
#[derive(Clone)]
pub struct At {
    pub source: Arc<Source>,
    pub line: u32,
    pub column: u32,
    pub width: u32,
}

impl At {
    /// The first character of a file, for mistakes that lie nowhere else.
    pub fn top(source: &Arc<Source>) -> At {
        At { source: source.clone(), line: 1, column: 1, width: 1 }
    }

    /// Where this place sorts among the others.
    fn order(&self) -> (&str, u32, u32) {
        (&self.source.name, self.line, self.column)
    }
}

impl PartialEq for At {
    fn eq(&self, other: &At) -> bool {
        self.order() == other.order()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    pub at: At,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { at, message, hint } = self;
        let number = at.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "error: {message}")?;
        write!(f, "{gutter} --> {at}")?;
        let line = at.source.text.lines().nth(at.line as usize - 1).unwrap_or("");
        if !line.trim().is_empty() {
            // Long lines are cut around the place.
            let column = at.column as usize - 1;
            let cut = if line.chars().count() > 140 { column.saturating_sub(40) } else { 0 };
            let shown: String =
                line.chars().skip(cut).take(140).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let shown = shown.trim_end();
            let width = (at.width as usize).min(shown.chars().count().saturating_sub(column - cut)).max(1);
            let (before, carets) = (" ".repeat(column - cut), "^".repeat(width));
            write!(f, "\n{gutter} |\n{number} | {shown}\n{gutter} | {before}{carets}")?;
        }
        if let Some(hint) = hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything wrong with some files, in the order of their lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub fn add(&mut self, at: &At, message: impl Into<String>) {
        self.0.push(Mistake { at: at.clone(), message: message.into(), hint: None });
    }

    pub fn add_with_hint(&mut self, at: &At, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Mistake { at: at.clone(), message: message.into(), hint: Some(hint.into()) });
    }

    /// Takes over those of `later` that lie where nothing was wrong so far.
    pub fn add_new(&mut self, later: Mistakes) {
        for mistake in later.0 {
            if !self.0.iter().any(|known| known.at == mistake.at) {
                self.0.push(mistake);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// `value`, if there is one and nothing is wrong; otherwise the mistakes in order, each once.
    pub fn or<T>(mut self, value: Option<T>) -> Result<T, Mistakes> {
        self.0.sort_by(|a, b| a.at.order().cmp(&b.at.order()));
        self.0.dedup();
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The known name nearest to `typed`, if it is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let far = 1 + typed.chars().count() / 4;
    let prefix = |name: &str| typed.len() >= 3 && name.starts_with(&typed);
    let mut names: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (strsim::osa_distance(&typed, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= far || prefix(name))
        .collect();
    names.sort();
    names.first().map(|(_, name)| *name)
}

/// `did you mean …?`, or the list of what there is.
pub fn suggest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(typed, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => one_of(known),
    }
}

/// `one of a, b, c`; long lists are cut.
pub fn one_of<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = known.into_iter().collect();
    match names.len() {
        0 => "there are none".to_string(),
        1 => format!("only `{}`", names[0]),
        n => {
            let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
            format!("one of {}{}", shown.join(", "), if n > 12 { ", …" } else { "" })
        }
    }
}
