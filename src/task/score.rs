//! `ablate score`: verdicts for pairs of a gold answer and a response, one JSON object a line.

use super::judge::judge;
use super::verdict::Verdict;
use crate::recipe::template::Extract;
use crate::text;
use serde_json::{Map, Value};
use std::io::{self, BufRead, Read, Write};

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
    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Correct => &mut self.correct,
            Verdict::Wrong => &mut self.wrong,
            Verdict::NoAnswer => &mut self.no_answer,
            Verdict::GaveUp => &mut self.gave_up,
        }
    }

    /// All lines but the blank ones.
    pub fn lines(&self) -> u64 {
        self.correct + self.wrong + self.no_answer + self.gave_up + self.errors
    }
}

/// Longest line that is read, in bytes. A line without an end would take all memory there is.
pub const LONGEST_LINE: usize = 64 << 20;

/// Reads `{"gold": …, "response": …, …}` lines and writes each back with `verdict` and `rule`, in the same order.
///
/// A response that is missing or null is no answer. What can't be judged at all (no JSON object, no gold answer) is given up,
/// with its `line` and what is wrong as `error`; the rest goes on. Bytes that are not UTF-8 count as U+FFFD; blank lines are
/// skipped. Only reading and writing themselves can fail, and lines beyond [`LONGEST_LINE`].
pub fn score_lines(mut reader: impl BufRead, mut writer: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LONGEST_LINE as u64 + 1);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(tally);
        }
        number += 1;
        if line.len() > LONGEST_LINE {
            let message = format!("line {number} is longer than {LONGEST_LINE} bytes, which is no pair");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let scored = score_line(&line);
        if scored.error.is_some() {
            tally.errors += 1;
        } else {
            *tally.of(scored.verdict) += 1;
        }
        let Scored { mut object, verdict, rule, error } = scored;
        if let Some(error) = error {
            object.insert("line".into(), number.into());
            object.insert("error".into(), error.into());
        }
        object.insert("verdict".into(), verdict.name().into());
        object.insert("rule".into(), rule.into());
        let out = Value::Object(object);
        serde_json::to_writer(&mut writer, &out)?;
        writer.write_all(b"\n")?;
    }
}

struct Scored {
    /// The line's own members.
    object: Map<String, Value>,
    verdict: Verdict,
    rule: &'static str,
    error: Option<String>,
}

fn score_line(line: &[u8]) -> Scored {
    let unusable = |object, error| Scored { object, verdict: Verdict::GaveUp, rule: "unusable", error: Some(error) };
    let object: Map<String, Value> = match serde_json::from_str(&String::from_utf8_lossy(line)) {
        Ok(object) => object,
        Err(error) => {
            return unusable(
                Map::new(),
                format!("failed to read the line as a JSON object: {}", text::broken_json(&error)),
            );
        }
    };
    let field = |name: &str| match object.get(name) {
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(Value::Number(n)) => Ok(Some(n.to_string())),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(format!("`{name}` must be a string or a number")),
    };
    match (field("gold"), field("response")) {
        (Err(error), _) | (_, Err(error)) => unusable(object, error),
        (Ok(None), _) => unusable(object, "`gold` is missing".into()),
        (Ok(Some(_)), Ok(None)) => Scored { object, verdict: Verdict::NoAnswer, rule: "no-answer", error: None },
        (Ok(Some(gold)), Ok(Some(response))) => {
            let judged = judge(&response, &gold, Extract::FinalAnswer);
            Scored { object, verdict: judged.verdict, rule: judged.rule, error: None }
        }
    }
}
