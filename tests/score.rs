//! `ablate score`: one verdict a line, in order, whatever the lines are.

use ablate::task::score::{LONGEST_LINE, Tally, score_lines};
use serde_json::Value;
use std::io::{BufReader, ErrorKind, Read, repeat};
use std::process::{Command, Stdio};

fn score(input: &[u8]) -> (Vec<Value>, Tally) {
    let mut out = Vec::new();
    let tally = score_lines(input, &mut out).unwrap();
    let lines = String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    (lines, tally)
}

#[test]
fn verdict_and_rule_are_added_and_the_rest_is_kept_in_order() {
    let input = r######"{"id": 7, "gold": "1/2", "response": "So \\boxed{0.5}", "note": [1]}
{"gold": 3, "response": "#### 4"}

{"gold": "3", "response": ""}
{"gold": "3", "response": "\\boxed{5^(5^(5^(5^5)))}"}
"######;
    let (lines, tally) = score(input.as_bytes());
    let text = serde_json::to_string(&lines[0]).unwrap();
    assert_eq!(
        text,
        r#"{"id":7,"gold":"1/2","response":"So \\boxed{0.5}","note":[1],"verdict":"correct","rule":"number"}"#
    );
    let verdicts: Vec<&str> = lines.iter().map(|l| l["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["correct", "wrong", "no-answer", "gave-up"]);
    assert_eq!(tally, Tally { correct: 1, wrong: 1, no_answer: 1, gave_up: 1, errors: 0 });
    assert_eq!(tally.lines(), 4);
}

#[test]
fn broken_lines_are_reported_where_they_stand() {
    let mut input = b"{\"gold\": \"1\", \"response\": \"1\"}\n{broken\n".to_vec();
    input.extend(b"\xff\xfe{\"gold\": 1}\n[1]\n{\"response\": \"1\", \"id\": 4}\n{\"gold\": [], \"response\": \"\"}\n");
    input.extend("[".repeat(100_000).bytes());
    input.extend(
        b"\n{\"gold\": \"1\"}\n{\"gold\": \"1\", \"response\": null}\n{\"gold\": \"1\", \"response\": \"\xff 1\"}\n",
    );
    let (lines, tally) = score(&input);
    assert_eq!((tally.errors, tally.no_answer, lines.len()), (6, 2, 10));
    assert_eq!(lines[0]["verdict"], "correct");
    for (k, line) in lines.iter().enumerate().take(7).skip(1) {
        assert_eq!(line["line"], k as u64 + 1);
        assert_eq!((&line["verdict"], &line["rule"]), (&"gave-up".into(), &"unusable".into()));
        assert!(line["error"].as_str().is_some_and(|e| !e.is_empty()));
    }
    assert!(lines[4]["error"].as_str().unwrap().contains("`gold`") && lines[4]["id"] == 4);
    assert!(lines[7..].iter().all(|line| line["verdict"] != "correct" && line.get("error").is_none()));
}

#[test]
fn hostile_pairs_get_a_verdict_in_no_time() {
    let long = "9".repeat(1_000_000);
    let hostile = [
        "{".repeat(100_000),
        "}".repeat(100_000),
        "(".repeat(100_000),
        "\\boxed{".repeat(20_000),
        "\\frac{".repeat(20_000),
        "\\sqrt".repeat(30_000),
        "-".repeat(100_000),
        "1+".repeat(50_000),
        "$".repeat(99_999),
        "answer is ".repeat(20_000),
        "\\left".repeat(20_000),
        "\u{202e}\u{0}\u{fffd}".repeat(10_000),
        format!("\\boxed{{{long}}}"),
        format!("10^{{{long}}}"),
        "5^(5^(5^(5^5)))".into(),
        "(10^9)!".into(),
        "1e999999999".into(),
        "\\binom{10^9}{5*10^8}".into(),
        "x^{999999999}+1".into(),
        "\\begin{pmatrix}".repeat(5_000),
    ];
    let started = std::time::Instant::now();
    let mut input = String::new();
    for (k, text) in hostile.iter().enumerate() {
        for (gold, response) in [("77", text.as_str()), (text, "77"), (text, text)] {
            input += &serde_json::json!({"id": k, "gold": gold, "response": response}).to_string();
            input.push('\n');
        }
    }
    let (lines, tally) = score(input.as_bytes());
    assert_eq!((lines.len(), tally.errors), (3 * hostile.len(), 0));
    for (k, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], (k / 3) as u64);
        assert!(line["verdict"] != "correct" || k % 3 == 2, "{k}: {}", line["rule"]);
    }
    // Generous: a busy machine, and half a million lines would still be judged in an hour.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn a_line_without_an_end_is_not_read_to_its_end() {
    let endless = BufReader::new(repeat(b'1').take(1 << 40));
    let error = score_lines(endless, Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains(&LONGEST_LINE.to_string()), "{error}");
}

/// Not of scoring alone: every verb prints the same way.
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
    // Gone before the first word, so that the pipe's buffer can't hold them all.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.args(["schema", "lab"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
