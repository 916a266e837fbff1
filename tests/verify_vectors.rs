//! Agreement with Math-Verify on constructed pairs; every disagreement is listed, with who is right.

use ablate::task::score::final_answer;
use ablate::task::verdict::Verdict;
use ablate::task::verify::equal;
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("vectors/verify.jsonl");
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn vectors_agree_with_the_peer() {
    let mut differing = Vec::new();
    let vectors = vectors();
    for v in &vectors {
        let (gold, response) = (v["gold"].as_str().unwrap(), v["response"].as_str().unwrap());
        let answer = final_answer(response).unwrap_or("");
        let (verdict, rule) = equal(gold, answer);
        if (verdict == Verdict::Correct) != v["math_verify"].as_bool().unwrap() {
            differing.push(format!("{gold} | {answer} | {verdict:?} {rule}"));
        }
    }
    let share = 1.0 - differing.len() as f64 / vectors.len() as f64;
    println!("{share:.4} of {}", vectors.len());
    assert!(share >= 0.995, "{share}: {differing:#?}");
}
