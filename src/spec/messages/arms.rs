//! Axes, levels and the arms that they make.

use super::mistakes;
use insta::assert_snapshot;

#[test]
fn an_axis_must_change_something() {
    assert_snapshot!(mistakes("qwen: { family: qwen }", "qwen: { family: llama }"), @r#"
    error: axis `family` changes nothing
       --> exp.yaml:15:3
       |
    15 |   family:
       |   ^^^^^^
    hint: its levels all give the same arms; is a key set again by a later axis?
    "#);
}

#[test]
fn levels_must_differ() {
    assert_snapshot!(mistakes("qwen: { family: qwen }", "qwen: { family: qwen }\n    qwen2: { family: qwen, label: Q }"), @r#"
    error: levels `qwen` and `qwen2` of axis `family` are equal
       --> exp.yaml:18:5
       |
    18 |     qwen2: { family: qwen, label: Q }
       |     ^^^^^
    "#);
}

#[test]
fn one_level_is_no_axis() {
    assert_snapshot!(mistakes("    llama:\n", ""), @r#"
    error: axis `family` has only one level and so changes nothing
       --> exp.yaml:15:3
       |
    15 |   family:
       |   ^^^^^^
    hint: put what it sets into `base`, or add a level
    "#);
}

#[test]
fn phases_keep_clear_of_other_stages_names() {
    assert_snapshot!(mistakes("    web:\n", "    rl:\n"), @r#"
    error: a phase can't be called `rl`: that is another stage's name
      --> exp.yaml:5:5
      |
    5 |     rl:
      |     ^^
    hint: name it after its data or its part, like `web`, `stable` or `decay`

    error: phase `web` of arm `corpus=long,family=llama` has no `budget`
       --> exp.yaml:14:30
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
       |                              ^
    "#);
}

#[test]
fn what_is_missing_is_named_with_its_arm() {
    assert_snapshot!(mistakes("      budget: 20B tokens\n", ""), @r#"
    error: phase `web` of arm `corpus=short,family=llama` has no `budget`
      --> exp.yaml:6:7
      |
    6 |       mixture: { web: 90%, qa: 10% }
      |       ^
    "#);
}

#[test]
fn some_arm_must_be_left() {
    assert_snapshot!(mistakes("claims:", "exclude: [{ corpus: [long, short] }]\nclaims:"), @r#"
    error: no arm is left: `when`, `include` and `exclude` rule all of them out
       --> exp.yaml:12:3
       |
    12 |   corpus:
       |   ^
    "#);
}

#[test]
fn an_exclusion_must_exclude() {
    assert_snapshot!(mistakes("claims:", "exclude: [{ corpus: long, family: llama }, { corpus: long, family: llama }]\nclaims:"), @r#"
    error: this excludes no arm
       --> exp.yaml:18:44
       |
    18 | exclude: [{ corpus: long, family: llama }, { corpus: long, family: llama }]
       |                                            ^
    "#);
}

#[test]
fn a_condition_needs_a_baseline() {
    assert_snapshot!(mistakes("claims:", "when: { family: { corpus: long } }\nclaims:"), @r#"
    error: axis `family` has a condition but no baseline to stay at where it does not hold
       --> exp.yaml:18:9
       |
    18 | when: { family: { corpus: long } }
       |         ^^^^^^
    hint: give one of its levels `baseline: true`
    "#);
}

#[test]
fn zipped_axes_have_equally_many_levels() {
    assert_snapshot!(mistakes("    llama:\n    qwen: { family: qwen }\n", "    llama:\n    qwen: { family: qwen }\n    lama: { family: lama }\nzip: [corpus, family]\n"), @r#"
    error: zipped axes have equally many levels, but `corpus` has 2 and `family` 3
       --> exp.yaml:19:15
       |
    19 | zip: [corpus, family]
       |               ^^^^^^
    "#);
}

#[test]
fn no_two_arms_are_the_same_experiment() {
    assert_snapshot!(mistakes("    llama:\n", "    llama: {}\n    none: { midtrain: none }\n"), @r#"
    error: arms `corpus=short,family=none` and `corpus=long,family=none` are the same experiment
       --> exp.yaml:14:5
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
       |     ^^^^
    hint: drop one with `exclude`, or let axis `corpus` vary only `when` it has an effect
    "#);
}

#[test]
fn an_axis_has_one_baseline() {
    assert_snapshot!(mistakes("long: {", "long: { baseline: true,"), @r#"
    error: axis `corpus` has two baselines, `short` and `long`
       --> exp.yaml:14:5
       |
    14 |     long: { baseline: true, midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
       |     ^^^^
    "#);
}
