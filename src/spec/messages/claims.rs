//! Claims that name what is not there.

use super::mistakes;
use insta::assert_snapshot;

#[test]
fn a_claim_names_axes_that_exist() {
    assert_snapshot!(mistakes("a: { corpus: long }", "a: { corpsu: long }"), @r#"
    error: `a` of claim `c` names an axis that does not exist: `corpsu`
       --> exp.yaml:22:10
       |
    22 |     a: { corpsu: long }
       |          ^^^^^^
    hint: did you mean `corpus`?
    "#);
}

#[test]
fn a_claim_names_levels_that_exist() {
    assert_snapshot!(mistakes("a: { corpus: long }", "a: { corpus: lonk }"), @r#"
    error: `a` of claim `c` names a level that axis `corpus` does not have: `lonk`
       --> exp.yaml:22:18
       |
    22 |     a: { corpus: lonk }
       |                  ^^^^
    hint: did you mean `long`?
    "#);
}

#[test]
fn the_sides_of_a_claim_share_no_arm() {
    assert_snapshot!(mistakes("a: { corpus: long }", "a: { corpus: short }"), @r#"
    error: both sides of claim `c` take arm `corpus=short,family=llama`
       --> exp.yaml:23:8
       |
    23 |     b: { corpus: short }
       |        ^
    hint: name an axis with different levels on the two sides
    "#);
}

#[test]
fn a_claim_names_a_metric_of_its_stage() {
    assert_snapshot!(mistakes("rl.accuracy/all", "rl.acuracy/all"), @r#"
    error: stage `rl` has no metric `acuracy`
       --> exp.yaml:21:13
       |
    21 |     metric: rl.acuracy/all
       |             ^^^^^^^^^^^^^^
    hint: did you mean `accuracy`?
    "#);
}

#[test]
fn only_shares_of_right_answers_have_a_peak() {
    assert_eq!(mistakes("rl.accuracy/all", "peak.accuracy_sampled/all"), "nothing wrong");
    assert_snapshot!(mistakes("rl.accuracy/all", "peak.response_length/all"), @r#"
    error: stage `peak` has no metric `response_length`
       --> exp.yaml:21:13
       |
    21 |     metric: peak.response_length/all
       |             ^^^^^^^^^^^^^^^^^^^^^^^^
    hint: one of `accuracy`, `accuracy_sampled`, `pass@K`
    "#);
}

#[test]
fn a_claim_names_a_benchmark_of_its_arms() {
    assert_snapshot!(mistakes("rl.accuracy/all", "rl.accuracy/gsm"), @r#"
    error: arm `corpus=short,family=llama` is not evaluated on `gsm`
       --> exp.yaml:21:13
       |
    21 |     metric: rl.accuracy/gsm
       |             ^^^^^^^^^^^^^^^
    hint: did you mean `gsm8k`?
    "#);
}

#[test]
fn a_claim_names_a_stage_of_its_arms() {
    assert_snapshot!(mistakes("rl.accuracy/all", "wbe.accuracy/all"), @r#"
    error: arm `corpus=short,family=llama` has no stage `wbe` to measure
       --> exp.yaml:21:13
       |
    21 |     metric: wbe.accuracy/all
       |             ^^^^^^^^^^^^^^^^
    hint: did you mean `web`?
    "#);
}

#[test]
fn a_metric_has_a_stage() {
    assert_snapshot!(mistakes("rl.accuracy/all", "accuracy"), @r#"
    error: `accuracy` is not a metric: it has no stage
       --> exp.yaml:21:13
       |
    21 |     metric: accuracy
       |             ^^^^^^^^
    hint: write it like `rl.accuracy/all` or `web.loss`
    "#);
}
