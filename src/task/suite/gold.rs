//! Benchmark files: one JSON object a line with `id`, `question`, `answer`.
//!
//! A gold answer that its own suite would not accept, written out as the examples are, can never be answered; such items
//! are found when the file is read and reported by id, and never lower an accuracy in silence.

use super::equality::{number, undollared};
use super::{Equality, Suite};
use crate::task::{Problem, Verdict, verify};
use crate::text;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A line that is no item, or an item that no answer could satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldProblem {
    /// Counted from 1.
    pub line: usize,
    /// Absent if the line could not be read that far.
    pub id: Option<String>,
    pub reason: String,
}

impl fmt::Display for GoldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        write!(f, "line {}{id}: {}", self.line, self.reason)
    }
}

/// A benchmark that can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("failed to read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("failed to load the problems of {}: {} of them can't be used, first {}", path.display(), problems.len(), problems[0])]
    Golds { path: PathBuf, problems: Vec<GoldProblem> },
    #[error("failed to load the problems of {}: there are none", path.display())]
    Empty { path: PathBuf },
}

#[derive(Deserialize)]
struct Line {
    #[serde(deserialize_with = "text_or_number")]
    id: String,
    question: String,
    #[serde(deserialize_with = "text_or_number")]
    answer: String,
}

/// Sources that are not ours write `"answer": 27`.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(de::Error::custom("`id` and `answer` must be a string or a number")),
    }
}

/// The usable problems of a text that belongs to no suite, and what is wrong with the others.
pub fn read_problems(text: &str) -> (Vec<Problem>, Vec<GoldProblem>) {
    let defect = |item: &Problem| verify::check_gold(&item.gold).err().map(|error| error.to_string());
    read(text, |answer| answer.trim().to_string(), defect)
}

/// The problems of a file that belongs to no suite, as RL prompts do: gold answers as they are written, each of which the
/// checker of mathematical answers must be able to read.
pub fn load_problems(path: &Path) -> Result<Vec<Problem>, LoadError> {
    whole(path, read_problems)
}

type Items = (Vec<Problem>, Vec<GoldProblem>);

fn whole(path: &Path, read: impl Fn(&str) -> Items) -> Result<Vec<Problem>, LoadError> {
    let text = text::read(path).map_err(|source| LoadError::Io { path: path.to_path_buf(), source })?;
    let (items, problems) = read(&text);
    if !problems.is_empty() {
        return Err(LoadError::Golds { path: path.to_path_buf(), problems });
    }
    if items.is_empty() { Err(LoadError::Empty { path: path.to_path_buf() }) } else { Ok(items) }
}

fn read(text: &str, gold: impl Fn(&str) -> String, defect: impl Fn(&Problem) -> Option<String>) -> Items {
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = index + 1;
        let parsed: Line = match serde_json::from_str(line) {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.push(GoldProblem { line: line_number, id: None, reason: text::broken_json(&error) });
                continue;
            }
        };
        let item = Problem { gold: gold(&parsed.answer), id: parsed.id, question: parsed.question };
        let reason = if !seen.insert(item.id.clone()) {
            Some("the id occurs twice".to_string())
        } else if item.question.trim().is_empty() {
            Some("the question is empty".to_string())
        } else if item.gold.is_empty() {
            Some("the gold answer is empty".to_string())
        } else {
            defect(&item)
        };
        match reason {
            None => items.push(item),
            Some(reason) => problems.push(GoldProblem { line: line_number, id: Some(item.id), reason }),
        }
    }
    (items, problems)
}

impl Suite {
    /// The items of a file, in its order, with normalised gold answers. Any bad item is an error that lists them all.
    pub fn load(self, path: &Path) -> Result<Vec<Problem>, LoadError> {
        whole(path, |text| self.read(text))
    }

    /// The usable items of a file's text, and what is wrong with the others.
    pub fn read(self, text: &str) -> (Vec<Problem>, Vec<GoldProblem>) {
        read(text, |answer| self.gold(answer), |item| self.defect(item))
    }

    /// Ids of items whose gold answer can't be read as mathematics, so that only its own spelling is right. A model is
    /// judged harder on them, which belongs beside an accuracy.
    pub fn spelled(self, items: &[Problem]) -> Vec<&str> {
        let compared = matches!(self.equality(), Equality::List | Equality::Expression | Equality::Ocw);
        let unread = |item: &&Problem| compared && verify::check_gold(undollared(&item.gold)).is_err();
        items.iter().filter(unread).map(|item| item.id.as_str()).collect()
    }

