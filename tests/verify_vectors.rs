//! Agreement with Math-Verify. Every disagreement is listed, with who is right, in `verify_disagreements.md`.

use ablate::recipe::template::Extract;
use ablate::task::extract;
use ablate::task::verdict::Verdict;
use ablate::task::verify::{GoldError, check_gold, equal};
use serde_json::Value;
use std::path::Path;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn vectors_agree_with_the_peer() {
    let vectors = rows(include_str!("vectors/verify.jsonl"));
    let mut differing = Vec::new();
    for v in &vectors {
        let (gold, response) = (v["gold"].as_str().unwrap(), v["response"].as_str().unwrap());
        let answer = extract(response, Extract::FinalAnswer).unwrap_or("");
        let (verdict, rule) = equal(gold, answer);
        assert_ne!(verdict, Verdict::GaveUp, "{gold} | {answer}");
        if (verdict == Verdict::Correct) != v["math_verify"].as_bool().unwrap() {
            differing.push(format!("{gold} | {answer} | {verdict:?} by {rule}"));
        }
    }
    let share = 1.0 - differing.len() as f64 / vectors.len() as f64;
    println!("{share:.4} of {}", vectors.len());
    assert!(share >= 0.995, "{share}: {differing:#?}");
}

#[test]
fn vectors_of_respellings_and_alterations_are_judged_as_they_were_made() {
    let vectors = rows(include_str!("vectors/verify_differential.jsonl"));
    let (mut astray, mut differing) = (Vec::new(), 0);
    for v in &vectors {
        let (gold, answer) = (v["gold"].as_str().unwrap(), v["answer"].as_str().unwrap());
        let both = [equal(gold, answer), equal(answer, gold)];
        if !answer.is_empty() {
            assert_eq!(both[0], both[1], "{gold} | {answer}");
        }
        let correct = both[0].0 == Verdict::Correct;
        differing += usize::from(v["math_verify"].as_array().unwrap().iter().any(|m| m.as_bool() != Some(correct)));
        if correct != (v["kind"] == "same") {
            astray.push(format!("{gold} | {answer} | {:?}", both[0]));
        }
    }
    // −0 is the one alteration that altered nothing.
    assert_eq!(astray.len(), 1, "{astray:#?}");
    let listed = include_str!("verify_disagreements.md").lines().filter(|l| l.starts_with("| `")).count();
    assert_eq!(differing, listed, "verify_disagreements.md no longer lists every difference");
}

#[test]
fn gold_answers_of_the_benchmarks_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/benchmarks");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not here", folder.display());
        return;
    };
    let mut unread = Vec::new();
    let mut read = 0;
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        for v in rows(&std::fs::read_to_string(path).unwrap()) {
            let gold = v["answer"].as_str().unwrap();
            assert_eq!(equal(gold, gold).0, Verdict::Correct);
            match check_gold(gold) {
                Ok(()) => read += 1,
                Err(error) => unread.push((v["id"].as_str().unwrap().to_owned(), error)),
            }
        }
    }
    println!("{read} read, not: {unread:?}");
    // Both are in OlympiadBench: a sentence with conditions, and `t(0,4]`.
    assert_eq!(unread.len(), 2, "{unread:?}");
    assert!(unread.iter().all(|(id, e)| id.starts_with("olympiadbench") && *e == GoldError::Unparsable));
    assert!(read > 8000);
}

#[test]
fn a_gold_answer_without_a_value_is_refused() {
    assert_eq!(check_gold(" $$ "), Err(GoldError::Empty));
    assert_eq!(check_gold("1/0"), Err(GoldError::Undefined));
    assert_eq!(check_gold("\\frac{1}{"), Err(GoldError::Unparsable));
    assert_eq!(check_gold("10^{10^{10}}"), Err(GoldError::Budget));
    for good in ["5", "Mrs. Hilt", "11:45 p.m.", "B", "(-\\infty, 2]", "x+y"] {
        assert_eq!(check_gold(good), Ok(()), "{good}");
    }
}
