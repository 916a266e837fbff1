//! Every message, as a user sees it: one mistake put into a good file, and what comes out.

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
fn amounts_carry_their_unit() {
    assert_snapshot!(mistakes("20B tokens", "20B"), @r#"
    error: `20B` has no unit
      --> exp.yaml:7:15
      |
    7 |       budget: 20B
      |               ^^^
    hint: write `20B tokens`
    "#);
}

#[test]
fn an_amount_that_is_none() {
    assert_snapshot!(mistakes("20B tokens", "20 gigatokens"), @r#"
    error: `20 gigatokens` is not an amount of tokens
      --> exp.yaml:7:15
      |
    7 |       budget: 20 gigatokens
      |               ^^^^^^^^^^^^^
    hint: a number and k, M, B or T, like `20B tokens`
    "#);
}

#[test]
fn a_mixture_names_its_level_its_sum_and_the_share_that_is_off() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 85%, openr1: 10%"), @r#"
    error: mixture of level `long` sums to 0.95, not 1
       --> exp.yaml:14:41
       |
    14 |     long: { midtrain: { web: { mixture: { web: 85%, openr1: 10% } } } }
       |                                         ^
    hint: the others give `web` 0.9, this one 0.85
    "#);
}

#[test]
fn the_mixture_of_the_base_sums_to_one_too() {
    assert_snapshot!(mistakes("web: 90%, qa: 10%", "web: 90%, qa: 20%"), @r#"
    error: mixture of `base` sums to 1.1, not 1
      --> exp.yaml:6:16
      |
    6 |       mixture: { web: 90%, qa: 20% }
      |                ^
    "#);
}

#[test]
fn percent_signs_are_not_optional() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 90, openr1: 10"), @r#"
    error: a share lies between 0% and 100%, found `90`
       --> exp.yaml:14:48
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90, openr1: 10 } } } }
       |                                                ^^
    hint: did you mean `90%`?

    error: a share lies between 0% and 100%, found `10`
       --> exp.yaml:14:60
       |
    14 |     long: { midtrain: { web: { mixture: { web: 90, openr1: 10 } } } }
       |                                                            ^^
    hint: did you mean `10%`?
    "#);
}

