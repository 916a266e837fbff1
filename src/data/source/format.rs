//! From a record to a document's text.
//!
//! The paper's corpora come as text or as questions with answers; how a pair is written out is a factor of its study, so
//! the ways have names. Corpora of conversations are read pair by pair: a column may be a path such as `messages.0.content`.

use super::SourceError;
use crate::recipe::corpus::Render;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// How a question and its answer become one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `question` newline `answer`.
    Plain,
    /// `Question:` newline `question` newline `Answer:` newline `answer`, as the paper's simple RL template asks.
    QuestionAnswer,
    /// `User:question` newline `Assistant:answer`, as the paper's instruction data.
    UserAssistant,
    /// `question` newline and what stands between the answer's think tags, as the paper's long chains of thought. An
    /// answer without a complete pair of tags is a bad record.
    Think,
    /// `question` newline `answer`, tags and all; an answer without a complete pair of tags is a bad record.
    ThinkTags,
}

impl Format {
    pub const ALL: [Format; 5] =
        [Format::Plain, Format::QuestionAnswer, Format::UserAssistant, Format::Think, Format::ThinkTags];

    /// The name used in specs.
    pub fn name(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::QuestionAnswer => "question-answer",
            Format::UserAssistant => "user-assistant",
            Format::Think => "think",
            Format::ThinkTags => "think-tags",
        }
    }

    pub(super) fn names() -> String {
        Format::ALL.map(Format::name).join(", ")
    }

    /// The text of a pair, or why there is none.
    pub fn text(self, question: &str, answer: &str) -> Result<String, String> {
        let (question, answer) = (question.trim(), answer.trim());
        Ok(match self {
            Format::Plain => format!("{question}\n{answer}"),
            Format::QuestionAnswer => format!("Question:\n{question}\nAnswer:\n{answer}"),
            Format::UserAssistant => format!("User:{question}\nAssistant:{answer}"),
            Format::Think => format!("{question}\n{}", thinking(answer)?),
            Format::ThinkTags => {
                thinking(answer)?;
                format!("{question}\n{answer}")
            }
        })
    }
}

fn thinking(answer: &str) -> Result<&str, String> {
    let inner = answer.split_once("<think>").and_then(|(_, rest)| rest.split_once("</think>"));
    let inner = inner.map(|(inner, _)| inner.trim()).filter(|inner| !inner.is_empty());
    inner.ok_or_else(|| "the answer has no text between <think> and </think>".to_string())
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = SourceError;

    fn from_str(name: &str) -> Result<Format, SourceError> {
        if let Some(format) = Format::ALL.into_iter().find(|format| format.name() == name) {
            return Ok(format);
        }
        let near = Format::ALL.map(|format| (strsim::damerau_levenshtein(name, format.name()), format.name()));
        let meant = near.into_iter().min().filter(|(distance, _)| *distance <= 4).map(|(_, name)| name);
        Err(SourceError::UnknownFormat { name: name.to_string(), meant })
    }
}

/// [`Render`] with its format looked up.
#[derive(Debug, Clone)]
pub(super) enum Rendering {
    Text { column: String },
    Pair { question: String, answer: String, format: Format },
}

impl Rendering {
    pub fn new(render: &Render) -> Result<Rendering, SourceError> {
        Ok(match render.clone() {
            Render::Text { column } => Rendering::Text { column },
            Render::Qa { question, answer, format } => Rendering::Pair { question, answer, format: format.parse()? },
        })
    }

    /// The columns that are read.
    #[cfg(feature = "parquet")]
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Rendering::Text { column } => vec![column],
            Rendering::Pair { question, answer, .. } => vec![question, answer],
        }
    }

    /// The text of a record, or why there is none.
    pub fn text(&self, record: &Value) -> Result<String, String> {
        match self {
            Rendering::Text { column } => cell(record, column).map(str::to_string),
            Rendering::Pair { question, answer, format } => format.text(cell(record, question)?, cell(record, answer)?),
        }
    }
}

/// The text of a column that is not blank. A column of exactly this name comes before a path.
fn cell<'a>(record: &'a Value, column: &str) -> Result<&'a str, String> {
    let members = record.as_object().ok_or_else(|| format!("it is {}, not an object", what(record)))?;
    let step = |value: &'a Value, name: &str| match value {
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    };
    let found = members.get(column).or_else(|| column.split('.').try_fold(record, step));
    match found {
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("column `{column}` is blank")),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("column `{column}` is {}, not text", what(other))),
        None => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            Err(format!("there is no column `{column}` (there are: {})", names.join(", ")))
        }
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
