//! `ablate score`: verdicts for pairs of a gold answer and a response, one JSON object a line.

use super::judge::judge;
use super::verdict::Verdict;
use crate::recipe::template::Extract;
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
    let judged = judge(&response, &gold, Extract::FinalAnswer);
    Ok((object, judged.verdict, judged.rule))
}
