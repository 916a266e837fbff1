//! YAML text → a tree in which every key and every value knows its place.
//!
//! Deserialising straight into structs would stop at the first mistake and would lose the text of numbers (`20B tokens`,
//! `90%`, `1e-5` are amounts, not strings or floats), so the tree keeps scalars as they were typed and the readers of
//! [`super::reader`] give them a type. Anchors, aliases and merge keys (`<<`) are resolved here. Tags, several documents
//! in one file and complex keys are refused. A file may not unfold into more than [`MAX_NODES`] nodes, so nested aliases
//! can't exhaust memory.

use super::mistake::{At, Mistakes, Source};
use super::name::Name;
use serde_yaml::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span, StrInput};
use std::collections::HashMap;
use std::sync::Arc;

/// Largest file in bytes.
const MAX_BYTES: usize = 1 << 18;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most nodes after aliases are unfolded.
const MAX_NODES: usize = 20_000;

#[derive(Debug, Clone)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    /// `plain` is false for quoted text, which is never nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Name,
    pub value: Node,
}

impl Node {
    /// The text of a scalar; nothing (`~`, `null`, an empty value) has none.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain } if !(*plain && matches!(text.as_str(), "" | "~" | "null")) => Some(text),
            _ => None,
        }
    }

    /// `~`, `null`, or no value at all.
    pub fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Scalar { .. }) && self.text().is_none()
    }

    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }

    /// What stands here, in words.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { .. } => match self.text() {
                Some(text) => format!("`{}`", shorten(text)),
                None => "nothing".to_string(),
            },
            Value::List(_) => "a list".to_string(),
            Value::Map(_) => "a map".to_string(),
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| 1 + entry.value.count()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
        }
    }
}

/// Text as messages quote it: one line, not too long.
pub fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= 60 && line.len() == text.len() {
        return line.to_string();
    }
    line.chars().take(57).chain("…".chars()).collect()
}

/// The tree of a file. Mistakes that leave a tree behind (duplicate keys, misused merge keys) are added to `mistakes`;
/// without a tree, the mistakes say why.
pub fn parse(source: &Arc<Source>, mistakes: &mut Mistakes) -> Option<Node> {
    if source.text.len() > MAX_BYTES {
        mistakes.add(
            &At::top(source),
            format!("the file has {} bytes; {MAX_BYTES} are the most that is read", source.text.len()),
        );
        return None;
    }
    let mut options = Options::default();
    options.emit_comments = false;
    let parser = Parser::new_from_str_with_options(&source.text, options);
    let mut composer = Composer { source, parser, anchors: HashMap::new(), nodes: 0, mistakes };
    composer.document().ok()
}

/// A mistake has been reported and there is no tree.
struct Stop;

struct Composer<'s, 'm> {
    source: &'s Arc<Source>,
    parser: Parser<'s, StrInput<'s>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    mistakes: &'m mut Mistakes,
}