#[test]
fn nan_is_no_number() {
    assert_snapshot!(mistakes("smallest_effect: 0.05", "smallest_effect: .nan"), @r#"
    error: expected a number, found `.nan`
       --> exp.yaml:25:22
       |
    25 |     smallest_effect: .nan
       |                      ^^^^
    "#);
}

#[test]
fn nan_is_no_share() {
    assert_snapshot!(mistakes("qa: 10%", "qa: nan"), @r#"
    error: expected a share such as `90%` or `0.9`, found `nan`
      --> exp.yaml:6:32
      |
    6 |       mixture: { web: 90%, qa: nan }
      |                                ^^^
    "#);
}

#[test]
fn effects_are_above_zero() {
    assert_snapshot!(mistakes("smallest_effect: 0.05", "smallest_effect: -1"), @r#"
    error: expected a number above 0, found -1
       --> exp.yaml:25:22
       |
    25 |     smallest_effect: -1
       |                      ^^
    "#);
}

#[test]
fn a_key_given_twice_is_refused() {
    assert_snapshot!(mistakes("  family: llama\n  mid", "  family: llama\n  family: qwen\n  mid"), @r#"
    error: `family` is given twice
      --> exp.yaml:4:3
      |
    4 |   family: qwen
      |   ^^^^^^
    hint: first on line 3
    "#);
}

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

#[test]
fn choices_are_listed() {
    assert_snapshot!(mistakes("direction: greater", "direction: bigger"), @r#"
    error: expected one of `greater`, `less`, `same`, found `bigger`
       --> exp.yaml:24:16
       |
    24 |     direction: bigger
       |                ^^^^^^
    "#);
}

#[test]
fn a_near_choice_is_suggested() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: cosin"), @r#"
    error: expected one of `cosine`, `constant`, `decay`, `warmup-stable-decay`, found `cosin`
      --> exp.yaml:8:17
      |
    8 |       schedule: cosin
      |                 ^^^^^
    hint: did you mean `cosine`?
    "#);
}

#[test]
fn warm_up_and_decay_fit_into_the_phase() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: { warmup-stable-decay: { warmup: 50%, decay: 60% } }"), @r#"
    error: warm-up and decay take more than the whole phase: 0.5 + 0.6
      --> exp.yaml:8:40
      |
    8 |       schedule: { warmup-stable-decay: { warmup: 50%, decay: 60% } }
      |                                        ^
    "#);
}

#[test]
fn schedules_have_known_settings() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: { cosine: { flor: 10% } }"), @r#"
    error: unknown key `flor` in schedule `cosine`
      --> exp.yaml:8:29
      |
    8 |       schedule: { cosine: { flor: 10% } }
      |                             ^^^^
    hint: did you mean `floor`?
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
fn a_length_schedule_starts_at_zero_and_rises() {
    assert_snapshot!(mistakes("max_response: 4096 tokens", "max_response: { 10: 4096 tokens, 5: 1k tokens }"), @r#"
    error: a length schedule starts at step 0, and its steps rise
      --> exp.yaml:9:60
      |
    9 |   rl: { prompts: math8k, template: simple, max_response: { 10: 4096 tokens, 5: 1k tokens } }
      |                                                            ^^

    error: a length schedule starts at step 0, and its steps rise
      --> exp.yaml:9:77
      |
    9 |   rl: { prompts: math8k, template: simple, max_response: { 10: 4096 tokens, 5: 1k tokens } }
      |                                                                             ^
    "#);
}

#[test]
fn a_map_is_no_list_of_names() {
    assert_snapshot!(mistakes("benchmarks: [gsm8k, math500]", "benchmarks: { a: b }"), @r#"
    error: expected a name, found a map
       --> exp.yaml:10:15
       |
    10 |   benchmarks: { a: b }
       |               ^
    "#);
}

#[test]
fn text_is_no_map() {
    assert_snapshot!(mistakes("  rl: { prompts: math8k, template: simple, max_response: 4096 tokens }", "  rl: yes"), @r#"
    error: `rl` of `base` is a map of names to values, found `yes`
      --> exp.yaml:9:7
      |
    9 |   rl: yes
      |       ^^^
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

#[test]
fn tabs_do_not_indent() {
    assert_snapshot!(mistakes("  family: llama\n  mid", "\tfamily: llama\n  mid"), @r#"
    error: this is not YAML: tabs disallowed within this context (block indentation)
      --> exp.yaml:3:2
      |
    3 |  family: llama
      |  ^
    "#);
}

#[test]
fn tags_are_refused() {
    assert_snapshot!(mistakes("family: qwen", "family: !!str qwen"), @r#"
    error: tags (`!…`) mean nothing here
       --> exp.yaml:17:27
       |
    17 |     qwen: { family: !!str qwen }
       |                           ^^^^
    hint: write the value alone
    "#);
}

#[test]
fn a_merge_takes_a_map() {
    assert_snapshot!(mistakes("schedule: cosine", "<<: 3\n      schedule: cosine"), @r#"
    error: `<<` takes a map, or a list of maps
      --> exp.yaml:8:11
      |
    8 |       <<: 3
      |           ^
    "#);
}

#[test]
fn an_alias_needs_its_anchor() {
    assert_snapshot!(mistakes("schedule: cosine", "schedule: *nope"), @r#"
    error: this is not YAML: while parsing node, found unknown anchor
      --> exp.yaml:8:17
      |
    8 |       schedule: *nope
      |                 ^
    "#);
}

#[test]
fn names_are_fit_for_files_and_ids() {
    assert_snapshot!(mistakes("    long:", "    long, really:"), @r#"
    error: `long, really` can't be a name: a to z, A to Z, digits, `.` (not first), `_`, `+` and `-` only, at most 64
       --> exp.yaml:14:5
       |
    14 |     long, really: { midtrain: { web: { mixture: { web: 90%, openr1: 10% } } } }
       |     ^^^^^^^^^^^^

    error: `a` of claim `c` names a level that axis `corpus` does not have: `long`
       --> exp.yaml:22:18
       |
    22 |     a: { corpus: long }
       |                  ^^^^
    hint: only `short`
    "#);
}

#[test]
fn seeds_are_distinct() {
    assert_snapshot!(mistakes("claims:", "seeds: [1, 1]\nclaims:"), @r#"
    error: seed 1 is listed twice
       --> exp.yaml:18:12
       |
    18 | seeds: [1, 1]
       |            ^
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

#[test]
fn an_empty_file_says_so() {
    assert_snapshot!(report(""), @r#"
    error: the file is empty
      --> exp.yaml:1:1
    "#);
}

#[test]
fn a_file_holds_one_document() {
    assert_snapshot!(mistakes("claims:", "---\nclaims:"), @r#"
    error: a second document begins here; a file holds one
       --> exp.yaml:18:1
       |
    18 | ---
       | ^^^
    "#);
}

#[test]
fn an_experiment_is_a_map() {
    assert_snapshot!(report("hello"), @r#"
    error: the experiment is a map of names to values, found `hello`
      --> exp.yaml:1:1
      |
    1 | hello
      | ^^^^^
    "#);
}

#[test]
fn a_share_of_zero_is_left_out() {
    assert_snapshot!(mistakes("web: 90%, openr1: 10%", "web: 100%, openr1: 0%"), @r#"
    error: corpus `openr1` has a share of 0
       --> exp.yaml:14:62
       |
    14 |     long: { midtrain: { web: { mixture: { web: 100%, openr1: 0% } } } }
       |                                                              ^^
    hint: leave the corpus out
    "#);
}

#[test]
fn aliases_cannot_explode() {
    let line = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","));
    let bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_string() + &(1..12).map(line).collect::<String>();
    assert_snapshot!(report(&bomb), @r#"
    error: aliases unfold into more than 20000 values, or too deep
      --> exp.yaml:5:14
      |
    5 | a4: &a4 [*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3]
      |              ^^^
    "#);
}

#[test]
fn nesting_has_an_end() {
    let deep: String = (0..400).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_snapshot!(report(&deep), @r#"
    error: values are nested more than 32 deep
       --> exp.yaml:32:32
       |
    32 |                                a:
       |                                ^
    "#);
    assert!(report(&("a: ".to_string() + &"[".repeat(5000))).contains("recursion limit"));
}

#[test]
fn an_alias_cannot_hold_itself() {
    assert_snapshot!(report("a: &a [*a]"), @r#"
    error: this alias stands inside the value that it names
      --> exp.yaml:1:8
      |
    1 | a: &a [*a]
      |        ^^
    "#);
}
