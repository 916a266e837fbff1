//! Every message, as a user sees it: one mistake put into a good file, and what comes out.

mod arms;
mod claims;
mod values;
mod yaml;

use super::experiment::Experiment;
use super::mistake::Source;
use insta::assert_snapshot;

const GOOD: &str = r#"question: Why?
base:
  family: llama
  midtrain:
    web:
      mixture: { web: 90%, qa: 10% }
      budget: 20B tokens
      schedule: cosine
  rl: { prompts: math8k, template: simple, max_response: 4096 tokens }
  benchmarks: [gsm8k, math500]
axes:
  corpus:
    short: { baseline: true }
    long: { midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
  family:
    llama:
    qwen: { family: qwen }
claims:
  - claim: c
    statement: Long beats short.
    metric: rl.accuracy/all
    a: { corpus: long }
    b: { corpus: short }
    direction: greater
    smallest_effect: 0.05
"#;

fn report(text: &str) -> String {
    match Experiment::parse(&Source::new("exp.yaml", text)) {
        Ok(_) => "nothing wrong".to_string(),
        Err(mistakes) => mistakes.to_string(),
    }
}

/// The report on the good file with one passage replaced.
fn mistakes(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    report(&GOOD.replacen(from, to, 1))
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(report(GOOD), "nothing wrong");
}

#[test]
fn a_misspelt_key_is_reported_once_and_not_as_missing_too() {
    assert_snapshot!(mistakes("budget:", "bugdet:"), @r#"
    error: unknown key `bugdet` in phase `web` of `base`
      --> exp.yaml:7:7
      |
    7 |       bugdet: 20B tokens
      |       ^^^^^^
    hint: did you mean `budget`?
    "#);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    assert_snapshot!(mistakes("budget: 20B tokens\n      schedule: cosine", "bugdet: 20B tokens\n      schedule: cosin\n      peak: 300%"), @r#"
    error: unknown key `bugdet` in phase `web` of `base`
      --> exp.yaml:7:7
      |
    7 |       bugdet: 20B tokens
      |       ^^^^^^
    hint: did you mean `budget`?

    error: expected one of `cosine`, `constant`, `decay`, `warmup-stable-decay`, found `cosin`
      --> exp.yaml:8:17
      |
    8 |       schedule: cosin
      |                 ^^^^^
    hint: did you mean `cosine`?

    error: a share lies between 0% and 100%, found `300%`
      --> exp.yaml:9:13
      |
    9 |       peak: 300%
      |             ^^^^
    "#);
}
