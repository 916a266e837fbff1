//! `ablate score`: one verdict a line, in order, whatever the lines are.

use ablate::task::score::{Tally, score_lines};
use serde_json::Value;

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
    input.extend(b"\xff\xfe{\"gold\": 1}\n[1]\n{\"gold\": \"1\"}\n{\"gold\": [], \"response\": \"\"}\n");
    input.extend("[".repeat(100_000).bytes());
    let (lines, tally) = score(&input);
    assert_eq!(tally.errors, 6);
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[0]["verdict"], "correct");
    for (k, line) in lines.iter().enumerate().skip(1) {
        assert_eq!(line["line"], k as u64 + 1);
        assert!(line["error"].as_str().is_some_and(|e| !e.is_empty()));
    }
    assert!(lines[2]["error"].as_str().unwrap().contains("UTF-8"));
    assert!(lines[4]["error"].as_str().unwrap().contains("`response`"));
}
