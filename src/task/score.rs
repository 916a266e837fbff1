//! `ablate score`: verdicts for pairs of a gold answer and a response, one JSON object a line.

use super::verdict::Verdict;
use super::verify;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, Write};

/// How many of each verdict were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub correct: u64,
    pub wrong: u64,
    pub no_answer: u64,
    pub gave_up: u64,
    /// Lines that are no pair.
    pub errors: u64,
}

impl Tally {
    /// All lines but the blank ones.
    pub fn lines(&self) -> u64 {
        self.correct + self.wrong + self.no_answer + self.gave_up + self.errors
    }
}

/// Reads `{"gold": …, "response": …, …}` lines and writes each back with `verdict` and `rule`, in the same order.
///
/// A line that is no such object, or not UTF-8, becomes `{"line": n, "error": …}` and the rest goes on; blank lines
/// are skipped. Only reading and writing themselves can fail.
pub fn score_lines(mut reader: impl BufRead, mut writer: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(tally);
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let out = match score_line(&line) {
            Ok((mut object, verdict, rule)) => {
                let count = match verdict {
                    Verdict::Correct => &mut tally.correct,
                    Verdict::Wrong => &mut tally.wrong,
                    Verdict::NoAnswer => &mut tally.no_answer,
                    Verdict::GaveUp => &mut tally.gave_up,
                };
                *count += 1;
                object.insert("verdict".into(), verdict.name().into());
                object.insert("rule".into(), rule.into());
                Value::Object(object)
            }
            Err(error) => {
                tally.errors += 1;
                json!({ "line": number, "error": error })
            }
        };
        serde_json::to_writer(&mut writer, &out)?;
        writer.write_all(b"\n")?;
    }
}

fn score_line(line: &[u8]) -> Result<(Map<String, Value>, Verdict, &'static str), String> {
    let text = std::str::from_utf8(line)
        .map_err(|e| format!("failed to read the line: not UTF-8 from byte {} on", e.valid_up_to()))?;
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| format!("failed to read the line as a JSON object: {e}"))?;
    let field = |name: &str| match object.get(name) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(Value::Number(n)) => Ok(n.to_string()),
        Some(_) => Err(format!("`{name}` must be a string or a number")),
        None => Err(format!("`{name}` is missing")),
    };
    let (gold, response) = (field("gold")?, field("response")?);
    let (verdict, rule) = match final_answer(&response) {
        Some(answer) => verify::equal(&gold, answer),
        None => (Verdict::NoAnswer, verify::Rule::Empty.name()),
    };
    Ok((object, verdict, rule))
}

/// Longest response that is taken for an answer by itself, in bytes.
const SHORT: usize = 120;

/// The answer in a response, as people mark it: the last `\boxed{…}`; else what follows the last `final answer is`,
/// `answer is` or `answer:`; else what follows the last `####`; else the whole response if it is one short line; else
/// the last number.
pub fn final_answer(response: &str) -> Option<&str> {
    if let Some(boxed) = last_boxed(response) {
        return Some(boxed);
    }
    let lower = response.to_ascii_lowercase();
    for mark in ["answer is", "answer:"] {
        if let Some(at) = lower.rfind(mark) {
            let rest = response[at + mark.len()..].trim_start_matches([':', ' ', '\n', '*']);
            return Some(sentence(rest));
        }
    }
    if let Some(at) = response.rfind("####") {
        return Some(sentence(response[at + 4..].trim_start()));
    }
    let whole = response.trim();
    if whole.len() <= SHORT && !whole.contains('\n') {
        return (!whole.is_empty()).then_some(whole);
    }
    last_number(response)
}

/// To the end of the line or of the sentence.
fn sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or("");
    let end = [". I hope", ".$ I hope", ". Therefore", ". So ", ". The "].iter().filter_map(|m| line.find(m)).min();
    line[..end.unwrap_or(line.len())].trim().trim_end_matches('.')
}

/// The content of the last `\boxed{…}` or `\fbox{…}`, up to its brace or, where that is missing, the end.
fn last_boxed(response: &str) -> Option<&str> {
    let at = response.rfind("\\boxed").max(response.rfind("\\fbox"))?;
    let rest = response[at..].trim_start_matches("\\boxed").trim_start_matches("\\fbox").trim_start();
    let Some(inner) = rest.strip_prefix('{') else {
        // `\boxed 5`.
        return Some(rest.split(['$', ' ', '\n', '.']).next().unwrap_or(""));
    };
    let mut depth = 1u32;
    let mut escaped = false;
    for (k, b) in inner.bytes().enumerate() {
        match b {
            b'\\' => escaped = !escaped,
            b'{' if !escaped => depth += 1,
            b'}' if !escaped => {
                depth -= 1;
                if depth == 0 {
                    return Some(&inner[..k]);
                }
            }
            _ => {}
        }
        if b != b'\\' {
            escaped = false;
        }
    }
    Some(inner)
}

fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'/');
    let mut start = end - bytes[..end].iter().rev().take_while(|b| part(b)).count();
    while !bytes[start].is_ascii_digit() && bytes[start] != b'.' {
        start += 1;
    }
    if start > 0 && bytes[start - 1] == b'-' {
        start -= 1;
    }
    Some(&text[start..end])
}