impl<'s> Composer<'s, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return self.stop(&span, "a second document begins here; a file holds one");
                }
                Event::DocumentStart(..) => {}
                Event::StreamEnd => {
                    return match root {
                        Some(node) => Ok(node),
                        None => {
                            let hint = "`ablate schema` says what an experiment holds, `ablate schema lab` what a lab";
                            self.mistakes.add_with_hint(&self.at(&span), "the file is empty", hint);
                            Err(Stop)
                        }
                    };
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span)),
            Some(Err(error)) => {
                let at = At {
                    source: self.source.clone(),
                    line: error.marker().line().max(1) as u32,
                    column: error.marker().col() as u32 + 1,
                    width: 1,
                };
                let message = format!("this is not YAML: {}", error.info());
                match way_out(error.kind()) {
                    Some(hint) => self.mistakes.add_with_hint(&at, message, hint),
                    None => self.mistakes.add(&at, message),
                }
                Err(Stop)
            }
            None => {
                self.mistakes.add(&At::top(self.source), "this is not YAML: the document does not end");
                Err(Stop)
            }
        }
    }

    fn at(&self, span: &Span) -> At {
        let width =
            if span.end.line() == span.start.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        At {
            source: self.source.clone(),
            line: span.start.line().max(1) as u32,
            column: span.start.col() as u32 + 1,
            width: width.max(1) as u32,
        }
    }

    fn stop<T>(&mut self, span: &Span, message: impl Into<String>) -> Result<T, Stop> {
        let at = self.at(span);
        self.mistakes.add(&at, message);
        Err(Stop)
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.stop(&span, format!("the file holds more than {MAX_NODES} values"));
        }
        if depth >= MAX_DEPTH {
            return self.stop(&span, format!("values are nested more than {MAX_DEPTH} deep"));
        }
        let at = self.at(&span);
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return self.stop(&span, "this alias stands inside the value that it names");
                };
                self.nodes += node.count();
                if self.nodes <= MAX_NODES && depth + node.depth() <= MAX_DEPTH {
                    return Ok(node.clone());
                }
                return self.stop(&span, format!("aliases unfold into more than {MAX_NODES} values, or too deep"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    self.mistakes.add_with_hint(&at, "tags (`!…`) mean nothing here", "write the value alone");
                }
                (anchor, Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Value::List(items))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Value::Map(self.map(depth)?)),
            other => return self.stop(&span, format!("this is not YAML: unexpected {other:?}")),
        };
        let node = Node { at, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let Value::Scalar { text, .. } = key.value else {
                return self.stop(&span, "a key is a name, not a list or a map");
            };
            let key = Name { text, at: key.at };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if key.text == "<<" {
                match value.value {
                    Value::List(items) => merged.extend(items),
                    _ => merged.push(value),
                }
                continue;
            }
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => self.mistakes.add_with_hint(
                    &key.at,
                    format!("`{key}` is given twice"),
                    format!("first on line {}", first.key.at.line),
                ),
                None => entries.push(Entry { key, value }),
            }
        }
        // Keys that are written out win over merged ones, and earlier merged maps over later ones.
        for map in merged {
            let Value::Map(inherited) = map.value else {
                self.mistakes.add(&map.at, "`<<` takes a map, or a list of maps");
                continue;
            };
            for entry in inherited {
                if !entries.iter().any(|known| known.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }
}

/// What to do about a complaint of the parser; none where it says so itself.
fn way_out(complaint: &ErrorKind) -> Option<&'static str> {
    use ErrorKind::*;
    Some(match complaint {
        TabNotAllowed | TabInBlockIndentation | TabInIndentation | TabAtBlockScalarStart => "indent with spaces",
        SimpleKeyExpected | MappingValueNotAllowed | InvalidSimpleKey => {
            "is a `:` missing here or in the line above? `key: value` has a space behind the colon"
        }
        UnknownAnchor => "`*name` repeats what stands behind `&name` further up; text that begins so takes quotes",
        MismatchedFlowCollectionEnd { .. }
        | UnclosedFlowCollection { .. }
        | ExpectedFlowMappingSeparator
        | ExpectedFlowSequenceSeparator
        | UnexpectedEofFlowMapping
        | UnexpectedEofFlowSequence => "close `{` with `}` and `[` with `]`; a comma stands between two entries",
        UnclosedQuotedScalar => "a text that begins with a quote ends with one",
        _ => return None,
    })
}

/// Keys whose value is one thing and is replaced whole: half of a mixture or of a schedule means nothing.
const WHOLE: [&str; 4] = ["mixture", "schedule", "max_response", "difficulty"];

/// `over` laid over `base`: maps merge key by key (except under the keys of [`WHOLE`]), anything else replaces. The order of
/// keys is that of `base`, new keys after.
pub fn overlay(base: &Node, over: &Node) -> Node {
    let (Value::Map(below), Value::Map(above)) = (&base.value, &over.value) else { return over.clone() };
    let mut entries = below.clone();
    for entry in above {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => {
                known.value = if WHOLE.contains(&entry.key.as_str()) {
                    entry.value.clone()
                } else {
                    overlay(&known.value, &entry.value)
                };
                known.key = entry.key.clone();
            }
            None => entries.push(entry.clone()),
        }
    }
    Node { at: base.at.clone(), value: Value::Map(entries) }
}