    /// The gold answer as it is compared: no unit in parentheses (ASDiv), no trailing `.0`, letters in upper case.
    pub fn gold(self, answer: &str) -> String {
        let answer = answer.trim();
        match self.equality() {
            Equality::Choice => answer.trim_matches(['(', ')', '.']).to_ascii_uppercase(),
            Equality::Number | Equality::Option => {
                let bare = if self == Suite::Asdiv { without_unit(answer) } else { answer };
                match number(bare) {
                    Some(_) => {
                        let digits = bare.replace(',', "");
                        let whole = digits.split_once('.').filter(|(_, part)| part.bytes().all(|byte| byte == b'0'));
                        whole.map_or(digits.as_str(), |(whole, _)| whole).to_string()
                    }
                    None => bare.to_string(),
                }
            }
            Equality::List | Equality::Expression | Equality::Ocw => answer.to_string(),
        }
    }

    /// Why no response could be right, if so.
    fn defect(self, item: &Problem) -> Option<String> {
        if self.equality() == Equality::Choice {
            // Two items of the SAT set write `(A. … B. …`.
            let marks =
                [("(", ")"), ("(", ". "), (" ", ". ")].map(|(before, after)| format!("{before}{}{after}", item.gold));
            if item.gold.len() != 1 || !marks.iter().any(|mark| item.question.contains(mark)) {
                return Some(format!("the gold answer `{}` is none of the question's choices", item.gold));
            }
        }
        let judged = self.judge(&self.response("So.", &item.gold), item, false);
        (judged.verdict != Verdict::Correct).then(|| {
            let found = judged.answer.unwrap_or_default();
            format!("the gold answer `{}` does not equal itself (read as `{found}`, rule {})", item.gold, judged.rule)
        })
    }
}

/// `9 (apples)` without the unit; `-(1/3)` stays.
fn without_unit(text: &str) -> &str {
    match text.rfind('(') {
        Some(at) if text.ends_with(')') && text[..at].ends_with(' ') => text[..at].trim_end(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golds_are_normalised_as_their_sources_need() {
        for (suite, answer, gold) in [
            (Suite::Svamp, "145.0", "145"),
            (Suite::Mawps, "2.75", "2.75"),
            (Suite::Gsm8k, "1,200", "1200"),
            (Suite::Amc23, "-1.0", "-1"),
            (Suite::Asdiv, "9 (apples)", "9"),
            (Suite::Asdiv, "14  (seats)", "14"),
            (Suite::Asdiv, "-(1/3)", "-(1/3)"),
            (Suite::Asdiv, "4:5", "4:5"),
            (Suite::Mathqa, "d", "D"),
            (Suite::Math500, "11,\\! 111", "11,\\! 111"),
        ] {
            assert_eq!(suite.gold(answer), gold, "{suite} {answer}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_reported_by_id() {
        let lines = [
            r#"{"id":"a","question":"1+1?\n(A) 2 (B) 3","answer":"a"}"#,
            r#"{"id":"b","question":"1+1?\n(A) 2 (B) 3","answer":"e"}"#,
            r#"{"id":"a","question":"1+1?\n(A) 2 (B) 3","answer":"a"}"#,
            "",
            r#"{"id":"c","question":" ","answer":"a"}"#,
            r#"{"id":"d","question":"1?"}"#,
        ];
        let (items, problems) = Suite::Mathqa.read(&lines.join("\n"));
        assert_eq!(items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["a"]);
        let found: Vec<_> = problems.iter().map(|problem| (problem.line, problem.id.as_deref())).collect();
        assert_eq!(found, [(2, Some("b")), (3, Some("a")), (5, Some("c")), (6, None)]);
        assert!(problems[0].to_string().contains("line 2 (b): the gold answer `E`"), "{}", problems[0]);
    }

    #[test]
    fn problems_of_no_suite_keep_their_gold_answers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"id":"a","question":"1/2+1/2?","answer":" 1.0"}"#).unwrap();
        assert_eq!(load_problems(file.path()).unwrap()[0].gold, "1.0");
        std::fs::write(file.path(), r#"{"id":"a","question":"1/0?","answer":"\\frac{1}{0}"}"#).unwrap();
        let error = load_problems(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 1 (a)"), "{error}");
    }

    #[test]
    fn a_file_without_items_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Suite::Gsm8k.load(file.path()), Err(LoadError::Empty { .. })));
        std::fs::write(file.path(), "{}\n").unwrap();
        let error = Suite::Gsm8k.load(file.path()).unwrap_err().to_string();
        assert!(error.contains("1 of them") && error.contains("line 1"), "{error}");
    }
}
